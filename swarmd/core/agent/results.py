"""What a model is told of each move of an answer: done, asked for, or refused and why. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from swarmd.core.model.moves import Direct, Govern, Move, Report, Say, Spawn, Think, Use, Wait
from swarmd.core.model.records import Citations
from swarmd.core.model.refusals import Rule

# A thought alone is asked once more, for act it must or rest; a second one is a wait.
NOTED: Final = "Your thought is noted. Act now, or `wait`."
_ASKED: Final = "asked; the answer comes by mail after this turn"
_SENT: Final = "sent when this turn ends"
_NO_WAIT: Final = "not begun: see these results first, then `wait` again"
_NOT_HELD: Final = (
    "You do not hold this right. If your task needs it, `report` with `done` false: name it, and "
    "say what for."
)
_HINTS: Final[Mapping[Rule, str]] = {
    Rule.PRIVILEGE_USE: _NOT_HELD,
    Rule.PRIVILEGE_REVOKED: _NOT_HELD,
}

Result = Mapping[str, Any]


def done_result(move: Move) -> Result:
    """Of a move that was done, in an answer of which something else is shown."""
    return {**label_of(move), "ok": True, "detail": _DETAILS.get(type(move), _SENT)}


def refused_result(move: Move, rule: Rule, detail: str, hint: str = "") -> Result:
    """`hint`: what to do about it, where its rule does not say."""
    no = {**label_of(move), "ok": False, "rule": rule.value, "detail": detail}
    hint = hint or _HINTS.get(rule, "")
    return no | {"hint": hint} if hint else no


def given_back(report: Report, found: Citations) -> Result:
    """Of a final report that is not sent, for its author can mend it now."""
    return {
        **label_of(report),
        "ok": False,
        "detail": f"not sent: {found.text}. Mend what is wrong and report again; what you report "
        "then is sent as it is.",
    }


def held_back(report: Report, messages: int) -> Result:
    """Of a final report whose author has mail that it has not read."""
    return {
        **label_of(report),
        "ok": False,
        "held": True,
        "detail": f"not sent: {messages} message{'s' * (messages > 1)} came while you worked. Read "
        "them in the next turn, then report again.",
    }


def sent_as_interim(report: Report, open_ends: str) -> Result:
    """Of a final report that left something open once too often: its turn is over."""
    detail = f"sent with `done` false, for it leaves something open: {open_ends}"
    return {**label_of(report), "ok": False, "held": True, "detail": detail}


def label_of(move: Move) -> dict[str, Any]:
    """Which move of the answer it is, by what tells it from others of its kind."""
    match move:
        case Use(function=function):
            return {"function": function}
        case Spawn(key=key):
            return {"move": move.move, "key": key}
        case Direct(to=to):
            return {"move": move.move, "to": to}
        case Say(room=room):
            return {"move": move.move, "room": room}
        case Govern():
            return {"move": move.move, "verb": move.verb, "target": move.target}
        case _:
            return {"move": move.move}


_DETAILS: Final[Mapping[type, str]] = {
    Spawn: _ASKED,
    Govern: _ASKED,
    Report: _SENT,
    Think: "noted",
    Wait: _NO_WAIT,
}
