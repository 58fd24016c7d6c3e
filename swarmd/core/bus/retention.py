"""What a stream may lose: what all its readers have read, and nobody is to find there any more.
Pure.

Entries go by their id and never by their number alone, and never above the least committed position
of a reader. A position's own entry stays, and so the newest: what the next post names as the one
before it is there, and a stream never ends before what was read of it. A reader that does not come
to read holds its channels for `retention_seconds` at most; then it is led past what is gone, and
told.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from swarmd.core.model.changes import ReaderLed
from swarmd.core.model.channels import (
    DEAD,
    INPUTS,
    JOURNAL,
    MISSIONS,
    ORDERS,
    REQUESTS,
    RESULTS,
    host_channel,
)
from swarmd.core.model.declarations import Declarations, Keep
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.lineage import Agent, follows
from swarmd.core.model.messages import order_of
from swarmd.core.model.names import FIRST, SUPERVISOR, AgentId, Channel, HostId, StreamId
from swarmd.core.model.posts import inbox_notice
from swarmd.core.model.state import Draft, Swarm
from swarmd.core.model.timings import stamp_of

# Entries that one command drops: some hundred microseconds of the server's one thread. More takes
# another.
TRIM_STEP: Final = 5_000
# Entries of one node of a stream (`stream-node-max-entries`): whole nodes go, for that costs the
# same whatever is in them.
NODE_ENTRIES: Final = 100
# Channels looked at in one pass; the others are in the next.
PASS_MAX: Final = 500

_MAIL: Final = ("inbox:", "down:", "up:", "_placed:")


def keep_of(channel: Channel, declared: Declarations) -> Keep | None:
    """How much of what was read stays; `None` for what is not trimmed here: the journal goes
    when it is sealed.
    """
    keep = declared.limits.keep
    if channel == JOURNAL:
        return None
    if channel.startswith(_MAIL):
        return keep.mail
    if channel.startswith("room:"):
        return _keep_of_room(channel.removeprefix("room:"), declared)
    return {
        MISSIONS: keep.missions,
        RESULTS: keep.results,
        ORDERS: keep.orders,
        REQUESTS: keep.requests,
        DEAD: keep.dead,
    }.get(channel)


def _keep_of_room(name: str, declared: Declarations) -> Keep:
    room = declared.rooms.get(name)
    if room is None:
        of_missions = (r for r in declared.rooms.values() if r.scope == "mission")
        room = next((r for r in of_missions if name.startswith(f"{r.name}-")), None)
    # Of a room that is declared no more, what is kept of any.
    return room.keep if room is not None else Keep()


def is_supervisors(channel: Channel) -> bool:
    """Does the supervisor itself read it?"""
    return channel == MISSIONS or channel in INPUTS


def host_of(channel: Channel) -> HostId | None:
    """Whose own channel it is."""
    own = host_channel(HostId(""))
    return HostId(channel.removeprefix(own)) if channel.startswith(own) else None


def readers_of(channel: Channel, swarm: Swarm) -> list[Agent]:
    """The living agents whose positions hold it. Seats see rooms as they are when they are
    called, and hold none.
    """
    kind, _, name = channel.partition(":")
    match kind:
        case "inbox" | "up":
            agent = swarm.lineage.get(name)
            is_reader = agent is not None and (kind == "inbox" or agent.tier > 0)
            return [agent] if agent is not None and is_reader else []
        case "down":
            return list(swarm.lineage.children(AgentId(name)))
        case "room":
            return _followers(channel, swarm)
        case _:
            return []


def _followers(channel: Channel, swarm: Swarm) -> list[Agent]:
    rooms, agents = swarm.declared.rooms, swarm.lineage.agents.values()
    return [agent for agent in agents if agent.tier > 0 and channel in follows(agent, rooms)]


# --- what goes --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stream as it lies."""

    length: int
    last: StreamId


@dataclass(frozen=True, slots=True)
class Cut:
    """Entries before an id, so many at most."""

    before: StreamId
    entries_max: int


