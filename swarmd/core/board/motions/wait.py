"""Wait: what was put to the board needs nothing now; who is at work goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from swarmd.core.model.charter import Line
from swarmd.core.model.motion_kinds import BaseMotion, Carried, MotionKind

if TYPE_CHECKING:
    from swarmd.core.model.refusals import Denied
    from swarmd.core.model.state import Draft


class WaitMotion(BaseMotion):
    """Do nothing now and let those go on who are at work: the board is called when they report."""

    motion: Literal["wait"]
    reason: Line


def decide_wait(draft: Draft, carried: Carried) -> Denied | None:
    from swarmd.core.board.standstill import is_mission_at_rest
    from swarmd.core.model.refusals import Denied, Rule

    if is_mission_at_rest(draft.swarm, carried.mission, draft.now):
        return Denied(
            Rule.BOARD_MOTION, "nobody works, so there is nothing to wait for: decide, or deliver"
        )
    return None


KIND = MotionKind(WaitMotion, decide_wait)
