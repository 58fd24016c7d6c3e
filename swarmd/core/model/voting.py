"""How a motion is decided, by consent or by vote."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from swarmd.core.model.bench import Bench
from swarmd.core.model.procedure import Argument, Ballot


@dataclass(frozen=True, slots=True)
class Verdict:
    is_carried: bool
    why: str


def decide_vote(ballots: Sequence[Ballot], bench: Bench) -> Verdict:
    """Quorum, majority, tie-break, in this order.

    Present is who answered the call to vote: an explicit abstention is presence, silence or
    failure is absence. A majority is more yes than no. A tie is decided by the chair's own vote
    where the rules say so and the chair voted yes or no; otherwise the motion falls.
    """
    if len(ballots) < bench.quorum:
        return Verdict(
            False, f"no quorum: {len(ballots)} of at least {bench.quorum} seats answered"
        )
    choices = Counter(ballot.choice for ballot in ballots)
    yes, no = choices["yes"], choices["no"]
    if yes != no:
        return Verdict(yes > no, f"{yes} yes, {no} no")
    chair = next((ballot.choice for ballot in ballots if ballot.seat == bench.chair), "abstain")
    if bench.tie_break == "chair" and chair != "abstain":
        return Verdict(chair == "yes", f"a tie at {yes}, the chair votes {chair}")
    return Verdict(False, f"a tie at {yes}")


def decide_consent(arguments: Sequence[Argument], bench: Bench) -> Verdict:
    """Is a motion carried without a vote? Only where nobody argued or objected, and those who
    consented are a quorum together with the proposer.
    """
    against = [answer.seat for answer in arguments if answer.stance != "consent"]
    if against:
        return Verdict(False, f"{', '.join(against)} argued")
    consents = len(arguments)
    if consents + 1 < bench.quorum:
        return Verdict(False, f"{consents} consented, {bench.quorum} are a quorum")
    if len(bench.seats) == 1:
        return Verdict(True, "its proposer is the whole bench")
    return Verdict(True, f"the proposer and {consents} who consented, nobody argued")
