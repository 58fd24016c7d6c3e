"""What is done whether or not anything was asked: hosts are looked at, agents that do not get on,
records whose retention is over, and streams that have grown long.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import anyio
import anyio.to_thread
import structlog

from swarmd.core.bus import retention
from swarmd.core.bus.envelope import heard_of_sender
from swarmd.core.control import placement, rest, stalls
from swarmd.core.model.channels import INPUTS, room
from swarmd.core.model.names import AgentId, Channel, HostId, MissionId, StreamId
from swarmd.core.model.state import Draft
from swarmd.core.model.timings import SLOW_SECONDS, SWEEP_SECONDS, TRIM_SECONDS
from swarmd.errors import WorkspaceError
from swarmd.log_events import LogEvent
from swarmd.ports.files import Files
from swarmd.runtime.supervisor.memory import LeaderMemory
from swarmd.runtime.supervisor.stream_counts import StreamCounts
from swarmd.runtime.supervisor.trimmer import Trimmer

log = structlog.get_logger(__name__)

FORGET_MAX: Final = 100
GAPS_MAX: Final = 20


@dataclass(slots=True)
class Upkeep:
    memory: LeaderMemory
    files: Files | None
    trimmer: Trimmer = field(init=False)
    counts: StreamCounts = field(init=False)
    _hosts_heard: dict[HostId, StreamId] = field(default_factory=dict)  # on their own channels
    _hosts_at: float = 0.0
    _stalls_at: float = 0.0

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """A new lead."""
        self.trimmer = Trimmer(self.memory.store, self.memory.now)
        self.counts = StreamCounts(self.memory.store)
        self._hosts_at = 0.0

    # --- hosts ---

    async def look_at_hosts(self, draft: Draft) -> None:
        """Once a second; and what is due to be forgotten."""
        memory = self.memory
        now = memory.now()
        if now < self._hosts_at + SWEEP_SECONDS:
            return
        is_late = now > self._hosts_at + SWEEP_SECONDS + SLOW_SECONDS
        alive, known = await memory.store.hosts()
        # Where the server was away, or this process slept, hosts could not renew either, or not be
        # seen to.
        if is_late or memory.now() - now > SLOW_SECONDS:
            memory.grant_patience()
        self._hosts_at = now
        self._hosts_heard = {host.id: host.heard for host in alive.values()}
        placement.admit_hosts(draft, alive, known, may_declare_dead=now >= memory.patient_until)
        for what, id in await memory.store.due(now, FORGET_MAX):
            await self._forget(what, id)

    # --- agents that do not get on ---

    async def look_at_stalls(self) -> None:
        """Once a second; asked and told in a commit of its own, and only where somebody's
        patience is over or an executive seems to rest.
        """
        memory = self.memory
        now = memory.now()
        if now < self._stalls_at + SWEEP_SECONDS:
            return
        self._stalls_at = now
        swarm = memory.swarm
        stalled, quiet = stalls.due(swarm, now), rest.candidates(swarm, now)
        asked = [*stalls.asked_about(swarm, stalled), *rest.asked_about(swarm, quiet)]
        standings = await memory.store.standings(list(dict.fromkeys(asked))) if asked else {}
        rest.note(swarm, quiet, standings, now)
        if stalled:
            draft = memory.draft()
            stalls.judge(draft, stalled, standings)
            await memory.commit(draft, {})

    # --- records whose retention is over ---

    async def _forget(self, what: str, id: str) -> None:
        """The record goes, and a mission's rooms and files with it."""
        self.memory.swarm.troubles.pop(AgentId(id), None)
        rooms: list[Channel] = []
        if what == "mission":
            declared = self.memory.declared.rooms.values()
            rooms = [room(f"{one.name}-{id}") for one in declared if one.scope == "mission"]
            await self._remove_files(MissionId(id))
        await self.memory.store.forget(what, id, rooms)
        self.memory.heard.forget(heard_of_sender(id, INPUTS))

    async def _remove_files(self, mission: MissionId) -> None:
        if self.files is None:
            return
        try:
            await anyio.to_thread.run_sync(self.files.remove, mission)
        except WorkspaceError as error:
            log.warning(LogEvent.MISSION_FILES_LEFT, mission=mission, why=str(error))

    # --- streams ---

    async def keep_short(self) -> None:
        """Streams are trimmed to what is unread or kept, and what was counted of them is compared;
        the supervisor's steps do not wait for it.
        """
        while True:
            await self.trim()
            await self.count()
            await anyio.sleep(TRIM_SECONDS)

    async def trim(self) -> int:
        """One pass; how many entries went."""
        memory = self.memory
        return await self.trimmer.look(memory.swarm, memory.positions, self._hosts_heard)

    async def count(self) -> None:
        await self.counts.look(self.memory.now())

    def lead_readers_past_gaps(self, draft: Draft) -> None:
        # Taken out first: what is not committed after all is found again.
        found = self.trimmer.found
        gaps, self.trimmer.found = found[:GAPS_MAX], found[GAPS_MAX:]
        for gap in gaps:
            retention.lead_past(draft, gap)
