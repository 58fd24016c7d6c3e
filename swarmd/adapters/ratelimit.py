"""How often and how many at once: the pace of one provider in one process.

Invariant: in no stretch of 60 seconds do more than `per_minute` calls start, and never are more
than `at_once` under way. A token bucket would let twice the number through around its refill, and
providers count exactly that as the offence; a log of the last starts costs a float each and is exact.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import anyio

WINDOW_SECONDS: Final = 60.0


class Pace:
    """First come, first served. `now` (seconds, monotonic) and `sleep` are passed in for tests."""

    def __init__(
        self,
        *,
        per_minute: int,
        at_once: int,
        now: Callable[[], float] = anyio.current_time,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self._starts: deque[float] = deque(maxlen=per_minute)
        self._under_way = anyio.Semaphore(at_once)
        self._turnstile = anyio.Lock()
        self._now = now
        self._sleep = sleep

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold a place among the calls under way, from the moment at which one may start."""
        async with self._under_way:
            # One waits for the window and the others queue behind it: were each to sleep for
            # itself, all would wake at the same instant and the order would be the loop's whim.
            async with self._turnstile:
                await self._until_the_window_has_room()
            yield

    async def _until_the_window_has_room(self) -> None:
        # Asked again after each sleep: a timer may fire a little early.
        while (wait := self._wait_seconds()) > 0:
            await self._sleep(wait)
        self._starts.append(self._now())

    def _wait_seconds(self) -> float:
        if len(self._starts) < (self._starts.maxlen or 0):
            return 0.0
        return self._starts[0] + WINDOW_SECONDS - self._now()
