"""Halt: what runs under the target is cut, and nothing more begins until it is thawed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swarmd.core.model.actions import Action, Actor, Answers, Args

if TYPE_CHECKING:
    from swarmd.core.model.refusals import Denied
    from swarmd.core.model.state import Draft


def decide_halt(draft: Draft, actor: Actor, args: Args) -> Denied | None:
    from swarmd.core.actions.stop import apply_stop

    return apply_stop(draft, actor, args)


ACTION = Action(
    name="halt",
    help="Stop at once: calls under way are cut. Of all, it works also while the server is away.",
    decide=decide_halt,
    consequence="inward",
    answers=Answers.WHEN_SEEN,
    default_target="all",
    confirm="halt everything?",
)
