"""Reading for whoever looks: the command line, a console, an exporter.

`Reader` blocks, for what starts fast and leaves; `AsyncReader` never does. Both give the same
answers, for an adapter runs the same queries for both. Nothing here writes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias

from swarmd.core.model.messages import from_line
from swarmd.core.model.versions import SCHEMA_READS, is_read

if TYPE_CHECKING:
    from swarmd.core.model.chain import Head
    from swarmd.core.model.lineage import Agent, Stop
    from swarmd.core.model.messages import Message
    from swarmd.core.model.names import AgentId, Channel, MissionId, StreamId
    from swarmd.core.queries.snapshot import AccountView, AgentView, Marks, MissionView, Snapshot

PAGE_ENTRIES: Final = 500
"""Entries that one page has at most: bounds what a reader holds at once."""
SWEEP_SECONDS: Final = 1.0
"""A notification that was lost costs this at most: the stream is read again without one."""

Restart: TypeAlias = Literal["kept", "lost", "not checked", "no append-only file"]
Facts: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a channel. `said` is what its message says, each part as text and `data` as
    JSON; of what is no message it has the fields.
    """

    channel: Channel
    id: StreamId
    said: Mapping[str, str]
    line: str  # as it is stored

    @property
    def message(self) -> Message | None:
        """It as a message of ours, if it is one."""
        return from_line(self.channel, self.id, self.line)


@dataclass(frozen=True, slots=True)
class Trimmed:
    """Entries after a position are no longer kept. `entries` is how many are gone since the
    channel began, where the server may be asked.
    """

    after: StreamId
    first: StreamId | None  # the oldest entry that is kept
    entries: int | None


@dataclass(frozen=True, slots=True)
class Page:
    """What a channel has after a position, oldest first. `reached` is the position to go on from.

    Where `trimmed` stands, something between the position and the first of these entries may have
    been removed before it was read. It is told rather once too often than not at all.
    """

    entries: tuple[Entry, ...]
    reached: StreamId
    trimmed: Trimmed | None = None

    @property
    def is_full(self) -> bool:
        """There may be more at once."""
        return len(self.entries) >= PAGE_ENTRIES


@dataclass(frozen=True, slots=True)
class Health:
    """What a health check asks, in one pipeline. `unasked` names what this user of the server
    may not read.
    """

    leader: str  # the leading supervisor's host; empty where nobody leads
    may_begin: bool  # calls may begin: somebody leads, or did so within a lease
    hosts: Mapping[str, Facts]  # the living, with their facts
    hosts_lost: tuple[str, ...]  # admitted, lease expired, not yet declared dead
    missions_open: int
    agents_living: int
    schema: str
    writes: bool  # the server's last write to its disk went well
    is_heard: bool  # somebody listens at the entrance `swarm:missions`
    # `NAME is a TYPE and not a TYPE`, of what the whole swarm stands on
    wrong_keys: tuple[str, ...] = ()
    # entries of the journal that tell of lost ones and are not acknowledged
    gaps: tuple[int, ...] = ()
    root: AccountView | None = None  # what all missions are carved from
    restart: Restart = "not checked"
    restart_advice: str = ""  # what is wrong with it, and what to do about it
    # of `leader`, `hosts`, `missions`, `agents`, `schema`, `disk`, `stops`
    unasked: frozenset[str] = frozenset()
    stops: tuple[Stop, ...] = ()  # of everything, and of the board

    @property
    def schema_fits(self) -> bool:
        return not self.schema or is_read(self.schema, SCHEMA_READS)


@dataclass(frozen=True, slots=True)
class Inner:
    """What is private of an agent, for `inspect`."""

    turn: str
    positions: Mapping[str, str]
    steps_begun: int
    steps_ended: int
    waits: str = ""  # for whom or what it waits, and until when
    task: Mapping[str, str] = field(
        default_factory=dict
    )  # its charter as a task: `swarm:task:<id>`


class Notifications(Protocol):
    """Some channels' notifications. One is only a reason to read the stream."""

    def wait(self, seconds: float) -> bool:
        """Whether something was posted within the time, or may have been."""


class AsyncNotifications(Protocol):
    """As `Notifications`."""

    async def wait(self, seconds: float) -> bool: ...


