"""Supervisor and worker with the built-in mind on the embedded server, missions coming all the
time.

Everything that may be short is: retention, what channels keep, stretches of the journal. So a few
seconds see whole lives of records, rooms, agents and segments, and what still grows, grows by
something that nobody takes away.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Final

import anyio

from swarmd.adapters.archive.journal_files import JournalFiles
from swarmd.adapters.config import loader as declarations
from swarmd.adapters.files.workspace import Workspace
from swarmd.adapters.models.builtin.model import BuiltinModel
from swarmd.adapters.redis.connection.connection import dial
from swarmd.adapters.redis.connection.pubsub import Bell
from swarmd.adapters.redis.store import RedisStore
from swarmd.adapters.server.embedded import EmbeddedServer
from swarmd.app.process import SystemClock
from swarmd.core.model.channels import RESULTS
from swarmd.core.model.declarations import Declarations, Keep, Retention
from swarmd.core.model.messages import Message, channel_head, order_of
from swarmd.core.model.names import FIRST, Channel, HostId, StreamId
from swarmd.core.model.records import Host
from swarmd.core.model.timings import stamp_of
from swarmd.runtime.supervisor.supervisor import Supervisor
from swarmd.runtime.turn.functions import built_in
from swarmd.runtime.turn.memory_cache import Recollection
from swarmd.runtime.turn.model_call import Mind
from swarmd.runtime.turn.world import World
from swarmd.runtime.worker.worker import Worker

SECRET: Final = b"what the processes of the soak hold"
# Missions under way or waiting, at any time.
UNDER_WAY: Final = 3
SAMPLES: Final = 60
# Entries of one sealed stretch of the journal, and the seconds that records of the ended stay.
SEGMENT: Final = 256
RETENTION_SECONDS: Final = 5.0
# Of memories that are kept read, across all agents: full after a few missions.
MEMORIES_CHARS: Final = 200_000
_FEW: Final = Keep(messages=128, seconds=1)
_QUESTIONS: Final = (
    "What does the ledger conserve?",
    "How is a message sealed?",
    "What happens when a worker is killed?",
    "Who may end an agent?",
)
_CORPUS: Final = Path(__file__).parents[2] / "docs"
_FILES: Final = ("law.md", "security.md", "architecture.md")


@dataclass(frozen=True, slots=True)
class Sample:
    """The process and its server at one moment. All are counts but `rss` and `used_memory` (bytes).

    Keys are those without an expiry.
    """

    rss: float
    tasks: float
    descriptors: float
    keys: float
    used_memory: float


# What the median of the last third may be above that of the middle third: a share, and at least so
# much. Below it is noise: pieces of memory that the allocator keeps, a mission more or less under
# way, half a segment of the journal.
ALLOWED: Final = {
    "rss": (0.05, 6_000_000.0),
    "tasks": (0.10, 8.0),
    "descriptors": (0.0, 4.0),
    "keys": (0.15, 60.0),
    "used_memory": (0.15, 1_500_000.0),
}


@dataclass(frozen=True, slots=True)
class Trend:
    """How one measure went: medians of the middle and the last third, and what the last may be
    at most.
    """

    name: str
    middle: float
    last: float
    allowed: float
    per_hour: float  # the slope: the median over all pairs of samples of the last two thirds

    @property
    def is_flat(self) -> bool:
        return self.last <= self.allowed


@dataclass(slots=True)
class Soak:
    """What came of it."""

    seed: int
    seconds: float = 0.0
    samples: list[tuple[float, Sample]] = field(default_factory=list)
    submitted: int = 0
    states: dict[str, int] = field(default_factory=dict)
    agents: int = 0
    kinds: Counter[str] = field(default_factory=Counter)  # of the keys, at the end

    def trends(self) -> list[Trend]:
        third = len(self.samples) // 3
        middle, last = self.samples[third : 2 * third], self.samples[2 * third :]
        found = []
        for name, (share, least) in ALLOWED.items():
            before = statistics.median(getattr(sample, name) for _, sample in middle)
            after = statistics.median(getattr(sample, name) for _, sample in last)
            points = [(at, float(getattr(sample, name))) for at, sample in (*middle, *last)]
            found.append(
                Trend(
                    name, before, after, before + max(before * share, least), 3_600 * slope(points)
                )
            )
        return found


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The median of the slopes between all pairs, by second: a few outliers do not move it."""
    slopes = [
        (b - a) / (t - s) for n, (s, a) in enumerate(points) for t, b in points[n + 1 :] if t > s
    ]
    return statistics.median(slopes) if slopes else 0.0


def short_lived() -> Declarations:
    """The law as shipped, but that nothing is kept for long."""
    declared = declarations.load()
    keep = Retention(missions=_FEW, results=_FEW, orders=_FEW, requests=_FEW, dead=_FEW, mail=_FEW)
    root = declared.limits.root.model_copy(
        update=dict.fromkeys(("tokens", "cost", "calls", "tools"), 10**12)
    )
    bounds = {"keep": keep, "retention_seconds": RETENTION_SECONDS, "root": root}
    rooms = {
        name: room.model_copy(update={"keep": Keep(messages=500, seconds=1)})
        for name, room in declared.rooms.items()
    }
    return replace(declared, limits=declared.limits.model_copy(update=bounds), rooms=rooms)


