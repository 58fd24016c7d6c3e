"""What a seat says of a motion, in its own manner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from swarmd.adapters.files.sentences import bounded
from swarmd.adapters.models.builtin.charters import executives_of, theme_of
from swarmd.adapters.models.builtin.reports import quotes_of
from swarmd.adapters.models.builtin.topics import Topic, topic
from swarmd.adapters.models.builtin.wording import counted, enumerated
from swarmd.ports.models import Call, View

# What each seat looks at, in its own manner. The words in braces are facts of the motion.
_ON_CHARTER: Final = {
    "captain-picard": "{executives} for {themes}: the course is clear, and each can be held to its "
    "report. {budget}, so enough is left for the review. Unless somebody sees a defect, make it "
    "so.",
    "socrates": "What do we mean by {term}? The charters ask {files} for the words that stand "
    "there. What would refute "
    "us is a passage they miss, so the reports shall name the words that were not found.",
    "king-solomon": (
        "{executives} over {files}: {overlap}. Let each bring its own sentences, and "
        "let none be counted twice."
    ),
    "gandhi": "Whom does it serve? Whoever asked gets sentences that can be opened and checked, "
    "and nothing claimed beyond them. To read {files} harms nobody, and {budget_low}.",
    "marcus-aurelius": "It is in our power to read {files} and to say what stands there. "
    "{executives_suffice} for {themes}; "
    "more would be vanity.",
    "tony-stark": "{executives}, parts in parallel, one index over {files}: seconds, zero tokens. "
    "If {term} is not in there, we know at once. Ship it.",
}
_ON_DELIVERY: Final = {
    "captain-picard": (
        "{reports} brought {quotes} from {sources}. The mission has what these "
        "files hold. Deliver it."
    ),
    "socrates": "Do {quotes} answer the question, or an easier one? They hold its words, and each "
    "can be checked in {sources}; that is all we know, and the brief says so.",
    "king-solomon": "{reports}, {quotes}: I weigh what is cited and leave out what is not. {gaps}.",
    "gandhi": (
        "Nothing is claimed that is not quoted: {quotes} from {sources}. It is honest work, "
        "and may be given."
    ),
    "marcus-aurelius": (
        "{quotes} are before us. To wait would add nothing that the files do not have. {gaps}."
    ),
    "tony-stark": (
        "{quotes}, {sources}, every line clickable. {gaps}. Done is better than polished: deliver."
    ),
}
_ON_REJECTION: Final = {
    "captain-picard": (
        "We do not send home a guess. With {quotes} in {reports}, we say what is missing."
    ),
    "socrates": "We know that we do not know: {quotes} in {reports}. To say so is the answer.",
    "king-solomon": (
        "{reports} came back with {quotes}. An empty verdict is better than an invented one."
    ),
    "gandhi": "Truth first: {reports}, {quotes}. Let whoever asked be told what to bring.",
    "marcus-aurelius": "What is not in the files is not in our power: {quotes} in {reports}.",
    "tony-stark": "{quotes} in {reports}. No data, no product. Tell them what to feed us.",
}
_NEUTRAL: Final = {
    "charter": "The motion creates {executives} for {themes} over {files}. {budget}; {overlap}.",
    "deliver": "The motion delivers {quotes} of {reports} from {sources}. {gaps}.",
    "reject": "The motion rejects the mission on {quotes} in {reports}.",
    "direct": "The motion sends work back: {reports} so far hold {quotes}. {gaps}.",
    "terminate": "The motion ends an agent while {reports} hold {quotes}. {gaps}.",
    "approve": (
        "The motion answers a request for permission: an agent of a declared role, checked by the "
        "law. {gaps}."
    ),
    "act": "The motion acts on an agent while {reports} hold {quotes}. {gaps}.",
}
_MANNERS: Final = {"charter": _ON_CHARTER, "deliver": _ON_DELIVERY, "reject": _ON_REJECTION}


def argument(view: View, call: Call) -> str:
    motion = call.motion or {}
    spoken = _manner_of(view.name, motion)
    executives = executives_of(motion)
    about = topic(view.mission_text)
    text = spoken.format_map(
        {
            **_facts_of_charter(executives),
            **_facts_of_reports(call, about),
            "files": _files_shown(view),
            "term": next(iter(_longest_words(about)), "the question"),
        }
    )
    return text[0].upper() + text[1:]


def _manner_of(seat: str, motion: Mapping[str, Any]) -> str:
    kind = str(motion.get("motion", "charter"))
    verb = str(motion.get("verb", ""))
    neutral = _NEUTRAL.get(verb) or _NEUTRAL.get(kind) or _NEUTRAL["charter"]
    return _MANNERS.get(kind, {}).get(seat, neutral)


def _facts_of_charter(executives: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    budget = "No executive asks for more than the default share"
    if any(executive.get("budget") for executive in executives):
        budget = "The shares of the budget are named in the motion"
    return {
        "executives": counted(len(executives), "executive"),
        "executives_suffice": counted(len(executives), "executive")
        + (" suffices" if len(executives) == 1 else " suffice"),
        "themes": enumerated([_theme_shown(executive) for executive in executives]) or "no theme",
        "budget": budget,
        "budget_low": budget[0].lower() + budget[1:],
        "overlap": _overlap_of(executives),
    }


def _facts_of_reports(call: Call, about: Topic) -> dict[str, str]:
    quotes = quotes_of(call.reports)
    missing = about.missing(quote.text for quote in quotes)
    gaps = f"Not found: {enumerated(missing[:5])}"
    return {
        "reports": counted(len(call.reports), "report"),
        "quotes": counted(len(quotes), "cited sentence"),
        "sources": counted(len({quote.path for quote in quotes}), "file"),
        "gaps": gaps if missing else "No word of the question is missing",
    }


def _files_shown(view: View) -> str:
    return counted(len(view.files), "file") if view.files else "the swarm's own knowledge"


def _theme_shown(executive: Mapping[str, Any]) -> str:
    theme = theme_of(str(executive.get("task", ""))).rstrip("?. ")
    return f"“{bounded(theme, 70)}”"


def _overlap_of(executives: Sequence[Mapping[str, Any]]) -> str:
    if len(executives) < 2:
        return "one executive has the whole question, and may divide the files below it"
    held = [set(topic(theme_of(str(e.get("task", "")))).strong) for e in executives]
    shared = sorted(held[0].intersection(*held[1:]))
    return f"all themes share {enumerated(shared[:3])}" if shared else "the themes share no word"


def _longest_words(about: Topic) -> list[str]:
    words = (about.written[term] for term in about.strong)
    return sorted(words, key=lambda word: (-len(word), word))
