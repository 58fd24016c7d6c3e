"""The state of one mission's debate, as it is stored."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, JsonValue

from swarmd.core.model.bench import Bench
from swarmd.core.model.motions import Motion
from swarmd.core.model.watch import News, Watch

Phase = Literal["propose", "debate", "respond", "vote", "review", "answer"]


Choice = Literal["yes", "no", "abstain"]


Stance = Literal["argue", "object", "consent"]


# What a proposer does about the arguments: the motion stays, is changed, or is taken back.
Response = Literal["keep", "amend", "withdraw"]


Stage = Literal["docketed", "propose", "debate", "respond", "vote", "carrying", "working", "ended"]


class Stored(BaseModel):
    """Base of what supervisors keep: strict, and unknown fields of a newer version are ignored."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class Ballot(Stored):
    """One seat's vote as cast. A seat that was silent or failed has none: it is absent. Of a
    motion's author it may be the word by which it stands for its text.
    """

    seat: str
    choice: Choice
    reason: str
    is_authors: bool = False


class Argument(Stored):
    """What one seat answered to a motion before the vote."""

    seat: str
    stance: Stance
    text: str


class OpenCall(Stored):
    """A call that nobody has answered yet. Its time runs from when it was made, and anew from when
    the request to the seat's model went out.
    """

    seat: str
    attempt: int
    deadline: float
    is_sent: bool = False


class Procedure(Stored):
    """Where one mission's deliberation stands; a fresh one waits for `Opened`.

    Who is still to be called is stored, so that a restart goes on where it was even where
    `policies/board.yaml` changed in between; the calls themselves were posted in the same commit.
    Times are seconds since the epoch.
    """

    v: Literal[1] = 1
    kind: Literal["brisk", "full"] = "full"
    bench: Bench = Bench()
    stage: Stage = "docketed"
    in_review: bool = False  # since the first reports: any motion may be proposed
    is_judged: bool = False  # its budget was held against what it takes at least, and that was told
    motion_number: int = 0
    motion: Motion | None = None
    proposer: str = ""
    taint: tuple[str, ...] = ()  # of the turns that wrote the motion
    motion_deadline: float | None = None
    calls: tuple[OpenCall, ...] = ()
    attempt: int = 0  # counts the calls of this motion, from 1
    waiting: tuple[str, ...] = ()  # who is called after these in this phase, one by one
    arguments: tuple[Argument, ...] = ()
    accepted: tuple[Argument, ...] = ()  # of them, what the proposer agreed to
    ballots: tuple[Ballot, ...] = ()
    came: tuple[News, ...] = ()  # while this motion was asked for or before the board
    hearings: int = 0  # votes of this motion that lapsed, for something had come unheard
    corrections: int = 0  # of the seat that is called to propose or to respond
    correction: str = ""  # why its last motion was given back
    warned: str = ""  # the motion of which its proposer was told that it takes permission
    fallen: dict[str, JsonValue] | None = None  # the last motion that fell, and why
    falls: int = 0  # motions in a row that fell or were refused
    sent_back: int = 0
    send_backs_max: int = 0
    refusal: str = ""
    failure: str = ""
    agenda: tuple[dict[str, JsonValue], ...] = ()  # what this review was called for
    is_for_chair: bool = False  # requests of tainted turns alone, which the chair may sort
    watch: Watch = Watch()

    def to_json(self) -> str:
        return self.model_dump_json()

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Of what a later release has added, nothing is known here, and nothing is taken for
        something else.
        """
        return cls.model_validate_json(text, extra="ignore")

    @property
    def phase(self) -> Phase | None:
        """The phase as a called seat hears it; `None` where nobody is called."""
        if self.stage == "propose":
            return "review" if self.in_review else "propose"
        return self.stage if self.stage in ("debate", "respond", "vote") else None

    @property
    def called(self) -> tuple[str, ...]:
        """Who has not answered yet."""
        return tuple(call.seat for call in self.calls)

    @property
    def is_at_once(self) -> bool:
        """All seats of the phase are called at once, and hear nothing of each other."""
        return self.kind == "brisk" and self.stage in ("debate", "vote")

    @property
    def is_for_one(self) -> bool:
        """One seat alone is called in this phase, and decides what comes of the motion."""
        return self.stage in ("propose", "respond")

    @property
    def is_consistent(self) -> bool:
        is_open = self.stage in ("debate", "respond", "vote")
        return (
            bool(self.calls) == (self.phase is not None)
            and (self.motion is not None) == (is_open or self.stage == "carrying")
            and (self.motion_deadline is not None) == is_open
            and (bool(self.calls) or not self.waiting)
            and len(set(self.called)) == len(self.calls)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SeatCall:
    """What a seat is asked; field for field the port's `Call`, which core may not import."""

    phase: Phase
    motion_number: int
    motion: Mapping[str, Any] | None
    reports: tuple[Mapping[str, Any], ...] = ()
    refusal: str
    sent_back: int
    send_backs_max: int
    seats: tuple[str, ...] = ()
    chair: str = ""
    proposer: str = ""
    arguments: tuple[Mapping[str, Any], ...] = ()
    correction: str = ""
    fallen: Mapping[str, Any] | None = None
    falls: int = 0
    falls_max: int = 0
    motions_max: int = 0
    is_at_once: bool = False
    charters: tuple[Mapping[str, Any], ...] = ()
    spent: Mapping[str, int] = field(default_factory=dict)
    left: Mapping[str, int] = field(default_factory=dict)
    of_board: Mapping[str, int] = field(default_factory=dict)
    to_give: Mapping[str, int] = field(default_factory=dict)
    least: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    agenda: tuple[Mapping[str, Any], ...] = ()
    words: tuple[Mapping[str, Any], ...] = ()
    may_propose: bool = True
    is_for_chair: bool = False
    came: tuple[str, ...] = ()


# What a procedure has while a seat has not tried to propose or respond, nobody is called, or there
# is no motion: each with what goes before it.
FIRST_TRY: Final[dict[str, Any]] = {"corrections": 0, "correction": "", "warned": ""}
NO_CALL: Final[dict[str, Any]] = FIRST_TRY | {
    "calls": (),
    "motion_deadline": None,
    "waiting": (),
}
NO_MOTION: Final[dict[str, Any]] = NO_CALL | {
    "motion": None,
    "proposer": "",
    "taint": (),
    "came": (),
    "hearings": 0,
    "arguments": (),
    "accepted": (),
    "ballots": (),
}


def as_stored(values: Sequence[Mapping[str, Any]]) -> tuple[dict[str, JsonValue], ...]:
    """As they read back from JSON, so that a procedure and its stored form are equal."""
    return tuple(json.loads(json.dumps([dict(value) for value in values])))
