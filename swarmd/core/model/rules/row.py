"""What a row of a rule says, and the laws that the rules serve."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple, Self


class Law(IntEnum):
    """The laws that the rules serve, by their number and title in docs/laws.md."""

    title: str

    SPAWN = 1, "Spawn"
    TERMINATE = 2, "Terminate"
    PRIVILEGES = 3, "Privileges"
    BUDGET = 4, "Budget"
    BOARD = 5, "Board"
    PRECEDENCE = 6, "Precedence"
    INCARNATION = 7, "Incarnation"
    LOST = 8, "Nothing is lost, nothing happens twice"
    IDENTITY = 9, "Identity"
    IDLE = 10, "Zero idle cost"
    ORPHANS = 11, "No orphans"
    RECORDED = 12, "Recorded"
    ACCEPTED = 13, "Work is accepted"
    SILENCE = 14, "Nobody waits in silence"

    def __new__(cls, number: int, title: str) -> Self:
        law = int.__new__(cls, number)
        law._value_ = number
        law.title = title
        return law


class Row(NamedTuple):
    """The code, the law that it serves, what the refusal means, what to do about it, and where in
    docs/ there is more.
    """

    code: str
    law: Law
    meaning: str
    remedy: str
    page: str = ""
