"""The account above an account, and what of it a child may be given. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from swarmd.core.model.charter import KINDS, Charter
from swarmd.core.model.names import (
    SOB,
    MissionId,
)
from swarmd.core.model.records import Spawned
from swarmd.core.model.refusals import Denied, Rule
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


# Without any of these an agent cannot live or think; a model that costs nothing needs no money, and
# not every agent a tool.
NEEDED_KINDS: Final = ("tokens", "calls", "agents")


def child_caps(
    swarm: Swarm, account: str, charter: Charter, pending: Sequence[Spawned], together: int
) -> dict[str, int] | Denied:
    """The child's share: what its charter asks for, else the default share of what is free now."""
    free, given = free_to_give(swarm, account), _given_of(pending, account)
    # Shares are of the whole that was free before this motion, so that siblings get equal ones;
    # where so many are made at once that the default would leave the last with nothing, they
    # divide it.
    percent = min(swarm.declared.limits.share_percent, 100 // together)
    caps = {}
    for kind in KINDS:
        left = free.get(kind, 0) - sum(cap[kind] for cap in given)
        share = max(0, free.get(kind, 0)) * percent // 100
        cap = _cap_of(kind, charter.budget.get(kind), share, left)
        if isinstance(cap, Denied):
            return cap
        caps[kind] = cap
    return caps


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
    percent = swarm.declared.limits.board_percent
    return {kind: mission.budget[kind] * percent // 100 for kind in ("tokens", "cost", "calls")}