class Reader(Protocol):
    """Reads of one swarm. Raises `StoreUnavailableError` where the server is away, another
    `SwarmError` where it may not be asked.
    """

    def close(self) -> None: ...

    def channel_of(self, name: str) -> Channel:
        """The channel that a name means, with or without the swarm's namespace."""

    def snapshot(self, mission: str = "") -> Snapshot:
        """Missions, tree and accounts, of one mission (with the board above it) or of all."""

    def agent_ids(self, *, ended: bool = False) -> list[AgentId]:
        """The living (the board first), and with `ended` those whose records are still kept."""

    def agents(self, *, ended: bool = False) -> list[AgentView]:
        """Sorted by the time they were created, with their state and activity as they are now."""

    def agent(self, id: AgentId) -> AgentView | None: ...

    def is_agent(self, id: AgentId) -> bool: ...

    def children(self, id: AgentId) -> list[str]: ...

    def inner(self, id: AgentId) -> Inner: ...

    def chain(self, id: AgentId) -> list[Agent]:
        """The agents of an agent's path, the board (or the seat itself) first, ended ones too while
        their records are kept. Empty where there is no such agent."""

    def marks(self) -> Marks:
        """All that is in force."""

    def accounts(self, ids: Sequence[str]) -> dict[str, AccountView]:
        """Those that there are, by the id of the agent or mission."""

    def mission_ids(self) -> list[MissionId]: ...

    def missions(self) -> list[MissionView]:
        """All that are remembered, oldest first."""

    def mission(self, id: MissionId) -> MissionView | None:
        """The record as it is written: who only hands missions in may read no more than that."""

    def approvals(self) -> dict[str, Facts]:
        """What waits for permission: the facts of each by its id, the oldest first."""

    def overrides(self) -> dict[str, Facts]:
        """The overrides that stand, as `approvals`."""

    def page(self, channel: Channel, after: StreamId) -> Page:
        """What was posted after that position; `FIRST` is the beginning."""

    def last_entries(self, channel: Channel, count: int) -> list[Entry]:
        """The newest, oldest of them first."""

    def entry(self, channel: Channel, id: str) -> Entry | None:
        """One, by its id."""

    def last_id(self, channel: Channel) -> StreamId: ...

    def follow(
        self, channel: Channel, after: StreamId, notifications: Notifications
    ) -> Iterator[Page]:
        """What was posted after that position and what comes, without an end."""

    def has_channel(self, channel: Channel) -> bool:
        """Whether anything was ever posted there, or an agent or a room of that name could hear
        it.
        """

    def is_heard(self, channel: Channel) -> bool:
        """Whether a living agent keeps a position in the channel: a room without a post exists
        by that.
        """

    def channels(self) -> list[str]:
        """The channels that something was posted in."""

    def rooms(self) -> set[str]:
        """Rooms that something was posted in, or that a living agent is a member of."""

    def swarm_id(self) -> str:
        """The swarm's own id, empty where none has run here yet."""

    def journal_head(self) -> Head:
        """Where the store says that its journal ends."""

    def journal(self, after: StreamId = ...) -> Iterator[tuple[StreamId, str]]:
        """Every entry after that one, as the line that is stored."""

    def health(self, *, asks_restart: bool = False, part: str | None = None) -> Health:
        """`asks_restart` costs one more question, which few users of the server may ask. For one
        part only that is looked at which the part reads: the rest is `unasked`.
        """

    def leads(self) -> bool | None:
        """Whether a supervisor leads; `None` where this user may not know."""


class AsyncReader(Protocol):
    """As `Reader`, for who may not block. A server that is away for a moment is waited for."""

    async def aclose(self) -> None: ...

    def channel_of(self, name: str) -> Channel: ...

    async def snapshot(self, mission: str = "") -> Snapshot: ...

    async def agent_ids(self, *, ended: bool = False) -> list[AgentId]: ...

    async def agents(self, *, ended: bool = False) -> list[AgentView]: ...

    async def agent(self, id: AgentId) -> AgentView | None: ...

    async def is_agent(self, id: AgentId) -> bool: ...

    async def children(self, id: AgentId) -> list[str]: ...

    async def inner(self, id: AgentId) -> Inner: ...

    async def chain(self, id: AgentId) -> list[Agent]: ...

    async def marks(self) -> Marks: ...

    async def accounts(self, ids: Sequence[str]) -> dict[str, AccountView]: ...

    async def mission_ids(self) -> list[MissionId]: ...

    async def missions(self) -> list[MissionView]: ...

    async def mission(self, id: MissionId) -> MissionView | None: ...

    async def approvals(self) -> dict[str, Facts]: ...

    async def overrides(self) -> dict[str, Facts]: ...

    async def page(self, channel: Channel, after: StreamId) -> Page: ...

    async def last_entries(self, channel: Channel, count: int) -> list[Entry]: ...

    async def entry(self, channel: Channel, id: str) -> Entry | None: ...

    async def last_id(self, channel: Channel) -> StreamId: ...

    def follow(
        self, channel: Channel, after: StreamId, notifications: AsyncNotifications
    ) -> AsyncIterator[Page]: ...

    async def has_channel(self, channel: Channel) -> bool: ...

    async def is_heard(self, channel: Channel) -> bool: ...

    async def channels(self) -> list[str]: ...

    async def rooms(self) -> set[str]: ...

    async def swarm_id(self) -> str: ...

    async def journal_head(self) -> Head: ...

    def journal(self, after: StreamId = ...) -> AsyncIterator[tuple[StreamId, str]]: ...

    async def health(self, *, asks_restart: bool = False, part: str | None = None) -> Health: ...

    async def leads(self) -> bool | None: ...
