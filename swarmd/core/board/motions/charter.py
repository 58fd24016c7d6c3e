"""Charter: executives are created with their tasks and budgets, all or none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from swarmd.core.model.charter import Charter, Line, Word
from swarmd.core.model.motion_kinds import Asks, BaseMotion, Carried, MotionKind

if TYPE_CHECKING:
    from swarmd.core.model.records import Spawned
    from swarmd.core.model.refusals import Denied
    from swarmd.core.model.state import Draft


class Executive(Charter):
    """A charter in a motion. Its key names it within the motion."""

    key: Word


class CharterMotion(BaseMotion):
    """Create executives with their tasks and budgets, all or none."""

    motion: Literal["charter"]
    executives: tuple[Executive, ...] = Field(min_length=1, max_length=6)
    reason: Line


def decide_charter(draft: Draft, carried: Carried) -> Denied | Asks | None:
    from swarmd.core.actions import approvals
    from swarmd.core.model.names import Authority
    from swarmd.core.model.refusals import Denied
    from swarmd.core.tree.spawn import made

    allowed = _allowed(draft, carried)
    if isinstance(allowed, Denied):
        return allowed
    if not carried.has_permission:
        need = approvals.for_spawn(draft.swarm, allowed, Authority.BOARD, carried.taint)
        if need is not None:
            executives = [approvals.spawn_facts(spawned) for spawned in allowed]
            facts = {"action": "charter", "executives": executives}
            return Asks(need.needs, need.rule, need.detail, facts)
    for spawned in allowed:
        draft.add(*made(draft.swarm, spawned, draft.moment, taint=carried.taint))
    return None


def _allowed(draft: Draft, carried: Carried) -> list[Spawned] | Denied:
    """All executives as the law makes them, each beside those before it, or why one is refused."""
    from swarmd.core.model.names import SOB
    from swarmd.core.model.refusals import Denied
    from swarmd.core.model.requests import SpawnRequest
    from swarmd.core.tree.spawn import decide_spawn

    board, executives = draft.lineage.agents[SOB], carried.motion.executives
    allowed: list[Spawned] = []
    for executive in executives:
        charter = Charter.model_validate(executive.model_dump(exclude={"key"}))
        spawned = decide_spawn(
            draft.swarm,
            board,
            SpawnRequest(key=executive.key, charter=charter, together=len(executives)),
            draft.moment,
            mission=carried.mission,
            pending=allowed,
        )
        if isinstance(spawned, Denied):
            return Denied(spawned.rule, f"{executive.name}: {spawned.detail}")
        allowed.append(spawned)
    return allowed


KIND = MotionKind(CharterMotion, decide_charter, opens=True)
