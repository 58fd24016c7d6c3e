"""A million messages: does any stream hold more than what is unread and what is kept?

    python -m tests.scale.storage [--messages 1000000] [--seed 1]

A real supervisor trims on the embedded server while a worker's agents read: each message is posted
by the store's own script, heard by ring or sweep, and committed with its position, as in a swarm.
One agent in a hundred is frozen and reads nothing, so that what is unread is not nothing; the
operators' channels and a room get their share. At each sample every stream is held against `unread
+ kept`, and what came since the last pass of the supervisor. Ends with 1 where a stream was longer,
or a message was trimmed that its reader had not read.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import anyio
import structlog

from swarmd.adapters.server.embedded import EmbeddedServer
from swarmd.app.process import SystemClock
from swarmd.core.bus.retention import is_supervisors, keep_of
from swarmd.core.model.channels import BOARD_ROOM, REQUESTS, RESULTS, inbox
from swarmd.core.model.declarations import Keep
from swarmd.core.model.lineage import stop_fields
from swarmd.core.model.messages import Kind, Message, order_of
from swarmd.core.model.names import FIRST, AgentId, Channel, HostId, StreamId
from swarmd.core.model.timings import TRIM_SECONDS, stamp_of
from swarmd.ports.stores import Turn
from swarmd.runtime.mailboxes import Resident
from swarmd.runtime.supervisor.supervisor import Supervisor
from swarmd.runtime.turn.world import World
from tests.bench.swarm import Bench, bench, unbounded, until_hosted

AGENTS: Final = 100
FROZEN: Final = AgentId("a-bench000000")
BODY: Final = "the quick brown fox jumps over the lazy dog, " * 22
SAMPLES: Final = 20
# Posted side by side: the store sends what is ready together in one round trip.
POSTERS: Final = 64
# A message in so many goes to the frozen agent, to people, to the board's room and among the
# requests.
FROZEN_SHARE, PEOPLES_SHARE = 200, 20


# A shorter run keeps less, or nothing in it would ever be too much.
WHOLE: Final = 200_000
FEW_AGENTS: Final = 20
FEW: Final = Keep(messages=128, seconds=3_600)


@dataclass(slots=True)
class Traffic:
    """What was posted, when, and what each reader was given."""

    chance: random.Random
    posted: Counter[Channel] = field(default_factory=Counter)
    lately: list[tuple[float, Counter[Channel]]] = field(default_factory=list)
    read: Counter[AgentId] = field(default_factory=Counter)
    disorder: int = 0
    last: dict[AgentId, StreamId] = field(default_factory=dict)

    def target(self, agents: list[AgentId]) -> Channel:
        if self.chance.randrange(FROZEN_SHARE) == 0:
            return inbox(FROZEN)
        if self.chance.randrange(PEOPLES_SHARE) == 0:
            return self.chance.choice((RESULTS, BOARD_ROOM, REQUESTS))
        return inbox(self.chance.choice(agents))

    def note(self, channel: Channel) -> None:
        self.posted[channel] += 1
        now = time.monotonic()
        if not self.lately or now > self.lately[-1][0] + 0.2:
            self.lately = [*((at, c) for at, c in self.lately if at > now - 10), (now, Counter())]
        self.lately[-1][1][channel] += 1

    def since(self, seconds: float) -> Counter[Channel]:
        start, found = time.monotonic() - seconds, Counter[Channel]()
        for at, counts in self.lately:
            if at >= start - 0.2:
                found += counts
        return found


@dataclass(frozen=True, slots=True)
class Sample:
    """Of all streams at one moment: the fullest one against what it may hold."""

    posted: int
    streams: int
    entries: int
    unread: int
    memory_mb: float
    worst: Channel
    length: int
    allowed: int

    @property
    def is_within(self) -> bool:
        return self.length <= self.allowed


async def _sample(
    here: Bench, supervisor: Supervisor, traffic: Traffic, slack_seconds: float
) -> Sample:
    channels, posted = sorted(traffic.posted), traffic.posted.total()
    lengths = dict(zip(channels, await here.store.lengths(channels), strict=True))
    lately = traffic.since(slack_seconds)
    unread = await _all_unread(here, supervisor, channels)

    def allowed(channel: Channel) -> int:
        keep = keep_of(channel, supervisor.declared)
        assert keep is not None
        return unread[channel] + keep.messages + lately[channel]

    worst = max(channels, key=lambda channel: lengths[channel] / allowed(channel))
    info = await here.store.pipe.execute("INFO", "memory")
    used = next(
        int(line.split(":")[1])
        for line in str(info).splitlines()
        if line.startswith("used_memory:")
    )
    return Sample(
        posted,
        len(channels),
        sum(lengths.values()),
        unread.total(),
        used / 1e6,
        worst,
        lengths[worst],
        allowed(worst),
    )


async def _all_unread(
    here: Bench, supervisor: Supervisor, channels: list[Channel]
) -> Counter[Channel]:
    found = Counter[Channel]()

    async def count(channel: Channel) -> None:
        found[channel] = await _unread(here, supervisor, channel)

    async with anyio.create_task_group() as tasks:
        for channel in channels:
            tasks.start_soon(count, channel)
    return found


async def _unread(here: Bench, supervisor: Supervisor, channel: Channel) -> int:
    if is_supervisors(channel):
        position = supervisor.memory.positions[channel]
    elif channel.startswith("inbox:"):
        reader = AgentId(channel.removeprefix("inbox:"))
        position = (await here.store.positions(channel, [reader]))[reader]
    else:
        return 0
    key, count = here.store.keys.channel(channel), 0
    while rows := await here.store.pipe.execute("XRANGE", key, f"({position}", "+", "COUNT", 5_000):
        position, count = StreamId(rows[-1][0]), count + len(rows)
    return count


async def storage(  # noqa: C901
    socket: Path, namespace: str, messages: int, seed: int
) -> tuple[list[Sample], Traffic, bool]:
    count = AGENTS if messages >= WHOLE else FEW_AGENTS
    traffic, samples = Traffic(random.Random(seed)), list[Sample]()
    async with bench(socket, namespace) as here, anyio.create_task_group() as tasks:
        agents = await here.make_agents(count)
        stop = anyio.Event()

        async def read_on(world: World, resident: Resident) -> None:
            """Reads what came and commits how far, as a turn with no output does."""
            mail, me = resident.mailbox or [], resident.agent
            resident.mailbox = None
            if me.id == FROZEN:
                return
            for message in mail:
                traffic.disorder += order_of(message.id) <= order_of(traffic.last.get(me.id, FIRST))
                traffic.last[me.id] = message.id
                traffic.read[me.id] += 1
            turn = Turn(resident.turn + 1, me.path, stop_fields(me), {}, resident.seen, {}, (), 1)
            assert await world.store.commit(resident.hold, turn, 64, world.stamp()) == "done"
            resident.turn = turn.number

        declared = unbounded(here.declared)
        if messages < WHOLE:
            keep = declared.limits.keep.model_copy(
                update={"mail": FEW, "results": FEW, "requests": FEW}
            )
            declared = replace(declared, limits=declared.limits.model_copy(update={"keep": keep}))
        supervisor = Supervisor(
            here.store, here.bell.line(), SystemClock(), declared, HostId("h-sup"), None, stop
        )
        worker = here.worker(stop, answer=read_on)
        tasks.start_soon(worker.run)
        await until_hosted(worker, count)
        tasks.start_soon(supervisor.run)
        while supervisor.memory.number == 0 or not supervisor.memory.positions:
            await anyio.sleep(0.05)
        readers = [agent.id for agent in agents if agent.id != FROZEN]
        left = iter(range(messages))

        async def post() -> None:
            for _ in left:
                channel = traffic.target(readers)
                message = Message(
                    sender=AgentId("people"), kind=Kind.SAY, at=stamp_of(time.time()), text=BODY
                )
                await here.store.post(channel, message)
                traffic.note(channel)

        async def watch() -> None:
            every = max(1, messages // SAMPLES)
            while True:
                target = every * (len(samples) + 1)
                while traffic.posted.total() < min(target, messages):
                    await anyio.sleep(0.05)
                # A pass that is under way, and the one after it.
                samples.append(await _sample(here, supervisor, traffic, 2 * TRIM_SECONDS + 1))
                if traffic.posted.total() >= messages:
                    return

        async with anyio.create_task_group() as posting:
            posting.start_soon(watch)
            for _ in range(POSTERS):
                posting.start_soon(post)
        # At rest nothing came lately: what is left is unread, or kept.
        await anyio.sleep(2 * TRIM_SECONDS + 2)
        samples.append(await _sample(here, supervisor, traffic, 0))
        given = sum(traffic.posted[inbox(id)] for id in readers)
        is_whole = traffic.read.total() == given and traffic.disorder == 0
        held = await here.store.lengths([inbox(FROZEN)])
        is_whole = is_whole and held[0] == traffic.posted[inbox(FROZEN)]
        stop.set()
        await anyio.sleep(0.2)
        tasks.cancel_scope.cancel()
    return samples, traffic, is_whole


async def main(messages: int, seed: int) -> bool:
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="swarmd-") as folder:
        async with EmbeddedServer(Path(folder)) as server:
            samples, traffic, is_whole = await storage(server.socket, "swarm", messages, seed)
    seconds = time.perf_counter() - started
    print(
        f"seed {seed}, {messages} messages of {len(BODY)} bytes to {len(traffic.posted)} streams "
        f"in {seconds:.0f} s"
    )
    print("posted    entries  unread  used MB  fullest stream, length of allowed")
    for s in samples:
        mark = "" if s.is_within else "  TOO LONG"
        print(
            f"{s.posted:>8} {s.entries:>9} {s.unread:>7} {s.memory_mb:>8.1f}  {s.worst} "
            f"{s.length} of {s.allowed}{mark}"
        )
    read = traffic.read.total()
    print(
        f"read {read}, twice or out of order {traffic.disorder}, of the frozen agent kept "
        f"{traffic.posted[inbox(FROZEN)]}"
    )
    is_good = is_whole and all(s.is_within for s in samples)
    print(
        "verdict: "
        f"{'no stream beyond unread + kept, nothing unread was lost' if is_good else 'FAILED'}"
    )
    return is_good


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    asked = argparse.ArgumentParser()
    asked.add_argument("--messages", type=int, default=1_000_000)
    asked.add_argument("--seed", type=int, default=1)
    given = asked.parse_args()
    sys.exit(0 if asyncio.run(main(given.messages, given.seed)) else 1)
