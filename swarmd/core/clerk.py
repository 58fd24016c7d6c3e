"""The clerk: steps the board's procedure and turns what it wants into changes. Pure.

Only a carried motion speaks for the board, and it is executed whole or not at all: what the law
refuses goes back to the seats with the name of the rule, and changes nothing but the journal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, assert_never

from pydantic import ValidationError

from swarmd.core import acts, approvals, docket, overrides
from swarmd.core.approvals import Need
from swarmd.core.board import (
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
from swarmd.core.law import Spawned, decide_spawn, made
from swarmd.core.lineage import EVERYTHING, Agent
from swarmd.core.messages import Message
from swarmd.core.moves import (
    MOTION,
    ActMotion,
    Charter,
    CharterMotion,
    DeliverMotion,
    DirectMotion,
    Executive,
    Motion,
    OverrideMotion,
    Overruling,
    RejectMotion,
    TerminateMotion,
)
from swarmd.core.names import (
    BOARD_ROOM,
    CLERK,
    SOB,
    AgentId,
    Authority,
    Kind,
    MissionId,
    MissionState,
    Rule,
    down,
    inbox,
)
from swarmd.core.requests import SpawnRequest
from swarmd.core.swarm import (
    Approval,
    ApprovalClosed,
    ApprovalSet,
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
from swarmd.core.taint import KEY as TAINT
from swarmd.core.taint import stamped, taint_of

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
            is_ordered = ("carried", number) in _ordered(draft, id)
            return _execute(draft, id, number, motion, _read_by_the_board(draft, id), has_leave=is_ordered)
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
    message = Message(
        sender=CLERK, to=effect.seat, kind=Kind.CALL, mission=id, at=draft.moment.stamp, text=text,
        data={"call": call, "attempt": effect.attempt},
    )  # fmt: skip
    read = {source for report in effect.call.reports for source in report.get("taint", ())}
    draft.add(Post(inbox(AgentId(effect.seat)), stamped(message, read)))


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
            motion = MOTION.validate_python(message.data.get("motion"))
            return Proposed(seat, number, motion, taint_of(message))
        except ValidationError:
            return SeatFailed(seat, number, None)
    return None


def seat_failed(
    draft: Draft, seat: Agent, mission: MissionId, detail: str, taint: tuple[str, ...] = ()
) -> None:
    """A seat's model failed for good: it abstains, and the debate goes on without waiting for it."""
    procedure = draft.swarm.boards.get(mission)
    if procedure is None:
        draft.add(entry(draft.moment, "seat failed", detail, actor=seat.id, mission=mission))
        return
    # Said where people look: a wrong key or a dead endpoint otherwise shows only as a board without motions.
    text = f"{seat.name} cannot answer and abstains: {detail[:400]}"
    _announce(
        draft, mission, Announce(text, {"event": "seat failed"} | ({TAINT: list(taint)} if taint else {}))
    )
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
        bool(message.data.get("done")), taint_of(message),
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
    digest = Message(
        sender=CLERK, kind=Kind.DIGEST, mission=executive.mission, at=draft.moment.stamp,
        text=f"{executive.name} {'is done' if report.is_done else 'reports'}: {excerpt}",
        data={"agent": executive.id, "done": report.is_done},
    )  # fmt: skip
    return stamped(digest, report.taint)


def executive_ended(draft: Draft, executive: Agent, why: str, taint: tuple[str, ...] = ()) -> None:
    """An executive that ended without a last word still has a report: that it ended, and why."""
    known = draft.swarm.reports.get(executive.mission, {}).get(executive.id)
    if known is None or not known.is_done:
        text = f"(ended without a final report: {why})" + (f"\n\n{known.text}" if known else "")
        read = tuple(sorted({*taint, *(known.taint if known else ())}))
        last = ExecutiveReport(executive.id, executive.name, text, (), True, read)
        draft.add(ReportSet(executive.mission, last))
    review_if_ready(draft, executive.mission)


