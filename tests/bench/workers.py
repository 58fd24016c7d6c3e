"""The ring of messages over several worker processes: each agent's next one stands on the next
worker.

`python -m tests.bench.workers SOCKET NAMESPACE HOST AGENTS` is one of the workers.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import anyio
import structlog
from redis.asyncio import Redis

from swarmd.core.model.channels import inbox
from swarmd.core.model.lineage import stop_fields
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import SUPERVISOR, AgentId, HostId
from swarmd.core.model.timings import stamp_of
from swarmd.ports.stores import Turn
from swarmd.runtime.mailboxes import Resident
from swarmd.runtime.turn.world import World
from tests.bench.gauge import body
from tests.bench.swarm import bench
from tests.processes import line_of, process

# Of each worker, and as many messages under way.
AGENTS: Final = 100
WARM_SECONDS: Final = 1.0
SECONDS: Final = 3.0
_HOPS_MAX: Final = 10**9


async def workers(socket: Path, namespace: str, count: int) -> dict[str, float]:
    """Messages a second over all workers, and what of a processor the server and each worker
    took for it.
    """
    hosts = [HostId(f"h-{n}") for n in range(count)]
    async with bench(socket, namespace) as here, AsyncExitStack() as stack:
        agents = await here.make_agents(AGENTS * count, hosts)
        client = Redis(unix_socket_path=str(socket))
        stack.push_async_callback(client.aclose)
        processes = []
        for host in hosts:
            words = (str(socket), namespace, host, str(len(agents)))
            processes.append(
                await stack.enter_async_context(process("tests.bench.workers", *words))
            )
        for started in processes:
            assert await line_of(started) == "ready"
        for agent in agents:
            await here.store.post(inbox(agent.id), _message(SUPERVISOR, agent.id, 0))
        await anyio.sleep(WARM_SECONDS)
        before, server = await _counted(processes), await _server_seconds(client)
        started_at = time.perf_counter()
        await anyio.sleep(SECONDS)
        after, server = await _counted(processes), await _server_seconds(client) - server
        seconds = time.perf_counter() - started_at
    delivered = sum(now[0] - then[0] for now, then in zip(after, before, strict=True))
    processor = sum(now[1] - then[1] for now, then in zip(after, before, strict=True))
    return {
        "per_second": delivered / seconds,
        "worker_percent": 100 * processor / seconds / count,
        "server_percent": 100 * server / seconds,
        "worker_us": 1e6 * processor / delivered,
        "server_us": 1e6 * server / delivered,
    }


async def _counted(processes: Sequence[anyio.abc.Process]) -> list[tuple[int, float]]:
    """Of each worker what it has delivered, and its processor's time in seconds."""
    found = []
    for started in processes:
        assert started.stdin is not None
        await started.stdin.send(b"?\n")
        delivered, processor = json.loads(await line_of(started))
        found.append((delivered, processor))
    return found


async def _server_seconds(client: Redis) -> float:
    said = await client.info("cpu")
    return float(said["used_cpu_user"] + said["used_cpu_sys"])


def _message(sender: AgentId, to: AgentId, hops: int) -> Message:
    return Message(
        sender=sender, to=to, kind=Kind.SAY, at=stamp_of(time.time()), text=body(), hops=hops
    )


async def _work(socket: Path, namespace: str, host: HostId, agents: int) -> None:
    delivered = 0

    async def pass_on(world: World, resident: Resident) -> None:
        nonlocal delivered
        mail, me = resident.mailbox or [], resident.agent
        number = (int(me.id[-6:]) + 1) % agents
        following = AgentId(f"{me.id[:-6]}{number:06d}")
        hops = max((m.hops for m in mail), default=0) + 1
        outputs = tuple((inbox(following), _message(me.id, following, hops)) for _ in mail)
        delivered += len(mail)
        turn = Turn(
            resident.turn + 1, me.path, stop_fields(me), {}, resident.seen, {}, outputs, hops
        )
        resident.mailbox = None
        reply = await world.store.commit(resident.hold, turn, _HOPS_MAX, world.stamp())
        assert reply == "done", reply
        resident.turn = turn.number

    async with bench(socket, namespace) as here, anyio.create_task_group() as tasks:
        worker = here.worker(anyio.Event(), host=host, answer=pass_on)
        tasks.start_soon(worker.run)
        while not worker.residents or worker.residents.has_changes:
            await anyio.sleep(0.05)
        print("ready", flush=True)
        loop = asyncio.get_running_loop()
        while await loop.run_in_executor(None, sys.stdin.readline):
            print(json.dumps([delivered, time.process_time()]), flush=True)
        tasks.cancel_scope.cancel()


if __name__ == "__main__":
    # On the standard output are the counts.
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    asyncio.run(_work(Path(sys.argv[1]), sys.argv[2], HostId(sys.argv[3]), int(sys.argv[4])))
