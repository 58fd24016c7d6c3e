"""What the commands of this folder stand on: a server, a supervisor that leads, a tree, and
others who go on working.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.abc
import anyio.lowlevel
from redis.asyncio import Redis

from swarmd.adapters.config import loader as declarations
from swarmd.adapters.redis.connection.connection import dial
from swarmd.adapters.redis.connection.pubsub import Bell
from swarmd.adapters.redis.store import RedisStore
from swarmd.adapters.server.embedded import EmbeddedServer
from swarmd.app.process import SystemClock
from swarmd.core.model.changes import AccountOpened, AgentMade, Change, MissionSet, Post
from swarmd.core.model.channels import ORDERS, inbox
from swarmd.core.model.charter import KINDS, Charter
from swarmd.core.model.lineage import Agent, follows
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import SOB, AgentId, AgentState, HostId, MissionId, MissionState
from swarmd.core.model.records import Mission
from swarmd.core.model.tables import FENCES
from swarmd.core.model.timings import stamp_of
from swarmd.runtime.supervisor.supervisor import Supervisor
from tests.bench.swarm import SECRET, commit_all, unbounded

MISSION: Final = MissionId("m-cascade")
TIERS: Final = 5
SLOW_MICROSECONDS: Final = 5_000
NAMESPACE: Final = "swarm"
_MADE_AT_ONCE: Final = 50
_HOST: Final = HostId("h-cascade")
_OPERATOR: Final = AgentId("operator")


def tree(count: int, caps: int) -> Iterator[tuple[Agent, AccountOpened]]:
    """Agents level by level: 10 executives, each level ten times the one above, the last takes
    the rest.
    """
    above: list[tuple[tuple[str, ...], AgentId | None]] = [((SOB, "@owner", MISSION), None)]
    width, left = 10, count
    stamp = stamp_of(time.time())
    number = 0
    for tier in range(1, TIERS + 1):
        level: list[tuple[tuple[str, ...], AgentId | None]] = []
        size = left if tier == TIERS else min(width, left)
        for n in range(size):
            path, parent = above[n % len(above)]
            number += 1
            id = AgentId(f"a-c{number:06d}")
            agent = Agent(
                id=id,
                name=f"n{number}",
                role="lead",
                tier=tier,
                parent=parent or SOB,
                path=(*path, id),
                mission=MISSION,
                state=AgentState.LIVE,
                created=stamp,
                privileges=("model/**", "spawn/**"),
                grants=("model/**", "spawn/**"),
                charter=Charter(role="lead", name=f"n{number}", task="wait"),
            )
            share = dict.fromkeys(KINDS, caps // (10 * 11**tier))
            yield agent, AccountOpened(id, parent or MISSION, share, own_slot=True)
            level.append((agent.path, id))
        left -= size
        above, width = level, width * 10
        if not left:
            return


async def build(store: RedisStore, count: int, *, is_charged: bool = False) -> list[Agent]:
    """The tree, written by the supervisor's own commits, on no host; with a charter in each
    inbox where `is_charged`.
    """
    declared = declarations.load()
    number = await store.lead(_HOST, 3_600)
    caps = 10**14
    whole = dict.fromkeys(KINDS, caps)
    board = Agent(
        id=SOB,
        name=SOB,
        role="board",
        tier=0,
        parent=None,
        path=(SOB,),
        state=AgentState.LIVE,
        privileges=("**",),
        grants=("**",),
        created=stamp_of(time.time()),
    )
    mission = Mission(
        id=MISSION,
        text="measure",
        state=MissionState.WORKING,
        budget=whole,
        created=stamp_of(time.time()),
        deadline=time.time() + 86_400,
    )
    commits: list[list[Change]] = [
        [
            AgentMade(board, ()),
            AccountOpened(SOB, "", dict.fromkeys(KINDS, 10 * caps), own_slot=False),
        ],
        [AccountOpened(MISSION, SOB, whole, own_slot=False), MissionSet(mission)],
    ]
    made: list[Agent] = []
    batch: list[Change] = []
    tier, in_batch = 1, 0
    for agent, account in tree(count, caps):
        # What a commit carves an account from must be there before it: no two tiers in one.
        if in_batch >= _MADE_AT_ONCE or agent.tier != tier:
            commits.append(batch)
            batch, tier, in_batch = [], agent.tier, 0
        batch += [AgentMade(agent, follows(agent, declared.rooms)), account]
        in_batch += 1
        made.append(agent)
        if is_charged:
            batch.append(Post(inbox(agent.id), _charter(agent)))
    commits.append(batch)
    await commit_all(store, f"{number}:{_HOST}", commits, declared)
    await store.step_down(_HOST, number)
    return made


def _charter(agent: Agent) -> Message:
    return Message(
        sender=agent.parent or SOB,
        to=agent.id,
        kind=Kind.CHARTER,
        mission=MISSION,
        at=agent.created,
        text="work",
    )


@dataclass(slots=True)
class Ground:
    """One server with one swarm on it, and the supervisor that will lead it."""

    socket: Path
    client: Any  # redis-py's, for what only people ask of a server
    store: RedisStore
    bell: Bell
    tasks: anyio.abc.TaskGroup
    supervisor: Supervisor

    async def lead(self) -> None:
        """Until it has loaded the tree and looked around."""
        self.tasks.start_soon(self.supervisor.run)
        while not hasattr(self.supervisor.memory, "swarm"):
            await anyio.sleep(0.05)
        await anyio.sleep(1.5)

    async def order(self, verb: str, target: str, **more: Any) -> None:
        data = {"order": f"o-{verb}", "verb": verb, "target": target, "reason": "measure", **more}
        await self.store.post(
            ORDERS,
            Message(
                sender=_OPERATOR, kind=Kind.ORDER, at=stamp_of(time.time()), text=verb, data=data
            ),
        )

    async def ended(self) -> tuple[float, float]:
        """Order the mission's end; seconds until it is fenced, and from then until it is reaped."""
        started = time.perf_counter()
        await self.order("cancel", MISSION)
        while not await self._is_fenced():
            await anyio.lowlevel.checkpoint()
        fenced = time.perf_counter()
        while await self._is_fenced():
            await anyio.sleep(0.005)
        return fenced - started, time.perf_counter() - fenced

    async def _is_fenced(self) -> bool:
        return bool(await self.store.pipe.execute("HEXISTS", self.store.keys.rows(FENCES), MISSION))

    async def watch_scripts(self) -> None:
        """From now on what takes longer than it may is in the slow log."""
        await self.client.config_set("slowlog-log-slower-than", SLOW_MICROSECONDS)
        await self.client.config_set("slowlog-max-len", 1_024)
        await self.client.slowlog_reset()
        await self.client.config_resetstat()

    async def scripts(self) -> dict[str, Any]:
        """What they took since."""
        slow = [
            entry
            for entry in await self.client.slowlog_get(1_024)
            if "EVALSHA" in str(entry["command"])
        ]
        stats = (await self.client.info("commandstats"))["cmdstat_evalsha"]
        return {
            "scripts": stats["calls"],
            "scripts_s": round(stats["usec"] / 1e6, 2),
            "scripts_over_5_ms": len(slow),
            "slowest_ms": max((entry["duration"] for entry in slow), default=0) / 1000,
        }


