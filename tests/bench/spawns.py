"""Spawns through the supervisor: requests on the bus, decided by the law, committed with journal
and answer, placed.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

import anyio
from redis.asyncio import Redis

from swarmd.app.process import SystemClock
from swarmd.core.model.channels import REQUESTS
from swarmd.core.model.charter import Charter
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.records import Host
from swarmd.core.model.requests import SpawnRequest
from swarmd.core.model.timings import stamp_of
from swarmd.runtime.supervisor.supervisor import Supervisor
from tests.bench.swarm import HOST, MISSION, bench, unbounded

PARENTS: Final = 100
CHILDREN: Final = 100
_ROLE: Final = "researcher"
_BATCH: Final = 16


async def spawns(socket: Path, namespace: str) -> dict[str, float]:
    """All requests lie on the bus before the supervisor starts: what is measured is its work,
    its start included.
    """
    total = PARENTS * CHILDREN
    async with bench(socket, namespace) as here, anyio.create_task_group() as tasks:
        parents = await here.make_agents(PARENTS)
        store, clock = here.store, SystemClock()
        await store.register(Host(HOST, 100_000, "bench"), 120)
        for parent in parents:
            async with anyio.create_task_group() as asking:
                for number in range(CHILDREN):
                    asking.start_soon(store.post, REQUESTS, _request(parent, number))

        async def made() -> int:
            living = int(await store.pipe.execute("SCARD", store.keys.agents))
            return living - 1 - PARENTS - len(here.declared.board.seats)

        supervisor = Supervisor(
            store, here.bell.line(), clock, unbounded(here.declared), HOST, None, anyio.Event()
        )
        started, processor = time.perf_counter(), time.process_time()
        tasks.start_soon(supervisor.run)
        with anyio.fail_after(60):
            while await made() < total:
                await anyio.sleep(0.01)
        seconds = time.perf_counter() - started
        processor = time.process_time() - processor
        supervisor.stop.set()
    return {"per_second": total / seconds, "cpu_us": processor / total * 1e6}


def _request(parent: Agent, number: int) -> Message:
    charter = Charter(
        role=_ROLE,
        name=f"{parent.name}-{number}",
        task="find what answers the question",
        files=(),
        budget={"tokens": 1_000, "cost": 1_000, "calls": 10, "tools": 10, "agents": 1},
    )
    request = SpawnRequest(key=f"k{number}", charter=charter)
    return Message(
        sender=parent.id,
        kind=Kind.REQUEST,
        mission=MISSION,
        at=stamp_of(time.time()),
        text="spawn",
        data=request.model_dump(mode="json"),
        incarnation=1,
    )


async def five_writes(socket: Path, namespace: str) -> dict[str, float]:
    """The floor: redis-py, for each agent a record, an account, two sets and a line of a log, in
    transactions.
    """
    total = PARENTS * CHILDREN
    client = Redis(unix_socket_path=str(socket))
    started, processor = time.perf_counter(), time.process_time()
    for start in range(0, total, _BATCH):
        async with client.pipeline(transaction=True) as batch:
            for number in range(start, min(start + _BATCH, total)):
                record: Any = {f"field{n}": f"value{n}" for n in range(18)}
                batch.hset(f"{namespace}:agent:{number}", mapping=record)
                batch.hset(f"{namespace}:ledger:{number}", mapping=record)
                batch.sadd(f"{namespace}:agents", number)
                batch.sadd(f"{namespace}:children:{number % PARENTS}", number)
                batch.xadd(f"{namespace}:journal", {"text": f"agent {number}", "data": "x" * 300})
            await batch.execute()
    seconds = time.perf_counter() - started
    await client.aclose()
    return {
        "per_second": total / seconds,
        "cpu_us": (time.process_time() - processor) / total * 1e6,
    }
