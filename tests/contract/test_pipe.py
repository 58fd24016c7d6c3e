"""The pipe keeps its order and its callers' replies, whatever happens to the connection."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator

import anyio
import pytest
from redis.asyncio import Redis

from swarmd.adapters.embedded import EmbeddedServer
from swarmd.adapters.redis.connect import connect
from swarmd.adapters.redis.lua import Script, script
from swarmd.adapters.redis.pipe import BATCH_MAX, Pipe
from swarmd.errors import StoreUnavailableError, SwarmError


@pytest.fixture
async def client(server: EmbeddedServer) -> AsyncIterator[Redis]:
    client = await connect(server.socket)
    yield client
    await client.aclose()


@pytest.fixture
async def pipe(client: Redis) -> AsyncIterator[Pipe]:
    pipe = Pipe(client)
    # A plain task: a fixture is left in another task than it was entered in.
    running = asyncio.create_task(pipe.run())
    yield pipe
    running.cancel()
    await asyncio.wait([running])


async def test_each_caller_gets_its_own_reply(pipe: Pipe, namespace: str) -> None:
    count = 3 * BATCH_MAX
    await asyncio.gather(*(pipe.execute("SET", f"{namespace}:{n}", n) for n in range(count)))
    replies = await asyncio.gather(*(pipe.execute("GET", f"{namespace}:{n}") for n in range(count)))
    assert replies == [str(n) for n in range(count)]


async def test_what_waits_together_travels_together(pipe: Pipe, client: Redis, namespace: str) -> None:
    before = await _reads(client)
    await asyncio.gather(*(pipe.execute("SET", f"{namespace}:k", n) for n in range(BATCH_MAX)))
    # The server read its sockets a few times, not once for each command.
    assert await _reads(client) - before < BATCH_MAX / 4


async def _reads(client: Redis) -> int:
    return int((await client.info("stats"))["total_reads_processed"])


async def test_a_script_the_server_does_not_know_is_loaded_and_run_once(pipe: Pipe, namespace: str) -> None:
    text = f"-- {namespace}\nreturn redis.call('INCR', KEYS[1])"
    fresh = Script("fresh", text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
    assert await pipe.evaluate(fresh, [f"{namespace}:n"], []) == 1
    assert await pipe.evaluate(fresh, [f"{namespace}:n"], []) == 2


async def test_a_killed_connection_costs_nothing_but_time(
    pipe: Pipe, client: Redis, server: EmbeddedServer, namespace: str
) -> None:
    other = await connect(server.socket, name="killer")
    killed = 0

    async def kill() -> None:
        nonlocal killed
        for _ in range(10):
            await asyncio.sleep(0.01)
            for row in await other.client_list():
                if row["name"] == "swarmd":
                    killed += await other.client_kill_filter(_id=row["id"])

    async def write(n: int) -> None:
        for i in range(20):
            await pipe.execute("SADD", f"{namespace}:seen", f"{n}-{i}")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(kill)
        for n in range(50):
            tasks.start_soon(write, n)
    assert killed > 0
    assert await pipe.execute("SCARD", f"{namespace}:seen") == 1_000
    await other.aclose()


async def test_a_keyed_post_that_is_sent_twice_happens_once(pipe: Pipe, namespace: str) -> None:
    keys = [f"{namespace}:s", f"{namespace}:heads", f"{namespace}:posts", f"{namespace}:once"]
    args: list[str | int] = ["s", '"channel":"s"}', 60, "from", "me", "kind", "say"]
    first = await pipe.evaluate(script("post"), keys, args)
    assert await pipe.evaluate(script("post"), keys, args) == first
    assert await pipe.execute("XLEN", keys[0]) == 1


async def test_a_refused_command_fails_its_caller_alone(pipe: Pipe, namespace: str) -> None:
    await pipe.execute("SET", f"{namespace}:text", "x")
    bad = asyncio.ensure_future(pipe.execute("INCR", f"{namespace}:text"))
    good = asyncio.ensure_future(pipe.execute("SET", f"{namespace}:good", "1"))
    assert await good
    with pytest.raises(SwarmError, match="not an integer"):
        await bad


async def test_a_cancelled_caller_does_not_shift_the_others_replies(pipe: Pipe, namespace: str) -> None:
    for n in range(200):
        task = asyncio.ensure_future(pipe.execute("SET", f"{namespace}:c", n))
        await asyncio.sleep(0)
        task.cancel()
        assert await pipe.execute("ECHO", f"canary-{n}") == f"canary-{n}"


async def test_patience_ends_and_says_so() -> None:
    client = await connect("unix:///nowhere/at/all.sock", is_checked=False)
    pipe = Pipe(client, patience=0.2)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pipe.run)
        with pytest.raises(StoreUnavailableError):
            await pipe.execute("PING")
        assert pipe.is_away
        tasks.cancel_scope.cancel()
    await client.aclose()


async def test_a_pipe_that_ends_tells_whoever_waits() -> None:
    client = await connect("unix:///nowhere/at/all.sock", is_checked=False)
    pipe = Pipe(client)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pipe.run)
        waiting = asyncio.ensure_future(pipe.execute("PING"))
        await asyncio.sleep(0.05)
        tasks.cancel_scope.cancel()
    with pytest.raises(StoreUnavailableError):
        await waiting
    await client.aclose()
