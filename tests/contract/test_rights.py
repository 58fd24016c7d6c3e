"""A right that the server's user had and has no more is waited for; one that it never had is
told at once.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from swarmd.adapters.redis.connection import rights
from swarmd.adapters.redis.connection.connection import check_server, dial
from swarmd.adapters.redis.connection.pipeline import Pipe
from swarmd.adapters.redis.connection.pubsub import Bell
from swarmd.adapters.redis.connection.requirements import connect_sync
from swarmd.adapters.redis.connection.sync_client import Wire
from swarmd.adapters.redis.keys import Keys
from swarmd.adapters.redis.lua import script
from swarmd.adapters.server.binary import find_binary
from swarmd.adapters.server.data_folder import probe_socket
from swarmd.core.model.channels import RESULTS
from swarmd.errors import StoreDeniedError, StoreUnsuitableError, SwarmError
from tests.contract.piped import piped

KEYS = ["x:s", "x:heads", "x:posts", "x:once", "x:ends"]
ARGS: list[str | int] = ["s", '{"from":"me","kind":"say"}', "", 60]


@contextmanager
def served(folder: Path, *lines: str) -> Iterator[Path]:
    """A server with a user `own` beside the default one, and with these lines in its
    configuration.
    """
    place, config = folder / "s.sock", folder / "server.conf"
    own = [
        "port 0",
        'save ""',
        f"unixsocket {place}",
        f"dir {folder}",
        "user own on >word ~* &* +@all",
    ]
    config.write_text("\n".join([*own, *lines]) + "\n")
    with subprocess.Popen([str(find_binary()), str(config)], stdout=subprocess.DEVNULL) as process:
        try:
            while probe_socket(str(place)) == "absent":
                assert process.poll() is None
            yield place
        finally:
            process.terminate()


def without(*commands: str) -> list[str]:
    return [f'rename-command {name} ""' for name in commands]


@pytest.fixture
async def operator(short_path: Path) -> AsyncIterator[Wire]:
    with served(short_path) as place, connect_sync(place) as wire:
        yield wire


def own(operator: Wire) -> str:
    return f"unix://own:word@{operator.address.path}"


def change(operator: Wire, *rules: str) -> None:
    assert operator.command("ACL", "SETUSER", "own", *rules) == "OK"


@pytest.mark.parametrize("taken", [["-evalsha", "-eval"], ["-@all"], ["resetkeys"], ["-xadd"]])
async def test_a_right_that_is_taken_and_given_back_costs_nothing_but_time(
    operator: Wire, taken: list[str]
) -> None:
    async with piped(dial(own(operator))) as pipe:
        first = await pipe.evaluate(script("post"), KEYS, ARGS)
        change(operator, *taken)
        second = asyncio.ensure_future(
            pipe.evaluate(script("post"), [*KEYS[:3], "x:other", KEYS[4]], ARGS)
        )
        again = asyncio.ensure_future(pipe.execute("GET", "x:once"))
        with anyio.fail_after(10):
            while not pipe.trouble:
                await asyncio.sleep(0.01)
        assert "may not do this" in pipe.trouble
        await asyncio.sleep(0.6)
        assert not second.done()
        change(operator, "+@all", "allkeys")
        with anyio.fail_after(10):
            assert await second > first
            assert await again == first
        # What was refused was not done, however often it was tried.
        assert await pipe.execute("XLEN", "x:s") == 2
        assert pipe.trouble == ""


async def test_while_a_right_is_missing_the_others_are_used(operator: Wire) -> None:
    async with piped(dial(own(operator))) as pipe:
        await pipe.execute("SADD", "x:set", "1")
        change(operator, "-sadd")
        waiting = asyncio.ensure_future(pipe.execute("SADD", "x:set", "2"))
        with anyio.fail_after(5):
            while not pipe.trouble:
                await asyncio.sleep(0.01)
            for n in range(50):
                assert await pipe.execute("ECHO", f"{n}") == f"{n}"
        assert not waiting.done()
        change(operator, "+sadd")
        assert await waiting == 1


async def test_a_caller_that_went_away_is_not_asked_for_again(operator: Wire) -> None:
    async with piped(dial(own(operator))) as pipe:
        await pipe.execute("SADD", "x:set", "1")
        change(operator, "-sadd")
        with anyio.move_on_after(0.3):
            await pipe.execute("SADD", "x:set", "2")
        with anyio.fail_after(10):
            while pipe.trouble:
                await asyncio.sleep(0.05)
        assert operator.command("SCARD", "x:set") == 1


async def test_a_right_that_was_never_there_is_told_at_once(operator: Wire) -> None:
    change(operator, "-sadd")
    async with piped(dial(own(operator))) as pipe:
        await pipe.execute("PING")
        with anyio.fail_after(2), pytest.raises(StoreDeniedError):
            await pipe.execute("SADD", "x:set", "1")
        assert pipe.trouble == ""


async def test_after_its_first_moments_a_process_waits_for_every_right_but_an_optional_one(
    operator: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rights, "SETTLING_SECONDS", 0.0)
    change(operator, "-sadd")
    async with piped(dial(own(operator))) as pipe:
        await pipe.execute("PING")
        with anyio.fail_after(2), pytest.raises(StoreDeniedError):
            await pipe.execute("SADD", "x:set", "1", is_optional=True)
        with anyio.move_on_after(0.3) as scope:
            await pipe.execute("SADD", "x:set", "1")
        assert scope.cancelled_caught


async def test_patience_with_a_missing_right_has_an_end(operator: Wire) -> None:
    pipe = Pipe(dial(own(operator)), patience=0.5)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pipe.run)
        await pipe.execute("SADD", "x:set", "1")
        change(operator, "-sadd")
        with anyio.fail_after(10), pytest.raises(StoreDeniedError):
            await pipe.execute("SADD", "x:set", "2")
        assert pipe.trouble == ""
        tasks.cancel_scope.cancel()


async def test_a_user_that_may_hear_again_hears_again(
    operator: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swarmd.adapters.redis.connection.pubsub.PING_SECONDS", 0.1)
    bell = Bell(dial(own(operator)), Keys("x"))
    line = bell.line()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bell.run)
        await line.follow([RESULTS])
        # The server ends the connections that hear what their user may hear no more.
        change(operator, "resetchannels")
        await asyncio.sleep(1.5)
        change(operator, "allchannels")
        with anyio.fail_after(10):
            while True:
                operator.command("PUBLISH", "x:results", "rung")
                if await line.next(0.1) == (RESULTS, "rung"):
                    break
        tasks.cancel_scope.cancel()


# --- servers that others run ------------------------------------------------------------------


@pytest.mark.parametrize(
    "rules",
    [["-client"], ["-client|setname"], ["-script"], ["-client", "-script", "-role", "-wait"]],
)
async def test_a_user_without_what_is_optional_does_without_it(
    operator: Wire, rules: list[str]
) -> None:
    change(operator, *rules)
    await _does_its_work(own(operator))


@pytest.mark.parametrize(
    "commands", [["client"], ["script"], ["evalsha"], ["client", "script", "role", "wait"]]
)
async def test_a_server_without_what_is_optional_is_worked_on(
    short_path: Path, commands: list[str]
) -> None:
    with served(short_path, *without(*commands)) as place:
        await _does_its_work(f"unix://{place}")


async def _does_its_work(url: str) -> None:
    assert (await check_server(dial(url))).version
    async with piped(dial(url)) as pipe:
        with anyio.fail_after(10):
            first = await pipe.evaluate(script("post"), KEYS, ARGS)
            together = await asyncio.gather(
                *(pipe.evaluate(script("post"), KEYS, ARGS) for _ in range(5))
            )
            assert together == [first] * 5
            assert await pipe.execute("XLEN", "x:s") == 1


@pytest.mark.parametrize(
    ("missing", "named"), [(["eval", "evalsha"], "eval"), (["xadd"], "script")]
)
async def test_a_server_without_what_is_needed_is_told_with_the_command(
    short_path: Path, missing: list[str], named: str
) -> None:
    with served(short_path, *without(*missing)) as place:
        async with piped(dial(f"unix://{place}")) as pipe:
            with anyio.fail_after(10), pytest.raises(StoreUnsuitableError) as told:
                await pipe.evaluate(script("post"), KEYS, ARGS)
            assert named.lower() in told.value.what.lower()
            assert "renamed or disabled" in told.value.hint or "Redis or Valkey" in told.value.hint


async def test_a_server_that_does_not_tell_of_itself_is_told_so(short_path: Path) -> None:
    with served(short_path, *without("info")) as place:
        with pytest.raises(SwarmError) as told:
            await check_server(dial(f"unix://{place}"))
        assert isinstance(told.value, StoreUnsuitableError)
        assert "INFO" in told.value.what.upper()
