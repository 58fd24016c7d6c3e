"""Sort: requests for permission are refused, or brought before a person; nothing is given by it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from swarmd.core.model.charter import LIST_MAX, Line, Reference
from swarmd.core.model.motion_kinds import Asks, BaseMotion, Carried, MotionKind

if TYPE_CHECKING:
    from swarmd.core.model.refusals import Denied
    from swarmd.core.model.state import Draft


class SortMotion(BaseMotion):
    """Answer requests for permission without giving any: refuse some, bring others before a
    person.
    """

    motion: Literal["sort"]
    deny: tuple[Reference, ...] = Field((), max_length=LIST_MAX, description="refused now")
    refer: tuple[Reference, ...] = Field(
        (), max_length=LIST_MAX, description="brought before a person"
    )
    reason: Line

    @model_validator(mode="after")
    def _sorts_each_once(self) -> SortMotion:
        named = (*self.deny, *self.refer)
        if not named or len(set(named)) != len(named):
            raise ValueError("a sort names requests for permission, each once")
        return self


def decide_sort(draft: Draft, carried: Carried) -> Denied | Asks | None:
    from swarmd.core.actions import approvals
    from swarmd.core.model.refusals import Denied, Rule

    unnamed = _unnamed(draft, carried)
    if unnamed:
        return Denied(Rule.BOARD_MOTION, f"it names {', '.join(unnamed)} neither way")
    refused = _refuse_referring(draft, carried) or _deny(draft, carried)
    if refused is None:
        approvals.refer(draft, carried.motion.refer)
    return refused


def _refuse_referring(draft: Draft, carried: Carried) -> Denied | None:
    from swarmd.core.actions import approvals
    from swarmd.core.model.actions import Actor
    from swarmd.core.model.names import SOB, Authority

    board = Actor(SOB, Authority.BOARD, carried.mission)
    return approvals.refuse_answers(draft.swarm, board, carried.motion.refer)


def _deny(draft: Draft, carried: Carried) -> Denied | Asks | None:
    from swarmd.core.actions.verbs.approve import AnswerArgs
    from swarmd.core.board.motions.act import do_for_board

    if not carried.motion.deny:
        return None
    (target, *also), reason = carried.motion.deny, carried.motion.reason
    args = AnswerArgs(verb="deny", target=target, also=tuple(also), reason=reason)
    return do_for_board(draft, carried, args)


def _unnamed(draft: Draft, carried: Carried) -> list[str]:
    """Requests on the agenda that still wait: what was put is not put again, so each is sorted."""
    from swarmd.core.model.names import Authority

    named, waiting = {*carried.motion.deny, *carried.motion.refer}, draft.swarm.approvals
    put = (str(item.get("approval")) for item in draft.swarm.boards[carried.mission].agenda)
    return [
        id
        for id in put
        if id in waiting
        and not waiting[id].answer
        and waiting[id].needs is not Authority.OPERATOR
        and id not in named
    ]


KIND = MotionKind(SortMotion, decide_sort, sorts=True)
