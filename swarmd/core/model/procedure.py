"""The state of one mission's debate, as it is stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, JsonValue

from swarmd.core.model.motions import Motion
from swarmd.core.model.watch import Watch

Phase = Literal["propose", "debate", "vote", "review", "answer"]


Choice = Literal["yes", "no", "abstain"]


Stage = Literal["docketed", "propose", "debate", "vote", "carrying", "working", "ended"]


class Stored(BaseModel):
    """Base of what supervisors keep: strict, and unknown fields of a newer version are ignored."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class Ballot(Stored):
    """One seat's vote as cast. A seat that was silent or failed has none: it is absent."""

    seat: str
    choice: Choice
    reason: str


class Procedure(Stored):
    """Where one mission's deliberation stands; a fresh one waits for `Opened`.

    Who is still to be called is stored, so that a restart goes on where it was even where
    `policies/board.yaml` changed in between; the calls themselves were posted in the same commit.
    Times are seconds since the epoch.
    """

    v: Literal[1] = 1
    stage: Stage = "docketed"
    in_review: bool = False  # since the first reports: any motion may be proposed
    motion_number: int = 0
    motion: Motion | None = None
    taint: tuple[str, ...] = ()  # of the turn that proposed the motion
    motion_deadline: float | None = None
    calling: str | None = None
    seat_deadline: float | None = None
    attempt: int = 0  # counts the calls of this motion, from 1
    waiting: tuple[str, ...] = ()  # who is called after `calling` in this phase, in order
    ballots: tuple[Ballot, ...] = ()
    falls: int = 0  # motions in a row that fell or were refused
    sent_back: int = 0
    send_backs_max: int = 0
    refusal: str = ""
    reports: tuple[dict[str, JsonValue], ...] = ()
    failure: str = ""
    agenda: tuple[dict[str, JsonValue], ...] = ()  # what this review was called for
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
        """The phase as the called seat hears it; `None` where nobody is called."""
        if self.stage == "propose":
            return "review" if self.in_review else "propose"
        return self.stage if self.stage in ("debate", "vote") else None

    @property
    def is_consistent(self) -> bool:
        is_open = self.stage in ("debate", "vote")
        return (
            (self.calling is not None)
            == (self.seat_deadline is not None)
            == (self.phase is not None)
            and (self.motion is not None) == (is_open or self.stage == "carrying")
            and (self.motion_deadline is not None) == is_open
            and (self.calling is not None or not self.waiting)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SeatCall:
    """What a seat is asked; field for field the port's `Call`, which core may not import."""

    phase: Phase
    motion_number: int
    motion: Mapping[str, Any] | None
    reports: tuple[Mapping[str, Any], ...]
    refusal: str
    sent_back: int
    send_backs_max: int
    agenda: tuple[Mapping[str, Any], ...] = ()
    words: tuple[Mapping[str, Any], ...] = ()
