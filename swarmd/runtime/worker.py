"""A worker: one host of thousands of mostly idle agents in one event loop.

It converges on the lineage: what was placed here is admitted, what is fenced is ended and the host gives
its word. It hears rings, and once a second asks which channels have moved: a lost ring costs that second.
Invariant: a message reaches an agent's mailbox once, in the order of its stream.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

import anyio
import anyio.abc
import structlog

from swarmd.core.envelope import Heard
from swarmd.core.lineage import Agent, Stop, StopKind, follows
from swarmd.core.messages import Message, order_of
from swarmd.core.names import (
    FIRST,
    REQUESTS,
    AgentId,
    AgentState,
    Authority,
    Channel,
    Kind,
    Rule,
    StreamId,
    host_channel,
)
from swarmd.core.requests import GoneRequest, QuietRequest
from swarmd.core.swarm import Host, epoch_of
from swarmd.core.times import LEASE_SECONDS, RENEW_SECONDS, SWEEP_SECONDS, UNWIND_SECONDS
from swarmd.core.turn import concerns, wakes
from swarmd.ports import Hold, RefusedMail, Rings
from swarmd.runtime.agent import World, abandon_turn, take_turn, tell_broke
from swarmd.runtime.residents import Resident, Residents
from swarmd.runtime.steps import NotAllowedError

log = structlog.get_logger(__name__)

# Entries of one read of a stream; a longer backlog is read in several.
READ_MAX = 500
# Agents admitted, or channels read, side by side: each is a few reads, and they travel together.
SIDE_BY_SIDE_MAX = 500
# The law's own words for "not here, not now": the agent is dropped without a word to anyone.
_NOT_MINE = (Rule.LEASE, Rule.INCARNATION, Rule.FENCED, Rule.UNKNOWN_AGENT)
# "Not now": the turn waits as far as it came. Its steps are journaled, so nothing of it is paid again.
_BROKE = (Rule.BUDGET_EXHAUSTED, Rule.BUDGET_OVERDRAFT)
_HELD = (Rule.FROZEN, Rule.HALTED, Rule.DRAINING, *_BROKE)
# How often a host looks whether what ignored its end has gone after all.
LATE_SECONDS = 0.5


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
    is_braked: bool = False  # halted by this machine's own brake, whatever the server says
    _words: int = 0
    _thaws: int = 0
    _doubtful: set[AgentId] = field(default_factory=set)  # given up here, perhaps wrongly
    _heard_here: Heard = field(default_factory=Heard)  # on this host's own channel, which nobody had before
    _refused: dict[tuple[Channel, Rule], RefusedMail] = field(default_factory=dict)  # and not yet recorded

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
            await self._record_refused()
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
        await self._record_refused()
        self._head, channels = await self.world.store.moved(self._head)
        mine = [channel for channel in channels if channel in self.residents.readers]
        for start in range(0, len(mine), SIDE_BY_SIDE_MAX):
            async with anyio.create_task_group() as tasks:
                for channel in mine[start : start + SIDE_BY_SIDE_MAX]:
                    tasks.start_soon(self._catch_up, channel)
        if own in channels:
            await self._catch_up(own)

    async def _heard(self, channel: Channel, line: str) -> None:
        ring = self.world.store.ring(channel, line)
        if ring is None:
            self._refuse(channel, Rule.ENVELOPE_FORGED)
            return
        known = self.residents.last.get(channel, FIRST)
        if order_of(ring.id) <= order_of(known):
            return
        # Whoever has seen `prev` has everything before: the ring itself is the message. A channel's first is read
        # from its stream all the same: anybody can name a beginning, and a ring must not lead us past the stream.
        if ring.message is None or ring.prev != known or known == FIRST:
            await self._catch_up(channel)
            return
        # The ids are anybody's words also where the message is authentic. Only what is news to somebody here may
        # therefore move our place in the stream: an old message would, as often as it is rung again.
        verdicts = self._verdicts(channel, ring.message)
        refused = next((rule for rule in verdicts if rule is not None), None)
        if refused is not None:
            self._refuse(channel, refused)
        elif verdicts:
            await self._deliver(channel, [ring.message])
        else:
            await self._catch_up(channel)

    def _verdicts(self, channel: Channel, message: Message) -> list[Rule | None]:
        """Of each reader that waits for what comes here and whom it concerns: why not to take it, or `None`."""
        if channel == host_channel(self.host.id):
            return [self._heard_here.refusal(message)]
        return [
            resident.heard.refusal(message)
            for resident in self.residents.readers_of(channel)
            if concerns(resident.agent, message) and not resident.has_seen(message)
        ]

    def _refuse(self, channel: Channel, rule: Rule, id: StreamId = StreamId("")) -> None:  # noqa: B008 - a cast
        """Counted here and told once a second: a flood of forgeries is not to be a flood of facts."""
        told = self._refused.get((channel, rule), RefusedMail(channel, rule, id, 0))
        self._refused[channel, rule] = replace(told, first=told.first or id, count=told.count + 1)

    async def _record_refused(self) -> None:
        refused, self._refused = list(self._refused.values()), {}
        if refused:
            log.warning(
                "what was no message of this swarm's was refused",
                messages=sum(mail.count for mail in refused), channels=sorted({m.channel for m in refused}),
            )  # fmt: skip
            await self.world.store.record_refused(self.host.id, refused, self.world.stamp())

    async def _catch_up(self, channel: Channel) -> None:
        while True:
            found = await self.world.store.read(channel, self.residents.last.get(channel, FIRST), READ_MAX)
            await self._deliver(channel, found)
            if len(found) < READ_MAX:
                return

    async def _deliver(self, channel: Channel, messages: Sequence[Message]) -> None:
        for message in messages:
            self.residents.note(channel, message.id)
            if message.kind is Kind.UNREADABLE:
                self._refuse(channel, Rule.ENVELOPE_FORGED, message.id)
            elif channel == host_channel(self.host.id):
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
                self._tasks.start_soon(self._quieten, stop)
        elif message.kind is Kind.THAWED:
            stop = Stop(message.text, StopKind.FREEZE, Authority.OPERATOR, "", "", 0.0)
            self._thaws += 1
            await self._let_go_on([r for r in self.residents.by_id.values() if stop.holds(r.agent)])

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
        resident = Resident(
            agent,
            hold,
            resumed.turn,
            resumed.memory,
            seen,
            dict(resumed.batch),
            resumed.heard,
            resumed.guard,
            resumed.is_done,
            resumed.taint,
        )
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
            if message.kind is Kind.UNREADABLE:
                self._refuse(message.channel, Rule.ENVELOPE_FORGED, message.id)
            self._put(resident, message)
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

    async def _quieten(self, stop: Stop) -> None:
        """See what a stop holds come to rest, as firmly as it says, and give the host's word of what did not.

        The mark itself is in the store: nothing begins under it, whatever happens here.
        """
        under = [resident for resident in self.residents.by_id.values() if stop.holds(resident.agent)]
        seconds = UNWIND_SECONDS
        if stop.kind is StopKind.DRAIN:
            seconds = max(0.0, stop.until - epoch_of(self.world.stamp()))
        if stop.kind is StopKind.HALT:
            self._cancel(under)
        busy = await self._wait_until_idle(under, seconds)
        word = QuietRequest(target=stop.target, at=stop.at, agents=len(under), busy=_doing(busy))
        await self._give_word(word)

    def _cancel(self, residents: Sequence[Resident]) -> None:
        """Their turns are cut where they stand, and go on from their step journal when they may."""
        for resident in residents:
            resident.is_held = True
            if resident.scope is not None:
                resident.scope.cancel()

    async def _wait_until_idle(self, residents: Sequence[Resident], seconds: float) -> list[Resident]:
        """Those that are still at it when the time is over."""
        with anyio.move_on_after(seconds):
            while any(r.is_busy for r in residents):  # noqa: ASYNC110 - many tasks, one bounded wait
                await anyio.sleep(0.01)
        return [resident for resident in residents if resident.is_busy]

    async def _give_word(self, word: GoneRequest | QuietRequest) -> None:
        message = Message(
            sender=AgentId(self.host.id), kind=Kind.REQUEST, at=self.world.stamp(), text=word.type,
            data=word.model_dump(),
        )  # fmt: skip
        # One word of one host: a repeated write of it is the same, a second word is another.
        self._words += 1
        await self.world.store.post(REQUESTS, message, key=f"{word.type}-{self.host.id}-{self._words}")

    async def _let_go_on(self, residents: Sequence[Resident]) -> None:
        """A held turn is taken up with exactly the mail that it began with."""
        for resident in residents:
            if not resident.is_held or self.is_braked:
                continue
            if not resident.is_busy:
                resident.batch = dict((await self.world.store.resume(resident.agent.id)).batch)
            resident.is_held = False
            resident.is_awake = resident.is_awake or bool(resident.batch) or self._wants_a_turn(resident)
            if resident.is_awake:
                self._wake(resident)

    # --- the brake: a halt that needs no server ---

    async def brake(self) -> tuple[int, dict[str, str]]:
        """Cut every turn of this host and begin no other; how many agents it has, and which ignored it."""
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
        self._tasks.start_soon(self._answer, resident)

    async def _answer(self, resident: Resident) -> None:
        """Turns of one agent, one after the other, while something wants one."""
        assert self._turns is not None
        try:
            with anyio.CancelScope() as scope:
                resident.scope = scope
                while resident.is_awake and not (
                    resident.is_leaving or resident.is_held or self.stop.is_set()
                ):
                    thaws = self._thaws
                    async with self._turns:
                        await self._turn(resident)
                    resident.is_awake = self._wants_a_turn(resident)
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
            # Its end was waited for in vain, and no word was given for it: now it has gone after all.
            if resident.is_leaving:
                self._drop(resident)
        # Not where this was cancelled: then nothing is begun any more, or a halt has it wait.
        if resident.is_awake:
            self._wake(resident)

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

    async def _not_allowed(self, resident: Resident, no: NotAllowedError, *, is_stale: bool) -> None:
        """Hold its turn, or let the agent go. A `stale` no came before something was thawed: it is asked once more."""
        if no.rule not in _HELD:
            resident.is_awake = False
            self._given_up(resident, no)
            return
        if is_stale and no.rule not in _BROKE:
            resident.batch = dict((await self.world.store.resume(resident.agent.id)).batch)
            return
        log.info("an agent's turn is held", agent=resident.agent.id, rule=no.rule.value, detail=no.detail)
        resident.is_held = True
        if no.rule in _BROKE:
            await tell_broke(self.world, resident, no)

    def _given_up(self, resident: Resident, no: NotAllowedError) -> None:
        level = log.info if no.rule in _NOT_MINE else log.warning
        level("an agent may not go on here", agent=resident.agent.id, rule=no.rule.value, detail=no.detail)
        if no.rule is not Rule.FENCED:
            self._drop(resident)
            # Asked about at the next sweep, not now: only the task that listens may admit.
            self._doubtful.add(resident.agent.id)


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
