"""A pipe for the length of a block."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from swarmd.adapters.redis.connection.connection import Dial
from swarmd.adapters.redis.connection.pipeline import Pipe


@asynccontextmanager
async def piped(way: Dial) -> AsyncIterator[Pipe]:
    pipe = Pipe(way)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pipe.run)
        yield pipe
        tasks.cancel_scope.cancel()
