"""The process's one pub/sub connection: it hears rings, and says when it may have missed some.

redis-py reconnects without a word: its only trace is another confirmation of a subscription that we did
not just ask for. That, and an error, is a gap; whoever reads then asks the streams.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

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


@dataclass(slots=True)
class Bell:
    """Implements the port `Rings`. Used by one task; `aclose` when it is done."""

    client: Redis
    keys: Keys
    _pubsub: PubSub | None = None
    _heard: set[Channel] = field(default_factory=set)
    _wanted: set[Channel] = field(default_factory=set)
    _unconfirmed: int = 0

    async def follow(self, channels: Collection[Channel]) -> None:
        self._wanted = set(channels)
        try:
            await self._converge()
        except (RedisError, OSError) as error:
            await self._drop(error)

    async def next(self, seconds: float) -> tuple[Channel, str] | Literal["gap"] | None:
        if self._pubsub is None or not self._pubsub.subscribed:
            return await self._again(seconds)
        try:
            event = await self._pubsub.get_message(timeout=seconds)
        except (RedisError, OSError) as error:
            await self._drop(error)
            return "gap"
        return None if event is None else self._judge(event)

    def _judge(self, event: dict[str, Any]) -> tuple[Channel, str] | Literal["gap"] | None:
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
        if pubsub is not None:
            try:
                await pubsub.aclose()  # type: ignore[no-untyped-call]  # redis-py leaves it untyped
            except (RedisError, OSError) as error:
                log.debug("closing a lost connection", why=str(error))
