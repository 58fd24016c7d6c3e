"""What the runtime needs of the world, in our words. Adapters implement these; core never sees
them.

The store's methods are the atomic steps of the design: each is whole or nothing, and may be
repeated.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

from swarmd.core.agent.kept_turns import TurnsSoFar
from swarmd.core.agent.memory import Memory
from swarmd.core.agent.output_limits import Cut
from swarmd.core.agent.turn import Refusal
from swarmd.core.bus.envelope import Heard
from swarmd.core.bus.foreign import Miscount
from swarmd.core.control.stalls import Standing
from swarmd.core.model.changes import Change
from swarmd.core.model.charter import Charter
from swarmd.core.model.declarations import Declarations
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import Message, Ring
from swarmd.core.model.names import AgentId, Channel, HostId, MissionId, StreamId
from swarmd.core.model.records import Host, Mission
from swarmd.core.model.refusals import Rule
from swarmd.core.model.state import Swarm


@dataclass(frozen=True, slots=True)
class Hold:
    """What a host's hold on an agent consists of; every atomic step for the agent carries it."""

    agent: AgentId
    path: tuple[str, ...]
    incarnation: int
    lease: int
    host: HostId


@dataclass(frozen=True, slots=True)
class Begin:
    """One call of a model or a tool, about to be made. `step` counts from 1 within the turn."""

    turn: int
    step: int
    kind: str  # what is called: `model`, or the function's name
    account: str
    segments: tuple[str, ...]  # the path, and for a seat the mission it serves
    targets: tuple[str, ...]  # further targets of stops that hold the agent
    privileges: tuple[tuple[str, ...], ...] = ()  # of each, any one path suffices; none: not asked
    amounts: Mapping[str, int] = field(default_factory=dict)  # to reserve, by kind
    batch: str = "{}"  # the positions this turn answers up to: kept from the first step on
    within_seconds: float = (
        0.0  # so long it may take by its own bounds; what takes longer is shown as stuck
    )
    may_repeat: bool = (
        True  # else it is answered as `LOST` where it was begun before and never ended
    )
    input: str = ""  # the digest of what it is called with
    # What must stay free beside the amounts. With it the caller can ask for less: it is answered
    # `Short`, and no refusal is recorded. Without, the amounts alone are asked for.
    keep: Mapping[str, int] | None = None
    lender: str = ""  # the account that may reserve a part of this call; none
    lent: Mapping[str, int] = field(default_factory=dict)  # what it does


# The result of a call that was given up half-way, as when its worker ended. It is paid for and
# answers nothing.
LOST: Final = '{"lost": true}'


@dataclass(frozen=True, slots=True)
class Used:
    """What a call has used of what was reserved for it, by kind; an upper bound where it is
    assumed.
    """

    amounts: Mapping[str, int]
    is_assumed: bool = False
    is_ok: bool = True  # whether the call went well
    files: tuple[str, ...] = ()  # those that it looked into or wrote
    more: Mapping[str, Any] = field(default_factory=dict)  # what only the record keeps of it
    cached: int = 0  # tokens of its prompt that the provider read from its cache
    waits: Rule | None = None  # it was not made after all: its turn waits by this rule


@dataclass(frozen=True, slots=True)
class Begun:
    """The call may be made now."""


@dataclass(frozen=True, slots=True)
class Short:
    """The account, or its lender, has less free than was asked for: what both have. Nothing was
    done. `held` is what calls under way reserve of the lender, or without one of the account.
    """

    free: Mapping[str, int]
    lendable: Mapping[str, int]
    held: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EndedBefore:
    """The call was made by a former holder; this is its result, already paid."""

    result: str


@dataclass(frozen=True, slots=True)
class RefusedByStore:
    """The law says no: the rule's name and the facts."""

    rule: Rule
    detail: str
    output: int | None = (
        None  # of a turn's outputs the one that may not be; without it the turn may be committed
    )


@dataclass(frozen=True, slots=True)
class Resumed:
    """What an agent's own state holds: its last committed turn and its positions, by channel."""

    turn: int
    memory: Memory
    positions: Mapping[Channel, StreamId]
    # Of a turn that began and was not committed; empty where there is none.
    batch: Mapping[Channel, StreamId]
    heard: Heard  # up to its positions
    guard: str = ""  # `core.agent.output_limits.Guard`, as text
    is_done: bool = False  # it has reported its task as done, and was given nothing since
    # What it has ever read that nobody vouches for (`core.model.provenance`).
    taint: tuple[str, ...] = ()
    # So many of its next messages are answered one by one: it failed on them together.
    alone: int = 0
    wait: str = ""  # `core.agent.waiting.AgentWait`, as text


@dataclass(frozen=True, slots=True)
class RefusedMail:
    """What a host refused on one channel by one rule since it last said so. `first` is empty of
    rings.
    """

    channel: Channel
    rule: Rule
    first: StreamId
    count: int


@dataclass(frozen=True, slots=True)
class Doing:
    """How far a child is, as its own state says: whether it has reported its task as done, when its
    last turn ended, and for what it waits (`core.agent.waiting`, as text).
    """

    is_done: bool = False
    at: str = ""
    wait: str = ""


