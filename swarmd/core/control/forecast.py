"""The least that a mission takes, before its first call. Pure.

Two motions are the least that any mission has: one that charters, one that delivers; and between
them one executive, which reads and reports. Of each call the prompt's own text is known, of its
answer what answers have taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from swarmd.core.model.generation import BYTES_OF_TOKEN
from swarmd.core.model.records import CallPrice

Way: TypeAlias = Literal["brisk", "full"]
MOTIONS_LEAST: Final = 2
# One that reads, and one that reports what it has read.
EXECUTIVE_CALLS_LEAST: Final = 2
# Of an answer, as was counted of a capable model's: 1,400 over the two calls of an executive that
# read and reported, and less of a seat that votes.
ANSWER_TOKENS: Final = 700


@dataclass(frozen=True, slots=True)
class PromptBytes:
    """What a call carries at least, in bytes of its text: of a seat, of an executive, and what an
    executive is given to read of the mission's files.
    """

    seat: int
    executive: int
    reading: int = 0


@dataclass(frozen=True, slots=True)
class Taken:
    """Calls, and the tokens that they read and write. `cost` is what these cost at a price."""

    calls: int
    tokens_in: int
    tokens_out: int

    @property
    def tokens(self) -> int:
        return self.tokens_in + self.tokens_out

    def cost(self, price: CallPrice) -> int:
        return price.of(self.calls, self.tokens_in, self.tokens_out)


@dataclass(frozen=True, slots=True)
class Forecast:
    """Of one call of a seat, one motion, the executive and the whole mission: what its calls take,
    and for the last one of a motion or mission what is reserved above that. `argued` is the whole
    with an argument on each motion.
    """

    seat: Taken
    above: Taken
    executive: Taken
    motion: Taken
    whole: Taken
    argued: Taken


def motion_calls(bench: int, procedure: Way, rounds: int) -> int:
    """Where nobody argues. The brisk procedure asks each seat once, of whom one proposes; the full
    one has a proposal, all seats' arguments in each round, and all their votes.
    """
    return bench if procedure == "brisk" else 1 + bench * rounds + bench


def argument_calls(bench: int, procedure: Way) -> int:
    """What an argument adds to a motion: its proposer responds, which is its vote, and all others
    vote. On a bench of one nobody argues, and in the full procedure all argue and vote as it is.
    """
    return bench if procedure == "brisk" and bench > 1 else 0


def forecast(bench: int, procedure: Way, rounds: int, sizes: PromptBytes) -> Forecast:
    motion = motion_calls(bench, procedure, rounds)
    seat = Taken(1, sizes.seat // BYTES_OF_TOKEN, ANSWER_TOKENS)
    # What is reserved of a call is its bytes: the last one of an account needs so much more than
    # it takes. An executive's is lent by the mission's account, so that it is the seat's alone.
    above = Taken(0, sizes.seat - seat.tokens_in, 0)
    executive = EXECUTIVE_CALLS_LEAST * (sizes.executive // BYTES_OF_TOKEN)
    # What it has read stays in its prompt.
    executive += (EXECUTIVE_CALLS_LEAST - 1) * (sizes.reading // BYTES_OF_TOKEN)
    worker = Taken(EXECUTIVE_CALLS_LEAST, executive, EXECUTIVE_CALLS_LEAST * ANSWER_TOKENS)
    calls = MOTIONS_LEAST * motion
    argued = calls + MOTIONS_LEAST * argument_calls(bench, procedure)
    return Forecast(
        seat,
        above,
        worker,
        _sum(_times(motion, seat), above),
        _sum(_times(calls, seat), worker, above),
        _sum(_times(argued, seat), worker, above),
    )


def _times(calls: int, one: Taken) -> Taken:
    return Taken(calls * one.calls, calls * one.tokens_in, calls * one.tokens_out)


def _sum(*parts: Taken) -> Taken:
    return Taken(
        sum(part.calls for part in parts),
        sum(part.tokens_in for part in parts),
        sum(part.tokens_out for part in parts),
    )
