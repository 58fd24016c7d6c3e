"""Times of the runtime's own mechanics, with their relations asserted. Declared bounds are in
`rules`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final


def epoch_of(stamp: str) -> float:
    """Seconds since the epoch of an ISO-8601 stamp."""
    return datetime.fromisoformat(stamp).timestamp()


def stamp_of(now: float) -> str:
    """ISO-8601 UTC with milliseconds."""
    return _stamp_of(round(now * 1e6) // 1000)


# Asked several times in each turn, and by many turns in one millisecond.
@lru_cache(maxsize=64)
def _stamp_of(milliseconds: int) -> str:
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Moment:
    """Time and ids, passed in: `stamp` is `now` as ISO-8601."""

    now: float
    stamp: str
    ids: Iterable[str]

    def new_id(self, prefix: str) -> str:
        return f"{prefix}-{next(iter(self.ids))}"


# A host's and the supervisor's lease, by the server's clock, and how often it is renewed: two
# renewals may be lost before it ends.
LEASE_SECONDS: Final = 10.0


RENEW_SECONDS: Final = 3.0


# A lost ring costs this at most: so often a process asks which channels have moved.
SWEEP_SECONDS: Final = 1.0


# How long the supervisor waits for a ring before it looks at deadlines, hosts and the entrance.
TICK_SECONDS: Final = 0.25


# A question to the server that took longer says nothing about whether hosts are silent: patience
# starts anew.
SLOW_SECONDS: Final = 2.0


# How long ended tasks are given to unwind when a host ends a subtree, and calls to settle when
# cancelled.
UNWIND_SECONDS: Final = 4.0


SETTLE_SECONDS: Final = 3.0


# What a use of a function takes at the very most, be the disk of the mission's files slow or far:
# longer is shown as stuck.
FUNCTION_SECONDS: Final = 60.0


# The journal's head is signed into a file at least so often while it moves: what an anchor covers
# cannot be rewritten unseen by whoever holds Redis. The promise is 5 s; the rest is for the
# writing.
ANCHOR_SECONDS: Final = 4.0


# How often the supervisor looks which streams have grown beyond what is kept: so long they may be
# longer.
TRIM_SECONDS: Final = 2.0


# How often the supervisor compares what it counted of the channels that moved with what their
# streams say: so long an entry that somebody wrote by hand may lie unrecorded.
COUNT_SECONDS: Final = 60.0


assert ANCHOR_SECONDS < 5.0


assert 3 * RENEW_SECONDS < LEASE_SECONDS


assert TICK_SECONDS < SWEEP_SECONDS < RENEW_SECONDS


assert SLOW_SECONDS < LEASE_SECONDS / 2


assert UNWIND_SECONDS < 5.0  # reconcile.WORD_SECONDS: the host's word must be able to come in time


_PERIODS: Final = {"hour": "%Y-%m-%dT%H", "day": "%Y-%m-%d", "week": "%G-W%V", "month": "%Y-%m"}


def period_of(now: float, length: str) -> str:
    """The name of the period by UTC that a moment (seconds since the epoch) lies in; empty
    without a length.
    """
    return datetime.fromtimestamp(now, UTC).strftime(_PERIODS[length]) if length else ""


@dataclass(slots=True)
class ForwardTime:
    """Time to decide by, made of the readings of a clock that may be set back.

    Deadlines are compared with it and remembered by it. Had it followed a clock that is set back by
    an hour, whatever was noted before would wait for an hour longer, and nobody would be called. So
    it never goes back: it goes on at half the clock's speed until the clock has caught up, and
    every wait takes at most twice its time meanwhile. A clock that is set forward is followed at
    once: the time may have passed, as when the machine slept.
    """

    at: float = 0.0
    _reading: float = 0.0

    def read(self, reading: float) -> float:
        """The time now, where the clock says `reading` (seconds since the epoch)."""
        passed = max(0.0, reading - self._reading)
        self.at, self._reading = max(reading, self.at + passed / 2), reading
        return self.at
