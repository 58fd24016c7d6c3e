"""Reject: the mission ends with what is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from swarmd.core.model.charter import Text
from swarmd.core.model.motion_kinds import BaseMotion, Carried, MotionKind

if TYPE_CHECKING:
    from swarmd.core.model.state import Draft


class RejectMotion(BaseMotion):
    """Reject the mission and say what is missing."""

    motion: Literal["reject"]
    reason: Text


def decide_reject(draft: Draft, carried: Carried) -> None:
    from swarmd.core.missions import queue
    from swarmd.core.model.names import MissionState

    mission = draft.swarm.missions[carried.mission]
    queue.end(draft, mission, MissionState.REJECTED, carried.motion.reason)


KIND = MotionKind(RejectMotion, decide_reject, opens=True, ends=True)
