"""A model behind any endpoint that speaks OpenAI's Chat Completions.

Invariant: one attempt answers within the provider's own deadlines, with what it used, and raises
for nothing that a provider or a network does. The SDK's retries are off, because a retry inside it
would be paid for without the ledger knowing; the runtime repeats an attempt and charges each.

The `openai` SDK says where a request goes and under which names (key, organisation and project of the environment);
the request itself goes over its HTTP client without it, and the answer is read here
(docs/decisions/0023).

Two settings follow from who answers. The output limit is sent as `max_completion_tokens` to OpenAI
and Azure, whose reasoning models refuse the older name, and as `max_tokens` to everybody else, for
many local servers know only that. Whether moves are tool calls or a JSON schema is the provider's
`actions`; `probe` finds it out with one small call, which is part of the first attempt: that one
reserves two calls, and settles those that were made.

What is reserved, cut at and settled is one count. No text has more tokens than bytes, and nothing else
bounds them without the model's own tokenizer; but an answer of as many tokens as were allowed has several
bytes for each. So a reserve holds `bytes_per_token` of the prompt for every one that the model may write, and a stream is cut once so many bytes have come: whatever its tokenizer, a model that ignores its limit
ends within the reserve, or beyond it by what the piece that passed it has above `PIECE_BYTES`. Where the
server says what it counted, that is settled; where it does not, its bytes are, and at least the limit:
thoughts that are not shown are paid too.
"""

from __future__ import annotations

import email.utils
import json
import re
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import anyio
import httpx2
import openai

from swarmd.adapters import http_client
from swarmd.adapters import openai_wire as wire
from swarmd.adapters.prices import Tariff
from swarmd.adapters.ratelimit import Pace, TooLateError
from swarmd.core.rules import Provider
from swarmd.ports import NOTHING, Answered, Failed, Prompt, Usage

DETAIL_CHARS_MAX: Final = 400
QUOTE_CHARS_MAX: Final = 8_000
RETRY_AFTER_MAX: Final = 3_600.0
# What a provider that has enough asks of all workers is heeded up to this, as long as a call's own repetition is.
HOLD_SECONDS_MAX: Final = 60.0
# Of English text, as providers reckon before they count.
BYTES_OF_TOKEN: Final = 4
# After a stream has said that this is all: what frames it comes in the same breath, or the connection is given up.
DRAIN_SECONDS: Final = 0.1
# Requests whose bound was asked for and that are not yet sent: more than calls wait side by side in one process.
ENCODED_MAX: Final = 128
SECRET_CHARS_MIN: Final = 6  # shorter "keys" are placeholders such as `none`, and words of a text

Why = Literal["malformed", "refused", "rate_limited", "timeout", "server", "cut", "rejected"]

# A call of a function is names and braces too, in however few tokens it was written.
BYTES_BESIDE: Final = 256
# Reserved for the piece with which a stream is cut: an account is stopped for what is beyond its reserve,
# and one stream that does not end is no reason to. Servers send a token or a line at a time.
PIECE_BYTES: Final = 1_024

