"""Records of missions that an operator had forgotten, deleted by whoever leads.

The order stands in the store for a day: what a supervisor had no time for, or no right to, the next
look or the next supervisor does.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import anyio
import structlog

from swarmd.core.model.records import Forgetting
from swarmd.core.model.tables import FORGETTINGS
from swarmd.core.model.timings import SWEEP_SECONDS
from swarmd.errors import WorkspaceError
from swarmd.log_events import LogEvent
from swarmd.ports.record import Record
from swarmd.runtime.supervisor.memory import LeaderMemory

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class RecordsForgotten:
    memory: LeaderMemory
    record: Record
    _done: set[Forgetting] = field(default_factory=set)
    _told: set[Forgetting] = field(default_factory=set)

    async def keep(self) -> None:
        """Once a second."""
        while True:
            await self.look()
            await anyio.sleep(SWEEP_SECONDS)

    async def look(self) -> None:
        ordered: set[Forgetting] = set(self.memory.swarm.rows(FORGETTINGS).values())
        self._done &= ordered
        for one in ordered - self._done:
            await self._forget_one(one)

    async def _forget_one(self, one: Forgetting) -> None:
        try:
            await self.record.forget(one.mission, one.at)
        except WorkspaceError as error:
            if one not in self._told:
                log.warning(LogEvent.RECORD_LEFT, mission=one.mission, why=error.what)
            self._told.add(one)
        else:
            self._done.add(one)
