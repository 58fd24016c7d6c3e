"""One case in a process of its own: `python -m tests.bench.case NAME SOCKET NAMESPACE` prints
its figures as JSON.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import structlog

from tests.bench import calls, floors, idle, loops, ring, spawns, start, turns, workers

Case = Callable[[Path, str], Awaitable[dict[str, float]]]
Ring = Callable[[Path, str, int, int], Awaitable[dict[str, float]]]


def _hundred(measured: Ring, total: int) -> Case:
    return lambda socket, namespace: measured(socket, namespace, total, 100)


def _one(measured: Ring) -> Case:
    return lambda socket, namespace: measured(socket, namespace, 2_000, 1)


def _calls(count: int) -> Case:
    return lambda socket, namespace: calls.turns_of_calls(socket, namespace, count)


def _sdk(count: int) -> Case:
    return lambda _socket, _namespace: loops.loop("sdk", count)


def _over(count: int) -> Case:
    return lambda socket, namespace: workers.workers(socket, namespace, count)


CASES: Final[dict[str, Case]] = {
    "ring": _hundred(ring.ring, 60_000),
    "ring redis-py": _hundred(floors.redis_py_streams, 20_000),
    "ring raw": _hundred(floors.raw_client, 60_000),
    "ring full": _hundred(floors.raw_full, 40_000),
    "ring scripts": _hundred(floors.raw_scripts, 30_000),
    "hop full": _one(floors.raw_full),
    "hop scripts": _one(floors.raw_scripts),
    "hop": _one(ring.ring),
    "hop redis-py": _one(floors.redis_py_streams),
    "hop raw": _one(floors.raw_client),
    "turns": turns.turns,
    "turns floor": turns.three_writes,
    "calls": _calls(2),
    "calls sdk": _sdk(2),
    "long": _calls(21),
    "long sdk": _sdk(21),
    "spawns": spawns.spawns,
    "spawns floor": spawns.five_writes,
    "idle": lambda socket, namespace: idle.idle(socket, namespace, idle.AGENTS),
    "idle many": lambda socket, namespace: idle.idle(socket, namespace, idle.MANY),
    "idle tasks": idle.idle_tasks,
    "start": start.start,
    **{f"workers {n}": _over(n) for n in (1, 2, 4)},
}


async def measure(name: str, socket: Path, namespace: str) -> dict[str, float]:
    return await CASES[name](socket, namespace)


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    print(json.dumps(asyncio.run(measure(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))))
