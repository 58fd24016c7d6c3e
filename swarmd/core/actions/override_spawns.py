"""An override of a spawn: one that was refused is allowed, or one that was made undone. Pure."""

from __future__ import annotations

from dataclasses import replace

from swarmd.core.actions import authority, ending
from swarmd.core.actions.override_record import begin_override, record_override
from swarmd.core.model.actions import Actor
from swarmd.core.model.lineage import Agent
from swarmd.core.model.names import (
    Authority,
)
from swarmd.core.model.overruling import OverrideOrder, Overruling
from swarmd.core.model.posts import answer_to
from swarmd.core.model.records import Override
from swarmd.core.model.refusals import Denied, Rule
from swarmd.core.model.requests import SpawnRequest
from swarmd.core.model.state import Draft, Swarm
from swarmd.core.tree.fence import decide_terminate
from swarmd.core.tree.spawn import created_facts, decide_spawn, directives, made


def allow_spawn(draft: Draft, actor: Actor, asked: Overruling) -> Denied | None:
    """A spawn that was refused, made all the same. Bounds, what is forbidden and what there is
    to spend stay.
    """
    refused = asked.refused if isinstance(asked, OverrideOrder) else None
    if actor.authority is not Authority.OPERATOR or refused is None:
        return Denied(
            Rule.OVERRIDE_INVALID, "only an operator allows what the law refused, by the refusal"
        )
    requester = draft.swarm.lineage.get(refused.requester)
    if requester is None or requester.tier == 0:
        return Denied(Rule.UNKNOWN_AGENT, refused.requester)
    request = SpawnRequest.model_validate(refused.request)
    spawned = decide_spawn(
        draft.swarm, requester, request, draft.moment, mission=requester.mission, is_overruled=True
    )
    if isinstance(spawned, Denied):
        return spawned
    agent, taint = spawned.agent, tuple(refused.taint)
    override = begin_override(
        draft,
        actor,
        asked,
        target=agent.id,
        mission=agent.mission,
        before={"requester": requester.id, "key": request.key, "rule": refused.rule},
        after={"agent": agent.id, "parent": requester.id, "name": agent.name},
    )
    draft.add(*made(draft.swarm, spawned, draft.moment, taint=taint))
    record_override(draft, actor, override)
    draft.add(*directives(spawned, request.directives, draft.moment, hops=0, taint=taint))
    text = f"{request.key}: created {agent.id}, by the operator"
    draft.add(answer_to(draft.moment, requester, text, created_facts(request, spawned)))
    return None


def undo_spawn(draft: Draft, actor: Actor, asked: Overruling) -> Denied | None:
    """An agent that was made is ended, and while this stands its creator makes none of that
    name.
    """
    agent = _to_be_undone(draft.swarm, actor, asked)
    if isinstance(agent, Denied):
        return agent
    override = begin_override(
        draft,
        actor,
        asked,
        target=agent.id,
        mission=agent.mission,
        before={
            "parent": agent.parent,
            "name": agent.name,
            "role": agent.role,
            "created": agent.created,
        },
        after={"undone": True, "parent": agent.parent, "name": agent.name},
        reversal="nothing: ids never return",
    )
    # The order is answered by the override itself: its agents' end is told under the fence.
    ending.end_agent(draft, agent, replace(actor, order=""), asked.reason)
    record_override(draft, actor, override)
    return None


def _to_be_undone(swarm: Swarm, actor: Actor, asked: Overruling) -> Agent | Denied:
    found = authority.find(swarm, actor, asked.target)
    if isinstance(found, Denied):
        return found
    denied = decide_terminate(swarm, actor.id, found, is_sovereign=True) or authority.overruled(
        swarm, actor.authority, "spawn", found
    )
    if denied is None and swarm.lineage.is_fenced(found.path):
        denied = Denied(Rule.FENCED, f"{found.id} is ending already")
    return denied or found


def end_allowed(draft: Draft, agent: Agent, override: Override, by: str) -> None:
    """The override that allowed the agent is over, and so is the agent. What was undone stays."""
    if override.after.get("undone") or draft.swarm.lineage.is_fenced(agent.path):
        return
    actor = Actor(by, override.authority)
    ending.end_agent(draft, agent, actor, f"{override.id}, which allowed it, is over")
