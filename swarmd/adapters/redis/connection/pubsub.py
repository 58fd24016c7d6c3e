"""The process's one pub/sub connection: each part hears its own channels on a line of it.

Rings may be lost, and then whoever reads is told of a gap and asks the streams: after each time
that the connection was made anew, and where a part lets more gather than its bound.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

import structlog

from swarmd.adapters.redis.connection.connection import Connection, Dial, Refusal, packed
from swarmd.adapters.redis.keys import Keys
from swarmd.core.model.names import Channel
from swarmd.errors import StoreDeniedError, StoreUnavailableError
from swarmd.log_events import LogEvent

log = structlog.get_logger(__name__)

# Channels of one SUBSCRIBE: ten thousand agents' channels are asked for in pieces the server likes.
SUBSCRIBE_BATCH: Final = 512
AWAY_SECONDS: Final = 0.5
# How often the server is asked for a sign of life, and for how long it may give none: a half-open
# connection would by itself never say so.
PING_SECONDS: Final = 5.0
DEAF_SECONDS: Final = 10.0
# Rings that wait for one part. One that lets more gather is told of a gap and reads the streams
# instead.
WAITING_MAX: Final = 20_000

# A ring, or the confirmation of a subscription.
_EVENT_WORDS: Final = 3

Ring: TypeAlias = tuple[Channel, str]
Gap: TypeAlias = Literal["gap"]


@dataclass(slots=True, eq=False)
class Bell:
    """Run it with `run`; `line()` gives a part its own `Rings`. Implements `Receiver`."""

    dial: Dial
    keys: Keys
    _listeners: dict[Channel, tuple[Line, ...]] = field(default_factory=dict)
    _lines: list[Line] = field(default_factory=list)
    _line: Connection | None = None
    _unconfirmed: int = 0
    _is_ending: bool = False
    _was_connected: bool = False
    _is_refused: bool = False  # the server lets this process hear no rings: it is asked again
    _is_deaf: bool = False  # was without a connection, and has not yet told its lines so
    _settled: asyncio.Event = field(
        default_factory=asyncio.Event
    )  # all is confirmed, or there is nobody to ask
    _gone: asyncio.Event = field(default_factory=asyncio.Event)
    _wanted: asyncio.Event = field(default_factory=asyncio.Event)

    def line(self, keeps: Collection[Channel] = ()) -> Line:
        """`keeps` are channels without a stream behind them: their rings are never dropped for a
        gap.
        """
        line = Line(self, frozenset(keeps))
        self._lines.append(line)
        return line

    async def run(self) -> None:
        """Own the connection until cancelled. Raises `SwarmError` where the server may not be
        used.
        """
        try:
            while True:
                await self._wanted.wait()
                try:
                    await self._stay_connected()
                except (StoreUnavailableError, StoreDeniedError) as error:
                    if isinstance(error, StoreDeniedError) and not self._was_connected:
                        raise
                    log.warning(LogEvent.RINGS_AWAY, why=error.what)
                    self._is_deaf = True
                    self._settled.set()
                await asyncio.sleep(AWAY_SECONDS)
        finally:
            self._is_ending = True
            if self._line is not None:
                self._line.abort()

    async def _stay_connected(self) -> None:
        self._gone.clear()
        line = await self.dial(self)
        if self._gone.is_set():
            # Lost before it was handed over.
            return
        self._line, self._was_connected = line, True
        self._subscribe_all()
        self._settle(0)
        loop = asyncio.get_running_loop()
        while not self._gone.is_set():
            try:
                async with asyncio.timeout(PING_SECONDS):
                    await self._gone.wait()
            except TimeoutError:
                if loop.time() - line.heard_at > DEAF_SECONDS:
                    line.abort()
                elif self._is_refused:
                    # The right may have been given back. What rang meanwhile is then told as a gap.
                    self._is_deaf = True
                    self._subscribe_all()
                else:
                    line.write([packed(("PING",))])

    def _subscribe_all(self) -> None:
        self._unconfirmed = 0
        self._ask("SUBSCRIBE", list(map(self.keys.channel, self._listeners)))

    def _ask(self, verb: str, names: list[str]) -> None:
        if self._line is None or not names:
            return
        self._unconfirmed += len(names)
        self._settled.clear()
        batches = [names[n : n + SUBSCRIBE_BATCH] for n in range(0, len(names), SUBSCRIBE_BATCH)]
        self._line.write([packed((verb, *batch)) for batch in batches])

    async def follow(
        self, line: Line, more: Collection[Channel], gone: Collection[Channel]
    ) -> None:
        """Returns when the server has confirmed it, or is away: then a gap will follow."""
        new = []
        for channel in more:
            found = self._listeners.get(channel)
            if found is None:
                self._listeners[channel] = line.alone
                new.append(self.keys.channel(channel))
            elif line not in found:
                self._listeners[channel] = (*found, line)
        self._let_go(line, gone)
        if new and self._line is None:
            self._settled.clear()
            self._wanted.set()
        self._ask("SUBSCRIBE", new)
        if new:
            await self._settled.wait()

    def hang_up(self, line: Line) -> None:
        self._lines.remove(line)
        self._let_go(line, list(self._listeners))

    def _let_go(self, line: Line, channels: Iterable[Channel]) -> None:
        left = []
        for channel in channels:
            found = self._listeners.get(channel, ())
            if line in found:
                self._listeners[channel] = tuple(other for other in found if other is not line)
                if not self._listeners[channel]:
                    del self._listeners[channel]
                    left.append(self.keys.channel(channel))
        self._ask("UNSUBSCRIBE", left)

    # --- of `Receiver` ---

    def replied(self, reply: Any) -> None:
        if isinstance(reply, Refusal):
            self._refused(reply)
            return
        if not isinstance(reply, list) or len(reply) != _EVENT_WORDS:
            # The answer to a ping, or of what is no server.
            return
        kind = reply[0]
        if kind == "message":
            ring = (self.keys.channel_of(reply[1]), reply[2])
            for line in self._listeners.get(ring[0], ()):
                line.put(ring)
        elif kind == "subscribe":
            self._confirmed()
        elif kind == "unsubscribe":
            self._settle(1)

    def _refused(self, why: Refusal) -> None:
        """A user who may not hear: said once, and its readers ask the streams each second."""
        if not self._is_refused:
            log.warning(LogEvent.RINGS_DENIED, why=str(why))
        self._is_refused, self._unconfirmed, self._is_deaf = True, 0, False
        self._settled.set()

    def _confirmed(self) -> None:
        if self._is_refused and self._unconfirmed == 1:
            self._is_refused = False
            log.info(LogEvent.RINGS_ALLOWED)
        self._settle(1)

    def _settle(self, count: int) -> None:
        self._unconfirmed -= count
        if self._unconfirmed > 0:
            return
        if self._is_deaf:
            # What rang while nobody heard is told now that all of it is heard again.
            self._is_deaf = False
            self._tell_gap()
        self._settled.set()

    def _tell_gap(self) -> None:
        for line in self._lines:
            line.miss()

    def resumed(self) -> None:
        """What is written here is little, and waits in the connection."""

    def lost(self, why: StoreUnavailableError) -> None:
        if not self._is_ending:
            log.warning(LogEvent.RINGS_LOST, why=why.what)
        self._line, self._is_deaf, self._is_refused = None, True, False
        self._settled.set()
        self._tell_gap()
        self._gone.set()


@dataclass(slots=True, eq=False)
class Line:
    """One part's end: implements the port `Rings`. `next` is called by one task."""

    bell: Bell
    keeps: frozenset[Channel] = frozenset()
    _waiting: deque[Ring | Gap] = field(default_factory=deque)
    _waiter: asyncio.Future[None] | None = None
    alone: tuple[Line] = field(init=False)  # one for all the channels that it alone hears

    def __post_init__(self) -> None:
        self.alone = (self,)

    async def follow(self, more: Collection[Channel], gone: Collection[Channel] = ()) -> None:
        await self.bell.follow(self, more, gone)

    async def next(self, seconds: float) -> Ring | Gap | None:
        if not self._waiting and seconds > 0:
            await self._wait(seconds)
        return self._waiting.popleft() if self._waiting else None

    async def _wait(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        waiter = self._waiter = loop.create_future()
        timer = loop.call_later(seconds, _set, waiter)
        try:
            await waiter
        finally:
            timer.cancel()
            self._waiter = None

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
        if self._waiter is not None:
            _set(self._waiter)

    async def aclose(self) -> None:
        self.bell.hang_up(self)


def _set(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
