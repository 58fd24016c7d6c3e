"""One thought: attempts at a model, each begun, charged and ended, until one gives usable moves.

What the world did wrong is repeated as it was; what the model did wrong is given back to it as a
correction. Both are bounded; past the bound the thought fails, and with it the agent, not the
swarm.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import anyio
import structlog

from swarmd.core.model.declarations import Provider
from swarmd.core.model.moves import MOVE, Move
from swarmd.core.model.privileges import MODEL
from swarmd.core.model.refusals import Rule
from swarmd.log_events import LogEvent
from swarmd.ports.models import NOTHING, TIGHT, Answered, Failed, Model, Prompt, Usage
from swarmd.ports.stores import Used
from swarmd.runtime.turn.step_journal import Journal, NotAllowedError

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
            outcome = one_answer(await self._attempt(journal, asked), asked)
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
        """With room for the longest answer or, where the account cannot hold that any more, for
        a short one.
        """
        step, given_up = journal.step, journal.given_up
        try:
            return await self._attempt_as(journal, prompt)
        except NotAllowedError as no:
            tight = replace(prompt, bytes_per_token=TIGHT)
            is_short = no.rule is Rule.BUDGET_EXHAUSTED
            if not is_short or self.model.bound(tight) == self.model.bound(prompt):
                raise
        # The same step: a successor has to find one of the two there, whichever it was.
        journal.step, journal.given_up = step, given_up
        return await self._attempt_as(journal, tight)

    async def _attempt_as(self, journal: Journal, prompt: Prompt) -> Answered | Failed:
        bound, lost = self.model.bound(prompt), NOTHING
        outcome: Answered | Failed | None = None
        reserve = _amounts(bound)

        def sending() -> None:
            nonlocal lost
            journal.lead.check()
            journal.sending()
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
                amounts=reserve,
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


def one_answer(outcome: Answered | Failed, prompt: Prompt) -> Answered | Failed:
    """A seat answers with one move of the kind that it was asked for: which of two it meant nobody
    can tell, and half of an answer is none.
    """
    if prompt.view.call is None or isinstance(outcome, Failed):
        return outcome
    given, allowed = [move.move for move in outcome.moves], prompt.open_offer.moves
    if len(given) == 1 and given[0] in allowed:
        return outcome
    many = f"{len(given)} moves ({', '.join(given)})" if len(given) > 1 else f"`{given[0]}`"
    detail = (
        f"You answered with {many}, and nothing of it was done. Answer with one `{allowed[0]}`."
    )
    return Failed("malformed", detail, outcome.usage, text=outcome.text)


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
