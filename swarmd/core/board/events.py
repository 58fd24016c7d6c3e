"""What the board's procedure is told, and what it has the clerk do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from swarmd.core.model.motions import Motion
from swarmd.core.model.procedure import Choice, Phase, Response, SeatCall, Stance
from swarmd.core.model.refusals import Rule
from swarmd.core.model.watch import News

# --- what it is told --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Opened:
    """The mission was taken from the docket. So many seats sit on its bench; all where none is
    said.
    """

    seats: int | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """What the law says of a motion before anything of it is done: refused, or with `asks` allowed
    once an operator permits it.
    """

    rule: Rule
    detail: str
    asks: bool = False

    def __str__(self) -> str:
        return f"{self.rule}: {self.detail}" if self.detail else f"{self.rule}"


@dataclass(frozen=True, slots=True)
class Proposed:
    seat: str
    motion_number: int
    motion: Motion
    taint: tuple[str, ...] = ()
    judged: Judged | None = None  # none: the law has nothing against it


@dataclass(frozen=True, slots=True)
class Argued:
    seat: str
    motion_number: int
    text: str
    stance: Stance = "argue"


@dataclass(frozen=True, slots=True)
class Responded:
    """The proposer's answer to the arguments; `motion` is the changed one where it amends."""

    seat: str
    motion_number: int
    decision: Response
    reason: str
    motion: Motion | None = None
    accepts: tuple[str, ...] = ()
    taint: tuple[str, ...] = ()
    judged: Judged | None = None


@dataclass(frozen=True, slots=True)
class Voted:
    seat: str
    motion_number: int
    choice: Choice
    reason: str


@dataclass(frozen=True, slots=True)
class SeatFailed:
    """Its model failed: the seat is absent at once. With `phase`, a failure that was told late
    cannot cost the seat its next call."""

    seat: str
    motion_number: int
    phase: Phase | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """The request of a call has gone out to its seat's model."""

    seat: str
    motion_number: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Ticked:
    """Time passed."""


@dataclass(frozen=True, slots=True)
class Thawed:
    """The mission was stopped for so many seconds and goes on: they do not count, and who was
    called is called anew.
    """

    seconds: float


@dataclass(frozen=True, slots=True)
class Delayed:
    """For so many seconds no call could begin, because no supervisor led: they do not count. Who
    was called still is, and goes on by itself; to call it anew would pay for its answer twice."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Overruled:
    """An operator decides the motion before the board: carried at once, or fallen by the rule."""

    motion_number: int
    is_carried: bool
    rule: Rule
    detail: str


@dataclass(frozen=True, slots=True)
class ReportsIn:
    """Something waits for the board (`core.board.agenda`). Values are JSON.

    Heard only while the mission works: whoever sends it looks at `stage` first, and again later.
    """

    agenda: tuple[Mapping[str, Any], ...] = ()
    is_for_chair: bool = False
    proposed: Proposed | None = None  # a seat's motion, already made, that opens the review
    came: tuple[News, ...] = ()  # since that seat was called


@dataclass(frozen=True, slots=True)
class Came:
    """Something came that nobody who is called has seen. `text` is the word, where it is one."""

    news: News
    text: str = ""


@dataclass(frozen=True, slots=True)
class Executed:
    """The supervisor did the carried motion, whole."""

    motion_number: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The law refused the carried motion, whole: nothing was done."""

    motion_number: int
    rule: Rule
    detail: str


Answer: TypeAlias = Proposed | Argued | Responded | Voted | SeatFailed


Event: TypeAlias = (
    Answer
    | Opened
    | Sent
    | Ticked
    | Thawed
    | Delayed
    | Overruled
    | ReportsIn
    | Came
    | Executed
    | Refused
)


# --- what the clerk does ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CallSeat:
    """Call this seat. Motion number, phase and `attempt` are the call's key: posted twice, it is
    one.
    """

    seat: str
    call: SeatCall
    attempt: int
    deadline: float


@dataclass(frozen=True, slots=True)
class CloseCall:
    """Nobody waits for this seat's answer any more: its call is cancelled where it is made."""

    seat: str
    motion_number: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Announce:
    """A line the clerk posts into the board's room; `data` is JSON."""

    text: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Carry:
    """The supervisor shall execute this motion, whole or not at all, and answer with its number."""

    motion_number: int
    motion: Motion
    minds: tuple[str, ...] = ()  # arguments that the proposer accepted, for who is chartered


@dataclass(frozen=True, slots=True)
class Await:
    """The mission works: nothing to do until its reports are in."""


@dataclass(frozen=True, slots=True)
class Fail:
    """The mission fails."""

    reason: str


@dataclass(frozen=True, slots=True)
class Ignored:
    """An answer that changed nothing, for the journal."""

    seat: str
    why: str


Effect: TypeAlias = CallSeat | CloseCall | Announce | Carry | Await | Fail | Ignored
