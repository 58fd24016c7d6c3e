"""The board's procedure: propose, debate, vote, carry, work, review; one `Procedure` per mission.

`step` is the whole law of deliberation as a function of its inputs; the clerk does the effects and
holds no rule. A model can be late, silent, confused or hostile, so nothing here waits for one: each
call has a deadline, each phase a finite list of seats, each mission a finite number of motions.

Invariant: somebody is called, or a motion is carried and awaits the supervisor, or the mission
works, or the procedure is over (or was not opened yet): exactly one of these, and `stage` says
which.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, TypeAlias, assert_never

from pydantic import JsonValue

from swarmd.core.board.events import (
    Announce,
    Answer,
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
)
from swarmd.core.board.vote import decide_vote, tally_line
from swarmd.core.model.declarations import BoardRules
from swarmd.core.model.motion_kinds import kinds
from swarmd.core.model.procedure import Ballot, Procedure, SeatCall, Stage

EXCERPT_CHARS: Final = 300  # of a motion's text in an announced line: its data has the whole


_ANSWERED_IN: Final[dict[type, Stage]] = {Proposed: "propose", Argued: "debate", Voted: "vote"}


Outcome: TypeAlias = tuple[Procedure, tuple[Effect, ...]]


def step(procedure: Procedure, event: Event, rules: BoardRules, now: float) -> Outcome:
    """One event. What does not fit changes nothing: an answer is `Ignored`, all else has no effect.

    A seat's deadline closes its call at the `Ticked` that finds it over, so answers that waited
    through a supervisor's restart still count. A motion's deadline is strict: whatever event
    comes past it finds the motion fallen.
    """
    if procedure.stage == "ended":
        return procedure, ()
    deadline = procedure.motion_deadline
    if isinstance(event, Thawed):
        moved, effects = _thawed(procedure, event.seconds, rules, now)
    elif isinstance(event, Delayed):
        moved, effects = _delayed(procedure, event.seconds), ()
    elif deadline is not None and deadline <= now:
        moved, effects = _fall_overdue(procedure, event, rules, now)
    else:
        moved, effects = _apply(procedure, event, rules, now)
    assert moved.is_consistent
    return moved, effects


def _fall_overdue(procedure: Procedure, event: Event, rules: BoardRules, now: float) -> Outcome:
    moved, effects = _fall(procedure, "its time is over", rules, now)
    if isinstance(event, Answer):
        effects += (Ignored(event.seat, "the motion's time is over"),)
    return moved, effects


def next_deadline(procedure: Procedure) -> float | None:
    """When `Ticked` will change something; `None` where no time runs."""
    deadlines = (procedure.seat_deadline, procedure.motion_deadline)
    return min((deadline for deadline in deadlines if deadline is not None), default=None)


def _thawed(procedure: Procedure, seconds: float, rules: BoardRules, now: float) -> Outcome:
    later: dict[str, Any] = {}
    if procedure.motion_deadline is not None:
        later["motion_deadline"] = procedure.motion_deadline + seconds
    if procedure.calling is None:
        return procedure.model_copy(update=later), ()
    later |= {"seat_deadline": now + rules.seat_seconds, "attempt": procedure.attempt + 1}
    called = procedure.model_copy(update=later)
    return called, (_call_seat(called),)


def _delayed(procedure: Procedure, seconds: float) -> Procedure:
    later = {
        name: at + seconds
        for name in ("motion_deadline", "seat_deadline")
        if (at := getattr(procedure, name)) is not None
    }
    return procedure.model_copy(update=later)


def _apply(procedure: Procedure, event: Event, rules: BoardRules, now: float) -> Outcome:
    match event:
        case Proposed() | Argued() | Voted() | SeatFailed():
            return _answer(procedure, event, rules, now)
        case Executed() | Refused() | Overruled():
            return _decided(procedure, event, rules, now)
        case Ticked():
            return _close_silent(procedure, rules, now)
        case Opened() if procedure.stage == "docketed":
            return _open_motion(procedure, rules, now)
        case ReportsIn() if procedure.stage == "working":
            return _review(procedure, event, rules, now)
        case Opened() | Thawed() | Delayed() | ReportsIn():
            # Repeated by a supervisor that restarted: it was taken the first time.
            return procedure, ()
        case _:
            assert_never(event)


def _review(procedure: Procedure, event: ReportsIn, rules: BoardRules, now: float) -> Outcome:
    changes = {
        "in_review": True,
        "reports": _as_stored(event.reports),
        "agenda": _as_stored(event.agenda),
    }
    reviewing = procedure.model_copy(update=changes)
    moved, effects = _open_motion(reviewing, rules, now)
    if event.proposed is None or moved.stage != "propose":
        return moved, effects
    # Its motion is there already: nobody is called to propose one, but who would be called next
    # is, should this one not do.
    proposed = replace(event.proposed, motion_number=moved.motion_number)
    return _proposed(moved, proposed, rules, now)


def _decided(
    procedure: Procedure, event: Executed | Refused | Overruled, rules: BoardRules, now: float
) -> Outcome:
    """What became of a motion. Of another than the present one it was taken the first time."""
    if event.motion_number != procedure.motion_number:
        return procedure, ()
    if isinstance(event, Overruled):
        is_put = procedure.motion is not None
        return _overruled(procedure, event, rules, now) if is_put else (procedure, ())
    if procedure.stage != "carrying":
        return procedure, ()
    if isinstance(event, Executed):
        return _executed(procedure)
    return _fall(procedure, f"refused by {event.rule}: {event.detail}", rules, now)


def _close_silent(procedure: Procedure, rules: BoardRules, now: float) -> Outcome:
    is_silent = procedure.seat_deadline is not None and procedure.seat_deadline <= now
    return _next_seat(procedure, rules, now) if is_silent else (procedure, ())


def _answer(procedure: Procedure, answer: Answer, rules: BoardRules, now: float) -> Outcome:
    why = _why_ignored(procedure, answer)
    if why:
        return procedure, (Ignored(answer.seat, why),)
    if isinstance(answer, Proposed):
        return _proposed(procedure, answer, rules, now)
    if isinstance(answer, Voted):
        ballot = Ballot(seat=answer.seat, choice=answer.choice, reason=answer.reason)
        procedure = procedure.model_copy(update={"ballots": (*procedure.ballots, ballot)})
    return _next_seat(procedure, rules, now)


def _why_ignored(procedure: Procedure, answer: Answer) -> str:
    """Empty where the answer is the one that is awaited."""
    if procedure.calling is None:
        return f"nobody is called: {procedure.stage}"
    if answer.motion_number != procedure.motion_number:
        return f"motion {procedure.motion_number} is before the board, not {answer.motion_number}"
    if answer.seat != procedure.calling:
        has_voted = any(ballot.seat == answer.seat for ballot in procedure.ballots)
        return "it has voted" if has_voted else f"{procedure.calling} is called"
    if isinstance(answer, SeatFailed):
        is_fitting = answer.phase in (None, procedure.phase)
    else:
        is_fitting = _ANSWERED_IN[type(answer)] == procedure.stage
    return "" if is_fitting else f"the phase is {procedure.phase}"


def _open_motion(procedure: Procedure, rules: BoardRules, now: float) -> Outcome:
    """Ask for the next motion. The turn to propose goes round, from the chair on; who follows is
    asked where that seat is silent."""
    number = procedure.motion_number + 1
    if number > rules.motions_max:
        return _fail(procedure, f"the board used up its {rules.motions_max} motions")
    first = (rules.seats.index(rules.chair) + number - 1) % len(rules.seats)
    changes = _NO_MOTION | {
        "motion_number": number,
        "send_backs_max": rules.send_backs_max,
        "attempt": 0,
    }
    opened = procedure.model_copy(update=changes)
    return _enter(opened, "propose", rules.seats[first:] + rules.seats[:first], rules, now)


def _enter(
    procedure: Procedure, stage: Stage, seats: tuple[str, ...], rules: BoardRules, now: float
) -> Outcome:
    return _next_seat(procedure.model_copy(update={"stage": stage, "waiting": seats}), rules, now)


def _next_seat(procedure: Procedure, rules: BoardRules, now: float) -> Outcome:
    """Call who waits; where nobody does, the phase is over and the next one begins."""
    if procedure.waiting:
        changes = {
            "calling": procedure.waiting[0],
            "seat_deadline": now + rules.seat_seconds,
            "attempt": procedure.attempt + 1,
            "waiting": procedure.waiting[1:],
        }
        called = procedure.model_copy(update=changes)
        return called, (_call_seat(called),)
    if procedure.stage == "propose":
        return _fail(procedure, "no seat proposed a motion")
    if procedure.stage == "debate":
        return _enter(procedure, "vote", rules.seats, rules, now)
    return _decide(procedure, rules, now)


def _call_seat(procedure: Procedure) -> CallSeat:
    assert procedure.calling is not None
    assert procedure.seat_deadline is not None
    assert procedure.phase is not None
    motion = procedure.motion
    call = SeatCall(
        phase=procedure.phase,
        motion_number=procedure.motion_number,
        motion=None if motion is None else motion.model_dump(mode="json"),
        # Whoever debates or votes on a delivery must see what would be delivered.
        reports=procedure.reports,
        refusal=procedure.refusal,
        sent_back=procedure.sent_back,
        send_backs_max=procedure.send_backs_max,
        agenda=procedure.agenda,
    )
    return CallSeat(procedure.calling, call, procedure.attempt, procedure.seat_deadline)


def _proposed(procedure: Procedure, proposed: Proposed, rules: BoardRules, now: float) -> Outcome:
    motion = proposed.motion
    kind = kinds()[motion.motion]
    if not procedure.in_review and not kind.opens:
        # Nothing works yet that could be directed, ended or delivered; another seat may know
        # better.
        openers = " or ".join(name for name, other in kinds().items() if other.opens)
        why = f"{motion.motion} before anything was chartered: only {openers}"
        moved, effects = _next_seat(procedure, rules, now)
        return moved, (Ignored(proposed.seat, why), *effects)
    if kind.sends_back and procedure.sent_back >= rules.send_backs_max:
        why = f"work was sent back {procedure.sent_back} times, no more is allowed"
        return _fall(procedure, why, rules, now)
    return _put(procedure, proposed, rules, now)


def _put(procedure: Procedure, proposed: Proposed, rules: BoardRules, now: float) -> Outcome:
    """The motion is before the board, which debates it."""
    changes = {
        "motion": proposed.motion,
        "motion_deadline": now + rules.motion_seconds,
        "taint": proposed.taint,
    }
    put = procedure.model_copy(update=changes)
    moved, effects = _enter(put, "debate", rules.seats * rules.rounds, rules, now)
    return moved, (_opened_line(proposed), *effects)


def _decide(procedure: Procedure, rules: BoardRules, now: float) -> Outcome:
    verdict = decide_vote(procedure.ballots, rules)
    tally = tally_line(procedure, verdict, rules)
    if not verdict.is_carried:
        moved, effects = _fall(procedure, verdict.why, rules, now)
        return moved, (tally, *effects)
    moved, effects = _carried(procedure)
    return moved, (tally, *effects)


def _carried(procedure: Procedure) -> Outcome:
    assert procedure.motion is not None
    carry = Carry(procedure.motion_number, procedure.motion)
    return procedure.model_copy(update=_NO_CALL | {"stage": "carrying"}), (carry,)


def _overruled(procedure: Procedure, event: Overruled, rules: BoardRules, now: float) -> Outcome:
    if not event.is_carried:
        return _fall(procedure, f"refused by {event.rule}: {event.detail}", rules, now)
    number, why = procedure.motion_number, f"{event.rule}: {event.detail}"
    line = Announce(
        f"Motion {number} is carried by the operator, {why}.",
        {"motion_number": number, "carried": True, "why": why},
    )
    moved, effects = _carried(procedure)
    return moved, (line, *effects)


def _executed(procedure: Procedure) -> Outcome:
    """An executed motion ends the row of falls. Delivered and rejected missions need the board
    no more.
    """
    changes = _NO_MOTION | {"falls": 0, "refusal": ""}
    kind = None if procedure.motion is None else kinds()[procedure.motion.motion]
    if kind is not None and kind.ends:
        return procedure.model_copy(update=changes | {"stage": "ended"}), ()
    sent_back = procedure.sent_back + (kind is not None and kind.sends_back)
    changes |= {"stage": "working", "sent_back": sent_back}
    return procedure.model_copy(update=changes), (Await(),)


def _fall(procedure: Procedure, why: str, rules: BoardRules, now: float) -> Outcome:
    """The motion falls; the next proposer is told why."""
    falls, number = procedure.falls + 1, procedure.motion_number
    fell = procedure.model_copy(update={"falls": falls, "refusal": why})
    line = Announce(
        f"Motion {number} falls: {why}.", {"motion_number": number, "falls": falls, "why": why}
    )
    if falls >= rules.falls_max:
        moved, effects = _fail(fell, f"{falls} motions in a row fell, the last one: {why}")
    else:
        moved, effects = _open_motion(fell, rules, now)
    return moved, (line, *effects)


def _fail(procedure: Procedure, reason: str) -> Outcome:
    changes = _NO_MOTION | {"stage": "ended", "failure": reason}
    return procedure.model_copy(update=changes), (Fail(reason),)


_NO_CALL: Final[dict[str, Any]] = {
    "calling": None,
    "seat_deadline": None,
    "motion_deadline": None,
    "waiting": (),
}
_NO_MOTION: Final[dict[str, Any]] = _NO_CALL | {"motion": None, "taint": (), "ballots": ()}


def _opened_line(proposed: Proposed) -> Announce:
    number, seat, motion = proposed.motion_number, proposed.seat, proposed.motion
    return Announce(
        (
            f"Motion {number}, proposed by {seat}: {motion.motion}, because "
            f"{motion.reason[:EXCERPT_CHARS]}"
        ),
        {"motion_number": number, "proposer": seat, "motion": motion.model_dump(mode="json")},
    )


def _as_stored(reports: tuple[Mapping[str, Any], ...]) -> tuple[dict[str, JsonValue], ...]:
    """As they read back from JSON, so that a procedure and its stored form are equal."""
    return tuple(json.loads(json.dumps([dict(report) for report in reports])))
