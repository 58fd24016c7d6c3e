"""Drain: turns under way come to their end, within a grace; then the target ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from swarmd.core.model.actions import Action, Actor, Answers, Args, Target

if TYPE_CHECKING:
    from swarmd.core.model.refusals import Denied
    from swarmd.core.model.state import Draft


class DrainArgs(Args):
    grace_s: float = Field(60, ge=0, le=86_400, description="seconds, then what runs is ended")


def decide_drain(draft: Draft, actor: Actor, args: DrainArgs) -> Denied | None:
    from swarmd.core.actions.stop import apply_stop

    return apply_stop(draft, actor, args, grace_seconds=args.grace_s)


ACTION = Action(
    name="drain",
    help="Let turns under way come to their end, then end it.",
    decide=decide_drain,
    consequence="inward",
    args=DrainArgs,
    targets=(Target.AGENT, Target.MISSION, Target.GROUP),
    answers=Answers.WHEN_SEEN,
)
