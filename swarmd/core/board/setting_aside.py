"""A review that has failed while executives work is set aside: the mission goes on, and the review
is put again when the next report comes, or when nobody works any more. Pure.

The procedure knows no tree: it fails where motions fall in a row, none is proposed, or all are used
up. That ends a mission whose work is over, with what there is. Where work is under way the board
was called about a part of it, and what it could not agree on there is no reason to end the rest.
"""

from __future__ import annotations

from swarmd.core.board import agenda
from swarmd.core.board.calling import Outcome
from swarmd.core.board.events import Announce, Await, Fail
from swarmd.core.model.names import MissionId
from swarmd.core.model.state import Draft


def set_aside(draft: Draft, id: MissionId, outcome: Outcome) -> Outcome:
    """A step of the mission's procedure, as it counts while somebody works."""
    moved, effects = outcome
    reason = next((effect.reason for effect in effects if isinstance(effect, Fail)), "")
    if not reason or not agenda.is_under_way(draft.swarm, id, draft.now):
        return outcome
    rules, watch = draft.swarm.declared.board, moved.watch
    keys = agenda.keys_listed(draft.swarm, id, moved.agenda, draft.now)
    changes = {
        "stage": "working",
        "failure": "",
        # What falls next falls for good, unless somebody works then, too.
        "falls": min(moved.falls, rules.falls_max - 1),
        "watch": watch.model_copy(update={"set_aside": (*watch.set_aside, *keys)}),
    }
    kept = (effect for effect in effects if not isinstance(effect, Fail))
    line = Announce(
        f"The review is set aside, for executives work: {reason}. It is put again when the next "
        "report comes, or when nobody works any more.",
        {"set_aside": moved.motion_number, "why": reason},
    )
    return moved.model_copy(update=changes), (*kept, line, Await())


def put_again(draft: Draft, id: MissionId) -> None:
    """What was set aside calls the board as if it were new, as far as it still waits."""
    watch = draft.swarm.boards[id].watch
    if watch.set_aside:
        put = tuple(key for key in watch.put if key not in watch.set_aside)
        agenda.keep_watch(draft, id, put=put, set_aside=())
