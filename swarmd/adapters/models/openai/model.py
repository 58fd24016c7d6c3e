"""A model behind any endpoint that speaks OpenAI's Chat Completions.

Invariant: one attempt answers within the provider's own deadlines, with what it used, and raises
for nothing that a provider or a network does. The SDK's retries are off, because a retry inside it
would be paid for without the ledger knowing; the runtime repeats an attempt and charges each.

The `openai` SDK says where a request goes and under which names (key, organisation and project of
the environment); the request itself goes over its HTTP client without it, and the answer is read
here (docs/decisions/0023).

Three settings follow from who answers. The output limit is sent as `max_completion_tokens` to
OpenAI and Azure, whose reasoning models refuse the older name, and as `max_tokens` to everybody
else, for many local servers know only that. Whether moves are tool calls or a JSON schema is the
provider's `actions`; `probe` finds it out with one small call, which is part of the first attempt:
that one reserves two calls, and settles those that were made. And what a server refuses of a
request is left out of the next ones: such an attempt ends as `unsupported` (docs/decisions/0031).

What is reserved, cut at and settled is one count. No text has more tokens than bytes, and nothing
else bounds them without the model's own tokenizer; but an answer of as many tokens as were allowed
has several bytes for each. So a reserve holds `bytes_per_token` of the prompt for every one that
the model may write, and a stream is cut once so many bytes have come: whatever its tokenizer, a
model that ignores its limit ends within the reserve, or beyond it by what the piece that passed it
has above `PIECE_BYTES`. Where the server says what it counted, that is settled; where it does not,
its bytes are, and at least the limit: thoughts that are not shown are paid too.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

import anyio
import httpx2
import openai
import structlog

from swarmd.adapters.models import addresses
from swarmd.adapters.models.openai import events, http_client
from swarmd.adapters.models.openai import request as wire
from swarmd.adapters.models.openai.answer import Received
from swarmd.adapters.models.openai.exchange import (
    Deadlines,
    Limit,
    fault_of,
    read_answer,
    translated,
    unfinished,
)
from swarmd.adapters.models.openai.faults import (
    PERMANENT,
    REDIRECTS,
    Fault,
    FaultyError,
    fault_of_redirect,
    place_of,
    same_host,
)
from swarmd.adapters.models.openai.form import STRICT, Form, Mode, refused
from swarmd.adapters.models.openai.reading import Correction, called_names, read_moves
from swarmd.adapters.models.opening import Opening
from swarmd.adapters.models.prices import Tariff
from swarmd.adapters.models.rate_limit import Pace, TooLateError
from swarmd.core.model.declarations import Provider
from swarmd.core.model.providers import PROVIDERS
from swarmd.ports.models import NOTHING, Answered, Failed, Prompt, Usage

log = structlog.get_logger(__name__)

DETAIL_CHARS_MAX: Final = 400
# What a provider that has enough asks of all workers is heeded up to this, as long as a call's own
# repetition is.
HOLD_SECONDS_MAX: Final = 60.0
# Of English text, as providers reckon before they count.
BYTES_OF_TOKEN: Final = 4
REDIRECTS_MAX: Final = 3
# Requests whose bound was asked for and that are not yet sent: more than calls wait side by side in
# one process.
ENCODED_MAX: Final = 128
SECRET_CHARS_MIN: Final = 6  # shorter "keys" are placeholders such as `none`, and words of a text

# Reserved for the piece with which a stream is cut: an account is stopped for what is beyond its
# reserve, and one stream that does not end is no reason to. Servers send a token or a line at a
# time.
PIECE_BYTES: Final = 1_024
# A probe is bounded before it is known which spelling of its fields the server takes.
SPELLING: Final = b" " * 32

# Bounds all that one answer can send, headers of stream pieces and comments included: about 600
# bytes for each of the 200,000 output tokens that a role may be given at most. It bounds no memory:
# of a stream one event is kept at a time.
ANSWER_BYTES_MAX: Final = 128 * 1024 * 1024
_SECRET: Final = re.compile(r"(?i)\b(?:sk|pk|rk)-[\w*-]{6,}|\bbearer\s+\S+")


class OpenAIModel:
    """One model of one endpoint. `pace` is shared by all models of a provider in a process."""

    is_language_model: Final = True

    def __init__(
        self,
        name: str,
        *,
        base_url: str,
        api_key: str,
        provider: Provider,
        pace: Pace | None = None,
        tariff: Tariff | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`tariff` is `None` where the price is not known; `now` is asked for the price of the
        moment.
        """
        self._model = name
        self._tariff = tariff
        self._now = now
        self._key = addresses.checked_key(api_key)
        self._url = addresses.checked_url(base_url or PROVIDERS["openai"].default_url)
        self._provider = provider
        self._pace = pace or Pace(
            per_minute=provider.calls_per_minute, at_once=provider.calls_at_once
        )
        self._mode: Mode | None = None if provider.actions == "probe" else provider.actions
        # What is sent now, and what was last answered.
        self._form = self._proven = _first_form(self._url, provider)
        self._probing = anyio.Lock()
        self._failed_probes = 0
        self._last_failure: Failed | None = None
        self._client, self._endpoint, self._headers = http_client.build(
            lambda: _connection(self._url, self._key, provider),
            self._url,
            reads_environment=not addresses.is_loopback(self._url),
        )
        # Asked for its bound, a prompt is about to be sent: what was encoded for the one is sent by
        # the other.
        self._encoded: OrderedDict[int, tuple[Prompt, Mode, Form, bytes]] = OrderedDict()

    @property
    def name(self) -> str:
        return f"openai:{self._model}"

    def __repr__(self) -> str:
        return f"OpenAIModel({self.name!r}, {urlsplit(self._url).hostname!r})"

    def bound(self, prompt: Prompt) -> Usage:
        """Bytes of the request and of the answer; with the probe's, while that is still to come."""
        if self._mode is not None:
            return self._bound_in(self._mode, prompt)
        limit = Limit.of(wire.PROBE_OUTPUT_TOKENS, prompt.bytes_per_token)
        probe = self._most(wire.probe_body(self._model, self._form) + SPELLING, limit)
        modes = (self._bound_in("tools", prompt), self._bound_in("schema", prompt))
        return probe + max(modes, key=lambda usage: usage.tokens)

    def _bound_in(self, mode: Mode, prompt: Prompt) -> Usage:
        body = wire.request_body(self._model, prompt, mode, self._form)
        self._encoded[id(prompt)] = prompt, mode, self._form, body
        if len(self._encoded) > ENCODED_MAX:
            self._encoded.popitem(last=False)
        return self._most(body, Limit.of(prompt.output_tokens_max, prompt.bytes_per_token))

    def _body(self, mode: Mode, prompt: Prompt) -> tuple[Form, bytes]:
        """As it was bounded: in the meantime another call may have learned of a form with longer
        names.
        """
        known = self._encoded.pop(id(prompt), None)
        if known is not None and known[:2] == (prompt, mode):
            return known[2:]
        return self._form, wire.request_body(self._model, prompt, mode, self._form)

    def _most(self, body: bytes, limit: Limit) -> Usage:
        tokens_in, tokens_out = len(body), limit.bytes + PIECE_BYTES
        cost = self._tariff.most(self._now(), tokens_in, tokens_out) if self._tariff else None
        return Usage(tokens_in, tokens_out, is_assumed=True, cost=cost)

    async def attempt(
        self, prompt: Prompt, sending: Callable[[], None] = lambda: None
    ) -> Answered | Failed:
        if self._mode is not None:
            outcome = await self._ask(prompt, self._mode, sending)
            self._form = self._proven if _is_rejected(outcome) else self._form
            return outcome
        probed = await self._probe(prompt.bytes_per_token, sending)
        if isinstance(probed, Failed):
            return probed
        outcome = await self._ask(prompt, probed.mode, sending)
        # A server that turned the probe away because it knows no tools takes the schema. One that
        # turns that away as well has another reason (no such model yet), and is probed again.
        if probed.is_sure or not _is_rejected(outcome):
            self._mode = probed.mode
        elif probed.is_strict and (bare := self._form.bare()) != self._form:
            # It may be a server that does not say which field it does not know.
            self._learn(bare, "it turned both ways to answer away")
            outcome = replace(_as_failed(outcome), why="unsupported")
        else:
            # What was left out in vain is sent again.
            self._form = self._proven
        return replace(outcome, usage=probed.usage + outcome.usage)

    async def aclose(self) -> None:
        await self._client.aclose()

    # --- the probe --------------------------------------------------------------------------

    async def _probe(self, bytes_per_token: int, sending: Callable[[], None]) -> _Probed | Failed:
        """One caller probes and the others wait for what it finds, a failure included."""
        failed_before = self._failed_probes
        async with self._probing:
            if self._mode is not None:
                return _Probed(self._mode, NOTHING, is_sure=True)
            if self._failed_probes != failed_before and self._last_failure is not None:
                # Each of them probing in turn would wait out the same dead server once more.
                return replace(self._last_failure, usage=NOTHING)
            probed = await self._probe_once(bytes_per_token, sending)
            if isinstance(probed, Failed):
                self._failed_probes += 1
                self._last_failure = probed
            elif probed.is_sure:
                self._mode = probed.mode
            return probed

    async def _probe_once(
        self, bytes_per_token: int, sending: Callable[[], None]
    ) -> _Probed | Failed:
        form, body = self._form, wire.probe_body(self._model, self._form)
        limit = Limit.of(wire.PROBE_OUTPUT_TOKENS, bytes_per_token)
        received = await self._request(body, limit, form, sending)
        if isinstance(received, _NoAnswer):
            if self._adapts(received.fault, form, "tools"):
                return replace(received.failed, why="unsupported")
            if received.fault.is_about_tools:
                is_strict = received.fault.status in STRICT and not received.fault.parameter
                return _Probed("schema", received.failed.usage, is_sure=False, is_strict=is_strict)
            if received.is_the_models:
                return _Probed("schema", received.failed.usage, is_sure=True)
            return received.failed
        usage = self._used(received, body, limit)
        return _Probed("tools" if received.calls else "schema", usage, is_sure=True)

    # --- what the server takes --------------------------------------------------------------

    def _adapts(self, fault: Fault, form: Form, mode: Mode) -> bool:
        """Whether the next request has another form than the one that was turned away."""
        # The message first: some servers quote the whole request behind it.
        for text in (fault.what, fault.said):
            refusal = refused(form, mode, fault.status, text, fault.parameter)
            if refusal is not None:
                break
        if refusal is not None:
            if self._form == form:
                self._learn(form.after(refusal), f"it does not take {refusal.field}")
            return True
        if (
            self._mode == mode == "tools"
            and self._provider.actions == "probe"
            and fault.names_tools
        ):
            # It took the small function of the probe and not these.
            self._mode = "schema"
            return True
        return False

    def _learn(self, form: Form, why: str) -> None:
        self._form = form
        log.warning(
            "a model's server is asked in another form from now on", model=self.name, why=why
        )

    # --- one request ------------------------------------------------------------------------

    async def _ask(
        self, prompt: Prompt, mode: Mode, sending: Callable[[], None]
    ) -> Answered | Failed:
        form, body = self._body(mode, prompt)
        limit = Limit.of(prompt.output_tokens_max, prompt.bytes_per_token)
        received = await self._request(body, limit, form, sending)
        if isinstance(received, _NoAnswer):
            if self._adapts(received.fault, form, mode):
                return replace(received.failed, why="unsupported")
            return received.failed
        self._proven = form
        usage, text = self._used(received, body, limit), received.text()
        if received.is_withheld:
            return Failed("refused", _refusal(received, prompt), usage, text=text)
        moves = read_moves(received, prompt.offer)
        if isinstance(moves, Correction):
            return Failed("malformed", moves.text, usage, text=text)
        return Answered(moves, usage, text)

    async def _request(
        self, body: bytes, limit: Limit, form: Form, sending: Callable[[], None]
    ) -> Received | _NoAnswer:
        """One HTTP request, at the provider's pace. Its clock starts when it is its turn."""
        async with AsyncExitStack() as stack:
            patience = self._provider.total_seconds
            # As providers count it when they let a call in: what was sent, by a quarter of its
            # bytes, and the limit.
            tokens = len(body) // BYTES_OF_TOKEN + limit.tokens
            is_placed = False
            with anyio.move_on_after(patience), suppress(TooLateError):
                await stack.enter_async_context(self._pace.place(self._model, tokens, patience))
                is_placed = True
            if not is_placed:
                waited = f"no place within {patience:g} s under the provider's own limit"
                return _NoAnswer(
                    Failed("rate_limited", waited, NOTHING), Fault("rate_limited", waited)
                )
            sending()
            received = await self._exchange(body, limit, form)
            if isinstance(received, _NoAnswer) and received.asks_patience:
                await self._pace.hold(self._model, min(received.asks_patience, HOLD_SECONDS_MAX))
            return received

    async def _exchange(self, body: bytes, limit: Limit, form: Form) -> Received | _NoAnswer:
        received, clock = Received(), Deadlines(self._provider, is_stream=form.streams)
        fault: Fault | None = None
        try:
            with clock.scope:
                await self._receive(body, received, clock, limit)
        except FaultyError as error:
            fault = error.fault
        except events.TooLargeError as error:
            fault = Fault("cut", f"the answer outran its reserve: {error}")
        except (httpx2.HTTPError, httpx2.StreamError, ValueError, RecursionError) as error:
            fault = translated(error, has_begun=clock.has_heard)
        if received.is_whole:
            # What came with its end is whole, whatever became of the connection afterwards.
            return received
        fault = fault or unfinished(received, clock, limit)
        usage = self._used(received, body, limit) if fault.may_have_run else Usage(0, 0)
        what = self._scrubbed(fault.what)
        return _NoAnswer(
            Failed(fault.why, what, usage, fault.retry_after, received.text()),
            fault,
            is_the_models=received.is_at_limit or fault.why in ("malformed", "refused"),
        )

    async def _receive(
        self, body: bytes, received: Received, clock: Deadlines, limit: Limit
    ) -> None:
        response = await self._answered(body)
        try:
            if not response.is_success:
                raise FaultyError(await fault_of(response))
            await read_answer(response, received, clock, limit)
        finally:
            with anyio.CancelScope(shield=True):
                await response.aclose()

    async def _answered(self, body: bytes) -> httpx2.Response:
        """The response; a redirect is followed on the same host."""
        url = self._endpoint
        timeout = {
            "connect": self._provider.connect_seconds,
            "read": None,
            "write": None,
            "pool": None,
        }
        for _ in range(1 + REDIRECTS_MAX):
            request = httpx2.Request(
                "POST", url, headers=self._headers, content=body, extensions={"timeout": timeout}
            )
            response = await self._client.send(request, stream=True)
            if response.status_code not in REDIRECTS:
                return response
            with anyio.CancelScope(shield=True):
                await response.aclose()
            location = response.headers.get("location", "")
            target = same_host(str(url), location)
            if target is None:
                raise FaultyError(
                    fault_of_redirect(response.status_code, place_of(str(url), location))
                )
            url = httpx2.URL(target)
            if response.status_code in PERMANENT:
                self._endpoint = url
        what = f"HTTP {response.status_code}: the server redirects more than {REDIRECTS_MAX} times"
        raise FaultyError(Fault("rejected", what, may_have_run=False, status=response.status_code))

    def _used(self, received: Received, body: bytes, limit: Limit) -> Usage:
        """As the server counted, be it beyond the reserve; else what it can have been at most."""
        price, counted = self._tariff and self._tariff.at(self._now()), received.counted
        said = received.said
        if counted is not None and received.is_counted:
            cost = said.dearest(price.of(counted) if price else None)
            return Usage(counted.tokens_in, counted.tokens_out, cost=cost)
        tokens_in = len(body) if said.tokens_in is None else said.tokens_in
        tokens_out = max(limit.tokens, received.text_bytes, said.tokens_out or 0)
        cost = said.dearest(price.most(tokens_in, tokens_out) if price else None)
        return Usage(tokens_in, tokens_out, is_assumed=True, cost=cost)

    def _scrubbed(self, text: str) -> str:
        """No key leaves this class in an error, whoever quoted it."""
        if len(self._key) >= SECRET_CHARS_MIN:
            text = text.replace(self._key, "[secret]")
        return _SECRET.sub("[secret]", text)[:DETAIL_CHARS_MAX]