# Bounds the memory that one answer can take, headers of stream pieces and error pages included:
# about 600 bytes for each of the 200,000 output tokens that a role may be given at most.
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
        """`tariff` is `None` where the price is not known; `now` is asked for the price of the moment."""
        self._model = name
        self._tariff = tariff
        self._now = now
        self._key = wire.checked_key(api_key)
        self._url = wire.checked_url(base_url or wire.OPENAI_URL)
        self._provider = provider
        self._pace = pace or Pace(per_minute=provider.calls_per_minute, at_once=provider.calls_at_once)
        self._mode: wire.Mode | None = None if provider.actions == "probe" else provider.actions
        self._limit_field = _limit_field(self._url)
        self._probing = anyio.Lock()
        self._failed_probes = 0
        self._last_failure: Failed | None = None
        self._client, self._endpoint, self._headers = http_client.build(
            lambda: _connection(self._url, self._key, provider),
            self._url,
            reads_environment=not wire.is_loopback(self._url),
        )
        # Asked for its bound, a prompt is about to be sent: what was encoded for the one is sent by the other.
        self._encoded: OrderedDict[int, tuple[Prompt, wire.Mode, bytes]] = OrderedDict()

    @property
    def name(self) -> str:
        return f"openai:{self._model}"

    def __repr__(self) -> str:
        return f"OpenAIModel({self.name!r}, {urlsplit(self._url).hostname!r})"

    def bound(self, prompt: Prompt) -> Usage:
        """Bytes of the request and of the answer; with the probe's, while that is still to come."""
        if self._mode is not None:
            return self._bound_in(self._mode, prompt)
        limit = _Limit.of(wire.PROBE_OUTPUT_TOKENS, prompt.bytes_per_token)
        probe = self._most(wire.probe_body(self._model, self._limit_field), limit)
        modes = (self._bound_in("tools", prompt), self._bound_in("schema", prompt))
        return probe + max(modes, key=lambda usage: usage.tokens)

    def _bound_in(self, mode: wire.Mode, prompt: Prompt) -> Usage:
        body = wire.request_body(self._model, prompt, mode, self._limit_field)
        self._encoded[id(prompt)] = prompt, mode, body
        if len(self._encoded) > ENCODED_MAX:
            self._encoded.popitem(last=False)
        return self._most(body, _Limit.of(prompt.output_tokens_max, prompt.bytes_per_token))

    def _body(self, mode: wire.Mode, prompt: Prompt) -> bytes:
        known = self._encoded.pop(id(prompt), None)
        if known is not None and known[:2] == (prompt, mode):
            return known[2]
        return wire.request_body(self._model, prompt, mode, self._limit_field)

    def _most(self, body: bytes, limit: _Limit) -> Usage:
        tokens_in, tokens_out = len(body), limit.bytes + PIECE_BYTES
        cost = self._tariff.most(self._now(), tokens_in, tokens_out) if self._tariff else None
        return Usage(tokens_in, tokens_out, is_assumed=True, cost=cost)

    async def attempt(self, prompt: Prompt, sending: Callable[[], None] = lambda: None) -> Answered | Failed:
        if self._mode is not None:
            return await self._ask(prompt, self._mode, sending)
        probed = await self._probe(prompt.bytes_per_token, sending)
        if isinstance(probed, Failed):
            return probed
        outcome = await self._ask(prompt, probed.mode, sending)
        # A server that turned the probe away because it knows no tools takes the schema. One that
        # turns that away as well has another reason (no such model yet), and is probed again.
        if probed.is_sure or not _is_rejected(outcome):
            self._mode = probed.mode
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

    async def _probe_once(self, bytes_per_token: int, sending: Callable[[], None]) -> _Probed | Failed:
        body = wire.probe_body(self._model, self._limit_field)
        limit = _Limit.of(wire.PROBE_OUTPUT_TOKENS, bytes_per_token)
        received = await self._request(body, limit, sending)
        if isinstance(received, _NoAnswer):
            if received.is_about_tools:
                return _Probed("schema", received.failed.usage, is_sure=False)
            if received.is_the_models:
                return _Probed("schema", received.failed.usage, is_sure=True)
            return received.failed
        usage = self._used(received, body, limit)
        return _Probed("tools" if received.calls else "schema", usage, is_sure=True)

    # --- one request ------------------------------------------------------------------------

    async def _ask(self, prompt: Prompt, mode: wire.Mode, sending: Callable[[], None]) -> Answered | Failed:
        body = self._body(mode, prompt)
        limit = _Limit.of(prompt.output_tokens_max, prompt.bytes_per_token)
        received = await self._request(body, limit, sending)
        if isinstance(received, _NoAnswer):
            return received.failed
        usage, text = self._used(received, body, limit), received.text()
        if received.refusal or received.finish == "content_filter":
            return Failed("refused", _refusal(received, prompt), usage, text=text)
        moves = wire.read_moves(received, prompt.functions)
        if isinstance(moves, wire.Correction):
            return Failed("malformed", moves.text, usage, text=text)
        return Answered(moves, usage, text)

    async def _request(
        self, body: bytes, limit: _Limit, sending: Callable[[], None]
    ) -> wire.Received | _NoAnswer:
        """One HTTP request, at the provider's pace. Its clock starts when it is its turn."""
        async with AsyncExitStack() as stack:
            patience = self._provider.total_seconds
            # As providers count it when they let a call in: what was sent, by a quarter of its bytes, and the limit.
            tokens = len(body) // BYTES_OF_TOKEN + limit.tokens
            is_placed = False
            with anyio.move_on_after(patience), suppress(TooLateError):
                await stack.enter_async_context(self._pace.place(self._model, tokens, patience))
                is_placed = True
            if not is_placed:
                waited = f"no place within {patience:g} s under the provider's own limit"
                return _NoAnswer(Failed("rate_limited", waited, NOTHING))
            sending()
            received = await self._exchange(body, limit)
            if isinstance(received, _NoAnswer) and received.asks_patience:
                await self._pace.hold(self._model, min(received.asks_patience, HOLD_SECONDS_MAX))
            return received

    async def _exchange(self, body: bytes, limit: _Limit) -> wire.Received | _NoAnswer:
        received, clock = wire.Received(), _Deadlines(self._provider)
        fault: _Fault | None = None
        try:
            with clock.scope:
                await self._receive(body, received, clock, limit)
        except _FaultyError as error:
            fault = error.fault
        except (httpx2.HTTPError, httpx2.StreamError, ValueError, RecursionError) as error:
            fault = _translated(error, has_begun=clock.has_heard)
        if received.is_whole:
            # What came with its end is whole, whatever became of the connection afterwards.
            return received
        fault = fault or _unfinished(received, clock, limit)
        usage = self._used(received, body, limit) if fault.may_have_run else Usage(0, 0)
        what = self._scrubbed(fault.what)
        return _NoAnswer(
            Failed(fault.why, what, usage, fault.retry_after, received.text()),
            is_about_tools=fault.is_about_tools,
            is_the_models=received.is_at_limit or fault.why in ("malformed", "refused"),
        )

    async def _receive(self, body: bytes, received: wire.Received, clock: _Deadlines, limit: _Limit) -> None:
        timeout = {"connect": self._provider.connect_seconds, "read": None, "write": None, "pool": None}
        request = httpx2.Request(
            "POST", self._endpoint, headers=self._headers, content=body, extensions={"timeout": timeout}
        )
        response = await self._client.send(request, stream=True)
        try:
            if not response.is_success:
                raise _FaultyError(_of_status(response, await response.aread()))
            if (kind := _content_type(response)) != "text/event-stream":
                received.take(await _whole(response, kind))
                return None
            events, chunks = wire.Events(), response.aiter_bytes()
            async for chunk in chunks:
                for data in events.take(chunk):
                    clock.heard()
                    if data.startswith(b"[DONE]"):
                        return await _drain(chunks)
                    received.take(_checked(json.loads(data.decode())))
                    # A running count, where a server has one, is believed when it says that it is more.
                    counted = received.counted.tokens_out if received.counted else 0
                    if max(received.text_bytes, counted) > limit.bytes:
                        outran = f"the answer outran its reserve of {limit.bytes} bytes"
                        raise _FaultyError(_Fault("cut", outran))
        finally:
            with anyio.CancelScope(shield=True):
                await response.aclose()

    def _used(self, received: wire.Received, body: bytes, limit: _Limit) -> Usage:
        """As the server counted, be it beyond the reserve; else what it can have been at most."""
        price, counted = self._tariff and self._tariff.at(self._now()), received.counted
        if counted is not None and received.is_counted:
            cost = price.of(counted) if price else None
            return Usage(counted.tokens_in, counted.tokens_out, cost=cost)
        tokens_in = counted.tokens_in if counted else len(body)
        tokens_out = max(limit.tokens, received.text_bytes, counted.tokens_out if counted else 0)
        cost = price.most(tokens_in, tokens_out) if price else None
        return Usage(tokens_in, tokens_out, is_assumed=True, cost=cost)

    def _scrubbed(self, text: str) -> str:
        """No key leaves this class in an error, whoever quoted it."""
        if len(self._key) >= SECRET_CHARS_MIN:
            text = text.replace(self._key, "[secret]")
        return _SECRET.sub("[secret]", text)[:DETAIL_CHARS_MAX]


