"""Which server is the swarm's at this moment: asked anew for every connection that is made.

A plain address is its own answer. Sentinels name the primary of a service; the nodes of a cluster
name who serves the slot that all keys of one swarm share. Either is then asked itself whether it is
a primary, with a bound far below a command's: a primary that hangs is still named until it is voted
down.

One implementation, on the small blocking connection, serves the looking verbs as it is and the
daemons in a thread. It opens connections when it asks and keeps none.
"""

from __future__ import annotations

import binascii
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from swarmd.adapters.redis.connection.address import Address, Cluster, Place, Sentinels
from swarmd.adapters.redis.connection.errors import refused
from swarmd.adapters.redis.connection.sync_client import ErrorReply, Reply, Wire
from swarmd.errors import StoreUnavailableError, StoreUnsuitableError, SwarmError

LOOK_SECONDS: Final = 1.0
"""For each server that is asked. A fail-over is over in a few of these; a command's 5 s would be
most of its bound.
"""
FAIL_OVER_SECONDS: Final = 15.0
"""How long a verb seeks a primary where one is being made. Twice what a fail-over takes with
three sentinels.
"""
_PAUSE_SECONDS: Final = 0.25
_SLOTS: Final = 16_384
PORT_MAX: Final = 65_535


class Locator(Protocol):
    """Asked before each connection."""

    async def locate(self) -> Address:
        """The server to connect to now.

        Raises `StoreUnavailableError` where there is none at the moment, `StoreUnsuitableError`
        where no waiting helps: a service no sentinel knows, a cluster that is none.
        """
        ...


@dataclass(slots=True)
class Lookout:
    """The `Locator` of a place, for the swarm of that namespace."""

    place: Place
    namespace: str
    _last: Address | None = None

    async def locate(self) -> Address:
        if isinstance(self.place, Address):
            return self.place
        # Here, for the looking verbs come by this module too, and asyncio costs them more than all
        # else.
        import asyncio

        found = await asyncio.to_thread(locate_now, self.place, self.namespace)
        if self._last not in (None, found):
            # Here, as in `requirements`: it brings logging.
            from swarmd.log_events import LogEvent
            from swarmd.logs import logger

            logger(__name__).warning(LogEvent.SERVER_OTHER, server=str(found), was=str(self._last))
        self._last = found
        return found


def locate_now(place: Place, namespace: str) -> Address:
    """One look, blocking. Raises as `Locator.locate`."""
    match place:
        case Address():
            return place
        case Sentinels():
            return _confirmed(_newest(place))
        case Cluster():
            return _first(place, lambda node: _owner_of_slot(node, slot_of(namespace)))


