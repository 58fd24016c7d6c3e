"""Connecting, against real servers: a suitable one serves, any other is a clear error without
its password.
"""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from swarmd.adapters.redis.connection.address import Address, place_of, shown
from swarmd.adapters.redis.connection.connection import check_server, dial
from swarmd.adapters.redis.connection.errors import refused as refused_by
from swarmd.adapters.redis.connection.requirements import (
    connect_sync,
    demand_strict,
    judge,
    judge_info,
    refuse_shared_namespace,
)
from swarmd.adapters.redis.connection.sync_client import ErrorReply, Status, Wire
from swarmd.adapters.server.binary import find_binary
from swarmd.adapters.server.data_folder import probe_socket
from swarmd.adapters.server.embedded import EmbeddedServer
from swarmd.errors import (
    StoreDeniedError,
    StoreFullError,
    StoreUnavailableError,
    StoreUnsuitableError,
    SwarmError,
    UsageError,
    WrongKeyError,
)
from tests.contract.piped import piped

Serve = Callable[..., AbstractContextManager[Path]]


@pytest.fixture
def serve(short_path: Path) -> Serve:
    """A server that is configured as a stranger's may be."""

    @contextmanager
    def serving(*options: str) -> Iterator[Path]:
        place = short_path / "other.sock"
        files = ["--unixsocket", str(place), "--dir", str(short_path)]
        command = [str(find_binary()), "--port", "0", "--save", "", *files, *options]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            try:
                while probe_socket(str(place)) == "absent":
                    assert process.poll() is None
                yield place
            finally:
                process.terminate()

    return serving


# --- a suitable server ------------------------------------------------------------------------


async def test_both_clients_reach_a_suitable_server(redis_url: str, server: EmbeddedServer) -> None:
    for target in (redis_url, server.socket):
        with connect_sync(target) as wire:
            assert wire.command("PING") == "PONG"
        found = await check_server(dial(target))
        assert (found.name, found.keeps_aof) == ("Valkey", True)


# --- any other --------------------------------------------------------------------------------


def judged(wire: Wire) -> None:
    info = wire.command("INFO")
    if isinstance(info, ErrorReply):
        raise refused_by(info)
    assert isinstance(info, bytes)
    judge_info(info.decode())


async def refused(target: Path | str, kind: type[SwarmError]) -> SwarmError:
    """What both ways of connecting say; they must agree."""
    with pytest.raises(SwarmError) as of_line:
        await check_server(dial(target))
    with pytest.raises(SwarmError) as of_wire, connect_sync(target) as wire:
        judged(wire)
    assert type(of_line.value) is type(of_wire.value) is kind
    assert of_line.value.hint == of_wire.value.hint
    assert of_line.value.hint
    return of_line.value


async def test_a_server_that_evicts_is_refused(serve: Serve) -> None:
    with serve("--maxmemory-policy", "allkeys-lru") as place:
        error = await refused(place, StoreUnsuitableError)
        assert "allkeys-lru" in error.what
        assert "CONFIG SET maxmemory-policy noeviction" in error.hint


async def test_strict_durability_is_refused_of_a_server_that_does_not_give_it(serve: Serve) -> None:
    with serve("--appendonly", "yes", "--appendfsync", "everysec") as place:
        with pytest.raises(StoreUnsuitableError, match="before it is on the disk") as told:
            demand_strict(place, "swarm")
        assert "CONFIG SET appendfsync always" in told.value.hint
        with connect_sync(place) as wire:
            wire.command("CONFIG", "SET", "appendfsync", "always")
        demand_strict(place, "swarm")


def _said(capsys: pytest.CaptureFixture[str]) -> str:
    """What was logged: to where depends on whether a test before has set logs up as a daemon does."""
    said = capsys.readouterr()
    return said.out + said.err


