"""Terminate and cancel: an agent, a mission or several are marked for their end. Pure."""

from __future__ import annotations

from swarmd.core.actions.authority import (
    TIER_TARGET,
    Actor,
    Wish,
    find,
    is_group_target,
    outranked,
    overruled,
)
from swarmd.core.missions import queue
from swarmd.core.model.lineage import EVERYTHING, Agent
from swarmd.core.model.names import (
    Authority,
    MissionId,
    MissionState,
)
from swarmd.core.model.refusals import Denied, Rule
from swarmd.core.model.state import Draft
from swarmd.core.tree.fence import decide_terminate, fence


def end_target(draft: Draft, actor: Actor, wish: Wish) -> Denied | None:
    swarm, target = draft.swarm, wish.target
    is_many = (
        wish.verb == "cancel" or MissionId(target) in swarm.missions or is_group_target(target)
    )
    if actor.authority is Authority.OPERATOR and is_many:
        return _end_many(draft, actor, wish)
    found = find(swarm, actor, target)
    if isinstance(found, Denied):
        if found.rule is Rule.AUTHORITY:
            return Denied(Rule.TERMINATE_DESCENDANT, found.detail)
        return found
    sovereign = actor.authority is not Authority.LINEAGE
    denied = decide_terminate(swarm, actor.id, found, is_sovereign=sovereign)
    if denied is None and swarm.lineage.is_ending(found):
        denied = Denied(Rule.FENCED, f"{found.id} is ending already")
    denied = (
        denied
        or outranked(swarm, actor, found)
        or overruled(swarm, actor.authority, "spawn", found)
    )
    if denied is None:
        end_agent(draft, found, actor, wish.reason)
    return denied


def end_agent(draft: Draft, agent: Agent, actor: Actor, reason: str) -> None:
    draft.add(
        *fence(
            draft.swarm,
            agent.id,
            reason=reason,
            by=actor.id,
            moment=draft.moment,
            mission=agent.mission,
            order=actor.order,
            hops=actor.hops,
            taint=actor.taint,
        )
    )


def _end_many(draft: Draft, actor: Actor, wish: Wish) -> Denied | None:
    """A mission, a tier, or every mission: each is fenced, and the order is answered when the
    last one is gone.
    """
    swarm, target = draft.swarm, wish.target
    if target.startswith(("room:", "use:")):
        return Denied(
            Rule.STOP_TARGET, f"{target} is nothing that ends: freeze it, or revoke a privilege"
        )
    if target.startswith("="):
        return Denied(Rule.STOP_TARGET, f"ending {target[1:]} ends all below it: name it without =")
    if TIER_TARGET.fullmatch(target):
        agents = [a for a in swarm.lineage.stopped_by(target) if not swarm.lineage.is_ending(a)]
        if target == "tier:0" or not agents:
            return Denied(Rule.STOP_TARGET, f"no agent that can be ended stands at {target}")
        for agent in agents:
            end_agent(draft, agent, actor, wish.reason)
        return None
    wanted = list(swarm.missions) if target == EVERYTHING else [MissionId(target)]
    open_ones = [swarm.missions[id] for id in wanted if id in swarm.missions]
    ending = [mission for mission in open_ones if mission.ending is None]
    if not ending:
        what = f"{target} is ending already" if open_ones else target
        return Denied(Rule.UNKNOWN_MISSION, what)
    reason = wish.reason or "cancelled by the operator"
    for mission in ending:
        queue.end(draft, mission, MissionState.CANCELLED, reason, by=actor.id, order=actor.order)
    return None
