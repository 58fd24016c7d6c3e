"""A large tree is ended: how long until it is fenced, until it is reaped, and what no script may take.

    python -m tests.scale.cascade [RECORDS]      default 100,000

The tree is written by the supervisor's own commits, on no host, so that what is measured is the law and the server:
a fence in one write, then records, mailboxes and accounts reaped in steps, deepest first, refunds and journal with
them. Beside it the same number of records is deleted bare, in one run, for the ratio.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.lowlevel
import structlog

from swarmd import declared as declarations
from swarmd.adapters.embedded import EmbeddedServer
from swarmd.adapters.redis.bell import Bell
from swarmd.adapters.redis.connect import connect
from swarmd.adapters.redis.store import RedisStore
from swarmd.app import SystemClock
from swarmd.core.lineage import Agent, follows
from swarmd.core.messages import Message
from swarmd.core.moves import KINDS, Charter
from swarmd.core.names import (
    JOURNAL,
    ORDERS,
    SOB,
    AgentId,
    AgentState,
    HostId,
    Kind,
    MissionId,
    MissionState,
)
from swarmd.core.swarm import AccountOpened, AgentMade, Change, Mission, MissionSet, stamp_of
from swarmd.runtime.supervisor import Supervisor
from tests.bench.swarm import SECRET, unbounded

MISSION: Final = MissionId("m-cascade")
TIERS: Final = 5
SLOW_MICROSECONDS: Final = 5_000
_MADE_AT_ONCE: Final = 50
_HOST: Final = HostId("h-cascade")


def tree(count: int, caps: int) -> Iterator[tuple[Agent, AccountOpened]]:
    """Agents level by level: 10 executives, each level ten times the one above, the last takes the rest."""
    above: list[tuple[tuple[str, ...], AgentId | None]] = [((SOB, MISSION), None)]
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
                id=id, name=f"n{number}", role="lead", tier=tier, parent=parent or SOB, path=(*path, id),
                mission=MISSION, state=AgentState.LIVE, created=stamp, privileges=("model/**",), grants=("model/**",),
                charter=Charter(role="lead", name=f"n{number}", task="wait"),
            )  # fmt: skip
            share = dict.fromkeys(KINDS, caps // (10 * 11**tier))
            yield agent, AccountOpened(id, parent or MISSION, share, own_slot=True)
            level.append((agent.path, id))
        left -= size
        above, width = level, width * 10
        if not left:
            return


async def build(store: RedisStore, count: int) -> None:
    declared = declarations.load()
    number = await store.lead(_HOST, 3_600)
    caps = 10**14
    whole = dict.fromkeys(KINDS, caps)
    board = Agent(
        id=SOB, name=SOB, role="board", tier=0, parent=None, path=(SOB,), state=AgentState.LIVE, privileges=("**",),
        grants=("**",),
    )  # fmt: skip
    mission = Mission(
        id=MISSION, text="measure", state=MissionState.WORKING, budget=whole, created=stamp_of(time.time()),
        deadline=time.time() + 86_400,
    )  # fmt: skip
    commits: list[list[Change]] = [
        [AgentMade(board, ()), AccountOpened(SOB, "", dict.fromkeys(KINDS, 10 * caps), own_slot=False)],
        [AccountOpened(MISSION, SOB, whole, own_slot=False), MissionSet(mission)],
    ]
    batch: list[Change] = []
    tier = 1
    for agent, account in tree(count, caps):
        # What a commit carves an account from must be there before it: no two tiers in one.
        if len(batch) >= 2 * _MADE_AT_ONCE or agent.tier != tier:
            commits.append(batch)
            batch, tier = [], agent.tier
        batch += [AgentMade(agent, follows(agent, declared.rooms)), account]
    commits.append(batch)
    for seq, changes in enumerate(commits, start=1):
        reply = await store.commit_changes(f"{number}:{_HOST}", seq, changes, {})
        assert reply == "done", (seq, reply)
    await store.step_down(_HOST, number)


async def cascade(socket: Path, count: int) -> dict[str, Any]:
    client = await connect(socket)
    async with aclosing(client), anyio.create_task_group() as tasks:
        store = RedisStore(client, "swarm", SECRET)
        bell = Bell(client, store.keys)
        tasks.start_soon(store.pipe.run)
        started = time.perf_counter()
        await build(store, count)
        built = time.perf_counter() - started
        supervisor = Supervisor(
            store, bell, SystemClock(), unbounded(declarations.load()), HostId("h-sup"), None, anyio.Event()
        )  # fmt: skip
        tasks.start_soon(supervisor.run)
        while supervisor._number == 0 or not hasattr(supervisor, "_swarm"):
            await anyio.sleep(0.05)
        await anyio.sleep(1.5)
        await client.config_set("slowlog-log-slower-than", SLOW_MICROSECONDS)
        await client.slowlog_reset()
        await client.config_resetstat()
        order = Message(
            sender=AgentId("operator"), kind=Kind.ORDER, at=stamp_of(time.time()), text="end",
            data={"order": "o-1", "verb": "cancel", "target": MISSION, "reason": "measure"},
        )  # fmt: skip
        ordered = time.perf_counter()
        await store.post(ORDERS, order)
        while not await store.pipe.execute("HEXISTS", store.keys.fences, MISSION):
            await anyio.lowlevel.checkpoint()
        fenced = time.perf_counter() - ordered
        while await store.pipe.execute("HEXISTS", store.keys.fences, MISSION):
            await anyio.sleep(0.005)
        reaped = time.perf_counter() - ordered - fenced
        slow = await client.slowlog_get(128)
        stats = (await client.info("commandstats"))["cmdstat_evalsha"]
        figures = {
            "records": count, "built_s": round(built, 1), "fenced_ms": round(1000 * fenced, 2),
            "reaped_s": round(reaped, 2), "scripts_over_5_ms": len(slow), "scripts": stats["calls"], "scripts_s": round(stats["usec"] / 1e6, 2),
            "slowest_ms": max((entry["duration"] for entry in slow), default=0) / 1000,
            "journal_entries": await store.pipe.execute("XLEN", store.keys.channel(JOURNAL)),
            "sob": await store.accounts([SOB], "free") == {SOB: dict.fromkeys(KINDS, 10 ** 15)},
        }  # fmt: skip
        supervisor.stop.set()
        await anyio.sleep(0.1)
        figures["bare_deletion_s"] = round(await bare(client, count), 2)
        figures["ratio"] = round(reaped / float(figures["bare_deletion_s"]), 1)
        tasks.cancel_scope.cancel()
    return figures


async def bare(client: Any, count: int) -> float:
    """What deleting alone takes: as many hashes and mailboxes, gone in pipelines of the same size of step."""
    for start in range(0, count, 200):
        async with client.pipeline(transaction=False) as batch:
            for n in range(start, min(start + 200, count)):
                batch.hset(f"bare:agent:{n}", mapping={f"f{i}": "value" for i in range(18)})
                batch.hset(f"bare:ledger:{n}", mapping={f"f{i}": "1" for i in range(30)})
                batch.hset(f"bare:state:{n}", mapping={"p:a": "0-0", "p:b": "0-0"})
                batch.hset(f"bare:use:{n}", mapping={"model/**": "0"})
            await batch.execute()
    started = time.perf_counter()
    for start in range(0, count, 200):
        async with client.pipeline(transaction=False) as batch:
            for n in range(start, min(start + 200, count)):
                batch.unlink(*(f"bare:{what}:{n}" for what in ("agent", "ledger", "state", "use")))
            await batch.execute()
    return time.perf_counter() - started


async def main(count: int) -> None:
    with tempfile.TemporaryDirectory(prefix="swarmd-") as folder:
        async with EmbeddedServer(Path(folder)) as server:
            for name, value in (await cascade(server.socket, count)).items():
                print(f"{name:>20}  {value}")


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000))
