"""Records of missions that an operator had forgotten, deleted by whoever leads.

The order stands in the store for a day: what a supervisor had no time for, or no right to, the next
look or the next supervisor does. A record that was deleted is looked at again as long: a worker may
write what it had begun before the order, and that makes a file anew.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import Final

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

# Of the orders that were carried out, so many are looked at again in one look, those that were not
# for the longest time first: a thousand orders of a day cost no more than these.
AGAIN_MAX: Final = 32


@dataclass(slots=True)
class RecordsForgotten:
    memory: LeaderMemory
    record: Record
    # Carried out, the one that was looked at the longest ago first.
    _done: dict[Forgetting, None] = field(default_factory=dict)
    _told: set[Forgetting] = field(default_factory=set)

    async def keep(self) -> None:
        """Once a second."""
        while True:
            await self.look()
            await anyio.sleep(SWEEP_SECONDS)

    async def look(self) -> None:
        ordered: set[Forgetting] = set(self.memory.swarm.rows(FORGETTINGS).values())
        self._done = {one: None for one in self._done if one in ordered}
        again = list(islice(self._done, AGAIN_MAX))
        for one in (*(ordered - self._done.keys()), *again):
            await self._forget_one(one)

    async def _forget_one(self, one: Forgetting) -> None:
        self._done.pop(one, None)
        try:
            await self.record.forget(one.mission, one.at)
        except WorkspaceError as error:
            if one not in self._told:
                log.warning(LogEvent.RECORD_LEFT, mission=one.mission, why=error.what)
            self._told.add(one)
        else:
            self._done[one] = None
