"""The supervisor's changes as the plan of one atomic step (`scripts/supervise.lua`)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, assert_never

from swarmd.adapters.redis.keys import Keys
from swarmd.adapters.redis.records import (
    agent_fields,
    fence_text,
    mission_fields,
    moving_fields,
    report_text,
)
from swarmd.core.names import Channel, StreamId, down, host_channel, inbox, up
from swarmd.core.swarm import (
    KINDS,
    AccountClosed,
    AccountOpened,
    AgentMade,
    AgentReaped,
    AgentSet,
    BoardSet,
    Change,
    FenceLifted,
    FenceSet,
    HostGone,
    MissionClosed,
    MissionSet,
    Post,
    ReportSet,
)

_FIXED_KEYS = 5


@dataclass(slots=True)
class Plan:
    """Keys by number, steps in order, and what accounts must have free for it."""

    keys: Keys
    names: list[str] = field(default_factory=list)
    steps: list[list[Any]] = field(default_factory=list)
    needs: dict[tuple[int, str], int] = field(default_factory=dict)
    _numbers: dict[str, int] = field(default_factory=dict)

    def number(self, key: str) -> int:
        """The key's place in KEYS, from 1."""
        if key not in self._numbers:
            self.names.append(key)
            self._numbers[key] = _FIXED_KEYS + len(self.names)
        return self._numbers[key]

    def do(self, verb: str, key: str, *rest: Any) -> None:
        self.steps.append([verb, self.number(key), *rest])

    def text(self, positions: Mapping[Channel, StreamId]) -> str:
        needs = [[key, name, amount] for (key, name), amount in self.needs.items()]
        # An empty Lua table is an array to cjson either way.
        return json.dumps(
            {"positions": positions, "needs": needs, "steps": self.steps},
            ensure_ascii=False,
            separators=(",", ":"),
        )


def plan(keys: Keys, changes: Iterable[Change]) -> Plan:
    made = Plan(keys)
    for change in changes:
        _add(made, change)
    return made


def _add(plan: Plan, change: Change) -> None:  # noqa: PLR0912 - one row for each kind of change
    keys = plan.keys
    match change:
        case AgentMade():
            _agent_made(plan, change)
        case AgentSet(agent):
            plan.do("hset", keys.agent(agent.id), moving_fields(agent))
        case AgentReaped():
            _agent_reaped(plan, change)
        case AccountOpened():
            _account_opened(plan, change)
        case AccountClosed(account, parent, journals):
            numbers = [plan.number(keys.steps(id)) for id in journals]
            plan.do("close", keys.ledger(account), plan.number(keys.ledger(parent)), account, numbers)
        case FenceSet(fence):
            plan.do("hset", keys.fences, [fence.segment, fence_text(fence)])
        case FenceLifted(segment):
            plan.do("hdel", keys.fences, [segment])
        case MissionSet(mission):
            plan.do("hset", keys.mission(mission.id), mission_fields(mission))
            plan.do("sadd", keys.missions, [mission.id])
        case MissionClosed(mission, forget_at):
            plan.do("hset", keys.mission(mission.id), mission_fields(mission))
            plan.do("srem", keys.missions, [mission.id])
            plan.do("zadd", keys.ended, forget_at, f"mission:{mission.id}")
            for key in (keys.board(mission.id), keys.reports(mission.id)):
                plan.do("del", key)
        case BoardSet(mission, procedure):
            plan.do("set", keys.board(mission), procedure.to_json())
        case ReportSet(mission, report):
            plan.do("hset", keys.reports(mission), [report.agent, report_text(report)])
        case HostGone(host):
            plan.do("srem", keys.hosts, [host])
            _delete_channels(plan, [host_channel(host)])
        case Post(channel, message):
            plan.do("post", keys.channel(channel), channel, message.ring_body(channel), message.fields())
        case _:
            assert_never(change)


def _agent_made(plan: Plan, change: AgentMade) -> None:
    agent, keys = change.agent, plan.keys
    plan.do("hset", keys.agent(agent.id), agent_fields(agent))
    plan.do("sadd", keys.agents, [agent.id])
    if agent.privileges:
        plan.do("sadd", keys.use(agent.id), list(agent.privileges))
    if agent.parent is not None:
        plan.do("sadd", keys.children(agent.parent), [agent.id])
    for channel in change.follows:
        # Its own inbox from the beginning; all else from what is said after it was made.
        start = "first" if channel in (inbox(agent.id), up(agent.id)) else "now"
        plan.do("follow", keys.state(agent.id), f"p:{channel}", plan.number(keys.channel(channel)), start)


def _agent_reaped(plan: Plan, change: AgentReaped) -> None:
    agent, keys = change.record, plan.keys
    plan.do("hset", keys.agent(agent.id), moving_fields(agent))
    plan.do("srem", keys.agents, [agent.id])
    plan.do("zadd", keys.ended, change.forget_at, f"agent:{agent.id}")
    for key in (keys.state(agent.id), keys.steps(agent.id), keys.use(agent.id)):
        plan.do("del", key)
    _delete_channels(plan, [inbox(agent.id), down(agent.id), up(agent.id)])


def _delete_channels(plan: Plan, channels: list[Channel]) -> None:
    for channel in channels:
        plan.do("del", plan.keys.channel(channel))
    plan.do("zrem", plan.keys.heads, list(channels))


def _account_opened(plan: Plan, change: AccountOpened) -> None:
    keys = plan.keys
    pairs: list[str] = []
    for kind in KINDS:
        cap = change.caps[kind]
        own = 1 if kind == "agents" and change.own_slot else 0
        amounts = {"cap": cap, "free": cap - own, "reserved": own, "granted": 0, "spent": 0, "overdraft": 0}
        for amount, value in amounts.items():
            pairs += [f"{kind}.{amount}", str(value)]
        if change.parent and cap:
            parent = plan.number(keys.ledger(change.parent))
            need = (parent, f"{kind}.free")
            plan.needs[need] = plan.needs.get(need, 0) + cap
            plan.do("incr", keys.ledger(change.parent), f"{kind}.free", -cap)
            plan.do("incr", keys.ledger(change.parent), f"{kind}.granted", cap)
    plan.do("hset", keys.ledger(change.id), pairs)
