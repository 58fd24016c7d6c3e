"""The account above an account, and what of it a child may be given. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from swarmd.core.model.charter import KINDS, NEEDED_KINDS
from swarmd.core.model.names import (
    SOB,
    AgentId,
    MissionId,
    MissionState,
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
    free, given = free_to_give(swarm, account), _given_of(pending, account)
    percent = _share_percent(swarm, account, request.together)
    # Of several requests of one answer each is decided when those before it were carved already:
    # of what they left the same share is a larger part. One that was refused took nothing.
    living = {child.key for child in swarm.lineage.children(AgentId(account))}
    left_percent = max(percent, 100 - percent * len(living.intersection(request.before)))
    caps = {}
    for kind in KINDS:
        left = free.get(kind, 0) - sum(cap[kind] for cap in given)
        share = max(0, free.get(kind, 0)) * percent // left_percent
        cap = _cap_of(kind, request.charter.budget.get(kind), share, left)
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


def free_to_give(swarm: Swarm, account: str) -> dict[str, int]:
    """What of an account its holder may give to those that it creates."""
    free = dict(swarm.observed.free.get(account, {}))
    for kind, kept in _kept_for_the_board(swarm, account).items():
        free[kind] = max(0, free.get(kind, 0) - kept)
    return free


def _cap_of(kind: str, asked: float | None, share: int, left: int) -> int | Denied:
    """What is asked for, if it is `left`; else the default share, as far as that is left."""
    # Beside what is asked for, the child itself takes one place among agents.
    own_slot = 1 if kind == "agents" and (asked is not None or not share) else 0
    wanted = (share if asked is None else int(asked)) + own_slot
    if asked is not None and wanted > left:
        return Denied(Rule.BUDGET_SHARE, f"{kind}: {wanted} needed, {left} free")
    cap = min(wanted, left)
    if cap < 1 and kind in NEEDED_KINDS:
        return Denied(Rule.BUDGET_EXHAUSTED, f"{kind}: {left} free")
    return cap


def _kept_for_the_board(swarm: Swarm, account: str) -> dict[str, int]:
    """Of a mission's budget a part stays the board's: it must be able to review and to deliver."""
    mission = swarm.missions.get(MissionId(account))
    if mission is None:
        return {}
    percent, free = swarm.declared.limits.board_percent, swarm.observed.free.get(account, {})
    kinds = ("tokens", "cost", "calls")
    kept = {kind: mission.budget[kind] * percent // 100 for kind in kinds}
    # Of a small budget that part may be less than the board's next motion takes.
    motion = swarm.observed.motion_least.get(mission.id, {})
    if mission.state is not MissionState.DEBATING:
        return _at_least(kept, motion)
    # Until the first executive is made, what is gone was spent by the board: of its own part. As
    # much again is kept for the review at least.
    spent = {kind: max(0, mission.budget[kind] - free.get(kind, 0)) for kind in kinds}
    kept = {kind: max(n - spent[kind], min(n, spent[kind])) for kind, n in kept.items()}
    return _at_least(kept, motion)


def _at_least(kept: Mapping[str, int], motion: Mapping[str, int]) -> dict[str, int]:
    return {kind: max(n, motion.get(kind, 0)) for kind, n in kept.items()}
