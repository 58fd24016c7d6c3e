"""Override: one decision of somebody else's is replaced for a time, or such an override taken back.

The motion before the board is the clerk's to replace: `control.dispatch` hands that kind to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from swarmd.core.model.actions import Action, Actor, Args, Need, Target
from swarmd.core.model.names import Authority
from swarmd.core.model.overruling import OverrideOrder
from swarmd.core.model.refusals import Denied, Rule

if TYPE_CHECKING:
    from swarmd.core.model.state import Draft, Swarm


class OverrideArgs(Args):
    override: OverrideOrder | None = None

    def privileges_given(self) -> tuple[str, ...]:
        asked = self.override
        is_given = asked is not None and asked.kind == "grant" and not asked.take
        return (asked.privilege,) if asked is not None and is_given else ()

    def facts(self) -> dict[str, Any]:
        # Its target is the seats' own word: an operator sees the motion itself.
        asked = self.override
        return {"kind": asked.kind, "seconds": asked.seconds} if asked is not None else {}


def decide_override(draft: Draft, actor: Actor, args: OverrideArgs) -> Denied | None:
    from swarmd.core.actions.overrides import override

    if args.override is None:
        return Denied(Rule.REQUEST_INVALID, "override: what is overridden is missing")
    return override(draft, actor, args.override)


def foresee_override(swarm: Swarm, actor: Actor, args: OverrideArgs) -> dict[str, Any] | Denied:
    return {"action": "override"}


ACTION = Action(
    name="override",
    help="Replace one decision for a time: a right, a task, a spawn, a message, a motion.",
    decide=decide_override,
    args=OverrideArgs,
    targets=(Target.DECISION,),
    authorities=(Authority.BOARD, Authority.OPERATOR),
    needs=frozenset({Need.FREE}),
    foresee=foresee_override,
    group=None,
    has_own_motion=True,
)
