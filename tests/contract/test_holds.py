"""The holds that the scripts judge by: one hash of the swarm, written in the commit that writes the
record.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from swarmd.adapters.redis.codecs import hold_text
from swarmd.adapters.redis.store import RedisStore
from swarmd.core.model.changes import (
    AgentRestarted,
    AgentRestored,
    AgentSet,
    AgentSwept,
    CharterSet,
    RightsSet,
)
from swarmd.core.model.channels import ORDERS, up
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import Kind
from swarmd.core.model.names import OPERATOR, SOB, AgentId, AgentState, HostId, MissionId
from swarmd.core.model.refusals import Rule
from swarmd.ports.stores import Begun, RefusedByStore
from tests.contract.test_store import AT, H2, TOP, begin, hold, note, turn
from tests.contract.test_store import _staffed as staffed
from tests.core.swarm_builder import MISSION
from tests.runtime.test_supervisor import Stage, quiet, stage


async def held(store: RedisStore) -> dict[str, str]:
    return await store.session.hash_at(store.keys.holds)


async def recorded(store: RedisStore) -> dict[str, str]:
    """What the records of the living say."""
    ids = sorted(await store.pipe.execute("SMEMBERS", store.keys.agents))
    agents = await store.agents([AgentId(id) for id in ids])
    return {agent.id: hold_text(agent) for agent in agents if agent is not None}


def changes_of(agent: Agent) -> list[Any]:
    return [
        AgentSet(agent),
        RightsSet(agent),
        CharterSet(agent),
        AgentRestored(agent),
        AgentRestarted(agent, agent.id, ()),
    ]


@pytest.mark.parametrize("at", range(5))
async def test_whatever_changes_a_record_changes_its_hold(store: RedisStore, at: int) -> None:
    leader, top = await staffed(store)
    assert await held(store) == await recorded(store)
    moved = replace(top, host=H2, lease=2, incarnation=3, state=AgentState.FROZEN)
    await leader.do(changes_of(moved)[at])
    assert (await held(store))[TOP] == "frozen 3 2 h2" == hold_text(moved)
    assert await held(store) == await recorded(store)


async def test_a_former_holder_is_refused_by_the_hold_alone(store: RedisStore) -> None:
    leader, top = await staffed(store)
    await leader.do(AgentSet(replace(top, host=H2, lease=2)))
    said = turn(top, 1, (up(SOB), note(TOP)))
    for answer in (
        await store.begin(hold(top), begin(top, tokens=1), AT),
        await store.commit(hold(top), said, 32, AT),
    ):
        assert answer == RefusedByStore(Rule.LEASE, "held by h2")


async def test_an_agent_without_a_hold_does_nothing(store: RedisStore) -> None:
    leader, top = await staffed(store)
    assert isinstance(await store.begin(hold(top), begin(top, tokens=1), AT), Begun)
    await store.pipe.execute("DEL", store.keys.holds)
    for answer in (
        await store.begin(hold(top), begin(top, 2, tokens=1), AT),
        await store.commit(hold(top), turn(top, 1), 32, AT),
    ):
        assert isinstance(answer, RefusedByStore)
        assert answer.rule is Rule.UNKNOWN_AGENT
    await leader.do(AgentRestored(top))
    assert await store.commit(hold(top), turn(top, 1), 32, AT) == "done"


@pytest.mark.parametrize("text", ["", "live", "live 1 1", "live one 1 h1", "1 1 h1"])
async def test_garbage_for_a_hold_is_none(store: RedisStore, text: str) -> None:
    _, top = await staffed(store)
    await store.pipe.execute("HSET", store.keys.holds, TOP, text)
    answer = await store.commit(hold(top), turn(top, 1), 32, AT)
    assert isinstance(answer, RefusedByStore)
    assert answer.rule is Rule.UNKNOWN_AGENT


async def test_what_is_swept_has_no_hold(store: RedisStore) -> None:
    leader, _ = await staffed(store)
    await store.pipe.execute("HSET", store.keys.holds, "a-ghost", "live 1 1 h1")
    await leader.do(AgentSwept(AgentId("a-ghost")))
    assert await held(store) == await recorded(store)


@pytest.fixture
async def on(socket: str | None, namespace: str) -> AsyncIterator[Stage]:
    async with stage(namespace, socket=socket) as opened:
        yield opened


async def test_holds_are_those_of_the_living_through_a_mission_and_its_end(on: Stage) -> None:
    on.silent = {MissionId(MISSION)}
    await on.submit()
    await on.run()
    living = {agent.id for agent in on.sup.state.executives(MissionId(MISSION))}
    assert living
    assert living < (await held(on.store)).keys()
    assert await held(on.store) == await recorded(on.store)
    assert {HostId(text.split(" ")[3]) for text in (await held(on.store)).values()} >= {"h1"}
    await on.post(OPERATOR, ORDERS, Kind.ORDER, order="o1", verb="terminate", target=MISSION)
    await quiet(on, 8)
    assert not living & (await held(on.store)).keys()
    assert await held(on.store) == await recorded(on.store)
