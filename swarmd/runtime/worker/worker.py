"""A worker: one host of thousands of mostly idle agents in one event loop.

It converges on the lineage: what was placed here is admitted, what is fenced is ended and the host
gives its word. It hears rings, and once a second asks which channels have moved: a lost ring costs
that second. Invariant: a message reaches an agent's mailbox once, in the order of its stream.
"""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TypeVar

import anyio
import anyio.abc
import structlog

from swarmd.core.agent.output_limits import guard_of
from swarmd.core.agent.turn import wakes
from swarmd.core.bus.envelope import Heard
from swarmd.core.model.channels import REQUESTS, host_channel
from swarmd.core.model.lineage import Agent, Stop, StopKind, follows
from swarmd.core.model.messages import Kind, Message, order_of, why_unreadable
from swarmd.core.model.names import FIRST, AgentId, AgentState, Authority, Channel, StreamId
from swarmd.core.model.records import Host
from swarmd.core.model.refusals import NO_MONEY, Rule
from swarmd.core.model.requests import GoneRequest, QuietRequest
from swarmd.core.model.timings import (
    LEASE_SECONDS,
    RENEW_SECONDS,
    SWEEP_SECONDS,
    UNWIND_SECONDS,
    epoch_of,
)
from swarmd.errors import WrongKeyError
from swarmd.ports.pubsub import Rings
from swarmd.ports.stores import Attempt, RefusedMail
from swarmd.runtime.mailboxes import Resident, Residents
from swarmd.runtime.turn.step_journal import NotAllowedError
from swarmd.runtime.turn.turn import abandon_turn, take_turn, tell_broke
from swarmd.runtime.turn.world import World

log = structlog.get_logger(__name__)
T = TypeVar("T")

# Entries of one read of a stream; a longer backlog is read in several.
READ_MAX = 500
# Agents admitted, or channels read, side by side: each is a few reads, and they travel together.
SIDE_BY_SIDE_MAX = 500
# Agents after whose coming this process's memory is taken for settled: a full collection of garbage
# would otherwise look at each of them each time, a quarter of a second for a hundred thousand.
SETTLED_AT_ONCE = 1_000
# The law's own words for "not here, not now": the agent is dropped without a word to anyone.
_NOT_MINE = (Rule.LEASE, Rule.INCARNATION, Rule.FENCED, Rule.UNKNOWN_AGENT)
# "Not now": the turn waits as far as it came. Its steps are journaled, so nothing of it is paid
# again.
_HELD = (Rule.FROZEN, Rule.HALTED, Rule.DRAINING, Rule.NO_LEAD, *NO_MONEY)
# Whom a host holds: an ending one is told of by its fence.
_RESIDENT = (AgentState.LIVE, AgentState.FROZEN)
# Between two attempts of a turn that failed: long enough for a disk or a lock that was away for a
# moment.
RETRY_SECONDS = 0.5
# More than a server that writes its log once a second can lose.
LOST_MILLISECONDS = 10_000
# In a burst the clock is looked at once for so many: some milliseconds of a burst.
RINGS_BETWEEN_LOOKS = 64
# How often a host looks whether what ignored its end has gone after all.
LATE_SECONDS = 0.5


