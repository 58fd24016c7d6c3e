"""Grant and revoke: changes to the privileges of a living agent. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from swarmd.core.actions.authority import (
    find,
    is_over,
    outranks,
    overruled,
)
from swarmd.core.model.actions import Actor
from swarmd.core.model.changes import RightsSet
from swarmd.core.model.entries import order_facts
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.lineage import Agent
from swarmd.core.model.names import (
    AgentId,
    Authority,
)
from swarmd.core.model.privileges import Held, Revocation, Right, covers, is_path, overlaps
from swarmd.core.model.refusals import Denied, Rule
from swarmd.core.model.state import Draft, Swarm
from swarmd.core.model.tables import REVOCATIONS
from swarmd.core.tree.rights import may_grant

# Marks of one segment; each is looked at before each call below it, and a new one takes in those
# that it covers.
REVOCATIONS_MAX: Final = 256


@dataclass(frozen=True, slots=True)
class RightChange:
    """One right over one privilege, that an agent is given or loses."""

    target: str
    privilege: str
    right: Right
    reason: str


def _whose_rights(swarm: Swarm, actor: Actor, target: str, path: str) -> Agent | Denied:
    """The agent whose rights may be changed by this actor."""
    found = find(swarm, actor, target)
    if isinstance(found, Denied):
        return found
    if not is_path(path):
        return Denied(Rule.REQUEST_INVALID, f"{path!r} is no privilege path")
    denied = is_over(swarm, found) or overruled(swarm, actor.authority, "grant", found, path)
    return denied or found


def grant(draft: Draft, actor: Actor, change: RightChange) -> Denied | None:
    swarm, path = draft.swarm, change.privilege
    agent = _whose_rights(swarm, actor, change.target, path)
    if isinstance(agent, Denied):
        return agent
    denied = may_be_granted(swarm, actor, agent, path)
    if denied is not None:
        return denied
    number, at = swarm.number + 1, draft.stamp
    draft.add(RightsSet(with_right(agent, path, change.right, number, actor.id, at)))
    event, done = JournalEvent.PRIVILEGE_GRANTED, f"grants {agent.id} {path} ({change.right})"
    _record_change(draft, actor, agent, change, event, done, number=number)
    return None


def with_right(agent: Agent, path: str, right: Right, number: int, by: str, at: str) -> Agent:
    for single in single_rights(right):
        agent = agent.holding(Held(path, single, number, by, at))
    return agent


def single_rights(right: Right) -> tuple[Literal["use", "grant"], ...]:
    return ("use", "grant") if right == "both" else (right,)


def _record_change(
    draft: Draft,
    actor: Actor,
    agent: Agent,
    change: RightChange,
    event: JournalEvent,
    done: str,
    **facts: Any,
) -> None:
    draft.record(
        event,
        f"{actor.id} {done}: {change.reason}"[:2000],
        actor=actor.id,
        mission=agent.mission,
        agent=agent.id,
        privilege=change.privilege,
        right=change.right,
        **facts,
        more=order_facts(actor.order, "done"),
    )


def may_be_granted(swarm: Swarm, actor: Actor, agent: Agent, path: str) -> Denied | None:
    if any(overlaps(path, no) for no in swarm.declared.limits.forbidden):
        return Denied(Rule.PRIVILEGE_FORBIDDEN, path)
    for mark in swarm.lineage.marks_on(agent):
        if outranks(swarm, mark, actor) and overlaps(mark.path, path):
            return Denied(
                Rule.PRECEDENCE, f"{mark.path} was revoked by {mark.by} at {mark.segment}"
            )
    if actor.authority is Authority.LINEAGE:
        return may_grant(swarm, swarm.lineage.agents[AgentId(actor.id)], path)
    return None


def revoke(draft: Draft, actor: Actor, change: RightChange) -> Denied | None:
    """One mark, whatever lies below it: the next action of every descendant meets it."""
    swarm = draft.swarm
    agent = _whose_rights(swarm, actor, change.target, change.privilege)
    if isinstance(agent, Denied):
        return agent
    mark = _mark_of(draft, actor, agent, change)
    kept = _kept_beside(swarm, actor, mark)
    if len(kept) >= REVOCATIONS_MAX:
        return Denied(
            Rule.REQUEST_INVALID, f"{len(kept)} revocations at {agent.id}: revoke a subtree (/**)"
        )
    below = len(swarm.lineage.below(agent.id))
    draft.add(REVOCATIONS.set(agent.id, (*kept, mark)))
    event = JournalEvent.PRIVILEGE_REVOKED
    done = f"revokes {change.privilege} ({change.right}) of {agent.id}"
    _record_change(draft, actor, agent, change, event, done, number=mark.number, agents=below)
    return None


def _mark_of(draft: Draft, actor: Actor, agent: Agent, change: RightChange) -> Revocation:
    return Revocation(
        agent.id,
        change.privilege,
        change.right,
        draft.swarm.number + 1,
        actor.id,
        draft.stamp,
        change.reason,
        actor.authority,
    )


def _kept_beside(swarm: Swarm, actor: Actor, mark: Revocation) -> tuple[Revocation, ...]:
    """Older marks of its segment: those that it does not cover, and a better one's."""
    before = swarm.lineage.revocations.get(mark.segment, ())
    return tuple(
        old for old in before if outranks(swarm, old, actor) or not _is_taken_in(old, mark)
    )


def _is_taken_in(old: Revocation, new: Revocation) -> bool:
    return covers(new.path, old.path) and new.right in (old.right, "both")
