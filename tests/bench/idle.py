"""Ten thousand idle agents in one worker: what they weigh here and in the server, and how long they take to move in."""

from __future__ import annotations

import asyncio
import gc
import time
from pathlib import Path
from typing import Any, Final

import anyio

from swarmd.adapters.redis.store import RedisStore
from tests.bench.swarm import bench, until_hosted

AGENTS: Final = 10_000


async def idle(socket: Path, namespace: str) -> dict[str, float]:
    async with bench(socket, namespace) as here, anyio.create_task_group() as tasks:
        server_before = await _server_bytes(here.store)
        await here.make_agents(AGENTS)
        server_made = await _server_bytes(here.store)
        stop, before = anyio.Event(), _resident_bytes()
        worker = here.worker(stop)
        started = time.perf_counter()
        tasks.start_soon(worker.run)
        await until_hosted(worker, AGENTS)
        seconds = time.perf_counter() - started
        here_bytes, server_bytes = _resident_bytes() - before, await _server_bytes(here.store)
        stop.set()
    return {
        "client_kib": here_bytes / AGENTS / 1024,
        "server_kib": (server_bytes - server_before) / AGENTS / 1024,
        "server_hosting_kib": (server_bytes - server_made) / AGENTS / 1024,
        "admission_s": seconds,
    }


async def idle_tasks(_socket: Path, _namespace: str) -> dict[str, float]:
    """What it is measured against: a task for each agent, waiting on a queue of its own."""
    before = _resident_bytes()
    queues: list[asyncio.Queue[Any]] = [asyncio.Queue() for _ in range(AGENTS)]
    async with asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(queue.get()) for queue in queues]
        await asyncio.sleep(0.1)
        weight = _resident_bytes() - before
        for task in waiting:
            task.cancel()
    return {"client_kib": weight / AGENTS / 1024}


def _resident_bytes() -> int:
    gc.collect()
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024
    raise AssertionError("this system does not say how much memory a process has")


async def _server_bytes(store: RedisStore) -> int:
    said = await store.pipe.execute("INFO", "memory")
    return int(next(line for line in said.splitlines() if line.startswith("used_memory:")).split(":")[1])
