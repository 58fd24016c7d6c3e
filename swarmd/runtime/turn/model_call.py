"""One thought: attempts at a model, each begun, charged and ended, until one gives usable moves.

What the world did wrong is repeated as it was; what the model did wrong is given back to it as a
correction. Both are bounded; past the bound the thought fails, and with it the agent, not the
swarm.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import anyio
import structlog

from swarmd.core.ledger.calls import (
    OUTPUT_TOKENS_FLOOR,
    Planned,
    Sizes,
    calls_left,
    kept_for_report,
    note_of_budget,
    plan_call,
)
from swarmd.core.model.declarations import Provider
from swarmd.core.model.moves import MOVE, Move
from swarmd.core.model.privileges import MODEL
from swarmd.core.model.refusals import Rule
from swarmd.log_events import LogEvent
from swarmd.ports.models import NOTHING, Answered, Failed, Model, Prompt, Usage
from swarmd.ports.stores import Short, Used
from swarmd.runtime.turn.step_journal import Journal, NotAllowedError, Reserve, ShortError

log = structlog.get_logger(__name__)

# Between attempts, where the provider did not say: doubled each time, up to the last.
_BACKOFF_SECONDS: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
# After a 429 that does not say: a rate window is a minute, and all attempts within a part of one
# are one.
_RATE_LIMITED_SECONDS: Final = (5.0, 10.0, 20.0, 40.0, 60.0)
# What a provider asks for is obeyed up to this: a turn must not sleep for an hour in its name.
_RETRY_AFTER_MAX: Final = 60.0
# Forms of a request that one call may find out not to be taken: a model has fewer than this.
_FORMS_MAX: Final = 12
# Between two looks at an account of which calls under way hold what the next one needs.
_HELD_SECONDS: Final = 1.0
REPORT: Final = "report"  # the one move of an agent's last call
_FINAL: Final = ("rejected",)
_OF_THE_MODEL: Final = ("malformed", "refused")


class ThoughtFailedError(Exception):
    """No usable answer within the bounds. `rule` is set where the law said no to a further
    attempt.
    """

    def __init__(self, detail: str, rule: Rule | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.rule = rule


@dataclass(slots=True)
class Mind:
    """A model with the patience that its provider's settings declare."""

    model: Model
    provider: Provider
    sleep: Callable[[float], Any] = anyio.sleep

    async def think(
        self, journal: Journal, prompt: Callable[[Sequence[Mapping[str, Any]]], Prompt]
    ) -> tuple[tuple[Move, ...], list[Mapping[str, Any]]]:
        """Moves, and the corrections that it took. `prompt` renders the turn with those so far."""
        corrections: list[Mapping[str, Any]] = []
        failures = forms = 0
        while True:
            asked = prompt(corrections)
            outcome = await self._attempt(journal, asked)
            if isinstance(outcome, Answered):
                return outcome.moves, corrections
            detail = f"{self.model.name}: {outcome.why}: {outcome.detail}"
            if outcome.why in _FINAL:
                raise ThoughtFailedError(detail)
            if outcome.why in _OF_THE_MODEL:
                corrections.append({"correction": outcome.detail, "said": outcome.text})
                if len(corrections) > self.provider.corrections_max:
                    raise ThoughtFailedError(detail)
                continue
            if outcome.why == "unsupported" and forms < _FORMS_MAX:
                forms += 1
                continue
            failures += 1
            if failures >= self.provider.attempts_max:
                raise ThoughtFailedError(detail)
            await self._wait(failures, outcome)

    async def _wait(self, failures: int, outcome: Failed) -> None:
        # "At once" is believed once: who says it again and again does not count.
        if outcome.retry_after is not None and (outcome.retry_after > 0 or failures == 1):
            seconds = min(outcome.retry_after, _RETRY_AFTER_MAX)
        else:
            steps = _RATE_LIMITED_SECONDS if outcome.why == "rate_limited" else _BACKOFF_SECONDS
            seconds = steps[min(failures, len(steps)) - 1]
        log.info(LogEvent.CALL_REPEATED, model=self.model.name, why=outcome.why, seconds=seconds)
        await self.sleep(seconds)

    async def _attempt(self, journal: Journal, prompt: Prompt) -> Answered | Failed:
        """With room for the longest answer, or for as long a one as can be paid, a report kept back
        behind it; else as the last one.
        """
        asked = prompt
        for asked, keep in self._ways(journal, prompt):
            outcome = await self._attempt_within(journal, asked, keep)
            if outcome is not None:
                return outcome
        # Not even that: the refusal is recorded, and says what is missing.
        shortest = _with_limit(asked, min(asked.output_tokens_max, OUTPUT_TOKENS_FLOOR))
        reserve = Reserve(_amounts(self.model.bound(shortest)))
        return await self._attempt_as(journal, shortest, reserve)

    async def _attempt_within(
        self, journal: Journal, asked: Prompt, keep: Mapping[str, int]
    ) -> Answered | Failed | None:
        """As it can be paid with so much kept back, or `None` where it cannot."""
        # The same step each time: a successor has to find one of them there, whichever it was.
        step, given_up = journal.step, journal.given_up
        sizes, wanted = _sizes_of(self.model, asked), asked.output_tokens_max
        longest = Planned(wanted, sizes.strict(wanted), {})
        planned, seconds = longest, 0.0
        while seconds < self.provider.total_seconds:
            reserve = Reserve(planned.own, planned.lent, keep)
            cut = _with_limit(asked, planned.output_tokens)
            try:
                return await self._attempt_as(journal, cut, reserve)
            except ShortError as error:
                journal.step, journal.given_up, short = step, given_up, error.short
            journal.free |= short.free
            found = plan_call(sizes, wanted, short.free, short.lendable, keep)
            if found is None and not _is_held(journal, sizes, wanted, short, keep):
                return None
            if found is None or found == planned:
                # Calls under way hold what is missing, and give back most of it as they end.
                await self.sleep(_HELD_SECONDS)
                seconds += _HELD_SECONDS
            planned = found or longest
        return None

    def _ways(self, journal: Journal, prompt: Prompt) -> Iterator[tuple[Prompt, Mapping[str, int]]]:
        """How it may be asked, and what has to stay free behind it. A seat reports to nobody; what
        its mission has left it is told elsewhere.
        """
        if not journal.lender:
            yield prompt, {}
            return
        size = _amounts(self.model.expected(prompt))
        # Behind this one a last report is kept back, be it a short one.
        calls = max(2, calls_left(size, journal.free))
        sizes = _sizes_of(self.model, prompt)
        yield (
            _with_note(prompt, note_of_budget(calls, is_last=False)),
            kept_for_report(sizes, prompt.output_tokens_max),
        )
        last = replace(prompt, offer=prompt.offer.only(REPORT))
        yield _with_note(last, note_of_budget(1, is_last=True)), {}

    async def _attempt_as(
        self, journal: Journal, prompt: Prompt, asked: Reserve
    ) -> Answered | Failed:
        bound, lost = self.model.bound(prompt), NOTHING
        outcome: Answered | Failed | None = None
        reserve = _amounts(bound)

        def sending() -> None:
            nonlocal lost
            journal.lead.check()
            lost = replace(bound, is_assumed=True)

        async def effect() -> tuple[str, Used]:
            nonlocal outcome
            outcome = await self.model.attempt(prompt, sending)
            used = _used(outcome.usage, reserve)
            return _as_text(outcome), replace(used, is_ok=isinstance(outcome, Answered))

        try:
            text = await journal.call(
                "model",
                effect,
                reserve=asked,
                lost=lambda: _used(lost, reserve),
                privileges=(MODEL.path(self.model.name),),
                within_seconds=self.provider.total_seconds,
                given=[self.model.name, prompt.shared, prompt.persona, prompt.exchange],
            )
        except NotAllowedError as no:
            if no.rule in (Rule.PRIVILEGE_USE, Rule.PRIVILEGE_REVOKED):
                raise ThoughtFailedError(no.detail, no.rule) from no
            raise
        # What was answered here need not be read back.
        return outcome or _of_text(text)


