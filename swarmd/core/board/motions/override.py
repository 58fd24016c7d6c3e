"""Override: one decision of somebody else's is replaced for a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from swarmd.core.model.charter import TEXT_CHARS_MAX
from swarmd.core.model.motion_kinds import Asks, BaseMotion, Carried, MotionKind
from swarmd.core.model.overruling import OverrideOrder, Overruling

if TYPE_CHECKING:
    from swarmd.core.model.refusals import Denied
    from swarmd.core.model.state import Draft


class OverrideMotion(Overruling, BaseMotion):
    """Give or take a right, replace a task, undo a spawn, for a time; or take such an override
    back.
    """

    motion: Literal["override"]
    kind: Literal["grant", "task", "spawn", "reverse"]
    take: bool = Field(False, description="for `grant`: take the right; for `spawn`: undo it")
    text: str = Field("", max_length=TEXT_CHARS_MAX, description="for `task`: the new task")

    @property
    def ends_agents(self) -> bool:
        return self.kind == "spawn"


def decide_override(draft: Draft, carried: Carried) -> Denied | Asks | None:
    from swarmd.core.actions.verbs.override import OverrideArgs
    from swarmd.core.board.motions.act import do_for_board

    motion = carried.motion
    asked = OverrideOrder.model_validate(motion.model_dump())
    args = OverrideArgs(verb="override", target=motion.target, reason=motion.reason, override=asked)
    return do_for_board(draft, carried, args)


KIND = MotionKind(OverrideMotion, decide_override)
