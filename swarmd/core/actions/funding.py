"""Fund: more for an open account, out of the one above it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from swarmd.core.actions.authority import find, order_facts, outranks
from swarmd.core.actions.stop import lift
from swarmd.core.ledger.tree import account_above
from swarmd.core.model.actions import Actor
from swarmd.core.model.changes import (
    AccountFunded,
)
from swarmd.core.model.charter import AMOUNT_MAX, KINDS
from swarmd.core.model.entries import entry
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.names import (
    SOB,
    Authority,
    MissionId,
)
from swarmd.core.model.refusals import Denied, Rule
from swarmd.core.model.state import Draft, Swarm


def charged_account(swarm: Swarm, target: str) -> str:
    """From which an addition to the target's account is taken. The root's is taken from nowhere."""
    return account_above(swarm, target) or SOB


def fund(draft: Draft, actor: Actor, target: str, given: Mapping[Any, int]) -> Denied | None:
    swarm = draft.swarm
    amounts = {str(kind): amount for kind, amount in given.items() if amount}
    if not amounts:
        return Denied(Rule.REQUEST_INVALID, "fund with what? amounts of " + ", ".join(KINDS))
    if actor.authority is not Authority.OPERATOR:
        found = find(swarm, actor, target)
        if isinstance(found, Denied):
            return found
        target = found.id
    above = account_above(swarm, target)
    if above is None:
        return Denied(Rule.UNKNOWN_AGENT, f"{target} has no account")
    own = {Authority.LINEAGE: actor.id, Authority.BOARD: actor.mission}.get(actor.authority, above)
    if above != own:
        return Denied(
            Rule.AUTHORITY, f"{target} lives on the account of {above}: only that one can add to it"
        )
    if above and MissionId(target) in swarm.missions and target not in swarm.boards:
        return Denied(Rule.UNKNOWN_MISSION, f"{target} has no account yet")
    free = swarm.observed.free.get(above, {})
    short = [
        f"{k}: {n} asked, {free.get(k, 0)} free"
        for k, n in amounts.items()
        if above and free.get(k, 0) < n
    ]
    if short:
        return Denied(Rule.BUDGET_SHARE, ", ".join(short))
    caps = swarm.observed.caps.get(target, {})
    over = [k for k, n in amounts.items() if caps.get(k, 0) + n > AMOUNT_MAX]
    if over:
        return Denied(Rule.BUDGET_SHARE, f"{over[0]}: an account holds {AMOUNT_MAX:,} at most")
    draft.add(
        AccountFunded(target, above, amounts),
        entry(
            draft.moment,
            JournalEvent.ACCOUNT_FUNDED,
            f"{actor.id} adds to {target}: " + ", ".join(f"{n} {k}" for k, n in amounts.items()),
            actor=actor.id,
            mission=actor.mission,
            account=target,
            amounts=amounts,
            more=order_facts(actor.order, "done"),
        ),
    )
    stop = swarm.lineage.stops.get(f"={target}")
    if stop is not None and stop.rule.startswith("budget.") and not outranks(swarm, stop, actor):
        lift(draft, stop, by=actor.id, reason="it has been funded")
    return None