def _sizes_of(model: Model, prompt: Prompt) -> Sizes:
    return Sizes(
        strict=lambda limit: _amounts(model.bound(_with_limit(prompt, limit))),
        expected=lambda limit: _amounts(model.expected(_with_limit(prompt, limit))),
    )


def _is_held(
    journal: Journal, sizes: Sizes, wanted: int, short: Short, keep: Mapping[str, int]
) -> bool:
    """Would there be enough if the calls under way took nothing?"""
    free, lendable = dict(short.free), dict(short.lendable)
    back = lendable if journal.lender else free
    for kind, n in short.held.items():
        back[kind] = back.get(kind, 0) + n
    return plan_call(sizes, wanted, free, lendable, keep) is not None


def _with_limit(prompt: Prompt, output_tokens: int) -> Prompt:
    """The same object where nothing changes: what encodes it for a provider knows it by that."""
    if output_tokens == prompt.output_tokens_max:
        return prompt
    return replace(prompt, output_tokens_max=output_tokens)


def _with_note(prompt: Prompt, note: str) -> Prompt:
    """Said at the end of what is asked, so that all before it stays as it was in the last call."""
    if not prompt.exchange or prompt.exchange[-1][0] != "user":
        return replace(prompt, exchange=(*prompt.exchange, ("user", note)))
    *before, (_, asked) = prompt.exchange
    return replace(prompt, exchange=(*before, ("user", f"{asked}\n\n{note}")))


def _amounts(usage: Usage) -> dict[str, int]:
    """What the ledger counts of it. A cost that is not known is no amount, and its tokens are
    then unpriced.
    """
    known = {} if usage.cost is None else {"cost": usage.cost}
    return {"tokens": usage.tokens, "calls": usage.calls, **known}


def _used(usage: Usage, reserve: Mapping[str, int]) -> Used:
    """Of each kind that was reserved, for each is given back or settled."""
    amounts = _amounts(usage)
    return Used({kind: amounts.get(kind, 0) for kind in reserve}, usage.is_assumed)


def _as_text(outcome: Answered | Failed) -> str:
    if isinstance(outcome, Answered):
        return json.dumps({"moves": [move.model_dump(mode="json") for move in outcome.moves]})
    return json.dumps(
        {
            "why": outcome.why,
            "detail": outcome.detail,
            "after": outcome.retry_after,
            "said": outcome.text,
        }
    )


def _of_text(text: str) -> Answered | Failed:
    """An attempt as the step journal keeps it: a successor goes on with the same outcome,
    unpaid.
    """
    found = json.loads(text)
    if "moves" in found:
        return Answered(tuple(MOVE.validate_python(move) for move in found["moves"]), NOTHING)
    return replace(
        Failed(found["why"], found["detail"], NOTHING),
        retry_after=found["after"],
        text=found["said"],
    )