def located(place: Place, namespace: str, *, seconds: float = FAIL_OVER_SECONDS) -> Address:
    """As `locate_now`, with patience for a fail-over that is under way."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return locate_now(place, namespace)
        except StoreUnavailableError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_SECONDS)


def slot_of(namespace: str) -> int:
    """The slot of every key of a namespace: that of its hash tag."""
    before, _, rest = namespace.partition("{")
    tag, closed, _ = rest.partition("}")
    assert closed, f"on a cluster the namespace {before} has a hash tag"
    return binascii.crc_hqx(tag.encode(), 0) % _SLOTS


def _first(place: Cluster, ask: Callable[[Address], Address]) -> Address:
    """The first answer that holds. Nodes are down, or behind the others, whenever this matters."""
    faults: list[SwarmError] = []
    for node in place.nodes:
        try:
            return _confirmed(ask(node))
        except (StoreUnavailableError, StoreUnsuitableError) as fault:
            faults.append(fault)
    raise _all(place, faults)


def _newest(place: Sentinels) -> Address:
    """What the sentinel says that knows of the last fail-over: others name the former primary for
    seconds, and one that wakes late takes what it is given until it is told."""
    faults: list[SwarmError] = []
    found: list[tuple[int, Address]] = []
    for node in place.nodes:
        try:
            found.append(_named_by_sentinel(place, node))
        except (StoreUnavailableError, StoreUnsuitableError) as fault:
            faults.append(fault)
    if not found:
        raise _all(place, faults)
    return max(found, key=lambda one: one[0])[1]


def _all(place: Place, faults: Sequence[SwarmError]) -> SwarmError:
    # Waiting helps where any of them may come to another answer.
    told = next((fault for fault in faults if isinstance(fault, StoreUnavailableError)), faults[0])
    return type(told)(
        f"{place}: {'; '.join(dict.fromkeys(fault.what for fault in faults))}", hint=told.hint
    )


def _named_by_sentinel(place: Sentinels, node: Address) -> tuple[int, Address]:
    """The epoch of its answer, and the answer."""
    named, service, replicas = _ask(
        node,
        ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", place.service),
        ("SENTINEL", "MASTER", place.service),
        ("SENTINEL", "REPLICAS", place.service),
    )
    match named:
        case None:
            raise StoreUnsuitableError(
                f"the sentinel {node.hosted} knows no service {place.service}",
                hint="REDIS_URL ends in the service's name, as in `sentinel monitor NAME …`",
            )
        case [bytes(host), bytes(port)]:
            following = sum(map(_lives, replicas)) if isinstance(replicas, list) else 0
            epoch = _facts(service).get(b"config-epoch", b"0")
            if not (
                isinstance(epoch, bytes) and epoch.isdigit() and _is_host(host) and _is_port(port)
            ):
                raise _unreadable(node, "SENTINEL")
            return int(epoch), place.server.at(host.decode(), int(port), replicas=following)
        case ErrorReply() if "unknown command" not in named.lower():
            raise refused(named)
        case _:
            raise StoreUnsuitableError(
                f"{node.hosted} is no sentinel",
                hint="REDIS_URL names the sentinels' ports, 26379 by default",
            )


def _lives(replica: Reply) -> bool:
    """Whether its link is up is not asked: one that is just being given the primary's place has let
    go of it, and what the old primary still takes then, alone, is lost."""
    flags = _facts(replica).get(b"flags")
    return isinstance(flags, bytes) and b"down" not in flags


def _facts(flat: Reply) -> dict[bytes, Reply]:
    """What is no list of names and values tells nothing."""
    if not isinstance(flat, list):
        return {}
    return {
        name: value
        for name, value in zip(flat[::2], flat[1::2], strict=False)
        if isinstance(name, bytes)
    }


def _is_host(host: bytes) -> bool:
    return host.isascii() and bool(host.strip())


def _is_port(port: bytes) -> bool:
    return port.isdigit() and len(port) <= 5 and 0 < int(port) <= PORT_MAX


def _unreadable(node: Address, question: str) -> StoreUnsuitableError:
    return StoreUnsuitableError(
        f"{node.hosted} gives an answer to {question} that cannot be read",
        hint="does REDIS_URL name a Redis or Valkey server, or its sentinels?",
    )


def _owner_of_slot(node: Address, slot: int) -> Address:
    [rows] = _ask(node, ("CLUSTER", "SLOTS"))
    if isinstance(rows, ErrorReply):
        if "cluster support disabled" not in rows:
            raise refused(rows)
        raise StoreUnsuitableError(
            f"{node.hosted} is no node of a cluster",
            hint="REDIS_URL is redis://HOST:PORT for a server that stands alone",
        )
    if not isinstance(rows, list):
        raise _unreadable(node, "CLUSTER SLOTS")
    for row in rows:
        match row:
            case [int(first), int(last), [bytes() | None as host, int(port), *_], *replicas] if (
                host is None or host.isascii()
            ) and 0 < port <= PORT_MAX:
                if first <= slot <= last:
                    # No host is told where a node does not know its own: it is the one that was
                    # asked.
                    return node.at(
                        host.decode() if host else node.host, port, replicas=len(replicas)
                    )
            case _:
                raise _unreadable(node, "CLUSTER SLOTS")
    raise StoreUnavailableError(
        f"{node.hosted} knows no node that serves the swarm's slot {slot}",
        hint="see `CLUSTER INFO` on it: a cluster serves when all of its 16,384 slots are assigned",
    )


def _confirmed(address: Address) -> Address:
    # ROLE and not INFO: each of the swarm's users may ask it.
    match _ask(address, ("ROLE",)):
        case [[b"master", *_]]:
            return address
        case [ErrorReply() as reply]:
            raise refused(reply)
        case _:
            raise StoreUnavailableError(
                f"{address.hosted} is no primary",
                hint="a fail-over may be under way: try again in a moment",
            )


def _ask(node: Address, *commands: Sequence[str]) -> list[Reply]:
    with Wire(node, seconds=LOOK_SECONDS) as wire:
        wire.send_all(commands)
        return [wire.read() for _ in commands]
