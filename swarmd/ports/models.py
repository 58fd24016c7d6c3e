"""What a model is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, Protocol

from swarmd.core.model.charter import Charter
from swarmd.core.model.exchange import MoveCall, Piece
from swarmd.core.model.functions import Offer
from swarmd.core.model.generation import Generation
from swarmd.core.model.messages import Message
from swarmd.core.model.moves import Move
from swarmd.core.model.names import AgentId, MissionId


@dataclass(frozen=True, slots=True)
class Call:
    """The clerk's call to a seat: what it must answer now."""

    phase: Literal["propose", "debate", "respond", "vote", "review", "answer"]
    motion_number: int
    motion: Mapping[str, Any] | None  # the motion before the board, as it was proposed
    reports: tuple[
        Mapping[str, Any], ...
    ] = ()  # {"agent","name","text","files","done"} of executives
    refusal: str = ""  # why the last motion was not carried or not executed: rule and detail
    sent_back: int = 0  # how often work was sent back already
    send_backs_max: int = 0
    seats: tuple[str, ...] = ()  # the bench, in speaking order
    chair: str = ""
    proposer: str = ""  # of the motion before the board
    arguments: tuple[Mapping[str, Any], ...] = ()  # {"seat","stance","text"} on that motion
    correction: str = ""  # why this seat's last motion was given back
    fallen: Mapping[str, Any] | None = (
        None  # {"motion_number","motion","why"} of the last that fell
    )
    falls: int = 0  # motions in a row that fell
    falls_max: int = 0
    motions_max: int = 0
    is_at_once: bool = (
        False  # the others are called at the same time, and hear nothing of each other
    )
    charters: tuple[Mapping[str, Any], ...] = ()  # {"agent","name","role","task","done","state",…}
    spent: Mapping[str, int] = field(default_factory=dict)  # by the mission and all below it
    left: Mapping[str, int] = field(default_factory=dict)  # of its budget, what agents hold too
    of_board: Mapping[str, int] = field(default_factory=dict)  # of that, what no agent holds
    to_give: Mapping[str, int] = field(default_factory=dict)  # what a motion may give, by kind
    least: Mapping[str, Mapping[str, int]] = field(
        default_factory=dict
    )  # {"executive","whole","argued"}, where that is less than an executive takes
    agenda: tuple[Mapping[str, Any], ...] = ()  # what the board is called for, with facts
    words: tuple[Mapping[str, Any], ...] = ()  # {"text","at"} that an operator said to the board
    may_propose: bool = True  # no motion is before the board, or this call asks for one
    is_for_chair: bool = False  # a sort of what is on the agenda is carried by the chair alone
    came: tuple[str, ...] = ()  # what came while the motion was before the board


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
    memory: tuple[
        Mapping[str, Any], ...
    ] = ()  # earlier turns: {"mail":[…]} {"moves":[…]} {"results":[…]}
    steps: tuple[
        Mapping[str, Any], ...
    ] = ()  # this turn so far: {"moves":[…]} {"results":[…]} {"correction":…}
    children: tuple[Child, ...] = ()
    free: Mapping[str, int] = field(default_factory=dict)  # what its account has left, by kind


UNSET: Final = Generation()


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model is asked. `shared` is the same for many calls and comes first (prompt
    caches).

    `exchange` ends with what is asked. `since` are the answers of this turn so far, with what
    became of them. Behind all stand `persona`, who is asked: of an agent its situation as its turn
    begins; and `reminder`, what may be another in each call. `offer` is all that may ever be
    answered, the same in each call of an agent, so that it can be cached; `allowed` names the moves
    of it that may be answered now, all of them where it is empty.
    """

    shared: str
    persona: str
    exchange: tuple[Piece, ...]
    offer: Offer
    output_tokens_max: int  # for what is visible; what is allowed for thoughts comes beside it
    view: View
    since: tuple[Piece, ...] = ()
    reminder: str = ""
    allowed: tuple[str, ...] = ()
    generation: Generation = UNSET  # what the role sets of it
    is_stretched: bool = False  # with twice the limit, for an answer was cut at it
    thoughts_percent: int = (
        100  # so much of what is allowed for thoughts: less where money is short
    )

    @property
    def open_offer(self) -> Offer:
        """What may be answered now."""
        if not self.allowed:
            return self.offer
        moves = tuple(move for move in self.offer.moves if move in self.allowed)
        functions = self.offer.functions if "use" in moves else ()
        return replace(self.offer, moves=moves, functions=functions)

    def asking_for(self, move: str) -> Prompt:
        """With that as the one move that may be answered now."""
        if move in self.offer.moves:
            return replace(self, allowed=(move,))
        offer = replace(self.offer, moves=(*self.offer.moves, move))
        return replace(self, allowed=(move,), offer=offer)

    @property
    def pieces(self) -> tuple[Piece, ...]:
        return (*self.exchange, *self.since)


@dataclass(frozen=True, slots=True)
class Usage:
    """What an attempt took as the server counted it, or an upper bound where it did not say
    (`is_assumed`).

    `calls` are the requests that were made for it. `cost` is in micro-dollars, rounded up for each
    request; `None` where the price of the model is not known. `cached` of what was read came from
    the provider's cache, as it says.
    """

    tokens_in: int
    tokens_out: int
    is_assumed: bool = False
    calls: int = 1
    cost: int | None = 0
    cached: int = 0

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
            self.cached + other.cached,
        )


NOTHING: Final = Usage(0, 0, calls=0)


@dataclass(frozen=True, slots=True)
class Answered:
    """A good answer: one attempt's moves.

    `thread` is what its provider wants back with this answer in the further calls of the turn, such
    as encrypted thoughts; nobody but its adapter reads it.
    """

    moves: tuple[Move, ...]
    usage: Usage
    text: str = ""  # what the model wrote, for the record
    thread: str = ""


FailureKind = Literal[
    "malformed",
    "refused",
    "length",
    "rate_limited",
    "timeout",
    "server",
    "cut",
    "rejected",
    "unsupported",
]


@dataclass(frozen=True, slots=True)
class Failed:
    """One attempt that gave no moves. It is charged like any other.

    `malformed`, `refused` and `length` (cut at the output limit) came from the model: `detail` is
    the correction it is given, and `calls` are the calls of functions that it wrote, as names and
    JSON objects, where they can be shown to it again. The others came from the world and are
    repeated as they were after `retry_after` seconds (`None`: our choice). After `unsupported` the
    model asks in another form, which is no failure of the attempt: there are only a few forms.
    """

    why: FailureKind
    detail: str
    usage: Usage
    retry_after: float | None = None
    text: str = ""
    calls: tuple[MoveCall, ...] = ()


class Model(Protocol):
    """One model behind one provider. An attempt never raises for what a provider does."""

    @property
    def name(self) -> str:
        """`PROVIDER:NAME`, as in the contract and in privileges `model/PROVIDER:NAME`."""

    @property
    def is_language_model(self) -> bool: ...

    def bound(self, prompt: Prompt) -> Usage:
        """The most that one attempt can take of a server that keeps to its limit: what another
        writes beyond it, it is charged for."""

    def expected(self, prompt: Prompt) -> Usage:
        """What one attempt will likely take at most, by what was counted so far; never more than
        `bound`."""

    async def attempt(self, prompt: Prompt, sending: Callable[[], None] = ...) -> Answered | Failed:
        """One attempt, no retry inside, bounded by the adapter's own time-outs.

        `sending` is called before anything leaves that may have to be paid for: one that is
        cancelled earlier has cost nothing.
        """

    async def aclose(self) -> None: ...
