"""Real servers on loopback, as others run Redis: a primary with replicas and sentinels, and a
cluster.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from swarmd.adapters.redis.connection.address import Address
from swarmd.adapters.redis.connection.sync_client import ErrorReply, Reply, Wire
from swarmd.adapters.server.binary import find_binary
from swarmd.errors import StoreUnavailableError, SwarmError

READY_SECONDS: Final = 120.0
SLOTS: Final = 16_384


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on, all different. A cluster's bus wants the port beyond by 10,000 as
    well.
    """
    found: list[int] = []
    while len(found) < count:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = int(listener.getsockname()[1]) - 11_000
        try:
            with (
                socket.create_server(("127.0.0.1", port)),
                socket.create_server(("127.0.0.1", port + 10_000)),
            ):
                pass
        except OSError:
            continue
        if port not in found:
            found.append(port)
    return found


@dataclass(slots=True)
class Node:
    """One server process. It may be killed and started anew on the same folder."""

    folder: Path
    port: int
    options: Sequence[str]
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> Address:
        return Address(host="127.0.0.1", port=self.port)

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "log").open("ab") as log:
            command = [
                str(find_binary()),
                *self.options,
                "--port",
                str(self.port),
                "--dir",
                str(self.folder),
            ]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        until(self.answers, f"the server on {self.port}: {self.folder / 'log'}")

    def answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "log").read_text()[-2_000:]
        try:
            return not isinstance(self.ask("PING"), ErrorReply)
        except StoreUnavailableError:
            return False

    def ask(self, *words: str | int) -> Reply:
        with Wire(self.address, seconds=5) as wire:
            return wire.command(*words)

    def done(self, *words: str | int) -> Reply:
        """As `ask`, where a refusal is a mistake of the test's."""
        reply = self.ask(*words)
        assert not isinstance(reply, ErrorReply), f"{words}: {reply}"
        return reply

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        if number is signal.SIGKILL:
            self.process.wait()

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


def until(is_true: Any, what: str, seconds: float = READY_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)


def info(node: Node, section: str) -> dict[str, str]:
    reply = node.ask("INFO", section)
    assert isinstance(reply, bytes)
    return dict(line.strip().split(":", 1) for line in reply.decode().splitlines() if ":" in line)


_PLAIN: Final = (
    "--bind",
    "127.0.0.1",
    "--save",
    "",
    "--appendonly",
    "yes",
    "--maxmemory-policy",
    "noeviction",
)


# --- a primary, a replica, three sentinels ------------------------------------------------------


@dataclass(slots=True)
class Watched:
    """Servers of which one is the primary, and the sentinels that watch them."""

    servers: list[Node]
    sentinels: list[Node]
    service: str = "theswarm"

    @property
    def url(self) -> str:
        hosts = ",".join(node.address.hosted for node in self.sentinels)
        return f"redis+sentinel://{hosts}/{self.service}"

    def primary(self) -> Node:
        """The one that most sentinels name."""
        named = [self.named_by(sentinel) for sentinel in self.sentinels]
        port = max(set(named), key=named.count)
        return next(node for node in self.servers if node.port == port)

    def named_by(self, sentinel: Node) -> int:
        reply = sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.service)
        assert isinstance(reply, list)
        assert isinstance(reply[1], bytes)
        return int(reply[1])

    def is_whole(self) -> bool:
        """All agree on a primary that has all others as replicas in sync, and each sentinel
        knows them.
        """
        try:
            named = {self.named_by(sentinel) for sentinel in self.sentinels}
            facts = info(self.primary(), "replication")
            known = [self._knows(sentinel) for sentinel in self.sentinels]
        except (SwarmError, AssertionError):
            return False
        others = len(self.servers) - 1
        synced = sum(
            1
            for name, value in facts.items()
            if name.startswith("slave") and "state=online" in value
        )
        return (
            len(named) == 1
            and facts.get("role") == "master"
            and synced == others
            and all(
                facts == (str(others), str(len(self.sentinels) - 1), "master") for facts in known
            )
        )

    def _knows(self, sentinel: Node) -> tuple[str, str, str]:
        reply = sentinel.ask("SENTINEL", "MASTER", self.service)
        assert isinstance(reply, list)
        words = [word.decode() for word in reply if isinstance(word, bytes)]
        facts = dict(zip(words[::2], words[1::2], strict=True))
        return facts["num-slaves"], facts["num-other-sentinels"], facts["flags"]


@contextmanager
def mirrored(folder: Path, *, options: Sequence[str] = ()) -> Iterator[list[Node]]:
    """A primary and its replica, in sync."""
    ports = free_ports(2)
    servers = [Node(folder / f"server-{port}", port, (*_PLAIN, *options)) for port in ports]
    servers[1].options = (*servers[1].options, "--replicaof", f"127.0.0.1 {ports[0]}")
    with ExitStack() as undo:
        for node in servers:
            undo.callback(node.stop)
            node.start()
        until(lambda: _follows(servers[1]), "the replica follows")
        yield servers


