"""Repairs as steps of a plan: the store is given back what memory holds, or loses what nobody
made.
"""

from __future__ import annotations

from typing import assert_never

from swarmd.adapters.redis.codecs import agent_fields
from swarmd.adapters.redis.keys import type_of
from swarmd.adapters.redis.plan import (
    Plan,
    delete_channels,
    drop_rows_of,
    journals_of,
    set_agent,
    set_use,
)
from swarmd.core.bus.foreign import is_counted
from swarmd.core.model.changes import (
    AccountMended,
    AgentRestored,
    AgentSwept,
    ChannelForgotten,
    KeySwept,
    MissionSwept,
    RecordSwept,
    Repair,
    ReservesSettled,
    SchemaStamped,
)
from swarmd.core.model.channels import down, inbox, up
from swarmd.core.model.lineage import Agent
from swarmd.core.model.names import AgentId, Channel, MissionId
from swarmd.core.model.tables import TROUBLES
from swarmd.core.model.versions import SCHEMA


def repair(plan: Plan, change: Repair) -> None:
    keys = plan.keys
    match change:
        case AgentRestored(agent):
            _agent_restored(plan, agent)
        case AgentSwept(id):
            _agent_swept(plan, id)
        case MissionSwept(id):
            plan.do("srem", keys.missions, [id])
            drop_rows_of(plan, id)
        case RecordSwept(id):
            _record_swept(plan, id)
        case KeySwept(name):
            _key_swept(plan, name)
        case AccountMended() | ReservesSettled():
            _mend_account(plan, change)
        case ChannelForgotten(channel):
            plan.do("forget", keys.channel(channel), channel)
        case SchemaStamped():
            plan.join("hset", keys.meta, ["schema", SCHEMA])
        case _:
            assert_never(change)


def _mend_account(plan: Plan, change: AccountMended | ReservesSettled) -> None:
    account = plan.keys.ledger(change.id)
    if isinstance(change, AccountMended):
        plan.do("mend", account, [[name, n] for name, n in change.off.items()])
    else:
        # What a mission lends to its agents' calls stands beside the journals of the seats.
        lent = [plan.number(plan.keys.lent(change.id)), change.id]
        plan.do("assume", account, change.id, [*journals_of(plan, change.journals), lent])


def _record_swept(plan: Plan, id: str) -> None:
    keys = plan.keys
    agent, mission = AgentId(id), MissionId(id)
    made_up = [keys.agent(agent), keys.children(agent), keys.mission(mission), keys.ledger(id)]
    ended = [f"agent:{id}", f"mission:{id}"]
    plan.do("disown", keys.ended, ended, [plan.number(key) for key in made_up])
    plan.do("hdel", keys.rows(TROUBLES), [id])


def _key_swept(plan: Plan, name: str) -> None:
    if type_of(name):
        aside = plan.number(plan.keys.set_aside(f"{plan.since}:{name}"))
        channel = Channel(name)
        counted = channel if is_counted(channel) else False
        plan.do("retype", plan.keys.channel(channel), type_of(name), aside, counted)


def _agent_restored(plan: Plan, agent: Agent) -> None:
    keys = plan.keys
    set_agent(plan, agent, agent_fields(agent))
    plan.join("sadd", keys.agents, [agent.id])
    plan.do("del", keys.use(agent.id))
    set_use(plan, agent)
    if agent.parent is not None:
        plan.join("sadd", keys.children(agent.parent), [agent.id])


def _agent_swept(plan: Plan, id: AgentId) -> None:
    keys = plan.keys
    plan.do("srem", keys.agents, [id])
    plan.do("hdel", keys.holds, [id])
    for key in (keys.state(id), keys.steps(id), keys.use(id)):
        plan.do("del", key)
    delete_channels(plan, [inbox(id), down(id), up(id)])
