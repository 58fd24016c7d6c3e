"""The clerk: steps the board's procedure and turns what it wants into changes. Pure.

Only a carried motion speaks for the board, and it is executed whole or not at all: what the law
refuses goes back to the seats with the name of the rule, and changes nothing but the journal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, assert_never

from swarmd.core.board import agenda, following, operator_word, standstill
from swarmd.core.board.answers import answer_of, proposal_of
from swarmd.core.board.calling import next_deadline
from swarmd.core.board.events import (
    Announce,
    Await,
    CallSeat,
    Came,
    Carry,
    CloseCall,
    Delayed,
    Effect,
    Event,
    Fail,
    Ignored,
    Opened,
    Proposed,
    ReportsIn,
    SeatFailed,
    Sent,
    Thawed,
    Ticked,
)
from swarmd.core.board.execution import board_taint, execute_motion, override_changes
from swarmd.core.board.judging import judged
from swarmd.core.board.procedure import step
from swarmd.core.board.reporting import last_report, report_of, take_report
from swarmd.core.board.room import (
    announce,
    call_seat,
    former_post,
)
from swarmd.core.board.setting_aside import put_again, set_aside
from swarmd.core.missions import queue
from swarmd.core.model.bench import seats_for
from swarmd.core.model.changes import (
    MissionSet,
)
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.lineage import EVERYTHING, Agent, Stop
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.motion_kinds import Carried
from swarmd.core.model.names import OPERATOR, SOB, AgentId, MissionId, MissionState
from swarmd.core.model.posts import call_closed
from swarmd.core.model.procedure import Procedure
from swarmd.core.model.provenance import KEY as TAINT
from swarmd.core.model.records import Mission
from swarmd.core.model.requests import SentRequest
from swarmd.core.model.state import Draft
from swarmd.core.model.tables import BOARDS, REPORTS, Put
from swarmd.core.model.watch import News

# Of a mission's text in the room and in the journal. It may be a megabyte long, and six times that
# where each of its characters has to be escaped: a server may take no message of such a size. The
# seats have it whole in their prompts, and people in the mission's record.
MISSION_SHOWN_CHARS: Final = 20_000


def take_up(draft: Draft) -> list[MissionId]:
    """The next of the docket are before the board; no seat is called yet."""
    taken = queue.open_next(draft)
    for id in taken:
        announce(draft, id, _opened(id, draft.swarm.missions[id].text))
    return taken


def open_missions(draft: Draft, taken: Sequence[MissionId]) -> None:
    """Their seats are called for the first motion, but where the mission was ended meanwhile."""
    for id in taken:
        mission, rules = draft.swarm.missions[id], draft.swarm.declared.board
        advance(draft, id, Opened(seats_for(rules, mission.budget, mission.board)))


def _opened(id: MissionId, text: str) -> Announce:
    rest = len(text) - MISSION_SHOWN_CHARS
    if rest > 0:
        text = f"{text[:MISSION_SHOWN_CHARS]} … ({rest:,} more characters in its record)"
    return Announce(f"Mission {id}: {text}", {"opened": id})


def advance(draft: Draft, id: MissionId, event: Event) -> None:
    """One event, and all that follows from it at once: a carried motion is executed in the same
    commit.
    """
    events = [*_come(draft, id), event]
    while events and in_hand(draft, id) is not None:
        procedure, rules = draft.swarm.boards[id], draft.swarm.declared.board
        event = judged(draft, id, procedure, events.pop(0))
        moved, effects = set_aside(draft, id, step(procedure, event, rules, draft.now))
        if effects or moved != procedure:
            draft.add(Put(BOARDS, id, moved))
        if moved.stage == "working" != procedure.stage:
            standstill.forget_rests(draft.swarm, id)
        follow_ups = [_do(draft, id, effect) for effect in effects]
        events += [event for event in follow_ups if event is not None]
        _show_state(draft, id)


def _come(draft: Draft, id: MissionId) -> list[Came]:
    """What waits for the board since a motion was asked for, each once."""
    procedure = draft.swarm.boards.get(id)
    if procedure is None:
        return []
    known = {news.key for news in procedure.came}
    return [
        Came(News(key=cause.key, kind="work", what=cause.news))
        for cause in agenda.come_since(draft.swarm, id, draft.now)
        if cause.key not in known
    ]


def in_hand(draft: Draft, id: MissionId) -> Mission | None:
    """The mission, while it is before the board and not about to end."""
    mission = draft.swarm.missions.get(id)
    if mission is None or mission.ending is not None or id not in draft.swarm.boards:
        return None
    return mission


def _do(draft: Draft, id: MissionId, effect: Effect) -> Event | None:
    match effect:
        case CallSeat():
            call_seat(draft, id, effect)
        case CloseCall(seat, number, attempt):
            draft.add(call_closed(draft.moment, AgentId(seat), id, number, attempt))
        case Announce():
            announce(draft, id, effect)
        case Carry(number, motion, minds):
            is_ordered = ("carried", number) in override_changes(draft, id)
            carried = Carried(id, motion, board_taint(draft, id), is_ordered, minds)
            return execute_motion(draft, number, carried)
        case Await():
            pass
        case Fail(reason):
            _fail(draft, id, reason)
        case Ignored():
            _record_ignored(draft, id, effect)
        case _:
            assert_never(effect)
    return None


def _fail(draft: Draft, id: MissionId, reason: str) -> None:
    mission, why = draft.swarm.missions[id], _with_last_failure(draft, id, reason)
    queue.end(draft, mission, MissionState.FAILED, why, by="clerk")


def _with_last_failure(draft: Draft, id: MissionId, reason: str) -> str:
    why = draft.swarm.observed.seat_failures.get(id)
    return f"{reason}; the last seat that failed: {why}" if why else reason


def _record_ignored(draft: Draft, id: MissionId, ignored: Ignored) -> None:
    seat, text = ignored.seat, f"{ignored.seat}: {ignored.why}"
    draft.record(JournalEvent.SEAT_IGNORED, text, actor=seat, mission=id)


def _show_state(draft: Draft, id: MissionId) -> None:
    """The mission's public state follows the procedure's stage."""
    mission = in_hand(draft, id)
    if mission is None:
        return
    state = _state_of(draft.swarm.boards[id])
    if state is not mission.state:
        draft.add(MissionSet(replace(mission, state=state)))


def _state_of(procedure: Procedure) -> MissionState:
    if procedure.stage == "working":
        return MissionState.WORKING
    return MissionState.REVIEWING if procedure.in_review else MissionState.DEBATING


def hear(draft: Draft, message: Message) -> None:
    """A message in the board's room. Only a seat's answer to its call moves the procedure."""
    if message.sender == OPERATOR and message.kind is Kind.SAY:
        _hear_operator(draft, message)
        return
    seat = draft.lineage.get(message.sender)
    if seat is None or not seat.is_seat or message.mission not in draft.swarm.boards:
        return
    if message.incarnation != seat.incarnation:
        draft.add(former_post(draft, message))
    else:
        _hear_seat(draft, message)


def _hear_operator(draft: Draft, message: Message) -> None:
    id = operator_word.mission_meant(draft.swarm, message)
    if id is not None:
        news = News(key="word", kind="word", what="an operator has spoken")
        _tell_who_decides(draft, id, news, message.text)
        operator_word.hear_operator(draft, id, message)


def _tell_who_decides(draft: Draft, id: MissionId, news: News, text: str = "") -> None:
    """Nothing is carried over it unheard."""
    operator_word.note_came(draft, id, news)
    advance(draft, id, Came(news, text))


def _hear_seat(draft: Draft, message: Message) -> None:
    if operator_word.is_answer_to_operator(message.data):
        _hear_answer(draft, message)
        return
    event = answer_of(message)
    if event is not None:
        advance(draft, message.mission, event)


def _hear_answer(draft: Draft, message: Message) -> None:
    """A seat answers an operator: in the room, or by a motion where nothing is before the board."""
    id, seat = message.mission, message.sender
    if not operator_word.is_asked(draft.swarm.boards[id], seat):
        _record_ignored(draft, id, Ignored(seat, "it is not asked to answer the operator"))
        return
    if message.kind is Kind.PROPOSAL:
        _propose_for_operator(draft, message)
    operator_word.answered(draft, id)


def _propose_for_operator(draft: Draft, message: Message) -> None:
    id = message.mission
    proposed = proposal_of(message, draft.swarm.boards[id].motion_number)
    if draft.swarm.boards[id].stage != "working" or not isinstance(proposed, Proposed):
        why = "its motion for the operator cannot be put now"
        _record_ignored(draft, id, Ignored(message.sender, why))
        return
    answering = draft.swarm.boards[id].watch.answering
    assert answering is not None
    called_for = agenda.take_causes(draft, id) or ()
    advance(draft, id, ReportsIn(called_for, proposed=proposed, came=answering.came))


def seat_failed(
    draft: Draft, seat: Agent, mission: MissionId, detail: str, taint: tuple[str, ...] = ()
) -> None:
    """A seat's model failed for good: it abstains, and the debate goes on without waiting for
    it.
    """
    procedure, shown = draft.swarm.boards.get(mission), detail[:400]
    if procedure is None:
        event = JournalEvent.SEAT_FAILED
        draft.record(event, detail, actor=seat.id, mission=mission, seat=seat.id)
        return
    _announce_failure(draft, seat, mission, shown, taint)
    draft.swarm.observed.seat_failures[mission] = shown
    if seat.id in procedure.called:
        advance(draft, mission, SeatFailed(seat.id, procedure.motion_number, None))
    elif operator_word.is_asked(procedure, seat.id):
        operator_word.ask_next(draft, mission)


def call_sent(draft: Draft, seat: Agent, request: SentRequest) -> None:
    """A host's word that a seat's request has gone out."""
    event = Sent(seat.id, request.motion_number, request.attempt)
    advance(draft, MissionId(request.mission), event)


def _announce_failure(
    draft: Draft, seat: Agent, mission: MissionId, detail: str, taint: tuple[str, ...]
) -> None:
    """Said where people look: a wrong key or a dead endpoint otherwise shows only as a board
    without motions.
    """
    text = f"{seat.name} cannot answer and abstains: {detail}"
    facts = {"seat": seat.id} | ({TAINT: list(taint)} if taint else {})
    announce(draft, mission, Announce(text, facts), JournalEvent.SEAT_FAILED)


def hear_report(draft: Draft, message: Message) -> None:
    """A report of an executive to the board."""
    executive = draft.lineage.get(message.sender)
    if executive is None or executive.parent != SOB:
        return
    if executive.mission not in draft.swarm.missions:
        return
    if message.incarnation != executive.incarnation:
        draft.add(former_post(draft, message))
        return
    # Of one that somebody woke before it begins nothing is final.
    is_early = standstill.is_held_back(draft.swarm, executive)
    report = report_of(executive, message)
    take_report(draft, executive, replace(report, is_done=report.is_done and not is_early))
    reported = News(
        key=f"report:{executive.id}", kind="work", what=f"{executive.name} has reported"
    )
    _tell_who_decides(draft, executive.mission, reported)
    review_if_ready(draft, executive.mission, has_reported=True)


def executive_ended(
    draft: Draft, executive: Agent, why: str, taint: tuple[str, ...] = (), *, by: str = ""
) -> None:
    """An executive that ended without a last word still has a report: that it ended, and why."""
    if by == SOB:
        agenda.needs_no_call(draft, executive)
    known = draft.swarm.reports.get(executive.mission, {}).get(executive.id)
    if known is None or not known.is_done:
        last = last_report(executive, known, why, taint)
        draft.add(Put(REPORTS, executive.mission, last))
    review_if_ready(draft, executive.mission, has_reported=True)


def review_if_ready(draft: Draft, id: MissionId, *, has_reported: bool = False) -> None:
    """Something waits for the board of a working mission: it reviews."""
    procedure = draft.swarm.boards.get(id)
    if procedure is None or procedure.stage != "working" or in_hand(draft, id) is None:
        return
    if has_reported or not standstill.is_under_way(draft.swarm, id, draft.now):
        put_again(draft, id)
    called_for = agenda.take_causes(draft, id)
    if called_for is not None:
        is_for_chair = agenda.is_to_be_sorted(called_for) and not standstill.is_all_done(
            draft.swarm, id
        )
        advance(draft, id, ReportsIn(called_for, is_for_chair))
        return
    following.begin_ready(draft, id)
    stuck = agenda.why_stuck(draft.swarm, id, draft.now)
    if stuck:
        _fail(draft, id, f"{stuck}; {agenda.missing(draft.swarm, id)}")


def tick(draft: Draft) -> None:
    """Silent seats and overdue motions; a wait whose executives are all gone. While a mission is
    stopped no time runs.
    """
    for id, procedure in list(draft.swarm.boards.items()):
        if _is_stopped(draft, id):
            continue
        since = draft.swarm.observed.paused.pop(id, None)
        if since is not None:
            advance(draft, id, Thawed(draft.now - since))
            continue
        deadline = next_deadline(procedure)
        if deadline is not None and deadline <= draft.now:
            advance(draft, id, Ticked())
        if in_hand(draft, id) is not None:
            operator_word.tick(draft, id)
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
    stop = _stop_on_board(draft, id)
    if stop is not None:
        draft.swarm.observed.paused.setdefault(id, stop.at)
    return stop is not None


def _stop_on_board(draft: Draft, id: MissionId) -> Stop | None:
    stops = draft.lineage.stops
    return next(
        (stops[target] for target in (id, EVERYTHING, SOB, "tier:0") if target in stops), None
    )
