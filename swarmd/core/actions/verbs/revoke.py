"""Revoke: an agent and all below it lose a right over a privilege."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swarmd.core.actions.verbs.grant import RightArgs
from swarmd.core.model.actions import Action, Actor, Target

if TYPE_CHECKING:
    from swarmd.core.model.refusals import Denied
    from swarmd.core.model.state import Draft


def decide_revoke(draft: Draft, actor: Actor, args: RightArgs) -> Denied | None:
    from swarmd.core.actions.rights import revoke

    return revoke(draft, actor, args.change())


ACTION = Action(
    name="revoke",
    help="Take a right from an agent and all below it; their next action meets it.",
    decide=decide_revoke,
    consequence="inward",
    args=RightArgs,
    targets=(Target.AGENT,),
)
