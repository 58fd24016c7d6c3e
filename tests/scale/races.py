"""Agents ask for children while the tree that they stand in is ended: who survives, and what each
was told.

    python -m tests.scale.races [REQUESTS [AGENTS]]      default 10,000 of 1,000

The requests are under way at once; the order to end comes in the midst of them. Then the same
agents begin calls as fast as they can, and the tree is ended, or a right is taken from its root:
the last begin must not be later than the mark.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

import anyio
import structlog

from swarmd.core.model.channels import JOURNAL, REQUESTS
from swarmd.core.model.charter import Charter
from swarmd.core.model.lineage import Agent, stop_fields
from swarmd.core.model.messages import Kind, Message, order_of
from swarmd.core.model.names import FIRST, AgentId, HostId, StreamId
from swarmd.core.model.privileges import sufficient
from swarmd.core.model.records import Host
from swarmd.core.model.requests import SpawnRequest
from swarmd.core.model.timings import stamp_of
from swarmd.ports.stores import Begin, Begun, EndedBefore, Hold, RefusedByStore, Used
from tests.scale.ground import MISSION, Ground, build, ground, told

ASKED: Final = 10_000
AGENTS: Final = 1_000
CALLERS: Final = 200
CALLS_SECONDS: Final = 1.0
_SEATS: Final = 6
_HERE: Final = HostId("h-marks")
_AMOUNTS: Final = {"tokens": 10, "calls": 1}


async def spawns(asked: int, agents: int) -> tuple[dict[str, Any], dict[str, bool]]:
    async with ground() as here:
        tree = await build(here.store, agents)
        await here.lead()
        midst = anyio.Event()

        async def ask(number: int) -> None:
            await here.store.post(REQUESTS, _request(tree[number % len(tree)], number))
            if number == asked // 2:
                midst.set()

        started = time.perf_counter()
        async with anyio.create_task_group() as asking:
            for number in range(asked):
                asking.start_soon(ask, number)
            await midst.wait()
            fenced, reaped = await here.ended()
        seconds = time.perf_counter() - started
        outcomes, untyped = await _outcomes(here, asked)
        left = await here.store.pipe.execute("SCARD", here.store.keys.agents)
        here.supervisor.stop.set()
        await asyncio.sleep(0.1)
    figures = {
        "requests": asked,
        "agents before": agents,
        "seconds": round(seconds, 2),
        "fenced_ms": round(1e3 * fenced, 2),
        "reaped_s": round(reaped, 2),
        **outcomes,
        "survivors": left - 1 - _SEATS,
    }
    return figures, {
        "nobody survived": left == 1 + _SEATS,
        "each request was answered": outcomes.total() == asked,
        "each refusal names its rule": untyped == 0,
    }


async def _outcomes(here: Ground, asked: int) -> tuple[Counter[str], int]:
    """Of each request what the journal says of it, by rule; and how many refusals name none."""
    outcomes: Counter[str] = Counter()
    untyped, position = 0, FIRST
    with anyio.fail_after(120):
        while outcomes.total() < asked:
            entries = await here.store.read(JOURNAL, position, 500)
            for message in entries:
                position = message.id
                event = message.data["event"]
                if event == "agent.spawned":
                    outcomes["spawned"] += 1
                elif event == "request.refused" and message.data.get("type") == "spawn":
                    rule = message.data.get("rule", "")
                    outcomes[f"refused: {rule}"] += 1
                    untyped += not rule
            if not entries:
                await anyio.sleep(0.05)
    return outcomes, untyped


def _request(parent: Agent, number: int) -> Message:
    charter = Charter(
        role="lead" if parent.tier < 2 else "researcher",
        name=f"r{number}",
        task="answer",
        budget={"tokens": 100, "cost": 100, "calls": 1, "tools": 1, "agents": 1},
    )
    return Message(
        sender=parent.id,
        kind=Kind.REQUEST,
        mission=MISSION,
        at=stamp_of(time.time()),
        text="spawn",
        incarnation=1,
        data=SpawnRequest(key=f"k{number}", charter=charter).model_dump(mode="json"),
    )


async def mark(verb: str, agents: int) -> tuple[dict[str, Any], dict[str, bool]]:
    """`cancel` sets a fence at the root, `revoke` a mark on a right there; calls of all below
    are under way.
    """
    async with ground() as here:
        tree = await build(here.store, agents)
        await here.store.register(Host(_HERE, 100_000, "scale"), 120)
        await here.lead()
        with anyio.fail_after(60):
            while here.supervisor.state.observed.homeless:
                await anyio.sleep(0.05)
        callers = [here.supervisor.state.lineage.agents[agent.id] for agent in tree[-CALLERS:]]
        begun: list[int] = []
        refused: Counter[str] = Counter()

        async def call(agent: Agent) -> None:
            hold = Hold(agent.id, agent.path, agent.incarnation, agent.lease, agent.host)
            step = 0
            while True:
                step += 1
                begin = Begin(
                    kind="model",
                    turn=1,
                    step=step,
                    account=agent.id,
                    segments=agent.path,
                    targets=stop_fields(agent),
                    privileges=(sufficient("model/scale"),),
                    amounts=_AMOUNTS,
                    batch="{}",
                )
                answer = await here.store.begin(hold, begin, stamp_of(time.time()))
                match answer:
                    case Begun():
                        begun.append(step)
                        used = Used(_AMOUNTS)
                        await here.store.end(hold, begin, "{}", used, 80, stamp_of(time.time()))
                    case RefusedByStore(rule):
                        refused[rule.value] += 1
                        return
                    case EndedBefore():
                        raise AssertionError(begin)

        async with anyio.create_task_group() as calling:
            for agent in callers:
                calling.start_soon(call, agent)
            await anyio.sleep(CALLS_SECONDS)
            if verb == "cancel":
                await here.order("cancel", MISSION)
            else:
                for executive in {agent.path[3] for agent in tree}:
                    await here.order(
                        "revoke", executive, privilege="model/**", order=f"o-{executive}"
                    )
        marks, late, counted = await _late(here, verb, {a.id: a.path for a in callers}, len(begun))
        here.supervisor.stop.set()
        await asyncio.sleep(0.1)
    rule = "fence.path" if verb == "cancel" else "privilege.revoked"
    figures = {
        "mark": verb,
        "callers": len(callers),
        "begun": len(begun),
        "begins found in the record": counted,
        "marks": marks,
        **refused,
    }
    return figures, {
        "the last begin is not later than the mark": late == 0,
        "each begin is in the record": counted == len(begun),
        "each caller was refused by the mark's rule": set(refused) == {rule}
        and refused.total() == len(callers),
    }


async def _late(
    here: Ground, verb: str, paths: Mapping[AgentId, tuple[str, ...]], begun: int
) -> tuple[int, int, int]:
    """How many marks there are, how many begins came after theirs, and how many begins the record
    has in all.

    A mark and the journal's entry of it are one step, and so are a begin and its fact: their ids
    are the server's clock.
    """
    event = "subtree.fenced" if verb == "cancel" else "privilege.revoked"
    marks: dict[str, StreamId] = {}
    begins: list[tuple[AgentId, StreamId]] = []
    position = FIRST
    with anyio.fail_after(60):
        while len(begins) < begun or not marks:
            entries = await here.store.read(JOURNAL, position, 500)
            for message in entries:
                position = message.id
                if message.data["event"] == event:
                    marks[str(message.data.get("segment") or message.data.get("agent"))] = (
                        message.id
                    )
                for fact in message.data.get("facts", ()):
                    if fact["fact"] == "reserve":
                        begins.append((AgentId(fact["agent"]), StreamId(fact["id"])))
            if not entries:
                await anyio.sleep(0.1)
    last: dict[str, tuple[int, int]] = {}
    for agent, id in begins:
        for segment in paths[agent]:
            last[segment] = max(last.get(segment, (0, 0)), order_of(id))
    late = sum(1 for segment, id in marks.items() if last.get(segment, (0, 0))[0] > order_of(id)[0])
    return len(marks), late, len(begins)


async def main(asked: int, agents: int) -> int:
    codes = [told("spawns against a cascade", *await spawns(asked, agents))]
    for verb in ("cancel", "revoke"):
        codes.append(told(f"calls against a mark: {verb}", *await mark(verb, agents)))
    return max(codes)


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    numbers = [int(word) for word in sys.argv[1:]]
    sys.exit(asyncio.run(main(*(numbers + [ASKED, AGENTS][len(numbers) :]))))