@dataclass(slots=True)
class Worker:
    """Run it with `run` until `stop` is set; it then starts no new turn and waits `grace`
    seconds.
    """

    world: World
    host: Host
    rings: Rings
    stop: anyio.Event
    grace_seconds: float = 8.0
    # What answers an agent's mail; another than a turn of its own only where the bus alone is
    # measured.
    answer: Callable[[World, Resident], Awaitable[None]] = take_turn
    residents: Residents = field(default_factory=Residents)
    _head: int = 0  # the global post number up to which channels were asked for
    _unsettled: int = 0  # agents that came since this process's memory was taken for settled
    _changed: bool = False  # the channels to hear are no longer those heard
    _own: Channel = field(init=False)
    _orders: list[Message] = field(
        default_factory=list
    )  # heard on the host's own channel, and not yet heeded
    _ready: deque[Resident] = field(
        default_factory=deque
    )  # want a turn, and nobody has taken them up
    _idle: deque[anyio.Event] = field(default_factory=deque)  # turners that wait for a resident
    _turners: int = 0
    _tasks: anyio.abc.TaskGroup | None = None
    _is_renewed: bool = False
    is_braked: bool = False  # halted by this machine's own brake, whatever the server says
    _words: int = 0
    _attempts: int = 0
    _thaws: int = 0
    _server_run: str = ""
    _is_doubting: bool = (
        False  # the server is another process: what is remembered may not have been kept
    )
    _doubtful: set[AgentId] = field(default_factory=set)  # given up here, perhaps wrongly
    _leaderless: set[AgentId] = field(default_factory=set)  # their turns wait until somebody leads
    _heard_here: Heard = field(
        default_factory=Heard
    )  # on this host's own channel, which nobody had before
    _refused: dict[tuple[Channel, Rule], RefusedMail] = field(
        default_factory=dict
    )  # and not yet recorded

    def __post_init__(self) -> None:
        self._own = host_channel(self.host.id)

    async def run(self) -> None:
        """Owns every task of this host. Raises what the store raises when it stays away."""
        own = self._own
        self.residents.last[own] = FIRST
        await _when_right(self._renew)
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            tasks.start_soon(self._keep_lease)
            tasks.start_soon(self._listen, own)
            await self.stop.wait()
            await self._drain()
            cut = [r for r in self.residents.by_id.values() if r.is_busy]
            tasks.cancel_scope.cancel()
        with anyio.move_on_after(RENEW_SECONDS, shield=True):
            async with anyio.create_task_group() as telling:
                for resident in cut:
                    # It was this host's end and not the mail's doing.
                    telling.start_soon(self._count_attempt, resident, "cut")
            with suppress(WrongKeyError):
                await self._record_refused()
            with suppress(WrongKeyError):
                await self.world.store.leave(self.host.id)

    async def _drain(self) -> None:
        """No new turns; those under way may finish. What does not is resumed from the step
        journal elsewhere.
        """
        with anyio.move_on_after(self.grace_seconds):
            while any(r.is_busy for r in self.residents.by_id.values()):  # noqa: ASYNC110 - many tasks, one bounded wait
                await anyio.sleep(0.02)

    async def _keep_lease(self) -> None:
        while True:
            await anyio.sleep(RENEW_SECONDS)
            await _when_right(self._renew)

    async def _renew(self) -> None:
        # With how far it has heard its own channel: what lies before may go.
        now = replace(
            self.host, busy=self.residents.busy(), heard=self.residents.last.get(self._own, FIRST)
        )
        is_shared = await self.world.store.register(now, LEASE_SECONDS)
        if not is_shared and not self._is_renewed:
            log.warning(
                "this worker's workspace is not the swarm's: it takes no agents that need files",
                hint="give all workers the same workspace volume",
            )
        self._is_renewed = True
        run = await self.world.store.server_run()
        self._is_doubting = self._is_doubting or self._server_run not in ("", run)
        self._server_run = run

    # --- hearing ---

    async def _listen(self, own: Channel) -> None:
        """The one task that owns the ringing connection."""
        self._head, _ = await _when_right(lambda: self.world.store.moved(0))
        await self._look_at_lead()
        await self.rings.follow([own])
        await self._catch_up(own)
        next_sweep = anyio.current_time() + SWEEP_SECONDS
        heard = 0  # since the clock was last looked at
        while True:
            if self._changed:
                await self._follow()
            ring = await self.rings.next(0)
            if ring is None:
                ring = await self.rings.next(max(0.0, next_sweep - anyio.current_time()))
            heard = (heard + 1) % RINGS_BETWEEN_LOOKS if isinstance(ring, tuple) else 0
            if isinstance(ring, tuple):
                await self._hear(*ring)
            if ring == "gap" or (heard == 0 and anyio.current_time() >= next_sweep):
                # From its beginning: one that takes long makes the next no later.
                next_sweep = anyio.current_time() + SWEEP_SECONDS
                await _when_right(lambda: self._sweep(own))

    async def _follow(self) -> None:
        self._changed = False
        await self.rings.follow(*self.residents.changes())

    async def _sweep(self, own: Channel) -> None:
        """What moved since we last asked, ring or no ring."""
        if self._is_doubting:
            self._is_doubting = False
            await self._begin_anew()
        await self._look_at_lead()
        await self._take_back()
        await self._record_refused()
        self._head, channels = await self.world.store.moved(self._head)
        self.residents.let_rest(self.world.declared.rooms)
        mine = [channel for channel in channels if self.residents.is_read(channel)]
        for start in range(0, len(mine), SIDE_BY_SIDE_MAX):
            async with anyio.create_task_group() as tasks:
                for channel in mine[start : start + SIDE_BY_SIDE_MAX]:
                    tasks.start_soon(self._catch_up, channel)
        if own in channels:
            await self._catch_up(own)

    async def _look_at_lead(self) -> None:
        """How long calls may begin, and where somebody leads again, whose turns go on."""
        asked = anyio.current_time()
        seconds = await self.world.store.led_for()
        self.world.lead.until = asked + seconds
        if not seconds or not self._leaderless:
            return
        waiting, self._leaderless = self._leaderless, set()
        log.info("a supervisor leads again; turns that waited for one go on", agents=len(waiting))
        by_id = self.residents.by_id
        await self._let_go_on([by_id[id] for id in waiting if id in by_id])

    async def _hear(self, channel: Channel, line: str) -> None:
        if not self._heard(channel, line):
            await self._catch_up(channel)
        if self._orders:
            orders, self._orders = self._orders, []
            for order in orders:
                await self._converge(order)

    def _heard(self, channel: Channel, line: str) -> bool:
        """Take what rang; false where the stream has to be read instead."""
        ring = self.world.store.ring(channel, line)
        if ring is None:
            self._refuse(channel, Rule.ENVELOPE_FORGED)
            return True
        known = self.residents.read_until(channel)
        if order_of(ring.id) <= order_of(known):
            return True
        # Whoever has seen `prev` has everything before: the ring itself is the message. A channel's
        # first is read from its stream all the same: anybody can name a beginning, and a ring must
        # not lead us past the stream.
        if ring.message is None or ring.prev != known or known == FIRST:
            return False
        return self._take_rung(channel, ring.message)

    def _take_rung(self, channel: Channel, message: Message) -> bool:
        """The ids are anybody's words also where the message is authentic. Only what is news to
        somebody here may therefore move our place in the stream: an old message would, as often as
        it is rung again."""
        is_news, refused = False, None
        if channel == self._own:
            refused = self._heard_here.accepts(message)
            if refused is None:
                is_news = True
                self._orders.append(message)
        for resident in self.residents.readers_of(channel):
            taken = resident.take_rung(message, self.world.declared.rooms)
            self.residents.was_up(resident)
            if isinstance(taken, Rule):
                refused = taken
            elif taken is not None:
                is_news = True
                if taken:
                    self._wake(resident)
        if is_news:
            self.residents.note(channel, message.id)
        if refused is not None:
            self._refuse(channel, refused)
        return is_news or refused is not None

    def _refuse(self, channel: Channel, rule: Rule, id: StreamId = StreamId("")) -> None:  # noqa: B008 - a cast
        """Counted here and told once a second: a flood of forgeries is not to be a flood of
        facts.
        """
        told = self._refused.get((channel, rule), RefusedMail(channel, rule, id, 0))
        self._refused[channel, rule] = replace(told, first=told.first or id, count=told.count + 1)

    async def _record_refused(self) -> None:
        refused, self._refused = list(self._refused.values()), {}
        if refused:
            log.warning(
                "what was no message of this swarm's was refused",
                messages=sum(mail.count for mail in refused),
                channels=sorted({m.channel for m in refused}),
            )
            try:
                await self.world.store.record_refused(self.host.id, refused, self.world.stamp())
            except WrongKeyError:
                self._refused = {
                    (mail.channel, mail.rule): mail for mail in refused
                } | self._refused
                raise

    async def _catch_up(self, channel: Channel) -> None:
        while True:
            found = await self.world.store.read(
                channel, self.residents.read_until(channel), READ_MAX
            )
            await self._deliver(channel, found)
            if len(found) < READ_MAX:
                return

    async def _deliver(self, channel: Channel, messages: Sequence[Message]) -> None:
        for message in messages:
            self.residents.note(channel, message.id)
            if message.kind is Kind.UNREADABLE:
                self._refuse(channel, why_unreadable(message), message.id)
            elif channel == self._own:
                refused = self._heard_here.accepts(message)
                if refused is None:
                    await self._converge(message)
                else:
                    self._refuse(channel, refused, message.id)
                continue
            for resident in self.residents.readers_of(channel):
                if self._put(resident, message):
                    self._wake(resident)

    def _put(self, resident: Resident, message: Message) -> bool:
        """Into its mailbox; true where that wakes it."""
        answer = resident.put(message, self.world.declared.rooms)
        self.residents.was_up(resident)
        if isinstance(answer, Rule):
            self._refuse(message.channel, answer, message.id)
            return False
        return answer

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
        elif message.kind is Kind.STOPPED:
            stop = _stop_of(message)
            if stop is not None:
                assert self._tasks is not None
                under = [r for r in self.residents.by_id.values() if stop.holds(r.agent)]
                # At once and not by the task: the next message that is read may be its thaw.
                if stop.kind is StopKind.HALT:
                    self._cancel(under)
                self._tasks.start_soon(self._quieten, stop, under)
        elif message.kind is Kind.THAWED:
            stop = Stop(message.text, StopKind.FREEZE, Authority.OPERATOR, "", "", 0.0)
            self._thaws += 1
            await self._let_go_on([r for r in self.residents.by_id.values() if stop.holds(r.agent)])

    async def _take(self, ids: Sequence[AgentId]) -> None:
        """Admit those of them that the lineage places here; of a frozen one the turn waits.

        Nobody else says again that a frozen agent is this host's: left out, it would be nobody's
        when it is thawed.
        """
        records = [r for r in await self.world.store.agents(ids) if r is not None]
        mine = [r for r in records if r.host == self.host.id and r.state in _RESIDENT]
        for start in range(0, len(mine), SIDE_BY_SIDE_MAX):
            await self._admit_all(mine[start : start + SIDE_BY_SIDE_MAX])

    async def _take_back(self) -> None:
        """A lease that lapsed and was renewed before anybody moved the agents: nobody will place
        them again.
        """
        if self._doubtful:
            doubtful, self._doubtful = self._doubtful, set()
            await self._take(sorted(doubtful))

    async def _begin_anew(self) -> None:
        """A server that lost its last moments has agents where they were before turns that were
        committed here, and nobody would wake them. Who is at rest is taken up again as the store
        has it; who is busy is told so by the commit of its turn. The own channel is read again from
        before: what came of its last orders may be lost.
        """
        log.warning("the server is another process than before; agents are taken up as it has them")
        for resident in list(self.residents.by_id.values()):
            if not resident.is_busy:
                self._drop(resident)
                self._doubtful.add(resident.agent.id)
        milliseconds, _ = order_of(self.residents.last.get(self._own, FIRST))
        self.residents.last[self._own] = StreamId(f"{max(0, milliseconds - LOST_MILLISECONDS)}-0")
        self._heard_here = Heard()
        await self._catch_up(self._own)

    async def _admit_all(self, agents: Sequence[Agent]) -> None:
        admitted: list[Resident] = []
        async with anyio.create_task_group() as tasks:
            for agent in agents:
                tasks.start_soon(self._admit, agent, admitted)
        # Of channels that others here read already, `last` is how far those have heard: it is not
        # ours to move.
        last = self.residents.last
        heard = {c for r in admitted for c in r.seen if self.residents.is_read(c) and c in last}
        for resident in admitted:
            self.residents.add(resident)
        # Heard first, then read from their own positions: what comes between is in a ring or in the
        # sweep.
        await self._follow()
        found = await self._backlog(admitted)
        for resident in admitted:
            self._take_up(resident, found)
        ends: dict[Channel, StreamId] = {}
        for (channel, position), messages in found.items():
            end = messages[-1].id if messages else position
            # Read by several who came, from places of their own: the least of where they are now.
            ends[channel] = min(ends.get(channel, end), end, key=order_of)
        for channel, end in ends.items():
            if channel in self.residents.readers and channel not in heard:
                last[channel] = end
        self._settle(len(admitted))

    def _settle(self, admitted: int) -> None:
        """What has come to stay is not looked at by each full collection of garbage any more."""
        self._unsettled += admitted
        if self._unsettled >= SETTLED_AT_ONCE:
            self._unsettled = 0
            gc.freeze()

    async def _admit(self, agent: Agent, admitted: list[Resident]) -> None:
        known = self.residents.by_id.get(agent.id)
        if known is not None and known.hold.lease == agent.lease:
            return
        self.residents.remove(agent.id)
        try:
            resumed = await self.world.store.resume(agent.id)
        except (ValueError, TypeError, KeyError, WrongKeyError):
            # Somebody wrote over it. It has no turn here; the host and its thousands of others go
            # on.
            log.exception(
                "an agent's own state cannot be read, and it is not taken", agent=agent.id
            )
            return
        channels = follows(agent, self.world.declared.rooms)
        seen = {channel: resumed.positions.get(channel, FIRST) for channel in channels}
        resident = Resident(
            agent,
            resumed.turn,
            resumed.memory,
            seen,
            _heard=resumed.heard,
            guard=guard_of(resumed.guard),
            is_done=resumed.is_done,
            taint=resumed.taint,
            alone=resumed.alone,
        )
        if resumed.batch:
            resident.batch = dict(resumed.batch)
        # Whoever comes under the brake is let go on by its release, as those that were here.
        resident.is_held = self.is_braked or agent.state is AgentState.FROZEN
        admitted.append(resident)

    async def _backlog(
        self, residents: Sequence[Resident]
    ) -> dict[tuple[Channel, StreamId], list[Message]]:
        """What waits on their channels after their positions. Who is as far as another in a room
        has it from one reading.
        """
        places = list(
            dict.fromkeys(place for resident in residents for place in resident.seen.items())
        )
        found: dict[tuple[Channel, StreamId], list[Message]] = {}

        async def read(place: tuple[Channel, StreamId]) -> None:
            found[place] = await self._read_from(*place)

        for start in range(0, len(places), SIDE_BY_SIDE_MAX):
            async with anyio.create_task_group() as tasks:
                for place in places[start : start + SIDE_BY_SIDE_MAX]:
                    tasks.start_soon(read, place)
        return found

    def _take_up(
        self, resident: Resident, found: Mapping[tuple[Channel, StreamId], Sequence[Message]]
    ) -> None:
        """Into its mailbox, oldest first."""
        waiting = [message for place in resident.seen.items() for message in found[place]]
        waiting.sort(key=lambda message: order_of(message.id))
        for message in waiting:
            if message.kind is Kind.UNREADABLE:
                self._refuse(message.channel, why_unreadable(message), message.id)
            self._put(resident, message)
        if resident.is_awake or resident.batch:
            # Whoever had it before may have tried what waits here, and gone with it.
            resident.is_awake = resident.is_doubtful = True
            self._wake(resident)
        else:
            resident.rest(self.world.declared.rooms)

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
        stuck = await self._wait_until_idle(below, UNWIND_SECONDS)
        for resident in below:
            if not resident.is_busy:
                self._drop(resident)
        if stuck:
            log.error("tasks ignore their end", segment=segment, agents=len(stuck))
        await self._give_word(GoneRequest(segment=segment, agents=len(below), stuck=_doing(stuck)))
        if stuck:
            while any(resident.is_busy for resident in stuck):  # noqa: ASYNC110 - it ends with this host at the latest
                await anyio.sleep(LATE_SECONDS)
            await self._give_word(GoneRequest(segment=segment, agents=len(stuck), is_late=True))

    async def _quieten(self, stop: Stop, under: Sequence[Resident]) -> None:
        """See what a stop holds come to rest, as firmly as it says, and give the host's word of
        what did not.

        The mark itself is in the store: nothing begins under it, whatever happens here.
        """
        seconds = UNWIND_SECONDS
        if stop.kind is StopKind.DRAIN:
            # Of a clock that is behind the supervisor's, what is left would be more than the whole
            # grace.
            left = stop.until - epoch_of(self.world.stamp())
            seconds = min(max(0.0, left), max(0.0, stop.until - stop.at))
        busy = await self._wait_until_idle(under, seconds)
        word = QuietRequest(target=stop.target, at=stop.at, agents=len(under), busy=_doing(busy))
        await self._give_word(word)

    def _cancel(self, residents: Sequence[Resident]) -> None:
        """Their turns are cut where they stand, and go on from their step journal when they may."""
        for resident in residents:
            resident.is_held = True
            if resident.scope is not None:
                resident.scope.cancel()

    async def _wait_until_idle(
        self, residents: Sequence[Resident], seconds: float
    ) -> list[Resident]:
        """Those that are still at it when the time is over."""
        with anyio.move_on_after(seconds):
            while any(r.is_busy for r in residents):  # noqa: ASYNC110 - many tasks, one bounded wait
                await anyio.sleep(0.01)
        return [resident for resident in residents if resident.is_busy]

    async def _give_word(self, word: GoneRequest | QuietRequest) -> None:
        message = Message(
            sender=AgentId(self.host.id),
            kind=Kind.REQUEST,
            at=self.world.stamp(),
            text=word.type,
            data=word.model_dump(),
        )
        # One word of one host: a repeated write of it is the same, a second word is another.
        self._words += 1
        key = f"{word.type}-{self.host.id}-{self._words}"
        await _when_right(lambda: self.world.store.post(REQUESTS, message, key=key))

    async def _let_go_on(self, residents: Sequence[Resident]) -> None:
        """A held turn is taken up with exactly the mail that it began with."""
        for resident in residents:
            if not resident.is_held or self.is_braked:
                continue
            if not resident.is_busy:
                await self._uncount(resident)
                resident.batch = dict((await self.world.store.resume(resident.agent.id)).batch)
            # The brake may have been set meanwhile: its release asks again.
            resident.is_held = self.is_braked
            resident.is_awake = (
                resident.is_awake or bool(resident.batch) or self._wants_a_turn(resident)
            )
            if resident.is_awake:
                self._wake(resident)

    # --- the brake: a halt that needs no server ---

    async def brake(self) -> tuple[int, dict[str, str]]:
        """Cut every turn of this host and begin no other; how many agents it has, and which
        ignored it.
        """
        self.is_braked = True
        here = list(self.residents.by_id.values())
        self._cancel(here)
        return len(here), _doing(await self._wait_until_idle(here, UNWIND_SECONDS))

    async def release(self) -> None:
        """Go on, but for what a mark in the store still stops."""
        self.is_braked = False
        await self._let_go_on(list(self.residents.by_id.values()))

    def _drop(self, resident: Resident) -> None:
        if self.residents.by_id.get(resident.agent.id) is resident:
            self.residents.remove(resident.agent.id)
            self._changed = True

    # --- turns ---

    def _wake(self, resident: Resident) -> None:
        is_kept = resident.is_held or self.is_braked
        if resident.is_busy or resident.is_leaving or is_kept or self.stop.is_set():
            return
        assert self._tasks is not None
        resident.is_busy = True
        self._ready.append(resident)
        if self._idle:
            self._idle.popleft().set()
        elif self._turners < self.world.declared.limits.turns_at_once:
            self._turners += 1
            self._tasks.start_soon(self._take_turns)

    async def _take_turns(self) -> None:
        """One of the few that take turns for all: they stay, for to start a task, and to make a
        scope to cancel, costs more than the rest of a small turn."""
        while True:
            with anyio.CancelScope() as scope:
                # Cancelled for one agent, it is not the next one's.
                while not scope.cancel_called:
                    if self._ready:
                        await self._answer(self._ready.popleft(), scope)
                    else:
                        rest = anyio.Event()
                        self._idle.append(rest)
                        await rest.wait()

    async def _answer(self, resident: Resident, scope: anyio.CancelScope) -> None:
        """Turns of one agent, one after the other, while something wants one."""
        thaws = self._thaws
        resident.scope = scope
        try:
            while resident.is_awake and not (
                resident.is_leaving or resident.is_held or self.stop.is_set()
            ):
                thaws = self._thaws
                await self._turn(resident)
                resident.is_awake = self._wants_a_turn(resident) or bool(resident.batch)
                if resident.is_doubtful and resident.is_awake:
                    await anyio.sleep(RETRY_SECONDS)
        except NotAllowedError as no:
            await self._not_allowed(resident, no, is_stale=thaws != self._thaws)
        except Exception:
            # Nothing of it can be committed. The host and its thousands of others go on.
            log.exception("an agent could not be given up", agent=resident.agent.id)
            resident.is_awake = False
            self._drop(resident)
        finally:
            resident.scope = None
            resident.is_busy = False
            # Its end was waited for in vain, and no word was given for it: now it has gone after
            # all.
            if resident.is_leaving:
                self._drop(resident)
            # Also where this was cut by a halt that has been thawed meanwhile.
            elif resident.is_awake:
                self._wake(resident)

    async def _turn(self, resident: Resident) -> None:
        """One attempt; where it fails, the next is counted before it is made."""
        was_counted, tries = resident.is_doubtful, 0
        if was_counted:
            tries = await self._count_attempt(resident, "begun")
            resident.is_counted = True
        if tries > self.world.declared.limits.tries_max:
            why = resident.last_words or "its host ended in its turn, each time"
            await abandon_turn(self.world, resident, why, tries - 1)
            resident.is_doubtful = resident.is_counted = False
            resident.last_words = ""
            return
        try:
            if resident.is_resting:
                resident.go_on(*await self.world.store.recall(resident.agent.id))
            self.residents.was_up(resident)
            await self.answer(self.world, resident)
            resident.is_doubtful = resident.is_counted = False
            resident.last_words = ""
        except NotAllowedError as no:
            if no.rule in _HELD:
                await self._uncount(resident)
            raise
        except WrongKeyError as error:
            # Not the mail's doing: the turn waits as far as it came, and no attempt is counted.
            log.warning(
                "an agent's turn waits: a key holds something else",
                agent=resident.agent.id,
                why=error.what,
            )
            await self._uncount(resident)
            await anyio.sleep(SWEEP_SECONDS)
            resident.batch = resident.batch or dict(
                (await self.world.store.resume(resident.agent.id)).batch
            )
            resident.is_awake = True
        except Exception as error:
            # A bug met in one agent's turn is that agent's alone. What came meanwhile is still
            # answered: a seat serves other missions too.
            words = f"{type(error).__name__} in its turn"
            if words == resident.last_words:
                log.warning(
                    "an agent's turn failed again",
                    agent=resident.agent.id,
                    tries=tries,
                    error=words,
                )
            else:
                log.exception("an agent's turn failed", agent=resident.agent.id)
            resident.last_words, resident.is_counted = words, False
            if not was_counted:
                await self._count_attempt(resident, "failed")
            resident.is_doubtful = True
            # Again with exactly the same mail, where it came as far as to say which.
            resident.batch = resident.batch or dict(
                (await self.world.store.resume(resident.agent.id)).batch
            )
            resident.is_awake = True

    async def _uncount(self, resident: Resident) -> None:
        """Its turn was stopped and not failed: without this, who is stopped or broke some times
        loses its mail as poison.
        """
        if resident.is_counted:
            await self._count_attempt(resident, "cut")
        resident.is_counted = False

    async def _count_attempt(self, resident: Resident, how: Attempt) -> int:
        self._attempts += 1
        token = f"{self.host.id}.{self._attempts}"
        return await self.world.store.attempt(resident.agent.id, resident.turn + 1, token, how)

    def _wants_a_turn(self, resident: Resident) -> bool:
        rooms = self.world.declared.rooms
        return any(wakes(resident.agent, message, rooms) for message in resident.mailbox or ())

    async def _not_allowed(
        self, resident: Resident, no: NotAllowedError, *, is_stale: bool
    ) -> None:
        """Hold its turn, or let the agent go. A `stale` no came before something was thawed: it
        is asked once more.
        """
        if no.rule not in _HELD:
            resident.is_awake = False
            self._given_up(resident, no)
            return
        if is_stale and no.rule not in NO_MONEY:
            resident.batch = dict((await self.world.store.resume(resident.agent.id)).batch)
            return
        log.info(
            "an agent's turn is held", agent=resident.agent.id, rule=no.rule.value, detail=no.detail
        )
        resident.is_held = True
        if no.rule is Rule.NO_LEAD:
            self._leaderless.add(resident.agent.id)
        if no.rule in NO_MONEY:
            await _when_right(lambda: tell_broke(self.world, resident, no))

    def _given_up(self, resident: Resident, no: NotAllowedError) -> None:
        level = log.info if no.rule in _NOT_MINE else log.warning
        level(
            "an agent may not go on here",
            agent=resident.agent.id,
            rule=no.rule.value,
            detail=no.detail,
        )
        if no.rule is not Rule.FENCED:
            self._drop(resident)
            # Asked about at the next sweep, not now: only the task that listens may admit.
            self._doubtful.add(resident.agent.id)


async def _when_right(step: Callable[[], Awaitable[T]]) -> T:
    """Does a step of the host's own, again each second while a key that it needs holds something
    else than ours.
    """
    is_told = False
    while True:
        try:
            return await step()
        except WrongKeyError as error:
            if not is_told:
                log.warning(
                    "waiting until a key is what it should be", why=error.what, hint=error.hint
                )
            is_told = True
        await anyio.sleep(SWEEP_SECONDS)


def _doing(residents: Sequence[Resident]) -> dict[str, str]:
    """Who is still at it, and in what."""
    return {resident.agent.id: resident.doing or "its own code" for resident in residents}


def _stop_of(message: Message) -> Stop | None:
    """A stop as a host is told of it; `None` for what is none."""
    data = message.data
    try:
        kind, at, until = StopKind(data["kind"]), float(data["at"]), float(data["until"])
    except (KeyError, ValueError, TypeError):
        return None
    return Stop(message.text, kind, Authority.OPERATOR, "", "", at, until=until)
