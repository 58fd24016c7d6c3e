"""Retry: a dead letter is handed out once more to its reader."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swarmd.core.model.actions import Action, Actor, Args, Need, Target
from swarmd.core.model.names import Authority

if TYPE_CHECKING:
    from swarmd.core.model.refusals import Denied
    from swarmd.core.model.state import Draft


def decide_retry(draft: Draft, actor: Actor, args: Args) -> Denied | None:
    from swarmd.core.actions.dead_letters import retry

    return retry(draft, actor.order, args.target, args.reason)


ACTION = Action(
    name="retry",
    help="Hand the message out once more to its reader; the letter goes.",
    decide=decide_retry,
    targets=(Target.LETTER,),
    authorities=(Authority.OPERATOR,),
    needs=frozenset({Need.LETTER}),
    group="dead",
)
