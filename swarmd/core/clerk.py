"""The clerk: steps the board's procedure and turns what it wants into changes. Pure.

Only a carried motion speaks for the board, and it is executed whole or not at all: what the law
refuses goes back to the seats with the name of the rule, and changes nothing but the journal.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any, assert_never

from pydantic import ValidationError

from swarmd.core import docket
from swarmd.core.board import (
    Announce,
    Argued,
    Await,
    CallSeat,
    Carry,
    Effect,
    Event,
    Executed,
    Fail,
    Ignored,
    Opened,
    Proposed,
    Refused,
    ReportsIn,
    SeatFailed,
    Ticked,
    Voted,
    next_deadline,
    step,
)
from swarmd.core.law import Spawned, decide_spawn, decide_terminate, fence, made
from swarmd.core.lineage import Agent
from swarmd.core.messages import Message
from swarmd.core.moves import (
    MOTION,
    Charter,
    CharterMotion,
    DeliverMotion,
    DirectMotion,
    Executive,
    Motion,
    RejectMotion,
    TerminateMotion,
)
from swarmd.core.names import (
    BOARD_ROOM,
    CLERK,
    SOB,
    AgentId,
    Kind,
    MissionId,
    MissionState,
    Rule,
    down,
    inbox,
)
from swarmd.core.requests import SpawnRequest
from swarmd.core.swarm import (
    BoardSet,
    Denied,
    Draft,
    ExecutiveReport,
    Mission,
    MissionSet,
    Post,
    ReportSet,
    entry,
)

_STATE_OF_STAGE = {"working": MissionState.WORKING}


def open_missions(draft: Draft) -> None:
    for id in docket.open_next(draft):
        _announce(draft, id, Announce(f"Mission {id}: {draft.swarm.missions[id].text}", {"event": "opened"}))
        advance(draft, id, Opened())


def advance(draft: Draft, id: MissionId, event: Event) -> None:
    """One event, and all that follows from it at once: a carried motion is executed in the same commit."""
    events = [event]
    while events:
        mission, procedure = draft.swarm.missions.get(id), draft.swarm.boards.get(id)
        if mission is None or procedure is None or mission.ending is not None:
            return
        procedure, effects = step(procedure, events.pop(0), draft.swarm.declared.board, draft.moment.now)
        if effects or procedure != draft.swarm.boards[id]:
            draft.add(BoardSet(id, procedure))
        for effect in effects:
            follow_up = _do(draft, id, effect)
            if follow_up is not None:
                events.append(follow_up)
        _show_state(draft, id)


def _do(draft: Draft, id: MissionId, effect: Effect) -> Event | None:
    match effect:
        case CallSeat():
            _call(draft, id, effect)
        case Announce():
            _announce(draft, id, effect)
        case Carry(number, motion):
            return _execute(draft, id, number, motion)
        case Await():
            pass
        case Fail(reason):
            why = draft.swarm.seat_failures.get(id)
            reason = f"{reason}; the last seat that failed: {why}" if why else reason
            docket.end(draft, draft.swarm.missions[id], MissionState.FAILED, reason, by="clerk")
        case Ignored(seat, why):
            draft.add(entry(draft.moment, "ignored", f"{seat}: {why}", actor=seat, mission=id))
        case _:
            assert_never(effect)
    return None


def _call(draft: Draft, id: MissionId, effect: CallSeat) -> None:
    call = asdict(effect.call)
    text = f"{effect.call.phase}, motion {effect.call.motion_number} of mission {id}"
    draft.add(
        Post(
            inbox(AgentId(effect.seat)),
            Message(
                sender=CLERK, to=effect.seat, kind=Kind.CALL, mission=id, at=draft.moment.stamp, text=text,
                data={"call": call, "attempt": effect.attempt},
            ),
        )
    )  # fmt: skip


def _announce(draft: Draft, id: MissionId, effect: Announce) -> None:
    message = Message(
        sender=CLERK, kind=Kind.NOTICE, mission=id, at=draft.moment.stamp, text=effect.text,
        data=dict(effect.data),
    )  # fmt: skip
    draft.add(
        Post(BOARD_ROOM, message),
        entry(draft.moment, "board", effect.text, actor="clerk", mission=id, more=effect.data),
    )


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


# --- what seats and executives say ------------------------------------------------------------


def hear(draft: Draft, message: Message) -> None:
    """A message in the board's room. Only a seat's answer to its call moves the procedure."""
    seat = draft.swarm.lineage.get(message.sender)
    if seat is None or not seat.is_seat or message.mission not in draft.swarm.boards:
        return
    if message.incarnation != seat.incarnation:
        draft.add(_former(draft, message))
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
            return Proposed(seat, number, MOTION.validate_python(message.data.get("motion")))
        except ValidationError:
            return SeatFailed(seat, number, None)
    return None


def seat_failed(draft: Draft, seat: Agent, mission: MissionId, detail: str) -> None:
    """A seat's model failed for good: it abstains, and the debate goes on without waiting for it."""
    procedure = draft.swarm.boards.get(mission)
    if procedure is None:
        draft.add(entry(draft.moment, "seat failed", detail, actor=seat.id, mission=mission))
        return
    # Said where people look: a wrong key or a dead endpoint otherwise shows only as a board without motions.
    text = f"{seat.name} cannot answer and abstains: {detail[:400]}"
    _announce(draft, mission, Announce(text, {"event": "seat failed"}))
    draft.swarm.seat_failures[mission] = detail[:400]
    if procedure.calling == seat.id:
        advance(draft, mission, SeatFailed(seat.id, procedure.motion_number, None))


