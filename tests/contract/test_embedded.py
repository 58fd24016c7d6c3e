"""The embedded server, against the real binary: it is ours alone, it ends with us, it loses
nothing.
"""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest

from swarmd.adapters.redis.connection.address import Target
from swarmd.adapters.redis.connection.requirements import connect_sync
from swarmd.adapters.redis.connection.sync_client import Wire
from swarmd.adapters.server import embedded
from swarmd.adapters.server import process as server_process
from swarmd.adapters.server.damage import DamagedError
from swarmd.adapters.server.data_folder import ServerRecord, has_data, live_socket
from swarmd.adapters.server.embedded import EmbeddedServer, FolderTakenError, momentary
from swarmd.errors import NotFoundError, StoreUnavailableError, UsageError
from tests.conftest import HANG_SECONDS


def say(target: Target, *words: str | int) -> object:
    with connect_sync(target) as wire:
        return wire.command(*words)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(is_true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + HANG_SECONDS
    while not is_true():
        assert time.monotonic() < deadline, f"not within {HANG_SECONDS} s: {what}"
        time.sleep(0.005)


def environment_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


def as_person(command: str) -> None:
    """What a reader of a hint does: paste it, and answer yes."""
    subprocess.run(command, shell=True, input=b"y\n", check=True, capture_output=True)


def as_process(code: str, *args: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, args)]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, process_group=0
    )


OWNER = """
    import sys, time
    from pathlib import Path
    import anyio
    from swarmd.adapters.server.embedded import EmbeddedServer

    async def own():
        async with EmbeddedServer(Path(sys.argv[1])) as server:
            print(server.pid, flush=True)
            await anyio.sleep_forever()

    anyio.run(own)
"""


