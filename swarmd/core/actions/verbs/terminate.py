"""Terminate: the target ends, and all below it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from swarmd.core.model.actions import Action, Actor, Answers, Args, Target

if TYPE_CHECKING:
    from swarmd.core.model.refusals import Denied
    from swarmd.core.model.state import Draft, Swarm


def decide_terminate(draft: Draft, actor: Actor, args: Args) -> Denied | None:
    from swarmd.core.actions.ending import end_target

    return end_target(draft, actor, args)


def foresee_terminate(swarm: Swarm, actor: Actor, args: Args) -> dict[str, Any] | Denied:
    from swarmd.core.actions.ending import foresee_end

    return foresee_end(swarm, actor, args)


ACTION = Action(
    name="terminate",
    help="End an agent or a mission, and all below it; 0 only if every one was seen to end.",
    decide=decide_terminate,
    consequence="inward",
    targets=(Target.AGENT, Target.MISSION, Target.GROUP),
    answers=Answers.WHEN_SEEN,
    foresee=foresee_terminate,
    confirm="end every mission?",
)
