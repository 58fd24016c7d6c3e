"""One case in a process of its own: `python -m tests.bench.case NAME SOCKET NAMESPACE` prints its figures as JSON."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import structlog

from tests.bench import floors, idle, ring, spawns, start, turns

Case = Callable[[Path, str], Awaitable[dict[str, float]]]
Ring = Callable[[Path, str, int, int], Awaitable[dict[str, float]]]


def _hundred(measured: Ring, total: int) -> Case:
    return lambda socket, namespace: measured(socket, namespace, total, 100)


def _one(measured: Ring) -> Case:
    return lambda socket, namespace: measured(socket, namespace, 2_000, 1)


CASES: Final[dict[str, Case]] = {
    "ring": _hundred(ring.ring, 20_000),
    "ring redis-py": _hundred(floors.redis_py_streams, 20_000),
    "ring raw": _hundred(floors.raw_client, 60_000),
    "hop": _one(ring.ring),
    "hop redis-py": _one(floors.redis_py_streams),
    "hop raw": _one(floors.raw_client),
    "turns": turns.turns,
    "turns floor": turns.three_writes,
    "spawns": spawns.spawns,
    "spawns floor": spawns.five_writes,
    "idle": idle.idle,
    "idle tasks": idle.idle_tasks,
    "start": start.start,
}


async def measure(name: str, socket: Path, namespace: str) -> dict[str, float]:
    return await CASES[name](socket, namespace)


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    print(json.dumps(asyncio.run(measure(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))))