def review_if_ready(draft: Draft, id: MissionId) -> None:
    """Every living executive is done, or one waits for the board's leave: the board reviews."""
    procedure = draft.swarm.boards.get(id)
    if procedure is None or procedure.stage != "working":
        return
    reports = draft.swarm.reports.get(id, {})
    asked = approvals.for_the_board(draft.swarm, id)
    all_done = all(
        reports.get(e.id) is not None and reports[e.id].is_done for e in draft.swarm.executives(id)
    )
    if all_done or asked:
        # A motion answers one request, so the board is called about each; and once, for one that has nothing to say to
        # it is not asked without end.
        draft.add(*(ApprovalSet(replace(approval, is_put=True)) for approval in asked[:1]))
        advance(draft, id, ReportsIn(tuple(_as_data(report) for report in reports.values())))


def _as_data(report: ExecutiveReport) -> dict[str, Any]:
    return {
        "agent": report.agent, "name": report.name, "text": report.text, "files": list(report.files),
        "done": report.is_done, "taint": list(report.taint),
    }  # fmt: skip


# --- carried motions --------------------------------------------------------------------------


def _execute(
    draft: Draft,
    id: MissionId,
    number: int,
    motion: Motion,
    taint: tuple[str, ...],
    *,
    has_leave: bool = False,
) -> Executed | Refused | None:
    """Do a carried motion, or say which rule refuses it. Nothing is done of what is refused.

    `None` where it waits for an operator's leave and the mission has nothing else to do meanwhile.
    """
    mission = draft.swarm.missions[id]
    vetoed = _vetoed(draft, id, motion)
    outcome = vetoed or _done(draft, mission, motion, taint, has_leave=has_leave)
    if outcome is None:
        draft.add(entry(draft.moment, "executed", f"motion {number}: {motion.motion}", actor=SOB, mission=id))
        return Executed(number)
    if isinstance(outcome, _Asks):
        waits = _ask_leave(draft, mission, number, motion, taint, outcome)
        if not draft.swarm.boards[id].in_review:
            text = f"Motion {number} waits for an operator's leave: {waits.detail}."
            _announce(draft, id, Announce(text, {"motion_number": number, "waits": waits.detail}))
            return None
        outcome = waits
    draft.add(
        entry(draft.moment, "refused", f"motion {number}: {outcome}", actor=SOB, mission=id, rule=outcome.rule,
              detail=outcome.detail, motion=motion.model_dump(mode="json"))
    )  # fmt: skip
    return Refused(number, outcome.rule, outcome.detail)


@dataclass(frozen=True, slots=True)
class _Asks:
    """The law allows it, and an operator's leave is needed."""

    need: Need
    facts: Mapping[str, Any]


def _read_by_the_board(draft: Draft, id: MissionId) -> tuple[str, ...]:
    """What the seats had before them when they proposed and voted: the proposer's own stamp, and all reports."""
    reports = draft.swarm.reports.get(id, {}).values()
    return tuple(sorted({*draft.swarm.boards[id].taint, *(s for report in reports for s in report.taint)}))


def _done(
    draft: Draft, mission: Mission, motion: Motion, taint: tuple[str, ...], *, has_leave: bool
) -> Denied | _Asks | None:
    match motion:
        case CharterMotion():
            return _charter(draft, mission, motion, taint, has_leave=has_leave)
        case DirectMotion():
            return _direct(draft, mission, motion, taint)
        case TerminateMotion():
            wish = acts.Wish("terminate", motion.agent, motion.reason)
            return _act(draft, mission, wish, taint, has_leave=has_leave)
        case ActMotion():
            wish = acts.Wish(
                motion.verb,
                motion.target,
                motion.reason,
                motion.privilege or "",
                motion.right,
                motion.amounts,
            )
            return _act(draft, mission, wish, taint, has_leave=has_leave)
        case OverrideMotion():
            return _override(draft, mission, motion, taint, has_leave=has_leave)
        case DeliverMotion():
            return _deliver(draft, mission, motion)
        case RejectMotion(reason=reason):
            docket.end(draft, mission, MissionState.REJECTED, reason)
            return None
        case _:
            assert_never(motion)