async def test_strict_durability_of_a_server_that_may_not_be_asked_is_a_warning(
    serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    with serve("--user", "weak", "on", ">word", "~*", "+@all", "-config") as place:
        demand_strict(f"unix://weak:word@{place}", "swarm")
    assert "does not let itself be asked" in _said(capsys)


# --- one namespace, two databases -----------------------------------------------------------------


async def test_a_namespace_that_runs_in_another_database_is_refused(serve: Serve) -> None:
    with serve() as place, connect_sync(place) as wire:
        refuse_shared_namespace(f"unix://{place}?db=1", "swarm")
        wire.command("SET", "swarm:_supervisor", "1:h-other")
        with pytest.raises(
            StoreUnsuitableError, match=r"database 0 .* the namespace swarm"
        ) as told:
            refuse_shared_namespace(f"unix://{place}?db=1", "swarm")
        assert "SWARMD_NAMESPACE" in told.value.hint
        refuse_shared_namespace(f"unix://{place}?db=1", "other")
        refuse_shared_namespace(f"unix://{place}?db=0", "swarm")
        refuse_shared_namespace(place, "swarm")


async def test_a_namespace_that_rests_in_another_database_is_warned_of(
    serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    with serve() as place, connect_sync(place) as wire:
        wire.command("SELECT", 3)
        wire.command("HSET", "swarm:_meta", "schema", "1")
        refuse_shared_namespace(f"unix://{place}?db=0", "swarm")
    assert "database 3" in _said(capsys)


async def test_a_server_that_does_not_tell_of_its_databases_is_taken(serve: Serve) -> None:
    with serve("--user", "weak", "on", ">word", "~*", "+@all", "-info", "-select") as place:
        refuse_shared_namespace(f"unix://weak:word@{place}", "swarm")


async def test_a_replica_is_refused(serve: Serve) -> None:
    with serve("--replicaof", "127.0.0.1 1") as place:
        assert "read-only replica" in (await refused(place, StoreUnsuitableError)).what


async def test_a_password_that_is_missing_or_wrong_is_told_and_not_shown(serve: Serve) -> None:
    with serve("--requirepass", "the-right-one") as place:
        for url in (
            f"unix://{place}",
            f"unix://:the-wrong-one@{place}",
            f"unix://nobody:the-wrong-one@{place}",
        ):
            error = await refused(url, StoreUnavailableError)
            assert "the-wrong-one" not in error.what + error.hint
            assert str(place) in error.what
            assert "REDIS_URL" in error.hint
        async with piped(dial(f"unix://:the-right-one@{place}?db=3")) as pipe:
            await pipe.execute("SET", "here", "3")
        with connect_sync(f"unix://default:the-right-one@{place}?db=3") as wire:
            assert wire.command("GET", "here") == b"3"


async def test_a_user_who_may_not_ask_is_told_so(serve: Serve) -> None:
    with serve("--user", "weak", "on", ">word", "~*", "+@all", "-info") as place:
        assert "NOPERM" in (await refused(f"unix://weak:word@{place}", StoreDeniedError)).what


async def test_a_server_that_is_away_is_told(short_path: Path) -> None:
    for target in (short_path / "nothing.sock", "redis://127.0.0.1:1/0", "rediss://127.0.0.1:1"):
        await refused(target, StoreUnavailableError)


async def test_what_is_no_redis_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            for _ in range(2):
                connection, _address = listener.accept()
                with connection:
                    connection.recv(100)
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        await refused(f"redis://127.0.0.1:{listener.getsockname()[1]}", StoreUnavailableError)
        thread.join()


SUITABLE = {
    "redis_version": "7.0.0",
    "role": "master",
    "maxmemory_policy": "noeviction",
    "loading": 0,
}


@pytest.mark.parametrize(
    ("fields", "version"),
    [
        ({"redis_version": "7.0.0"}, "7.0.0"),
        ({"redis_version": "8.10.2"}, "8.10.2"),
        ({"redis_version": "7.2.4", "server_name": "valkey", "valkey_version": "8.0.0"}, "8.0.0"),
    ],
)
def test_versions_from_redis_7_and_valkey_8_are_taken(
    fields: dict[str, object], version: str
) -> None:
    assert judge(SUITABLE | fields).version == version


@pytest.mark.parametrize(
    "fields",
    [
        {"redis_version": "6.2.14"},
        {"redis_version": "7.2.4", "server_name": "valkey", "valkey_version": "7.2.8"},
        {"redis_version": "unknown"},
        {"role": "slave"},
        {"maxmemory_policy": "volatile-ttl"},
    ],
)
def test_what_is_unsuitable_is_refused_with_a_way_out(fields: dict[str, object]) -> None:
    with pytest.raises(StoreUnsuitableError) as caught:
        judge(SUITABLE | fields)
    assert caught.value.hint


def test_a_server_that_loads_is_worth_another_try() -> None:
    with pytest.raises(StoreUnavailableError, match="loading"):
        judge(SUITABLE | {"loading": 1})


# --- addresses and failures -------------------------------------------------------------------


def test_an_address_is_read_whole_and_shown_without_its_secrets() -> None:
    found = place_of("rediss://us%40er:pa%2Fss@[::1]:7000/5?ssl_ca_certs=/ca.pem")
    assert isinstance(found, Address)
    assert (found.host, found.port, found.db, found.is_tls) == ("::1", 7000, 5, True)
    assert (found.username, found.password) == ("us@er", "pa/ss")
    assert found.options == {"ssl_ca_certs": "/ca.pem"}
    assert shown("redis://user:word@host") == "redis://host:6379/0"
    assert shown("unix://user:word@/a%20b.sock?db=2") == "/a b.sock"
    assert "pa/ss" not in repr(found)


@pytest.mark.parametrize(
    "url",
    [
        "redis://host/words",
        "redis://host:port",
        "http://host",
        "unix://",
        "redis://[",
        "",
        "redis://host:0",
        "redis://host/-1",
        "redis://host/99999999999",
        "redis://a..b",
        "redis://\udcff",
        "redis://host?db=x",
        "redis+sentinel://host/service/x",
    ],
)
def test_an_address_that_cannot_be_meant_is_a_usage_error(url: str) -> None:
    with pytest.raises(UsageError, match="REDIS_URL"):
        place_of(url)
    with pytest.raises(UsageError):
        dial(url)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ("LOADING Redis is loading the dataset in memory", StoreUnavailableError),
        ("READONLY You can't write against a read only replica.", StoreUnavailableError),
        ("NOREPLICAS Not enough good replicas to write.", StoreUnavailableError),
        ("MOVED 3999 127.0.0.1:6381", StoreUnavailableError),
        ("WRONGPASS invalid username-password pair or user is disabled.", StoreUnavailableError),
        ("NOPERM this user has no permissions", StoreDeniedError),
        ("WRONGTYPE Operation against a key", WrongKeyError),
        ("OOM command not allowed when used memory > 'maxmemory'.", StoreFullError),
        ("OOM command not allowed script: 1f, on @user_script:1.", StoreFullError),
        ("MISCONF Errors writing to the AOF file: No space left on device", StoreFullError),
        ("ERR unknown command 'FOO'", StoreUnsuitableError),
        ("ERR syntax error", StoreUnsuitableError),
    ],
)
def test_each_refusal_has_its_name_in_our_words(reply: str, kind: type[SwarmError]) -> None:
    assert type(refused_by(reply)) is kind


