"""What a superior does about those below it: stop, thaw, end, grant, revoke, fund. Pure.

One surface for an ancestor, a carried motion and an operator: who asks decides only whom it may
reach and what outranks it (law 6). A refusal names its rule and changes nothing. What a stop or an
end brought about is told when it was seen (`reconcile`), never when it was asked for.
"""

from __future__ import annotations

from typing import Any, assert_never

from swarmd.core.actions import approvals
from swarmd.core.actions.approvals import Need
from swarmd.core.actions.authority import Actor, Wish, find
from swarmd.core.actions.fund import fund
from swarmd.core.actions.rights import change_rights
from swarmd.core.actions.stop import apply_stop, thaw
from swarmd.core.actions.terminate import end_target
from swarmd.core.model.lineage import Agent
from swarmd.core.model.names import (
    Authority,
)
from swarmd.core.model.privileges import is_path
from swarmd.core.model.refusals import Denied, Rule
from swarmd.core.model.state import Draft, Swarm
from swarmd.core.tree.fence import decide_terminate


def do(draft: Draft, actor: Actor, wish: Wish) -> Denied | None:
    """Done whole, or the rule that refuses it."""
    match wish.verb:
        case "freeze" | "drain" | "halt":
            return apply_stop(draft, actor, wish)
        case "thaw":
            return thaw(draft, actor, wish)
        case "terminate" | "cancel":
            return end_target(draft, actor, wish)
        case "grant" | "revoke":
            return change_rights(draft, actor, wish)
        case "fund":
            return fund(draft, actor, wish)
        case "approve" | "deny":
            return approvals.answer(
                draft,
                id=wish.target,
                is_approved=wish.verb == "approve",
                by=actor.id,
                authority=actor.authority,
                mission=actor.mission,
                order=actor.order,
            )
        case _:
            assert_never(wish.verb)


def leave_needed(swarm: Swarm, actor: Actor, wish: Wish) -> Need | None:
    return approvals.for_act(
        swarm.declared.limits, wish.verb, wish.privilege, actor.authority, actor.taint
    )


def facts_of(swarm: Swarm, actor: Actor, wish: Wish) -> dict[str, Any] | Denied:
    """A wish in typed facts, for whoever gives leave; or why it would be refused whatever leave
    there is.
    """
    target = wish.target
    if wish.verb in ("approve", "deny"):
        denied = approvals.may_answer(
            swarm, id=target, by=actor.id, authority=actor.authority, mission=actor.mission
        )
    else:
        found = find(swarm, actor, target)
        denied = found if isinstance(found, Denied) else None
        if isinstance(found, Agent):
            target = found.id
            if wish.verb == "terminate":
                sovereign = actor.authority is not Authority.LINEAGE
                denied = decide_terminate(swarm, actor.id, found, is_sovereign=sovereign)
    if denied is not None:
        is_end = wish.verb == "terminate" and denied.rule is Rule.AUTHORITY
        return Denied(Rule.TERMINATE_DESCENDANT, denied.detail) if is_end else denied
    facts: dict[str, Any] = {
        "action": "act",
        "verb": wish.verb,
        "agent": actor.id,
        "target": target,
    }
    if wish.verb in ("grant", "revoke"):
        facts |= {
            "privilege": wish.privilege if is_path(wish.privilege) else "",
            "right": wish.right,
        }
    return facts | ({"budget": dict(wish.amounts)} if wish.amounts else {})
