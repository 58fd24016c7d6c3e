"""What posts while the swarm is being killed: keyed messages through the product's own store, each
until it is acknowledged.

`python -m tests.chaos.load URL SECRET AGENTS SHARE PER_SECOND ROUNDS FILLER` asks for so many
agents below the executive of the load's mission and says `ready`. For each line that it is told it
posts SHARE messages to each of them, and prints as JSON how many of its posts were acknowledged, by
agent.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import anyio
import structlog

from swarmd.adapters.redis.connection.connection import dial
from swarmd.adapters.redis.store import RedisStore
from swarmd.core.model.channels import REQUESTS, inbox
from swarmd.core.model.charter import Amounts, Charter
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import SOB, AgentId, AgentState
from swarmd.core.model.requests import SpawnRequest
from swarmd.core.model.timings import stamp_of
from tests.chaos.host import LOAD
from tests.e2e.parts import Parts

READY_SECONDS: Final = 120.0
_SENDER: Final = AgentId("load")
_BUDGET: Final[Amounts] = {"tokens": 100, "cost": 100, "calls": 1, "tools": 10_000, "agents": 0}


@asynccontextmanager
async def opened(url: str, secret: bytes) -> AsyncIterator[RedisStore]:
    async with AsyncExitStack() as stack:
        store = RedisStore(dial(url), "swarm", secret)
        tasks = await stack.enter_async_context(anyio.create_task_group())
        stack.callback(tasks.cancel_scope.cancel)
        tasks.start_soon(store.pipe.run)
        yield store


async def made(store: RedisStore, count: int) -> list[AgentId]:
    """So many agents below the load's executive, asked of the supervisor as that one's own
    runtime would.
    """
    with anyio.fail_after(READY_SECONDS):
        while not (found := await _living(store, SOB)):
            await anyio.sleep(0.1)
        lead = found[0]
        for number in range(count):
            await store.post(REQUESTS, _wanted(lead, number), key=f"load-spawn-{number}")
        while len(below := await _living(store, lead.id)) < count or not all(
            agent.host for agent in below
        ):
            # So many records in one reading: not so often that the server has nothing else to do.
            await anyio.sleep(0.5)
    return [agent.id for agent in sorted(below, key=lambda agent: agent.name)]


async def _living(store: RedisStore, parent: AgentId) -> list[Agent]:
    found = await store.children(parent)
    return [agent for agent in found if agent.mission == LOAD and agent.state is AgentState.LIVE]


def _wanted(lead: Agent, number: int) -> Message:
    charter = Charter(role="researcher", name=f"load-{number:04d}", task="count", budget=_BUDGET)
    request = SpawnRequest(key=f"k{number}", charter=charter)
    return Message(
        sender=lead.id,
        kind=Kind.REQUEST,
        mission=LOAD,
        at=stamp_of(time.time()),
        text="spawn",
        data=request.model_dump(mode="json"),
        incarnation=1,
    )


@dataclass(slots=True)
class Posting:
    """Each agent's posts one after the other, beside the others': the next only after the last's
    acknowledgement.
    """

    store: RedisStore
    agents: list[AgentId]
    filler: str = ""  # after each message's own words
    acknowledged: dict[AgentId, int] = field(default_factory=dict)

    async def run(self, share: int, per_second: float) -> None:
        """`share` more to each; `per_second` is of all together, 0: as fast as they are
        acknowledged.
        """
        started = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            for place in range(len(self.agents)):
                tasks.create_task(self._post(place, share, per_second, started))

    async def _post(self, place: int, share: int, per_second: float, started: float) -> None:
        me, following = self.agents[place], self.agents[(place + 1) % len(self.agents)]
        first = self.acknowledged.setdefault(me, 0)
        for number in range(first, first + share):
            if per_second:
                due = started + ((number - first) * len(self.agents) + place) / per_second
                await asyncio.sleep(max(0.0, due - time.monotonic()))
            message = Message(
                sender=_SENDER,
                to=me,
                kind=Kind.SAY,
                mission=LOAD,
                at=stamp_of(time.time()),
                text=f"direct {number}",
                data={"next": following, "filler": self.filler},
            )
            await self.store.post(inbox(me), message, key=f"load-{me}-{number}")
            self.acknowledged[me] += 1


async def load(
    url: str, secret: bytes, count: int, share: int, per_second: float, rounds: int, filler: int
) -> None:
    async with opened(url, secret) as store:
        posting = Posting(store, await made(store, count), "x" * filler)
        print("ready", flush=True)
        for _ in range(rounds):
            await anyio.to_thread.run_sync(sys.stdin.readline)
            await posting.run(share, per_second)
            print(json.dumps(posting.acknowledged), flush=True)


def begin_load(
    swarm: Parts,
    url: str,
    agents: int,
    share: int,
    per_second: float = 0.0,
    *,
    rounds: int = 1,
    filler: int = 0,
) -> subprocess.Popen[str]:
    """The process of this module, its agents made."""
    secret = str(Path(swarm.environment["SWARMD_DATA"]) / "secret")
    words = [url, secret, *map(str, (agents, share, per_second, rounds, filler))]
    load = subprocess.Popen(
        [sys.executable, "-m", "tests.chaos.load", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert load.stdout is not None
    if load.stdout.readline() != "ready\n":
        end_load(load)
        raise AssertionError(f"the load has not begun:\n{swarm.said()}")
    return load


def begin_round(load: subprocess.Popen[str]) -> None:
    print("go", file=load.stdin, flush=True)


def acknowledged_by(load: subprocess.Popen[str]) -> dict[str, int]:
    """At the end of a round: how many posts of each agent have been acknowledged, in all rounds."""
    assert load.stdout is not None
    counted: dict[str, int] = json.loads(load.stdout.readline())
    return counted


def end_load(load: subprocess.Popen[str]) -> None:
    load.kill()
    load.communicate()


if __name__ == "__main__":
    # What the store has to say of the line goes where the answer does not.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    _url, _secret, _count, _share, _per_second, _rounds, _filler = sys.argv[1:]
    asyncio.run(
        load(
            _url,
            Path(_secret).read_bytes().strip(),
            int(_count),
            int(_share),
            float(_per_second),
            int(_rounds),
            int(_filler),
        )
    )
