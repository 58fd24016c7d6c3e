"""Thaw: a stop is lifted, and what waited under it goes on where it stood."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swarmd.core.model.actions import Action, Actor, Args

if TYPE_CHECKING:
    from swarmd.core.model.consequences import Consequence
    from swarmd.core.model.refusals import Denied
    from swarmd.core.model.state import Draft, Swarm


def decide_thaw(draft: Draft, actor: Actor, args: Args) -> Denied | None:
    from swarmd.core.actions.stop import thaw

    return thaw(draft, actor, args)


def consequence_of_thaw(swarm: Swarm, actor: Actor, args: Args) -> Consequence:
    """One's own stop is one's own to lift, and so is what the supervisor holds until the superior
    has mended it. Of what is not stopped the law says so, whoever asks.
    """
    from swarmd.core.actions.stop import is_only_anothers

    return "widening" if is_only_anothers(swarm, actor, args.target) else "inward"


ACTION = Action(
    name="thaw",
    help="Lift a stop: what it held goes on where it stood; tells what still stops that.",
    decide=decide_thaw,
    consequence=consequence_of_thaw,
)
