"""The agents that a host holds: slotted records, with a task only while one has messages to answer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import anyio

from swarmd.core.envelope import Heard
from swarmd.core.lineage import Agent
from swarmd.core.messages import Message, order_of
from swarmd.core.names import FIRST, AgentId, Channel, Kind, Rule, StreamId
from swarmd.core.rules import Room
from swarmd.core.turn import concerns, wakes
from swarmd.ports import Hold


@dataclass(slots=True, eq=False)
class Resident:
    """One agent on this host. `seen` is how far each of its channels has been put into the mailbox."""

    agent: Agent
    hold: Hold
    turn: int
    memory: str
    seen: dict[Channel, StreamId]
    batch: dict[Channel, StreamId]  # of a turn a former holder began: answered first, as it was
    heard: Heard = field(default_factory=Heard)  # what has been put into the mailbox, ever
    guard: str = ""  # `guards.Guard`, as text: most agents never have one
    is_done: bool = False
    taint: tuple[str, ...] = ()
    mailbox: list[Message] | None = None
    is_awake: bool = False  # something in the mailbox wants a turn
    is_busy: bool = False
    is_leaving: bool = False
    is_held: bool = False  # stopped, or out of budget: its turn waits, as far as it came, until it may go on
    doing: str = ""  # the call under way: `model`, `read`, …
    scope: anyio.CancelScope | None = None

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
        if refused is not None:
            return refused
        if message.kind is Kind.NOTICE and "recalled" in message.data:
            # What was not read yet is not read any more. A notice reaches no further than its own channel.
            gone = (message.channel, message.data["recalled"])
            self.mailbox = [m for m in self.mailbox or [] if (m.channel, m.id) != gone] or None
        if self.mailbox is None:
            self.mailbox = []
        self.mailbox.append(message)
        if wakes(self.agent, message, rooms):
            self.is_awake = True
            return True
        return False


@dataclass(slots=True)
class Residents:
    """All of them, by id and by the channels they read, and how far this process has read each channel."""

    by_id: dict[AgentId, Resident] = field(default_factory=dict)
    readers: dict[Channel, dict[AgentId, Resident]] = field(default_factory=lambda: defaultdict(dict))
    last: dict[Channel, StreamId] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.by_id)

    def add(self, resident: Resident) -> None:
        self.by_id[resident.agent.id] = resident
        for channel in resident.seen:
            self.readers[channel][resident.agent.id] = resident

    def remove(self, id: AgentId) -> None:
        resident = self.by_id.pop(id, None)
        if resident is None:
            return
        for channel in resident.seen:
            readers = self.readers[channel]
            readers.pop(id, None)
            if not readers:
                del self.readers[channel]
                self.last.pop(channel, None)

    def below(self, segment: str) -> list[Resident]:
        """Those whose path has the segment; of `=AGENT` that one alone."""
        if segment.startswith("="):
            alone = self.by_id.get(AgentId(segment[1:]))
            return [] if alone is None else [alone]
        return [resident for resident in self.by_id.values() if segment in resident.agent.path]

    def channels(self) -> Iterable[Channel]:
        return self.readers.keys()

    def readers_of(self, channel: Channel) -> Iterator[Resident]:
        return iter(list(self.readers[channel].values()) if channel in self.readers else ())

    def note(self, channel: Channel, id: StreamId) -> None:
        """This process has read the channel up to here."""
        if order_of(id) > order_of(self.last.get(channel, FIRST)):
            self.last[channel] = id
