"""One ringing connection for a whole process: each part hears its own channels on a line of it.

One task owns the connection and nobody else touches it. A part that wants other channels says so and wakes
the owner by a ring on the process's private channel, so that no read has to be broken off.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import Final, Literal

import anyio

from swarmd.core.names import Channel
from swarmd.ports import Rings

# Rings that wait for one part. One that lets more gather is told of a gap and reads the streams instead.
WAITING_MAX: Final = 20_000
_IDLE_SECONDS: Final = 1.0

Ring = tuple[Channel, str]


@dataclass(slots=True)
class Switchboard:
    """Run it with `run`; `line()` gives a part its own `Rings`. `wake` rings on the channel `own`."""

    rings: Rings
    own: Channel
    wake: Callable[[], Awaitable[object]]
    _lines: list[Line] = field(default_factory=list)
    _listeners: dict[Channel, list[Line]] = field(default_factory=dict)
    _asked: list[anyio.Event] = field(default_factory=list)

    def line(self, keeps: Collection[Channel] = ()) -> Line:
        """`keeps` are channels without a stream behind them: their rings are never dropped for a gap."""
        line = Line(self, frozenset(keeps))
        self._lines.append(line)
        return line

    async def run(self) -> None:
        await self._converge()
        while True:
            ring = await self.rings.next(_IDLE_SECONDS)
            if ring == "gap":
                for line in self._lines:
                    line.miss()
            elif ring is not None:
                for line in self._listeners.get(ring[0], ()):
                    line.put(ring)
            if self._asked:
                await self._converge()

    async def _converge(self) -> None:
        asked, self._asked = self._asked, []
        listeners: dict[Channel, list[Line]] = defaultdict(list)
        for line in self._lines:
            for channel in line.wanted:
                listeners[channel].append(line)
        self._listeners = dict(listeners)
        await self.rings.follow([self.own, *listeners])
        for event in asked:
            event.set()

    async def ask(self) -> None:
        """The channels wanted have changed: returns when they were asked for."""
        done = anyio.Event()
        self._asked.append(done)
        await self.wake()
        await done.wait()

    def hang_up(self, line: Line) -> None:
        """Its channels are let go with the next change: until then their rings are dropped here."""
        self._lines.remove(line)
        self._listeners = {
            channel: [other for other in others if other is not line]
            for channel, others in self._listeners.items()
        }


@dataclass(slots=True, eq=False)
class Line:
    """One part's end: implements the port `Rings`. Used by one task."""

    board: Switchboard
    keeps: frozenset[Channel] = frozenset()
    wanted: frozenset[Channel] = frozenset()
    _waiting: deque[Ring | Literal["gap"]] = field(default_factory=deque)
    _bell: anyio.Event = field(default_factory=anyio.Event)

    async def follow(self, channels: Collection[Channel]) -> None:
        self.wanted = frozenset(channels)
        await self.board.ask()

    async def next(self, seconds: float) -> Ring | Literal["gap"] | None:
        if not self._waiting:
            with anyio.move_on_after(seconds):
                await self._bell.wait()
        return self._waiting.popleft() if self._waiting else None

    def put(self, ring: Ring) -> None:
        if len(self._waiting) >= WAITING_MAX:
            self.miss()
            return
        self._waiting.append(ring)
        self._ring()

    def miss(self) -> None:
        """Rings may have been lost: what waits is worth nothing beside what the streams say."""
        kept = [ring for ring in self._waiting if ring != "gap" and ring[0] in self.keeps]
        self._waiting = deque([*kept, "gap"])
        self._ring()

    def _ring(self) -> None:
        self._bell.set()
        self._bell = anyio.Event()

    async def aclose(self) -> None:
        self.board.hang_up(self)
