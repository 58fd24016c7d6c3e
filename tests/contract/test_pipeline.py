"""The pipe keeps its order and its callers' replies, whatever happens to the connection."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from swarmd.adapters.redis.connection import pipeline as pipe_module
from swarmd.adapters.redis.connection.connection import dial
from swarmd.adapters.redis.connection.pipeline import DEPTH_MAX, Pipe
from swarmd.adapters.redis.lua import Script, script
from swarmd.adapters.server.embedded import EmbeddedServer
from swarmd.errors import StoreUnavailableError, SwarmError
from tests.conftest import HANG_SECONDS
from tests.contract.piped import piped
from tests.e2e.proxy import Proxy


@pytest.fixture
async def pipe(server: EmbeddedServer) -> AsyncIterator[Pipe]:
    pipe = Pipe(dial(server.socket, name="piped"))
    # A plain task: a fixture is left in another task than it was entered in.
    running = asyncio.create_task(pipe.run())
    yield pipe
    running.cancel()
    await asyncio.wait([running])


async def test_each_caller_gets_its_own_reply(pipe: Pipe, namespace: str) -> None:
    count = 2 * DEPTH_MAX
    await asyncio.gather(*(pipe.execute("SET", f"{namespace}:{n}", n) for n in range(count)))
    replies = await asyncio.gather(*(pipe.execute("GET", f"{namespace}:{n}") for n in range(count)))
    assert replies == [str(n) for n in range(count)]


async def test_what_is_ready_together_travels_together(pipe: Pipe, namespace: str) -> None:
    before = await _reads(pipe)
    await asyncio.gather(*(pipe.execute("SET", f"{namespace}:k", n) for n in range(256)))
    # The server read its sockets a few times, not once for each command.
    assert await _reads(pipe) - before < 64


async def _reads(pipe: Pipe) -> int:
    stats = str(await pipe.execute("INFO", "stats"))
    return int(stats.partition("total_reads_processed:")[2].split()[0])


async def test_values_are_text_and_bytes_that_are_none_break_nothing(
    pipe: Pipe, namespace: str
) -> None:
    await pipe.execute("SET", namespace, "ein Schw\u00e4n")
    assert await pipe.execute("GET", namespace) == "ein Schw\u00e4n"
    await pipe.execute("SETRANGE", namespace, 0, "x")
    await pipe.execute("EVAL", "redis.call('SET', KEYS[1], '\\255\\254')", 1, namespace)
    assert await pipe.execute("GET", namespace) == "\ufffd\ufffd"
    await pipe.execute("SET", namespace, "half \ud800")
    assert await pipe.execute("GET", namespace) == "half ?"


async def test_a_script_the_server_does_not_know_is_loaded_and_run_once(
    pipe: Pipe, namespace: str
) -> None:
    text = f"-- {namespace}\nreturn redis.call('INCR', KEYS[1])"
    fresh = Script("fresh", text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
    together = await asyncio.gather(
        *(pipe.evaluate(fresh, [f"{namespace}:n"], []) for _ in range(3))
    )
    assert sorted(together) == [1, 2, 3]
    assert await pipe.evaluate(fresh, [f"{namespace}:n"], []) == 4


async def test_a_killed_connection_costs_nothing_but_time(
    pipe: Pipe, server: EmbeddedServer, namespace: str
) -> None:
    killer = Pipe(dial(server.socket, name="killer"))
    killed = 0

    async def kill() -> None:
        nonlocal killed
        for _ in range(10):
            await asyncio.sleep(0.01)
            for row in str(await killer.execute("CLIENT", "LIST")).splitlines():
                if " name=piped " in row:
                    killed += await killer.execute(
                        "CLIENT", "KILL", "ID", row.split()[0].removeprefix("id=")
                    )

    async def write(n: int) -> None:
        for i in range(20):
            await pipe.execute("SADD", f"{namespace}:seen", f"{n}-{i}")
            await asyncio.sleep(0.005)

    async with anyio.create_task_group() as running:
        running.start_soon(killer.run)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(kill)
            for n in range(50):
                tasks.start_soon(write, n)
        running.cancel_scope.cancel()
    assert killed > 0
    assert await pipe.execute("SCARD", f"{namespace}:seen") == 1_000


async def test_a_connection_that_owes_a_reply_too_long_is_made_anew(
    server: EmbeddedServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipe_module, "COMMAND_SECONDS", 0.2)
    async with Proxy(server.socket).running() as line, anyio.create_task_group() as tasks:
        pipe = Pipe(dial(line.url))
        tasks.start_soon(pipe.run)
        assert await pipe.execute("INCR", f"{namespace}:n") == 1
        line.is_half_open = True
        owed = asyncio.ensure_future(pipe.execute("PING"))
        with anyio.fail_after(HANG_SECONDS):
            while not pipe.is_away:
                await asyncio.sleep(0.01)
            line.is_half_open = False
            line.reset()
            assert await owed == "PONG"
            while pipe.is_away:
                await asyncio.sleep(0.01)
        tasks.cancel_scope.cancel()


async def test_a_pipe_outlives_a_restart_of_its_server(short_path: Path) -> None:
    async with anyio.create_task_group() as tasks:
        async with EmbeddedServer(short_path) as first:
            pipe = Pipe(dial(first.socket))
            tasks.start_soon(pipe.run)
            await pipe.execute("SET", "kept", "this")
        waiting = asyncio.ensure_future(pipe.execute("GET", "kept"))
        await asyncio.sleep(0.1)
        assert pipe.is_away
        async with EmbeddedServer(short_path):
            assert await waiting == "this"
            tasks.cancel_scope.cancel()


async def test_a_keyed_post_that_is_sent_twice_happens_once(pipe: Pipe, namespace: str) -> None:
    keys = [f"{namespace}:{name}" for name in ("s", "heads", "posts", "once", "ends")]
    args: list[str | int] = ["s", '{"from":"me","kind":"say"}', "", 60]
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


async def test_a_cancelled_caller_does_not_shift_the_others_replies(
    pipe: Pipe, namespace: str
) -> None:
    for n in range(200):
        task = asyncio.ensure_future(pipe.execute("SET", f"{namespace}:c", n))
        await asyncio.sleep(0)
        task.cancel()
        assert await pipe.execute("ECHO", f"canary-{n}") == f"canary-{n}"


async def test_what_a_full_server_refuses_is_sent_again_when_it_has_room(
    pipe: Pipe, server: EmbeddedServer, namespace: str
) -> None:
    try:
        await pipe.execute("CONFIG", "SET", "maxmemory", 1)
        first = asyncio.ensure_future(pipe.execute("RPUSH", namespace, "first"))
        second = asyncio.ensure_future(pipe.execute("RPUSH", namespace, "second"))
        await asyncio.sleep(0.2)
        assert pipe.is_away
        assert not first.done()
        other = Pipe(dial(server.socket))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(other.run)
            await other.execute("CONFIG", "SET", "maxmemory", 0)
            tasks.cancel_scope.cancel()
        assert (await first, await second) == (1, 2)
        assert not pipe.is_away
    finally:
        await pipe.execute("CONFIG", "SET", "maxmemory", 0)


async def test_what_was_refused_for_now_and_then_for_good_leaves_no_pipe_that_is_away(
    pipe: Pipe, server: EmbeddedServer, namespace: str
) -> None:
    """The server was full, and when it has room the key is no list."""
    try:
        await pipe.execute("SET", namespace, "a text")
        await pipe.execute("CONFIG", "SET", "maxmemory", 1)
        refused = asyncio.ensure_future(pipe.execute("RPUSH", namespace, "x"))
        await asyncio.sleep(0.2)
        assert pipe.is_away
        async with piped(dial(server.socket)) as other:
            await other.execute("CONFIG", "SET", "maxmemory", 0)
        with pytest.raises(SwarmError, match="WRONGTYPE"):
            await refused
        assert await pipe.execute("PING") == "PONG"
        assert not pipe.is_away
    finally:
        await pipe.execute("CONFIG", "SET", "maxmemory", 0)


async def test_patience_ends_and_says_so() -> None:
    pipe = Pipe(dial("unix:///nowhere/at/all.sock"), patience=0.2)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pipe.run)
        with pytest.raises(StoreUnavailableError):
            await pipe.execute("PING")
        assert pipe.is_away
        tasks.cancel_scope.cancel()


async def test_a_pipe_that_ends_tells_whoever_waits() -> None:
    pipe = Pipe(dial("unix:///nowhere/at/all.sock"))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pipe.run)
        waiting = asyncio.ensure_future(pipe.execute("PING"))
        await asyncio.sleep(0.05)
        tasks.cancel_scope.cancel()
    with pytest.raises(StoreUnavailableError):
        await waiting


def test_it_runs_on_uvloop_too(server: EmbeddedServer, namespace: str) -> None:
    async def test() -> None:
        async with piped(dial(server.socket)) as pipe:
            await pipe.execute("SET", namespace, "there")
            assert await pipe.execute("GET", namespace) == "there"

    anyio.run(test, backend_options={"use_uvloop": True})
