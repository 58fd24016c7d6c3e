"""Rings through one connection: each part hears its own channels, and is told when it may have missed some."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field
from typing import Literal

import anyio
import pytest
from redis.asyncio import Redis

from swarmd.adapters.embedded import EmbeddedServer
from swarmd.adapters.redis.bell import Bell
from swarmd.adapters.redis.connect import connect
from swarmd.adapters.redis.keys import Keys
from swarmd.adapters.redis.switchboard import WAITING_MAX, Switchboard
from swarmd.core.names import Channel, room

OWN = Channel("_wake:test")
A, B = room("a"), room("b")


@dataclass
class Rig:
    client: Redis
    keys: Keys
    board: Switchboard

    async def publish(self, channel: Channel, text: str) -> int:
        return int(await self.client.publish(self.keys.channel(channel), text))

    async def kill_subscribers(self) -> int:
        return int(await self.client.client_kill_filter(_type="pubsub"))


@pytest.fixture
async def rig(server: EmbeddedServer, namespace: str) -> AsyncIterator[Rig]:
    client, keys = await connect(server.socket), Keys(namespace)
    bell = Bell(client, keys)

    async def wake() -> None:
        await client.publish(keys.channel(OWN), "")

    board = Switchboard(bell, OWN, wake)
    running = asyncio.create_task(board.run())
    yield Rig(client, keys, board)
    running.cancel()
    await asyncio.wait([running])
    await bell.aclose()
    await client.aclose()


async def test_each_line_hears_its_own_channels(rig: Rig) -> None:
    one, two = rig.board.line(), rig.board.line()
    await one.follow([A])
    await two.follow([A, B])
    await _until_heard(rig, A)
    await _until_heard(rig, B)
    await rig.publish(B, "for two")
    assert await one.next(0.05) is None
    assert await two.next(1) == (B, "for two")
    await rig.publish(A, "for both")
    assert await one.next(1) == (A, "for both") == await two.next(1)


async def test_all_lines_share_one_connection(rig: Rig) -> None:
    for _ in range(5):
        await rig.board.line().follow([A])
    await _until_heard(rig, A)
    assert await rig.publish(A, "once") == 1


async def test_a_channel_let_go_is_no_longer_heard(rig: Rig) -> None:
    line = rig.board.line()
    await line.follow([A, B])
    await _until_heard(rig, B)
    await line.follow([A])
    with anyio.fail_after(2):
        while await rig.publish(B, "x"):
            await asyncio.sleep(0.01)


async def test_a_lost_connection_is_told_as_a_gap_and_heals(rig: Rig) -> None:
    line = rig.board.line()
    await line.follow([A])
    await _until_heard(rig, A)
    assert await rig.kill_subscribers()
    with anyio.fail_after(3):
        while await line.next(1) != "gap":
            pass
        await _until_heard(rig, A)
        await rig.publish(A, "after")
        while (ring := await line.next(1)) != (A, "after"):
            assert ring is None or ring == "gap"


async def test_a_line_that_sleeps_is_told_of_a_gap_and_holds_no_more_than_its_bound() -> None:
    fake = FakeRings()

    async def wake() -> None:
        fake.heard.append((OWN, ""))

    board = Switchboard(fake, OWN, wake)
    running = asyncio.create_task(board.run())
    line = board.line()
    await line.follow([A])
    fake.heard += [(A, str(n)) for n in range(WAITING_MAX + 10)]
    while fake.heard:
        await asyncio.sleep(0.01)
    assert await line.next(0) == "gap"
    # What came after the gap is still there.
    assert await line.next(0) == (A, str(WAITING_MAX + 1))
    running.cancel()
    await asyncio.wait([running])


async def test_a_gap_drops_no_ring_that_nothing_else_holds() -> None:
    line = Switchboard(FakeRings(), OWN, _nothing).line(keeps=[A])
    for channel in (A, B, A):
        line.put((channel, "x"))
    line.miss()
    line.miss()
    assert [await line.next(0) for _ in range(4)] == [(A, "x"), (A, "x"), "gap", None]


async def _nothing() -> None:
    pass


@dataclass
class FakeRings:
    heard: list[tuple[Channel, str]] = field(default_factory=list)

    async def follow(self, channels: Collection[Channel]) -> None:
        pass

    async def next(self, seconds: float) -> tuple[Channel, str] | Literal["gap"] | None:
        await asyncio.sleep(0)
        return self.heard.pop(0) if self.heard else None


async def _until_heard(rig: Rig, channel: Channel) -> None:
    """The server counts a subscription some time after it was asked for."""
    name = rig.keys.channel(channel)
    with anyio.fail_after(2):
        while not dict(await rig.client.pubsub_numsub(name)).get(name):
            await asyncio.sleep(0.005)