def warm() -> None:
    """Fills the process's memos, which are bounded and would otherwise take an hour to come to
    their bound.
    """
    for n in range(20_000):
        order_of(StreamId(f"{n}-0"))
        channel_head(Channel(f"inbox:warm-{n}"))


async def soak(data: Path, seconds: float, seed: int) -> Soak:
    found, chance = Soak(seed), Random(seed)
    warm()
    knowledge = data / "knowledge"
    knowledge.mkdir(parents=True)
    for name in _FILES:
        shutil.copy(_CORPUS / name, knowledge / name)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(EmbeddedServer(data))
        way = dial(server.socket)
        store = RedisStore(way, "swarm", SECRET)
        tasks = await stack.enter_async_context(anyio.create_task_group())
        stack.callback(tasks.cancel_scope.cancel)
        tasks.start_soon(server.keep)
        tasks.start_soon(store.pipe.run)
        await store.check_schema()
        bell, stop, declared = Bell(way, store.keys), anyio.Event(), short_lived()
        tasks.start_soon(bell.run)
        files, clock = (
            Workspace(data / "workspace", knowledge, declarations.shipped("policies")),
            SystemClock(),
        )
        archive = JournalFiles(data / "journal", "s-soak", SEGMENT)
        supervisor = Supervisor(
            store, bell.line(), clock, declared, HostId("h-sup"), files, stop, archive=archive
        )

        async def mind(_spec: str) -> Mind:
            return Mind(BuiltinModel(files), declared.models.provider("builtin"))

        world = World(
            store,
            declared,
            built_in(store, files),
            mind,
            lambda: stamp_of(clock.now()),
            Recollection(MEMORIES_CHARS),
        )
        worker = Worker(world, Host(HostId("h-work"), 1_000, files.identity()), bell.line(), stop)
        tasks.start_soon(supervisor.run)
        tasks.start_soon(worker.run)
        async with anyio.create_task_group() as load:
            load.start_soon(_submit, store, found, chance)
            await _sample(store, worker, found, seconds)
            load.cancel_scope.cancel()
        stop.set()
        await anyio.sleep(0.2)
    return found


async def _submit(store: RedisStore, found: Soak, chance: Random) -> None:
    """As many missions as are to be under way; one that has ended makes room for the next."""
    after, ended = FIRST, 0
    while True:
        while found.submitted - ended < UNDER_WAY:
            found.submitted += 1
            fields = {"mission": chance.choice(_QUESTIONS), "id": f"m-soak{found.submitted}"}
            await store.keep_mission(fields | {"files": f'["{chance.choice(_FILES)}"]'})
        results: list[Message] = await store.read(RESULTS, after, 100)
        for result in results:
            after, ended = result.id, ended + 1
            state = str(result.data.get("state"))
            found.states[state] = found.states.get(state, 0) + 1
        await anyio.sleep(0.1)


async def _lasting(store: RedisStore) -> int:
    """Keys that do not go by themselves: keys of posts are remembered for an hour, longer than a
    short run lasts.
    """
    info = str(await store.pipe.execute("INFO", "keyspace"))
    counts = re.search(r"keys=(\d+),expires=(\d+)", info)
    return int(counts[1]) - int(counts[2]) if counts else 0


async def _sample(store: RedisStore, worker: Worker, found: Soak, seconds: float) -> None:
    started, seen = time.monotonic(), set[str]()
    while found.seconds < seconds:
        await anyio.sleep(seconds / SAMPLES)
        info = str(await store.pipe.execute("INFO", "memory"))
        used = next(
            int(line.split(":")[1]) for line in info.splitlines() if line.startswith("used_memory:")
        )
        keys = await _lasting(store)
        pages = await anyio.Path("/proc/self/statm").read_text()
        sample = Sample(
            int(pages.split()[1]) * os.sysconf("SC_PAGE_SIZE"),
            len(asyncio.all_tasks()),
            len(os.listdir("/proc/self/fd")),
            keys,
            used,
        )
        found.seconds = time.monotonic() - started
        found.samples.append((found.seconds, sample))
        seen.update(
            id for id, resident in worker.residents.by_id.items() if not resident.agent.is_seat
        )
        found.agents = len(seen)
    for key in await store.pipe.execute("KEYS", "*"):
        found.kinds[str(key).split(":")[1]] += 1


def report(found: Soak) -> str:
    lines = [
        f"seed {found.seed}, {found.seconds:.0f} s, missions {found.submitted} submitted, "
        f"{found.states} ended, {found.agents} agents seen at work, {len(found.samples)} samples",
        (
            f"{'':>12} {'first':>14} {'middle third':>14} {'last third':>14} {'at most':>14} "
            f"{'by hour':>14}"
        ),
    ]
    first = asdict(found.samples[0][1])
    lines += [
        (
            f"{t.name:>12} {first[t.name]:>14,.0f} {t.middle:>14,.0f} {t.last:>14,.0f} "
            f"{t.allowed:>14,.0f} {t.per_hour:>+14,.0f}"
        )
        + ("" if t.is_flat else "  GROWS")
        for t in found.trends()
    ]
    kinds = ", ".join(f"{kind} {count}" for kind, count in found.kinds.most_common())
    return "\n".join([*lines, f"keys at the end: {kinds}"])
