"""Connecting, against real servers: a suitable one serves, any other is a clear error without its password."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from redis import exceptions as redis_errors

from swarmd.adapters.embedded import EmbeddedServer, _ask, binary
from swarmd.adapters.redis.connect import (
    ErrorReply,
    Status,
    address,
    check_server_sync,
    connect,
    connect_sync,
    judge,
    shown,
    translate,
    translated,
)
from swarmd.errors import (
    StoreFullError,
    StoreUnavailableError,
    StoreUnsuitableError,
    SwarmError,
    UsageError,
)

Serve = Callable[..., AbstractContextManager[Path]]


@pytest.fixture
def serve(short_path: Path) -> Serve:
    """A server that is configured as a stranger's may be."""

    @contextmanager
    def serving(*options: str) -> Iterator[Path]:
        place = short_path / "other.sock"
        files = ["--unixsocket", str(place), "--dir", str(short_path)]
        command = [str(binary()), "--port", "0", "--save", "", *files, *options]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            try:
                while _ask(str(place)) == "absent":
                    assert process.poll() is None
                yield place
            finally:
                process.terminate()

    return serving


# --- a suitable server ------------------------------------------------------------------------


async def test_both_clients_reach_a_suitable_server(redis_url: str, server: EmbeddedServer) -> None:
    for target in (redis_url, server.socket):
        redis = await connect(target)
        assert await redis.ping()
        await redis.aclose()
        with connect_sync(target) as wire:
            found = check_server_sync(wire)
            assert (found.name, found.keeps_aof) == ("Valkey", True)


async def test_values_are_text_and_bytes_that_are_none_break_nothing(redis_url: str, namespace: str) -> None:
    redis = await connect(redis_url)
    await redis.set(f"{namespace}:key", b"caf\xc3\xa9 \xff")
    assert await redis.get(f"{namespace}:key") == "café \ufffd"
    await redis.aclose()


async def test_the_pool_is_bounded_and_who_waits_too_long_is_told(redis_url: str) -> None:
    redis = await connect(redis_url, connections_max=1, command_seconds=0.1)
    only = await redis.connection_pool.get_connection()  # type: ignore[no-untyped-call]  # redis-py's gap
    with pytest.raises(StoreUnavailableError, match="No connection available"), translated():
        await redis.ping()
    await redis.connection_pool.release(only)
    assert await redis.ping()
    await redis.aclose()


async def test_a_reply_that_does_not_come_is_a_time_out(redis_url: str, namespace: str) -> None:
    redis = await connect(redis_url, command_seconds=0.1)
    with pytest.raises(StoreUnavailableError, match="did not answer in time"), translated():
        await redis.blpop([f"{namespace}:empty"], timeout=0)
    await redis.aclose()


async def test_a_write_whose_reply_is_lost_is_sent_once(
    server: EmbeddedServer, short_path: Path, namespace: str
) -> None:
    async with deaf_proxy(short_path / "proxy.sock", server.socket) as place:
        redis = await connect(place, is_checked=False, command_seconds=0.3)
        with pytest.raises(StoreUnavailableError), translated():
            await redis.incr(f"{namespace}:counter")
        await redis.aclose()
    with connect_sync(server.socket) as wire:
        assert wire.command("GET", f"{namespace}:counter") == b"1"


async def test_an_option_in_the_url_brings_no_retries_back(redis_url: str) -> None:
    redis = await connect(f"{redis_url}?protocol=3&decode_responses=False&max_connections=1000")
    kwargs = redis.connection_pool.connection_kwargs
    assert (kwargs["protocol"], kwargs["decode_responses"]) == (2, True)
    assert redis.connection_pool.max_connections == 8
    assert kwargs["retry"].get_retries() == 0
    await redis.aclose()


async def test_a_pool_outlives_a_restart_of_its_server(short_path: Path) -> None:
    async with EmbeddedServer(short_path) as first:
        redis = await connect(first.socket)
        await redis.set("kept", "this")
    with pytest.raises(StoreUnavailableError, match="cannot be reached"), translated():
        await redis.get("kept")
    async with EmbeddedServer(short_path):
        assert await redis.get("kept") == "this"
        await redis.aclose()


class deaf_proxy:  # noqa: N801 (used as a function)
    """Hands on what is said to the server once it is no greeting, and never a reply to it."""

    def __init__(self, place: Path, server: Path) -> None:
        self.place, self.server = place, server

    async def __aenter__(self) -> Path:
        self.serving = await asyncio.start_unix_server(self.hand_on, self.place)
        return self.place

    async def __aexit__(self, *_: object) -> None:
        self.serving.close()
        await self.serving.wait_closed()

    async def hand_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_unix_connection(self.server)
        while said := await reader.read(65536):
            server_writer.write(said)
            reply = await server_reader.read(65536)
            if b"INCR" not in said:
                writer.write(reply)
        for each in (server_writer, writer):
            each.close()


# --- any other --------------------------------------------------------------------------------