@asynccontextmanager
async def ground() -> AsyncIterator[Ground]:
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="swarmd-"))
        server = await stack.enter_async_context(EmbeddedServer(Path(folder)))
        client, way = (
            Redis(unix_socket_path=str(server.socket), decode_responses=True),
            dial(server.socket),
        )
        stack.push_async_callback(client.aclose)
        tasks = await stack.enter_async_context(anyio.create_task_group())
        stack.callback(tasks.cancel_scope.cancel)
        store = RedisStore(way, NAMESPACE, SECRET)
        bell = Bell(way, store.keys)
        tasks.start_soon(store.pipe.run)
        tasks.start_soon(bell.run)
        declared = unbounded(declarations.load())
        supervisor = Supervisor(
            store, bell.line(), SystemClock(), declared, HostId("h-sup"), None, anyio.Event()
        )
        yield Ground(server.socket, client, store, bell, tasks, supervisor)


def told(title: str, figures: dict[str, Any], verdicts: dict[str, bool]) -> int:
    """Prints them; the exit code."""
    print(title)
    for name, value in figures.items():
        print(f"{name:>28}  {value}")
    for claim, holds in verdicts.items():
        print(f"{'holds' if holds else 'DOES NOT HOLD':>28}  {claim}")
    return 0 if all(verdicts.values()) else 7
