"""Approve: what waits for permission is given it, and is decided now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from swarmd.core.model.actions import Action, Actor, Args, Target, act_facts

if TYPE_CHECKING:
    from swarmd.core.model.refusals import Denied
    from swarmd.core.model.state import Draft, Swarm


class AnswerArgs(Args):
    """Of approve and of deny."""

    target: Annotated[str, Field(min_length=1, max_length=600)] = Field(description="the approval")
    also: tuple[Annotated[str, Field(min_length=1, max_length=64)], ...] = Field(
        (), max_length=16, description="more approvals, answered alike, all or none"
    )

    def approvals(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self.target, *self.also)))

    def facts(self) -> dict[str, Any]:
        return {"also": list(self.also)} if self.also else {}


def decide_approve(draft: Draft, actor: Actor, args: AnswerArgs) -> Denied | None:
    from swarmd.core.actions.approvals import answer

    return answer(draft, actor, args.approvals(), args.reason, is_approved=True)


def foresee_answer(swarm: Swarm, actor: Actor, args: AnswerArgs) -> dict[str, Any] | Denied:
    from swarmd.core.actions.approvals import refuse_answers

    denied = refuse_answers(swarm, actor, args.approvals())
    return denied or act_facts(actor, args, args.target)


ACTION = Action(
    name="approve",
    help="Give permission; what was asked for is decided now, once, by the law as it is.",
    decide=decide_approve,
    args=AnswerArgs,
    targets=(Target.APPROVAL,),
    foresee=foresee_answer,
)
