"""Who asks, whom they may reach, and what outranks them (law 6). Pure."""

from __future__ import annotations

import re
from typing import Final, Literal, assert_never

from swarmd.core.model.actions import Actor
from swarmd.core.model.lineage import EVERYTHING, Agent, Stop
from swarmd.core.model.names import (
    OPERATOR,
    AgentId,
    Authority,
    MissionId,
)
from swarmd.core.model.privileges import Revocation, overlaps
from swarmd.core.model.refusals import Denied, Rule
from swarmd.core.model.state import Swarm

TIER_TARGET: Final = re.compile(r"tier:\d{1,2}")


def find(swarm: Swarm, actor: Actor, reference: str) -> Agent | Denied:
    """The living agent that is meant, if the actor may reach it at all."""
    match actor.authority:
        case Authority.OPERATOR:
            return swarm.lineage.get(reference) or Denied(Rule.UNKNOWN_AGENT, reference)
        case Authority.BOARD:
            return find_of_mission(swarm, actor.mission, reference)
        case Authority.LINEAGE:
            return _find_below(swarm, AgentId(actor.id), reference)
        case _:
            assert_never(actor.authority)


def _find_below(swarm: Swarm, own: AgentId, reference: str) -> Agent | Denied:
    found = swarm.lineage.find_child(own, reference) or swarm.lineage.get(reference)
    if found is None:
        return Denied(Rule.UNKNOWN_AGENT, reference)
    if not swarm.lineage.is_ancestor(own, found):
        return Denied(Rule.AUTHORITY, f"{found.id} is no descendant of yours")
    return found


def find_of_mission(swarm: Swarm, mission: MissionId, reference: str) -> Agent | Denied:
    """A living agent of this mission by id, or one of its executives by name or key."""
    agent = swarm.lineage.get(reference)
    if agent is None:
        named = [e for e in swarm.executives(mission) if reference in (e.name, e.key)]
        if not named:
            return Denied(Rule.UNKNOWN_AGENT, reference)
        agent = named[0]
    if agent.mission != mission:
        return Denied(Rule.MISSION_OTHER, f"{reference} serves {agent.mission or 'the board'}")
    return agent


def is_group_target(target: str) -> bool:
    """More than one agent's subtree: an operator's alone to name."""
    return (
        target == EVERYTHING
        or bool(TIER_TARGET.fullmatch(target))
        or target.startswith(("room:", "use:", "="))
    )


def outranks(swarm: Swarm, mark: Stop | Revocation, actor: Actor) -> bool:
    """Is the mark the word of a better one? Of two ancestors that is the one above."""
    if mark.authority != actor.authority:
        return mark.authority > actor.authority
    own = swarm.lineage.get(actor.id) if actor.authority is Authority.LINEAGE else None
    return own is not None and mark.by in own.path[:-1]


def is_ending(swarm: Swarm, target: str) -> bool:
    """Of a stop's target: an agent or a mission on its way out."""
    agent, mission = (
        swarm.lineage.get(target.removeprefix("=")),
        swarm.missions.get(MissionId(target)),
    )
    if agent is not None:
        return swarm.lineage.is_ending(agent)
    return mission is not None and mission.ending is not None


def outranked(swarm: Swarm, actor: Actor, agent: Agent) -> Denied | None:
    """What a better one stopped is kept as it is: neither thawed nor ended by those below, nor
    with what is above it.
    """
    for stop in swarm.lineage.stops.values():
        if outranks(swarm, stop, actor) and _keeps(swarm, stop, agent):
            return Denied(Rule.PRECEDENCE, f"{stop.target} is held by {stop.by}")
    return None


def _keeps(swarm: Swarm, stop: Stop, agent: Agent) -> bool:
    """Would somebody whom it holds end with this agent?"""
    return any(stop.holds(one) for one in swarm.lineage.below(agent.id))


def overruled(
    swarm: Swarm,
    authority: Authority,
    kind: Literal["grant", "spawn"],
    agent: Agent,
    path: str = "",
) -> Denied | None:
    """Would what is wished change what a better one's override set, at this agent or below it?"""
    for override in swarm.overrides.values():
        if override.kind != kind or override.authority <= authority:
            continue
        if path and not overlaps(path, str(override.after["privilege"])):
            continue
        target = swarm.lineage.get(override.target)
        if target is not None and agent.id in target.path:
            return Denied(
                Rule.OVERRIDE_ACTIVE, f"{override.id}, by {override.by}, stands at {target.id}"
            )
    return None


def is_over(swarm: Swarm, agent: Agent) -> Denied | None:
    """The rights of what is ending are no more to be changed. It begins nothing; and whom it made
    may live on as another's and has it in the path still: a mark on it would reach them, of whom
    nobody spoke.
    """
    return (
        Denied(Rule.FENCED, f"{agent.id} is ending already")
        if swarm.lineage.is_ending(agent)
        else None
    )


BY_OPERATOR: Final = Actor(OPERATOR, Authority.OPERATOR)
