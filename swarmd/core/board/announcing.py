"""What the clerk says in the board's room of a motion. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from swarmd.core.board.events import Announce, Overruled, Proposed, Responded
from swarmd.core.model.procedure import Ballot, Procedure
from swarmd.core.model.voting import Verdict

EXCERPT_CHARS: Final = 300  # of a motion's text in an announced line: its data has the whole


def excerpt(text: str, chars_max: int = EXCERPT_CHARS) -> str:
    """Its beginning, cut after a word where there is one, and seen to be cut."""
    if len(text) <= chars_max:
        return text
    cut = text[: chars_max - 1]
    return (cut.rpartition(" ")[0] or cut).rstrip() + "…"


def opened_line(proposed: Proposed) -> Announce:
    """Without its reason, which its proposer has just said in the room."""
    number, seat, motion = proposed.motion_number, proposed.seat, proposed.motion
    return Announce(
        f"Motion {number}, proposed by {seat}: {motion.motion}.",
        {"motion_number": number, "proposer": seat, "motion": motion.model_dump(mode="json")},
    )


def correction_line(answer: Proposed | Responded, why: str) -> Announce:
    assert answer.motion is not None
    number, seat, kind = answer.motion_number, answer.seat, answer.motion.motion
    return Announce(
        f"Motion {number}: the {kind} of {seat} is given back, {why}.",
        {"motion_number": number, "given_back": seat, "why": why},
    )


def response_line(procedure: Procedure, answer: Responded) -> Announce:
    done = "amends it" if answer.motion is not None else "keeps it"
    facts: dict[str, Any] = {
        "motion_number": answer.motion_number,
        "response": answer.decision,
        "accepted": [argument.seat for argument in procedure.accepted],
    }
    if answer.motion is not None:
        facts["motion"] = answer.motion.model_dump(mode="json")
    reason = excerpt(answer.reason)
    return Announce(f"Motion {answer.motion_number}: {answer.seat} {done}: {reason}", facts)


def fall_line(procedure: Procedure, why: str) -> Announce:
    number = procedure.motion_number
    facts = {"motion_number": number, "falls": procedure.falls, "why": why}
    return Announce(f"Motion {number} falls: {why}.", facts)


def overruled_line(event: Overruled) -> Announce:
    number, why = event.motion_number, f"{event.rule}: {event.detail}"
    facts = {"motion_number": number, "carried": True, "why": why}
    return Announce(f"Motion {number} is carried by the operator, {why}.", facts)


def consent_line(procedure: Procedure, verdict: Verdict) -> Announce:
    """Of a motion that is carried without a vote."""
    consented = [answer.seat for answer in procedure.arguments]
    here = {procedure.proposer, *consented}
    absent = [seat for seat in procedure.bench.seats if seat not in here]
    return Announce(
        f"Motion {procedure.motion_number} is carried without a vote, {verdict.why}"
        f"{_absences(absent)}.",
        {
            **_outcome(procedure, verdict),
            "proposer": procedure.proposer,
            "arguments": [answer.model_dump(mode="json") for answer in procedure.arguments],
            "absent": absent,
        },
    )


def tally_line(procedure: Procedure, verdict: Verdict) -> Announce:
    ballots = procedure.ballots
    voted = {ballot.seat for ballot in ballots}
    absent = [seat for seat in procedure.bench.seats if seat not in voted]
    outcome = "carried" if verdict.is_carried else "not carried"
    return Announce(
        f"Motion {procedure.motion_number} is {outcome}, {verdict.why} "
        f"({_each_vote(ballots, absent)}).",
        {
            **_outcome(procedure, verdict),
            "votes": [ballot.model_dump(mode="json") for ballot in ballots],
            "absent": absent,
        },
    )


def _outcome(procedure: Procedure, verdict: Verdict) -> dict[str, Any]:
    """All that whoever decides it again needs beside the answers."""
    return {
        "motion_number": procedure.motion_number,
        "carried": verdict.is_carried,
        "why": verdict.why,
        "quorum": procedure.bench.quorum,
        "bench": procedure.bench.model_dump(mode="json"),
    }


def _absences(absent: Sequence[str]) -> str:
    return f" ({', '.join(f'{seat} absent' for seat in absent)})" if absent else ""


def _each_vote(ballots: Iterable[Ballot], absent: Iterable[str]) -> str:
    cast = (
        f"{ballot.seat} {ballot.choice}{' as its author' if ballot.is_authors else ''}"
        for ballot in ballots
    )
    return ", ".join((*cast, *(f"{seat} absent" for seat in absent)))
