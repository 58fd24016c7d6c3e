"""A seat of the board that is called: it proposes, argues, votes and reviews."""

from __future__ import annotations

from swarmd.adapters.files.sentences import bounded
from swarmd.adapters.models.builtin.debate import argument
from swarmd.adapters.models.builtin.proposal import propose
from swarmd.adapters.models.builtin.review import review
from swarmd.adapters.models.builtin.vote import vote_on
from swarmd.adapters.models.builtin.wording import SPEECH
from swarmd.core.model.moves import Argue, Move, Vote
from swarmd.ports.models import Call, View


def answer_call(view: View, call: Call) -> tuple[Move, ...]:
    match call.phase:
        case "propose":
            return (propose(view, call),)
        case "debate":
            return (Argue(move="argue", text=_introduce_once(view, argument(view, call))),)
        case "vote":
            choice, reason = vote_on(view, call)
            return (Vote(move="vote", choice=choice, reason=bounded(reason, 1_900)),)
        case "review":
            return (review(view, call),)


def _introduce_once(view: View, text: str) -> str:
    """What this is stands once in the room of each mission, before anything else is said there."""
    return text if any(SPEECH in said.text for said in view.room) else f"({SPEECH}.) {text}"
