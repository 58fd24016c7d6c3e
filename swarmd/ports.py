"""What the runtime needs of the world, in our words. Adapters implement these; core never sees them.

The store's methods are the atomic steps of the design: each is whole or nothing, and may be repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

from swarmd.core.chain import Head
from swarmd.core.envelope import Heard
from swarmd.core.guards import Cut
from swarmd.core.lineage import Agent
from swarmd.core.messages import Message, Ring
from swarmd.core.moves import Charter, Move
from swarmd.core.names import AgentId, Channel, HostId, MissionId, Rule, StreamId
from swarmd.core.replay import State
from swarmd.core.rules import Declarations
from swarmd.core.stalls import Standing
from swarmd.core.swarm import Change, Host, Mission, Swarm
from swarmd.core.turn import Memory, Refusal

# --- models -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Call:
    """The clerk's call to a seat: what it must answer now."""

    phase: Literal["propose", "debate", "vote", "review"]
    motion_number: int
    motion: Mapping[str, Any] | None  # the motion before the board, as it was proposed
    reports: tuple[Mapping[str, Any], ...] = ()  # {"agent","name","text","files","done"} of executives
    refusal: str = ""  # why the last motion was not carried or not executed: rule and detail
    sent_back: int = 0  # how often work was sent back already
    send_backs_max: int = 0


@dataclass(frozen=True, slots=True)
class Child:
    """A living or ended child as its creator sees it."""

    id: AgentId
    name: str
    role: str
    key: str
    state: str


@dataclass(frozen=True, slots=True)
class View:
    """The facts that a prompt's text was rendered from. Minds without language read this."""

    agent: AgentId
    name: str
    role: str
    tier: int
    mission: MissionId
    mission_text: str
    files: tuple[str, ...]  # names of the mission's files that this agent may read
    charter: Charter | None = None  # none for a seat
    call: Call | None = None  # only for a seat
    mail: tuple[Message, ...] = ()  # what this turn answers, oldest first
    room: tuple[Message, ...] = ()  # a seat's: this mission's part of the board's room
    memory: tuple[Mapping[str, Any], ...] = ()  # earlier turns: {"mail":[…]} {"moves":[…]} {"results":[…]}
    steps: tuple[
        Mapping[str, Any], ...
    ] = ()  # this turn so far: {"moves":[…]} {"results":[…]} {"correction":…}
    children: tuple[Child, ...] = ()
    free: Mapping[str, int] = field(default_factory=dict)  # what its account has left, by kind


# Bytes of an answer for each token of its limit. Of long texts, English has about 4.5 a token, code and JSON less,
# Cyrillic 7, the scripts of India and Georgia up to 10: with eight, only an answer in one of those last is cut, from
# four fifths of its limit on, as it would be at its limit. Two are enough for a short answer, where no more can be paid.
ROOMY: Final = 8
TIGHT: Final = 2


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model is asked. `shared` is the same for many calls and comes first (prompt caches)."""

    shared: str
    persona: str
    exchange: tuple[tuple[Literal["user", "assistant"], str], ...]
    functions: tuple[str, ...]  # keys of `MOVE_TYPES` that may be answered now
    output_tokens_max: int
    view: View
    bytes_per_token: int = ROOMY  # of its limit: an answer of more bytes is cut, and so many are reserved


@dataclass(frozen=True, slots=True)
class Usage:
    """What an attempt took as the server counted it, or an upper bound where it did not say (`is_assumed`).

    `calls` are the requests that were made for it. `cost` is in micro-dollars, rounded up for each request;
    `None` where the price of the model is not known.
    """

    tokens_in: int
    tokens_out: int
    is_assumed: bool = False
    calls: int = 1
    cost: int | None = 0

    @property
    def tokens(self) -> int:
        return self.tokens_in + self.tokens_out

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.tokens_in + other.tokens_in,
            self.tokens_out + other.tokens_out,
            self.is_assumed or other.is_assumed,
            self.calls + other.calls,
            None if self.cost is None or other.cost is None else self.cost + other.cost,
        )


NOTHING: Final = Usage(0, 0, calls=0)


@dataclass(frozen=True, slots=True)
class Answered:
    """A good answer: one attempt's moves."""

    moves: tuple[Move, ...]
    usage: Usage
    text: str = ""  # what the model wrote, for the record


