"""Whether the times of the board agree with those of the models that its seats think with. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from swarmd.core.model.board_rules import BoardRules
from swarmd.core.model.declarations import Declarations

# Answers, the proposer's response, the vote.
BRISK_STEPS = 3


def short_times(declared: Declarations) -> Iterator[str]:
    """Times that are lawful and let a slow model's seats count as absent, each in a sentence."""
    board = declared.board
    for name, provider in declared.models.providers.items():
        if board.seat_seconds < provider.total_seconds:
            yield (
                f"board.yaml: seat_seconds is {board.seat_seconds:g}, and {name} in models.yaml "
                f"may take {provider.total_seconds:g} for one answer (total_seconds): a slower "
                "seat counts as absent; raise the one or lower the other"
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
