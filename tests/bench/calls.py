"""Whole turns of several model calls over HTTP: as `turns`, with the model behind an endpoint that
answers at once.

Every call but a turn's last asks for a function, so for each two calls there are two steps of the
journal more.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import anyio

from swarmd.adapters.models.openai.model import OpenAIModel
from swarmd.adapters.models.prices import tariff_of
from swarmd.core.model.channels import inbox
from swarmd.core.model.declarations import Models, Provider
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import SUPERVISOR, AgentId
from swarmd.core.model.timings import stamp_of
from swarmd.runtime.mailboxes import Resident
from swarmd.runtime.turn.turn import take_turn
from swarmd.runtime.turn.world import World
from tests.bench.endpoint import asked, endpoint
from tests.bench.loops import KEY, UNDER_WAY, figures, turns_of
from tests.bench.swarm import Bench, bench, until_hosted


async def turns_of_calls(socket: Path, namespace: str, calls: int) -> dict[str, float]:
    """One turn of so many calls for each agent, as many under way at a time as in the other
    loops.
    """
    with endpoint() as url:
        name = f"moves-{calls}"
        provider = Provider(actions="tools", calls_per_minute=1_000_000, calls_at_once=UNDER_WAY)
        tariff = tariff_of(f"openai:{name}", url, Models())
        model = OpenAIModel(name, base_url=url, api_key=KEY, provider=provider, tariff=tariff)
        async with bench(socket, namespace) as here:
            found = await _measured(_for_long_turns(here), model, url, turns_of(calls))
        await model.aclose()
    return found


def _for_long_turns(here: Bench) -> Bench:
    limits = here.declared.limits.model_copy(
        update={"thoughts_max": 200, "turns_at_once": UNDER_WAY}
    )
    return replace(here, declared=replace(here.declared, limits=limits))


async def _measured(here: Bench, model: OpenAIModel, url: str, turns: int) -> dict[str, float]:
    stop, left, warm, done = anyio.Event(), turns + 1, anyio.Event(), anyio.Event()

    async def counted(world: World, resident: Resident) -> None:
        nonlocal left
        await take_turn(world, resident)
        left -= 1
        warm.set()
        if left == 0:
            done.set()

    async with anyio.create_task_group() as tasks:
        first, *others = await here.make_agents(turns + 1)
        worker = here.worker(stop, model=model, answer=counted)
        tasks.start_soon(worker.run)
        await until_hosted(worker, turns + 1)
        await _wake(here, first.id)
        await warm.wait()
        before, processor, started = asked(url), time.process_time(), time.perf_counter()
        for agent in others:
            await _wake(here, agent.id)
        with anyio.fail_after(50):
            await done.wait()
        cpu, seconds = time.process_time() - processor, time.perf_counter() - started
        stop.set()
    return figures(asked(url) - before, cpu, seconds)


async def _wake(here: Bench, agent: AgentId) -> None:
    at = stamp_of(time.time())
    message = Message(sender=SUPERVISOR, to=agent, kind=Kind.NOTICE, at=at, text="go on")
    await here.store.post(inbox(agent), message)