@dataclass(frozen=True, slots=True)
class Colleague:
    """A living agent of the same mission that has the same superior."""

    id: AgentId
    name: str
    role: str
    task: str  # the beginning of it


@dataclass(frozen=True, slots=True)
class Around:
    """What an agent finds: its mission, its children and what they do, its colleagues, and what
    the account that pays has left and has spent, by kind.
    """

    mission: Mission | None
    children: tuple[Agent, ...]
    free: Mapping[str, int]
    spent: Mapping[str, int] = field(default_factory=dict)
    doing: Mapping[AgentId, Doing] = field(default_factory=dict)
    colleagues: tuple[Colleague, ...] = ()
    superior: str = ""  # its name


Attempt = Literal["begun", "failed", "cut"]


class WorkerStore(Protocol):
    """The atomic steps of a worker. Each may be repeated; each answers the same then.

    All raise `StoreUnavailableError` when the server stays away beyond the store's patience.
    """

    async def register(self, host: Host, ttl_seconds: float) -> bool:
        """Renew the host's lease. False where the workspace is another one than the swarm's."""

    async def server_run(self) -> str:
        """Which process the server is: after a restart or a fail-over another one, which may have
        lost what the last one acknowledged in its last moments. Empty where it does not say. Asked
        often: it also tells its time."""

    def clock_behind(self) -> float:
        """How many seconds this process's own clock is behind the server's; 0 until the server was
        first asked.

        All processes of a swarm agree on the server's time, and it goes on steadily when a local
        clock is set."""

    async def leave(self, host: HostId) -> None:
        """Give the lease back: the supervisor places the agents elsewhere at once."""

    async def agents(self, ids: Sequence[AgentId]) -> list[Agent | None]: ...

    async def resume(self, id: AgentId) -> Resumed: ...

    async def around(self, agent: Agent, mission: MissionId, account: str) -> Around:
        """All that a turn reads before its first thought, at about one moment."""

    async def children(self, id: AgentId) -> tuple[Agent, ...]:
        """Direct children, living and ended, in the order they were made."""

    async def recall(self, id: AgentId) -> tuple[Charter | None, Memory]:
        """Its charter and its memory, as a turn needs them."""

    async def begin(
        self, hold: Hold, begin: Begin, at: str
    ) -> Begun | Short | EndedBefore | RefusedByStore: ...

    async def led_for(self) -> float:
        """Seconds for which calls may begin whether or not the lead is renewed; 0 where nobody has
        led for longer than a lease."""

    async def end(
        self, hold: Hold, begin: Begin, result: str, used: Used, warn_percent: int, at: str
    ) -> None:
        """Store the result and settle, even where the agent was fenced or moved meanwhile."""

    async def attempt(self, agent: AgentId, turn: int, token: str, how: Attempt) -> int:
        """Count an attempt of a turn that may have been tried before; the number of those in a row
        that got nowhere.

        It is `begun` now; it has `failed`, and was not counted before it was made; or it was `cut`
        by a host that ends in order, and is none. The same token counts once. 0 for an agent that
        is gone.
        """

    async def commit(
        self, hold: Hold, turn: Turn, hops_max: int, at: str
    ) -> Literal["done", "again", "looped"] | RefusedByStore: ...

    async def post(self, channel: Channel, message: Message, key: str = "") -> StreamId: ...

    async def read(self, channel: Channel, after: StreamId, count: int) -> list[Message]:
        """What is not authentic has the kind `unreadable`, and its place in the stream."""

    def ring(self, channel: Channel, line: str) -> Ring | None:
        """What rang, its message authentic; `None` where it is not."""

    async def record_refused(self, host: HostId, refused: Sequence[RefusedMail], at: str) -> None:
        """For the journal: what was not taken as a message."""

    async def latest(self, channel: Channel, count: int) -> list[Message]:
        """The newest messages, oldest first."""

    async def moved(self, since: int) -> tuple[int, tuple[Channel, ...]]:
        """Channels posted to after the global post number `since`, and the number to ask with
        next.
        """


