"""What lies between a process and the server, and what can go wrong there.

`Way` is a process's `Dial`: above it the product's own pipe and bell are at work, below it
connections lose requests, lose replies of what was done, break in the middle of a batch, deliver
late, stand still, and let the bytes of a dead connection through after all.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from contextvars import Context
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Literal

import hiredis

from swarmd.adapters.redis.connection.connection import (
    CONNECT_SECONDS,
    Connection,
    Receiver,
    Refusal,
)
from swarmd.errors import StoreUnavailableError
from tests.sim.loop import GATE, Gate, VirtualLoop
from tests.sim.server import Server

# One way. Only the order and the gaps matter to the product, not the size.
LATENCY_SECONDS: Final = (0.0001, 0.002)
# What follows on one connection arrives after what went before: timers of one moment have no order.
NEXT_SECONDS: Final = 1e-6
_LATE_SECONDS: Final = (0.01, 0.3, 3.0)


@dataclass(frozen=True, slots=True)
class Rates:
    """How often each fault happens, of a batch of commands or of a ring; all zero is a perfect
    world.
    """

    cut: float = (
        0.0  # the connection breaks: nothing, a part or all of the batch was done, no reply comes
    )
    reply_lost: float = (
        0.0  # of batches with a script: all was done, and the connection breaks before its reply
    )
    slow: float = 0.0  # the batch, and all after it, arrives late
    late: float = 0.0  # of batches whose connection broke: their bytes arrive after all, later
    ring_lost: float = 0.0
    ring_twice: float = 0.0
    ring_late: float = 0.0  # and so after later ones
    ears_cut: float = 0.0  # a ring finds its connection broken


PERFECT: Final = Rates()


@dataclass(slots=True, eq=False)
class Network:
    loop: VirtualLoop
    server: Server
    chance: random.Random
    trace: Callable[..., None]
    rates: Rates = PERFECT
    faults: Counter[str] = field(default_factory=Counter)
    ways: dict[str, Way] = field(default_factory=dict)
    # Told before and after each command of a process; it may kill the process just there.
    at_command: Callable[[str, Literal["before", "after"]], None] = lambda *_: None
    _context: Context = field(default_factory=Context)

    def __post_init__(self) -> None:
        self.server.heard = self.publish

    def fault(self, name: str, who: str) -> None:
        self.faults[name] += 1
        self.trace("fault", name, who)

    def happens(self, rate: float) -> bool:
        return rate > 0 and self.chance.random() < rate

    def latency(self) -> float:
        return self.chance.uniform(*LATENCY_SECONDS)

    def at(self, when: float, what: Callable[..., object], *args: Any) -> None:
        """The network's own doing: it goes on while processes stand still."""
        self.loop.call_at(when, what, *args, context=self._context)

    def publish(self, channel: str, line: str) -> None:
        for way in list(self.ways.values()):
            for wire in list(way.wires):
                if channel in wire.followed:
                    wire.ring(channel, line)

    def break_all(self) -> None:
        """The server went: every connection ends."""
        for way in self.ways.values():
            for wire in list(way.wires):
                wire.lose("the server went away")


@dataclass(slots=True, eq=False)
class Way:
    """Implements `Dial` for one process. While `is_parted` nothing gets through, in either
    direction, and nobody is told; where it `holds`, what was sent meanwhile arrives when that is
    over, else never."""

    net: Network
    gate: Gate
    is_parted: bool = False
    holds: bool = False
    wires: list[_Wire] = field(default_factory=list)
    held: list[Callable[[], object]] = field(default_factory=list)
    context: Context = field(default_factory=Context)

    def __post_init__(self) -> None:
        self.context.run(GATE.set, self.gate)
        self.net.ways[self.gate.name] = self

    async def __call__(self, receiver: Receiver) -> Connection:
        await asyncio.sleep(3 * self.net.latency())
        if self.is_parted:
            await asyncio.sleep(CONNECT_SECONDS)
            raise StoreUnavailableError("it does not answer")
        if not self.net.server.is_up or self.gate.is_dead:
            raise StoreUnavailableError("it refuses the connection")
        wire = _Wire(self, receiver, heard_at=self.net.loop.time())
        self.wires.append(wire)
        return wire

    def stands_still(self, what: Callable[[], object]) -> bool:
        """True where it does not get through now; then it is held for later, or gone."""
        if not self.is_parted:
            return False
        if self.holds:
            self.held.append(what)
        return True

    def heal(self) -> None:
        self.is_parted = False
        held, self.held = self.held, []
        for n, what in enumerate(held):
            self.net.at(self.net.loop.time() + (n + 1) * NEXT_SECONDS, what)


