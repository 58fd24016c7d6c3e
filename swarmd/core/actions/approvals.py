"""Permission: an action that needs it is kept and not done, until somebody who may gives or
refuses it. Pure.

What is kept is the exact request, under a digest, for one use and a bounded time. Whoever is asked
is told in typed facts alone: the requester's own words may be what an attacker put there. An answer
only marks the approval; `core.control.agent_requests` then has the request decided by the law as it
is at that moment, and closes it in the same commit.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

from swarmd.core.model.actions import Actor, Args
from swarmd.core.model.changes import Post
from swarmd.core.model.channels import BOARD_ROOM, inbox
from swarmd.core.model.charter import LINE_CHARS_MAX
from swarmd.core.model.consequences import Consequence
from swarmd.core.model.declarations import Limits, Role
from swarmd.core.model.entries import entry
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import CLERK, SOB, SUPERVISOR, AgentId, Authority, MissionId
from swarmd.core.model.privileges import overlaps
from swarmd.core.model.provenance import counted_taint
from swarmd.core.model.records import Approval, Spawned
from swarmd.core.model.refusals import Denied, Rule
from swarmd.core.model.state import Draft, Swarm
from swarmd.core.model.tables import APPROVALS, Drop
from swarmd.core.model.timings import stamp_of
from swarmd.core.tree.rights import beyond_own_use
from swarmd.core.tree.spawn import covers_file

# Of one requester, waiting at the same time: an agent that asks without end fills nobody's list.
WAITING_MAX: Final = 16

WORD: Final = {
    Authority.LINEAGE: "superior",
    Authority.BOARD: "board",
    Authority.OPERATOR: "operator",
}
_AUTHORITY: Final = {word: authority for authority, word in WORD.items()}


@dataclass(frozen=True, slots=True)
class Need:
    """Whose permission an action needs, by which rule, and the facts that say so."""

    needs: Authority
    rule: Rule
    detail: str


# --- what needs permission ------------------------------------------------------------------------


def for_spawn(
    swarm: Swarm, spawned: Sequence[Spawned], authority: Authority, taint: Iterable[str]
) -> Need | None:
    """What these creations need, wished for with this authority by a turn with this taint."""
    declared = swarm.declared
    agents = [one.agent for one in spawned]
    return _beyond(
        authority,
        *(_for_tainted_spawn(swarm, agent, authority, taint) for agent in agents if taint),
        *(_for_role(declared.roles[agent.role]) for agent in agents),
        *(_for_rights(declared.limits, (*agent.privileges, *agent.grants)) for agent in agents),
    )


def for_act(swarm: Swarm, actor: Actor, args: Args, consequence: Consequence) -> Need | None:
    """The same for what is done about an agent that there is."""
    limits, authority = swarm.declared.limits, actor.authority
    return _beyond(
        authority,
        _for_taint(limits, actor.taint, consequence, args.verb, authority),
        _for_rights(limits, args.privileges_given()),
    )


def _beyond(authority: Authority, *needs: Need | None) -> Need | None:
    """One permission for all, the strongest that is needed. A carried motion is the board's own
    permission, an order anybody's; an agent is not its own superior."""
    found = max(
        (need for need in needs if need is not None), key=lambda need: need.needs, default=None
    )
    is_own = authority is not Authority.LINEAGE and found is not None and found.needs <= authority
    return None if is_own else found


def _for_tainted_spawn(
    swarm: Swarm, agent: Agent, authority: Authority, taint: Iterable[str]
) -> Need | None:
    beyond = beyond_own_use(swarm, agent)
    what = f"a child that may use {beyond}, which its creator may only hand out"
    return _for_taint(
        swarm.declared.limits,
        taint,
        "widening" if beyond else "inward",
        what if beyond else "spawn",
        authority,
    )


def _for_taint(
    limits: Limits,
    taint: Iterable[str],
    consequence: Consequence,
    what: str,
    authority: Authority,
) -> Need | None:
    counted = counted_taint(taint, consequence, limits.taint)
    if not counted:
        return None
    # Above the board stands the operator alone.
    needs = (
        Authority.OPERATOR if authority is Authority.BOARD else _AUTHORITY[limits.taint.permission]
    )
    detail = f"{what} is {consequence}, after reading {', '.join(counted)}"
    return Need(needs, Rule.TAINT_PERMISSION, detail)


def _for_role(role: Role) -> Need | None:
    if not role.approval:
        return None
    return Need(_AUTHORITY[role.approval], Rule.APPROVAL_NEEDED, f"role {role.name}")


