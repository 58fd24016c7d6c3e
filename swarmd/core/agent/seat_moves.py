"""What a seat may answer to its call, and what that says in the board's room. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, assert_never

from swarmd.core.model.functions import Offer
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.moves import SEAT_MOVES, Argue, Propose, Respond, Vote

# What answers each phase of a motion.
PHASE_MOVES: Final[Mapping[str, tuple[str, ...]]] = {
    "propose": ("propose",),
    "review": ("propose",),
    "debate": ("argue",),
    "respond": ("respond",),
    "vote": ("vote",),
    "answer": ("say", "propose"),  # to an operator
}

# As what such an answer stands in the board's room.
_SAID_IN: Final[Mapping[str, tuple[Kind, ...]]] = {
    "propose": (Kind.PROPOSAL,),
    "review": (Kind.PROPOSAL,),
    "debate": (Kind.ARGUMENT,),
    "respond": (Kind.RESPONSE,),
    "vote": (Kind.VOTE,),
    "answer": (Kind.SAY, Kind.PROPOSAL),
}


def required_of(call: Mapping[str, Any]) -> tuple[str, ...]:
    """What the seat may answer to this call. A motion for an operator cannot be put while another
    is before the board.
    """
    moves = PHASE_MOVES[call["phase"]]
    return moves if call["may_propose"] else tuple(name for name in moves if name != "propose")


def offer_to_seat() -> Offer:
    """The same in each phase: which of them the answer has to be, its prompt says.

    Of two answers nobody can tell which one was meant.
    """
    return Offer((*SEAT_MOVES, "say"), moves_max=1)


def is_answered(phase: str, said: Iterable[Message]) -> bool:
    """Is one of these what the call of this phase asks for?"""
    return any(message.kind in _SAID_IN[phase] for message in said)


def said_by(move: Propose | Argue | Respond | Vote) -> tuple[Kind, str, dict[str, Any]]:
    """The kind of the message, its text and its data."""
    match move:
        case Propose(motion=motion):
            return Kind.PROPOSAL, motion.reason, {"motion": motion.model_dump(mode="json")}
        case Argue(text=text, stance=stance):
            return Kind.ARGUMENT, text, {"stance": stance}
        case Respond(motion=changed):
            answer = move.model_dump(mode="json", include={"decision", "accepts"})
            if changed is not None:
                answer["motion"] = changed.model_dump(mode="json")
            return Kind.RESPONSE, move.reason, answer
        case Vote(choice=choice, reason=reason):
            return Kind.VOTE, reason, {"choice": choice}
        case _:
            assert_never(move)