async def test_tls_options_that_cannot_be_used_are_the_users_and_not_the_servers_fault() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"rediss://127.0.0.1:{listening.getsockname()[1]}?ssl_ca_certs=/nowhere/at/all.pem"
        with pytest.raises(UsageError, match="REDIS_URL"):
            connect_sync(url)
        with pytest.raises(UsageError, match="REDIS_URL"):
            await check_server(dial(url))


async def test_a_server_without_an_append_only_file_is_known(serve: Serve) -> None:
    with serve("--appendonly", "no") as place:
        assert not (await check_server(dial(place))).keeps_aof


def test_the_small_client_tells_the_kinds_of_replies_apart(redis_url: str, namespace: str) -> None:
    with connect_sync(redis_url) as wire:
        assert isinstance(wire.command("SET", namespace, "OK"), Status)
        assert wire.command("GET", namespace) == b"OK"
        assert isinstance(wire.command("LPUSH", namespace, "x"), ErrorReply)
        assert wire.command("EVAL", "return {1, {false, 'a'}, redis.status_reply('S')}", 0) == [
            1,
            [None, b"a"],
            "S",
        ]
        assert wire.command("SET", namespace, b"\0\r\n\xff") == "OK"
        assert wire.command("GET", namespace) == b"\0\r\n\xff"


async def test_a_server_that_takes_no_more_clients_is_waited_for(serve: Serve) -> None:
    with serve("--maxclients", "1") as place, connect_sync(place) as wire:
        assert wire.command("PING") == "PONG"
        with pytest.raises(StoreUnavailableError):
            await check_server(dial(place))
