"""A ring of agents in one worker: each delivered message causes one post, to the next agent's
inbox.

The path is swarmd's own: rings, mailboxes, one commit with positions, outputs, fence, incarnation
and lease for each turn. Only the mind is the cheapest there is: it answers every message with one.
"""

from __future__ import annotations

import time
from pathlib import Path

import anyio

from swarmd.core.model.channels import inbox
from swarmd.core.model.lineage import stop_fields
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import SUPERVISOR, AgentId
from swarmd.core.model.timings import stamp_of
from swarmd.ports.stores import Turn
from swarmd.runtime.mailboxes import Resident
from swarmd.runtime.turn.world import World
from tests.bench.gauge import Gauge, body
from tests.bench.swarm import bench, until_hosted

AGENTS = 100
# The bench is the loop that hops are there to cut; the comparison is made all the same.
_HOPS_MAX = 10**9


async def ring(socket: Path, namespace: str, total: int, under_way: int) -> dict[str, float]:
    gauge = Gauge(total, under_way)
    async with bench(socket, namespace) as here, anyio.create_task_group() as tasks:
        agents = await here.make_agents(AGENTS)
        following = {agent.id: agents[(n + 1) % AGENTS].id for n, agent in enumerate(agents)}

        async def pass_on(world: World, resident: Resident) -> None:
            mail = resident.mailbox or []
            me = resident.agent
            outputs = []
            for message in mail:
                if gauge.delivered(message.text):
                    channel = inbox(following[me.id])
                    outputs.append(
                        (
                            channel,
                            _message(me.id, following[me.id], world.stamp(), message.hops + 1),
                        )
                    )
            turn = Turn(
                resident.turn + 1,
                me.path,
                stop_fields(me),
                {},
                resident.seen,
                {},
                tuple(outputs),
                max((m.hops for m in mail), default=0) + 1,
            )
            resident.mailbox = None
            reply = await world.store.commit(resident.hold, turn, _HOPS_MAX, world.stamp())
            assert reply == "done", reply
            resident.turn = turn.number

        stop = anyio.Event()
        worker = here.worker(stop, answer=pass_on)
        tasks.start_soon(worker.run)
        await until_hosted(worker, AGENTS)
        for n in range(under_way):
            to = agents[n % AGENTS].id
            await here.store.post(inbox(to), _message(SUPERVISOR, to, stamp_of(time.time()), 0))
        await gauge.done.wait()
        stop.set()
    return gauge.figures()


def _message(sender: AgentId, to: AgentId, at: str, hops: int) -> Message:
    return Message(
        sender=sender, to=to, kind=Kind.SAY, at=at, text=body(), hops=hops, incarnation=1
    )
