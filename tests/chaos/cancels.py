"""Callers give up at random moments while the line is slow and bad: nobody is ever given
another's reply.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from collections import Counter
from typing import Final

import anyio

from swarmd.adapters.redis.connection.connection import dial
from swarmd.adapters.redis.connection.pipeline import Pipe
from swarmd.errors import StoreUnavailableError
from tests.chaos.report import Report
from tests.e2e.parts import server_of_ours
from tests.e2e.proxy import Proxy, proxied

CALLERS: Final = 200
DELAY_SECONDS: Final = 0.004
LOST_REPLIES, RESETS = 0.02, 0.02


async def cancelled(line: Proxy, cancellations: int, seed: int) -> Counter[str]:
    """Callers ask for a word of their own each time and give up after up to four times what an
    answer takes.
    """
    seen: Counter[str] = Counter()
    pipe = Pipe(dial(line.url), 60.0)
    line.delay, line.loses, line.resets = DELAY_SECONDS, LOST_REPLIES, RESETS

    async def call(caller: int) -> None:
        dice = random.Random(seed * CALLERS + caller)
        for number in range(10**9):
            if seen["cancelled"] >= cancellations:
                return
            word = f"{caller}-{number}-{dice.random()}"
            with anyio.move_on_after(dice.uniform(0.0, 8 * DELAY_SECONDS)) as scope:
                reply = await pipe.execute("ECHO", word)
                seen["answered" if reply == word else "crossed"] += 1
            seen["cancelled"] += scope.cancelled_caught

    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(pipe.run())
        async with asyncio.TaskGroup() as callers:
            for caller in range(CALLERS):
                callers.create_task(call(caller))
        running.cancel()
    return seen


def cancels(cancellations: int, seed: int) -> Report:
    report, started = Report("cancels", seed), time.monotonic()
    with server_of_ours() as server, proxied(("127.0.0.1", server.port), seed=seed) as line:
        try:
            seen = asyncio.run(cancelled(line, cancellations, seed))
        except* StoreUnavailableError as away:
            raise away.exceptions[0] from away
        report.counts = {
            "cancelled": seen["cancelled"],
            "answered": seen["answered"],
            "cross replies": seen["crossed"],
            "lost replies": line.lost,
            "connections reset": line.was_reset,
            "connections": line.opened,
        }
    report.figures["seconds"] = time.monotonic() - started
    report.must(seen["crossed"] == 0, f"{seen['crossed']} callers were given another's reply")
    report.must(seen["answered"] > 0, "nobody was answered")
    return report


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cancellations", type=int, default=50_000)


def run(arguments: argparse.Namespace) -> Report:
    return cancels(arguments.cancellations, arguments.seed)
