"""Calling seats: one, or several at once; when their time runs, and whose call is closed. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from swarmd.core.board.events import CallSeat, CloseCall, Effect, Sent
from swarmd.core.board.hearing import all_heard
from swarmd.core.model.board_rules import BoardRules
from swarmd.core.model.procedure import OpenCall, Phase, Procedure, SeatCall

Outcome: TypeAlias = tuple[Procedure, tuple[Effect, ...]]


def call_seats(
    procedure: Procedure, seats: Sequence[str], rules: BoardRules, now: float
) -> Outcome:
    """Call these seats at once; nobody else is called beside them."""
    first = procedure.attempt + 1
    calls = tuple(
        OpenCall(seat=seat, attempt=attempt, deadline=now + rules.seat_seconds)
        for attempt, seat in enumerate(seats, start=first)
    )
    changes = {"calls": calls, "attempt": procedure.attempt + len(calls)}
    heard = all_heard(procedure) if procedure.is_for_one else procedure
    called = heard.model_copy(update=changes)
    return called, tuple(_effect_of(called, call, rules) for call in calls)


def call_next(procedure: Procedure, rules: BoardRules, now: float) -> Outcome:
    """Call the first of those who wait for their turn."""
    seat, *rest = procedure.waiting
    return call_seats(procedure.model_copy(update={"waiting": tuple(rest)}), [seat], rules, now)


def without_call(procedure: Procedure, seat: str) -> Procedure:
    left = tuple(call for call in procedure.calls if call.seat != seat)
    return procedure.model_copy(update={"calls": left})


def without_answered(procedure: Procedure, seat: str, rules: BoardRules, now: float) -> Procedure:
    """A seat has answered. Whose request has not gone out has its whole time again: on a server
    with one slot each waits for those before it, and the last would be absent before it was
    asked. No call is sent twice, so this ends, and the motion's time bounds it.
    """
    others = without_call(procedure, seat)
    later = {"deadline": now + rules.seat_seconds}
    calls = tuple(call if call.is_sent else call.model_copy(update=later) for call in others.calls)
    return others.model_copy(update={"calls": calls})


def sent(procedure: Procedure, event: Sent, rules: BoardRules, now: float) -> Procedure:
    """A seat's time runs from when its request went out: what it waits for before that (the
    provider's pace, its answer to another mission) is not its slowness.

    Once: a request that is made again has what is left.
    """
    if event.motion_number != procedure.motion_number:
        return procedure
    later = {"deadline": now + rules.seat_seconds, "is_sent": True}
    calls = tuple(
        call.model_copy(update=later)
        if (call.seat, call.attempt, call.is_sent) == (event.seat, event.attempt, False)
        else call
        for call in procedure.calls
    )
    return procedure.model_copy(update={"calls": calls})


def thawed(procedure: Procedure, seconds: float, rules: BoardRules, now: float) -> Outcome:
    """Who was called is called anew."""
    later = procedure.model_copy(update=_motion_later(procedure, seconds))
    return call_seats(later, procedure.called, rules, now) if procedure.calls else (later, ())


def delayed(procedure: Procedure, seconds: float) -> Procedure:
    calls = tuple(
        call.model_copy(update={"deadline": call.deadline + seconds}) for call in procedure.calls
    )
    return procedure.model_copy(update={**_motion_later(procedure, seconds), "calls": calls})


def _motion_later(procedure: Procedure, seconds: float) -> dict[str, Any]:
    deadline = procedure.motion_deadline
    return {} if deadline is None else {"motion_deadline": deadline + seconds}


def next_deadline(procedure: Procedure) -> float | None:
    """When `Ticked` will change something; `None` where no time runs."""
    deadlines = [call.deadline for call in procedure.calls]
    if procedure.motion_deadline is not None:
        deadlines.append(procedure.motion_deadline)
    return min(deadlines, default=None)


def closed_calls(before: Procedure, after: Procedure, answered: str) -> tuple[CloseCall, ...]:
    """The calls that were open and are not any more, but for that of the seat which answered."""
    is_same = after.motion_number == before.motion_number
    left = {(call.seat, call.attempt) for call in after.calls} if is_same else set()
    return tuple(
        CloseCall(call.seat, before.motion_number, call.attempt)
        for call in before.calls
        if (call.seat, call.attempt) not in left and call.seat != answered
    )


def _effect_of(procedure: Procedure, call: OpenCall, rules: BoardRules) -> CallSeat:
    assert procedure.phase is not None
    asked = replace(
        asked_in(procedure, procedure.phase, rules),
        refusal=procedure.refusal,
        arguments=_arguments_shown(procedure),
        correction=procedure.correction,
        fallen=procedure.fallen if procedure.motion is None else None,
        is_at_once=procedure.is_at_once,
        agenda=procedure.agenda,
        is_for_chair=is_chairs(procedure, call.seat),
        came=() if procedure.motion is None else tuple(news.what for news in procedure.came),
    )
    return CallSeat(call.seat, asked, call.attempt, call.deadline)


def asked_in(procedure: Procedure, phase: Phase, rules: BoardRules) -> SeatCall:
    """What a seat is told in each phase: the motion, the bench, and what is left."""
    motion = procedure.motion
    return SeatCall(
        phase=phase,
        motion_number=procedure.motion_number,
        motion=None if motion is None else motion.model_dump(mode="json"),
        refusal="",
        sent_back=procedure.sent_back,
        send_backs_max=procedure.send_backs_max,
        seats=procedure.bench.seats,
        chair=procedure.bench.chair,
        proposer=procedure.proposer,
        falls=procedure.falls,
        falls_max=rules.falls_max,
        motions_max=rules.motions_max,
    )


def is_chairs(procedure: Procedure, seat: str) -> bool:
    """The chair is asked to propose what it may sort alone."""
    is_asked = procedure.stage == "propose" and seat == procedure.bench.chair
    return is_asked and procedure.is_for_chair and procedure.kind == "brisk"


def _arguments_shown(procedure: Procedure) -> tuple[dict[str, Any], ...]:
    """Whoever debates at once with the others hears none of them."""
    if procedure.stage == "debate":
        return ()
    return tuple(argument.model_dump(mode="json") for argument in procedure.arguments)
