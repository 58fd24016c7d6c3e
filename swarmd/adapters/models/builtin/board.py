"""A seat of the board that is called: it proposes, argues, votes and reviews."""

from __future__ import annotations

from swarmd.adapters.files.sentences import bounded
from swarmd.adapters.models.builtin.debate import argument
from swarmd.adapters.models.builtin.proposal import propose
from swarmd.adapters.models.builtin.review import review
from swarmd.adapters.models.builtin.vote import vote_on
from swarmd.adapters.models.builtin.wording import SPEECH
from swarmd.core.model.moves import Argue, Move, Respond, Say, Vote
from swarmd.core.model.names import SOB
from swarmd.ports.models import Call, View


def answer_call(view: View, call: Call) -> tuple[Move, ...]:
    match call.phase:
        case "propose":
            return (propose(view, call),)
        case "debate":
            return (_answer_motion(view, call),)
        case "respond":
            reason = "what was argued is no fact that could be counted"
            return (Respond(move="respond", decision="keep", reason=reason),)
        case "vote":
            choice, reason = vote_on(view, call)
            return (Vote(move="vote", choice=choice, reason=bounded(reason, 1_900)),)
        case "review":
            return (review(view, call),)
        case "answer":
            return (Say(move="say", room=SOB, text=_to_operator(call)),)


def _to_operator(call: Call) -> str:
    """Rules do not understand what a person says: what they know and what a person can do is
    said.
    """
    told = ", ".join(f"{report.get('name')} has reported" for report in call.reports)
    return (
        f"({SPEECH}.) I have heard you, and have no rule for it. {told or 'No report is in'}. "
        "`swarmd say AGENT` reaches an executive; `swarmd cancel` ends the mission."
    )


def _answer_motion(view: View, call: Call) -> Argue:
    """As it would vote: what cannot be judged by counting is left to who proposed it."""
    choice, reason = vote_on(view, call)
    if choice == "no":
        text = f"{argument(view, call)} But {reason}."
        return Argue(move="argue", stance="object", text=_introduce_once(view, call, text))
    text = _introduce_once(view, call, argument(view, call))
    return Argue(move="argue", stance="consent", text=text)


def _introduce_once(view: View, call: Call, text: str) -> str:
    """What this is stands once in the room of each mission, before anything else is said there."""
    first = next((seat for seat in call.seats if seat != call.proposer), view.name)
    is_said = any(SPEECH in said.text for said in view.room)
    return text if is_said or (call.is_at_once and view.name != first) else f"({SPEECH}.) {text}"
