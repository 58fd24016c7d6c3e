"""A worker: one host of thousands of mostly idle agents in one event loop.

It converges on the lineage: what was placed here is admitted, what is fenced is ended and the host gives
its word. It hears rings, and once a second asks which channels have moved: a lost ring costs that second.
Invariant: a message reaches an agent's mailbox once, in the order of its stream.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import anyio
import anyio.abc
import structlog

from swarmd.core.lineage import Agent, follows
from swarmd.core.messages import Message, from_ring, order_of
from swarmd.core.names import (
    FIRST,
    REQUESTS,
    AgentId,
    AgentState,
    Channel,
    Kind,
    Rule,
    StreamId,
    host_channel,
)
from swarmd.core.requests import GoneRequest
from swarmd.core.swarm import Host
from swarmd.core.times import LEASE_SECONDS, RENEW_SECONDS, SWEEP_SECONDS, UNWIND_SECONDS
from swarmd.core.turn import wakes
from swarmd.ports import Hold, Rings
from swarmd.runtime.agent import World, abandon_turn, take_turn
from swarmd.runtime.residents import Resident, Residents
from swarmd.runtime.steps import NotAllowedError

log = structlog.get_logger(__name__)

# Entries of one read of a stream; a longer backlog is read in several.
READ_MAX = 500
# Agents admitted, or channels read, side by side: each is a few reads, and they travel together.
SIDE_BY_SIDE_MAX = 500
# The law's own words for "not here, not now": the agent is dropped without a word to anyone.
_NOT_MINE = (Rule.LEASE, Rule.INCARNATION, Rule.FENCED, Rule.UNKNOWN_AGENT)


@dataclass(slots=True)
class Worker:
    """Run it with `run` until `stop` is set; it then starts no new turn and waits `grace` seconds."""

    world: World
    host: Host
    rings: Rings
    stop: anyio.Event
    grace_seconds: float = 8.0
    # What answers an agent's mail; another than a turn of its own only where the bus alone is measured.
    answer: Callable[[World, Resident], Awaitable[None]] = take_turn
    residents: Residents = field(default_factory=Residents)
    _head: int = 0  # the global post number up to which channels were asked for
    _changed: bool = False  # the channels to hear are no longer those heard
    _turns: anyio.CapacityLimiter | None = None
    _tasks: anyio.abc.TaskGroup | None = None
    _is_renewed: bool = False
    _doubtful: set[AgentId] = field(default_factory=set)  # given up here, perhaps wrongly

    async def run(self) -> None:
        """Owns every task of this host. Raises what the store raises when it stays away."""
        own = host_channel(self.host.id)
        self._turns = anyio.CapacityLimiter(self.world.declared.limits.turns_at_once)
        self.residents.last[own] = FIRST
        await self._renew()
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            tasks.start_soon(self._keep_lease)
            tasks.start_soon(self._listen, own)
            await self.stop.wait()
            await self._drain()
            tasks.cancel_scope.cancel()
        with anyio.move_on_after(RENEW_SECONDS, shield=True):
            await self.world.store.leave(self.host.id)

    async def _drain(self) -> None:
        """No new turns; those under way may finish. What does not is resumed from the step journal elsewhere."""
        with anyio.move_on_after(self.grace_seconds):
            while any(r.is_busy for r in self.residents.by_id.values()):  # noqa: ASYNC110 - many tasks, one bounded wait
                await anyio.sleep(0.02)

    async def _keep_lease(self) -> None:
        while True:
            await anyio.sleep(RENEW_SECONDS)
            await self._renew()

    async def _renew(self) -> None:
        is_shared = await self.world.store.register(self.host, LEASE_SECONDS)
        if not is_shared and not self._is_renewed:
            log.warning(
                "this worker's workspace is not the swarm's: it takes no agents that need files",
                hint="give all workers the same workspace volume",
            )
        self._is_renewed = True

    # --- hearing ---

    async def _listen(self, own: Channel) -> None:
        """The one task that owns the ringing connection."""
        self._head, _ = await self.world.store.moved(0)
        await self.rings.follow([own])
        await self._catch_up(own)
        next_sweep = anyio.current_time() + SWEEP_SECONDS
        while True:
            if self._changed:
                await self._follow()
            ring = await self.rings.next(max(0.0, next_sweep - anyio.current_time()))
            if isinstance(ring, tuple):
                await self._heard(*ring)
            if ring == "gap" or anyio.current_time() >= next_sweep:
                await self._sweep(own)
                next_sweep = anyio.current_time() + SWEEP_SECONDS

    async def _follow(self) -> None:
        self._changed = False
        await self.rings.follow([host_channel(self.host.id), *self.residents.channels()])

    async def _sweep(self, own: Channel) -> None:
        """What moved since we last asked, ring or no ring."""
        await self._take_back()
        self._head, channels = await self.world.store.moved(self._head)
        mine = [channel for channel in channels if channel in self.residents.readers]
        for start in range(0, len(mine), SIDE_BY_SIDE_MAX):
            async with anyio.create_task_group() as tasks:
                for channel in mine[start : start + SIDE_BY_SIDE_MAX]:
                    tasks.start_soon(self._catch_up, channel)
        if own in channels:
            await self._catch_up(own)

    async def _heard(self, channel: Channel, line: str) -> None:
        ring = from_ring(channel, line)
        if ring is None:
            return
        known = self.residents.last.get(channel, FIRST)
        if order_of(ring.id) <= order_of(known):
            return
        # Whoever has seen `prev` has everything before: the ring itself is the message. A channel's first is read
        # from its stream all the same: anybody can name a beginning, and a ring must not lead us past the stream.
        if ring.message is not None and ring.prev == known != FIRST:
            await self._deliver(channel, [ring.message])
        else:
            await self._catch_up(channel)

    async def _catch_up(self, channel: Channel) -> None:
        while True:
            found = await self.world.store.read(channel, self.residents.last.get(channel, FIRST), READ_MAX)
            await self._deliver(channel, found)
            if len(found) < READ_MAX:
                return

    async def _deliver(self, channel: Channel, messages: Sequence[Message]) -> None:
        for message in messages:
            self.residents.note(channel, message.id)
            if channel == host_channel(self.host.id):
                await self._converge(message)
                continue
            for resident in self.residents.readers_of(channel):
                if resident.put(message, self.world.declared.rooms):
                    self._wake(resident)

    # --- converging on the lineage ---

    async def _converge(self, message: Message) -> None:
        if message.kind is Kind.PLACED:
            ids = message.data.get("agents")
            await self._take(
                [AgentId(id) for id in ids if isinstance(id, str)] if isinstance(ids, list) else []
            )
        elif message.kind is Kind.FENCED:
            assert self._tasks is not None
            self._tasks.start_soon(self._end_below, str(message.data.get("segment", "")))

    async def _take(self, ids: Sequence[AgentId]) -> None:
        """Admit those of them that the lineage places here."""
        records = [r for r in await self.world.store.agents(ids) if r is not None]
        mine = [r for r in records if r.host == self.host.id and r.state is AgentState.LIVE]
        for start in range(0, len(mine), SIDE_BY_SIDE_MAX):
            await self._admit_all(mine[start : start + SIDE_BY_SIDE_MAX])

    async def _take_back(self) -> None:
        """A lease that lapsed and was renewed before anybody moved the agents: nobody will place them again."""
        if self._doubtful:
            doubtful, self._doubtful = self._doubtful, set()
            await self._take(sorted(doubtful))

    async def _admit_all(self, agents: Sequence[Agent]) -> None:
        admitted: list[Resident] = []
        # Of channels that others here read already, `last` is how far those have heard: it is not ours to move.
        heard = {channel for channel, readers in self.residents.readers.items() if readers}
        ends: dict[Channel, StreamId] = {}
        async with anyio.create_task_group() as tasks:
            for agent in agents:
                tasks.start_soon(self._admit, agent, admitted)
        # Heard first, then read from their own positions: what comes between is in a ring or in the sweep.
        await self._follow()
        async with anyio.create_task_group() as tasks:
            for resident in admitted:
                tasks.start_soon(self._backlog, resident, ends)
        for channel, end in ends.items():
            if channel in self.residents.readers and (
                channel not in heard or channel not in self.residents.last
            ):
                self.residents.last[channel] = end

    async def _admit(self, agent: Agent, admitted: list[Resident]) -> None:
        known = self.residents.by_id.get(agent.id)
        if known is not None and known.hold.lease == agent.lease:
            return
        self.residents.remove(agent.id)
        resumed = await self.world.store.resume(agent.id)
        channels = follows(agent, self.world.declared.rooms)
        hold = Hold(agent.id, agent.path, agent.incarnation, agent.lease, self.host.id)
        seen = {channel: resumed.positions.get(channel, FIRST) for channel in channels}
        resident = Resident(agent, hold, resumed.turn, resumed.memory, seen, dict(resumed.batch))
        self.residents.add(resident)
        admitted.append(resident)

    async def _backlog(self, resident: Resident, ends: dict[Channel, StreamId]) -> None:
        """What waits on its channels, oldest first, into the mailbox.

        Into `ends` goes how far each channel was read by all who came: the least of them.
        """
        waiting: list[Message] = []
        for channel, position in list(resident.seen.items()):
            found = await self._read_from(channel, position)
            waiting += found
            end = found[-1].id if found else position
            ends[channel] = min(ends.get(channel, end), end, key=order_of)
        waiting.sort(key=lambda message: order_of(message.id))
        for message in waiting:
            resident.put(message, self.world.declared.rooms)
        if resident.is_awake or resident.batch:
            resident.is_awake = True
            self._wake(resident)

    async def _read_from(self, channel: Channel, position: StreamId) -> list[Message]:
        found: list[Message] = []
        while True:
            after = found[-1].id if found else position
            more = await self.world.store.read(channel, after, READ_MAX)
            found += more
            if len(more) < READ_MAX:
                return found

    async def _end_below(self, segment: str) -> None:
        """Cancel what runs below a fence, see it gone, then give the host's word."""
        below = self.residents.below(segment)
        for resident in below:
            resident.is_leaving = True
            if resident.scope is not None:
                resident.scope.cancel()
        with anyio.move_on_after(UNWIND_SECONDS):
            while any(r.is_busy for r in below):  # noqa: ASYNC110 - many tasks, one bounded wait
                await anyio.sleep(0.01)
        stuck = [resident for resident in below if resident.is_busy]
        for resident in below:
            if not resident.is_busy:
                self._drop(resident)
        if stuck:
            log.error("tasks ignore their end: no word is given for them", segment=segment, agents=len(stuck))
            return
        word = Message(
            sender=AgentId(self.host.id), kind=Kind.REQUEST, at=self.world.stamp(), text="gone",
            data=GoneRequest(segment=segment, agents=len(below)).model_dump(),
        )  # fmt: skip
        await self.world.store.post(REQUESTS, word, key=f"gone-{self.host.id}-{segment}-{self.world.stamp()}")

    def _drop(self, resident: Resident) -> None:
        if self.residents.by_id.get(resident.agent.id) is resident:
            self.residents.remove(resident.agent.id)
            self._changed = True

    # --- turns ---

    def _wake(self, resident: Resident) -> None:
        if resident.is_busy or resident.is_leaving or self.stop.is_set():
            return
        assert self._tasks is not None
        resident.is_busy = True
        self._tasks.start_soon(self._answer, resident)

    async def _answer(self, resident: Resident) -> None:
        """Turns of one agent, one after the other, while something wants one."""
        assert self._turns is not None
        try:
            with anyio.CancelScope() as scope:
                resident.scope = scope
                while resident.is_awake and not (resident.is_leaving or self.stop.is_set()):
                    async with self._turns:
                        await self._turn(resident)
                    resident.is_awake = self._wants_a_turn(resident)
        except NotAllowedError as no:
            self._given_up(resident, no)
        except Exception:
            # Nothing of it can be committed. The host and its thousands of others go on.
            log.exception("an agent could not be given up", agent=resident.agent.id)
            self._drop(resident)
        finally:
            resident.scope = None
            resident.is_busy = False
            # Its end was waited for in vain, and no word was given for it: now it has gone after all.
            if resident.is_leaving:
                self._drop(resident)

    async def _turn(self, resident: Resident) -> None:
        try:
            await self.answer(self.world, resident)
        except NotAllowedError:
            raise
        except Exception as error:
            # A bug met in one agent's turn ends that agent. What came meanwhile is still answered: a seat
            # serves other missions too.
            log.exception("an agent's turn failed", agent=resident.agent.id)
            await abandon_turn(self.world, resident, f"{type(error).__name__} in its turn")

    def _wants_a_turn(self, resident: Resident) -> bool:
        rooms = self.world.declared.rooms
        return any(wakes(resident.agent, message, rooms) for message in resident.mailbox or ())

    def _given_up(self, resident: Resident, no: NotAllowedError) -> None:
        level = log.info if no.rule in _NOT_MINE else log.warning
        level("an agent may not go on here", agent=resident.agent.id, rule=no.rule.value, detail=no.detail)
        if no.rule is not Rule.FENCED:
            self._drop(resident)
            # Asked about at the next sweep, not now: only the task that listens may admit.
            self._doubtful.add(resident.agent.id)
