"""The supervisor's changes as the plan of one atomic step (`scripts/supervise.lua`)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, assert_never

from swarmd.adapters.redis.codecs import (
    agent_fields,
    charter_fields,
    mission_fields,
    moving_fields,
    rights_fields,
)
from swarmd.adapters.redis.keys import Keys
from swarmd.adapters.redis.plan import (
    Plan,
    delete_channels,
    drop_rows_of,
    journals_of,
    set_agent,
    set_row,
    set_use,
    show_task,
)
from swarmd.adapters.redis.repair_plan import repair
from swarmd.core.bus.envelope import Sealed, Sealer, followed_since
from swarmd.core.model.changes import (
    AccountChange,
    AccountCleared,
    AccountClosed,
    AccountFunded,
    AccountOpened,
    AgentAdopted,
    AgentChange,
    AgentMade,
    AgentReaped,
    AgentRestarted,
    AgentSet,
    Change,
    ChannelChange,
    CharterSet,
    EntriesCounted,
    HeadSet,
    HostGone,
    MessageRecalled,
    MissionChange,
    MissionClosed,
    MissionSet,
    PeriodTurned,
    Post,
    ReaderLed,
    Repair,
    RightsSet,
    Row,
)
from swarmd.core.model.channels import down, host_channel, inbox, up
from swarmd.core.model.charter import KINDS
from swarmd.core.model.lineage import Agent
from swarmd.core.model.names import FIRST, Channel
from swarmd.core.model.row_texts import task_begun, task_words


def plan(keys: Keys, sealer: Sealer, changes: Iterable[Change]) -> Plan:
    made = Plan(keys, sealer, sealer.number())
    for change in changes:
        _add(made, change)
    return made


def _add(plan: Plan, change: Change) -> None:
    if isinstance(change, Row):
        set_row(plan, change)
    elif isinstance(change, AgentChange):
        _change_agent(plan, change)
    elif isinstance(change, AccountChange):
        _change_account(plan, change)
    elif isinstance(change, MissionChange):
        _change_mission(plan, change)
    elif isinstance(change, ChannelChange):
        _change_channel(plan, change)
    elif isinstance(change, Repair):
        repair(plan, change)
    else:
        assert_never(change)


def _change_agent(plan: Plan, change: AgentChange) -> None:
    match change:
        case AgentMade():
            _agent_made(plan, change)
        case AgentSet(agent):
            set_agent(plan, agent, moving_fields(agent))
        case RightsSet(agent):
            set_agent(plan, agent, [*moving_fields(agent), *rights_fields(agent)])
            plan.do("del", plan.keys.use(agent.id))
            set_use(plan, agent)
        case CharterSet(agent):
            set_agent(plan, agent, [*moving_fields(agent), *charter_fields(agent)])
            _set_task(plan, agent)
        case AgentAdopted():
            _agent_adopted(plan, change)
        case AgentRestarted():
            _agent_restarted(plan, change)
        case AgentReaped():
            _agent_reaped(plan, change)
        case HostGone():
            _host_gone(plan, change)
        case _:
            assert_never(change)


def _host_gone(plan: Plan, change: HostGone) -> None:
    plan.do("srem", plan.keys.hosts, [change.host])
    if change.forget_at:
        plan.do("zadd", plan.keys.ended, change.forget_at, f"host:{change.host}")
    else:
        delete_channels(plan, [host_channel(change.host)])


def _change_account(plan: Plan, change: AccountChange) -> None:
    keys = plan.keys
    match change:
        case AccountOpened(id, parent, caps, own_slot):
            _carve(plan, "open", id, parent, {k: caps.get(k, 0) for k in KINDS}, own_slot)
        case AccountClosed(id, parent, journals, warn_percent):
            above, steps = plan.number(keys.ledger(parent)), journals_of(plan, journals)
            plan.do("close", keys.ledger(id), above, id, parent, steps, warn_percent)
        case AccountFunded(id, parent, amounts):
            _carve(plan, "fund", id, parent, amounts)
        case AccountCleared(id):
            plan.do("hdel", keys.ledger(id), ["overdrawn"])
        case PeriodTurned(id, period):
            plan.do("period", keys.ledger(id), id, period)
        case _:
            assert_never(change)


def _change_mission(plan: Plan, change: MissionChange) -> None:
    mission, keys = change.mission, plan.keys
    plan.join("hset", keys.mission(mission.id), mission_fields(mission))
    match change:
        case MissionSet():
            plan.join("sadd", keys.missions, [mission.id])
            # One that was turned away may come again: it is not to be forgotten when that one would
            # have been.
            plan.do("zrem", keys.ended, [f"mission:{mission.id}"])
        case MissionClosed(_, forget_at):
            plan.do("srem", keys.missions, [mission.id])
            plan.do("zadd", keys.ended, forget_at, f"mission:{mission.id}")
            drop_rows_of(plan, mission.id)
        case _:
            assert_never(change)


def _change_channel(plan: Plan, change: ChannelChange) -> None:
    keys = plan.keys
    match change:
        case Post(channel, message, line):
            _post(plan, channel, plan.sealer(channel, message, line))
        case MessageRecalled(channel, id):
            plan.do("xdel", keys.channel(channel), id)
        case ReaderLed(agent, channel, until):
            plan.do("lead", keys.state(agent), f"p:{channel}", until)
        case EntriesCounted(channel, count):
            plan.do("count", plan.keys.channel(channel), channel, count)
        case HeadSet(head):
            plan.join("hset", keys.head, ["n", str(head.n), "hash", head.hash, "after", head.after])
        case _:
            assert_never(change)


def _post(plan: Plan, channel: Channel, sealed: Sealed) -> None:
    preview = plan.put(sealed.preview) if sealed.preview else False
    plan.do("post", plan.keys.channel(channel), channel, plan.put(sealed.line), preview)


def _agent_made(plan: Plan, change: AgentMade) -> None:
    agent, keys = change.agent, plan.keys
    set_agent(plan, agent, agent_fields(agent))
    plan.join("sadd", keys.agents, [agent.id])
    set_use(plan, agent)
    _set_task(plan, agent, is_new=True)
    if agent.parent is not None:
        plan.join("sadd", keys.children(agent.parent), [agent.id])
    # Its own from the beginning: nobody could say anything there before.
    own = [channel for channel in change.follows if channel in (inbox(agent.id), up(agent.id))]
    if own:
        plan.join("hset", keys.state(agent.id), [word for c in own for word in (f"p:{c}", FIRST)])
    _follow(plan, agent, [channel for channel in change.follows if channel not in own], is_new=True)


def _set_task(plan: Plan, agent: Agent, *, is_new: bool = False) -> None:
    """The charter as people look at it; what becomes of it follows from the table of tasks."""
    if agent.charter is not None:
        shown = {**(task_begun(agent) if is_new else {}), **task_words(agent.charter)}
        show_task(plan, agent.id, shown)


def _follow(
    plan: Plan, agent: Agent, channels: Collection[Channel], *, is_new: bool = False
) -> None:
    """From what is said after now; what it followed before goes on from where it was."""
    places = []
    for channel in channels:
        mark, since = followed_since(channel, plan.since)
        places.append([f"p:{channel}", plan.number(plan.keys.channel(channel)), f"h:{mark}", since])
    if places:
        plan.do("follow", plan.keys.state(agent.id), is_new, places)


def _agent_adopted(plan: Plan, change: AgentAdopted) -> None:
    agent, keys = change.agent, plan.keys
    assert agent.parent is not None
    set_agent(plan, agent, moving_fields(agent))
    plan.join("sadd", keys.children(agent.parent), [agent.id])
    plan.do("srem", keys.children(change.former), [agent.id])
    plan.do("hdel", keys.state(agent.id), [f"p:{down(change.former)}"])
    former = plan.number(keys.ledger(change.former))
    plan.do("adopt", keys.ledger(agent.id), former, agent.id, change.former, change.account_above)
    _follow(plan, agent, change.follows)


def _agent_restarted(plan: Plan, change: AgentRestarted) -> None:
    agent, keys = change.agent, plan.keys
    set_agent(plan, agent, moving_fields(agent))
    steps = plan.number(keys.steps(agent.id))
    plan.do("settle", keys.ledger(change.account), change.account, steps, agent.id)
    plan.do("del", keys.steps(agent.id))
    # What it has heard stays, and how far it has read: a new life is not to be told the old one's
    # mail once more, and what the old one had not come to is not lost with it.
    plan.do("clear", keys.state(agent.id), ["h:", "p:"])
    _follow(plan, agent, change.follows)


def _agent_reaped(plan: Plan, change: AgentReaped) -> None:
    """One step for all that are reaped one after the other."""
    agent, keys = change.record, plan.keys
    same = [
        plan.number(keys.agents),
        plan.number(keys.ended),
        plan.number(keys.holds),
        keys.prefix,
        agent.ended,
    ]
    step = ["reap", *same, change.forget_at]
    if not plan.steps or plan.steps[-1][:-1] != step:
        plan.steps.append([*step, []])
    plan.steps[-1][-1].append([agent.id, change.account_above, agent.reason])


def _carve(
    plan: Plan, verb: str, id: str, above: str, amounts: Mapping[str, int], *more: Any
) -> None:
    """An account is opened or funded of another's free, which must still be there when the step
    is done.
    """
    parent = plan.number(plan.keys.ledger(above)) if above else None
    for kind, amount in amounts.items():
        if parent is not None and amount:
            need = (parent, f"{kind}.free")
            plan.needs[need] = plan.needs.get(need, 0) + amount
    caps = [[kind, amount] for kind, amount in amounts.items()]
    plan.do(verb, plan.keys.ledger(id), parent or False, id, above, caps, *more)
