"""Fund: more for an open account, out of the one above it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from swarmd.core.actions.authority import find, outranks
from swarmd.core.actions.stop import lift
from swarmd.core.ledger import board_part
from swarmd.core.ledger.tree import account_above
from swarmd.core.model.actions import Actor
from swarmd.core.model.changes import AccountFunded
from swarmd.core.model.charter import AMOUNT_MAX, KINDS
from swarmd.core.model.entries import order_facts
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


def to_give(swarm: Swarm, mission: MissionId) -> dict[str, int]:
    """What a motion can give executives at most, by kind."""
    return board_part.to_give(swarm, mission)


def can_pay_an_executive(swarm: Swarm, mission: MissionId) -> bool:
    """Whether a motion can give one what it takes at least, as far as that is known."""
    estimate, given = swarm.observed.estimates.get(mission), to_give(swarm, mission)
    return estimate is None or all(
        given.get(kind, 0) >= n for kind, n in estimate.executive.items()
    )


def fund(draft: Draft, actor: Actor, target: str, given: Mapping[Any, int]) -> Denied | None:
    swarm = draft.swarm
    amounts = {str(kind): amount for kind, amount in given.items() if amount}
    if not amounts:
        return Denied(Rule.REQUEST_INVALID, "fund with what? amounts of " + ", ".join(KINDS))
    account = _named_account(swarm, actor, target)
    if isinstance(account, Denied):
        return account
    above = _payer_of(swarm, actor, account)
    if isinstance(above, Denied):
        return above
    denied = _refuse_short(swarm, above, amounts) or _refuse_full(swarm, account, amounts)
    if denied is None:
        _add_to(draft, actor, AccountFunded(account, above, amounts))
    return denied


def _add_to(draft: Draft, actor: Actor, funded: AccountFunded) -> None:
    draft.add(funded)
    _record_funding(draft, actor, funded.id, funded.amounts)
    _lift_budget_stop(draft, actor, funded.id)


def _named_account(swarm: Swarm, actor: Actor, target: str) -> str | Denied:
    """An operator names any account, anybody else an agent that it may reach."""
    if actor.authority is Authority.OPERATOR:
        return target
    found = find(swarm, actor, target)
    return found if isinstance(found, Denied) else found.id


def _payer_of(swarm: Swarm, actor: Actor, account: str) -> str | Denied:
    """The account above, out of which the amounts come, if it is the actor's own."""
    above = account_above(swarm, account)
    if above is None:
        return Denied(Rule.UNKNOWN_AGENT, f"{account} has no account")
    own = {Authority.LINEAGE: actor.id, Authority.BOARD: actor.mission}.get(actor.authority, above)
    if above != own:
        return Denied(
            Rule.AUTHORITY,
            f"{account} lives on the account of {above}: only that one can add to it",
        )
    if above and MissionId(account) in swarm.missions and account not in swarm.boards:
        return Denied(Rule.UNKNOWN_MISSION, f"{account} has no account yet")
    return above


def _refuse_short(swarm: Swarm, above: str, amounts: Mapping[str, int]) -> Denied | None:
    """No more than is free above. What the root is given is taken from nowhere."""
    free = swarm.observed.free.get(above, {})
    short = [
        f"{kind}: {n} asked, {free.get(kind, 0)} free"
        for kind, n in amounts.items()
        if above and free.get(kind, 0) < n
    ]
    return Denied(Rule.BUDGET_SHARE, ", ".join(short)) if short else None


def _refuse_full(swarm: Swarm, account: str, amounts: Mapping[str, int]) -> Denied | None:
    caps = swarm.observed.caps.get(account, {})
    over = [kind for kind, n in amounts.items() if caps.get(kind, 0) + n > AMOUNT_MAX]
    why = f"an account holds {AMOUNT_MAX:,} at most"
    return Denied(Rule.BUDGET_SHARE, f"{over[0]}: {why}") if over else None


def _record_funding(draft: Draft, actor: Actor, account: str, amounts: Mapping[str, int]) -> None:
    listed = ", ".join(f"{n} {kind}" for kind, n in amounts.items())
    draft.record(
        JournalEvent.ACCOUNT_FUNDED,
        f"{actor.id} adds to {account}: {listed}",
        actor=actor.id,
        mission=actor.mission,
        account=account,
        amounts=amounts,
        more=order_facts(actor.order, "done"),
    )


def _lift_budget_stop(draft: Draft, actor: Actor, account: str) -> None:
    """Whom its empty account has stopped goes on, unless a better one has stopped it."""
    swarm = draft.swarm
    stop = swarm.lineage.stops.get(f"={account}")
    if stop is not None and stop.rule.startswith("budget.") and not outranks(swarm, stop, actor):
        lift(draft, stop, by=actor.id, reason="it has been funded")
