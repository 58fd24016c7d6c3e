"""Whether the times of the board, and of stalls, agree with those of the models that seats and
agents think with. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator

from swarmd.core.model.board_rules import BoardRules
from swarmd.core.model.declarations import Declarations

# Answers, the proposer's response, the vote.
BRISK_STEPS = 3


def short_times(declared: Declarations) -> Iterator[str]:
    """Times that are lawful and let whoever thinks with a slow model count as absent or stalled,
    each in a sentence.
    """
    board, stall_seconds = declared.board, declared.limits.stall_seconds
    for name, provider in declared.models.providers.items():
        if board.seat_seconds < provider.total_seconds:
            yield (
                f"board.yaml: seat_seconds is {board.seat_seconds:g}, and {name} in models.yaml "
                f"may take {provider.total_seconds:g} for one answer (total_seconds): a slower "
                "seat counts as absent; raise the one or lower the other"
            )
        if stall_seconds < provider.total_seconds:
            yield (
                f"limits.yaml: stall_seconds is {stall_seconds:g}, and {name} in models.yaml may "
                f"take {provider.total_seconds:g} for one answer (total_seconds): an agent that "
                "waits for it counts as stalled; raise the one or lower the other"
            )
    steps = steps_of(board)
    least = steps * board.seat_seconds
    if board.motion_seconds < least:
        yield (
            f"board.yaml: motion_seconds is {board.motion_seconds:g}, and {steps} steps of "
            f"seat_seconds each take up to {least:g}: a slow motion falls before it is decided"
        )


def steps_of(board: BoardRules) -> int:
    """How many answers one after the other a motion that is proposed waits for at most."""
    if board.procedure == "brisk":
        return BRISK_STEPS
    return len(board.seats) * (board.rounds + 1)
