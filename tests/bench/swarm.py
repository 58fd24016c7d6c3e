"""A small real swarm for measuring: the store on the embedded server, agents made by the
supervisor's own commit, a worker with its real rings. Only what answers an agent's mail differs
from case to case.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import anyio

from swarmd.adapters.config import loader as declarations
from swarmd.adapters.redis.connection.connection import dial
from swarmd.adapters.redis.connection.pubsub import Bell
from swarmd.adapters.redis.store import RedisStore
from swarmd.core.journal.entries import chained
from swarmd.core.model.changes import AccountOpened, AgentMade, Change, MissionSet, Post
from swarmd.core.model.channels import host_channel
from swarmd.core.model.charter import Charter
from swarmd.core.model.declarations import Declarations
from swarmd.core.model.lineage import Agent, follows
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import (
    SOB,
    SUPERVISOR,
    AgentId,
    AgentState,
    HostId,
    MissionId,
    MissionState,
)
from swarmd.core.model.records import Host, Mission
from swarmd.core.model.state import Swarm
from swarmd.core.model.timings import Moment, stamp_of
from swarmd.ports.models import Model
from swarmd.runtime.mailboxes import Resident
from swarmd.runtime.turn.functions import built_in
from swarmd.runtime.turn.model_call import Mind
from swarmd.runtime.turn.turn import take_turn
from swarmd.runtime.turn.world import World
from swarmd.runtime.worker.worker import Worker

SECRET: Final = b"what the processes of these benches hold"
HOST: Final = HostId("h-bench")
MISSION: Final = MissionId("m-bench")
_ROLE: Final = "executive"
# Agents of one commit of the supervisor's: its script stays under some milliseconds.
_MADE_AT_ONCE: Final = 50
_CAPS: Final = {"tokens": 10**12, "cost": 10**12, "calls": 10**9, "tools": 10**9, "agents": 10**6}


@dataclass(frozen=True, slots=True)
class Bench:
    """What a case works with."""

    store: RedisStore
    bell: Bell
    declared: Declarations

    async def make_agents(self, count: int, hosts: Sequence[HostId] = (HOST,)) -> tuple[Agent, ...]:
        """Executives of one mission, live and placed on these hosts in turn, with accounts,
        rights and first positions.
        """
        number = await self.store.lead(HOST, 3_600)
        mission = Mission(
            id=MISSION,
            text="measure",
            state=MissionState.WORKING,
            budget=_CAPS,
            created=stamp_of(time.time()),
            deadline=time.time() + 86_400,
        )
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
        )
        top = AccountOpened(
            SOB, "", {kind: 10 * cap for kind, cap in _CAPS.items()}, own_slot=False
        )
        agents = tuple(_agent(n, hosts[n % len(hosts)]) for n in range(count))
        # What a commit carves an account from must be there before it: each line is a commit of its
        # own.
        commits: list[list[Change]] = [
            [AgentMade(board, ()), top],
            [AccountOpened(MISSION, SOB, _CAPS, own_slot=False), MissionSet(mission)],
        ]
        for start in range(0, count, _MADE_AT_ONCE):
            made = agents[start : start + _MADE_AT_ONCE]
            commits.append(
                [*(change for agent in made for change in self._made(agent, count)), *_placed(made)]
            )
        await commit_all(self.store, f"{number}:{HOST}", commits, self.declared)
        await self.store.step_down(HOST, number)
        return agents

    def _made(self, agent: Agent, count: int) -> tuple[Change, ...]:
        share = {kind: cap // count for kind, cap in _CAPS.items()}
        made = AgentMade(agent, follows(agent, self.declared.rooms))
        return made, AccountOpened(agent.id, MISSION, share, own_slot=True)

    def worker(
        self,
        stop: anyio.Event,
        *,
        model: Model | None = None,
        host: HostId = HOST,
        answer: Callable[[World, Resident], Awaitable[None]] = take_turn,
    ) -> Worker:
        """The worker of a host. Without `answer` it takes whole turns, with `model` for every
        thought.
        """

        async def mind(_spec: str) -> Mind:
            assert model is not None
            return Mind(model, self.declared.models.provider("bench"))

        world = World(
            self.store,
            self.declared,
            built_in(self.store, None),
            mind,
            lambda: stamp_of(time.time()),
        )
        return Worker(world, Host(host, 100_000, ""), self.bell.line(), stop, answer=answer)


async def commit_all(
    store: RedisStore, token: str, commits: Iterable[Sequence[Change]], declared: Declarations
) -> None:
    """From the beginning of the swarm, with the journal that goes with it."""
    swarm, now = Swarm(declared), time.time()
    for seq, changes in enumerate(commits, start=1):
        linked = chained(swarm, changes, Moment(now, stamp_of(now), iter(())))
        assert await store.commit_changes(token, seq, linked, {}) == "done", seq


@asynccontextmanager
async def bench(socket: Path, namespace: str) -> AsyncIterator[Bench]:
    async with AsyncExitStack() as stack:
        way = dial(socket)
        store = RedisStore(way, namespace, SECRET)
        tasks = await stack.enter_async_context(anyio.create_task_group())
        stack.callback(tasks.cancel_scope.cancel)
        tasks.start_soon(store.pipe.run)
        bell = Bell(way, store.keys)
        tasks.start_soon(bell.run)
        yield Bench(store, bell, declarations.load(None, None))


async def until_hosted(worker: Worker, count: int) -> None:
    """Until the worker hosts so many agents; it may take a second of waiting for the first look
    around.
    """
    with anyio.fail_after(60 + count / 500):
        while len(worker.residents) < count or worker.residents.has_changes:
            await anyio.sleep(0.01)


def unbounded(declared: Declarations) -> Declarations:
    """The law as declared, with bounds out of the way that are there to stop just what is
    measured.
    """
    bounds = {"children_max": 1_000, "agents_max": 1_000_000, "spawns_per_minute": 1_000_000}
    return replace(declared, limits=declared.limits.model_copy(update=bounds))


def _agent(number: int, host: HostId) -> Agent:
    id = AgentId(f"a-bench{number:06d}")
    charter = Charter(role=_ROLE, name=f"agent{number}", task="pass on what comes")
    rights = ("model/**", "tool/**", "room/**", "file/**", "spawn/**")
    return Agent(
        id=id,
        name=charter.name,
        role=_ROLE,
        tier=1,
        parent=SOB,
        path=(SOB, "@owner", MISSION, id),
        mission=MISSION,
        state=AgentState.LIVE,
        host=host,
        lease=1,
        created=stamp_of(time.time()),
        charter=charter,
        privileges=rights,
        grants=rights,
    )


def _placed(agents: Sequence[Agent]) -> list[Post]:
    def word(host: HostId) -> Message:
        ids = [agent.id for agent in agents if agent.host == host]
        return Message(
            sender=SUPERVISOR, kind=Kind.PLACED, at=stamp_of(time.time()), data={"agents": ids}
        )

    return [
        Post(host_channel(host), word(host)) for host in sorted({agent.host for agent in agents})
    ]