# --- what an attempt is made of ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Limit:
    """Of one answer: the tokens that the server is told, and the bytes at which we cut it."""

    tokens: int
    bytes: int

    @classmethod
    def of(cls, tokens: int, bytes_per_token: int) -> _Limit:
        return cls(tokens, bytes_per_token * tokens + BYTES_BESIDE)


@dataclass(frozen=True, slots=True)
class _Probed:
    """`is_sure` is false where the server turned tools away, for it may turn away all else too."""

    mode: wire.Mode
    usage: Usage
    is_sure: bool


@dataclass(frozen=True, slots=True)
class _NoAnswer:
    """Beside the failure what it tells of a probe: the server has no tools, the model calls none."""

    failed: Failed
    is_about_tools: bool = False
    is_the_models: bool = False

    @property
    def asks_patience(self) -> float:
        """Seconds for which the provider wants no further call."""
        return (self.failed.retry_after or 0.0) if self.failed.why == "rate_limited" else 0.0


@dataclass(frozen=True, slots=True)
class _Fault:
    """`may_have_run`: the model may have worked for it, so what it may have used is charged."""

    why: Why
    what: str
    retry_after: float | None = None
    may_have_run: bool = True
    is_about_tools: bool = False


class _FaultyError(Exception):
    def __init__(self, fault: _Fault) -> None:
        super().__init__(fault.what)
        self.fault = fault


