"""How a motion is decided by the seats' votes, and how that is announced."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from swarmd.core.board.events import Announce
from swarmd.core.model.declarations import BoardRules
from swarmd.core.model.procedure import Ballot, Procedure


@dataclass(frozen=True, slots=True)
class Verdict:
    is_carried: bool
    why: str


def decide_vote(ballots: tuple[Ballot, ...], rules: BoardRules) -> Verdict:
    """Quorum, majority, tie-break, in this order.

    Present is who answered the call to vote: an explicit abstention is presence, silence or
    failure is absence. A majority is more yes than no. A tie is decided by the chair's own vote
    where the rules say so and the chair voted yes or no; otherwise the motion falls.
    """
    if len(ballots) < rules.quorum:
        return Verdict(
            False, f"no quorum: {len(ballots)} of at least {rules.quorum} seats answered"
        )
    choices = Counter(ballot.choice for ballot in ballots)
    yes, no = choices["yes"], choices["no"]
    if yes != no:
        return Verdict(yes > no, f"{yes} yes, {no} no")
    chair = next((ballot.choice for ballot in ballots if ballot.seat == rules.chair), "abstain")
    if rules.tie_break == "chair" and chair != "abstain":
        return Verdict(chair == "yes", f"a tie at {yes}, the chair votes {chair}")
    return Verdict(False, f"a tie at {yes}")


def tally_line(procedure: Procedure, verdict: Verdict, rules: BoardRules) -> Announce:
    ballots = procedure.ballots
    voted = {ballot.seat for ballot in ballots}
    absent = [seat for seat in rules.seats if seat not in voted]
    outcome = "carried" if verdict.is_carried else "not carried"
    return Announce(
        f"Motion {procedure.motion_number} is {outcome}, {verdict.why} "
        f"({_each_vote(ballots, absent)}).",
        {
            "motion_number": procedure.motion_number,
            "carried": verdict.is_carried,
            "why": verdict.why,
            "quorum": rules.quorum,
            "votes": [ballot.model_dump(mode="json") for ballot in ballots],
            "absent": absent,
        },
    )


def _each_vote(ballots: Iterable[Ballot], absent: Iterable[str]) -> str:
    cast = (f"{ballot.seat} {ballot.choice}" for ballot in ballots)
    return ", ".join((*cast, *(f"{seat} absent" for seat in absent)))
