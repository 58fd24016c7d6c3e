"""Taking agents up: those that the lineage places on this host, with what waits for them."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import dataclass

import anyio
import structlog

from swarmd.core.agent.output_limits import guard_of
from swarmd.core.agent.waiting import wait_of
from swarmd.core.model.lineage import Agent, follows
from swarmd.core.model.messages import Message, order_of
from swarmd.core.model.names import FIRST, AgentId, AgentState, Channel, StreamId
from swarmd.errors import WrongKeyError
from swarmd.log_events import LogEvent
from swarmd.ports.stores import Resumed
from swarmd.runtime.mailboxes import Resident
from swarmd.runtime.worker.context import WorkerContext
from swarmd.runtime.worker.delivery import Delivery
from swarmd.runtime.worker.turns import Turns

log = structlog.get_logger(__name__)

# Agents admitted, or channels read, side by side: each is a few reads, and they travel together.
SIDE_BY_SIDE_MAX = 500
# Agents after whose coming this process's memory is taken for settled: a full collection of garbage
# would otherwise look at each of them each time, a quarter of a second for a hundred thousand.
SETTLED_AT_ONCE = 1_000
# Whom a host holds: an ending one is told of by its fence.
_RESIDENT = (AgentState.LIVE, AgentState.FROZEN)

Backlog = dict[tuple[Channel, StreamId], list[Message]]


@dataclass(slots=True)
class Admission:
    context: WorkerContext
    delivery: Delivery
    turns: Turns
    _unsettled: int = 0  # agents that came since this process's memory was taken for settled

    async def take(self, ids: Sequence[AgentId]) -> None:
        """Admit those of them that the lineage places here; of a frozen one the turn waits.

        Nobody else says again that a frozen agent is this host's: left out, it would be nobody's
        when it is thawed.
        """
        host = self.context.host.id
        records = [r for r in await self.context.world.store.agents(ids) if r is not None]
        mine = [r for r in records if r.host == host and r.state in _RESIDENT]
        for start in range(0, len(mine), SIDE_BY_SIDE_MAX):
            await self._admit_all(mine[start : start + SIDE_BY_SIDE_MAX])

    async def take_back(self) -> None:
        """A lease that lapsed and was renewed before anybody moved the agents: nobody will place
        them again.
        """
        if self.context.doubtful:
            doubtful, self.context.doubtful = self.context.doubtful, set()
            await self.take(sorted(doubtful))

    async def begin_anew(self) -> None:
        """A server that lost its last moments has agents where they were before turns that were
        committed here, and nobody would wake them. Who is at rest is taken up again as the store
        has it; who is busy is told so by the commit of its turn. The own channel is read again from
        before: what came of its last orders may be lost.
        """
        log.warning(LogEvent.SERVER_REPLACED)
        for resident in list(self.context.residents.by_id.values()):
            if not resident.is_busy:
                self.context.drop(resident)
                self.context.doubtful.add(resident.agent.id)
        await self.delivery.read_orders_again()

    async def _admit_all(self, agents: Sequence[Agent]) -> None:
        residents = self.context.residents
        admitted = await self._resume_all(agents)
        # Of channels that others here read already, `last` is how far those have heard: it is not
        # ours to move.
        last = residents.last
        heard = {c for r in admitted for c in r.seen if residents.is_read(c) and c in last}
        for resident in admitted:
            residents.add(resident)
        # Heard first, then read from their own positions: what comes between is in a ring or in the
        # sweep.
        await self.delivery.follow()
        backlog = await self._read_backlog(admitted)
        for resident in admitted:
            self._start(resident, backlog)
        for channel, end in _ends_of(backlog).items():
            if channel in residents.readers and channel not in heard:
                last[channel] = end
        self._settle(len(admitted))

    async def _resume_all(self, agents: Sequence[Agent]) -> list[Resident]:
        admitted: list[Resident] = []
        async with anyio.create_task_group() as tasks:
            for agent in agents:
                tasks.start_soon(self._admit, agent, admitted)
        return admitted

    async def _admit(self, agent: Agent, admitted: list[Resident]) -> None:
        context = self.context
        known = context.residents.by_id.get(agent.id)
        if known is not None and known.hold.lease == agent.lease:
            return
        context.residents.remove(agent.id)
        try:
            resumed = await context.world.store.resume(agent.id)
        except (ValueError, TypeError, KeyError, WrongKeyError):
            # Somebody wrote over it. It has no turn here; the host and its thousands of others go
            # on.
            log.exception(LogEvent.AGENT_STATE_UNREADABLE, agent=agent.id)
            return
        channels = follows(agent, context.world.declared.rooms)
        resident = _resident_of(agent, resumed, channels)
        # Whoever comes under the brake is let go on by its release, as those that were here.
        resident.is_held = context.is_braked or agent.state is AgentState.FROZEN
        admitted.append(resident)

    async def _read_backlog(self, residents: Sequence[Resident]) -> Backlog:
        """What waits on their channels after their positions. Who is as far as another in a room
        has it from one reading.
        """
        places = list(
            dict.fromkeys(place for resident in residents for place in resident.seen.items())
        )
        found: Backlog = {}

        async def read(place: tuple[Channel, StreamId]) -> None:
            found[place] = await self.delivery.read_from(*place)

        for start in range(0, len(places), SIDE_BY_SIDE_MAX):
            async with anyio.create_task_group() as tasks:
                for place in places[start : start + SIDE_BY_SIDE_MAX]:
                    tasks.start_soon(read, place)
        return found

    def _start(self, resident: Resident, backlog: Backlog) -> None:
        self.delivery.fill(resident, backlog)
        if resident.is_awake or resident.batch:
            # Whoever had it before may have tried what waits here, and gone with it.
            resident.is_awake = resident.is_doubtful = True
            self.turns.wake(resident)
        else:
            resident.rest(self.context.world.declared.rooms)

    def _settle(self, admitted: int) -> None:
        """What has come to stay is not looked at by each full collection of garbage any more."""
        self._unsettled += admitted
        if self._unsettled >= SETTLED_AT_ONCE:
            self._unsettled = 0
            gc.freeze()


def _resident_of(agent: Agent, resumed: Resumed, channels: Sequence[Channel]) -> Resident:
    resident = Resident(
        agent,
        resumed.turn,
        resumed.memory,
        {channel: resumed.positions.get(channel, FIRST) for channel in channels},
        _heard=resumed.heard,
        guard=guard_of(resumed.guard),
        is_done=resumed.is_done,
        taint=resumed.taint,
        alone=resumed.alone,
        wait=wait_of(resumed.wait),
    )
    if resumed.batch:
        resident.batch = dict(resumed.batch)
    return resident


def _ends_of(backlog: Backlog) -> dict[Channel, StreamId]:
    """How far each channel was read. By several who came, from places of their own: the least of
    where they are now.
    """
    ends: dict[Channel, StreamId] = {}
    for (channel, position), messages in backlog.items():
        end = messages[-1].id if messages else position
        ends[channel] = min(ends.get(channel, end), end, key=order_of)
    return ends