# --- what an attempt is made of ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Probed:
    """`is_sure` is false where the server turned tools away, for it may turn away all else too.

    `is_strict`: it did so as one does that does not know a field.
    """

    mode: Mode
    usage: Usage
    is_sure: bool
    is_strict: bool = False


@dataclass(frozen=True, slots=True)
class _NoAnswer:
    """Beside the failure what was wrong, and whether the model did answer in its way."""

    failed: Failed
    fault: Fault
    is_the_models: bool = False

    @property
    def asks_patience(self) -> float:
        """Seconds for which the provider wants no further call."""
        return (self.failed.retry_after or 0.0) if self.failed.why == "rate_limited" else 0.0


class _Bounded(httpx2.AsyncByteStream):
    """A body that fails where it grows beyond all measure: an endless line never becomes a
    piece.
    """

    def __init__(self, stream: httpx2.AsyncByteStream, bytes_max: int) -> None:
        self._stream = stream
        self._left = bytes_max

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for data in self._stream:
            self._left -= len(data)
            if self._left < 0:
                raise httpx2.ReadError("the answer is too large")
            yield data

    async def aclose(self) -> None:
        await self._stream.aclose()


def _http_client(url: str, provider: Provider) -> httpx2.AsyncClient:
    async def bound(response: httpx2.Response) -> None:
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _Bounded(response.stream, ANSWER_BYTES_MAX)

    return httpx2.AsyncClient(
        # All waits but this one are bounded by `Deadlines`: they end where the answer makes no
        # progress, and httpx's own read time-out would also count a comment line as progress.
        timeout=httpx2.Timeout(None, connect=provider.connect_seconds),
        limits=httpx2.Limits(
            max_connections=None, max_keepalive_connections=provider.calls_at_once
        ),
        # A proxy of the environment can't reach this machine's own loopback.
        trust_env=not addresses.is_loopback(url),
        event_hooks={"response": [bound]},
    )


