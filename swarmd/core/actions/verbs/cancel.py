"""Cancel: a mission ends, with all its agents and its account."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swarmd.core.model.actions import Action, Actor, Answers, Args, Target
from swarmd.core.model.names import Authority

if TYPE_CHECKING:
    from swarmd.core.model.refusals import Denied
    from swarmd.core.model.state import Draft


def decide_cancel(draft: Draft, actor: Actor, args: Args) -> Denied | None:
    from swarmd.core.actions.ending import end_many

    return end_many(draft, actor, args)


ACTION = Action(
    name="cancel",
    help="Cancel a mission: its agents are ended, its account is closed.",
    decide=decide_cancel,
    targets=(Target.MISSION,),
    authorities=(Authority.OPERATOR,),
    answers=Answers.WHEN_SEEN,
)
