"""Reading the answers of seats from the board's room. Pure."""

from __future__ import annotations

from typing import Final

from pydantic import ValidationError

from swarmd.core.board.events import Answer, Argued, Proposed, Responded, SeatFailed, Voted
from swarmd.core.board.room import words_of
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.motions import MOTION
from swarmd.core.model.provenance import taint_of

_STANCES: Final = ("argue", "object", "consent")


def answer_of(message: Message) -> Answer | None:
    """What a seat's message in the board's room means to the procedure; `None` where nothing."""
    number, seat = message.data.get("motion_number"), message.sender
    if not isinstance(number, int):
        return None
    match message.kind:
        case Kind.ARGUMENT:
            stance = message.data.get("stance")
            return Argued(seat, number, message.text, stance if stance in _STANCES else "argue")
        case Kind.VOTE if message.data.get("choice") in ("yes", "no", "abstain"):
            return Voted(seat, number, message.data["choice"], message.text)
        case Kind.PROPOSAL:
            return proposal_of(message, number)
        case Kind.RESPONSE if message.data.get("decision") in ("keep", "amend", "withdraw"):
            return _response_of(message, number)
        case _:
            return None


def proposal_of(message: Message, number: int) -> Proposed | SeatFailed:
    """A motion that cannot be read is a failure of its seat."""
    try:
        motion = MOTION.validate_python(message.data.get("motion"))
    except ValidationError:
        return SeatFailed(message.sender, number, None)
    return Proposed(message.sender, number, motion, taint_of(message))


def _response_of(message: Message, number: int) -> Responded | SeatFailed:
    """Likewise the proposer's answer to the arguments."""
    data, decision = message.data, message.data["decision"]
    try:
        motion = MOTION.validate_python(data.get("motion")) if decision == "amend" else None
    except ValidationError:
        return SeatFailed(message.sender, number, None)
    accepts = words_of(data.get("accepts"))
    taint = taint_of(message)
    return Responded(
        message.sender, number, decision, message.text, motion, accepts=accepts, taint=taint
    )
