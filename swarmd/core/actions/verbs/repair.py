"""Repair: the store is made to hold again what memory holds of the target."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swarmd.core.model.actions import Action, Actor, Args, Need, Target
from swarmd.core.model.names import Authority

if TYPE_CHECKING:
    from swarmd.core.model.refusals import Denied
    from swarmd.core.model.state import Draft


def decide_repair(draft: Draft, actor: Actor, args: Args) -> Denied | None:
    from swarmd.core.actions.repairs import repair

    return repair(draft, actor.order, args.target, args.reason)


ACTION = Action(
    name="repair",
    help="Repair what swarmd fsck has found.",
    decide=decide_repair,
    targets=(Target.FINDING,),
    authorities=(Authority.OPERATOR,),
    needs=frozenset({Need.CORRECTION}),
    group=None,
)
