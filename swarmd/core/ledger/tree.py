"""The account above an account, and what of it a child may be given. Pure."""

from __future__ import annotations

from collections.abc import Sequence
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
    limits, free = swarm.declared.limits, dict(swarm.observed.free.get(account, {}))
    for kind, kept in _kept_for_the_board(swarm, account).items():
        free[kind] = max(0, free.get(kind, 0) - kept)
    left = {
        k: free.get(k, 0) - sum(s.caps[k] for s in pending if s.account == account) for k in KINDS
    }
    caps = {}
    for kind in KINDS:
        # Shares are of the whole that was free before this motion, so that siblings get equal ones;
        # where so many are made at once that the default would leave the last with nothing, they
        # divide it.
        share = max(0, free.get(kind, 0)) * min(limits.share_percent, 100 // together) // 100
        own_slot = 1 if kind == "agents" else 0
        asked = charter.budget.get(kind)  # type: ignore[call-overload]  # KINDS are the keys
        caps[kind] = (share if asked is None else int(asked)) + (
            own_slot if asked is not None or not share else 0
        )
        if asked is not None and caps[kind] > left[kind]:
            return Denied(Rule.BUDGET_SHARE, f"{kind}: {caps[kind]} needed, {left[kind]} free")
        caps[kind] = min(caps[kind], left[kind])
        if caps[kind] < 1 and kind in NEEDED_KINDS:
            return Denied(Rule.BUDGET_EXHAUSTED, f"{kind}: {left[kind]} free")
    return caps


def _kept_for_the_board(swarm: Swarm, account: str) -> dict[str, int]:
    """Of a mission's budget a part stays the board's: it must be able to review and to deliver."""
    mission = swarm.missions.get(MissionId(account))
    if mission is None:
        return {}
    percent = swarm.declared.limits.board_percent
    return {kind: mission.budget[kind] * percent // 100 for kind in ("tokens", "cost", "calls")}