@dataclass(frozen=True, slots=True)
class Gap:
    """A reader that is led past what nobody keeps for it any longer: all from `after` up to, but
    not with, `until`.
    """

    reader: AgentId
    channel: Channel
    after: StreamId
    until: StreamId
    is_told: bool = True  # something of it was for this reader

    def holds(self, id: StreamId) -> bool:
        return order_of(self.after) < order_of(id) < order_of(self.until)


def id_at(seconds: float) -> StreamId:
    """The first id that a stream could give at that moment, in seconds since the epoch."""
    return StreamId(f"{max(0, int(seconds * 1000))}-0")


def cuts(keep: Keep, stretch: Stretch, read_until: Iterable[StreamId], now: float) -> list[Cut]:
    """What may go, by number and by age. `read_until` are the committed positions of all who
    read it.
    """
    floor = min((stretch.last, *read_until), key=order_of)
    found = []
    # A node more than there are too many: of nodes that go whole, the last would otherwise stay for
    # good.
    if stretch.length > keep.messages:
        found.append(Cut(floor, min(TRIM_STEP, stretch.length - keep.messages + NODE_ENTRIES)))
    old = min(floor, id_at(now - keep.seconds), key=order_of)
    if stretch.length > NODE_ENTRIES and old != FIRST:
        found.append(Cut(old, TRIM_STEP))
    return found


def gaps(
    channel: Channel,
    positions: Mapping[AgentId, StreamId],
    stretch: Stretch,
    now: float,
    patience: float,
) -> list[Gap]:
    """Readers that have left for longer than `patience` (seconds) what they follow, and up to
    where it is given up.
    """
    until = min(stretch.last, id_at(now - patience), key=order_of)
    return [
        Gap(reader, channel, position, until)
        for reader, position in positions.items()
        if order_of(position) < order_of(until)
    ]


def lead_past(draft: Draft, gap: Gap) -> None:
    """Its position is moved and it is told in one commit, and only then does anything go."""
    agent = draft.lineage.get(gap.reader)
    if agent is None:
        return
    draft.add(ReaderLed(agent.id, gap.channel, gap.until))
    if gap.is_told:
        _tell_gap(draft, agent, gap)


def _tell_gap(draft: Draft, agent: Agent, gap: Gap) -> None:
    told = {"gap": {"channel": gap.channel, "after": gap.after, "until": gap.until}}
    draft.add(inbox_notice(draft.moment, agent.id, agent.mission, _gap_text(gap), told))
    draft.record(
        JournalEvent.MAIL_SKIPPED,
        f"{agent.id} is led past what it left unread of {gap.channel}",
        actor=SUPERVISOR,
        mission=agent.mission,
        agent=agent.id,
        more=told,
    )


def _gap_text(gap: Gap) -> str:
    since = "its beginning" if gap.after == FIRST else _when(gap.after)
    return (
        f"You have not read {gap.channel} for longer than messages are kept. "
        f"What was posted there from {since} until {_when(gap.until)} is gone."
    )


def _when(id: StreamId) -> str:
    return stamp_of(order_of(id)[0] / 1000)


# --- when it is looked at ----------------------------------------------------------------------


@dataclass(slots=True)
class Rounds:
    """Which channels to look at: those that moved, and later once more those of which something
    is left to grow old.
    """

    _moved: dict[Channel, None] = field(default_factory=dict)
    _old: list[tuple[float, Channel]] = field(default_factory=list)
    _known: set[Channel] = field(default_factory=set)  # in `_old`

    def moved(self, channels: Iterable[Channel]) -> None:
        self._moved |= dict.fromkeys(channels)

    def left(self, channel: Channel, at: float) -> None:
        """Something was left that is to go once it is old: at that time it is looked at again."""
        if channel not in self._known:
            self._known.add(channel)
            heapq.heappush(self._old, (at, channel))

    def next(self, now: float) -> dict[Channel, bool]:
        """Those to look at now, at most `PASS_MAX`; true of those of which something has grown
        old.
        """
        found: dict[Channel, bool] = {}
        while self._old and self._old[0][0] <= now and len(found) < PASS_MAX:
            _, channel = heapq.heappop(self._old)
            self._known.discard(channel)
            self._moved.pop(channel, None)
            found[channel] = True
        for channel in list(self._moved)[: PASS_MAX - len(found)]:
            del self._moved[channel]
            found[channel] = False
        return found