def _ask_leave(
    draft: Draft, mission: Mission, number: int, motion: Motion, taint: tuple[str, ...], asks: _Asks
) -> Denied:
    """A motion falls by the rule that asks for leave, and names the approval: given in time, it is executed after all."""
    action = {
        "requester": SOB, "incarnation": draft.swarm.lineage.agents[SOB].incarnation, "hops": 0, "mission": mission.id,
        "taint": list(taint),
        "request": {"type": "motion", "number": number, "motion": motion.model_dump(mode="json")},
    }  # fmt: skip
    asked = approvals.ask(draft, action, asks.need, asks.facts)
    if isinstance(asked, Denied):
        return asked
    return Denied(asks.need.rule, f"{asks.need.detail}; {asked.id} waits for an operator's leave")


def answered(draft: Draft, approval: Approval) -> Denied | None:
    """An operator has answered for a motion, or nobody did: executed now, once, or told to the board."""
    id, request = approval.mission, approval.action["request"]
    mission, procedure = draft.swarm.missions.get(id), draft.swarm.boards.get(id)
    if mission is None or procedure is None or mission.ending is not None:
        return Denied(Rule.UNKNOWN_MISSION, id)
    number = request["number"]
    event: Executed | Refused | None
    if approval.answer == "approved" and approvals.digest_of(approval.action) == approval.digest:
        motion, taint = MOTION.validate_python(request["motion"]), tuple(approval.action["taint"])
        event = _execute(draft, id, number, motion, taint, has_leave=True)
    else:
        rule = Rule.APPROVAL_EXPIRED if approval.answer == "expired" else Rule.APPROVAL_DENIED
        event = Refused(number, rule, f"{approval.id}, by {approval.answered_by}")
    assert event is not None
    if procedure.stage == "carrying" and procedure.motion_number == number:
        advance(draft, id, event)
    else:
        outcome = "is executed after all" if isinstance(event, Executed) else f"stays fallen: {event.rule}"
        _announce(
            draft, id, Announce(f"Motion {number} {outcome} ({approval.id}).", {"motion_number": number})
        )
    return (
        Denied(event.rule, event.detail)
        if isinstance(event, Refused) and approval.answer == "approved"
        else None
    )


def _charter(
    draft: Draft, mission: Mission, motion: CharterMotion, taint: tuple[str, ...], *, has_leave: bool
) -> Denied | _Asks | None:
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
    need = None if has_leave else approvals.for_spawn(draft.swarm, allowed, Authority.BOARD, taint)
    if need is not None:
        facts = [approvals.spawn_facts(spawned) for spawned in allowed]
        return _Asks(need, {"action": "charter", "executives": facts})
    for spawned in allowed:
        draft.add(*made(draft.swarm, spawned, draft.moment, taint=taint))
    return None


def _act(
    draft: Draft, mission: Mission, wish: acts.Wish, taint: tuple[str, ...], *, has_leave: bool
) -> Denied | _Asks | None:
    actor = acts.Actor(SOB, Authority.BOARD, mission.id, taint=taint)
    need = None if has_leave else acts.leave_needed(draft.swarm, actor, wish)
    if need is None:
        return acts.do(draft, actor, wish)
    facts = acts.facts_of(draft.swarm, actor, wish)
    return facts if isinstance(facts, Denied) else _Asks(need, facts)


def _plain(executive: Executive) -> Charter:
    return Charter.model_validate(executive.model_dump(exclude={"key"}))


def _override(
    draft: Draft, mission: Mission, motion: OverrideMotion, taint: tuple[str, ...], *, has_leave: bool
) -> Denied | _Asks | None:
    actor = acts.Actor(SOB, Authority.BOARD, mission.id, taint=taint)
    is_given = motion.kind == "grant" and not motion.take
    verb = "grant" if is_given else "override"
    need = approvals.for_act(draft.swarm.declared.limits, verb, motion.privilege, Authority.BOARD, taint)
    if need is None or has_leave:
        return overrides.do(draft, actor, motion)
    # Its target is the seats' own word: an operator sees the motion itself.
    return _Asks(need, {"action": "override", "kind": motion.kind, "seconds": motion.seconds})