def _for_rights(limits: Limits, paths: Iterable[str]) -> Need | None:
    """To be given any part of what is declared to need an approval, to use or to hand out."""
    return _for_paths(tuple(limits.approvals.items()), tuple(paths))


# Siblings of one role are given the same: looked at once for all of them.
@lru_cache(maxsize=1_024)
def _for_paths(approvals: tuple[tuple[str, str], ...], paths: tuple[str, ...]) -> Need | None:
    needs = [
        Need(_AUTHORITY[who], Rule.APPROVAL_NEEDED, f"privilege {path}")
        for path in paths
        for asked, who in approvals
        if overlaps(path, asked)
    ]
    return max(needs, key=lambda need: need.needs, default=None)


# --- asking -----------------------------------------------------------------------------------


def ask(
    draft: Draft, action: Mapping[str, Any], need: Need, facts: Mapping[str, Any]
) -> Approval | Denied:
    """Keep the action and ask for permission; asked for again while it waits, it is the same
    approval.
    """
    waiting = _waiting_of(draft.swarm, action["requester"])
    same = [approval for approval in waiting if _what(approval.action) == _what(action)]
    if same:
        return same[0]
    if len(waiting) >= WAITING_MAX and action["requester"] != SOB:
        many = f"{len(waiting)} of your requests wait for permission already"
        return Denied(need.rule, f"{need.detail}; {many}")
    approval = _new_approval(draft, action, need, facts)
    told = _told_facts(approval)
    draft.add(APPROVALS.put(approval), _request_entry(draft, approval, need, told))
    _tell(draft, approval, told)
    return approval


def _waiting_of(swarm: Swarm, requester: str) -> list[Approval]:
    return [a for a in swarm.approvals.values() if a.requester == requester and not a.answer]


def _told_facts(approval: Approval) -> dict[str, Any]:
    return {
        "approval": approval.id,
        "needs": WORD[approval.needs],
        "rule": approval.rule.value,
        **approval.facts,
        "expires": stamp_of(approval.expires),
    }


def _new_approval(
    draft: Draft, action: Mapping[str, Any], need: Need, facts: Mapping[str, Any]
) -> Approval:
    now = draft.now
    return Approval(
        id=draft.moment.new_id("ap"),
        digest=digest_of(action),
        action=action,
        needs=need.needs,
        rule=need.rule,
        facts={**facts, "why": need.detail},
        at=now,
        expires=now + draft.swarm.declared.limits.approval_seconds,
    )


def _request_entry(draft: Draft, approval: Approval, need: Need, told: Mapping[str, Any]) -> Post:
    return entry(
        draft.moment,
        JournalEvent.APPROVAL_REQUESTED,
        f"{approval.requester} asks for permission ({approval.id}): {need.rule}, {need.detail}",
        actor=approval.requester,
        mission=approval.mission,
        digest=approval.digest,
        request=approval.action.get("id", ""),
        more=told,
    )


def spawn_facts(swarm: Swarm, spawned: Spawned) -> dict[str, Any]:
    """Of a wished-for agent what the law itself made of it. Its name and task are the
    requester's words.
    """
    agent = spawned.agent
    given = swarm.missions[agent.mission].readable_files if agent.mission in swarm.missions else ()
    return {
        "action": "spawn",
        "agent": agent.parent,
        "role": agent.role,
        "tier": agent.tier,
        "privileges": list(agent.privileges),
        "grants": list(agent.grants),
        # As they came with the mission: below a folder, the rest of a name is the requester's word.
        "files": _as_given(agent.charter.files if agent.charter else (), given),
        "budget": dict(spawned.caps),
    }


def _as_given(names: Iterable[str], given: Sequence[str]) -> list[str]:
    held = (next((file for file in given if covers_file(file, name)), "") for name in names)
    return [file for file in dict.fromkeys(held) if file]


def _what(action: Mapping[str, Any]) -> tuple[Any, Any]:
    return action["incarnation"], action["request"]


def digest_of(action: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(action, sort_keys=True).encode()).hexdigest()


def _tell(draft: Draft, approval: Approval, told: Mapping[str, Any]) -> None:
    """Whose permission is asked; an operator reads them with `swarmd approvals`."""
    if approval.needs is Authority.OPERATOR:
        return
    above = _superior(draft.swarm, approval)
    what = _named_in(told)
    message = Message(
        sender=CLERK if above is None else SUPERVISOR,
        to=above.id if above else "",
        kind=Kind.NOTICE,
        mission=approval.mission,
        at=draft.stamp,
        text=f"{approval.requester} asks for permission: {what}. Approve or deny {approval.id}",
        data=dict(told),
        hops=approval.action["hops"],
    )
    draft.add(Post(BOARD_ROOM if above is None else inbox(above.id), message))


