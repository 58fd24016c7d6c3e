"""The pace of one provider, kept by all workers of a swarm together on Redis: a
`adapters.models.rate_limit.SharedPace`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from swarmd.adapters.models.rate_limit import WINDOW_SECONDS, Start
from swarmd.adapters.redis.connection.pipeline import Pipe
from swarmd.adapters.redis.keys import Keys
from swarmd.adapters.redis.lua import script


@dataclass(frozen=True, slots=True)
class RedisPace:
    """`tokens_per_minute` of 0 is any number. A minute is `window_seconds` long; other than 60
    in tests alone.
    """

    pipe: Pipe
    keys: Keys
    provider: str
    per_minute: int
    tokens_per_minute: int
    window_seconds: float = WINDOW_SECONDS

    async def take(
        self, model: str, tokens: int, wait_seconds_max: float, before: str = ""
    ) -> Start:
        k = self.keys
        args: list[str | int] = [
            model,
            self.per_minute,
            self.tokens_per_minute,
            _milliseconds(self.window_seconds),
            tokens,
            _milliseconds(wait_seconds_max),
            before,
        ]
        name, wait = await self.pipe.evaluate(
            script("pace"), [k.pace(self.provider), k.starts(self.provider)], args, is_optional=True
        )
        return Start(name, int(wait) / 1000)

    async def hold(self, model: str, seconds: float) -> None:
        keys = [self.keys.pace(self.provider)]
        args: list[str | int] = [model, _milliseconds(seconds)]
        await self.pipe.evaluate(script("patience"), keys, args, is_optional=True)


def _milliseconds(seconds: float) -> int:
    """Rounded up: what is waited for is over then."""
    return math.ceil(seconds * 1000)