@dataclass(frozen=True, slots=True)
class Failed:
    """One attempt that gave no moves. It is charged like any other.

    `malformed` and `refused` came from the model: `detail` is the correction it is given. The others
    came from the world and are repeated as they were after `retry_after` seconds (`None`: our choice).
    After `unsupported` the model asks in another form, which is no failure of the attempt: there are only
    a few forms.
    """

    why: Literal[
        "malformed", "refused", "rate_limited", "timeout", "server", "cut", "rejected", "unsupported"
    ]
    detail: str
    usage: Usage
    retry_after: float | None = None
    text: str = ""


class Model(Protocol):
    """One model behind one provider. An attempt never raises for what a provider does."""

    @property
    def name(self) -> str:
        """`PROVIDER:NAME`, as in the contract and in privileges `model/PROVIDER:NAME`."""

    @property
    def is_language_model(self) -> bool: ...

    def bound(self, prompt: Prompt) -> Usage:
        """The most that one attempt can take; what it settles may be beyond that only as far as one piece of a
        stream reaches, or as a server claims."""

    async def attempt(self, prompt: Prompt, sending: Callable[[], None] = ...) -> Answered | Failed:
        """One attempt, no retry inside, bounded by the adapter's own time-outs.

        `sending` is called before anything leaves that may have to be paid for: one that is cancelled
        earlier has cost nothing.
        """

    async def aclose(self) -> None: ...


# --- files ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Passage:
    """Consecutive lines of a file that answer a query. `start` counts from 1."""

    path: str
    start: int
    lines: tuple[str, ...]
    score: float


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file or folder that was not read, and why, both fit to be shown."""

    path: str
    why: str


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found, and what it could not look into: that was not searched, whatever was found."""

    passages: tuple[Passage, ...] = ()
    left_out: tuple[LeftOut, ...] = ()


class Files(Protocol):
    """A mission's files. Every path is a name relative to the mission; errors are `WorkspaceError`.

    Reading looks in the mission's own folder first (`given/` then `work/`), then in the knowledge
    folder; writing goes to `work/` only, whole file by rename, so it may be repeated.
    """

    def names(self, mission: MissionId, wanted: Sequence[str]) -> tuple[str, ...]:
        """The readable files that `wanted` stands for (a folder stands for all files below it), sorted.

        Raises `WorkspaceError` naming what does not exist.
        """

    def read(self, mission: MissionId, path: str, start: int, lines: int) -> tuple[str, ...]: ...

    def write(self, mission: MissionId, path: str, text: str) -> int:
        """Returns the bytes written."""

    def search(self, mission: MissionId, query: str, names: Sequence[str], top: int) -> Found:
        """Best first; deterministic; no passages where nothing shares a word with the query.

        Raises `WorkspaceError` where none of `names` exists. What else is not read is left out by name, and so is what
        was passed over when the mission's files were given or listed.
        """

    def remove(self, mission: MissionId) -> None:
        """Delete the mission's own folder. May be repeated."""


# --- time -------------------------------------------------------------------------------------


class Clock(Protocol):
    """Time, passed in."""

    def now(self) -> float:
        """Seconds since the epoch, UTC."""

    def new_id(self, prefix: str) -> str:
        """`prefix-` and 10 characters of `[0-9a-z]`, never the same twice."""


# --- the store: a worker's side -----------------------------------------------------------------


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
    kind: str
    account: str
    segments: tuple[str, ...]  # the path, and for a seat the mission it serves
    targets: tuple[str, ...]  # further targets of stops that hold the agent
    privileges: tuple[tuple[str, ...], ...] = ()  # of each, any one path suffices; none: not asked
    amounts: Mapping[str, int] = field(default_factory=dict)  # to reserve, by kind
    batch: str = "{}"  # the positions this turn answers up to: kept from the first step on
    within_seconds: float = 0.0  # so long it may take by its own bounds; what takes longer is shown as stuck
    may_repeat: bool = True  # else it is answered as `LOST` where it was begun before and never ended


