"""The pace towards a provider that all workers keep together, by a script on a real server and
on fakeredis.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import anyio
import pytest

from swarmd.adapters.models.rate_limit import Pace, Start, TooLateError
from swarmd.adapters.redis.rate_limit import RedisPace
from swarmd.adapters.redis.store import RedisStore
from swarmd.errors import StoreUnavailableError
from tests.conftest import HANG_SECONDS
from tests.contract.test_store import open_store

MODEL = "gpt-test"
WINDOW = 1.5
LATE = 0.5  # what the timers and answers of a busy machine may add to a start
# Nobody waits for these: they are long so that what an answer takes is small beside them.
LONG = 600.0
SLACK = 30.0


def pace_of(
    store: RedisStore, calls: int = 1_000, tokens: int = 0, window: float = WINDOW
) -> RedisPace:
    return RedisPace(store.pipe, store.keys, "openai", calls, tokens, window)


@asynccontextmanager
async def two_workers(
    socket: str | None, store: RedisStore
) -> AsyncIterator[tuple[RedisStore, RedisStore]]:
    """Two stores with a connection of their own each; over fakeredis both are one."""
    if socket is None:
        yield store, store
        return
    async with open_store(socket, store.keys.namespace) as other:
        yield store, other


async def test_two_workers_together_start_no_more_calls_in_a_window_than_allowed(
    socket: str | None, store: RedisStore
) -> None:
    starts: list[float] = []
    async with two_workers(socket, store) as stores, anyio.create_task_group() as tasks:
        workers = [
            Pace(per_minute=1_000, at_once=50, shared=pace_of(one, calls=4)) for one in stores
        ]

        async def call(pace: Pace) -> None:
            async with pace.place(MODEL, 10, 60.0):
                starts.append(time.monotonic())

        for number in range(14):
            tasks.start_soon(call, workers[number % 2])
    starts.sort()
    assert all(b - a >= WINDOW - LATE for a, b in zip(starts, starts[4:], strict=False))
    assert starts[-1] - starts[0] >= 3 * WINDOW - LATE


async def test_starts_are_given_in_the_order_in_which_they_were_asked_for(
    store: RedisStore,
) -> None:
    pace = pace_of(store, calls=3, window=LONG)
    waits = [(await pace.take(MODEL, 0, 9 * LONG)).wait_seconds for _ in range(8)]
    assert waits[:3] == [0, 0, 0]
    assert waits[3:6] == pytest.approx([LONG] * 3, abs=SLACK)
    assert waits[6:] == pytest.approx([2 * LONG] * 2, abs=SLACK)
    assert all(a <= b + SLACK for a, b in pairwise(waits))


async def test_tokens_are_bounded_beside_calls_and_the_largest_call_has_a_window_for_itself(
    store: RedisStore,
) -> None:
    pace = pace_of(store, tokens=100, window=LONG)
    waits = [
        (await pace.take(MODEL, tokens, 9 * LONG)).wait_seconds
        for tokens in (60, 40, 30, 30, 60, 5_000, 1)
    ]
    assert waits == pytest.approx([n * LONG for n in (0, 0, 1, 1, 2, 3, 4)], abs=SLACK)


async def test_what_has_left_the_window_bounds_nothing_and_is_not_kept(store: RedisStore) -> None:
    pace = pace_of(store, calls=5, tokens=50, window=0.05)
    for _ in range(8):
        assert (await pace.take(MODEL, 50, 60.0)).wait_seconds == 0
        await anyio.sleep(0.06)
    assert int(await store.pipe.execute("ZCARD", store.keys.starts("openai"))) <= 2


async def test_a_start_too_far_ahead_is_not_taken(store: RedisStore) -> None:
    pace = pace_of(store, calls=1, window=LONG)
    assert (await pace.take(MODEL, 0, 5.0)).name
    late = await pace.take(MODEL, 0, 5.0)
    assert late.name == ""
    assert late.wait_seconds == pytest.approx(LONG, abs=SLACK)
    with pytest.raises(TooLateError):
        async with Pace(per_minute=100, at_once=1, shared=pace).place(MODEL, 0, 5.0):
            raise AssertionError("it had no place")
    assert (await pace.take(MODEL, 0, 1.5 * LONG)).wait_seconds == pytest.approx(LONG, abs=SLACK)


async def test_what_a_provider_asks_of_one_worker_all_heed_for_that_model_alone(
    socket: str | None, store: RedisStore
) -> None:
    async with two_workers(socket, store) as (one, other):
        await pace_of(one).hold(MODEL, LONG)
        await pace_of(one).hold(MODEL, 1.0)
        assert (await pace_of(other).take("another", 0, 2 * LONG)).wait_seconds == 0
        wait = (await pace_of(other).take(MODEL, 0, 2 * LONG)).wait_seconds
        assert wait == pytest.approx(LONG, abs=SLACK)


async def test_who_waited_for_a_start_asks_once_more_whether_it_still_stands(
    store: RedisStore,
) -> None:
    pace = pace_of(store, calls=1, window=SLACK)
    await pace.take(MODEL, 0, LONG)
    start = await pace.take(MODEL, 0, LONG)
    assert start.wait_seconds > 0
    assert await pace.take(MODEL, 0, LONG, start.name) == Start(start.name, 0)
    await pace.hold(MODEL, LONG)
    another = await pace.take(MODEL, 0, 2 * LONG, start.name)
    assert another.name != start.name
    assert another.wait_seconds == pytest.approx(LONG, abs=SLACK)
    left = await store.pipe.execute("ZRANGE", store.keys.starts("openai"), 0, -1)
    assert start.name not in left


class Away:
    """A store that does not answer, or says that it cannot."""

    def __init__(self, *, is_silent: bool) -> None:
        self.is_silent = is_silent

    async def take(self, _model: str, _tokens: int, _wait: float, _before: str = "") -> Start:
        if self.is_silent:
            await anyio.sleep_forever()
        raise StoreUnavailableError("gone")

    async def hold(self, model: str, _seconds: float) -> None:
        await self.take(model, 0, 0.0)


@pytest.mark.parametrize("is_silent", [True, False])
async def test_while_the_store_is_away_a_call_goes_on_at_this_processes_own_pace(
    *, is_silent: bool
) -> None:
    pace = Pace(per_minute=2, at_once=1, shared=Away(is_silent=is_silent))
    with anyio.fail_after(HANG_SECONDS):
        async with pace.place(MODEL, 1, 60.0):
            pass
    started = pace._starts.copy()
    assert len(started) == 1, "and it counts in this process's own log"
