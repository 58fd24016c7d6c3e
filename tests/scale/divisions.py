"""Two swarms on two servers, joined by an outbox, and a relay between them that dies at random: is
all of it there, once?

    python -m tests.scale.divisions [MESSAGES [SEED]]      default 10,000 and 1

What `docs/decisions/0022` proposes for more than one shard, with the pieces that there are: what
leaves a division is a post in an outbox of its own store, in the step of who says it; a relay reads
on from its position there, posts it in the other division under a key made of the entry's id, and
only then moves its position. No daemon of this package does it.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import anyio

from swarmd.adapters.redis.connection.connection import dial
from swarmd.adapters.redis.store import RedisStore
from swarmd.adapters.server.embedded import EmbeddedServer
from swarmd.core.model.channels import room
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import FIRST, SOB, StreamId
from swarmd.core.model.timings import stamp_of
from tests.bench.swarm import SECRET
from tests.scale.ground import told

MESSAGES: Final = 10_000
DIES_ONCE_IN: Final = 50
_OUTBOX: Final = room("outbox")
_BATCH: Final = 100
_PLACE: Final = "_relay:there"


class _DiedError(Exception):
    """The relay's process, at this line."""


@asynccontextmanager
async def _division(name: str) -> AsyncIterator[RedisStore]:
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="swarmd-"))
        server = await stack.enter_async_context(EmbeddedServer(Path(folder)))
        store = RedisStore(dial(server.socket), name, SECRET)
        tasks = await stack.enter_async_context(anyio.create_task_group())
        stack.callback(tasks.cancel_scope.cancel)
        tasks.start_soon(store.pipe.run)
        yield store


async def _relay(here: RedisStore, there: RedisStore, dice: random.Random) -> int:
    """One life of it: what it carried until it died or found nothing more."""

    def perhaps() -> None:
        if dice.randrange(DIES_ONCE_IN) == 0:
            raise _DiedError

    position, carried = StreamId(await here.pipe.execute("GET", _PLACE) or FIRST), 0
    while messages := await here.read(_OUTBOX, position, _BATCH):
        for message in messages:
            await there.post(_OUTBOX, message, key=f"from-here-{message.id}")
            carried += 1
            perhaps()
        position = messages[-1].id
        await here.pipe.execute("SET", _PLACE, position)
        perhaps()
    return carried


async def divisions(count: int, seed: int) -> tuple[dict[str, Any], dict[str, bool]]:
    dice, deaths = random.Random(seed), 0
    async with _division("here") as here, _division("there") as there:
        async with anyio.create_task_group() as saying:
            for number in range(count):
                saying.start_soon(here.post, _OUTBOX, _said(number))
        started = time.perf_counter()
        while True:
            try:
                await _relay(here, there, dice)
                break
            except _DiedError:
                deaths += 1
        seconds = time.perf_counter() - started
        sent = [m.text for m in await here.read(_OUTBOX, FIRST, count + 1)]
        come = [m.text for m in await there.read(_OUTBOX, FIRST, 2 * count)]
    figures = {
        "messages": count,
        "seed": seed,
        "deaths of the relay": deaths,
        "arrived": len(come),
        "seconds": round(seconds, 2),
    }
    return figures, {
        "nothing is lost and nothing is there twice": sorted(come) == sorted(sent),
        "in the order in which it was said": come == sent,
        "the relay died": deaths > 0,
    }


def _said(number: int) -> Message:
    return Message(sender=SOB, kind=Kind.SAY, at=stamp_of(time.time()), text=f"message {number}")


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:]]
    given = (numbers + [MESSAGES, 1][len(numbers) :])[:2]
    sys.exit(told("two divisions joined by an outbox", *asyncio.run(divisions(*given))))
