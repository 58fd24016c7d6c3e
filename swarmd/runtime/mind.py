"""One thought: attempts at a model, each begun, charged and ended, until one gives usable moves.

What the world did wrong is repeated as it was; what the model did wrong is given back to it as a
correction. Both are bounded; past the bound the thought fails, and with it the agent, not the swarm.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import anyio
import structlog

from swarmd.core.moves import MOVE, Move
from swarmd.core.names import Rule
from swarmd.core.rules import Provider
from swarmd.ports import Answered, Failed, Model, Prompt, Usage
from swarmd.runtime.steps import Journal, NotAllowedError

log = structlog.get_logger(__name__)

# Between attempts, where the provider did not say: doubled each time, up to the last.
_BACKOFF_SECONDS: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
# What a provider asks for is obeyed up to this: a turn must not sleep for an hour in its name.
_RETRY_AFTER_MAX: Final = 60.0
_FINAL: Final = ("rejected",)
_OF_THE_MODEL: Final = ("malformed", "refused")


class ThoughtFailedError(Exception):
    """No usable answer within the bounds. `rule` is set where the law said no to a further attempt."""

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
        failures = 0
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
            failures += 1
            if failures >= self.provider.attempts_max:
                raise ThoughtFailedError(detail)
            await self._wait(failures, outcome)

    async def _wait(self, failures: int, outcome: Failed) -> None:
        if outcome.retry_after is not None:
            seconds = min(outcome.retry_after, _RETRY_AFTER_MAX)
        else:
            seconds = _BACKOFF_SECONDS[min(failures, len(_BACKOFF_SECONDS)) - 1]
        log.info("a model call is repeated", model=self.model.name, why=outcome.why, seconds=seconds)
        await self.sleep(seconds)

    async def _attempt(self, journal: Journal, prompt: Prompt) -> Answered | Failed:
        bound = self.model.bound(prompt)

        async def effect() -> tuple[str, Any]:
            outcome = await self.model.attempt(prompt)
            return _as_text(outcome), outcome.usage

        try:
            text = await journal.call(
                "model", effect, tokens=bound, calls=1, privilege=f"model/{self.model.name}"
            )
        except NotAllowedError as no:
            if no.rule in (Rule.BUDGET_EXHAUSTED, Rule.PRIVILEGE_USE):
                raise ThoughtFailedError(no.detail, no.rule) from no
            raise
        return _of_text(text)


def _as_text(outcome: Answered | Failed) -> str:
    if isinstance(outcome, Answered):
        return json.dumps({"moves": [move.model_dump(mode="json") for move in outcome.moves]})
    return json.dumps(
        {"why": outcome.why, "detail": outcome.detail, "after": outcome.retry_after, "said": outcome.text}
    )


def _of_text(text: str) -> Answered | Failed:
    """An attempt as the step journal keeps it: a successor goes on with the same outcome, unpaid."""
    found, none = json.loads(text), Usage(0, 0)
    if "moves" in found:
        return Answered(tuple(MOVE.validate_python(move) for move in found["moves"]), none)
    return replace(
        Failed(found["why"], found["detail"], none), retry_after=found["after"], text=found["said"]
    )
