"""The board's procedure: how a motion is proposed, argued, decided and reviewed; one `Procedure`
per mission.

`step` is the whole law of deliberation as a function of its inputs; the clerk does the effects and
holds no rule. A model can be late, silent, confused or hostile, so nothing here waits for one: each
call has a deadline, each phase a finite list of seats, each mission a finite number of motions.

Invariant: somebody is called, or a motion is carried and awaits the supervisor, or the mission
works, or the procedure is over (or was not opened yet): exactly one of these, and `stage` says
which.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, assert_never

from swarmd.core.board.admissible import (
    CORRECTIONS_MAX,
    digest_of,
    fallen_of,
    why_ignored,
    why_no_more,
    why_not,
    why_too_early,
)
from swarmd.core.board.announcing import (
    consent_line,
    correction_line,
    fall_line,
    opened_line,
    overruled_line,
    response_line,
    tally_line,
)
from swarmd.core.board.arguing import with_argument, with_response
from swarmd.core.board.calling import (
    Outcome,
    call_next,
    call_seats,
    closed_calls,
    delayed,
    sent,
    thawed,
    without_answered,
)
from swarmd.core.board.carrying import carried, executed, sorted_alone
from swarmd.core.board.events import (
    Answer,
    Argued,
    Came,
    Delayed,
    Event,
    Executed,
    Fail,
    Ignored,
    Opened,
    Overruled,
    Proposed,
    Refused,
    ReportsIn,
    Responded,
    SeatFailed,
    Sent,
    Thawed,
    Ticked,
    Voted,
)
from swarmd.core.board.hearing import (
    HEARINGS_MAX,
    all_heard,
    goes_back_line,
    note,
    since_proposed,
    told,
    unheard,
    why_stale,
)
from swarmd.core.board.standing import still_to_vote, with_authors_vote, without_stale_vote
from swarmd.core.model.bench import bench_of
from swarmd.core.model.board_rules import BoardRules
from swarmd.core.model.procedure import (
    FIRST_TRY,
    NO_MOTION,
    Ballot,
    Procedure,
    Stage,
    as_stored,
)
from swarmd.core.model.voting import decide_consent, decide_vote
from swarmd.core.model.watch import News


def step(procedure: Procedure, event: Event, rules: BoardRules, now: float) -> Outcome:
    """One event. What does not fit changes nothing: an answer is `Ignored`, all else has no effect.

    A seat's deadline closes its call at the `Ticked` that finds it over, so answers that waited
    through a supervisor's restart still count. A motion's deadline is strict: whatever event
    comes past it finds the motion fallen.
    """
    if procedure.stage == "ended":
        return procedure, ()
    moved, effects = _moved(procedure, event, rules, now)
    assert moved.is_consistent
    is_ignored = any(isinstance(effect, Ignored) for effect in effects)
    answered = event.seat if isinstance(event, Answer) and not is_ignored else ""
    return moved, (*closed_calls(procedure, moved, answered), *effects)


def _moved(procedure: Procedure, event: Event, rules: BoardRules, now: float) -> Outcome:
    deadline = procedure.motion_deadline
    if isinstance(event, Thawed):
        return thawed(procedure, event.seconds, rules, now)
    if isinstance(event, Delayed):
        return delayed(procedure, event.seconds), ()
    if deadline is not None and deadline <= now:
        return _fall_overdue(procedure, event, rules, now)
    return _apply(procedure, event, rules, now)


def _fall_overdue(procedure: Procedure, event: Event, rules: BoardRules, now: float) -> Outcome:
    moved, effects = _fall(procedure, "its time is over", rules, now)
    if isinstance(event, Answer):
        effects += (Ignored(event.seat, "the motion's time is over"),)
    return moved, effects


def _apply(procedure: Procedure, event: Event, rules: BoardRules, now: float) -> Outcome:
    match event:
        case Proposed() | Argued() | Responded() | Voted() | SeatFailed():
            return _answer(procedure, event, rules, now)
        case Executed() | Refused() | Overruled():
            return _decided(procedure, event, rules, now)
        case Ticked():
            return _close_silent(procedure, rules, now)
        case Sent():
            return sent(procedure, event, rules, now), ()
        case Came():
            return note(procedure, event), ()
        case Opened(seats) if procedure.stage == "docketed":
            return _open_procedure(procedure, seats, rules, now)
        case ReportsIn() if procedure.stage == "working":
            return _review(procedure, event, rules, now)
        case Opened() | Thawed() | Delayed() | ReportsIn():
            # Repeated by a supervisor that restarted: it was taken the first time.
            return procedure, ()
        case _:
            assert_never(event)


def _open_procedure(
    procedure: Procedure, seats: int | None, rules: BoardRules, now: float
) -> Outcome:
    changes = {"kind": rules.procedure, "bench": bench_of(rules, seats)}
    return _open_motion(procedure.model_copy(update=changes), rules, now)


def _review(procedure: Procedure, event: ReportsIn, rules: BoardRules, now: float) -> Outcome:
    changes = {
        "in_review": True,
        "agenda": as_stored(event.agenda),
        "is_for_chair": event.is_for_chair,
    }
    reviewing = procedure.model_copy(update=changes)
    moved, effects = _open_motion(reviewing, rules, now)
    if event.proposed is None or moved.stage != "propose":
        return moved, effects
    # Its motion is there already: nobody is called to propose one, but who would be called next
    # is, should this one not do.
    uncalled = moved.model_copy(update={"calls": (), "came": event.came})
    proposed = replace(event.proposed, motion_number=moved.motion_number)
    return _proposed(uncalled, proposed, rules, now)


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
        return executed(procedure)
    return _fall(procedure, f"refused by {event.rule}: {event.detail}", rules, now)


def _close_silent(procedure: Procedure, rules: BoardRules, now: float) -> Outcome:
    left = tuple(call for call in procedure.calls if call.deadline > now)
    if len(left) == len(procedure.calls):
        return procedure, ()
    return _go_on(procedure.model_copy(update={"calls": left}), rules, now)


# --- answers ----------------------------------------------------------------------------------


def _answer(procedure: Procedure, answer: Answer, rules: BoardRules, now: float) -> Outcome:
    why = why_ignored(procedure, answer)
    if why:
        return procedure, (Ignored(answer.seat, why),)
    answered = without_answered(procedure, answer.seat, rules, now)
    match answer:
        case Proposed():
            return _proposed(answered, answer, rules, now)
        case Responded():
            return _responded(answered, answer, rules, now)
        case Argued() if answered.kind == "brisk":
            answered = with_argument(answered, answer)
        case Voted():
            ballot = Ballot(seat=answer.seat, choice=answer.choice, reason=answer.reason)
            answered = answered.model_copy(update={"ballots": (*answered.ballots, ballot)})
    return _go_on(answered, rules, now)


# --- phases -----------------------------------------------------------------------------------


def _open_motion(procedure: Procedure, rules: BoardRules, now: float) -> Outcome:
    """Ask for the next motion. The turn to propose goes round, from the chair on; who follows is
    asked where that seat is silent."""
    number = procedure.motion_number + 1
    if number > rules.motions_max:
        return _fail(procedure, f"the board used up its {rules.motions_max} motions")
    changes = NO_MOTION | {
        "motion_number": number,
        "send_backs_max": rules.send_backs_max,
        "attempt": 0,
    }
    opened = procedure.model_copy(update=changes)
    first = 0 if opened.is_for_chair else number - 1
    return _enter(opened, "propose", procedure.bench.from_seat(first), rules, now)


def _enter(
    procedure: Procedure, stage: Stage, seats: tuple[str, ...], rules: BoardRules, now: float
) -> Outcome:
    """Begin a phase: its seats are called at once, or one after the other. Whoever decides the
    motion is called to the vote, so that nothing is unheard then.
    """
    entered = procedure.model_copy(update={"stage": stage, **FIRST_TRY})
    if stage == "vote":
        entered = all_heard(entered)
    if entered.is_at_once and seats:
        return call_seats(entered, seats, rules, now)
    return _go_on(entered.model_copy(update={"waiting": seats}), rules, now)


def _go_on(procedure: Procedure, rules: BoardRules, now: float) -> Outcome:
    """Call who waits; where nobody does and all have answered, the phase is over and the next one
    begins.
    """
    if procedure.calls:
        return procedure, ()
    if procedure.waiting:
        return call_next(procedure.model_copy(update=FIRST_TRY), rules, now)
    if procedure.stage == "propose":
        return _fail(procedure, _why_none_proposed(procedure))
    if procedure.stage == "vote":
        return _decide(procedure, rules, now)
    if procedure.stage == "debate" and procedure.kind == "brisk":
        return _end_debate(procedure, rules, now)
    return _open_vote(procedure, rules, now)


def _why_none_proposed(procedure: Procedure) -> str:
    if not procedure.correction:
        return "no seat proposed a motion"
    return f"no seat proposed a motion that the law allows; the last: {procedure.correction}"


def _end_debate(procedure: Procedure, rules: BoardRules, now: float) -> Outcome:
    """All seats have answered the motion, or their time is up."""
    assert procedure.motion is not None
    verdict = decide_consent(procedure.arguments, procedure.bench)
    if verdict.is_carried:
        if came := unheard(procedure, procedure.motion):
            return _give_to_proposer(procedure, came, rules, now)
        moved, effects = carried(procedure)
        return moved, (consent_line(procedure, verdict), *effects)
    if any(argument.stance != "consent" for argument in procedure.arguments):
        return _enter(procedure, "respond", (procedure.proposer,), rules, now)
    # Seats are missing and there is nothing to respond to: a vote asks those once more.
    return _open_vote(with_authors_vote(procedure, procedure.motion.reason), rules, now)


def _open_vote(procedure: Procedure, rules: BoardRules, now: float) -> Outcome:
    opened = without_stale_vote(procedure)
    return _enter(opened, "vote", still_to_vote(opened), rules, now)


def _decide(procedure: Procedure, rules: BoardRules, now: float) -> Outcome:
    assert procedure.motion is not None
    verdict = decide_vote(procedure.ballots, procedure.bench)
    if verdict.is_carried and (came := unheard(procedure, procedure.motion)):
        return _hear_first(procedure, came, rules, now)
    tally = tally_line(procedure, verdict)
    if not verdict.is_carried:
        moved, effects = _fall(procedure, verdict.why, rules, now)
        return moved, (tally, *effects)
    moved, effects = carried(procedure)
    return moved, (tally, *effects)


def _hear_first(
    procedure: Procedure, came: tuple[News, ...], rules: BoardRules, now: float
) -> Outcome:
    """The votes were cast without it, and lapse."""
    votes = procedure.hearings + 1
    if votes > HEARINGS_MAX:
        return _fall(
            procedure, f"in each of its {votes} votes something came: {told(came)}", rules, now
        )
    return _give_to_proposer(procedure.model_copy(update={"hearings": votes}), came, rules, now)


def _give_to_proposer(
    procedure: Procedure, came: tuple[News, ...], rules: BoardRules, now: float
) -> Outcome:
    """Before it is carried, its proposer has a word on what came, and all vote."""
    line = goes_back_line(procedure, came)
    lapsed = procedure.model_copy(update={"ballots": ()})
    moved, effects = _enter(lapsed, "respond", (procedure.proposer,), rules, now)
    return moved, (line, *effects)


# --- motions ----------------------------------------------------------------------------------


def _proposed(procedure: Procedure, proposed: Proposed, rules: BoardRules, now: float) -> Outcome:
    motion = proposed.motion
    if procedure.kind == "full":
        return _proposed_in_full(procedure, proposed, rules, now)
    why = why_not(procedure, motion, proposed.judged, rules) or why_stale(procedure, motion)
    if not why:
        return sorted_alone(procedure, proposed) or _put(procedure, proposed, rules, now)
    moved, effects = _give_back(procedure, proposed, why, rules, now)
    return moved, (correction_line(proposed, why), *effects)


def _proposed_in_full(
    procedure: Procedure, proposed: Proposed, rules: BoardRules, now: float
) -> Outcome:
    why = why_too_early(procedure, proposed.motion)
    if why:
        moved, effects = _go_on(procedure, rules, now)
        return moved, (Ignored(proposed.seat, why), *effects)
    why = why_no_more(procedure, proposed.motion, rules)
    if why:
        return _fall(procedure, why, rules, now)
    return _put(procedure, proposed, rules, now)


def _give_back(
    procedure: Procedure, answer: Proposed | Responded, why: str, rules: BoardRules, now: float
) -> Outcome:
    """The same seat is called again with what is wrong, or after so many times the next one."""
    assert answer.motion is not None
    warned = digest_of(answer.motion) if answer.judged and answer.judged.asks else ""
    again = procedure.model_copy(
        update={"correction": why, "corrections": procedure.corrections + 1, "warned": warned}
    )
    if procedure.stage == "propose":
        # A seat remembers nothing: its own text is shown to it, to be mended and not made anew.
        again = again.model_copy(update=fallen_of(again, answer.motion, why))
    if again.corrections <= CORRECTIONS_MAX:
        return call_seats(again, [answer.seat], rules, now)
    if procedure.stage == "propose" and procedure.waiting:
        again = again.model_copy(update={"refusal": why})
    return _go_on(again, rules, now)


def _put(procedure: Procedure, proposed: Proposed, rules: BoardRules, now: float) -> Outcome:
    """The motion is before the board."""
    changes = {
        "motion": proposed.motion,
        "proposer": proposed.seat,
        "motion_deadline": now + rules.motion_seconds,
        "taint": proposed.taint,
        "waiting": (),
        "came": since_proposed(procedure),
    }
    put = procedure.model_copy(update=changes)
    if put.kind == "brisk":
        debaters = put.bench.others(proposed.seat)
    else:
        debaters = put.bench.seats * rules.rounds
    moved, effects = _enter(put, "debate", debaters, rules, now)
    return moved, (opened_line(proposed), *effects)


def _responded(procedure: Procedure, answer: Responded, rules: BoardRules, now: float) -> Outcome:
    """The proposer's one word on the arguments, which is its vote as well: the others' votes
    follow, unless it takes the motion back.
    """
    if answer.decision == "withdraw":
        return _fall(procedure, f"withdrawn by {answer.seat}: {answer.reason}", rules, now)
    changed = answer.motion
    if changed is not None:
        why = why_not(procedure, changed, answer.judged, rules)
        if why:
            moved, effects = _give_back(procedure, answer, why, rules, now)
            return moved, (correction_line(answer, why), *effects)
    heard = with_authors_vote(with_response(procedure, answer), answer.reason)
    moved, effects = _go_on(heard, rules, now)
    return moved, (response_line(heard, answer), *effects)


def _overruled(procedure: Procedure, event: Overruled, rules: BoardRules, now: float) -> Outcome:
    if not event.is_carried:
        return _fall(procedure, f"refused by {event.rule}: {event.detail}", rules, now)
    moved, effects = carried(procedure)
    return moved, (overruled_line(event), *effects)


def _fall(procedure: Procedure, why: str, rules: BoardRules, now: float) -> Outcome:
    """The motion falls; the next proposer is told why, and may take it up again."""
    falls = procedure.falls + 1
    changes: dict[str, Any] = {"falls": falls, "refusal": why, "is_for_chair": False}
    if procedure.motion is not None:
        changes |= fallen_of(procedure, procedure.motion, why)
    fell = procedure.model_copy(update=changes)
    line = fall_line(fell, why)
    if falls >= rules.falls_max:
        moved, effects = _fail(fell, f"{falls} motions in a row fell, the last one: {why}")
    else:
        moved, effects = _open_motion(fell, rules, now)
    return moved, (line, *effects)


def _fail(procedure: Procedure, reason: str) -> Outcome:
    changes = NO_MOTION | {"stage": "ended", "failure": reason}
    return procedure.model_copy(update=changes), (Fail(reason),)
