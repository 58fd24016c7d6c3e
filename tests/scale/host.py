"""A worker with a model that takes its time: `python -m tests.scale.host SOCKET NAME SECONDS`,
until its input ends.

It says `N busy` each second, and whether any task of an agent is left.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import anyio
import structlog

from swarmd.adapters.config import loader as declarations
from swarmd.adapters.redis.connection.connection import dial
from swarmd.adapters.redis.connection.pubsub import Bell
from swarmd.adapters.redis.store import RedisStore
from swarmd.core.model.moves import Report
from swarmd.core.model.names import HostId
from swarmd.core.model.records import Host
from swarmd.core.model.timings import stamp_of
from swarmd.ports.models import Answered, Prompt, Usage
from swarmd.runtime.turn.functions import built_in
from swarmd.runtime.turn.model_call import Mind
from swarmd.runtime.turn.world import World
from swarmd.runtime.worker.worker import Worker
from tests.bench.swarm import SECRET
from tests.scale.ground import NAMESPACE

CAPACITY = 100_000
TELL_SECONDS = 0.1


@dataclass(slots=True)
class Slow:
    """The port `Model`: each thought takes the same time."""

    seconds: float
    name: str = "scale:slow"
    is_language_model: bool = False

    def bound(self, _prompt: Prompt) -> Usage:
        return Usage(1_000, 0)

    def expected(self, prompt: Prompt) -> Usage:
        return self.bound(prompt)

    async def attempt(
        self, _prompt: Prompt, _sending: Callable[[], None] = lambda: None
    ) -> Answered:
        await anyio.sleep(self.seconds)
        return Answered(
            (Report(move="report", text=f"thought until {time.time_ns()}"),), Usage(900, 20)
        )

    async def aclose(self) -> None:
        pass


async def main(socket: Path, name: str, seconds: float) -> None:
    way, loaded = dial(socket), declarations.load()
    declared = replace(loaded, limits=loaded.limits.model_copy(update={"turns_at_once": 10_000}))
    store = RedisStore(way, NAMESPACE, SECRET)
    bell, stop = Bell(way, store.keys), anyio.Event()

    async def mind(_spec: str) -> Mind:
        return Mind(Slow(seconds), declared.models.provider("scale"))

    world = World(store, declared, built_in(store, None), mind, lambda: stamp_of(time.time()))
    worker = Worker(world, Host(HostId(name), CAPACITY, "scale"), bell.line(), stop, 0.1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(store.pipe.run)
        tasks.start_soon(bell.run)
        tasks.start_soon(worker.run)
        ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        while not ended.done():
            thinking = sum(1 for r in worker.residents.by_id.values() if r.doing == "model")
            print(f"{len(worker.residents)} {worker.residents.busy()} {thinking}", flush=True)
            await anyio.sleep(TELL_SECONDS)
        stop.set()
        await anyio.sleep(0.2)
        tasks.cancel_scope.cancel()


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])))
