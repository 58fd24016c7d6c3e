"""A motion is carried: the supervisor shall execute it, or has; or the chair has decided what it
may alone. Pure.
"""

from __future__ import annotations

from swarmd.core.board.admissible import sends_back
from swarmd.core.board.announcing import consent_line, opened_line
from swarmd.core.board.calling import Outcome, is_chairs
from swarmd.core.board.events import Await, Carry, Proposed
from swarmd.core.board.hearing import unheard
from swarmd.core.model.motion_kinds import kinds
from swarmd.core.model.procedure import NO_CALL, NO_MOTION, Procedure
from swarmd.core.model.voting import decide_consent


def carried(procedure: Procedure) -> Outcome:
    assert procedure.motion is not None
    minds = tuple(f"{argument.seat}: {argument.text}" for argument in procedure.accepted)
    carry = Carry(procedure.motion_number, procedure.motion, minds)
    return procedure.model_copy(update=NO_CALL | {"stage": "carrying"}), (carry,)


def executed(procedure: Procedure) -> Outcome:
    """An executed motion ends the row of falls. Delivered and rejected missions need the board
    no more.
    """
    changes = NO_MOTION | {"falls": 0, "refusal": "", "fallen": None}
    kind = None if procedure.motion is None else kinds()[procedure.motion.motion]
    if kind is not None and kind.ends:
        return procedure.model_copy(update=changes | {"stage": "ended"}), ()
    motion = procedure.motion
    sent_back = procedure.sent_back + (motion is not None and sends_back(procedure, motion))
    changes |= {"stage": "working", "sent_back": sent_back}
    return procedure.model_copy(update=changes), (Await(),)


def sorted_alone(procedure: Procedure, proposed: Proposed) -> Outcome | None:
    """The chair has sorted what was put for that: for this motion it is the whole bench."""
    if not _may_decide_alone(procedure, proposed):
        return None
    changes = {"motion": proposed.motion, "proposer": proposed.seat, "taint": proposed.taint}
    put = procedure.model_copy(update=changes)
    alone = put.model_copy(update={"bench": put.bench.chair_alone()})
    consent = consent_line(alone, decide_consent((), alone.bench))
    moved, effects = carried(put)
    return moved, (opened_line(proposed), consent, *effects)


def _may_decide_alone(procedure: Procedure, proposed: Proposed) -> bool:
    """It sorts, the law has nothing against it, and the chair has heard everything."""
    motion = proposed.motion
    is_lawful = proposed.judged is None and kinds()[motion.motion].sorts
    return is_lawful and is_chairs(procedure, proposed.seat) and not unheard(procedure, motion)
