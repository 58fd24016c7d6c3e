"""What is seen of a replay: the decisions on its mission, as they come."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import anyio

from swarmd.core.journal.replay import link_of
from swarmd.core.journal.sameness import subject_of
from swarmd.core.journal.script import Decision, Labels, decisions_of
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.names import FIRST, StreamId
from swarmd.ports.stores import SupervisorStore
from swarmd.runtime.replay.cues import Cue

_ENTRIES_AT_ONCE: Final = 1_000
_ENDS: Final = (JournalEvent.MISSION_ENDED, JournalEvent.MISSION_REJECTED)


@dataclass(slots=True)
class Seen:
    """`began` and `moved` are of the event loop's clock: when the mission was docketed, and when
    something last happened.
    """

    store: SupervisorStore
    mission: str
    decisions: list[Decision] = field(default_factory=list)
    labels: Labels = field(init=False)
    began: float = 0.0
    moved: float = 0.0
    _counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    _after: StreamId = FIRST
    _looking: anyio.Lock = field(default_factory=anyio.Lock)

    def __post_init__(self) -> None:
        self.labels = Labels(self.mission)

    async def look(self) -> None:
        """Reads on in the replay's journal."""
        async with self._looking:
            while entries := await self.store.read_journal(self._after, _ENTRIES_AT_ONCE):
                self._after = entries[-1][0]
                links = [link for id, line in entries if (link := link_of(id, line)) is not None]
                for one in decisions_of(links, self.mission):
                    self._take(one)

    def _take(self, one: Decision) -> None:
        self.move()
        if not self.decisions:
            self.began = self.moved
        self.labels.take(one)
        self.decisions.append(one)
        self._counts[one.event, subject_of(one, self.labels)] += 1

    def move(self) -> None:
        self.moved = anyio.current_time()

    @property
    def quiet_seconds(self) -> float:
        return anyio.current_time() - self.moved

    @property
    def has_ended(self) -> bool:
        return any(one.event in _ENDS for one in self.decisions)

    def has(self, cue: Cue) -> bool:
        """Of a decision: whether it was made in this run, too."""
        return self._counts[cue.event, cue.who] >= cue.number
