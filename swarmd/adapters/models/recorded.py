"""A model whose answers stand in a record: it is asked nothing, and holds what a call reserves to
what was reserved for it then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from swarmd.ports.models import Answered, Failed, Model, Prompt, Usage
from swarmd.runtime.replay.player import AnsweredByRecordError

# What a call that was never made is held to reserve, where the record says that there was no budget
# left for it: more than any account has.
_TOO_MUCH: Final = 10**12


@dataclass(frozen=True, slots=True)
class RecordedModel:
    """`amounts` gives what the next call of an agent reserved or used, by its id; `None` where the
    record says that it could not be paid.
    """

    name: str
    is_language_model: bool
    amounts: Callable[[str], Mapping[str, int] | None]

    def bound(self, prompt: Prompt) -> Usage:
        found = self.amounts(prompt.view.agent)
        if found is None:
            return Usage(_TOO_MUCH, 0, is_assumed=True, cost=_TOO_MUCH)
        tokens, calls = found.get("tokens", 0), found.get("calls", 1)
        return Usage(tokens, 0, is_assumed=True, calls=calls, cost=found.get("cost"))

    def expected(self, prompt: Prompt) -> Usage:
        return self.bound(prompt)

    async def attempt(
        self, prompt: Prompt, sending: Callable[[], None] = lambda: None
    ) -> Answered | Failed:
        """Says that it goes out, as from there on a seat's time counts, and raises."""
        sending()
        raise AnsweredByRecordError

    async def aclose(self) -> None:
        """Nothing is open."""


@dataclass(frozen=True, slots=True)
class ForkedModel:
    """A recorded model up to where a fork leaves the record, and a living one from there on."""

    recorded: Model
    living: Model
    is_live: Callable[[], bool]

    @property
    def _now(self) -> Model:
        return self.living if self.is_live() else self.recorded

    @property
    def name(self) -> str:
        return self._now.name

    @property
    def is_language_model(self) -> bool:
        return self._now.is_language_model

    def bound(self, prompt: Prompt) -> Usage:
        return self._now.bound(prompt)

    def expected(self, prompt: Prompt) -> Usage:
        return self._now.expected(prompt)

    async def attempt(
        self, prompt: Prompt, sending: Callable[[], None] = lambda: None
    ) -> Answered | Failed:
        return await self._now.attempt(prompt, sending)

    async def aclose(self) -> None:
        """Each is closed by whoever opened it."""
