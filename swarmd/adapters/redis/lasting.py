"""A blocking connection for verbs that wait: one that was lost is made anew, and what it was asked
is asked again.

Only reads go over it, so asking twice does nothing twice. Verbs that look and leave have no use for
it: they say at once that the server is away.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from swarmd.adapters.redis.connection.errors import refused
from swarmd.adapters.redis.connection.sync_client import ErrorReply, Reply, Wire
from swarmd.adapters.redis.reader import AWAY_SECONDS, Bell
from swarmd.errors import StoreUnavailableError, SwarmError

_PAUSES: Final = (0.1, 0.2, 0.5, 1.0, 2.0)


@dataclass(frozen=True, slots=True)
class Patience:
    """For how long a server that has gone is looked for, and who is told that it has."""

    until: float | None  # of the monotonic clock; `None`: `AWAY_SECONDS` each time
    tell: Callable[[str], None]

    def end(self) -> float:
        return time.monotonic() + AWAY_SECONDS if self.until is None else self.until


class LastingWire:
    """What a `View` asks. Raises `StoreUnavailableError` where the server stays away beyond the
    patience.
    """

    def __init__(self, connect: Callable[[], Wire], patience: Patience) -> None:
        self._connect, self._patience = connect, patience
        self._wire: Wire | None = connect()
        self.address = self._wire.address

    def exchange(self, commands: Sequence[Sequence[str | bytes | int]]) -> list[Reply]:
        end: float | None = None
        failures = 0
        while True:
            try:
                if self._wire is None:
                    self._wire = self._connect()
                return _unless_away(self._wire.exchange(commands))
            except StoreUnavailableError as error:
                self.close()
                if end is None:
                    end = self._patience.end()
                    self._patience.tell(f"{error.what}; trying again")
                if time.monotonic() >= end:
                    raise
                pause = _PAUSES[min(failures, len(_PAUSES) - 1)]
                time.sleep(max(0.0, min(pause, end - time.monotonic())))
                failures += 1

    def close(self) -> None:
        if self._wire is not None:
            self._wire.close()
            self._wire = None


def _unless_away(replies: list[Reply]) -> list[Reply]:
    """A server that has just started answers, and says that it is still loading."""
    for reply in replies:
        if isinstance(reply, ErrorReply):
            error = refused(reply)
            if isinstance(error, StoreUnavailableError):
                raise error
    return replies


class LastingBell:
    """As `Bell`, and silent while the server is away: whoever waits asks the streams after each
    wait.
    """

    def __init__(self, connect: Callable[[], Bell]) -> None:
        self._connect = connect
        self._bell: Bell | None = connect()

    def wait(self, seconds: float) -> bool:
        started = time.monotonic()
        try:
            if self._bell is None:
                # What rang while nobody listened is on the streams: to look at once costs one
                # question.
                self._bell = self._connect()
                return True
            return self._bell.wait(seconds)
        except SwarmError:
            self.close()
            time.sleep(max(0.0, started + seconds - time.monotonic()))
            return False

    def close(self) -> None:
        if self._bell is not None:
            with suppress(OSError):
                self._bell.close()
            self._bell = None