class _Deadlines:
    """One scope with a deadline that moves: first token, then idle, and the total over both."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._total = anyio.current_time() + provider.total_seconds
        self._pieces = 0
        self.scope = anyio.CancelScope()
        self._next(provider.first_token_seconds)

    def heard(self) -> None:
        self._pieces += 1
        self._next(self._provider.idle_seconds)

    @property
    def has_heard(self) -> bool:
        return self._pieces > 0

    def passed(self) -> str:
        if anyio.current_time() >= self._total:
            return f"the answer was not complete within {self._provider.total_seconds:g} s"
        if self._pieces:
            return f"the answer stopped for more than {self._provider.idle_seconds:g} s"
        return f"no answer began within {self._provider.first_token_seconds:g} s"

    def _next(self, seconds: float) -> None:
        self.scope.deadline = min(self._total, anyio.current_time() + seconds)


class _Bounded(httpx2.AsyncByteStream):
    """A body that fails where it grows beyond all measure: an endless line never becomes a piece."""

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
        # All waits but this one are bounded by `_Deadlines`: they end where the answer makes no
        # progress, and httpx's own read time-out would also count a comment line as progress.
        timeout=httpx2.Timeout(None, connect=provider.connect_seconds),
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=provider.calls_at_once),
        # A proxy of the environment can't reach this machine's own loopback.
        trust_env=not wire.is_loopback(url),
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


def _limit_field(url: str) -> str:
    host = urlsplit(url).hostname or ""
    is_openai = host == "api.openai.com" or host.endswith((".openai.com", ".openai.azure.com"))
    return "max_completion_tokens" if is_openai else "max_tokens"


def _is_rejected(outcome: Answered | Failed) -> bool:
    return isinstance(outcome, Failed) and outcome.why == "rejected"


def _refusal(received: wire.Received, prompt: Prompt) -> str:
    said = f" ({received.refusal[:200]})" if received.refusal else ""
    return (
        f"The answer was withheld as unsafe{said}. Answer with one or more of your moves"
        f" ({', '.join(prompt.functions)}); if you can't do what was asked, use one to say so and why."
    )


# --- reading what the server did --------------------------------------------------------------


def _content_type(response: httpx2.Response) -> str:
    return response.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _drain(chunks: AsyncIterator[bytes]) -> None:
    """To its end, or the connection could not be used again; but that is not waited for."""
    with anyio.move_on_after(DRAIN_SECONDS):
        async for _ in chunks:
            pass


def _checked(piece: object) -> object:
    """The piece; an error that the server put in its place is raised."""
    if isinstance(piece, dict) and piece.get("error"):
        raise _FaultyError(_Fault("server", f"the server broke off: {_said(piece['error'])}"))
    return piece


async def _whole(response: httpx2.Response, kind: str) -> Any:
    """The answer of a server that doesn't stream, or what tells that it is no such server."""
    if kind != "application/json":
        what = f"the answer is {kind or 'of no type'} and no stream: does the base URL end in /v1?"
        raise _FaultyError(_Fault("server", what))
    await response.aread()
    answer = response.json()
    if isinstance(answer, dict) and answer.get("error"):
        raise _FaultyError(_Fault("server", _said(answer["error"])))
    return answer