# The result of a call that was given up half-way, as when its worker ended. It is paid for and answers nothing.
LOST: Final = '{"lost": true}'


@dataclass(frozen=True, slots=True)
class Used:
    """What a call has used of what was reserved for it, by kind; an upper bound where it is assumed."""

    amounts: Mapping[str, int]
    is_assumed: bool = False


@dataclass(frozen=True, slots=True)
class Begun:
    """The call may be made now."""


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
    batch: Mapping[Channel, StreamId]  # of a turn that began and was not committed; empty where none
    heard: Heard  # up to its positions
    guard: str = ""  # `guards.Guard`, as text
    is_done: bool = False  # it has reported its task as done, and was given nothing since
    taint: tuple[str, ...] = ()  # what it has ever read that nobody vouches for (`core.taint`)
    alone: int = 0  # so many of its next messages are answered one by one: it failed on them together


@dataclass(frozen=True, slots=True)
class RefusedMail:
    """What a host refused on one channel by one rule since it last said so. `first` is empty of rings."""

    channel: Channel
    rule: Rule
    first: StreamId
    count: int


@dataclass(frozen=True, slots=True)
class Around:
    """What an agent finds: its mission, its children, and what the account that pays has left, by kind."""

    mission: Mission | None
    children: tuple[Agent, ...]
    free: Mapping[str, int]


Attempt = Literal["begun", "failed", "cut"]


class WorkerStore(Protocol):
    """The atomic steps of a worker. Each may be repeated; each answers the same then.

    All raise `StoreUnavailableError` when the server stays away beyond the store's patience.
    """

    async def register(self, host: Host, ttl_seconds: float) -> bool:
        """Renew the host's lease. False where the workspace is another one than the swarm's."""

    async def server_run(self) -> str:
        """Which process the server is: after a restart or a fail-over another one, which may have lost what the last
        one acknowledged in its last moments. Empty where it does not say. Asked often: it also tells its time."""

    def clock_behind(self) -> float:
        """How many seconds this process's own clock is behind the server's; 0 until the server was first asked.

        All processes of a swarm agree on the server's time, and it goes on steadily when a local clock is set."""

    async def leave(self, host: HostId) -> None:
        """Give the lease back: the supervisor places the agents elsewhere at once."""

    async def agents(self, ids: Sequence[AgentId]) -> list[Agent | None]: ...

    async def resume(self, id: AgentId) -> Resumed: ...

    async def around(self, agent: AgentId, mission: MissionId, account: str) -> Around:
        """All that a turn reads before its first thought, at about one moment."""

    async def children(self, id: AgentId) -> tuple[Agent, ...]:
        """Direct children, living and ended, in the order they were made."""

    async def recall(self, id: AgentId) -> tuple[Charter | None, Memory]:
        """Its charter and its memory, as a turn needs them."""

    async def begin(self, hold: Hold, begin: Begin, at: str) -> Begun | EndedBefore | RefusedByStore: ...

    async def led_for(self) -> float:
        """Seconds for which calls may begin whether or not the lead is renewed; 0 where nobody has led for longer than
        a lease."""

    async def end(
        self, hold: Hold, begin: Begin, result: str, used: Used, warn_percent: int, at: str
    ) -> None:
        """Store the result and settle, even where the agent was fenced or moved meanwhile."""

    async def attempt(self, agent: AgentId, turn: int, token: str, how: Attempt) -> int:
        """Count an attempt of a turn that may have been tried before; the number of those in a row that got nowhere.

        It is `begun` now; it has `failed`, and was not counted before it was made; or it was `cut` by a host that ends
        in order, and is none. The same token counts once.
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
        """Channels posted to after the global post number `since`, and the number to ask with next."""


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


class Rings(Protocol):
    """The process's one pub/sub connection."""

    async def follow(self, more: Collection[Channel], gone: Collection[Channel] = ()) -> None:
        """Hear these channels too, and no longer those that are `gone`. What rings after it returned is heard, or a
        gap is told."""

    async def next(self, seconds: float) -> tuple[Channel, str] | Literal["gap"] | None:
        """The next ring; `gap` after a silent reconnect; `None` when nothing rang for so long."""


