"""The process's one pub/sub connection: it hears rings, and says when it may have missed some.

redis-py reconnects without a word: its only trace is another confirmation of a subscription that we did
not just ask for. That, and an error, is a gap; whoever reads then asks the streams.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import structlog
from redis.exceptions import RedisError

from swarmd.adapters.redis.keys import Keys
from swarmd.core.names import Channel

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from redis.asyncio.client import PubSub

log = structlog.get_logger(__name__)

# Channels of one SUBSCRIBE: ten thousand agents' channels are asked for in pieces the server likes.
SUBSCRIBE_BATCH: Final = 512
AWAY_SECONDS: Final = 0.5
# A connection that leaves its pings unanswered for so long is half-open. By itself it would never say so.
DEAF_SECONDS: Final = 10.0
# Rings taken off the connection at once. Of a longer burst the first are answered while the rest is read: the
# server has work again before all of it is through, where each would otherwise wait for the other.
READY_MAX: Final = 32

Ring: TypeAlias = tuple[Channel, str] | Literal["gap"]


@dataclass(slots=True)
class Bell:
    """Implements the port `Rings`. Used by one task; `aclose` when it is done."""

    client: Redis
    keys: Keys
    _pubsub: PubSub | None = None
    _heard: set[Channel] = field(default_factory=set)
    _wanted: set[Channel] = field(default_factory=set)
    _unconfirmed: int = 0
    _unanswered_since: float = math.inf
    _ready: deque[Ring] = field(default_factory=deque)
    _is_burst: bool = False

    async def follow(self, channels: Collection[Channel]) -> None:
        self._wanted = set(channels)
        try:
            await self._converge()
        except (RedisError, OSError) as error:
            await self._drop(error)

    async def next(self, seconds: float) -> Ring | None:
        if self._ready:
            return self._ready.popleft()
        if self._pubsub is None or not self._pubsub.subscribed:
            return await self._again(seconds)
        try:
            if self._is_burst:
                await asyncio.sleep(0)
            event = await self._pubsub.get_message(timeout=seconds)
            if event is None:
                self._listen_for_pings(self._pubsub)
                return None
        except (RedisError, OSError) as error:
            await self._drop(error)
            return "gap"
        first = self._judge(event)
        try:
            await self._take_what_came_along(self._pubsub)
        except (RedisError, OSError) as error:
            # What was heard before the end is still told: a mission that was published is nowhere else.
            await self._drop(error)
            self._ready.append("gap")
        return first

    def _listen_for_pings(self, pubsub: PubSub) -> None:
        """Nothing rang. Raises where that is because nothing can: redis-py pings, and does not miss the answer."""
        now, connection = asyncio.get_running_loop().time(), pubsub.connection
        # Each reply, a ping's too, puts the next check off. One that is due was pinged for just now.
        if connection is None or now <= connection.next_health_check:
            self._unanswered_since = math.inf
            return
        self._unanswered_since = min(self._unanswered_since, now)
        if now - self._unanswered_since > DEAF_SECONDS:
            raise TimeoutError("it answers no ping")

    async def _take_what_came_along(self, pubsub: PubSub) -> None:
        """Rings come in bursts. All but the first are read one step below `get_message`, which looks at its
        health, arms a timer and enters a retry for each: three times the cost of the reading.
        """
        connection = pubsub.connection
        if connection is None:
            return
        # What begins a reply may not be all of it: the rest is waited for as for any reply.
        async with asyncio.timeout(connection.socket_timeout):
            while len(self._ready) < READY_MAX and await connection.can_read():
                reply = await connection.read_response(timeout=math.inf, disconnect_on_error=False)
                if reply[0] == "message":
                    self._ready.append((self.keys.channel_of(reply[1]), reply[2]))
                    continue
                ring = self._judge(await pubsub.handle_message(reply))
                if ring is not None:
                    self._ready.append(ring)
        self._is_burst = len(self._ready) >= READY_MAX

    def _judge(self, event: dict[str, Any]) -> Ring | None:
        if event["type"] == "message":
            return self.keys.channel_of(event["channel"]), event["data"]
        if event["type"] in ("subscribe", "unsubscribe"):
            self._unconfirmed -= 1
            # A confirmation nobody asked for: the connection was made anew behind our back.
            if self._unconfirmed < 0:
                self._unconfirmed = 0
                return "gap"
        return None

    async def _again(self, seconds: float) -> Literal["gap"] | None:
        if not self._wanted:
            await asyncio.sleep(seconds)
            return None
        try:
            await self._converge()
        except (RedisError, OSError) as error:
            await self._drop(error)
            await asyncio.sleep(min(seconds, AWAY_SECONDS))
            return None
        return "gap"

    async def _converge(self) -> None:
        if self._pubsub is None:
            self._pubsub = self.client.pubsub()
            self._unconfirmed = 0
        for channels, verb in (
            (self._wanted - self._heard, self._pubsub.subscribe),
            (self._heard - self._wanted, self._pubsub.unsubscribe),
        ):
            names = sorted(self.keys.channel(channel) for channel in channels)
            for start in range(0, len(names), SUBSCRIBE_BATCH):
                batch = names[start : start + SUBSCRIBE_BATCH]
                self._unconfirmed += len(batch)
                await verb(*batch)
        self._heard = set(self._wanted)

    async def _drop(self, error: Exception) -> None:
        log.warning("the ringing connection was lost", why=str(error))
        await self.aclose()

    async def aclose(self) -> None:
        pubsub, self._pubsub, self._heard = self._pubsub, None, set()
        self._unanswered_since = math.inf
        if pubsub is not None:
            try:
                await pubsub.aclose()  # type: ignore[no-untyped-call]  # redis-py leaves it untyped
            except (RedisError, OSError) as error:
                log.debug("closing a lost connection", why=str(error))
