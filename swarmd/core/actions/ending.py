"""Terminate and cancel: an agent, a mission or several are marked for their end. Pure."""

from __future__ import annotations

from typing import Any

from swarmd.core.actions.authority import (
    TIER_TARGET,
    find,
    is_group_target,
    outranked,
    overruled,
)
from swarmd.core.missions import queue
from swarmd.core.model.actions import Actor, Args, act_facts
from swarmd.core.model.lineage import EVERYTHING, Agent, Fence
from swarmd.core.model.names import (
    Authority,
    MissionId,
    MissionState,
)
from swarmd.core.model.records import Mission
from swarmd.core.model.refusals import Denied, Rule
from swarmd.core.model.state import Draft, Swarm
from swarmd.core.tree.fence import decide_terminate, fence


def end_target(draft: Draft, actor: Actor, args: Args) -> Denied | None:
    swarm, target = draft.swarm, args.target
    is_many = MissionId(target) in swarm.missions or is_group_target(target)
    if actor.authority is Authority.OPERATOR and is_many:
        return end_many(draft, actor, args)
    found = may_be_ended(swarm, actor, target)
    if isinstance(found, Denied):
        return found
    end_agent(draft, found, actor, args.reason)
    return None


def may_be_ended(swarm: Swarm, actor: Actor, target: str) -> Agent | Denied:
    """The agent that is meant, if the actor may end it and it is not ending already."""
    found = _to_be_ended(swarm, actor, target)
    return found if isinstance(found, Denied) else _refuse_end(swarm, actor, found) or found


def _refuse_end(swarm: Swarm, actor: Actor, agent: Agent) -> Denied | None:
    if swarm.lineage.is_ending(agent):
        return Denied(Rule.FENCED, f"{agent.id} is ending already")
    return outranked(swarm, actor, agent) or overruled(swarm, actor.authority, "spawn", agent)


def _to_be_ended(swarm: Swarm, actor: Actor, target: str) -> Agent | Denied:
    """The agent that is meant, if the actor may end it at all."""
    found = find(swarm, actor, target)
    if isinstance(found, Denied):
        if found.rule is Rule.AUTHORITY:
            return Denied(Rule.TERMINATE_DESCENDANT, found.detail)
        return found
    sovereign = actor.authority is not Authority.LINEAGE
    return decide_terminate(swarm, actor.id, found, is_sovereign=sovereign) or found


def foresee_end(swarm: Swarm, actor: Actor, args: Args) -> dict[str, Any] | Denied:
    found = _to_be_ended(swarm, actor, args.target)
    return found if isinstance(found, Denied) else act_facts(actor, args, found.id)


def end_agent(draft: Draft, agent: Agent, actor: Actor, reason: str) -> None:
    at = draft.now
    mark = Fence(agent.id, reason, actor.id, at, actor.order, hops=actor.hops, taint=actor.taint)
    draft.add(*fence(draft.swarm, mark, draft.moment, mission=agent.mission))


def end_many(draft: Draft, actor: Actor, args: Args) -> Denied | None:
    """A mission, a tier, or every mission: each is fenced, and the order is answered when the
    last one is gone.
    """
    target = args.target
    if target.startswith(("room:", "use:")):
        return Denied(
            Rule.STOP_TARGET, f"{target} is nothing that ends: freeze it, or revoke a privilege"
        )
    if target.startswith("="):
        return Denied(Rule.STOP_TARGET, f"ending {target[1:]} ends all below it: name it without =")
    if TIER_TARGET.fullmatch(target):
        return _end_tier(draft, actor, args)
    return _end_missions(draft, actor, args)


def _end_tier(draft: Draft, actor: Actor, args: Args) -> Denied | None:
    lineage, tier = draft.lineage, args.target
    agents = [agent for agent in lineage.stopped_by(tier) if not lineage.is_ending(agent)]
    if tier == "tier:0" or not agents:
        return Denied(Rule.STOP_TARGET, f"no agent that can be ended stands at {tier}")
    for agent in agents:
        end_agent(draft, agent, actor, args.reason)
    return None


def _end_missions(draft: Draft, actor: Actor, args: Args) -> Denied | None:
    open_ones = _named_missions(draft.swarm, args.target)
    ending = [mission for mission in open_ones if mission.ending is None]
    if not ending:
        return Denied(Rule.UNKNOWN_MISSION, _nothing_to_end(args.target, is_ending=bool(open_ones)))
    reason = args.reason or "cancelled by the operator"
    for mission in ending:
        queue.end(draft, mission, MissionState.CANCELLED, reason, by=actor.id, order=actor.order)
    return None


def _nothing_to_end(target: str, *, is_ending: bool) -> str:
    if target == EVERYTHING:
        return "every open mission is ending already" if is_ending else "no mission is open"
    return f"{target} is ending already" if is_ending else target


def _named_missions(swarm: Swarm, target: str) -> list[Mission]:
    if target == EVERYTHING:
        return list(swarm.missions.values())
    mission = swarm.missions.get(MissionId(target))
    return [] if mission is None else [mission]