def _names(value: object) -> tuple[str, ...]:
    return tuple(name for name in value if isinstance(name, str)) if isinstance(value, list) else ()


def hear_report(draft: Draft, message: Message) -> None:
    """A report of an executive to the board."""
    executive = draft.swarm.lineage.get(message.sender)
    if executive is None or executive.parent != SOB or executive.mission not in draft.swarm.missions:
        return
    if message.incarnation != executive.incarnation:
        draft.add(_former(draft, message))
        return
    report = ExecutiveReport(
        executive.id, executive.name, message.text, _names(message.data.get("files")),
        bool(message.data.get("done")),
    )  # fmt: skip
    draft.add(
        ReportSet(executive.mission, report),
        Post(BOARD_ROOM, _report_digest(draft, executive, report)),
        entry(
            draft.moment, "reported", f"{executive.name} reported{', done' if report.is_done else ''}",
            actor=executive.id, mission=executive.mission, done=report.is_done,
        ),
    )  # fmt: skip
    review_if_ready(draft, executive.mission)


def _former(draft: Draft, message: Message) -> Post:
    return entry(
        draft.moment, "refused", "a former incarnation spoke", actor=message.sender,
        mission=message.mission, rule=Rule.INCARNATION,
    )  # fmt: skip


def _report_digest(draft: Draft, executive: Agent, report: ExecutiveReport) -> Message:
    excerpt = report.text if len(report.text) <= 300 else report.text[:300] + " …"
    return Message(
        sender=CLERK, kind=Kind.DIGEST, mission=executive.mission, at=draft.moment.stamp,
        text=f"{executive.name} {'is done' if report.is_done else 'reports'}: {excerpt}",
        data={"agent": executive.id, "done": report.is_done},
    )  # fmt: skip


def executive_ended(draft: Draft, executive: Agent, why: str) -> None:
    """An executive that ended without a last word still has a report: that it ended, and why."""
    known = draft.swarm.reports.get(executive.mission, {}).get(executive.id)
    if known is None or not known.is_done:
        text = f"(ended without a final report: {why})" + (f"\n\n{known.text}" if known else "")
        draft.add(ReportSet(executive.mission, ExecutiveReport(executive.id, executive.name, text, (), True)))
    review_if_ready(draft, executive.mission)


def review_if_ready(draft: Draft, id: MissionId) -> None:
    """Every living executive is done: the board reviews."""
    procedure = draft.swarm.boards.get(id)
    if procedure is None or procedure.stage != "working":
        return
    reports = draft.swarm.reports.get(id, {})
    if all(reports.get(e.id) is not None and reports[e.id].is_done for e in draft.swarm.executives(id)):
        advance(draft, id, ReportsIn(tuple(_as_data(report) for report in reports.values())))


def _as_data(report: ExecutiveReport) -> dict[str, Any]:
    return {
        "agent": report.agent, "name": report.name, "text": report.text, "files": list(report.files),
        "done": report.is_done,
    }  # fmt: skip


# --- carried motions --------------------------------------------------------------------------


