"""A model behind any endpoint that speaks OpenAI's Chat Completions or its Responses API.

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

What an attempt reserves and settles: `metering.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

import anyio
import structlog

from swarmd.adapters.models import addresses
from swarmd.adapters.models.first_token import KEPT_BYTES_MIN, beginning_of
from swarmd.adapters.models.openai.answer import Received
from swarmd.adapters.models.openai.calls import shown_calls
from swarmd.adapters.models.openai.encoded import EncodedRequests
from swarmd.adapters.models.openai.endpoint import Endpoint, NoAnswer
from swarmd.adapters.models.openai.exchange import UNREADABLE, Limit
from swarmd.adapters.models.openai.faults import Fault
from swarmd.adapters.models.openai.form import STRICT, Form, Mode, Refusal, refused
from swarmd.adapters.models.openai.generation import (
    expecting_thoughts,
    output_limit,
    settings_of,
)
from swarmd.adapters.models.openai.metering import Meter
from swarmd.adapters.models.openai.reading import Correction, called_names, read_moves
from swarmd.adapters.models.openai.request import PROBE_OUTPUT_TOKENS
from swarmd.adapters.models.openai.wire import WIRES
from swarmd.adapters.models.opening import Opening
from swarmd.adapters.models.prices import Tariff
from swarmd.adapters.models.rate_limit import Pace
from swarmd.core.model.declarations import Provider
from swarmd.core.model.generation import Generation
from swarmd.core.model.providers import PROVIDERS
from swarmd.log_events import LogEvent
from swarmd.ports.models import NOTHING, Answered, Failed, Prompt, Usage

log = structlog.get_logger(__name__)

# A probe is bounded before it is known which spelling of its fields the server takes.
SPELLING: Final = b" " * 32


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
        key = addresses.checked_key(api_key)
        url = addresses.checked_url(base_url or PROVIDERS["openai"].default_url)
        pace = pace or Pace(per_minute=provider.calls_per_minute, at_once=provider.calls_at_once)
        self._model = name
        self._host = urlsplit(url).hostname
        self._meter = Meter(tariff, now)
        self._wire = WIRES[provider.api]
        self._defaults = _defaults_for(url, provider)
        self._endpoint = Endpoint(
            url, key, name, wire=self._wire, provider=provider, pace=pace, meter=self._meter
        )
        self._requests = EncodedRequests(name, self._wire, self._defaults)
        self._is_probing = provider.actions == "probe"
        self._mode: Mode | None = None if provider.actions == "probe" else provider.actions
        # What is sent now, and what was last answered.
        self._form = self._proven = _first_form(url, provider)
        self._probe_lock = anyio.Lock()
        self._failed_probes = 0
        self._last_failure: Failed | None = None

    @property
    def name(self) -> str:
        return f"openai:{self._model}"

    def __repr__(self) -> str:
        return f"OpenAIModel({self.name!r}, {self._host!r})"

    def bound(self, prompt: Prompt) -> Usage:
        """Bytes of the request and its limit; with the probe's, while that is still to come."""
        return self._sized(prompt, self._meter.most)

    def expected(self, prompt: Prompt) -> Usage:
        return self._sized(prompt, self._meter.expected)

    def _sized(self, prompt: Prompt, size: Callable[[bytes, Limit], Usage]) -> Usage:
        if self._mode is not None:
            return self._sized_in(self._mode, prompt, size)
        body = self._wire.probe_body(self._model, self._form) + SPELLING
        probe = size(body, self._probe_limit())
        modes = (self._sized_in("tools", prompt, size), self._sized_in("schema", prompt, size))
        return probe + max(modes, key=lambda usage: usage.tokens)

    def _sized_in(self, mode: Mode, prompt: Prompt, size: Callable[[bytes, Limit], Usage]) -> Usage:
        body = self._requests.encode(prompt, mode, self._form)
        return size(body, self._limit_of(prompt, self._form))

    def _limit_of(self, prompt: Prompt, form: Form) -> Limit:
        return Limit(output_limit(prompt, self._defaults), is_sent=bool(form.limits))

    def _probe_limit(self) -> Limit:
        return Limit(PROBE_OUTPUT_TOKENS, is_sent=bool(self._form.limits))

    async def attempt(
        self, prompt: Prompt, sending: Callable[[], None] = lambda: None
    ) -> Answered | Failed:
        if self._mode is not None:
            outcome = await self._ask_once(prompt, self._mode, sending)
            self._form = self._proven if _is_rejected(outcome) else self._form
            return outcome
        probed = await self._probe_together(sending)
        if isinstance(probed, Failed):
            return probed
        outcome = self._settle_mode(probed, await self._ask_once(prompt, probed.mode, sending))
        return replace(outcome, usage=probed.usage + outcome.usage)

    def _settle_mode(self, probed: _Probed, outcome: Answered | Failed) -> Answered | Failed:
        """A server that turned the probe away because it knows no tools takes the schema. One that
        turns that away as well has another reason (no such model yet), and is probed again.
        """
        if probed.is_sure or not isinstance(outcome, Failed) or outcome.why != "rejected":
            self._mode = probed.mode
        elif probed.is_strict and (bare := self._form.bare()) != self._form:
            # It may be a server that does not say which field it does not know.
            self._learn_form(bare, "it turned both ways to answer away")
            return replace(outcome, why="unsupported")
        else:
            # What was left out in vain is sent again.
            self._form = self._proven
        return outcome

    async def aclose(self) -> None:
        await self._endpoint.aclose()

    # --- the probe --------------------------------------------------------------------------

    async def _probe_together(self, sending: Callable[[], None]) -> _Probed | Failed:
        """One caller probes and the others wait for what it finds, a failure included."""
        failed_before = self._failed_probes
        async with self._probe_lock:
            if self._mode is not None:
                return _Probed(self._mode, NOTHING, is_sure=True)
            if self._failed_probes != failed_before and self._last_failure is not None:
                # Each of them probing in turn would wait out the same dead server once more.
                return replace(self._last_failure, usage=NOTHING)
            probed = await self._probe_once(sending)
            if isinstance(probed, Failed):
                self._failed_probes += 1
                self._last_failure = probed
            elif probed.is_sure:
                self._mode = probed.mode
            return probed

    async def _probe_once(self, sending: Callable[[], None]) -> _Probed | Failed:
        form, body = self._form, self._wire.probe_body(self._model, self._form)
        limit = self._probe_limit()
        received = await self._endpoint.request(body, limit, form, sending)
        if isinstance(received, NoAnswer):
            return self._probed_without_answer(received, form)
        usage = self._meter.used(received, body, limit)
        return _Probed("tools" if received.calls else "schema", usage, is_sure=True)

    def _probed_without_answer(self, none: NoAnswer, form: Form) -> _Probed | Failed:
        fault, usage = none.fault, none.failed.usage
        sent = ("thoughts",) if self._wire.asks_thoughts else ()
        if self._adapt_form(fault, form, "tools", sent):
            return replace(none.failed, why="unsupported")
        if fault.is_about_tools:
            is_strict = fault.status in STRICT and not fault.parameter
            return _Probed("schema", usage, is_sure=False, is_strict=is_strict)
        if none.is_the_models:
            return _Probed("schema", usage, is_sure=True)
        return none.failed

    # --- what the server takes --------------------------------------------------------------

    def _adapt_form(
        self,
        fault: Fault,
        form: Form,
        mode: Mode,
        beside: Collection[str],
        *,
        is_exact: bool = False,
    ) -> bool:
        """Whether the next request has another form than the one that was turned away."""
        refusal = _refusal_in(fault, form, mode, beside)
        if refusal is not None:
            if self._form == form:
                further = form.after(refusal, was_exact=is_exact)
                self._learn_form(further, f"it does not take {refusal.field}")
            return True
        if self._mode == mode == "tools" and self._is_probing and fault.names_tools:
            # It took the small function of the probe and not these.
            self._mode = "schema"
            return True
        return False

    def _learn_form(self, form: Form, why: str) -> None:
        self._form = form
        log.warning(LogEvent.MODEL_FORM_CHANGED, model=self.name, why=why)

    async def _ask_once(
        self, prompt: Prompt, mode: Mode, sending: Callable[[], None]
    ) -> Answered | Failed:
        form, body = self._requests.take(prompt, mode, self._form)
        limit = self._limit_of(prompt, form)
        beginning = beginning_of(prompt) if len(body) >= KEPT_BYTES_MIN else None
        received = await self._endpoint.request(body, limit, form, sending, beginning)
        if isinstance(received, NoAnswer):
            return self._without_answer(received, prompt, mode, form)
        self._proven = form
        used = self._meter.used(received, body, limit)
        try:
            return _read_received(received, prompt, mode, used)
        except Exception:
            # Likewise of what was received whole (endpoint.py).
            log.exception(LogEvent.MODEL_ANSWER_UNREADABLE, model=self.name)
            return Failed("server", UNREADABLE, used)

    def _without_answer(self, none: NoAnswer, prompt: Prompt, mode: Mode, form: Form) -> Failed:
        beside = self._sent_beside(prompt, mode, form)
        refusal = _refusal_in(none.fault, form, mode, beside)
        if refusal is not None and refusal.is_value and prompt.is_stretched:
            # The usual limit may still be taken: it is not the form that is wrong.
            return replace(none.failed, why="rejected")
        is_exact = prompt.open_offer != prompt.offer and form.choices[:1] == ("exact",)
        if self._adapt_form(none.fault, form, mode, beside, is_exact=is_exact):
            return replace(none.failed, why="unsupported")
        return none.failed

    def _sent_beside(self, prompt: Prompt, mode: Mode, form: Form) -> tuple[str, ...]:
        """What this request had that not every request has."""
        has_calls = mode == "tools" and any(piece.calls for piece in prompt.pieces)
        has_thread = has_calls and any(piece.thread for piece in prompt.since)
        sent = {
            "tool_messages": has_calls and form.has_tool_messages,
            "thoughts": (has_thread or self._wire.asks_thoughts) and form.has_thoughts,
        }
        beside = (name for name, is_sent in sent.items() if is_sent)
        return (*settings_of(prompt, self._defaults, form), *beside)


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