@contextmanager
def watched(folder: Path, *, down_after_ms: int, options: Sequence[str] = ()) -> Iterator[Watched]:
    with ExitStack() as undo:
        servers = undo.enter_context(mirrored(folder, options=options))
        found, ports = Watched(servers, []), free_ports(3)
        for port in ports:
            place = folder / f"sentinel-{port}"
            place.mkdir()
            (place / "sentinel.conf").write_text(
                f"sentinel monitor {found.service} 127.0.0.1 {servers[0].port} 2\n"
                f"sentinel down-after-milliseconds {found.service} {down_after_ms}\n"
                f"sentinel failover-timeout {found.service} 4000\n"
            )
            node = Node(
                place, port, (str(place / "sentinel.conf"), "--sentinel", "--bind", "127.0.0.1")
            )
            undo.callback(node.stop)
            node.start()
            found.sentinels.append(node)
        until(found.is_whole, "the sentinels have found each other")
        yield found


# --- a cluster ----------------------------------------------------------------------------------


@dataclass(slots=True)
class Nodes:
    """A cluster whose slots are shared out evenly among `primaries`."""

    primaries: list[Node]
    replicas: list[Node] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"redis+cluster://{','.join(node.address.hosted for node in self.primaries)}"

    def all(self) -> list[Node]:
        return [*self.primaries, *self.replicas]

    def owner(self, slot: int) -> Node:
        for node in self.primaries:
            rows = node.ask("CLUSTER", "SLOTS")
            assert isinstance(rows, list)
            for row in rows:
                assert isinstance(row, list)
                first, last, where = row[:3]
                assert isinstance(first, int)
                assert isinstance(last, int)
                assert isinstance(where, list)
                if first <= slot <= last:
                    return next(each for each in self.all() if each.port == where[1])
        raise AssertionError(f"nobody serves {slot}")

    def id(self, node: Node) -> str:
        reply = node.done("CLUSTER", "MYID")
        assert isinstance(reply, bytes)
        return reply.decode()

    def move(self, slot: int, *, pause_seconds: float = 0.0) -> int:
        """Moves a slot to the next primary, key by key as redis-cli does it. Returns how many
        keys went.
        """
        source = self.owner(slot)
        target = self.primaries[(self.primaries.index(source) + 1) % len(self.primaries)]
        target.done("CLUSTER", "SETSLOT", slot, "IMPORTING", self.id(source))
        source.done("CLUSTER", "SETSLOT", slot, "MIGRATING", self.id(target))
        moved = 0
        while keys := source.done("CLUSTER", "GETKEYSINSLOT", slot, 10):
            assert isinstance(keys, list)
            names = [key.decode() for key in keys if isinstance(key, bytes)]
            source.done("MIGRATE", "127.0.0.1", target.port, "", 0, 5_000, "KEYS", *names)
            moved += len(names)
            time.sleep(pause_seconds)
        for node in (target, source, *self.primaries):
            node.done("CLUSTER", "SETSLOT", slot, "NODE", self.id(target))
        return moved


@contextmanager
def clustered(folder: Path, *, primaries: int = 3, replicas: int = 0) -> Iterator[Nodes]:
    ports = free_ports(primaries + replicas)
    options = (*_PLAIN, "--cluster-enabled", "yes", "--cluster-node-timeout", "1000")
    nodes = [Node(folder / f"node-{port}", port, options) for port in ports]
    found = Nodes(nodes[:primaries], nodes[primaries:])
    with ExitStack() as undo:
        for node in nodes:
            undo.callback(node.stop)
            node.start()
        share = SLOTS // primaries
        for number, node in enumerate(found.primaries):
            last = SLOTS - 1 if number == primaries - 1 else (number + 1) * share - 1
            node.done("CLUSTER", "ADDSLOTSRANGE", number * share, last)
            # Each an epoch of its own, or they would quarrel about it first.
            node.done("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for node in nodes[1:]:
            node.done("CLUSTER", "MEET", "127.0.0.1", ports[0])
        until(lambda: all(_knows_all(node, len(nodes)) for node in nodes), "the nodes have met")
        for number, node in enumerate(found.replicas):
            node.done("CLUSTER", "REPLICATE", found.id(found.primaries[number % primaries]))
        until(lambda: all(map(_follows, found.replicas)), "the replicas follow")
        until(
            lambda: all(b"cluster_state:ok" in _bytes(n.ask("CLUSTER", "INFO")) for n in nodes),
            "the cluster is up",
        )
        yield found


def _follows(node: Node) -> bool:
    return info(node, "replication").get("master_link_status", "").strip() == "up"


def _knows_all(node: Node, count: int) -> bool:
    return f"cluster_known_nodes:{count}".encode() in _bytes(node.ask("CLUSTER", "INFO"))


def _bytes(reply: Reply) -> bytes:
    assert isinstance(reply, bytes)
    return reply