@dataclass(frozen=True, slots=True)
class Turn:
    """What a turn commits: under its number, all in one step."""

    number: int
    segments: tuple[str, ...]
    targets: tuple[str, ...]
    privileges: Mapping[Channel, str]  # what posting on a channel takes, where it takes one
    positions: Mapping[Channel, StreamId]
    memory: Mapping[int, str]  # the entries that are new
    outputs: tuple[tuple[Channel, Message], ...]
    hops: int
    heard: Mapping[str, str] = field(default_factory=dict)  # by this turn's mail
    guard: str = ""
    is_done: bool = False
    cuts: tuple[Cut, ...] = ()  # what the bus did not carry of it: facts for the journal
    taint: tuple[str, ...] = ()
    forgotten: Sequence[int] = ()  # the numbers of the entries of memory that go
    alone: int = 0
    refusals: tuple[Refusal, ...] = ()  # of what its moves asked for: facts for the journal
    wait: str = ""  # for what the agent waits from here on (`core.agent.waiting`)


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits for the supervisor, oldest first."""

    missions: Sequence[tuple[StreamId, dict[str, str]]]
    messages: Sequence[Message]
    facts: Sequence[tuple[StreamId, dict[str, str]]]


class SupervisorStore(Protocol):
    """What the sole writer reads and writes."""

    async def lead(self, host: HostId, ttl_seconds: float) -> int:
        """Take or renew the lease; the fencing number, 0 where another leads."""

    async def led_until(self) -> float:
        """Until when the last lead holds or held, in seconds since the epoch; 0 where nobody has
        led yet.
        """

    async def step_down(self, host: HostId, number: int) -> None: ...

    async def wrong_keys(self) -> list[str]:
        """Of what the whole swarm stands on what holds something else than ours, for people:
        empty where all is right.
        """

    async def server_run(self) -> str:
        """As a worker's."""

    def clock_behind(self) -> float:
        """As a worker's."""

    async def last_commit(self) -> int:
        """The number of the last commit that the store holds."""

    async def load(self, declared: Declarations) -> Loaded: ...

    async def read_waiting(
        self, positions: Mapping[Channel, StreamId], count: int, facts_count: int
    ) -> Waiting:
        """What came after these positions: at most `count` of each input and of the missions."""

    async def keep_mission(self, fields: Mapping[str, str]) -> StreamId: ...

    async def ended_mission(self, id: MissionId) -> dict[str, str]: ...

    async def hosts(self) -> tuple[dict[HostId, Host], frozenset[HostId]]:
        """Hosts whose lease lives, and all that came and did not leave."""

    async def accounts(self, ids: Collection[str], amount: str) -> dict[str, dict[str, int]]: ...

    async def standings(self, ids: Sequence[AgentId]) -> dict[AgentId, Standing]: ...

    async def turns_so_far(self, id: AgentId) -> TurnsSoFar: ...

    async def stated_accounts(
        self, ids: Collection[str], facts_after: StreamId | None = None
    ) -> Stated:
        """Whole accounts and the facts that made them so, at one moment."""

    async def read_journal(self, after: StreamId, count: int) -> list[tuple[StreamId, str]]:
        """The journal's entries after that one: of each its line."""

    async def trim_journal(self, before: StreamId) -> None:
        """Drop the entries before that one: they are sealed in segments."""

    async def moved(self, since: int) -> tuple[int, tuple[Channel, ...]]:
        """As a worker's."""

    async def read(self, channel: Channel, after: StreamId, count: int) -> list[Message]:
        """As a worker's."""

    async def lengths(self, channels: Sequence[Channel]) -> list[int]:
        """Entries of each."""

    async def uncounted(self, channels: Sequence[Channel]) -> dict[Channel, Miscount]:
        """Of which of the channels' streams the entries are not as they were counted. A count that
        is lost, or that of another stream, is made anew thereby.
        """

    async def last_id(self, channel: Channel) -> StreamId: ...

    async def latest(self, channel: Channel, count: int) -> list[Message]:
        """As a worker's."""

    async def positions(
        self, channel: Channel, agents: Sequence[AgentId]
    ) -> dict[AgentId, StreamId]:
        """How far each has committed that it has read the channel; `FIRST` where it never has."""

    async def trim(self, channel: Channel, before: StreamId, entries_max: int) -> int:
        """Drop entries before an id, so many at most, and whole nodes only; how many went. May
        be repeated.
        """

    async def letter(self, id: StreamId) -> Message | None:
        """A dead letter, as it lies."""

    async def commit_changes(
        self,
        token: str,
        seq: int,
        changes: Sequence[Change],
        positions: Mapping[Channel, StreamId],
        facts_until: StreamId | None = None,
        heard: Mapping[str, str] | None = None,
        unheard: Sequence[str] = (),
    ) -> Literal["done", "short"]:
        """`heard` is kept with the positions, `unheard` no longer.

        Raises `NotLeadingError` where another leads or this memory is behind.
        """

    async def due(self, now: float, count: int) -> list[tuple[str, str]]:
        """Records whose retention is over: `agent` or `mission`, and the id."""

    async def forget(self, what: str, id: str, channels: Sequence[Channel]) -> None:
        """Delete a record and these channels. May be repeated."""


@dataclass(frozen=True, slots=True)
class Stated:
    """Accounts as they lie, by id (absent where there is none), the last fact that they hold,
    and those asked for.
    """

    rows: Mapping[str, Mapping[str, str]]
    facts_until: StreamId
    facts: Sequence[tuple[StreamId, Mapping[str, str]]]


@dataclass(frozen=True, slots=True)
class Loaded:
    """The supervisor's memory as Redis holds it, its positions, and the number of its last
    commit.
    """

    swarm: Swarm
    positions: Mapping[Channel, StreamId]
    seq: int
    damaged: tuple[MissionId, ...] = ()  # open, and their records cannot be read
    lost: Mapping[Channel, StreamId] = field(
        default_factory=dict
    )  # inputs that end before their position, and where
    heard: Heard = field(default_factory=Heard)
    unreadable: tuple[
        AgentId, ...
    ] = ()  # in the lineage as far as can be known of them; to be held
