"""Whether an answer is one that is awaited, and a motion one that may be put before the board: what
the procedure and the law say to it. Pure.
"""

from __future__ import annotations

from typing import Any, Final

from swarmd.core.board.events import (
    Answer,
    Argued,
    Judged,
    Proposed,
    Responded,
    SeatFailed,
    Voted,
)
from swarmd.core.model.board_rules import BoardRules
from swarmd.core.model.chain import sha256
from swarmd.core.model.motion_kinds import kinds
from swarmd.core.model.motions import Motion
from swarmd.core.model.procedure import Procedure, Stage

# How often a seat may mend a motion that the law would refuse. A model that has read the rule and
# its numbers twice does not find them at the third reading; the next seat may.
CORRECTIONS_MAX: Final = 2

# Kinds of the agenda whose executive waits to be told how to go on.
_WAIT_FOR_HELP: Final = ("blocker", "resting")

_ANSWERED_IN: Final[dict[type, Stage]] = {
    Proposed: "propose",
    Argued: "debate",
    Responded: "respond",
    Voted: "vote",
}


def why_ignored(procedure: Procedure, answer: Answer) -> str:
    """Empty where the answer is one that is awaited."""
    if not procedure.calls:
        return f"nobody is called: {procedure.stage}"
    if answer.motion_number != procedure.motion_number:
        return f"motion {procedure.motion_number} is before the board, not {answer.motion_number}"
    if answer.seat not in procedure.called:
        return _why_not_called(procedure, answer.seat)
    if isinstance(answer, SeatFailed):
        is_fitting = answer.phase in (None, procedure.phase)
    else:
        is_fitting = _ANSWERED_IN[type(answer)] == procedure.stage
    return "" if is_fitting else f"the phase is {procedure.phase}"


def _why_not_called(procedure: Procedure, seat: str) -> str:
    if any(ballot.seat == seat for ballot in procedure.ballots):
        return "it has voted"
    called = procedure.called
    return f"{', '.join(called)} {'is' if len(called) == 1 else 'are'} called"


def why_not(procedure: Procedure, motion: Motion, judged: Judged | None, rules: BoardRules) -> str:
    """Empty where it may be put."""
    return (
        why_too_early(procedure, motion)
        or why_no_more(procedure, motion, rules)
        or why_unlawful(procedure, motion, judged)
    )


def why_too_early(procedure: Procedure, motion: Motion) -> str:
    """Nothing works yet that could be directed, ended or delivered."""
    if procedure.in_review or kinds()[motion.motion].opens:
        return ""
    openers = " or ".join(name for name, other in kinds().items() if other.opens)
    return f"{motion.motion} before anything was chartered: only {openers}"


def why_no_more(procedure: Procedure, motion: Motion, rules: BoardRules) -> str:
    if sends_back(procedure, motion) and procedure.sent_back >= rules.send_backs_max:
        return f"work was sent back {procedure.sent_back} times, no more is allowed"
    return ""


def sends_back(procedure: Procedure, motion: Motion) -> bool:
    """Is work to be done again? To help one that the agenda names as waiting for help sends nothing
    back.
    """
    if not kinds()[motion.motion].sends_back:
        return False
    helped = [item for item in procedure.agenda if item["kind"] in _WAIT_FOR_HELP]
    to = getattr(motion, "to", "")
    return not any(to in (item["agent"], item["name"]) for item in helped)


def why_unlawful(procedure: Procedure, motion: Motion, judged: Judged | None) -> str:
    """What takes an operator's permission is given back once, so that the proposer knows it; one
    that proposes the same again means it.
    """
    if judged is None:
        return ""
    if not judged.asks:
        return f"refused by {judged}"
    if procedure.warned == digest_of(motion):
        return ""
    return (
        f"needs an operator's permission ({judged}): propose what needs none, or the very same "
        "again, which then waits for an operator"
    )


def digest_of(motion: Motion) -> str:
    return sha256(motion.model_dump_json(exclude={"reason"}))


def fallen_of(procedure: Procedure, motion: Motion, why: str) -> dict[str, Any]:
    fallen = {
        "motion_number": procedure.motion_number,
        "motion": motion.model_dump(mode="json"),
        "why": why,
    }
    return {"fallen": fallen}