# --- the archive: the journal outside the store -----------------------------------------------------


@dataclass(frozen=True, slots=True)
class Kept:
    """What the archive holds: the last anchor; where that says that the store lost entries, the lost head; whether
    the last supervisor stopped in order; and the last entry that is sealed in a segment (0: none)."""

    anchor: Head
    lost: Head | None
    is_stopped: bool
    sealed: int
    sealed_id: StreamId


AnchorKind = Literal["started", "anchor", "stopped"]


class Archive(Protocol):
    """Files beside the store: signed anchors, and the sealed segments of the journal. Its methods block.

    All raise `ArchiveError` where the files cannot be written or are not what they were.
    """

    def open(self) -> Kept:
        """Read anew, ready to be written; the signing key is made where there is none."""

    def anchor(self, head: Head, at: str, kind: AnchorKind = "anchor") -> None:
        """Signed and on the disk when it returns. A plain one at or before the last anchor is not written.

        Between `stopped` and the next `started` nobody may write in the journal.
        """

    def recover(self, continues: Head, lost: Head, at: str) -> None:
        """As an anchor: the store ends before the last one, and the journal goes on after `continues`.

        Segments with entries that are lost are put aside.
        """

    def seal(self, entries: Sequence[tuple[StreamId, Sequence[str]]]) -> Sealing:
        """Take the next entries of the journal, and seal each segment that is full."""

    def state(self) -> State:
        """A copy of the state after the last entry that was taken."""


@dataclass(frozen=True, slots=True)
class Sealing:
    """What came of it. The store need not keep entries before `keep_from`, where that is told.

    `broken` is not empty while entries are put aside: one did not follow, and an entry that states all anew is
    waited for.
    """

    keep_from: StreamId | None = None
    broken: str = ""


# --- the store: the supervisor's side -------------------------------------------------------------


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
        """Until when the last lead holds or held, in seconds since the epoch; 0 where nobody has led yet."""

    async def step_down(self, host: HostId, number: int) -> None: ...

    async def wrong_keys(self) -> list[str]:
        """Of what the whole swarm stands on what holds something else than ours, for people: empty where all is right."""

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

    async def stated_accounts(self, ids: Collection[str], facts_after: StreamId | None = None) -> Stated:
        """Whole accounts and the facts that made them so, at one moment."""

    async def read_journal(self, after: StreamId, count: int) -> list[tuple[StreamId, list[str]]]:
        """The journal's entries after that one, as their flat fields."""

    async def trim_journal(self, before: StreamId) -> None:
        """Drop the entries before that one: they are sealed in segments."""

    async def moved(self, since: int) -> tuple[int, tuple[Channel, ...]]:
        """As a worker's."""

    async def read(self, channel: Channel, after: StreamId, count: int) -> list[Message]:
        """As a worker's."""

    async def lengths(self, channels: Sequence[Channel]) -> list[int]:
        """Entries of each."""

    async def last_id(self, channel: Channel) -> StreamId: ...

    async def positions(self, channel: Channel, agents: Sequence[AgentId]) -> dict[AgentId, StreamId]:
        """How far each has committed that it has read the channel; `FIRST` where it never has."""

    async def trim(self, channel: Channel, before: StreamId, entries_max: int) -> int:
        """Drop entries before an id, so many at most, and whole nodes only; how many went. May be repeated."""

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
    """Accounts as they lie, by id (absent where there is none), the last fact that they hold, and those asked for."""

    rows: Mapping[str, Mapping[str, str]]
    facts_until: StreamId
    facts: Sequence[tuple[StreamId, Mapping[str, str]]]


@dataclass(frozen=True, slots=True)
class Loaded:
    """The supervisor's memory as Redis holds it, its positions, and the number of its last commit."""

    swarm: Swarm
    positions: Mapping[Channel, StreamId]
    seq: int
    damaged: tuple[MissionId, ...] = ()  # open, and their records cannot be read
    lost: Mapping[Channel, StreamId] = field(
        default_factory=dict
    )  # inputs that end before their position, and where
    heard: Heard = field(default_factory=Heard)
    unreadable: tuple[AgentId, ...] = ()  # in the lineage as far as can be known of them; to be held
