"""Who proposes, keeps or amends a motion stands for its text: that is its vote. Pure.

Its author is not called to say so again. It is called like all others where its last word was on
something else: where it was silent about the arguments, found no lawful change, or has not heard
what came since. In the full procedure a proposer has no word on the arguments but its vote.
"""

from __future__ import annotations

from swarmd.core.board.hearing import unheard
from swarmd.core.model.procedure import Ballot, Procedure


def with_authors_vote(procedure: Procedure, reason: str) -> Procedure:
    """As the vote on its text is about to open: nobody has voted on that yet."""
    ballot = Ballot(seat=procedure.proposer, choice="yes", reason=reason, is_authors=True)
    return procedure.model_copy(update={"ballots": (ballot,)})


def without_stale_vote(procedure: Procedure) -> Procedure:
    assert procedure.motion is not None
    is_stale = bool(unheard(procedure, procedure.motion))
    return procedure.model_copy(update={"ballots": ()}) if is_stale else procedure


def still_to_vote(procedure: Procedure) -> tuple[str, ...]:
    voted = {ballot.seat for ballot in procedure.ballots}
    return tuple(seat for seat in procedure.bench.seats if seat not in voted)