def _refusal_in(fault: Fault, form: Form, mode: Mode, beside: Collection[str]) -> Refusal | None:
    # The message first: some servers quote the whole request behind it.
    texts = (fault.what, fault.said)
    found = (refused(form, mode, fault.status, text, fault.parameter, beside) for text in texts)
    return next((refusal for refusal in found if refusal is not None), None)


def _first_form(url: str, provider: Provider) -> Form:
    form = Form(limits=tuple(reversed(Form().limits))) if _is_openai(url) else Form()
    if provider.api == "responses":
        form = Form(limits=("max_output_tokens",))
    return form.without(*provider.leave_out)


def _defaults_for(url: str, provider: Provider) -> Generation:
    """The provider's settings, with room for thoughts where they are to be expected."""
    is_expected = _is_openai(url) or provider.api == "responses"
    return expecting_thoughts(provider) if is_expected else provider


def _is_openai(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host == "api.openai.com" or host.endswith((".openai.com", ".openai.azure.com"))


def _is_rejected(outcome: Answered | Failed) -> bool:
    return isinstance(outcome, Failed) and outcome.why == "rejected"


def _read_received(
    received: Received, prompt: Prompt, mode: Mode, usage: Usage
) -> Answered | Failed:
    text = received.text()
    if received.is_withheld:
        return Failed("refused", _say_withheld(received, prompt), usage, text=text)
    moves = read_moves(received, prompt.open_offer, mode)
    if isinstance(moves, Correction):
        return Failed(
            "malformed", moves.text, usage, text=text, calls=shown_calls(received.put_together)
        )
    return Answered(moves, usage, text, received.thread(len(moves)))


def _say_withheld(received: Received, prompt: Prompt) -> str:
    said = f" ({received.refusal[:200]})" if received.refusal else ""
    return (
        f"The answer was withheld as unsafe{said}. Answer with one or more of your moves"
        f" ({', '.join(called_names(prompt.open_offer))}); if you can't do what was asked, use one"
        " to say so and why."
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