def _unfinished(received: wire.Received, clock: _Deadlines, limit: _Limit) -> _Fault:
    if clock.scope.cancelled_caught:
        return _Fault("timeout", clock.passed())
    if received.is_at_limit:
        return _Fault("cut", f"the answer reached its limit of {limit.tokens} tokens unfinished")
    return _Fault("cut", "the answer ended without its end")


def _translated(error: Exception, *, has_begun: bool) -> _Fault:
    match error:
        case httpx2.TimeoutException():  # of ours only connecting has a time-out inside the HTTP client
            return _Fault("timeout", "could not connect in time", may_have_run=False)
        case httpx2.ConnectError():
            return _Fault("server", f"connection failed: {type(error).__name__}", may_have_run=False)
        case httpx2.HTTPError() | httpx2.StreamError() if has_begun:
            return _Fault("cut", f"the answer broke off: {type(error).__name__}")
        case ValueError() | RecursionError():
            return _Fault("server", "the server sent a piece that can't be read")
        case _:
            return _Fault("server", f"connection failed: {type(error).__name__}")


def _of_status(response: httpx2.Response, answer: bytes) -> _Fault:
    body = _error_in(answer)
    status = response.status_code
    code = body.get("code") if isinstance(body, dict) else None
    what = f"HTTP {status}: {_said(body)}"
    after = _retry_after(response.headers)
    # A server may answer 500 to say that it was started without tools (llama-server's --jinja).
    about_tools = status in (400, 404, 405, 422, 501) or "tool" in what.lower()
    if code in ("content_filter", "content_policy_violation"):
        return _Fault("refused", f"The prompt was withheld as unsafe: {_said(body)}")
    if code == "tool_use_failed":
        return _Fault("malformed", f"Your function call could not be read: {_said(body)}")
    if status == 401:
        # Not quoted: this is the one message that servers like to repeat the key in.
        return _Fault("rejected", "HTTP 401: the key was not accepted", may_have_run=False)
    if status == 429 and code == "insufficient_quota":
        return _Fault("rejected", what, may_have_run=False)
    if status == 429:
        return _Fault("rate_limited", what, after, may_have_run=False)
    if status in (408, 409, 425) or status >= 500:
        # A gateway that gave up waiting does not know how far what is behind it had come; the other
        # error statuses come instead of an answer, and nobody charges for them.
        return _Fault("server", what, after, may_have_run=status == 504, is_about_tools=about_tools)
    return _Fault("rejected", what, may_have_run=False, is_about_tools=about_tools)


def _error_in(answer: bytes) -> object:
    """What an error page says: its JSON error, its JSON, or its text."""
    try:
        body = json.loads(answer)
    except (ValueError, RecursionError):
        return answer.decode("utf-8", "replace").strip()
    return body.get("error", body) if isinstance(body, dict) else body


def _said(body: object) -> str:
    said = body.get("message") if isinstance(body, dict) else body
    # Cut to its final length only when no key is left in it: half a key is a secret still.
    return " ".join(str(said or "no reason given")[:QUOTE_CHARS_MAX].split())


def _retry_after(headers: httpx2.Headers) -> float | None:
    """Seconds, from a number or a date; what can't be read is our choice, what is far is bounded."""
    value = headers.get("retry-after", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    # Written so that a NaN ends as zero.
    return min(seconds, RETRY_AFTER_MAX) if seconds > 0 else 0.0
