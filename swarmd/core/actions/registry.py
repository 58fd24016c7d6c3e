"""Actions: what a superior, the board or an operator does about agents. Pure.

One surface for an ancestor, a carried motion and an operator: who asks decides only whom it may
reach and what outranks it (law 6). A refusal names its rule and changes nothing. What a stop or an
end brought about is told when it was seen (`control.stops`, `control.termination`), never when it
was asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from swarmd.core.actions import approvals
from swarmd.core.actions.approvals import Need
from swarmd.core.actions.authority import find
from swarmd.core.model.actions import (
    Action,
    Actor,
    Args,
    act_facts,
    action_of,
    unknown_verb,
    verbs,
)
from swarmd.core.model.refusals import Denied
from swarmd.core.model.state import Draft, Swarm

ACTIONS: Final[Mapping[str, Action]] = {verb: action_of(verb) for verb in verbs()}


def do(draft: Draft, actor: Actor, args: Args) -> Denied | None:
    """Done whole, or the rule that refuses it."""
    unknown = unknown_verb(actor.authority, args.verb)
    return unknown or ACTIONS[args.verb].decide(draft, actor, args)


def permission_needed(swarm: Swarm, actor: Actor, args: Args) -> Need | None:
    found = ACTIONS[args.verb].consequence
    consequence = found(swarm, actor, args) if callable(found) else found
    return approvals.for_act(swarm, actor, args, consequence)


def facts_of(swarm: Swarm, actor: Actor, args: Args) -> dict[str, Any] | Denied:
    """An action in typed facts, for whoever gives permission; or why it would be refused whatever
    permission there is.
    """
    foresee = ACTIONS[args.verb].foresee or _foresee_agent
    facts = foresee(swarm, actor, args)
    return facts if isinstance(facts, Denied) else facts | args.facts()


def _foresee_agent(swarm: Swarm, actor: Actor, args: Args) -> dict[str, Any] | Denied:
    found = find(swarm, actor, args.target)
    return found if isinstance(found, Denied) else act_facts(actor, args, found.id)
