"""Drop: a dead letter is given up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swarmd.core.model.actions import Action, Actor, Args, Need, Target
from swarmd.core.model.names import Authority

if TYPE_CHECKING:
    from swarmd.core.model.refusals import Denied
    from swarmd.core.model.state import Draft


def decide_drop(draft: Draft, actor: Actor, args: Args) -> Denied | None:
    from swarmd.core.actions.dead_letters import drop

    return drop(draft, actor.order, args.target, args.reason)


ACTION = Action(
    name="drop",
    help="Give the message up; the journal keeps that it was there.",
    decide=decide_drop,
    targets=(Target.LETTER,),
    authorities=(Authority.OPERATOR,),
    needs=frozenset({Need.LETTER}),
    group="dead",
)
