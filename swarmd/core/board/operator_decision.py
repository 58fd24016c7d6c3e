"""What an operator decides of a motion: gives or refuses permission, carries or vetoes it. Pure."""

from __future__ import annotations

from swarmd.core.actions import approvals, override_record
from swarmd.core.board.clerk import advance, in_hand
from swarmd.core.board.events import Announce, Executed, Overruled, Refused
from swarmd.core.board.execution import execute_motion
from swarmd.core.board.room import announce
from swarmd.core.model.actions import Actor
from swarmd.core.model.motion_kinds import Carried
from swarmd.core.model.motions import MOTION
from swarmd.core.model.names import MissionId
from swarmd.core.model.overruling import Overruling
from swarmd.core.model.procedure import Procedure
from swarmd.core.model.records import Approval
from swarmd.core.model.refusals import Denied, Rule
from swarmd.core.model.state import Draft
from swarmd.core.model.tables import APPROVALS, Drop


def answered(draft: Draft, approval: Approval) -> Denied | None:
    """An operator has answered for a motion, or nobody did: executed now, once, or told to the
    board.
    """
    id, number = approval.mission, approval.action["request"]["number"]
    if in_hand(draft, id) is None:
        return Denied(Rule.UNKNOWN_MISSION, id)
    procedure = draft.swarm.boards[id]
    event = _executed_after_all(draft, approval)
    if procedure.stage == "carrying" and procedure.motion_number == number:
        advance(draft, id, event)
    else:
        _announce_answer(draft, approval, event)
    if isinstance(event, Refused) and approval.answer == "approved":
        return Denied(event.rule, event.detail)
    return None


def _executed_after_all(draft: Draft, approval: Approval) -> Executed | Refused:
    action, request = approval.action, approval.action["request"]
    number = request["number"]
    if approval.answer != "approved" or approvals.digest_of(action) != approval.digest:
        rule = Rule.APPROVAL_EXPIRED if approval.answer == "expired" else Rule.APPROVAL_DENIED
        return Refused(number, rule, f"{approval.id}, by {approval.answered_by}")
    motion, taint = MOTION.validate_python(request["motion"]), tuple(action["taint"])
    minds = tuple(request["minds"])
    carried = Carried(approval.mission, motion, taint, has_permission=True, minds=minds)
    event = execute_motion(draft, number, carried)
    assert event is not None
    return event


def _announce_answer(draft: Draft, approval: Approval, event: Executed | Refused) -> None:
    """The board has gone on with another motion."""
    outcome = (
        f"stays fallen: {event.rule}" if isinstance(event, Refused) else "is executed after all"
    )
    number = event.motion_number
    line = Announce(f"Motion {number} {outcome} ({approval.id}).", {"motion_number": number})
    announce(draft, approval.mission, line)


def overrule(draft: Draft, actor: Actor, asked: Overruling) -> Denied | None:
    """An operator carries or vetoes the motion before the board; while a veto stands the same
    one falls again.
    """
    id = MissionId(asked.target)
    procedure = draft.swarm.boards.get(id)
    if procedure is None or procedure.motion is None:
        return Denied(Rule.OVERRIDE_INVALID, f"no motion of mission {id[:64]} is before the board")
    number = procedure.motion_number
    override = override_record.begin_override(
        draft,
        actor,
        asked,
        target=id,
        mission=id,
        before=_motion_before(procedure),
        after={"vetoed" if asked.take else "carried": number},
    )
    override_record.record_override(draft, actor, override)
    _drop_approvals(draft, id, number)
    detail = f"{override.id}, by {actor.id}: {asked.reason}"
    advance(draft, id, Overruled(number, not asked.take, Rule.OVERRIDE_ACTIVE, detail))
    return None


def _motion_before(procedure: Procedure) -> dict[str, object]:
    assert procedure.motion is not None
    return {
        "number": procedure.motion_number,
        "stage": procedure.stage,
        "motion": procedure.motion.model_dump(mode="json"),
    }


def _drop_approvals(draft: Draft, id: MissionId, number: int) -> None:
    """A motion that waited for an operator: an operator has decided."""
    for approval in list(draft.swarm.approvals.values()):
        if approval.mission == id and approval.action["request"].get("number") == number:
            draft.add(Drop(APPROVALS, approval.id))
