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
    """Of one motion and of the whole mission: what its calls take, and for the last one what is
    reserved above that.
    """

    motion: Taken
    whole: Taken


def motion_calls(bench: int, procedure: Way, rounds: int) -> int:
    """Where nobody argues. The brisk procedure asks each seat once, of whom one proposes; the full
    one has a proposal, all seats' arguments in each round, and all their votes.
    """
    return bench if procedure == "brisk" else 1 + bench * rounds + bench


def forecast(bench: int, procedure: Way, rounds: int, sizes: PromptBytes) -> Forecast:
    motion = motion_calls(bench, procedure, rounds)
    seat = sizes.seat // BYTES_OF_TOKEN
    # What is reserved of a call is its bytes: the last one of an account needs so much more than
    # it takes. An executive's is lent by the mission's account, so that it is the seat's alone.
    above = sizes.seat - seat
    executive = EXECUTIVE_CALLS_LEAST * (sizes.executive // BYTES_OF_TOKEN)
    # What it has read stays in its prompt.
    executive += (EXECUTIVE_CALLS_LEAST - 1) * (sizes.reading // BYTES_OF_TOKEN)
    calls = MOTIONS_LEAST * motion + EXECUTIVE_CALLS_LEAST
    return Forecast(
        Taken(motion, motion * seat + above, motion * ANSWER_TOKENS),
        Taken(calls, MOTIONS_LEAST * motion * seat + executive + above, calls * ANSWER_TOKENS),
    )
