"""Forget: the record of a mission that has ended is deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swarmd.core.model.actions import Action, Actor, Args, Target
from swarmd.core.model.names import Authority

if TYPE_CHECKING:
    from swarmd.core.model.refusals import Denied
    from swarmd.core.model.state import Draft


def decide_forget(draft: Draft, actor: Actor, args: Args) -> Denied | None:
    from swarmd.core.actions.forgetting import forget

    return forget(draft, actor.order, args.target, args.reason)


ACTION = Action(
    name="forget",
    help="Delete the record of a mission that has ended: its prompts and answers.",
    decide=decide_forget,
    targets=(Target.MISSION,),
    authorities=(Authority.OPERATOR,),
)