def _execute(draft: Draft, id: MissionId, number: int, motion: Motion) -> Event:
    """Do a carried motion, or say which rule refuses it. Nothing is done of what is refused."""
    mission = draft.swarm.missions[id]
    match motion:
        case CharterMotion():
            denied = _charter(draft, mission, motion)
        case DirectMotion():
            denied = _direct(draft, mission, motion)
        case TerminateMotion():
            denied = _terminate(draft, mission, motion)
        case DeliverMotion():
            denied = _deliver(draft, mission, motion)
        case RejectMotion(reason=reason):
            docket.end(draft, mission, MissionState.REJECTED, reason)
            denied = None
        case _:
            assert_never(motion)
    if denied is None:
        draft.add(entry(draft.moment, "executed", f"motion {number}: {motion.motion}", actor=SOB, mission=id))
        return Executed(number)
    draft.add(
        entry(draft.moment, "refused", f"motion {number}: {denied}", actor=SOB, mission=id, rule=denied.rule,
              detail=denied.detail, motion=motion.model_dump(mode="json"))
    )  # fmt: skip
    return Refused(number, denied.rule, denied.detail)


def _charter(draft: Draft, mission: Mission, motion: CharterMotion) -> Denied | None:
    board = draft.swarm.lineage.agents[SOB]
    allowed: list[Spawned] = []
    for executive in motion.executives:
        request = SpawnRequest(key=executive.key, charter=_plain(executive))
        spawned = decide_spawn(
            draft.swarm, board, request, draft.moment, mission=mission.id, pending=allowed,
            together=len(motion.executives),
        )  # fmt: skip
        if isinstance(spawned, Denied):
            return Denied(spawned.rule, f"{executive.name}: {spawned.detail}")
        allowed.append(spawned)
    for spawned in allowed:
        draft.add(*made(draft.swarm, spawned, draft.moment))
    return None


def _plain(executive: Executive) -> Charter:
    return Charter.model_validate(executive.model_dump(exclude={"key"}))


def _find(draft: Draft, mission: Mission, reference: str) -> Agent | Denied:
    """A living agent of this mission by id, or one of its executives by name or key."""
    agent = draft.swarm.lineage.get(reference)
    if agent is None:
        named = [e for e in draft.swarm.executives(mission.id) if reference in (e.name, e.key)]
        if not named:
            return Denied(Rule.UNKNOWN_AGENT, reference)
        agent = named[0]
    if agent.mission != mission.id:
        return Denied(Rule.MISSION_OTHER, f"{reference} serves {agent.mission or 'the board'}")
    return agent


def _direct(draft: Draft, mission: Mission, motion: DirectMotion) -> Denied | None:
    agent = _find(draft, mission, motion.to)
    if isinstance(agent, Denied):
        return agent
    if agent.parent != SOB:
        return Denied(Rule.BOARD_MOTION, f"{agent.id} is no executive: direct its executive")
    if draft.swarm.lineage.is_fenced(agent.path):
        return Denied(Rule.ANCESTOR_ENDING, agent.id)
    report = draft.swarm.reports.get(mission.id, {}).get(agent.id)
    if report is not None:
        open_again = ExecutiveReport(report.agent, report.name, report.text, report.files, is_done=False)
        draft.add(ReportSet(mission.id, open_again))
    message = Message(
        sender=SOB,
        to=agent.id,
        kind=Kind.DIRECTIVE,
        mission=mission.id,
        at=draft.moment.stamp,
        text=motion.text,
    )
    draft.add(Post(down(SOB), message))
    return None


def _terminate(draft: Draft, mission: Mission, motion: TerminateMotion) -> Denied | None:
    agent = _find(draft, mission, motion.agent)
    if isinstance(agent, Denied):
        return agent
    denied = decide_terminate(draft.swarm, SOB, agent, is_sovereign=True)
    if denied is None:
        changes = fence(
            draft.swarm, agent.id, reason=motion.reason, by=SOB, moment=draft.moment, mission=mission.id
        )
        draft.add(*changes)
    return denied


def _deliver(draft: Draft, mission: Mission, motion: DeliverMotion) -> Denied | None:
    reports = draft.swarm.reports.get(mission.id, {})
    chosen = []
    for reference in motion.reports:
        found = [r for r in reports.values() if reference in (r.agent, r.name)]
        if not found:
            return Denied(Rule.BOARD_MOTION, f"no report of {reference}")
        chosen.append(found[0])
    parts = [motion.text.strip()] if motion.text.strip() else []
    parts += [report.text.strip() for report in chosen]
    docket.end(draft, mission, MissionState.DELIVERED, motion.reason, text="\n\n".join(parts))
    return None


# --- time -------------------------------------------------------------------------------------


def tick(draft: Draft) -> None:
    """Silent seats and overdue motions; a wait whose executives are all gone."""
    for id, procedure in list(draft.swarm.boards.items()):
        deadline = next_deadline(procedure)
        if deadline is not None and deadline <= draft.moment.now:
            advance(draft, id, Ticked())
        review_if_ready(draft, id)
