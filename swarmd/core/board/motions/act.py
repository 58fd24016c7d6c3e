"""Act: one of the verbs that the board may ask for, done to an agent of the mission."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from swarmd.core.model.motion_kinds import Asks, BaseMotion, Carried, MotionKind
from swarmd.core.model.written_acts import BoardsAct

if TYPE_CHECKING:
    from swarmd.core.model.actions import Args
    from swarmd.core.model.refusals import Denied
    from swarmd.core.model.state import Draft


class ActMotion(BoardsAct, BaseMotion):
    """Stop, thaw or end an agent of this mission, change its privileges, fund it, or answer its
    request for permission.
    """

    motion: Literal["act"]

    @property
    def ends_agents(self) -> bool:
        return self.verb in ("drain", "terminate")


def decide_act(draft: Draft, carried: Carried) -> Denied | Asks | None:
    return do_for_board(draft, carried, carried.motion.args())


def do_for_board(draft: Draft, carried: Carried, args: Args) -> Denied | Asks | None:
    """A verb with the board's authority."""
    from swarmd.core.actions import registry
    from swarmd.core.model.actions import Actor
    from swarmd.core.model.names import SOB, Authority
    from swarmd.core.model.refusals import Denied

    actor = Actor(SOB, Authority.BOARD, carried.mission, taint=carried.taint)
    need = None if carried.has_permission else registry.permission_needed(draft.swarm, actor, args)
    if need is None:
        return registry.do(draft, actor, args)
    facts = registry.facts_of(draft.swarm, actor, args)
    if isinstance(facts, Denied):
        return facts
    return Asks(need.needs, need.rule, need.detail, facts)


KIND = MotionKind(ActMotion, decide_act)