@dataclass(slots=True, eq=False)
class _Wire:
    """Implements `Connection`."""

    way: Way
    receiver: Receiver
    heard_at: float
    is_clogged: bool = False
    followed: set[str] = field(default_factory=set)
    _is_closed: bool = False  # its owner knows
    _is_broken: bool = (
        False  # something of it is missing: nothing after that arrives, in either direction
    )
    _arrives: float = 0.0
    _returns: float = 0.0

    @property
    def _name(self) -> str:
        return self.way.gate.name

    # --- of `Connection` ---

    def write(self, packed: Sequence[bytes]) -> None:
        net, gate = self.way.net, self.way.gate
        if self._is_closed or gate.is_dead:
            return
        batch = _commands(packed)
        arrives = max(self._arrives + NEXT_SECONDS, net.loop.time() + net.latency())
        if net.happens(net.rates.slow):
            net.fault("slow", self._name)
            arrives += net.chance.uniform(0.1, 4.0)
        self._arrives = arrives
        done, is_cut = len(batch), net.happens(net.rates.cut)
        is_unheard = any(command[0] == b"EVALSHA" for command in batch) and net.happens(
            net.rates.reply_lost
        )
        if is_cut or is_unheard:
            done = net.chance.randint(0, len(batch)) if is_cut else done
            is_cut = True
            what = (
                "request lost" if done == 0 else "reply lost" if done == len(batch) else "batch cut"
            )
            net.fault(what, self._name)
        net.at(arrives, self._arrive, batch, done, is_cut)

    def abort(self) -> None:
        self.lose("it was aborted")

    # --- what the network does ---

    def _arrive(self, batch: list[list[bytes]], done: int, is_cut: bool) -> None:
        net = self.way.net
        if self.way.stands_still(partial(self._arrive, batch, done, is_cut)):
            self._is_broken = self._is_broken or not self.way.holds
            return
        if self._is_broken or self._is_closed or not net.server.is_up:
            self._perhaps_later(batch)
            return
        replies = [reply for command in batch[:done] for reply in self._run(command)]
        if is_cut:
            self._is_broken = True
            net.at(net.loop.time() + net.latency(), self.lose, "reset by peer")
            self._perhaps_later(batch)
            return
        self._returns = max(self._returns + NEXT_SECONDS, net.loop.time() + net.latency())
        net.at(self._returns, self._answer, replies)

    def _run(self, command: list[bytes]) -> list[Any]:
        """Its replies; none where the process was killed just before."""
        net = self.way.net
        match command[0]:
            case b"SUBSCRIBE" | b"UNSUBSCRIBE" as verb:
                names = [name.decode() for name in command[1:]]
                change = (
                    self.followed.update
                    if verb == b"SUBSCRIBE"
                    else self.followed.difference_update
                )
                change(names)
                return [[verb.decode().lower(), name, 0] for name in names]
            case b"PING":
                return [["pong", ""]]
        net.at_command(self._name, "before")
        if self.way.gate.is_dead:
            return []
        reply = net.server.execute(self._name, command)
        net.at_command(self._name, "after")
        return [reply]

    def _perhaps_later(self, batch: list[list[bytes]]) -> None:
        """What a broken connection still held reaches the server all the same: done, perhaps for
        the second time.
        """
        net = self.way.net
        if net.happens(net.rates.late):
            net.at(net.loop.time() + net.chance.choice(_LATE_SECONDS), self._haunt, batch)

    def _haunt(self, batch: list[list[bytes]]) -> None:
        net = self.way.net
        commands = [
            command
            for command in batch
            if command[0] not in (b"SUBSCRIBE", b"UNSUBSCRIBE", b"PING")
        ]
        if net.server.is_up and commands:
            net.fault("repeated late", self._name)
            for command in commands:
                net.server.execute(self._name, command)

    def _answer(self, replies: Sequence[Any]) -> None:
        if self.way.stands_still(partial(self._answer, replies)):
            self._is_broken = self._is_broken or not self.way.holds
            return
        if not (self._is_broken or self._is_closed):
            self._tell(self._replied, replies)

    def _tell(self, what: Callable[..., object], *args: Any) -> None:
        """To its owner, whenever that runs again."""
        self.way.net.loop.call_soon(what, *args, context=self.way.context)

    def _replied(self, replies: Sequence[Any]) -> None:
        if self.way.gate.is_dead:
            return
        self.heard_at = self.way.net.loop.time()
        for reply in replies:
            if self._is_closed:
                return
            self.receiver.replied(reply)

    def lose(self, why: str) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        self.followed.clear()
        if self in self.way.wires:
            self.way.wires.remove(self)
        if not self.way.gate.is_dead:
            self._tell(
                self.receiver.lost,
                StoreUnavailableError(f"the connection to the server was lost: {why}"),
            )

    # --- rings ---

    def ring(self, channel: str, line: str) -> None:
        net = self.way.net
        if net.happens(net.rates.ears_cut):
            net.fault("ringing connection lost", self._name)
            self.lose("reset by peer")
            return
        if net.happens(net.rates.ring_lost):
            net.fault("ring lost", self._name)
            return
        heard, seconds = partial(self._answer, [["message", channel, line]]), net.latency()
        if net.happens(net.rates.ring_late):
            net.fault("ring late", self._name)
            seconds += net.chance.uniform(0.01, 3.0)
        net.at(net.loop.time() + seconds, heard)
        if net.happens(net.rates.ring_twice):
            net.fault("ring twice", self._name)
            net.at(net.loop.time() + net.chance.uniform(0.0, 1.0), heard)


def _commands(packed: Sequence[bytes]) -> list[list[bytes]]:
    reader = hiredis.Reader()
    reader.feed(b"".join(packed))
    found = []
    while (command := reader.gets()) is not False:
        found.append(command)
    return found


__all__ = ["PERFECT", "Network", "Rates", "Refusal", "Way"]
