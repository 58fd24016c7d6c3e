"""Idle agents in one worker: what they weigh here and in the server, how long they take to move in,
what a full collection of garbage takes beside them, what of the processor they use, and how soon
one of them answers."""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.to_process

from swarmd.adapters.redis.store import RedisStore
from swarmd.core.model.channels import inbox
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import SUPERVISOR, AgentId
from swarmd.core.model.timings import stamp_of
from swarmd.runtime.mailboxes import Resident
from swarmd.runtime.turn.world import World
from tests.bench.swarm import bench, until_hosted

AGENTS: Final = 10_000
MANY: Final = 100_000
IDLE_SECONDS: Final = 5.0
WAKES: Final = 200


async def idle(socket: Path, namespace: str, agents: int) -> dict[str, float]:
    answered = anyio.Event()

    async def answer(_world: World, resident: Resident) -> None:
        nonlocal answered
        resident.mailbox = None
        answered.set()

    async with bench(socket, namespace) as here, anyio.create_task_group() as tasks:
        server_before = await _server_bytes(here.store)
        # By a process of its own: what it needed would be at hand again here, and not be counted.
        made = await anyio.to_process.run_sync(_make, socket, namespace, agents)
        server_made = await _server_bytes(here.store)
        stop, before = anyio.Event(), _resident_bytes()
        worker = here.worker(stop, answer=answer)
        started = time.perf_counter()
        tasks.start_soon(worker.run)
        await until_hosted(worker, agents)
        seconds = time.perf_counter() - started
        here_bytes, server_bytes = _resident_bytes() - before, await _server_bytes(here.store)
        collected = _collection_ms()
        # The same without what the worker does about it: all of its agents looked at.
        gc.unfreeze()
        thawed = _collection_ms()
        gc.freeze()
        processor = time.process_time()
        await anyio.sleep(IDLE_SECONDS)
        processor = time.process_time() - processor
        waits = []
        for number in range(WAKES):
            answered, to = anyio.Event(), made[number * len(made) // WAKES]
            posted = time.perf_counter()
            await here.store.post(inbox(to), _message(to))
            await answered.wait()
            waits.append(1e3 * (time.perf_counter() - posted))
        stop.set()
    return {
        "client_kib": here_bytes / agents / 1024,
        "server_kib": (server_bytes - server_before) / agents / 1024,
        "server_hosting_kib": (server_bytes - server_made) / agents / 1024,
        "admission_s": seconds,
        "collect_ms": collected,
        "collect_all_ms": thawed,
        "cpu_percent": 100 * processor / IDLE_SECONDS,
        "wake_p50_ms": statistics.median(waits),
    }


def _make(socket: Path, namespace: str, agents: int) -> list[AgentId]:
    async def make() -> list[AgentId]:
        async with bench(socket, namespace) as here:
            return [agent.id for agent in await here.make_agents(agents)]

    return asyncio.run(make())


def _collection_ms() -> float:
    """The quickest of three."""
    found = []
    for _ in range(3):
        started = time.perf_counter()
        gc.collect()
        found.append(1e3 * (time.perf_counter() - started))
    return min(found)


def _message(to: AgentId) -> Message:
    return Message(sender=SUPERVISOR, to=to, kind=Kind.SAY, at=stamp_of(time.time()), text="wake")


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
    return int(
        next(line for line in said.splitlines() if line.startswith("used_memory:")).split(":")[1]
    )
