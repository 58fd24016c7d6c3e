"""Agents in the middle of their turns on several workers are ended: how long until no task of them
is left.

    python -m tests.scale.tasks [AGENTS [WORKERS]]      default 10,000 over 4

Each agent has a task that waits for a model which takes a minute. Gone is what the hosts' own words
say, which they give when they have seen their tasks end.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from contextlib import AsyncExitStack
from typing import Any, Final

import anyio
import anyio.abc
import structlog

from swarmd.core.model.channels import REQUESTS
from swarmd.core.model.names import FIRST
from tests.processes import line_of, process
from tests.scale.ground import Ground, build, ground, told

AGENTS: Final = 10_000
WORKERS: Final = 4
FENCED_MS: Final = 5.0
GONE_SECONDS: Final = 3.0
_MODEL_SECONDS: Final = 600
_SEATS: Final = 6


async def tasks(count: int, workers: int) -> tuple[dict[str, Any], dict[str, bool]]:
    async with ground() as here, AsyncExitStack() as stack:
        await build(here.store, count, is_charged=True)
        names = [f"h-{n}" for n in range(workers)]
        hosts = [
            await stack.enter_async_context(
                process("tests.scale.host", str(here.socket), name, str(_MODEL_SECONDS))
            )
            for name in names
        ]
        for host in hosts:
            await line_of(host)
        await here.lead()
        started = time.perf_counter()
        counts = await _until_thinking(hosts, count)
        settled = time.perf_counter() - started
        await here.watch_scripts()
        ordered = time.perf_counter()
        async with anyio.create_task_group() as both:
            ended: list[float] = []

            async def end() -> None:
                ended.extend(await here.ended())

            both.start_soon(end)
            gone = await _until_words(here, set(names)) - ordered
        figures = {
            "agents": count,
            "workers": workers,
            "on each": counts,
            "all thinking after s": round(settled, 1),
            "fenced_ms": round(1e3 * ended[0], 2),
            "tasks gone after s": round(gone - ended[0], 2),
            "reaped_s": round(ended[1], 2),
            **await here.scripts(),
        }
        left = await here.store.pipe.execute("SCARD", here.store.keys.agents)
        here.supervisor.stop.set()
        await asyncio.sleep(0.1)
    return figures, {
        "each agent was in a call of its model": sum(counts) == count,
        "nobody is left but the board": left == 1 + _SEATS,
        f"fenced within {FENCED_MS} ms": figures["fenced_ms"] <= FENCED_MS,
        f"no task was left {GONE_SECONDS} s after the fence": figures["tasks gone after s"]
        <= GONE_SECONDS,
        "no script took over 5 ms": figures["scripts_over_5_ms"] == 0,
    }


async def _until_thinking(hosts: list[anyio.abc.Process], count: int) -> list[int]:
    """How many of each host's agents wait for their model, once all do."""
    with anyio.fail_after(60 + count / 50):
        while True:
            counts = [int((await line_of(host)).split("\n")[-1].split()[2]) for host in hosts]
            if sum(counts) >= count:
                return counts


async def _until_words(here: Ground, hosts: set[str]) -> float:
    """When the last host gave its word."""
    position = FIRST
    with anyio.fail_after(120):
        while hosts:
            for message in await here.store.read(REQUESTS, position, 500):
                position = message.id
                if message.data.get("type") == "gone":
                    hosts.discard(message.sender)
            await anyio.sleep(0.01)
    return time.perf_counter()


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    agents = int(sys.argv[1]) if len(sys.argv) > 1 else AGENTS
    over = int(sys.argv[2]) if len(sys.argv) > 2 else WORKERS
    sys.exit(told("agents in mid-turn are ended", *asyncio.run(tasks(agents, over))))
