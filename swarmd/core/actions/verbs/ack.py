"""Ack: an operator has looked into a gap of the journal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swarmd.core.model.actions import Action, Actor, Args, Target
from swarmd.core.model.names import Authority

if TYPE_CHECKING:
    from swarmd.core.model.refusals import Denied
    from swarmd.core.model.state import Draft


def decide_ack(draft: Draft, actor: Actor, args: Args) -> Denied | None:
    from swarmd.core.actions.repairs import acknowledge

    return acknowledge(draft, actor.order, args.target, args.reason)


ACTION = Action(
    name="ack",
    help="Acknowledge a gap that you have looked into: verify reports it no more.",
    decide=decide_ack,
    targets=(Target.ENTRY,),
    authorities=(Authority.OPERATOR,),
    group="journal",
)
