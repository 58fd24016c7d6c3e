"""Fund: an open account is given more, out of the one above it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from swarmd.core.model.actions import Action, Actor, Args, Need, Target
from swarmd.core.model.charter import Amounts

if TYPE_CHECKING:
    from swarmd.core.model.refusals import Denied
    from swarmd.core.model.state import Draft


class FundArgs(Args):
    amounts: Amounts = Field(default_factory=dict, description="what it gets of your budget")

    def facts(self) -> dict[str, Any]:
        return {"budget": dict(self.amounts)} if self.amounts else {}


def decide_fund(draft: Draft, actor: Actor, args: FundArgs) -> Denied | None:
    from swarmd.core.actions.funding import fund

    return fund(draft, actor, args.target, args.amounts)


ACTION = Action(
    name="fund",
    help="Add to an account, of what is free in the one above it; the root gets what you say.",
    decide=decide_fund,
    consequence="inward",
    args=FundArgs,
    targets=(Target.ACCOUNT,),
    needs=frozenset({Need.FREE, Need.CAP}),
)