def _named_in(told: Mapping[str, Any]) -> str:
    named = (told.get(name) for name in ("action", "verb", "role", "target"))
    return " ".join(str(value) for value in named if value)


def _superior(swarm: Swarm, approval: Approval) -> Agent | None:
    """The agent that is asked; `None` where it is the board."""
    requester = swarm.lineage.get(approval.requester)
    if (
        approval.needs is not Authority.LINEAGE
        or requester is None
        or requester.parent in (None, SOB)
    ):
        return None
    return swarm.lineage.get(str(requester.parent))


def for_the_board(swarm: Swarm, mission: MissionId) -> tuple[Approval, ...]:
    """Those of a mission that the board is asked for and was not called about yet.

    Also what a tainted turn asks for: the seats are told typed facts alone. What a planted text can
    cost is bounded by how many may wait (`WAITING_MAX`), and that each is put once.
    """
    return tuple(
        a
        for a in swarm.approvals.values()
        if a.mission == mission
        and not (a.is_put or a.answer)
        and a.needs is not Authority.OPERATOR
        and _superior(swarm, a) is None
    )


def refer(draft: Draft, ids: Sequence[str]) -> None:
    """What the board was asked for is an operator's to answer, and has its whole time again."""
    for id in ids:
        approval = draft.swarm.approvals[id]
        expires = draft.now + draft.swarm.declared.limits.approval_seconds
        referred = replace(approval, needs=Authority.OPERATOR, expires=expires)
        need = Need(referred.needs, referred.rule, "brought before a person by the board")
        told = _told_facts(referred)
        draft.add(APPROVALS.put(referred), _request_entry(draft, referred, need, told))


# --- answering --------------------------------------------------------------------------------


def answer(
    draft: Draft, actor: Actor, ids: Sequence[str], reason: str = "", *, is_approved: bool
) -> Denied | None:
    """Mark them answered, once, by one who may; all or none."""
    denied = refuse_answers(draft.swarm, actor, ids)
    if denied is None:
        word: Any = "approved" if is_approved else "denied"
        for id in ids:
            approval = draft.swarm.approvals[id]
            given = replace(
                approval,
                answer=word,
                answered_by=actor.id,
                # An operator's words; those of an agent may be what it has read.
                reason=reason[:LINE_CHARS_MAX] if actor.authority is Authority.OPERATOR else "",
                order=actor.order,
            )
            draft.add(APPROVALS.put(given))
    return denied


def refuse_answers(swarm: Swarm, actor: Actor, ids: Sequence[str]) -> Denied | None:
    return next((no for id in ids if (no := refuse_answer(swarm, actor, id)) is not None), None)


def refuse_answer(swarm: Swarm, actor: Actor, id: str) -> Denied | None:
    """Operators always; the board for its mission; any ancestor of who asks. Nobody for itself,
    or above its own reach.
    """
    approval = swarm.approvals.get(id)
    if approval is None or approval.answer:
        return Denied(Rule.APPROVAL_UNKNOWN, f"{id[:64]} does not wait for permission")
    if actor.authority is Authority.OPERATOR:
        return None
    if actor.authority < approval.needs:
        return Denied(Rule.AUTHORITY, f"{id} takes the permission of the {WORD[approval.needs]}")
    if actor.authority is Authority.BOARD:
        return None if approval.mission == actor.mission else Denied(Rule.MISSION_OTHER, id)
    return _refuse_ancestor(swarm, actor, approval)


def _refuse_ancestor(swarm: Swarm, actor: Actor, approval: Approval) -> Denied | None:
    requester = swarm.lineage.get(approval.requester)
    if requester is None or not swarm.lineage.is_ancestor(AgentId(actor.id), requester):
        return Denied(Rule.AUTHORITY, f"{approval.id} was not asked by a descendant of yours")
    return None


def tick(draft: Draft) -> None:
    """What nobody answered in time lapses; what nobody can use any more is closed without a
    word.
    """
    for approval in list(draft.swarm.approvals.values()):
        if not _is_of_use(draft.swarm, approval):
            draft.add(Drop(APPROVALS, approval.id))
        elif not approval.answer and approval.expires <= draft.now:
            draft.add(APPROVALS.put(replace(approval, answer="expired", answered_by=SUPERVISOR)))


def _is_of_use(swarm: Swarm, approval: Approval) -> bool:
    """Its requester and its mission go on."""
    mission, requester = (
        swarm.missions.get(approval.mission),
        swarm.lineage.get(approval.requester),
    )
    if mission is None or mission.ending is not None or requester is None:
        return False
    return not swarm.lineage.is_fenced(requester.path)
