"""Finding the server: by sentinels, in a cluster, after a fail-over; and each wrong address is
told as what it is.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest

from swarmd.adapters.redis.connection import connection
from swarmd.adapters.redis.connection.address import Address, Cluster, Sentinels, place_of, shown
from swarmd.adapters.redis.connection.connection import Dialler, check_server, dial
from swarmd.adapters.redis.connection.discovery import Lookout, locate_now, slot_of
from swarmd.adapters.redis.connection.pipeline import Pipe
from swarmd.adapters.redis.connection.requirements import connect_sync
from swarmd.adapters.redis.lua import Script, script
from swarmd.adapters.server.embedded import EmbeddedServer
from swarmd.errors import StoreUnavailableError, StoreUnsuitableError, UsageError
from tests.conftest import HANG_SECONDS
from tests.contract.piped import piped
from tests.topology import Nodes, Watched, clustered, free_ports, watched

DOWN_AFTER_MS = 500


@pytest.fixture(scope="module")
def crew(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with watched(tmp_path_factory.mktemp("watched"), down_after_ms=DOWN_AFTER_MS) as crew:
        yield crew


# --- addresses ----------------------------------------------------------------------------------


def test_sentinels_are_read_with_users_of_their_own() -> None:
    found = place_of(
        "rediss+sentinel://u:p%2Fw@a:1,[::1],c:3/main/2?ssl_ca_certs=/ca&sentinel_username=s&sentinel_password=x"
    )
    assert isinstance(found, Sentinels)
    assert found.service == "main"
    assert [(n.host, n.port, n.username, n.password, n.is_tls) for n in found.nodes] == [
        ("a", 1, "s", "x", True),
        ("::1", 26379, "s", "x", True),
        ("c", 3, "s", "x", True),
    ]
    known = found.server
    assert (known.username, known.password, known.db, known.is_tls) == ("u", "p/w", 2, True)
    assert known.options == {"ssl_ca_certs": "/ca"} == found.nodes[0].options


def test_a_cluster_is_read_as_nodes_with_one_user() -> None:
    found = place_of("redis+cluster://u:p@a,b:7001")
    assert isinstance(found, Cluster)
    assert [(n.host, n.port, n.username, n.password) for n in found.nodes] == [
        ("a", 6379, "u", "p"),
        ("b", 7001, "u", "p"),
    ]


def test_an_address_of_many_is_shown_without_its_secrets() -> None:
    for url in (
        "redis+sentinel://u:hush@a,b:2/main?sentinel_password=hush",
        "redis+cluster://u:hush@a,b:2",
    ):
        assert "hush" not in shown(url) + repr(place_of(url))
    assert shown("redis+sentinel://u:hush@a,b:2/main") == "main at the sentinels a:26379, b:2"
    assert shown("redis+cluster://a,b:2") == "the cluster at a:6379, b:2"


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://a:1",
        "redis+sentinel://a:1/main/x",
        "redis+sentinel://a:1/main/1/2",
        "redis+sentinel://a:b/main",
        "redis+cluster://a:1/3",
        "redis+cluster://a:x",
        "unix+cluster:///a",
        "redis+other://a",
    ],
)
def test_an_address_of_many_that_cannot_be_meant_is_a_usage_error(url: str) -> None:
    with pytest.raises(UsageError):
        place_of(url)


def test_all_keys_of_a_namespace_share_the_slot_that_the_server_says(cluster: Nodes) -> None:
    for namespace in ("{swarm}", "a{b}c", "{x-1}"):
        for key in ("", ":missions", ":_state:{other}"):
            assert cluster.primaries[0].ask("CLUSTER", "KEYSLOT", namespace + key) == slot_of(
                namespace
            )


# --- both clients reach it ----------------------------------------------------------------------


async def test_both_clients_find_the_primary_by_its_sentinels(crew: Watched) -> None:
    async with piped(dial(crew.url)) as pipe:
        await pipe.execute("SET", "found", "yes")
    with connect_sync(crew.url) as wire:
        assert wire.command("GET", "found") == b"yes"
    assert crew.primary().ask("GET", "found") == b"yes"


async def test_both_clients_find_the_node_of_the_swarms_slot(cluster: Nodes) -> None:
    for number in range(4):
        namespace = f"{{found-{number}}}"
        async with piped(dial(cluster.url, namespace=namespace)) as pipe:
            await pipe.execute("SET", f"{namespace}:key", "yes")
        with connect_sync(cluster.url, namespace=namespace) as wire:
            assert wire.command("GET", f"{namespace}:key") == b"yes"


async def test_a_sentinel_that_is_down_is_passed_over(crew: Watched) -> None:
    [dead] = free_ports(1)
    url = f"redis+sentinel://127.0.0.1:{dead},{crew.sentinels[2].address.hosted}/{crew.service}"
    assert (await Lookout(place_of(url), "").locate()).port == crew.primary().port


# --- and after a fail-over ------------------------------------------------------------------------


async def test_a_node_of_a_cluster_that_dies_is_followed_by_its_replica(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with clustered(tmp_path_factory.mktemp("failing"), replicas=3) as nodes:
        slot = slot_of("{swarm}")
        pipe = Pipe(dial(nodes.url, namespace="{swarm}"))
        former = nodes.owner(slot)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pipe.run)
            assert await pipe.execute("SET", "{swarm}:before", "1")
            former.signal(signal.SIGKILL)
            with anyio.fail_after(20):
                assert await pipe.execute("SET", "{swarm}:after", "1") == "OK"
            tasks.cancel_scope.cancel()


@dataclass(slots=True)
class Moving:
    """Implements `Locator`: it is where the test says."""

    address: Address

    async def locate(self) -> Address:
        return self.address


async def test_a_server_whose_place_another_has_is_left_without_its_word(
    short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "WATCH_SECONDS", 0.05)
    async with (
        EmbeddedServer(short_path / "a") as former,
        EmbeddedServer(short_path / "b") as other,
    ):
        locator = Moving(Address(path=str(former.socket)))
        way = Dialler(Sentinels((), "any", locator.address), locator, "swarmd")
        async with piped(way) as pipe, anyio.create_task_group() as tasks:
            tasks.start_soon(way.watch)
            await pipe.execute("SET", "where", "former")
            locator.address = Address(path=str(other.socket))
            with anyio.fail_after(HANG_SECONDS):
                while await pipe.execute("GET", "where") is not None:
                    await anyio.sleep(0.02)
            assert pipe.connections == 2
            await anyio.sleep(0.2)
            await pipe.execute("PING")
            assert pipe.connections == 2, "the right one is kept"
            tasks.cancel_scope.cancel()


# --- a slot on the move ---------------------------------------------------------------------------


async def test_a_script_whose_slot_is_moving_writes_nothing_and_is_done_when_it_has_moved(
    cluster: Nodes, namespace: str
) -> None:
    tag = f"{{{namespace}}}"
    slot = slot_of(tag)
    source = cluster.owner(slot)
    target = cluster.primaries[(cluster.primaries.index(source) + 1) % 3]
    with connect_sync(cluster.url, namespace=tag) as wire:
        wire.command("SET", f"{tag}:a", 0)
        wire.command("SET", f"{tag}:b", 0)
    target.done("CLUSTER", "SETSLOT", slot, "IMPORTING", cluster.id(source))
    source.done("CLUSTER", "SETSLOT", slot, "MIGRATING", cluster.id(target))
    source.done("MIGRATE", "127.0.0.1", target.port, f"{tag}:b", 0, 5_000)

    # It names one key and makes the name of another, as the commit does that reaps.
    count = (
        "redis.call('INCR', KEYS[1]) redis.call('INCR', (string.gsub(KEYS[1], ':a$', ':b'))) "
        "return 1"
    )
    whole = _with(count, script("_whole").text)
    pipe = Pipe(dial(cluster.url, namespace=tag))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pipe.run)
        asked = asyncio.ensure_future(pipe.evaluate(whole, [f"{tag}:a"], []))
        await anyio.sleep(0.3)
        assert not asked.done()
        assert source.ask("GET", f"{tag}:a") == b"0", "nothing of it was written"
        source.done("MIGRATE", "127.0.0.1", target.port, f"{tag}:a", 0, 5_000)
        for node in (target, source, *cluster.primaries):
            node.done("CLUSTER", "SETSLOT", slot, "NODE", cluster.id(target))
        with anyio.fail_after(HANG_SECONDS):
            assert await asked == 1
        tasks.cancel_scope.cancel()
    assert [target.ask("GET", f"{tag}:{key}") for key in "ab"] == [b"1", b"1"]


def _with(text: str, before: str) -> Script:
    import hashlib

    whole = f"{before}\n{text}"
    return Script("test", whole, hashlib.sha1(whole.encode(), usedforsecurity=False).hexdigest())


# --- what is wrong is told ------------------------------------------------------------------------


def test_a_service_that_no_sentinel_knows_is_told(crew: Watched) -> None:
    url = crew.url.replace(crew.service, "other")
    with pytest.raises(StoreUnsuitableError, match="knows no service other") as told:
        connect_sync(url)
    assert "sentinel monitor" in told.value.hint


async def test_where_no_sentinel_answers_they_are_named() -> None:
    first, second = free_ports(2)
    url = f"redis+sentinel://127.0.0.1:{first},127.0.0.1:{second}/main"
    with pytest.raises(StoreUnavailableError) as told:
        await check_server(dial(url))
    assert str(first) in told.value.what
    assert str(second) in told.value.what
    assert "refused" in told.value.what


def test_a_server_that_is_no_sentinel_or_no_cluster_is_told(
    server: EmbeddedServer, crew: Watched
) -> None:
    plain = crew.servers[0].address.hosted
    with pytest.raises(StoreUnsuitableError, match="is no sentinel"):
        connect_sync(f"redis+sentinel://{plain}/main")
    with pytest.raises(StoreUnsuitableError, match="no node of a cluster") as told:
        connect_sync(f"redis+cluster://{plain}", namespace="{swarm}")
    assert "redis://HOST:PORT" in told.value.hint


async def test_a_node_of_a_cluster_under_a_plain_address_is_refused_with_the_right_one(
    cluster: Nodes,
) -> None:
    with pytest.raises(StoreUnsuitableError, match="node of a cluster") as told:
        await check_server(dial(f"redis://{cluster.primaries[0].address.hosted}"))
    assert "redis+cluster://" in told.value.hint


def test_a_slot_that_nobody_serves_is_told(tmp_path_factory: pytest.TempPathFactory) -> None:
    with clustered(tmp_path_factory.mktemp("hole")) as nodes:
        slot = slot_of("{swarm}")
        for node in nodes.primaries:
            node.ask("CLUSTER", "DELSLOTS", slot)
        with pytest.raises(StoreUnavailableError, match=f"slot {slot}"):
            locate_now(place_of(nodes.url), "{swarm}")


def test_a_plain_address_is_its_own_answer() -> None:
    assert locate_now(place_of("redis://a:1/2"), "swarm") == Address(host="a", port=1, db=2)


# --- last, for it leaves one server dead ----------------------------------------------------------


async def test_what_waits_in_the_pipe_arrives_at_the_new_primary_and_a_verb_waits_for_it(
    crew: Watched,
) -> None:
    pipe = Pipe(dial(crew.url))
    former = crew.primary()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pipe.run)
        assert await pipe.execute("SET", "before", "1")
        former.signal(signal.SIGKILL)
        verb = asyncio.create_task(asyncio.to_thread(_said_by_a_verb, crew.url))
        with anyio.fail_after(15):
            assert await pipe.execute("SET", "after", "1") == "OK"
            assert await verb == "PONG"
        tasks.cancel_scope.cancel()
    assert crew.primary().port != former.port
    assert crew.primary().ask("GET", "after") == b"1"


def _said_by_a_verb(url: str) -> object:
    with connect_sync(url) as wire:
        return wire.command("PING")
