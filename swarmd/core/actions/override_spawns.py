"""An override of a spawn: one that was refused is allowed, or one that was made undone. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from swarmd.core.actions import authority, ending
from swarmd.core.actions.override_record import begin_override, record_override
from swarmd.core.model.actions import Actor
from swarmd.core.model.lineage import Agent
from swarmd.core.model.names import Authority
from swarmd.core.model.overruling import OverrideOrder, Overruling, Refused
from swarmd.core.model.posts import answer_to
from swarmd.core.model.records import Override, Spawned
from swarmd.core.model.refusals import Denied, Rule
from swarmd.core.model.requests import SpawnRequest
from swarmd.core.model.state import Draft, Swarm
from swarmd.core.tree.fence import decide_terminate
from swarmd.core.tree.spawn import created_facts, decide_spawn, directives, made


@dataclass(frozen=True, slots=True)
class _Allowed:
    """A spawn that was refused, with what the law makes of it when it is overruled."""

    refused: Refused
    requester: Agent
    request: SpawnRequest
    spawned: Spawned


def allow_spawn(draft: Draft, actor: Actor, asked: Overruling) -> Denied | None:
    """A spawn that was refused, made all the same. Bounds, what is forbidden and what there is
    to spend stay.
    """
    allowed = _overruled_spawn(draft, actor, asked)
    if isinstance(allowed, Denied):
        return allowed
    agent, request, refused = allowed.spawned.agent, allowed.request, allowed.refused
    override = begin_override(
        draft,
        actor,
        asked,
        target=agent.id,
        mission=agent.mission,
        before={"requester": refused.requester, "key": request.key, "rule": refused.rule},
        after={"agent": agent.id, "parent": refused.requester, "name": agent.name},
    )
    taint = refused.taint
    draft.add(*made(draft.swarm, allowed.spawned, draft.moment, taint=taint))
    record_override(draft, actor, override)
    _tell_made(draft, allowed)
    return None


def _overruled_spawn(draft: Draft, actor: Actor, asked: Overruling) -> _Allowed | Denied:
    refused = asked.refused if isinstance(asked, OverrideOrder) else None
    if actor.authority is not Authority.OPERATOR or refused is None:
        return Denied(
            Rule.OVERRIDE_INVALID, "only an operator allows what the law refused, by the refusal"
        )
    requester = draft.lineage.get(refused.requester)
    if requester is None or requester.tier == 0:
        return Denied(Rule.UNKNOWN_AGENT, refused.requester)
    request = SpawnRequest.model_validate(refused.request)
    spawned = _decide_anyway(draft, requester, request)
    if isinstance(spawned, Denied):
        return spawned
    return _Allowed(refused, requester, request, spawned)


def _decide_anyway(draft: Draft, requester: Agent, request: SpawnRequest) -> Spawned | Denied:
    mission = requester.mission
    return decide_spawn(
        draft.swarm, requester, request, draft.moment, mission=mission, is_overruled=True
    )


def _tell_made(draft: Draft, allowed: _Allowed) -> None:
    """Its directives, and the requester's answer in place of the refusal that it has."""
    moment, spawned, request = draft.moment, allowed.spawned, allowed.request
    taint = allowed.refused.taint
    draft.add(*directives(spawned, request.directives, moment, hops=0, taint=taint))
    text = f"{request.key}: created {spawned.agent.id}, by the operator"
    draft.add(answer_to(moment, allowed.requester, text, created_facts(request, spawned)))


def undo_spawn(draft: Draft, actor: Actor, asked: Overruling) -> Denied | None:
    """An agent that was made is ended, and while this stands its creator makes none of that
    name.
    """
    agent = _to_be_undone(draft.swarm, actor, asked)
    if isinstance(agent, Denied):
        return agent
    of_whom = {"parent": agent.parent, "name": agent.name}
    override = begin_override(
        draft,
        actor,
        asked,
        target=agent.id,
        mission=agent.mission,
        before={**of_whom, "role": agent.role, "created": agent.created},
        after={"undone": True, **of_whom},
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
    if override.after.get("undone") or draft.lineage.is_fenced(agent.path):
        return
    actor = Actor(by, override.authority)
    ending.end_agent(draft, agent, actor, f"{override.id}, which allowed it, is over")