def _connection(
    url: str, key: str, provider: Provider
) -> tuple[httpx2.AsyncClient, httpx2.URL, httpx2.Headers]:
    client = _http_client(url, provider)
    sdk = openai.AsyncOpenAI(
        base_url=url,
        # The SDK insists on a key, and would take one from the environment: a local server gets
        # this word, never a key that was meant for somebody else.
        api_key=key or "none",
        max_retries=0,
        http_client=client,
    )
    return client, httpx2.URL(f"{url}/chat/completions"), _headers(sdk)


def _headers(sdk: openai.AsyncOpenAI) -> httpx2.Headers:
    """As the SDK sends them; what it would leave out has no text."""
    named = {**sdk.auth_headers, **sdk.default_headers}
    return httpx2.Headers({name: value for name, value in named.items() if isinstance(value, str)})


def _first_form(url: str, provider: Provider) -> Form:
    host = urlsplit(url).hostname or ""
    is_openai = host == "api.openai.com" or host.endswith((".openai.com", ".openai.azure.com"))
    form = Form(limits=tuple(reversed(Form().limits))) if is_openai else Form()
    return form.without(*provider.leave_out)


def _is_rejected(outcome: Answered | Failed) -> bool:
    return isinstance(outcome, Failed) and outcome.why == "rejected"


def _as_failed(outcome: Answered | Failed) -> Failed:
    assert isinstance(outcome, Failed)
    return outcome


def _refusal(received: Received, prompt: Prompt) -> str:
    said = f" ({received.refusal[:200]})" if received.refusal else ""
    return (
        f"The answer was withheld as unsafe{said}. Answer with one or more of your moves"
        f" ({', '.join(called_names(prompt.offer))}); if you can't do what was asked, use one to"
        " say so and why."
    )


def open_model(opening: Opening) -> OpenAIModel:
    return OpenAIModel(
        opening.name,
        base_url=opening.base_url,
        api_key=opening.api_key,
        provider=opening.provider,
        pace=opening.pace(),
        tariff=opening.tariff,
    )
