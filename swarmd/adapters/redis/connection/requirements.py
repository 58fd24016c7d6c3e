"""What swarmd demands of a server, and the small blocking connection for verbs that must start
fast.

What runs long is in `line`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from swarmd.adapters.redis.connection.address import Cluster, Target, place_of, shown
from swarmd.adapters.redis.connection.discovery import located
from swarmd.adapters.redis.connection.restart import HINT, WHAT, restart_of
from swarmd.adapters.redis.connection.sync_client import COMMAND_SECONDS, ErrorReply, Reply, Wire
from swarmd.adapters.redis.keys import Keys
from swarmd.errors import StoreUnavailableError, StoreUnsuitableError

REDIS_LEAST: Final = (7, 0)
VALKEY_LEAST: Final = (8, 0)

_DATABASE: Final = re.compile(r"^db([0-9]+):", re.MULTILINE)
_STRICT: Final[Mapping[str, Reply]] = {
    "appendonly": [b"appendonly", b"yes"],
    "appendfsync": [b"appendfsync", b"always"],
}


@dataclass(frozen=True, slots=True)
class Server:
    """What a suitable server said of itself."""

    name: str  # "Redis" or "Valkey"
    version: str
    keeps_aof: bool  # without an append-only file, a restart loses what is not in its last snapshot


def judge(info: Mapping[str, object], *, is_cluster: bool = False) -> Server:
    """Decides on the fields of `INFO` whether swarmd may work on this server; raises where it may
    not.

    With `is_cluster` it was looked for in a cluster, and not named by a plain address.
    """
    if str(info.get("loading", "0")) == "1":
        raise StoreUnavailableError(
            "the server is still loading its data", hint="try again in a moment"
        )
    is_valkey = info.get("server_name") == "valkey"
    name, least = ("Valkey", VALKEY_LEAST) if is_valkey else ("Redis", REDIS_LEAST)
    version = str(info.get("valkey_version" if is_valkey else "redis_version", "unknown"))
    if _numbers(version) < least:
        raise StoreUnsuitableError(
            f"the server is {name} {version}", hint="swarmd needs Redis 7.0 or Valkey 8, or later"
        )
    if info.get("role") == "slave":
        raise StoreUnsuitableError(
            "the server is a read-only replica", hint="let REDIS_URL name its primary instead"
        )
    if str(info.get("cluster_enabled", "0")) == "1" and not is_cluster:
        raise StoreUnsuitableError(
            "the server is a node of a cluster", hint="let REDIS_URL be redis+cluster://HOST:PORT,…"
        )
    policy = str(info.get("maxmemory_policy", "unknown"))
    if policy != "noeviction":
        raise StoreUnsuitableError(
            f"the server may delete data when its memory is full (maxmemory-policy {policy})",
            hint=(
                "run `CONFIG SET maxmemory-policy noeviction` on it and keep that in its "
                "configuration"
            ),
        )
    return Server(name, version, keeps_aof=str(info.get("aof_enabled", "0")) == "1")


def _numbers(version: str) -> tuple[int, ...]:
    parts = version.split(".")[:2]
    return tuple(int(p) for p in parts) if all(p.isdigit() for p in parts) else ()


def judge_info(text: str, *, is_cluster: bool = False) -> Server:
    """As `judge`, of the text that `INFO` answers: unlike `CONFIG GET` it is seldom denied, and it
    tells the eviction policy too."""
    lines = text.splitlines()
    fields = dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))
    return judge(fields, is_cluster=is_cluster)


def demand_strict(target: Target, namespace: str) -> None:
    """Raises `StoreUnsuitableError` where a write is acknowledged before it is on the disk. Where
    the server does not let itself be asked that is said, and nothing else: many who run one for
    others forbid CONFIG.
    """
    with connect_sync(target, namespace=namespace) as wire:
        found = {
            name: wire.command("CONFIG", "GET", name) for name in ("appendonly", "appendfsync")
        }
    if any(isinstance(reply, ErrorReply) for reply in found.values()):
        _warn(
            "asked for strict durability, and the server does not let itself be asked for it",
            hint="see to it that `appendonly` is yes and `appendfsync` always on it",
        )
    elif found != _STRICT:
        raise StoreUnsuitableError(
            (
                f"{shown(target)}: the server acknowledges a write before it is on the disk, and "
                "durability is strict"
            ),
            hint="run `CONFIG SET appendonly yes` and `CONFIG SET appendfsync always` on it and "
            "keep that in its configuration, or ask for `balanced` (SWARMD_DURABILITY)",
        )


def refuse_shared_namespace(target: Target, namespace: str) -> None:
    """Raises `StoreUnsuitableError` where a swarm of this namespace is led in another database of
    the server.

    Channels know no databases: what is published for one would be heard by both. One that rests
    there is only warned of, and so it is where the server does not let itself be asked.
    """
    place = place_of(target)
    if isinstance(place, Cluster):
        return  # it has one database
    address, keys = located(place, namespace), Keys(namespace)
    with Wire(address, seconds=COMMAND_SECONDS) as wire:
        told = wire.command("INFO", "keyspace")
        numbers = _DATABASE.findall(told.decode() if isinstance(told, bytes) else "")
        for number in (int(text) for text in numbers if int(text) != address.db):
            replies = [
                wire.command("SELECT", number),
                wire.command("GET", keys.leader),
                wire.command("EXISTS", keys.meta),
            ]
            where = (
                f"database {number} of {shown(target)} holds a swarm of the namespace "
                f"{namespace} too"
            )
            if isinstance(replies[0], ErrorReply):
                continue
            if isinstance(replies[1], bytes):
                raise StoreUnsuitableError(
                    (
                        f"{where}, and it is running: what is published on its channels is heard "
                        "in every database"
                    ),
                    hint="give one of the two another namespace: SWARMD_NAMESPACE",
                )
            if replies[2] == 1:
                _warn(
                    f"{where}; run one of the two at a time",
                    hint="or give one of them another namespace: SWARMD_NAMESPACE",
                )


def demand_replay(target: Target, namespace: str) -> None:
    """Raises `StoreUnsuitableError` where a restart of the server would lose the swarm. A server
    that does not let itself be asked is used all the same, with a warning.
    """
    with connect_sync(target, namespace=namespace) as wire:
        restart = restart_of(wire.exchange, namespace)
    if restart == "lost":
        raise StoreUnsuitableError(f"{shown(target)}: {WHAT}", hint=HINT)
    if restart == "not checked":
        _warn(
            "not checked: whether the server keeps the swarm when it restarts",
            hint=(
                "the supervisor's user needs ACL GETUSER for it (`swarmd acl`); see "
                "docs/redis.md, Restart"
            ),
        )


def _warn(what: str, *, hint: str) -> None:
    # Here, for it brings logging, and whoever only looks warns of nothing.
    from swarmd.log_events import LogEvent
    from swarmd.logs import logger

    logger(__name__).warning(LogEvent.SERVER_UNFIT, why=what, hint=hint)


def connect_sync(
    target: Target, *, namespace: str = "", seconds: float | None = COMMAND_SECONDS
) -> Wire:
    """A blocking connection to where the swarm's server is now."""
    return Wire(located(place_of(target), namespace), seconds=seconds)
