"""What tokens cost: exact until the end, then whole micro-dollars, rounded up.

A dollar for a million tokens is a micro-dollar for one, so prices stand here as they are published.
Invariant: no usage within a bound costs more than `most` of that bound, whatever of it was cached.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Final


@dataclass(frozen=True, slots=True)
class Counted:
    """Tokens as a server counted them. Of `tokens_in`, `cached` were read from its cache and
    `stored` into it.
    """

    tokens_in: int
    tokens_out: int
    cached: int = 0
    stored: int = 0


@dataclass(frozen=True, slots=True)
class Rate:
    """Micro-dollars of one token; with `tiers` (tokens, price) another for all of a call that
    reads more than so many.
    """

    base: Fraction
    tiers: tuple[tuple[int, Fraction], ...] = ()  # rising

    def at(self, tokens_in: int) -> Fraction:
        return next(
            (price for above, price in reversed(self.tiers) if tokens_in > above), self.base
        )

    def most(self, tokens_in: int) -> Fraction:
        """The dearest that a call of at most so many tokens can meet: a longer one may be the
        cheaper.
        """
        return max([self.base, *(price for above, price in self.tiers if tokens_in > above)])


FREE: Final = Rate(Fraction(0))


@dataclass(frozen=True, slots=True)
class Price:
    """One model's, at one moment. What has no rate of its own (`None`) is charged like any other
    input.
    """

    tokens_in: Rate = FREE
    tokens_out: Rate = FREE
    cached: Rate | None = None
    stored: Rate | None = None
    call: Fraction = Fraction(0)

    def of(self, counted: Counted) -> int:
        """Micro-dollars of one call. Parts that claim to be more than the whole are cut down to
        it.
        """
        read = counted.tokens_in
        cached = min(counted.cached, read)
        stored = min(counted.stored, read - cached)
        plain = self.tokens_in.at(read)
        return math.ceil(
            (read - cached - stored) * plain
            + cached * (self.cached.at(read) if self.cached else plain)
            + stored * (self.stored.at(read) if self.stored else plain)
            + counted.tokens_out * self.tokens_out.at(read)
            + self.call
        )

    def most(self, tokens_in: int, tokens_out: int) -> int:
        """Micro-dollars that one call of at most so many tokens can cost."""
        inputs = [
            rate.most(tokens_in) for rate in (self.tokens_in, self.cached, self.stored) if rate
        ]
        return math.ceil(
            tokens_in * max(inputs) + tokens_out * self.tokens_out.most(tokens_in) + self.call
        )
