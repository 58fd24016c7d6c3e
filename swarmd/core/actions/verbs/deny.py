"""Deny: what waits for permission is refused it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swarmd.core.actions.verbs.approve import AnswerArgs, foresee_answer
from swarmd.core.model.actions import Action, Actor, Target

if TYPE_CHECKING:
    from swarmd.core.model.refusals import Denied
    from swarmd.core.model.state import Draft


def decide_deny(draft: Draft, actor: Actor, args: AnswerArgs) -> Denied | None:
    from swarmd.core.actions.approvals import answer

    return answer(draft, actor, args.approvals(), args.reason, is_approved=False)


ACTION = Action(
    name="deny",
    help="Refuse permission; who asked is told.",
    decide=decide_deny,
    args=AnswerArgs,
    targets=(Target.APPROVAL,),
    foresee=foresee_answer,
)