async def refused(target: Path | str, kind: type[SwarmError]) -> SwarmError:
    """What both ways of connecting say; they must agree."""
    with pytest.raises(SwarmError) as of_pool:
        await connect(target)
    with pytest.raises(SwarmError) as of_wire, connect_sync(target) as wire:
        check_server_sync(wire)
    assert type(of_pool.value) is type(of_wire.value) is kind
    assert of_pool.value.hint == of_wire.value.hint
    assert of_pool.value.hint
    return of_pool.value


async def test_a_server_that_evicts_is_refused(serve: Serve) -> None:
    with serve("--maxmemory-policy", "allkeys-lru") as place:
        error = await refused(place, StoreUnsuitableError)
        assert "allkeys-lru" in error.what
        assert "CONFIG SET maxmemory-policy noeviction" in error.hint


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
        redis = await connect(f"unix://:the-right-one@{place}?db=3")
        await redis.set("here", "3")
        await redis.aclose()
        with connect_sync(f"unix://default:the-right-one@{place}?db=3") as wire:
            assert wire.command("GET", "here") == b"3"


async def test_a_user_who_may_not_ask_is_told_so(serve: Serve) -> None:
    with serve("--user", "weak", "on", ">word", "~*", "+@all", "-info") as place:
        assert "NOPERM" in (await refused(f"unix://weak:word@{place}", StoreUnsuitableError)).what


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


SUITABLE = {"redis_version": "7.0.0", "role": "master", "maxmemory_policy": "noeviction", "loading": 0}


@pytest.mark.parametrize(
    ("fields", "version"),
    [
        ({"redis_version": "7.0.0"}, "7.0.0"),
        ({"redis_version": "8.10.2"}, "8.10.2"),
        ({"redis_version": "7.2.4", "server_name": "valkey", "valkey_version": "8.0.0"}, "8.0.0"),
    ],
)
def test_versions_from_redis_7_and_valkey_8_are_taken(fields: dict[str, object], version: str) -> None:
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
    found = address("rediss://us%40er:pa%2Fss@[::1]:7000/5?ssl_ca_certs=/ca.pem")
    assert (found.host, found.port, found.db, found.is_tls) == ("::1", 7000, 5, True)
    assert (found.username, found.password) == ("us@er", "pa/ss")
    assert found.options == {"ssl_ca_certs": "/ca.pem"}
    assert shown("redis://user:word@host") == "redis://host:6379/0"
    assert shown("unix://user:word@/a%20b.sock?db=2") == "/a b.sock"
    assert "pa/ss" not in repr(found)


@pytest.mark.parametrize(
    "url", ["redis://host/words", "redis://host:port", "http://host", "unix://", "redis://[", ""]
)
async def test_an_address_that_cannot_be_meant_is_a_usage_error(url: str) -> None:
    with pytest.raises(UsageError):
        address(url)
    with pytest.raises(UsageError):
        await connect(url)


async def test_an_unknown_option_in_the_url_is_a_usage_error(redis_url: str) -> None:
    with pytest.raises(UsageError):
        await connect(f"{redis_url}?colour=red")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (redis_errors.ConnectionError("Connection refused"), StoreUnavailableError),
        (redis_errors.TimeoutError("Timeout reading from socket"), StoreUnavailableError),
        (redis_errors.MaxConnectionsError("Too many connections"), StoreUnavailableError),
        (redis_errors.BusyLoadingError("Redis is loading the dataset in memory"), StoreUnavailableError),
        (redis_errors.ReadOnlyError("You can't write against a read only replica."), StoreUnavailableError),
        (redis_errors.AuthenticationError("invalid username-password pair"), StoreUnavailableError),
        (redis_errors.NoPermissionError("this user has no permissions"), StoreUnsuitableError),
        (
            redis_errors.OutOfMemoryError("command not allowed when used memory > 'maxmemory'."),
            StoreFullError,
        ),
        (
            redis_errors.ResponseError("OOM command not allowed script: 1f, on @user_script:1."),
            StoreFullError,
        ),
        (
            redis_errors.ResponseError("MISCONF Errors writing to the AOF file: No space left on device"),
            StoreFullError,
        ),
        (redis_errors.ResponseError("NOREPLICAS Not enough good replicas to write."), StoreUnavailableError),
        (ConnectionResetError(104, "Connection reset by peer"), StoreUnavailableError),
        (TimeoutError(), StoreUnavailableError),
        (redis_errors.ResponseError("WRONGTYPE Operation against a key"), StoreUnsuitableError),
        (redis_errors.ResponseError("ERR syntax error"), SwarmError),
    ],
)
def test_each_failure_has_its_name_in_our_words(error: Exception, kind: type[SwarmError]) -> None:
    assert type(translate(error)) is kind


async def test_a_full_server_says_full_and_wrote_nothing(serve: Serve) -> None:
    with serve("--maxmemory", "1") as place:
        redis = await connect(place)
        with pytest.raises(StoreFullError), translated():
            await redis.set("key", "value")
        with pytest.raises(StoreFullError), translated():
            await redis.eval("return redis.call('SET', KEYS[1], 'value')", 1, "key")
        assert await redis.get("key") is None
        await redis.aclose()


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


async def test_a_server_without_an_append_only_file_is_taken_with_a_warning(
    serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    with serve("--appendonly", "no") as place:
        await (await connect(place)).aclose()
    assert "append-only" in capsys.readouterr().err
