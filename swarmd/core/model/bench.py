"""The bench of a mission: which seats sit on it, who has the chair, and how many decide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict

from swarmd.core.model.board_rules import BoardRules


class Bench(BaseModel):
    """Stored with the mission's procedure, so that a restart and a later edit of
    `policies/board.yaml` change nobody's vote.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    seats: tuple[str, ...] = ()  # in speaking order
    chair: str = ""
    quorum: int = 1
    tie_break: Literal["chair", "fails"] = "chair"

    def others(self, seat: str) -> tuple[str, ...]:
        return tuple(other for other in self.seats if other != seat)

    def chair_alone(self) -> Bench:
        return Bench(seats=(self.chair,), chair=self.chair, tie_break=self.tie_break)

    def from_seat(self, first: int) -> tuple[str, ...]:
        """All seats, beginning with the one so many places behind the chair."""
        at = (self.seats.index(self.chair) + first) % len(self.seats)
        return self.seats[at:] + self.seats[:at]


def bench_of(rules: BoardRules, seats: int | None = None) -> Bench:
    """The chair and, up to so many seats, the others in speaking order; all where none is said."""
    count = len(rules.seats) if seats is None else min(seats, len(rules.seats))
    others = [seat for seat in rules.seats if seat != rules.chair][: count - 1]
    sitting = tuple(seat for seat in rules.seats if seat == rules.chair or seat in others)
    return Bench(
        seats=sitting,
        chair=rules.chair,
        quorum=quorum_of(rules, len(sitting)),
        tie_break=rules.tie_break,
    )


def quorum_of(rules: BoardRules, seats: int) -> int:
    """A mission may ask for fewer seats than a declared number of them: all of those are then
    needed.
    """
    if rules.quorum == "majority":
        return seats // 2 + 1
    return min(rules.quorum, seats)


def seats_for(
    rules: BoardRules, budget: Mapping[str, int], asked: int | Literal["all"] | None
) -> int:
    """How many seats a mission has: what it asks for, else by the size of its budget."""
    if asked is not None:
        return len(rules.seats) if asked == "all" else min(asked, len(rules.seats))
    for size in rules.bench:
        if budget["tokens"] < size.tokens_below:
            return min(size.seats, len(rules.seats))
    return len(rules.seats)
