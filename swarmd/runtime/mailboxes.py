"""The agents that a host holds: slotted records, with a task only while one has messages to answer.

Most of them rest, and a host may have a hundred thousand: one that rests has neither its charter
nor its memory, which its next turn reads from the store, and its places in its channels are one
text, the same object for all that were admitted with it. Channels that are an agent's alone are
found by its id.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Final

import anyio

from swarmd.core.agent.mailbox import calls_for_turn, concerns
from swarmd.core.agent.memory import NO_MEMORY, Memory
from swarmd.core.agent.output_limits import NO_GUARD, Guard
from swarmd.core.agent.waiting import NO_WAIT, AgentWait
from swarmd.core.bus.envelope import Heard
from swarmd.core.model.channels import inbox, up
from swarmd.core.model.charter import Charter
from swarmd.core.model.declarations import Room
from swarmd.core.model.lineage import Agent, follows
from swarmd.core.model.messages import Kind, Message, order_of
from swarmd.core.model.names import FIRST, AgentId, Channel, StreamId
from swarmd.core.model.refusals import Rule
from swarmd.ports.stores import Hold

# Of nothing there is one for all.
_NO_BATCH: Final[Mapping[Channel, StreamId]] = MappingProxyType({})


@dataclass(slots=True, eq=False)
class Resident:
    """One agent on this host."""

    agent: Agent  # without its charter while it rests
    turn: int
    memory: Memory  # empty while it rests
    _seen: dict[Channel, StreamId] | None
    # Of a turn that a former holder began: answered first, as it was.
    batch: Mapping[Channel, StreamId] = field(default_factory=lambda: _NO_BATCH)
    _heard: Heard | None = None
    guard: Guard = NO_GUARD
    is_done: bool = False
    is_draining: bool = False  # its turn is its last
    taint: tuple[str, ...] = ()
    wait: AgentWait = NO_WAIT
    alone: int = 0  # messages to answer one by one
    is_doubtful: bool = (
        False  # its next turn may have been tried before, here or elsewhere: tries are counted
    )
    is_counted: bool = (
        False  # the attempt under way, or the one that was stopped, is among those that are counted
    )
    last_words: str = ""  # of its last attempt that failed
    mailbox: list[Message] | None = None
    is_awake: bool = False  # something in the mailbox wants a turn
    is_busy: bool = False
    is_leaving: bool = False
    is_held: bool = (
        False  # stopped, or out of budget: its turn waits, as far as it came, until it may go on
    )
    doing: str = ""  # the call under way: `model`, `read`, …
    scope: anyio.CancelScope | None = None
    places: str = ""  # of one that rests: what it has seen and heard
    _rooms: Mapping[str, Room] | None = None  # of one that rests: what says which rooms it follows

    @property
    def hold(self) -> Hold:
        """By what this host acts for it."""
        agent = self.agent
        return Hold(agent.id, agent.path, agent.incarnation, agent.lease, agent.host)

    @property
    def seen(self) -> dict[Channel, StreamId]:
        """How far each of its channels has been put into the mailbox."""
        if self._seen is None:
            self._look_up()
        assert self._seen is not None
        return self._seen

    @property
    def heard(self) -> Heard:
        """What has been put into the mailbox, ever."""
        if self._heard is None:
            self._look_up()
        assert self._heard is not None
        return self._heard

    @property
    def is_resting(self) -> bool:
        """It lacks its charter and its memory; `go_on` gives them back."""
        return self._rooms is not None

    def rest(self, rooms: Mapping[str, Room]) -> None:
        """It has nothing to do: let go what its next turn can read anew, and keep the rest as
        one text.
        """
        if self.is_busy or self.is_awake or self.is_leaving:
            return
        channels = follows(self.agent, rooms)
        places = _text_of(channels, self.seen, self.heard)
        self._rooms = rooms
        if self.agent.charter is not None:
            self.agent = replace(self.agent, charter=None)
        self.memory = NO_MEMORY
        if places is not None:
            self.places, self._seen, self._heard = _one(places), None, None

    def go_on(self, charter: Charter | None, memory: Memory) -> None:
        """What a turn needs is there again."""
        self._look_up()
        self._rooms = None
        self.agent, self.memory = replace(self.agent, charter=charter), memory

    def _look_up(self) -> None:
        if self._seen is not None or self._rooms is None:
            self._seen, self._heard = self._seen or {}, self._heard or Heard()
            return
        self._seen, self._heard = _places_of(follows(self.agent, self._rooms), self.places)
        self.places = ""

    def has_seen(self, message: Message) -> bool:
        return order_of(message.id) <= order_of(self.seen.get(message.channel, FIRST))

    def put(self, message: Message, rooms: dict[str, Room]) -> bool | Rule:
        """Into the mailbox, once; true where it wakes the agent, the rule where it is not taken."""
        if self.has_seen(message):
            return False
        self.seen[message.channel] = message.id
        if not concerns(self.agent, message):
            return False
        refused = self.heard.accepts(message)
        return refused if refused is not None else self._keep(message, rooms)

    def take_rung(self, message: Message, rooms: dict[str, Room]) -> bool | Rule | None:
        """As `put`, of a message whose place in its stream a ring claims: only where it is news
        does that place count. `None` where it is none to this agent."""
        if self.has_seen(message) or not concerns(self.agent, message):
            return None
        refused = self.heard.accepts(message)
        if refused is not None:
            return refused
        self.seen[message.channel] = message.id
        return self._keep(message, rooms)

    def _keep(self, message: Message, rooms: dict[str, Room]) -> bool:
        if message.kind is Kind.NOTICE and "recalled" in message.data:
            # What was not read yet is not read any more. A notice reaches no further than its own
            # channel.
            gone = (message.channel, message.data["recalled"])
            self.mailbox = [m for m in self.mailbox or [] if (m.channel, m.id) != gone] or None
        if self.mailbox is None:
            self.mailbox = []
        self.mailbox.append(message)
        # What was there before was looked at when it came, but for whom it waits together.
        mail = self.mailbox if self.wait.whom else (message,)
        if calls_for_turn(self.agent, mail, rooms, self.wait):
            self.is_awake = True
            return True
        return False


def _text_of(
    channels: Sequence[Channel], seen: Mapping[Channel, StreamId], heard: Heard
) -> str | None:
    """A line of places, then one for each mark: equal for all agents that are as far. `None`
    where it cannot be said.
    """
    number = {channel: str(n) for n, channel in enumerate(channels)}
    lines = [" ".join(seen.get(channel, FIRST) for channel in channels)]
    for key, (incarnation, serial) in heard.marks.items():
        channel, _, issuer = key.partition(" ")
        if channel not in number:
            # Of a channel that it followed before it was adopted.
            return None
        lines.append(f"{number[Channel(channel)]} {incarnation} {serial} {issuer}")
    return "\n".join(lines) if len(seen) == len(channels) else None


def _places_of(channels: Sequence[Channel], text: str) -> tuple[dict[Channel, StreamId], Heard]:
    places, *lines = text.split("\n")
    seen = dict(zip(channels, map(StreamId, places.split(" ")), strict=True))
    marks = {}
    for line in lines:
        number, incarnation, serial, issuer = line.split(" ", 3)
        marks[f"{channels[int(number)]} {issuer}"] = (int(incarnation), int(serial))
    return seen, Heard(marks)


@lru_cache(maxsize=4_096)
def _one(text: str) -> str:
    """The same object for equal texts."""
    return text


def _own_of(agent: Agent) -> tuple[Channel, ...]:
    """The channels that it alone reads."""
    return (inbox(agent.id),) if agent.parent is None else (inbox(agent.id), up(agent.id))


@dataclass(slots=True)
class Residents:
    """All of them, by id and by the channels they read, and how far this process has read each
    channel.

    What is one agent's alone is not in the tables: its reader is found by name, and has read as far
    as it has seen.
    """

    by_id: dict[AgentId, Resident] = field(default_factory=dict)
    readers: dict[Channel, dict[AgentId, Resident]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    last: dict[Channel, StreamId] = field(default_factory=dict)
    _lately: dict[AgentId, None] = field(
        default_factory=dict
    )  # who had something to do and may rest again
    _unheard: set[Channel] = field(
        default_factory=set
    )  # read by somebody, and not yet asked to ring
    _unread: set[Channel] = field(default_factory=set)  # the other way round
    # Until when those wait who named a time (seconds since the epoch).
    timers: dict[AgentId, float] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.by_id)

    def add(self, resident: Resident) -> None:
        self.by_id[resident.agent.id] = resident
        self.note_wait(resident)
        own = _own_of(resident.agent)
        for channel in own:
            self._turn(channel, self._unread, self._unheard)
        for channel in resident.seen:
            if channel in own:
                continue
            readers = self.readers[channel]
            if not readers:
                self._turn(channel, self._unread, self._unheard)
            readers[resident.agent.id] = resident

    def remove(self, id: AgentId) -> None:
        resident = self.by_id.pop(id, None)
        self.timers.pop(id, None)
        if resident is None:
            return
        own = _own_of(resident.agent)
        for channel in own:
            self._turn(channel, self._unheard, self._unread)
        for channel in resident.seen:
            if channel in own:
                continue
            readers = self.readers[channel]
            readers.pop(id, None)
            if not readers:
                del self.readers[channel]
                self.last.pop(channel, None)
                self._turn(channel, self._unheard, self._unread)

    def below(self, segment: str) -> list[Resident]:
        """Those whose path has the segment; of `=AGENT` that one alone."""
        if segment.startswith("="):
            alone = self.by_id.get(AgentId(segment[1:]))
            return [] if alone is None else [alone]
        return [resident for resident in self.by_id.values() if segment in resident.agent.path]

    @staticmethod
    def _turn(channel: Channel, undone: set[Channel], to_do: set[Channel]) -> None:
        if channel in undone:
            undone.remove(channel)
        else:
            to_do.add(channel)

    @property
    def has_changes(self) -> bool:
        """The channels to hear are no longer those heard."""
        return bool(self._unheard or self._unread)

    def changes(self) -> tuple[set[Channel], set[Channel]]:
        """Channels to hear from now on, and to hear no longer, since this was last asked."""
        more, self._unheard = self._unheard, set()
        gone, self._unread = self._unread, set()
        return more, gone

    def _owner(self, channel: Channel) -> Resident | None:
        """Whose alone the channel is, if it is somebody's here."""
        kind, _, id = channel.partition(":")
        if kind not in ("inbox", "up"):
            return None
        found = self.by_id.get(AgentId(id))
        return None if found is None or (kind == "up" and found.agent.parent is None) else found

    def is_read(self, channel: Channel) -> bool:
        """Does anybody here read it?"""
        return channel in self.readers or self._owner(channel) is not None

    def readers_of(self, channel: Channel) -> Sequence[Resident]:
        owner = self._owner(channel)
        if owner is not None:
            return (owner,)
        return list(self.readers[channel].values()) if channel in self.readers else ()

    def read_until(self, channel: Channel) -> StreamId:
        """How far this process has read the channel."""
        owner = self._owner(channel)
        return self.last.get(channel, FIRST) if owner is None else owner.seen.get(channel, FIRST)

    def note(self, channel: Channel, id: StreamId) -> None:
        """This process has read the channel up to here. Of an agent's own the agent itself keeps
        the place.
        """
        if self._owner(channel) is None and order_of(id) > order_of(self.last.get(channel, FIRST)):
            self.last[channel] = id

    # --- waits ---

    def note_wait(self, resident: Resident) -> None:
        """How long it waits now, if it waits for a time."""
        if resident.wait.until:
            self.timers[resident.agent.id] = resident.wait.until
        else:
            self.timers.pop(resident.agent.id, None)

    def take_due(self, now: float) -> list[Resident]:
        """Those whose time is over, each once."""
        due = [id for id, until in self.timers.items() if until <= now]
        for id in due:
            del self.timers[id]
        return [self.by_id[id] for id in due]

    # --- rest ---

    def was_up(self, resident: Resident) -> None:
        self._lately[resident.agent.id] = None

    def busy(self) -> int:
        """How many are in a turn or wait for one."""
        return sum(
            1 for id in self._lately if (found := self.by_id.get(id)) is not None and found.is_busy
        )

    def let_rest(self, rooms: Mapping[str, Room]) -> None:
        """Those who had something to do and have no more. Costs what they are, not what all are."""
        lately, self._lately = self._lately, {}
        for id in lately:
            resident = self.by_id.get(id)
            if resident is not None:
                resident.rest(rooms)
                if not resident.is_resting:
                    self._lately[id] = None
