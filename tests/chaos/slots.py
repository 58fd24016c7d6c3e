"""The swarm's slot is moved from node to node of a cluster, key by key, while it is written to.

    python -m tests.chaos slots --moves 20

Posts through the product's own store, each until it is acknowledged. At the end each is there, once
and whole: its entry, its channel's mark, and the counter that all of them share.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import anyio

from swarmd.adapters.redis.connection.connection import dial
from swarmd.adapters.redis.connection.discovery import slot_of
from swarmd.adapters.redis.store import RedisStore
from swarmd.core.model.channels import room
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import FIRST, AgentId
from swarmd.core.model.timings import stamp_of
from tests.chaos.report import Report, spread
from tests.topology import Nodes, clustered

NAMESPACE = "{swarm}"
WRITERS = 8
_SECRET = b"what the processes of this run hold"
_PAUSE_SECONDS = 0.02  # between ten keys: a move takes as long as a large swarm's would


async def _write(
    store: RedisStore, writer: int, until: threading.Event, slowest: list[float]
) -> int:
    """Posts of one writer, in its own room and in one that all share; how many were
    acknowledged.
    """
    count = 0
    while not until.is_set():
        for channel in (room(f"own-{writer}"), room("shared")):
            message = Message(
                sender=AgentId(f"w-{writer}"),
                kind=Kind.SAY,
                at=stamp_of(time.time()),
                text=f"{writer} {count}",
            )
            began = time.monotonic()
            await store.post(channel, message, key=f"{channel}-{writer}-{count}")
            slowest.append(time.monotonic() - began)
        count += 1
    return count


async def _under_load(nodes: Nodes, moves: int, report: Report) -> None:
    store = RedisStore(dial(nodes.url, namespace=NAMESPACE), NAMESPACE, _SECRET)
    over, waits, moved = threading.Event(), list[float](), list[int]()

    def move() -> None:
        try:
            for _ in range(moves):
                time.sleep(1.5)  # longer than the pipe pauses between two tries
                moved.append(nodes.move(slot_of(NAMESPACE), pause_seconds=_PAUSE_SECONDS))
        finally:
            over.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(store.pipe.run)
        writers = [asyncio.ensure_future(_write(store, n, over, waits)) for n in range(WRITERS)]
        await asyncio.to_thread(move)
        counts = await asyncio.gather(*writers)
        await _judge(store, counts, report)
        tasks.cancel_scope.cancel()
    report.counts |= {
        "moves": len(moved),
        "keys moved": sum(moved),
        "posts acknowledged": 2 * sum(counts),
    }
    report.figures |= {f"post {name}": value for name, value in spread(waits).items()}


async def _judge(store: RedisStore, counts: list[int], report: Report) -> None:
    shared = await _texts(store, "shared")
    for writer, count in enumerate(counts):
        wanted = [f"{writer} {number}" for number in range(count)]
        report.must(
            await _texts(store, f"own-{writer}") == wanted,
            f"the room of {writer} is not what was posted",
        )
        found = [text for text in shared if text.split()[0] == str(writer)]
        report.must(found == wanted, f"the shared room is not what {writer} posted")
    report.must(max(Counter(shared).values()) == 1, "a post is there twice")
    posts = int(await store.pipe.execute("GET", store.keys.posts))
    report.must(posts == 2 * sum(counts), f"{posts} posts were counted of {2 * sum(counts)}")


async def _texts(store: RedisStore, name: str) -> list[str]:
    found, after = list[str](), FIRST
    while page := await store.read(room(name), after, 1_000):
        found += [message.text for message in page]
        after = page[-1].id
    return found


def slots(moves: int, seed: int) -> Report:
    report = Report("slots", seed)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="slots-")))
        nodes = stack.enter_context(clustered(folder))
        asyncio.run(_under_load(nodes, moves, report))
    return report


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--moves", type=int, default=20)


def run(arguments: argparse.Namespace) -> Report:
    return slots(arguments.moves, arguments.seed)