def overrule(draft: Draft, actor: acts.Actor, asked: Overruling) -> Denied | None:
    """An operator carries or vetoes the motion before the board; while a veto stands the same one falls again."""
    id = MissionId(asked.target)
    procedure = draft.swarm.boards.get(id)
    if procedure is None or procedure.motion is None:
        return Denied(Rule.OVERRIDE_INVALID, f"no motion of mission {id[:64]} is before the board")
    number = procedure.motion_number
    before = {"number": number, "stage": procedure.stage, "motion": procedure.motion.model_dump(mode="json")}
    after = {"vetoed" if asked.take else "carried": number}
    override = overrides.begin(draft, actor, asked, target=id, mission=id, before=before, after=after)
    overrides.told(draft, actor, override)
    detail = f"{override.id}, by {actor.id}: {asked.reason}"
    for approval in list(draft.swarm.approvals.values()):
        if approval.mission == id and approval.action["request"].get("number") == number:
            # It waited for an operator, and an operator has decided.
            draft.add(ApprovalClosed(approval.id))
    advance(draft, id, Overruled(number, not asked.take, Rule.OVERRIDE_ACTIVE, detail))
    return None


def _ordered(draft: Draft, id: MissionId) -> list[tuple[str, object]]:
    standing = [o for o in draft.swarm.overrides.values() if (o.kind, o.target) == ("motion", id)]
    return [pair for override in standing for pair in override.after.items()]


def _vetoed(draft: Draft, id: MissionId, motion: Motion) -> Denied | None:
    asked = motion.model_dump(mode="json", exclude={"reason"})
    for override in draft.swarm.overrides.values():
        if (override.kind, override.target) != ("motion", id) or "vetoed" not in override.after:
            continue
        if {k: v for k, v in override.before["motion"].items() if k != "reason"} == asked:
            return Denied(Rule.OVERRIDE_ACTIVE, f"{override.id}, by {override.by}, vetoed this motion")
    return None


def _direct(draft: Draft, mission: Mission, motion: DirectMotion, taint: tuple[str, ...]) -> Denied | None:
    agent = acts.find_of_mission(draft.swarm, mission.id, motion.to)
    if isinstance(agent, Denied):
        return agent
    if agent.parent != SOB:
        return Denied(Rule.BOARD_MOTION, f"{agent.id} is no executive: direct its executive")
    if draft.swarm.lineage.is_fenced(agent.path):
        return Denied(Rule.ANCESTOR_ENDING, agent.id)
    report = draft.swarm.reports.get(mission.id, {}).get(agent.id)
    if report is not None:
        draft.add(ReportSet(mission.id, replace(report, is_done=False)))
    message = Message(
        sender=SOB,
        to=agent.id,
        kind=Kind.DIRECTIVE,
        mission=mission.id,
        at=draft.moment.stamp,
        text=motion.text,
    )
    draft.add(Post(down(SOB), stamped(message, taint)))
    return None


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
    """Silent seats and overdue motions; a wait whose executives are all gone. While a mission is stopped no time runs."""
    for id, procedure in list(draft.swarm.boards.items()):
        if _is_stopped(draft, id):
            continue
        since = draft.swarm.paused.pop(id, None)
        if since is not None:
            advance(draft, id, Thawed(draft.moment.now - since))
            continue
        deadline = next_deadline(procedure)
        if deadline is not None and deadline <= draft.moment.now:
            advance(draft, id, Ticked())
        review_if_ready(draft, id)


def make_up(draft: Draft, seconds: float) -> None:
    """Gives back the time in which nobody led, and so no seat's call could begin. A stopped mission's is given back when
    the stop is lifted."""
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
            draft.swarm.paused.setdefault(id, stop.at)
            return True
    return False
