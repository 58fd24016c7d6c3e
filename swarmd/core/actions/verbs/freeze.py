"""Freeze: nothing more begins under the target until it is thawed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swarmd.core.model.actions import Action, Actor, Answers, Args

if TYPE_CHECKING:
    from swarmd.core.model.refusals import Denied
    from swarmd.core.model.state import Draft


def decide_freeze(draft: Draft, actor: Actor, args: Args) -> Denied | None:
    from swarmd.core.actions.stop import apply_stop

    return apply_stop(draft, actor, args)


ACTION = Action(
    name="freeze",
    help="Let nothing more begin there, until it is thawed; what is under way ends.",
    decide=decide_freeze,
    consequence="inward",
    answers=Answers.WHEN_SEEN,
)
