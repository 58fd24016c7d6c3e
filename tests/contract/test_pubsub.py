"""Rings through one connection: each part hears its own channels, and is told when it may have
missed some.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import anyio
import pytest

from swarmd.adapters.redis.connection.connection import dial
from swarmd.adapters.redis.connection.pipeline import Pipe
from swarmd.adapters.redis.connection.pubsub import SUBSCRIBE_BATCH, WAITING_MAX, Bell, Line
from swarmd.adapters.redis.keys import Keys
from swarmd.adapters.server.embedded import EmbeddedServer
from swarmd.core.model.channels import room
from swarmd.core.model.names import Channel
from tests.conftest import HANG_SECONDS

A, B = room("a"), room("b")


@dataclass
class Rig:
    pipe: Pipe
    keys: Keys
    bell: Bell

    async def line(self, *channels: Channel) -> Line:
        line = self.bell.line()
        await line.follow(channels)
        return line

    async def publish(self, channel: Channel, text: str) -> int:
        return int(await self.pipe.execute("PUBLISH", self.keys.channel(channel), text))

    async def kill_subscribers(self) -> int:
        return int(await self.pipe.execute("CLIENT", "KILL", "TYPE", "pubsub"))


@pytest.fixture
async def rig(server: EmbeddedServer, namespace: str) -> AsyncIterator[Rig]:
    pipe, keys = Pipe(dial(server.socket)), Keys(namespace)
    bell = Bell(dial(server.socket), keys)
    running = [asyncio.create_task(pipe.run()), asyncio.create_task(bell.run())]
    yield Rig(pipe, keys, bell)
    for task in running:
        task.cancel()
    await asyncio.wait(running)


async def test_each_line_hears_its_own_channels(rig: Rig) -> None:
    one, two = await rig.line(A), await rig.line(A, B)
    await rig.publish(B, "for two")
    assert await two.next(HANG_SECONDS) == (B, "for two")
    assert await one.next(0.05) is None
    await rig.publish(A, "for both")
    assert await one.next(HANG_SECONDS) == (A, "for both") == await two.next(HANG_SECONDS)


async def test_what_is_followed_rings_from_then_on(rig: Rig) -> None:
    line = await rig.line()
    for n in range(50):
        await line.follow([room(f"r{n}")])
        await rig.publish(room(f"r{n}"), "at once")
        assert await line.next(HANG_SECONDS) == (room(f"r{n}"), "at once")


async def test_thousands_of_channels_are_followed_at_once(rig: Rig) -> None:
    rooms = [room(f"r{n}") for n in range(5 * SUBSCRIBE_BATCH + 1)]
    line = await rig.line(*rooms)
    await rig.publish(rooms[-1], "the last")
    assert await line.next(HANG_SECONDS) == (rooms[-1], "the last")


async def test_all_lines_share_one_connection(rig: Rig) -> None:
    for _ in range(5):
        await rig.line(A)
    assert await rig.publish(A, "once") == 1


async def test_a_channel_let_go_is_no_longer_heard(rig: Rig) -> None:
    line = await rig.line(A, B)
    await line.follow((), gone=[B])
    with anyio.fail_after(HANG_SECONDS):
        while await rig.publish(B, "x"):
            await asyncio.sleep(0.01)


async def test_a_channel_that_another_still_hears_is_not_let_go(rig: Rig) -> None:
    one, two = await rig.line(A), await rig.line(A)
    await one.follow((), gone=[A])
    await rig.bell.line().aclose()
    await rig.publish(A, "x")
    assert await two.next(HANG_SECONDS) == (A, "x")
    assert await one.next(0) is None
    await two.aclose()
    with anyio.fail_after(HANG_SECONDS):
        while await rig.publish(A, "x"):
            await asyncio.sleep(0.01)


async def test_a_lost_connection_is_told_as_a_gap_and_heals(rig: Rig) -> None:
    line = await rig.line(A)
    assert await rig.kill_subscribers()
    with anyio.fail_after(HANG_SECONDS):
        assert await line.next(HANG_SECONDS) == "gap"
        # Once more when it hears again: what rang in between is in the streams.
        while await line.next(1) != "gap":
            pass
        await rig.publish(A, "after")
        assert await line.next(HANG_SECONDS) == (A, "after")


async def test_a_line_that_sleeps_is_told_of_a_gap_and_holds_no_more_than_its_bound(
    rig: Rig,
) -> None:
    line = await rig.line(A)
    for n in range(WAITING_MAX + 2):
        line.put((A, str(n)))
    assert await line.next(0) == "gap"
    # What came after the gap is still there.
    assert await line.next(0) == (A, str(WAITING_MAX + 1))


async def test_a_gap_drops_no_ring_that_nothing_else_holds(rig: Rig) -> None:
    line = rig.bell.line(keeps=[A])
    for channel in (A, B, A):
        line.put((channel, "x"))
    line.miss()
    line.miss()
    assert [await line.next(0) for _ in range(4)] == [(A, "x"), (A, "x"), "gap", None]
