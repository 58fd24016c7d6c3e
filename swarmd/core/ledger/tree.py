"""The account above an account, and what of it a child may be given. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from swarmd.core.ledger.board_part import free_to_give, named_bounds
from swarmd.core.model.charter import KINDS, NEEDED_KINDS
from swarmd.core.model.names import (
    SOB,
    AgentId,
    MissionId,
)
from swarmd.core.model.records import Spawned
from swarmd.core.model.refusals import Denied, Rule
from swarmd.core.model.requests import SpawnRequest
from swarmd.core.model.state import Swarm


def account_above(swarm: Swarm, target: str) -> str | None:
    """The account that another one was carved from; empty for the root, `None` where there is no
    such account.
    """
    if target == SOB:
        return ""
    if MissionId(target) in swarm.missions:
        return SOB
    agent = swarm.lineage.get(target)
    if agent is None or agent.is_seat:
        return None
    return agent.mission if agent.parent == SOB else str(agent.parent)


def child_caps(
    swarm: Swarm, account: str, request: SpawnRequest, pending: Sequence[Spawned]
) -> dict[str, int] | Denied:
    """The child's share: what its charter asks for, else an equal share with those that are made
    with it. `pending` are those of a motion that is not carried out yet.
    """
    free, (bound, told) = free_to_give(swarm, account), named_bounds(swarm, account)
    given = Counter[str]()
    for carved in _given_of(pending, account):
        given.update(carved)
    percent = _share_percent(swarm, account, request.together)
    # Of several requests of one answer each is decided when those before it were carved already:
    # of what they left the same share is a larger part. One that was refused took nothing.
    living = {child.key for child in swarm.lineage.children(AgentId(account))}
    left_percent = max(percent, 100 - percent * len(living.intersection(request.before)))
    caps = {}
    for kind in KINDS:
        asked = request.charter.budget.get(kind)
        if asked is None:
            # Of what is there when it is carved, so that it falls by no debate.
            share = max(0, free.get(kind, 0)) * percent // left_percent
            cap = _default_cap(kind, share, free.get(kind, 0) - given[kind])
        else:
            cap = _named_cap(
                kind, int(asked), bound.get(kind, 0) - given[kind], told.get(kind, 0) - given[kind]
            )
        if isinstance(cap, Denied):
            return cap
        caps[kind] = cap
    return caps


def _share_percent(swarm: Swarm, account: str, together: int) -> int:
    """Executives divide nearly all that a mission can give: the board makes them at once, by one
    motion. An agent may make further children later.
    """
    limits = swarm.declared.limits
    equal = max(1, limits.together_percent // together)
    return equal if MissionId(account) in swarm.missions else min(limits.share_percent, equal)


def _given_of(pending: Sequence[Spawned], account: str) -> list[Mapping[str, int]]:
    return [spawned.caps for spawned in pending if spawned.account == account]


def _default_cap(kind: str, share: int, left: int) -> int | Denied:
    """As far as it is left."""
    own_slot = 1 if kind == "agents" and not share else 0
    return _needed(kind, min(share + own_slot, left), left)


def _named_cap(kind: str, asked: int, bound: int, told: int) -> int | Denied:
    """Beside what is asked for, the child itself takes one place among agents."""
    wanted = asked + (kind == "agents")
    if wanted > bound:
        return Denied(Rule.BUDGET_SHARE, f"{kind}: {wanted} needed, {told} free")
    return _needed(kind, wanted, bound)


def _needed(kind: str, cap: int, left: int) -> int | Denied:
    if cap < 1 and kind in NEEDED_KINDS:
        return Denied(Rule.BUDGET_EXHAUSTED, f"{kind}: {left} free")
    return cap
