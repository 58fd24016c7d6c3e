"""Whole turns with a model that answers at once: mailbox, prompt, begin, answer, end, moves,
memory, commit.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio
from redis.asyncio import Redis

from swarmd.core.model.channels import inbox
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.moves import Report
from swarmd.core.model.names import SUPERVISOR
from swarmd.core.model.timings import stamp_of
from swarmd.ports.models import Answered, Prompt, Usage
from swarmd.runtime.mailboxes import Resident
from swarmd.runtime.turn.turn import take_turn
from swarmd.runtime.turn.world import World
from tests.bench.gauge import body
from tests.bench.swarm import bench, until_hosted

AGENTS: Final = 100
# An agent's memory grows with its turns, and each writes it whole: this many are a long life for
# one.
TURNS_OF_EACH: Final = 20


@dataclass(slots=True)
class AtOnce:
    """The port `Model` with no model behind it: one report, no wait."""

    name: str = "bench:at-once"
    is_language_model: bool = False
    said: int = 0

    def bound(self, _prompt: Prompt) -> Usage:
        return Usage(1_000, 0)

    def expected(self, prompt: Prompt) -> Usage:
        return self.bound(prompt)

    async def attempt(
        self, _prompt: Prompt, _sending: Callable[[], None] = lambda: None
    ) -> Answered:
        # A new reference each time: what changes nothing the bus does not carry for long.
        self.said += 1
        return Answered(
            (Report(move="report", text=f"so far, so good: https://example.org/{self.said}"),),
            Usage(900, 20),
        )

    async def aclose(self) -> None:
        pass


async def turns(socket: Path, namespace: str) -> dict[str, float]:
    """Every agent is woken by a message of 1 KB, and by the next one as soon as it has answered."""
    total, taken = AGENTS * TURNS_OF_EACH, 0
    done, stop = anyio.Event(), anyio.Event()
    async with bench(socket, namespace) as here, anyio.create_task_group() as tasks:

        async def turn_and_wake(world: World, resident: Resident) -> None:
            nonlocal taken
            await take_turn(world, resident)
            taken += 1
            if taken == total:
                done.set()
            elif resident.turn < TURNS_OF_EACH:
                await wake(resident.agent.id)

        async def wake(agent: str) -> None:
            at = stamp_of(time.time())
            message = Message(sender=SUPERVISOR, to=agent, kind=Kind.NOTICE, at=at, text=body())
            await here.store.post(inbox(agents[int(agent[-6:])].id), message)

        agents = await here.make_agents(AGENTS)
        worker = here.worker(stop, model=AtOnce(), answer=turn_and_wake)
        tasks.start_soon(worker.run)
        await until_hosted(worker, AGENTS)
        started, processor = time.perf_counter(), time.process_time()
        for agent in agents:
            await wake(agent.id)
        await done.wait()
        seconds = time.perf_counter() - started
        stop.set()
    return {
        "per_second": total / seconds,
        "cpu_us": (time.process_time() - processor) / total * 1e6,
    }


async def three_writes(socket: Path, _namespace: str) -> dict[str, float]:
    """The floor: redis-py, for each turn three awaited appends of 1 KB, a hundred turns under
    way; no law, no prompt.
    """
    client = Redis(unix_socket_path=str(socket))
    started, processor = time.perf_counter(), time.process_time()

    async def agent(number: int) -> None:
        for _ in range(TURNS_OF_EACH):
            for step in ("begin", "end", "commit"):
                await client.xadd(f"{_namespace}:{number}", {step: body()})

    async with asyncio.TaskGroup() as tasks:
        for number in range(AGENTS):
            tasks.create_task(agent(number))
    seconds, total = time.perf_counter() - started, AGENTS * TURNS_OF_EACH
    await client.aclose()
    return {
        "per_second": total / seconds,
        "cpu_us": (time.process_time() - processor) / total * 1e6,
    }
