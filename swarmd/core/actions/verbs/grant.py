"""Grant: an agent is given a right over a privilege."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from swarmd.core.model.actions import Action, Actor, Args, Target
from swarmd.core.model.charter import Path
from swarmd.core.model.privileges import is_path

if TYPE_CHECKING:
    from swarmd.core.actions.rights import RightChange
    from swarmd.core.model.refusals import Denied
    from swarmd.core.model.state import Draft


class RightArgs(Args):
    """Of grant and of revoke."""

    privilege: Path | None = Field(None, description="the path")
    right: Literal["use", "grant", "both"] = "both"

    def facts(self) -> dict[str, Any]:
        privilege = self.privilege or ""
        return {"privilege": privilege if is_path(privilege) else "", "right": self.right}

    def change(self) -> RightChange:
        from swarmd.core.actions.rights import RightChange

        return RightChange(self.target, self.privilege or "", self.right, self.reason)


class GrantArgs(RightArgs):
    def privileges_given(self) -> tuple[str, ...]:
        return (self.privilege or "",)


def decide_grant(draft: Draft, actor: Actor, args: GrantArgs) -> Denied | None:
    from swarmd.core.actions.rights import grant

    return grant(draft, actor, args.change())


ACTION = Action(
    name="grant",
    help="Give an agent a right over a privilege.",
    decide=decide_grant,
    args=GrantArgs,
    targets=(Target.AGENT,),
)
