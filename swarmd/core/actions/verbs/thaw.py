"""Thaw: a stop is lifted, and what waited under it goes on where it stood."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swarmd.core.model.actions import Action, Actor, Args

if TYPE_CHECKING:
    from swarmd.core.model.refusals import Denied
    from swarmd.core.model.state import Draft


def decide_thaw(draft: Draft, actor: Actor, args: Args) -> Denied | None:
    from swarmd.core.actions.stop import thaw

    return thaw(draft, actor, args)


ACTION = Action(
    name="thaw", help="Let it go on where it stood; tells what still stops it.", decide=decide_thaw
)
