"""How a seat votes: on what can be counted, and not on what would have to be judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from swarmd.adapters.files.sentences import cleaned
from swarmd.adapters.files.words import terms
from swarmd.adapters.models.builtin.charters import executives_of
from swarmd.adapters.models.builtin.reports import is_undone, quotes_in, quotes_of
from swarmd.adapters.models.builtin.topics import topic
from swarmd.adapters.models.builtin.wording import CREATION_IS_LAWFUL, counted, enumerated
from swarmd.core.model.names import CLERK
from swarmd.ports.models import Call, View

Choice = tuple[Literal["yes", "no", "abstain"], str]
Motion = Mapping[str, Any]

_NO_JUDGEMENT: Final[Choice] = ("abstain", "rules and retrieval cannot judge this motion")


def vote_on(view: View, call: Call) -> Choice:
    """The choice and its reason."""
    motion = call.motion or {}
    voter = _VOTERS.get(str(motion.get("motion")))
    return _NO_JUDGEMENT if voter is None else voter(view, call, motion)


def _vote_on_charter(view: View, call: Call, motion: Motion) -> Choice:
    about = set(topic(view.mission_text).weights)
    executives = executives_of(motion)
    strangers = [e for e in executives if not about & set(terms(str(e.get("task", ""))))]
    if not executives or strangers:
        names = enumerated([cleaned(str(e.get("name", "")))[:64] for e in strangers])
        return "no", f"no word of the mission is in the task of {names or 'any executive'}"
    return "yes", f"{counted(len(executives), 'task')}, each about words of the mission"


def _vote_on_delivery(view: View, call: Call, motion: Motion) -> Choice:
    quotes = len(quotes_of(call.reports))
    if quotes or quotes_in(str(motion.get("text", ""))):
        return "yes", f"{counted(quotes, 'cited sentence')} can be checked at file and line"
    return "no", "the reports are empty: no sentence in them cites its file and line"


def _vote_on_rejection(view: View, call: Call, motion: Motion) -> Choice:
    quotes = len(quotes_of(call.reports))
    if quotes:
        return "no", f"{counted(quotes, 'cited sentence')} can be delivered"
    return "yes", "nothing that could be cited was found, and the motion says what is missing"


def _vote_on_act(view: View, call: Call, motion: Motion) -> Choice:
    notices = {said.data.get("approval") for said in view.room if said.sender == CLERK}
    if motion.get("verb") == "approve" and motion.get("target") in notices:
        return "yes", CREATION_IS_LAWFUL
    return _NO_JUDGEMENT


def _vote_on_direction(view: View, call: Call, motion: Motion) -> Choice:
    # How often work may be sent back is the clerk's to count.
    if any(is_undone(str(report.get("text", ""))) for report in call.reports):
        return "yes", "a report names a part that was not searched"
    return "no", "no report names a part that was not searched"


_VOTERS: Final[Mapping[str, Callable[[View, Call, Motion], Choice]]] = {
    "charter": _vote_on_charter,
    "deliver": _vote_on_delivery,
    "reject": _vote_on_rejection,
    "act": _vote_on_act,
    "direct": _vote_on_direction,
}
