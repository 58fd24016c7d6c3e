"""A review that has failed while executives work is set aside: the mission goes on, and the review
is put again when the next report comes, or when nobody works any more. Pure.

The procedure knows no tree: it fails where motions fall in a row, none is proposed, or all are used
up. That ends a mission whose work is over, with what there is. Where work is under way the board
was called about a part of it, and what it could not agree on there is no reason to end the rest.
"""

from __future__ import annotations

from collections.abc import Iterable

from swarmd.core.board import agenda, standstill
from swarmd.core.board.calling import Outcome
from swarmd.core.board.events import Announce, Await, Effect, Fail
from swarmd.core.model.names import MissionId
from swarmd.core.model.procedure import Procedure
from swarmd.core.model.state import Draft
from swarmd.core.model.watch import Watch


def set_aside(draft: Draft, id: MissionId, outcome: Outcome) -> Outcome:
    """A step of the mission's procedure, as it counts while somebody works."""
    moved, effects = outcome
    reason = _reason_of(effects)
    if not reason or not standstill.is_under_way(draft.swarm, id, draft.now):
        return outcome
    changes = {
        "stage": "working",
        "failure": "",
        # What falls next falls for good, unless somebody works then, too.
        "falls": min(moved.falls, draft.swarm.declared.board.falls_max - 1),
        "watch": _with_agenda(draft, id, moved),
    }
    kept = (effect for effect in effects if not isinstance(effect, Fail))
    return moved.model_copy(update=changes), (*kept, _line(moved, reason), Await())


def _reason_of(effects: Iterable[Effect]) -> str:
    """Why the mission would fail; empty where it does not."""
    return next((effect.reason for effect in effects if isinstance(effect, Fail)), "")


def _with_agenda(draft: Draft, id: MissionId, moved: Procedure) -> Watch:
    keys = agenda.keys_listed(draft.swarm, id, moved.agenda, draft.now)
    return moved.watch.model_copy(update={"set_aside": (*moved.watch.set_aside, *keys)})


def _line(moved: Procedure, reason: str) -> Announce:
    return Announce(
        f"The review is set aside, for executives work: {reason}. It is put again when the next "
        "report comes, or when nobody works any more.",
        {"set_aside": moved.motion_number, "why": reason},
    )


def put_again(draft: Draft, id: MissionId) -> None:
    """What was set aside calls the board as if it were new, as far as it still waits."""
    watch = draft.swarm.boards[id].watch
    if watch.set_aside:
        put = tuple(key for key in watch.put if key not in watch.set_aside)
        agenda.keep_watch(draft, id, put=put, set_aside=())
