"""How often and how many at once: the pace of one provider, in this process and in all of the
swarm's.

Invariant: in no stretch of 60 seconds do more than `per_minute` calls start, and never are more
than `at_once` of this process under way. A token bucket would let twice the number through around
its refill, and providers count exactly that as the offence; a log of the last starts is exact.

The swarm's log is with the store (`SharedPace`). While that is away, each process keeps to the
whole pace by a log of its own: a call that has begun is not given up because its pace cannot be
asked for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, NamedTuple, Protocol

import anyio
import structlog

from swarmd.errors import SwarmError

log = structlog.get_logger(__name__)

WINDOW_SECONDS: Final = 60.0
# An answer of the store takes a millisecond. One that is away for longer is not waited for.
ASK_SECONDS: Final = 2.0


class Start(NamedTuple):
    """A start that was given to one call alone, and how far ahead it lies; without a name none
    was given.
    """

    name: str
    wait_seconds: float


class SharedPace(Protocol):
    """Starts, given to the calls of all workers in the order in which they ask. A start that
    nobody uses is lost.
    """

    async def take(
        self, model: str, tokens: int, wait_seconds_max: float, before: str = ""
    ) -> Start:
        """The next start, or none where that lies too far ahead.

        With `before`, a start whose time has come: the same, unless the provider has asked for
        patience since.
        """

    async def hold(self, model: str, seconds: float) -> None:
        """Give no start of this model's for so long."""


class TooLateError(Exception):
    """The next start lies further ahead than the call may wait."""


class Pace:
    """First come, first served. `now` (seconds, monotonic) and `sleep` are passed in for tests."""

    def __init__(
        self,
        *,
        per_minute: int,
        at_once: int,
        shared: SharedPace | None = None,
        now: Callable[[], float] = anyio.current_time,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self._starts: deque[float] = deque(maxlen=per_minute)
        self._held: dict[str, float] = {}
        self._under_way = anyio.Semaphore(at_once)
        self._turnstile = anyio.Lock()
        self._shared = shared
        self._is_alone = False
        self._now = now
        self._sleep = sleep

    @asynccontextmanager
    async def place(
        self, model: str = "", tokens: int = 0, wait_seconds_max: float = 600.0
    ) -> AsyncIterator[None]:
        """Hold a place among the calls under way, from the moment at which one may start.

        Raises `TooLateError` at once where the swarm's next start lies further ahead than
        `wait_seconds_max`.
        """
        async with self._under_way:
            await self._until_the_swarm_may(model, tokens, wait_seconds_max)
            # One waits for the window and the others queue behind it: were each to sleep for
            # itself, all would wake at the same instant and the order would be the loop's whim.
            async with self._turnstile:
                await self._until_the_window_has_room(model)
            yield

    async def hold(self, model: str, seconds: float) -> None:
        """The provider has asked for patience: nothing of this model's starts for so long, in no
        worker.
        """
        self._held[model] = max(self._held.get(model, 0.0), self._now() + seconds)
        if self._shared is not None:
            await self._ask_shared(self._shared.hold(model, seconds))

    async def _until_the_swarm_may(self, model: str, tokens: int, wait_seconds_max: float) -> None:
        before, ends = "", self._now() + wait_seconds_max
        while self._shared is not None:
            start = await self._ask_shared(
                self._shared.take(model, tokens, max(0.0, ends - self._now()), before)
            )
            if start is None:
                return
            if not start.name:
                raise TooLateError(f"the next start is {start.wait_seconds:.0f} s ahead")
            if start.wait_seconds <= 0:
                return
            await self._sleep(start.wait_seconds)
            before = start.name

    async def _ask_shared(self, question: Awaitable[Start | None]) -> Start | None:
        """The store's answer; `None` where there is none, and that is said once."""
        answer: Start | None = None
        is_answered = False
        try:
            with anyio.move_on_after(ASK_SECONDS):
                answer = await question
                is_answered = True
        except SwarmError as error:
            log.debug("shared_pace_not_asked", why=error.what)
        if self._is_alone is is_answered:
            self._is_alone = not is_answered
            # While it is lost, this process keeps a pace of its own.
            log.warning("shared_pace_back" if is_answered else "shared_pace_lost")
        return answer

    async def _until_the_window_has_room(self, model: str) -> None:
        # Asked again after each sleep: a timer may fire a little early.
        while (wait := self._wait_seconds(model)) > 0:
            await self._sleep(wait)
        self._starts.append(self._now())

    def _wait_seconds(self, model: str) -> float:
        held = self._held.get(model, 0.0) - self._now()
        if len(self._starts) < (self._starts.maxlen or 0):
            return held
        return max(held, self._starts[0] + WINDOW_SECONDS - self._now())