@pytest.fixture
def owner(short_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that owns a server in `short_path`; its first line is the server's pid."""
    with as_process(OWNER, short_path) as process:
        yield process
        process.kill()


def server_pid(owner: subprocess.Popen[str]) -> int:
    assert owner.stdout is not None
    return int(owner.stdout.readline())


async def test_it_is_a_durable_server_on_a_private_socket_and_no_port(short_path: Path) -> None:
    data = short_path / "made" / "by-us"
    async with EmbeddedServer(data) as server:
        assert server.socket == data / "redis.sock"
        assert stat.S_IMODE(data.stat().st_mode) == 0o700
        assert stat.S_IMODE(server.socket.stat().st_mode) == 0o700
        with connect_sync(server.socket) as wire:
            for name, value in {
                "port": "0",
                "appendonly": "yes",
                "appendfsync": "everysec",
                "maxmemory-policy": "noeviction",
                "save": "",
                "stream-node-max-bytes": "1024",
                "dir": str(data),
            }.items():
                assert wire.command("CONFIG", "GET", name) == [name.encode(), value.encode()]


async def test_strict_is_on_the_disk_before_it_is_acknowledged(short_path: Path) -> None:
    async with EmbeddedServer(short_path, durability="strict") as server:
        assert say(server.socket, "CONFIG", "GET", "appendfsync") == [b"appendfsync", b"always"]


async def test_it_has_the_better_allocator_where_the_machine_has_one(short_path: Path) -> None:
    async with EmbeddedServer(short_path) as server:
        loaded = _is_loaded("libjemalloc", server.pid)
        assert loaded == any(path.is_file() for path in server_process.ALLOCATORS)
        assert say(server.socket, "PING") == "PONG"


def _is_loaded(name: str, pid: int) -> bool:
    return name in Path(f"/proc/{pid}/maps").read_text()


async def test_an_allocator_that_is_not_there_is_done_without(
    short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_process, "ALLOCATORS", (short_path / "libjemalloc.so.2",))
    async with EmbeddedServer(short_path) as server:
        assert b"LD_PRELOAD" not in environment_of(server.pid)


async def test_a_subscriber_that_sleeps_is_cut_off_at_its_bound_and_slows_nobody(
    short_path: Path,
) -> None:
    async with EmbeddedServer(short_path) as server:
        with connect_sync(server.socket) as sleeper, connect_sync(server.socket) as other:
            sleeper.command("SUBSCRIBE", "room")
            line = b"x" * 16_000
            slowest, held = 0.0, 0
            for _ in range(2_000):
                before = time.monotonic()
                assert isinstance(other.command("PUBLISH", "room", line), int)
                slowest = max(slowest, time.monotonic() - before)
                if not (listed := _subscribers(other)):
                    break
                held = max(held, *listed)
            else:
                pytest.fail("it was never cut off")
            assert 1_000_000 < held <= 8_500_000, "it had held what it is allowed to, and no more"
            assert slowest < 0.5


def _subscribers(wire: Wire) -> list[int]:
    """Bytes that the server holds for each subscriber."""
    listed = wire.command("CLIENT", "LIST", "TYPE", "pubsub")
    assert isinstance(listed, bytes)
    return [int(line.split("omem=")[1].split()[0]) for line in listed.decode().splitlines()]


async def test_it_has_none_of_our_environment(
    short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-for-the-server")
    async with EmbeddedServer(short_path) as server:
        assert b"sk-not-for" not in environment_of(server.pid)


async def test_a_restart_keeps_data_and_a_stop_leaves_no_trace_of_a_server(
    short_path: Path,
) -> None:
    async with EmbeddedServer(short_path) as server:
        say(server.socket, "SET", "kept", "this")
        first = server.pid
    assert not is_running(first)
    assert not (short_path / "redis.sock").exists()
    assert not (short_path / "server.json").exists()
    async with EmbeddedServer(short_path) as server:
        assert say(server.socket, "GET", "kept") == b"this"


async def test_a_path_too_long_for_a_socket_gets_one_elsewhere_that_others_find(
    short_path: Path,
) -> None:
    data = short_path / ("long-" * 24)
    async with EmbeddedServer(data) as server:
        assert len(os.fsencode(server.socket)) <= 100
        assert stat.S_IMODE(server.socket.parent.stat().st_mode) == 0o700
        assert live_socket(data) == server.socket
        assert say(server.socket, "PING") == "PONG"
        folder = server.socket.parent
    assert not folder.exists()


async def test_a_folder_with_spaces_and_quotes_is_a_folder(short_path: Path) -> None:
    data = short_path / """a "b" 'c' --d"""
    async with EmbeddedServer(data) as server:
        assert say(server.socket, "PING") == "PONG"
        assert has_data(data)


async def test_a_second_owner_is_refused_with_the_pid_of_the_first(
    short_path: Path, owner: subprocess.Popen[str]
) -> None:
    pid = server_pid(owner)
    with pytest.raises(FolderTakenError, match=f"process {owner.pid} runs the swarm"):
        await EmbeddedServer(short_path).__aenter__()
    assert is_running(pid)
    assert live_socket(short_path) == short_path / "redis.sock"


def test_kill_9_of_the_owner_ends_the_server_and_loses_nothing(
    short_path: Path, owner: subprocess.Popen[str]
) -> None:
    pid = server_pid(owner)
    say(short_path / "redis.sock", "SET", "acknowledged", "yes")
    owner.kill()
    owner.wait()
    wait_until(lambda: not is_running(pid), "the server's end")
    assert live_socket(short_path) is None
    with momentary(short_path) as target:
        assert say(target, "GET", "acknowledged") == b"yes"


def test_ctrl_c_in_the_terminal_does_not_reach_the_server(
    short_path: Path, owner: subprocess.Popen[str]
) -> None:
    pid = server_pid(owner)
    assert os.getpgid(pid) not in (owner.pid, os.getpgrp())
    assert os.getsid(pid) == pid


async def test_an_ownerless_server_is_ended_at_the_next_start_and_never_adopted(
    short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As on a system without parent-death signals: the owner is gone, its lock too, and the server
    # lives on.
    monkeypatch.setattr(server_process, "ends_with_parent", lambda: None)
    former = EmbeddedServer(short_path)
    await former.__aenter__()
    assert former._process is not None
    assert former._lock is not None
    say(former.socket, "SET", "acknowledged", "yes")
    os.close(former._lock)

    async with EmbeddedServer(short_path) as server:
        assert server.pid != former.pid
        assert former._process.wait(timeout=5) == 0, "it was shut down, not killed"
        assert say(server.socket, "GET", "acknowledged") == b"yes"


async def test_an_ownerless_server_that_answers_nothing_is_ended_by_its_pid(
    short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "STOP_SECONDS", 0.3)
    former = EmbeddedServer(short_path)
    await former.__aenter__()
    assert former._process is not None
    assert former._lock is not None
    os.close(former._lock)
    os.kill(former.pid, signal.SIGSTOP)

    async with anyio.create_task_group() as tasks:

        async def reap() -> None:  # its parent is this process, where an ownerless one's is init
            assert former._process is not None
            while former._process.poll() is None:
                await anyio.sleep(0.005)

        tasks.start_soon(reap)
        async with EmbeddedServer(short_path) as server:
            assert server.pid != former.pid
    assert former._process.returncode == -signal.SIGKILL


async def test_a_recorded_pid_that_is_a_stranger_is_left_alone(short_path: Path) -> None:
    with as_process("input()") as stranger:
        ServerRecord(stranger.pid, str(short_path / "redis.sock"), False, str(short_path)).write()
        async with EmbeddedServer(short_path):
            assert stranger.poll() is None
        stranger.communicate("\n")
        assert stranger.returncode == 0


def test_a_pipe_in_the_place_of_the_record_is_no_record_and_is_not_waited_for(
    short_path: Path,
) -> None:
    os.mkfifo(short_path / "server.json")
    assert live_socket(short_path) is None
    ServerRecord(1, "redis.sock", False, str(short_path)).write()
    assert ServerRecord.read(short_path) is not None


async def test_a_copied_folder_neither_uses_nor_ends_the_server_of_the_original(
    short_path: Path,
) -> None:
    original, copy = short_path / "original", short_path / "copy"
    async with EmbeddedServer(original) as server:
        shutil.copytree(original, copy, ignore=shutil.ignore_patterns("redis.sock"))
        assert live_socket(copy) is None
        async with EmbeddedServer(copy) as other:
            assert other.socket != server.socket
        assert say(server.socket, "PING") == "PONG"


@pytest.mark.parametrize("kind", ["incr.aof", "base.rdb", "manifest"])
async def test_damaged_data_is_named_with_a_way_out_and_not_touched(
    short_path: Path, kind: str
) -> None:
    async with EmbeddedServer(short_path) as server:
        for number in range(200):
            say(server.socket, "SET", f"key-{number}", "value")
    [path] = [p for p in (short_path / "appendonlydir").iterdir() if p.name.endswith(kind)]
    content = bytearray(path.read_bytes())
    content[len(content) // 4 : len(content) // 4 + 12] = b"\0not so good"
    path.write_bytes(content)

    with pytest.raises(DamagedError, match="the swarm's data is damaged") as caught:
        await EmbeddedServer(short_path).__aenter__()
    assert caught.value.path == path
    assert str(path.parent) in caught.value.hint
    assert path.read_bytes() == content
    assert live_socket(short_path) is None


@pytest.mark.parametrize("kept", [0, 1])
async def test_data_that_the_manifest_no_longer_names_is_not_written_over(
    short_path: Path, kept: int
) -> None:
    async with EmbeddedServer(short_path) as server:
        say(server.socket, "SET", "kept", "this")
    folder = short_path / "appendonlydir"
    manifest = folder / "appendonly.aof.manifest"
    lines = manifest.read_text().splitlines(keepends=True)
    manifest.write_text("".join(lines[:kept])) if kept else manifest.unlink()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    with pytest.raises(DamagedError) as caught:
        await EmbeddedServer(short_path).__aenter__()
    assert caught.value.path == manifest
    assert "does not name" in caught.value.hint
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before

    manifest.write_text("".join(lines))
    async with EmbeddedServer(short_path) as server:
        assert say(server.socket, "GET", "kept") == b"this"


async def test_what_a_rewrite_that_was_broken_off_leaves_is_no_damage(short_path: Path) -> None:
    async with EmbeddedServer(short_path) as server:
        say(server.socket, "SET", "kept", "this")
    folder = short_path / "appendonlydir"
    (folder / "appendonly.aof.2.incr.aof").touch()
    (folder / "appendonly.aof.2.base.rdb").write_bytes(b"half of it")
    async with EmbeddedServer(short_path) as server:
        assert say(server.socket, "GET", "kept") == b"this"


async def test_the_way_out_of_damage_keeps_what_was_before_it(short_path: Path) -> None:
    async with EmbeddedServer(short_path) as server:
        for number in range(200):
            say(server.socket, "SET", f"key-{number}", "value")
    [path] = (short_path / "appendonlydir").glob("*.incr.aof")
    content = bytearray(path.read_bytes())
    content[len(content) // 2 :: 7] = b"x" * len(content[len(content) // 2 :: 7])
    path.write_bytes(content)
    with pytest.raises(DamagedError) as caught:
        await EmbeddedServer(short_path).__aenter__()

    command = caught.value.hint.split("damage: ")[1].split("; or ")[0]
    as_person(command)
    async with EmbeddedServer(short_path) as server:
        assert say(server.socket, "GET", "key-0") == b"value"
        assert say(server.socket, "GET", "key-199") is None


async def test_a_last_line_cut_by_a_power_cut_is_no_damage(short_path: Path) -> None:
    async with EmbeddedServer(short_path) as server:
        say(server.socket, "SET", "first", "1")
        say(server.socket, "SET", "second", "2")
    [path] = (short_path / "appendonlydir").glob("*.incr.aof")
    path.write_bytes(path.read_bytes()[:-5])
    async with EmbeddedServer(short_path) as server:
        assert say(server.socket, "GET", "first") == b"1"


async def test_a_server_that_does_not_start_says_why(
    short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(server_process.FSYNC, "balanced", "sometimes")
    with pytest.raises(StoreUnavailableError, match="appendfsync") as caught:
        await EmbeddedServer(short_path).__aenter__()
    assert str(short_path / "server.log") in caught.value.hint
    # The folder is free again.
    monkeypatch.undo()
    async with EmbeddedServer(short_path):
        pass


async def test_a_folder_that_cannot_be_used_is_a_clear_error(short_path: Path) -> None:
    (short_path / "file").touch()
    with pytest.raises(StoreUnavailableError, match=r"cannot keep a swarm in .*Not a directory"):
        await EmbeddedServer(short_path / "file" / "data").__aenter__()


async def test_a_server_that_dies_is_noticed_and_restarted_with_its_data(short_path: Path) -> None:
    async with EmbeddedServer(short_path) as server, anyio.create_task_group() as tasks:
        say(server.socket, "SET", "acknowledged", "yes")
        tasks.start_soon(server.keep)
        first = server.pid
        os.kill(first, signal.SIGKILL)
        with anyio.fail_after(10):
            while server.pid == first or live_socket(short_path) is None:
                await anyio.sleep(0.01)
            # A server that loads its data answers already, and says so.
            while str(answer := say(server.socket, "GET", "acknowledged")).startswith("LOADING"):
                await anyio.sleep(0.01)
        assert answer == b"yes"
        tasks.cancel_scope.cancel()


async def test_a_server_that_cannot_be_restarted_is_given_up_with_its_reason(
    short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "BACKOFF_SECONDS", (0.0,) * embedded.RESTARTS_MAX)
    async with EmbeddedServer(short_path) as server:
        monkeypatch.setitem(server_process.FSYNC, "balanced", "sometimes")
        os.kill(server.pid, signal.SIGKILL)
        with anyio.fail_after(20), pytest.raises(StoreUnavailableError, match="appendfsync"):
            await server.keep()


async def test_a_cancelled_start_leaves_no_server_and_no_lock(short_path: Path) -> None:
    server = EmbeddedServer(short_path)
    with anyio.move_on_after(0.01):
        await server.__aenter__()
        pytest.fail("it cannot have started yet")
    assert server._process is None or server._process.poll() is not None
    async with EmbeddedServer(short_path):
        pass


def test_a_folder_that_holds_no_swarm_is_told_as_such(short_path: Path) -> None:
    with (
        pytest.raises(NotFoundError, match=r"no swarm in .* yet"),
        momentary(short_path / "nothing"),
    ):
        pass
    assert not (short_path / "nothing").exists()
    (short_path / "loop").symlink_to("loop")
    with (
        pytest.raises(UsageError, match=r"loop cannot be looked at"),
        momentary(short_path / "loop"),
    ):
        pass


def test_a_look_uses_the_live_server_and_leaves_it_running(
    short_path: Path, owner: subprocess.Popen[str]
) -> None:
    pid = server_pid(owner)
    with momentary(short_path) as target:
        assert target == short_path / "redis.sock"
    assert is_running(pid)


def test_a_look_at_a_url_starts_nothing(short_path: Path, redis_url: str) -> None:
    with momentary(short_path / "nothing", redis_url) as target:
        assert say(target, "PING") == "PONG"
    assert not (short_path / "nothing").exists()


async def test_a_look_ends_the_server_that_it_started(short_path: Path) -> None:
    async with EmbeddedServer(short_path) as server:
        say(server.socket, "SET", "kept", "this")
    with momentary(short_path) as target:
        assert say(target, "GET", "kept") == b"this"
        assert live_socket(short_path) is None, "nobody may take it for a running swarm"
    with pytest.raises(StoreUnavailableError):
        say(target, "PING")


async def test_looks_at_the_same_time_all_see(short_path: Path) -> None:
    async with EmbeddedServer(short_path) as server:
        say(server.socket, "SET", "kept", "this")
    look = """
        import sys
        from pathlib import Path
        from swarmd.adapters.server.embedded import momentary
        from swarmd.adapters.redis.connection.requirements import connect_sync
        with momentary(Path(sys.argv[1])) as target, connect_sync(target) as wire:
            print(wire.command("GET", "kept"))
    """
    looks = [as_process(look, short_path) for _ in range(3)]
    assert [look.communicate(timeout=30)[0].strip() for look in looks] == ["b'this'"] * 3
