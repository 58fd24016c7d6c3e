"""The clerk: steps the board's procedure and turns what it wants into changes. Pure.

Only a carried motion speaks for the board, and it is executed whole or not at all: what the law
refuses goes back to the seats with the name of the rule, and changes nothing but the journal.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, assert_never

from pydantic import ValidationError

from swarmd.core.actions import approvals, overrides
from swarmd.core.board.execution import board_taint, execute_motion, override_changes
from swarmd.core.board.procedure import (
    Announce,
    Argued,
    Await,
    CallSeat,
    Carry,
    Delayed,
    Effect,
    Event,
    Executed,
    Fail,
    Ignored,
    Opened,
    Overruled,
    Proposed,
    Refused,
    ReportsIn,
    SeatFailed,
    Thawed,
    Ticked,
    Voted,
    next_deadline,
    step,
)
from swarmd.core.board.room import (
    announce,
    call_seat,
    former_post,
    report_data,
    report_digest,
    words_of,
)
from swarmd.core.missions import queue
from swarmd.core.model.actions import Actor
from swarmd.core.model.changes import (
    MissionSet,
    Post,
)
from swarmd.core.model.channels import BOARD_ROOM
from swarmd.core.model.entries import entry
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.lineage import EVERYTHING, Agent
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.motions import (
    MOTION,
)
from swarmd.core.model.names import SOB, MissionId, MissionState
from swarmd.core.model.overruling import Overruling
from swarmd.core.model.provenance import KEY as TAINT
from swarmd.core.model.provenance import taint_of
from swarmd.core.model.records import Approval, ExecutiveReport
from swarmd.core.model.refusals import Denied, Rule
from swarmd.core.model.state import Draft
from swarmd.core.model.tables import APPROVALS, BOARDS, REPORTS, Drop, Put

_STATE_OF_STAGE = {"working": MissionState.WORKING}
# Of a mission's text in the room and in the journal. It may be a megabyte long, and six times that
# where each of its characters has to be escaped: a server may take no message of such a size. The
# seats have it whole in their prompts, and people in the mission's record.
MISSION_SHOWN_CHARS: Final = 20_000


def open_missions(draft: Draft) -> None:
    for id in queue.open_next(draft):
        announce(draft, id, _opened(id, draft.swarm.missions[id].text))
        advance(draft, id, Opened())


def _opened(id: MissionId, text: str) -> Announce:
    rest = len(text) - MISSION_SHOWN_CHARS
    if rest > 0:
        text = f"{text[:MISSION_SHOWN_CHARS]} … ({rest:,} more characters in its record)"
    return Announce(f"Mission {id}: {text}", {"opened": id})


def advance(draft: Draft, id: MissionId, event: Event) -> None:
    """One event, and all that follows from it at once: a carried motion is executed in the same
    commit.
    """
    events = [event]
    while events:
        mission, procedure = draft.swarm.missions.get(id), draft.swarm.boards.get(id)
        if mission is None or procedure is None or mission.ending is not None:
            return
        procedure, effects = step(
            procedure, events.pop(0), draft.swarm.declared.board, draft.moment.now
        )
        if effects or procedure != draft.swarm.boards[id]:
            draft.add(Put(BOARDS, id, procedure))
        for effect in effects:
            follow_up = _do(draft, id, effect)
            if follow_up is not None:
                events.append(follow_up)
        _show_state(draft, id)


def _do(draft: Draft, id: MissionId, effect: Effect) -> Event | None:
    match effect:
        case CallSeat():
            call_seat(draft, id, effect)
        case Announce():
            announce(draft, id, effect)
        case Carry(number, motion):
            is_ordered = ("carried", number) in override_changes(draft, id)
            return execute_motion(
                draft, id, number, motion, board_taint(draft, id), has_permission=is_ordered
            )
        case Await():
            pass
        case Fail(reason):
            why = draft.swarm.observed.seat_failures.get(id)
            reason = f"{reason}; the last seat that failed: {why}" if why else reason
            queue.end(draft, draft.swarm.missions[id], MissionState.FAILED, reason, by="clerk")
        case Ignored(seat, why):
            draft.add(
                entry(
                    draft.moment,
                    JournalEvent.SEAT_IGNORED,
                    f"{seat}: {why}",
                    actor=seat,
                    mission=id,
                )
            )
        case _:
            assert_never(effect)
    return None


def _show_state(draft: Draft, id: MissionId) -> None:
    """The mission's public state follows the procedure's stage."""
    mission, procedure = draft.swarm.missions.get(id), draft.swarm.boards.get(id)
    if mission is None or procedure is None or mission.ending is not None:
        return
    state = _STATE_OF_STAGE.get(
        procedure.stage, MissionState.REVIEWING if procedure.in_review else MissionState.DEBATING
    )
    if state is not mission.state:
        draft.add(MissionSet(replace(mission, state=state)))


def hear(draft: Draft, message: Message) -> None:
    """A message in the board's room. Only a seat's answer to its call moves the procedure."""
    seat = draft.swarm.lineage.get(message.sender)
    if seat is None or not seat.is_seat or message.mission not in draft.swarm.boards:
        return
    if message.incarnation != seat.incarnation:
        draft.add(former_post(draft, message))
        return
    event = _answer_of(message)
    if event is not None:
        advance(draft, message.mission, event)


def _answer_of(message: Message) -> Event | None:
    number, seat = message.data.get("motion_number"), message.sender
    if not isinstance(number, int):
        return None
    if message.kind is Kind.ARGUMENT:
        return Argued(seat, number, message.text)
    if message.kind is Kind.VOTE and message.data.get("choice") in ("yes", "no", "abstain"):
        return Voted(seat, number, message.data["choice"], message.text)
    if message.kind is Kind.PROPOSAL:
        try:
            motion = MOTION.validate_python(message.data.get("motion"))
            return Proposed(seat, number, motion, taint_of(message))
        except ValidationError:
            return SeatFailed(seat, number, None)
    return None


def seat_failed(
    draft: Draft, seat: Agent, mission: MissionId, detail: str, taint: tuple[str, ...] = ()
) -> None:
    """A seat's model failed for good: it abstains, and the debate goes on without waiting for
    it.
    """
    procedure = draft.swarm.boards.get(mission)
    if procedure is None:
        draft.add(
            entry(
                draft.moment,
                JournalEvent.SEAT_FAILED,
                detail,
                actor=seat.id,
                mission=mission,
                seat=seat.id,
            )
        )
        return
    # Said where people look: a wrong key or a dead endpoint otherwise shows only as a board without
    # motions.
    text = f"{seat.name} cannot answer and abstains: {detail[:400]}"
    announce(
        draft,
        mission,
        Announce(text, {"seat": seat.id} | ({TAINT: list(taint)} if taint else {})),
        JournalEvent.SEAT_FAILED,
    )
    draft.swarm.observed.seat_failures[mission] = detail[:400]
    if procedure.calling == seat.id:
        advance(draft, mission, SeatFailed(seat.id, procedure.motion_number, None))


def hear_report(draft: Draft, message: Message) -> None:
    """A report of an executive to the board."""
    executive = draft.swarm.lineage.get(message.sender)
    if (
        executive is None
        or executive.parent != SOB
        or executive.mission not in draft.swarm.missions
    ):
        return
    if message.incarnation != executive.incarnation:
        draft.add(former_post(draft, message))
        return
    report = ExecutiveReport(
        executive.id,
        executive.name,
        message.text,
        words_of(message.data.get("files")),
        bool(message.data.get("done")),
        taint_of(message),
    )
    draft.add(
        Put(REPORTS, executive.mission, report),
        Post(BOARD_ROOM, report_digest(draft, executive, report)),
        entry(
            draft.moment,
            JournalEvent.AGENT_REPORTED,
            f"{executive.name} reported{', done' if report.is_done else ''}",
            actor=executive.id,
            mission=executive.mission,
            done=report.is_done,
        ),
    )
    review_if_ready(draft, executive.mission)


def executive_ended(draft: Draft, executive: Agent, why: str, taint: tuple[str, ...] = ()) -> None:
    """An executive that ended without a last word still has a report: that it ended, and why."""
    known = draft.swarm.reports.get(executive.mission, {}).get(executive.id)
    if known is None or not known.is_done:
        text = f"(ended without a final report: {why})" + (f"\n\n{known.text}" if known else "")
        read = tuple(sorted({*taint, *(known.taint if known else ())}))
        last = ExecutiveReport(executive.id, executive.name, text, (), True, read)
        draft.add(Put(REPORTS, executive.mission, last))
    review_if_ready(draft, executive.mission)


def review_if_ready(draft: Draft, id: MissionId) -> None:
    """Every living executive is done, or one waits for the board's permission: the board
    reviews.
    """
    procedure = draft.swarm.boards.get(id)
    if procedure is None or procedure.stage != "working":
        return
    reports = draft.swarm.reports.get(id, {})
    asked = approvals.for_the_board(draft.swarm, id)
    all_done = all(
        reports.get(e.id) is not None and reports[e.id].is_done for e in draft.swarm.executives(id)
    )
    if all_done or asked:
        # A motion answers one request, so the board is called about each; and once, for one that
        # has nothing to say to it is not asked without end.
        draft.add(*(APPROVALS.put(replace(approval, is_put=True)) for approval in asked[:1]))
        advance(draft, id, ReportsIn(tuple(report_data(report) for report in reports.values())))


def answered(draft: Draft, approval: Approval) -> Denied | None:
    """An operator has answered for a motion, or nobody did: executed now, once, or told to the
    board.
    """
    id, request = approval.mission, approval.action["request"]
    mission, procedure = draft.swarm.missions.get(id), draft.swarm.boards.get(id)
    if mission is None or procedure is None or mission.ending is not None:
        return Denied(Rule.UNKNOWN_MISSION, id)
    number = request["number"]
    event: Executed | Refused | None
    if approval.answer == "approved" and approvals.digest_of(approval.action) == approval.digest:
        motion, taint = MOTION.validate_python(request["motion"]), tuple(approval.action["taint"])
        event = execute_motion(draft, id, number, motion, taint, has_permission=True)
    else:
        rule = Rule.APPROVAL_EXPIRED if approval.answer == "expired" else Rule.APPROVAL_DENIED
        event = Refused(number, rule, f"{approval.id}, by {approval.answered_by}")
    assert event is not None
    if procedure.stage == "carrying" and procedure.motion_number == number:
        advance(draft, id, event)
    else:
        outcome = (
            "is executed after all"
            if isinstance(event, Executed)
            else f"stays fallen: {event.rule}"
        )
        announce(
            draft,
            id,
            Announce(f"Motion {number} {outcome} ({approval.id}).", {"motion_number": number}),
        )
    return (
        Denied(event.rule, event.detail)
        if isinstance(event, Refused) and approval.answer == "approved"
        else None
    )


def overrule(draft: Draft, actor: Actor, asked: Overruling) -> Denied | None:
    """An operator carries or vetoes the motion before the board; while a veto stands the same
    one falls again.
    """
    id = MissionId(asked.target)
    procedure = draft.swarm.boards.get(id)
    if procedure is None or procedure.motion is None:
        return Denied(Rule.OVERRIDE_INVALID, f"no motion of mission {id[:64]} is before the board")
    number = procedure.motion_number
    before = {
        "number": number,
        "stage": procedure.stage,
        "motion": procedure.motion.model_dump(mode="json"),
    }
    after = {"vetoed" if asked.take else "carried": number}
    override = overrides.begin(
        draft, actor, asked, target=id, mission=id, before=before, after=after
    )
    overrides.told(draft, actor, override)
    detail = f"{override.id}, by {actor.id}: {asked.reason}"
    for approval in list(draft.swarm.approvals.values()):
        if approval.mission == id and approval.action["request"].get("number") == number:
            # It waited for an operator, and an operator has decided.
            draft.add(Drop(APPROVALS, approval.id))
    advance(draft, id, Overruled(number, not asked.take, Rule.OVERRIDE_ACTIVE, detail))
    return None


def tick(draft: Draft) -> None:
    """Silent seats and overdue motions; a wait whose executives are all gone. While a mission is
    stopped no time runs.
    """
    for id, procedure in list(draft.swarm.boards.items()):
        if _is_stopped(draft, id):
            continue
        since = draft.swarm.observed.paused.pop(id, None)
        if since is not None:
            advance(draft, id, Thawed(draft.moment.now - since))
            continue
        deadline = next_deadline(procedure)
        if deadline is not None and deadline <= draft.moment.now:
            advance(draft, id, Ticked())
        review_if_ready(draft, id)


def make_up(draft: Draft, seconds: float) -> None:
    """Gives back the time in which nobody led, and so no seat's call could begin. A stopped
    mission's is given back when the stop is lifted."""
    if seconds <= 0:
        return
    for id in list(draft.swarm.boards):
        if not _is_stopped(draft, id):
            advance(draft, id, Delayed(seconds))


def _is_stopped(draft: Draft, id: MissionId) -> bool:
    """Remembers since when, in memory: after a restart the mark itself says it."""
    for target in (id, EVERYTHING, "tier:0"):
        stop = draft.swarm.lineage.stops.get(target)
        if stop is not None:
            draft.swarm.observed.paused.setdefault(id, stop.at)
            return True
    return False
