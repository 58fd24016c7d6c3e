"""The built-in mind: rules and retrieval, no language model. It does a real job with no key and no
endpoint.

Its board charters executives per theme of the mission, those create researchers per part of the
files, each quotes the sentences that answer best, and the result is a brief whose every quotation
cites its `file:line`. Invariants: an answer is a function of the prompt's view and of the names of
the files in it, it is made of the same moves that a language model has, and it spends no tokens.
Whatever stands in files, reports and motions is data: it is searched, counted and quoted, and never
decides what is done.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, pairwise
from typing import Any, Final

import anyio.to_thread

from swarmd.adapters.files.search import (
    STOP_WORDS,
    Sentence,
    bounded,
    cleaned,
    is_prose,
    sentences,
    stem,
    terms,
    without_controls,
    words,
)
from swarmd.adapters.models.opening import Opening
from swarmd.core.board.motions.act import ActMotion
from swarmd.core.board.motions.charter import CharterMotion, Executive
from swarmd.core.board.motions.deliver import DeliverMotion
from swarmd.core.board.motions.direct import DirectMotion
from swarmd.core.board.motions.reject import RejectMotion
from swarmd.core.model.charter import Charter
from swarmd.core.model.functions import FILE_SEARCH
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.moves import Argue, Move, Propose, Report, Spawn, Think, Use, Vote
from swarmd.core.model.names import CLERK, AgentState
from swarmd.core.model.refusals import Rule
from swarmd.errors import WorkspaceError
from swarmd.ports.files import Files
from swarmd.ports.models import Answered, Call, Prompt, Usage, View

NAME: Final = "builtin:rules"
SPEECH: Final = "built-in mind: rules and retrieval, no language model"

THEMES_MAX: Final = 3  # a brief of more parts than that is read by nobody
PARTS_MAX: Final = 4  # researchers of one executive: they share two cores, more are not faster
PASSAGES_TOP: Final = 8
QUOTES_MAX: Final = 8  # of one researcher and of one section
FILES_MAX: Final = 512  # of one charter, as the moves bound it
QUOTES_MIN: Final = 4  # a section should have these, so they may be somewhat off the point
# Of the best sentence's score: what is below it shares a word with the question and hardly answers
# it.
FLOOR: Final = 0.45
FLOOR_FIRST: Final = 0.25
NOTHING: Final = "nothing found for:"
NOT_SEARCHED: Final = "not searched:"
NOT_READ: Final = "not read:"  # a file that no further search would read either
NOT_READ_SHOWN: Final = 20

# Words that missions are given with. They say what to do, hardly ever what it is about.
_WEAK: Final = frozenset(
    stem(word)
    for word in words(
        "answer article brief briefly cite citation compare concise describe detail different do "
        "docs "
        "document documentation explain file find full give good handle happen help important "
        "investigate "
        "kind know line list look main make mean mention mission need note overview page "
        "paragraph part "
        "point question quote read report result review say sentence short show source state "
        "summarise "
        "summarize summary tell text thing topic understand use using want way word work write"
    )
)

_ENDED: Final = frozenset({AgentState.DRAINING.value, AgentState.TERMINATED.value})


class BuiltinModel:
    """The `Model` port by rules. `files` lists what a folder's name stands for; without it,
    names are taken as they are.
    """

    def __init__(self, files: Files | None = None) -> None:
        self._files = files

    @property
    def name(self) -> str:
        return NAME

    @property
    def is_language_model(self) -> bool:
        return False

    def bound(self, prompt: Prompt) -> Usage:
        return Usage(0, 0)

    async def attempt(self, prompt: Prompt, sending: Callable[[], None] = lambda: None) -> Answered:
        listed = await self._listed(prompt.view)
        return Answered(moves=decide(prompt.view, listed), usage=Usage(0, 0), text=SPEECH)

    async def aclose(self) -> None:
        pass

    async def _listed(self, view: View) -> tuple[str, ...]:
        """The files that an executive has, one by one, for it to divide among its researchers."""
        if self._files is None or view.call is not None or not view.files or not _is_fresh(view):
            return view.files
        try:
            return await anyio.to_thread.run_sync(
                partial(self._files.names, view.mission, view.files)
            )
        except WorkspaceError:
            return view.files  # what is missing will be refused, by name, where it is searched


def decide(view: View, listed: tuple[str, ...]) -> tuple[Move, ...]:
    """The moves that answer a view. `listed` are its files one by one."""
    if view.call is not None:
        return _seat(view, view.call)
    if view.charter is None:
        return (Think(move="think", thought="waiting to be called"),)
    return _executive(view, listed) if view.tier == 1 else _researcher(view)


def _is_fresh(view: View) -> bool:
    """An executive that has created nobody yet: the one moment when it divides its files."""
    return view.tier == 1 and not view.children and not _spawned(view)


# --- what a text is about ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Topic:
    """What is looked for: stems with their weights, and how each was written."""

    weights: Mapping[str, float]
    written: Mapping[str, str]
    strong: tuple[str, ...]

    @property
    def query(self) -> str:
        wanted = self.strong if len(self.strong) >= 2 else tuple(self.weights)
        return " ".join(self.written[term] for term in wanted)[:2_000]

    def missing(self, held: Iterable[str]) -> list[str]:
        """The words that matter and that nothing of `held` has."""
        have = set(chain.from_iterable(terms(text) for text in held))
        return [self.written[term] for term in self.strong if term not in have]


def topic(theme: str, mission: str = "") -> Topic:
    """The theme's words count fully, those of the mission around it a little."""
    weights: dict[str, float] = {}
    written: dict[str, str] = {}
    for text, weight in ((theme, 1.0), (mission, 0.3)):
        for word in _content(text):
            term = stem(word)
            written.setdefault(term, word)
            weights.setdefault(term, weight / 4 if term in _WEAK else weight)
    strong = tuple(term for term, weight in weights.items() if weight == 1.0)
    # "Explain this" has none but weak words, and then these are what it is about.
    return Topic(weights, written, strong or tuple(dict.fromkeys(map(stem, _content(theme)))))


def _content(text: str) -> list[str]:
    return [word for word in words(text[:20_000]) if word not in STOP_WORDS]


_CLAUSE: Final = re.compile(r"(?<=[?;\n])|(?<=[.!])\s+(?=[A-Z])")
_ASK_WORD: Final = (
    r"(?:how|what|why|when|where|which|who|whose|whether|explain|describe|list|compare|"
    r"summari[sz]e|show|find|tell|name)\b"
)
_AND: Final = re.compile(rf",?\s+and\s+(?={_ASK_WORD})", re.I)
_ASKS: Final = re.compile(rf"(?:and\s+|or\s+|but\s+)?{_ASK_WORD}", re.I)
_MARKER: Final = re.compile(r"^\s*(?:[-*+•]|\d{1,2}[.)])\s+")


def themes(mission: str) -> tuple[str, ...]:
    """The one to three questions that a mission consists of."""
    clauses = [
        cleaned(_MARKER.sub("", clause)).strip(" ;") for clause in _CLAUSE.split(mission[:20_000])
    ]
    clauses = [part for clause in clauses for part in _halves(clause)]
    asked = [clause for clause in clauses if _strength(clause)]
    if any(clause.endswith("?") for clause in asked):
        # Beside questions, what does not ask is a remark.
        asked = [clause for clause in asked if clause.endswith("?") or _ASKS.match(clause)]
    found = list(dict.fromkeys(asked)) or [cleaned(mission)]
    if len(found) <= THEMES_MAX:
        return tuple(bounded(theme, 600) for theme in found)
    size = math.ceil(len(found) / THEMES_MAX)
    groups = [" ".join(found[first : first + size]) for first in range(0, len(found), size)]
    return tuple(bounded(group, 600) for group in groups)


def _halves(clause: str) -> list[str]:
    """Two questions joined by "and", where each says enough to be searched by itself.

    What follows must ask again: "budgets and leases of a worker" is one question about two things.
    The first half stays a question, or it would be taken for a remark beside the second.
    """
    mark = "?" if clause.endswith("?") else ""
    for joint in _AND.finditer(clause):
        halves = [clause[: joint.start()] + mark, clause[joint.end() :]]
        if min(map(_strength, halves)) >= 2:
            return halves
    return [clause]


def _strength(clause: str) -> int:
    return len({stem(word) for word in _content(clause)} - _WEAK)


def _slug(theme: str) -> str:
    about = topic(theme)
    spelled = "-".join(about.written[term] for term in about.strong[:3])
    return re.sub(r"[^a-z0-9-]", "", spelled.lower())[:40].strip("-") or "mission"


_CONTEXT: Final = "\n\nThe whole mission, for context: "


def _task(theme: str, mission: str) -> str:
    return theme if theme == cleaned(mission) else f"{theme}{_CONTEXT}{mission[:8_000]}"


def _topic_of(charter: Charter, mission: str) -> tuple[str, Topic]:
    theme = cleaned(charter.task.split(_CONTEXT)[0])
    return theme, topic(theme, mission)


# --- a seat -----------------------------------------------------------------------------------


def _seat(view: View, call: Call) -> tuple[Move, ...]:
    match call.phase:
        case "propose":
            return (_proposal(view, call),)
        case "debate":
            return (Argue(move="argue", text=_introduced(view, _argument(view, call))),)
        case "vote":
            choice, reason = _vote(view, call)
            return (Vote(move="vote", choice=choice, reason=bounded(reason, 1_900)),)
        case "review":
            return (_review(view, call),)


def _introduced(view: View, text: str) -> str:
    """What this is stands once in the room of each mission, before anything else is said there."""
    return text if any(SPEECH in said.text for said in view.room) else f"({SPEECH}.) {text}"


def _proposal(view: View, call: Call) -> Propose:
    found = themes(view.mission_text)
    if not terms(view.mission_text):
        return _reject(
            "the mission has no word that could be searched for; ask a question in words"
        )
    if call.refusal:
        # Fewer and plainer than what was refused; and what is refused again cannot be done here.
        if call.motion_number > THEMES_MAX:
            return _reject(f"the board could not carry a charter: {bounded(cleaned(call.refusal))}")
        found = (bounded(cleaned(view.mission_text), 600),)
    executives = tuple(
        _chartered(view, call, number, theme) for number, theme in enumerate(found, 1)
    )
    reason = (
        f"{SPEECH}. {_counted(len(found), 'theme')}, one executive for each, "
        f"over {_counted(len(view.files), 'file')}; default shares of the budget, as no tokens "
        "are spent"
    )
    return Propose(
        move="propose", motion=CharterMotion(motion="charter", executives=executives, reason=reason)
    )


def _chartered(view: View, call: Call, number: int, theme: str) -> Executive:
    again = f"-m{call.motion_number}" if call.refusal else ""
    return Executive(
        key=f"theme-{number}",
        role="executive",
        name=f"theme-{number}-{_slug(theme)}{again}",
        task=_task(theme, view.mission_text),
        methodology=(
            "Divide the files among researchers, merge what they quote, drop what is said twice."
        ),
        goals=(f"Answer from the files: {theme}",),
        done=(
            "The sentences that answer best are quoted, each with its file and line; or the "
            "words not found are named."
        ),
        kpis=("every quotation cites file:line", "no sentence twice"),
        files=_within(view.files),
    )


def _within(names: Sequence[str]) -> tuple[str, ...]:
    """Names that fit into one charter: where there are too many files, the folders that hold
    them.
    """
    for depth in (None, 3, 2, 1):
        cut = dict.fromkeys(
            name if depth is None else "/".join(name.split("/")[:depth]) for name in names
        )
        if len(cut) <= FILES_MAX:
            return tuple(cut)
    return tuple(cut)[:FILES_MAX]


def _reject(why: str) -> Propose:
    return Propose(move="propose", motion=RejectMotion(motion="reject", reason=why))


# What each seat looks at, in its own manner. The words in braces are facts of the motion.
_ON_CHARTER: Final = {
    "captain-picard": "{executives} for {themes}: the course is clear, and each can be held to "
    "its report. "
    "{budget}, so enough is left for the review. Unless somebody sees a defect, make it so.",
    "socrates": "What do we mean by {term}? The charters ask {files} for the words that stand "
    "there. What would refute "
    "us is a passage they miss, so the reports shall name the words that were not found.",
    "king-solomon": (
        "{executives} over {files}: {overlap}. Let each bring its own sentences, and "
        "let none be counted twice."
    ),
    "gandhi": "Whom does it serve? Whoever asked gets sentences that can be opened and checked, "
    "and nothing claimed "
    "beyond them. To read {files} harms nobody, and {budget_low}.",
    "marcus-aurelius": "It is in our power to read {files} and to say what stands there. "
    "{executives} suffice for {themes}; "
    "more would be vanity.",
    "tony-stark": "{executives}, parts in parallel, one index over {files}: seconds, zero tokens. "
    "If {term} is not in "
    "there, we know at once. Ship it.",
}
_ON_DELIVERY: Final = {
    "captain-picard": (
        "{reports} brought {quotes} from {sources}. The mission has what these "
        "files hold. Deliver it."
    ),
    "socrates": "Do {quotes} answer the question, or an easier one? They hold its words, and each "
    "can be checked in "
    "{sources}; that is all we know, and the brief says so.",
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


def _argument(view: View, call: Call) -> str:
    motion = call.motion or {}
    kind = str(motion.get("motion", "charter"))
    verb = str(motion.get("verb", ""))
    neutral = _NEUTRAL.get(verb) or _NEUTRAL.get(kind) or _NEUTRAL["charter"]
    spoken = _MANNERS.get(kind, {}).get(view.name, neutral)
    text = spoken.format_map(_facts(view, call, motion))
    return text[0].upper() + text[1:]


def _facts(view: View, call: Call, motion: Mapping[str, Any]) -> dict[str, str]:
    executives = _executives_of(motion)
    quotes = [quote for report in call.reports for quote in _quotes(str(report.get("text", "")))]
    missing = topic(view.mission_text).missing(quote.text for quote in quotes)
    budget = "No executive asks for more than the default share"
    if any(executive.get("budget") for executive in executives):
        budget = "The shares of the budget are named in the motion"
    return {
        "executives": _counted(len(executives), "executive"),
        "themes": _named([_theme_of(executive) for executive in executives]) or "no theme",
        "files": _counted(len(view.files), "file") if view.files else "the swarm's own knowledge",
        "term": next(iter(_longest_words(view.mission_text)), "the question"),
        "budget": budget,
        "budget_low": budget[0].lower() + budget[1:],
        "overlap": _overlap(executives),
        "reports": _counted(len(call.reports), "report"),
        "quotes": _counted(len(quotes), "cited sentence"),
        "sources": _counted(len({quote.path for quote in quotes}), "file"),
        "gaps": f"Not found: {_named(missing[:5])}"
        if missing
        else "No word of the question is missing",
    }


def _executives_of(motion: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    listed = motion.get("executives") or ()
    return [executive for executive in listed if isinstance(executive, Mapping)]


def _theme_of(executive: Mapping[str, Any]) -> str:
    theme = cleaned(str(executive.get("task", "")).split(_CONTEXT)[0]).rstrip("?. ")
    return f"“{bounded(theme, 70)}”"


def _overlap(executives: Sequence[Mapping[str, Any]]) -> str:
    if len(executives) < 2:
        return "one hand does it, nothing is divided"
    held = [set(topic(str(e.get("task", "")).split(_CONTEXT)[0]).strong) for e in executives]
    shared = sorted(held[0].intersection(*held[1:]))
    return f"all themes share {_named(shared[:3])}" if shared else "the themes share no word"


def _longest_words(text: str) -> list[str]:
    about = topic(text)
    return sorted(
        (about.written[term] for term in about.strong), key=lambda word: (-len(word), word)
    )


def _vote(view: View, call: Call) -> tuple[Any, str]:
    motion = call.motion or {}
    quotes = sum(len(_quotes(str(report.get("text", "")))) for report in call.reports)
    match motion.get("motion"):
        case "charter":
            return _vote_on_charter(view, motion)
        case "deliver":
            if quotes or _quotes(str(motion.get("text", ""))):
                return (
                    "yes",
                    f"{_counted(quotes, 'cited sentence')} can be checked at file and line",
                )
            return "no", "the reports are empty: no sentence in them cites its file and line"
        case "reject":
            if quotes:
                return "no", f"{_counted(quotes, 'cited sentence')} can be delivered"
            return (
                "yes",
                "nothing that could be cited was found, and the motion says what is missing",
            )
        case "act":
            notices = {said.data.get("approval") for said in view.room if said.sender == CLERK}
            if motion.get("verb") == "approve" and motion.get("target") in notices:
                return "yes", _CREATION
            return "abstain", "rules and retrieval cannot judge this motion"
        case "direct":
            # How often work may be sent back is the clerk's to count.
            if any(_is_undone(str(report.get("text", ""))) for report in call.reports):
                return "yes", "a report names a part that was not searched"
            return "no", "no report names a part that was not searched"
        case _:
            return "abstain", "rules and retrieval cannot judge this motion"


def _vote_on_charter(view: View, motion: Mapping[str, Any]) -> tuple[Any, str]:
    about = set(topic(view.mission_text).weights)
    executives = _executives_of(motion)
    strangers = [e for e in executives if not about & set(terms(str(e.get("task", ""))))]
    if not executives or strangers:
        names = _named([cleaned(str(e.get("name", "")))[:64] for e in strangers])
        return "no", f"no word of the mission is in the task of {names or 'any executive'}"
    return "yes", f"{_counted(len(executives), 'task')}, each about words of the mission"


def _review(view: View, call: Call) -> Propose:
    # In the order of the themes, as their names count them: who reported first is chance.
    asked = _asked_for(view)
    if asked:
        motion = ActMotion(
            motion="act", verb="approve", target=asked[0], reason=f"{SPEECH}. {_CREATION}"
        )
        return Propose(move="propose", motion=motion)
    ordered = sorted(call.reports, key=lambda report: str(report.get("name", "")))
    reports = [(str(report.get("agent", "")), str(report.get("text", ""))) for report in ordered]
    undone = next((agent for agent, text in reports if _is_undone(text)), None)
    if undone and call.sent_back < min(1, call.send_backs_max):
        return Propose(
            move="propose",
            motion=DirectMotion(
                motion="direct",
                to=undone,
                text=f"Search again all your files for: {topic(view.mission_text).query}",
                reason="a part of the files was not searched",
            ),
        )
    cited = [(agent, text) for agent, text in reports if _quotes(text)]
    if cited:
        others = _not_read_in(text for _, text in reports if not _quotes(text))
        return _delivery(view, call, cited, others)
    return _reject(_not_answered(view, _not_read_in(text for _, text in reports)))


_CREATION: Final = "the agent is of a declared role, and the law has checked what it is given"


def _asked_for(view: View) -> list[str]:
    """Creations that wait for the board's permission, by its clerk's word, and that no motion was
    about yet.
    """
    put = {
        str((said.data.get("motion") or {}).get("target"))
        for said in view.room
        if said.sender == CLERK
    }
    notices = [
        said.data
        for said in view.room
        if said.sender == CLERK and said.data.get("action") == "spawn"
    ]
    asked = [str(data["approval"]) for data in notices if data.get("rule") == Rule.APPROVAL_NEEDED]
    return [id for id in asked if id not in put]


def _delivery(
    view: View, call: Call, cited: Sequence[tuple[str, str]], not_read: Sequence[str]
) -> Propose:
    """`not_read` are lines of reports that are not delivered, for they quote nothing."""
    quotes = [quote for _, text in cited for quote in _quotes(text)]
    sources = len({quote.path for quote in quotes})
    title = bounded(cleaned(view.mission_text), 160)
    text = (
        f"# {title}\n\nMade by rules and retrieval, not by a language model: each line below "
        "quotes a sentence of "
        f"{_counted(sources, 'file')} and names its file and line. Nothing was rephrased or "
        "concluded."
    )
    text = "\n".join((text, *(f"\n{line}" for line in _not_read_lines(not_read))))
    # Once refused, the reports are written out: a reference that cannot be resolved is then no
    # obstacle.
    if call.refusal:
        text = "\n\n".join((text, *(section for _, section in cited)))[:64_000]
    return Propose(
        move="propose",
        motion=DeliverMotion(
            motion="deliver",
            text=text,
            reports=() if call.refusal else tuple(dict.fromkeys(agent for agent, _ in cited))[:24],
            reason=f"{_counted(len(quotes), 'cited sentence')} from {_counted(sources, 'file')}",
        ),
    )


def _not_answered(view: View, not_read: Sequence[str]) -> str:
    about = topic(view.mission_text)
    said = _not_read_lines(not_read)
    files = [
        name
        for name in view.files
        if not any(line.startswith(f"{NOT_READ} {name}: ") for line in not_read)
    ]
    searched = ", ".join(files[:10]) + (f" and {len(files) - 10} more" if len(files) > 10 else "")
    if view.files and not files:
        searched = "no file"
    elif any(_REST.match(line) for line in not_read):  # what those are called is not told
        searched = "the files of the mission, but for those that were not read"
    asked = ", ".join(about.written[term] for term in about.strong[:20])
    return (
        f"Nothing in the files answers this mission. No sentence was found for: {asked}. Searched: "
        f"{searched or 'the swarm’s own knowledge'}. Give files that speak of it, or ask in their "
        f"words. ({SPEECH}.)" + "".join(f"\n{line}" for line in said)
    )


# --- an executive -----------------------------------------------------------------------------


def _executive(view: View, listed: tuple[str, ...]) -> tuple[Move, ...]:
    assert view.charter is not None
    theme, about = _topic_of(view.charter, view.mission_text)
    parts = _spawned(view)
    if not parts and not view.children:
        return _divided(view.charter, listed)
    if (not _is_asked(view) and _has_reported(view)) or (waiting := _waiting_for(view, parts)):
        thought = "reported" if _has_reported(view) else f"waiting for {', '.join(waiting)}"
        return (Think(move="think", thought=thought),)
    searches = _own_searches(view, about, parts)
    if searches:
        return searches
    return (Report(move="report", text=_section(view, theme, about), done=True),)


def _divided(charter: Charter, listed: tuple[str, ...]) -> tuple[Move, ...]:
    """One researcher per part; neighbours in the sorted list, so folders, stay together."""
    names = sorted(listed)
    count = max(1, min(PARTS_MAX, len(names)))
    bounds = [len(names) * i // count for i in range(count + 1)]
    parts = [_within(names[first:last]) for first, last in pairwise(bounds)]
    return tuple(
        Spawn(
            move="spawn",
            key=f"part-{number}",
            charter=Charter(
                role="researcher",
                name=f"part-{number}",
                task=charter.task,
                files=part,
                methodology=(
                    "Search the files, quote the sentences that answer best, cite file and line."
                ),
                goals=charter.goals,
                done="The best sentences are reported with file:line, or the words not found.",
                kpis=charter.kpis,
            ),
        )
        for number, part in enumerate(parts, 1)
    )


def _waiting_for(view: View, parts: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Children that live and have not reported, and spawns that were not answered yet."""
    reported = _reported(view)
    living = [
        c.key or c.name for c in view.children if c.state not in _ENDED and c.id not in reported
    ]
    known = {child.key for child in view.children} | set(_answers(view))
    return living + [key for key in parts if key not in known]


def _own_searches(
    view: View, about: Topic, parts: Mapping[str, tuple[str, ...]]
) -> tuple[Move, ...]:
    """What nobody else will do: parts whose researcher was refused or ended, and what the board
    sends back.
    """
    assert view.charter is not None
    done = _searched(_moves(view))
    now = _searched(_in(view.steps, "moves"))
    reports = _reported(view)
    reported = {
        child.key for child in view.children if not _is_undone(reports.get(child.id, NOT_SEARCHED))
    }
    left = [files for key, files in parts.items() if key not in reported and files not in done]
    query = about.query
    if _is_asked(view) and _has_reported(view):
        left = [view.charter.files] if view.charter.files not in now else []
        # With the words of whoever sent it back, which may be others than the theme's.
        asked = [
            mail["text"] for mail in _mail(view, now_only=True) if mail["kind"] == Kind.DIRECTIVE
        ]
        query = topic(" ".join((*asked, query))).query
    return tuple(_search(query, files, 2 * PASSAGES_TOP) for files in dict.fromkeys(left))[
        :PARTS_MAX
    ]


def _section(view: View, theme: str, about: Topic) -> str:
    """The theme as a heading, then what was quoted, best first, each sentence once."""
    reports = _reported(view).values()
    candidates = [quote for text in reports for quote in _quotes(text)]
    candidates += _found(_in((*view.memory, *view.steps), "results"))
    best = ranked(about, candidates, QUOTES_MAX)
    lines = [f"## {theme}", "", *map(_cited, best)]
    missing = about.missing(sentence.text for sentence in best)
    if not best:
        lines.append(f"{NOTHING} {', '.join(missing) or about.query}")
    elif missing:
        lines += ["", f"(No sentence above has: {', '.join(missing[:8])}.)"]
    lines += [f"{NOT_SEARCHED} {fault}" for fault in _faults(view)]
    own = _in((*view.memory, *view.steps), "results")
    not_read = _not_read_lines([*_not_read_in(reports), *_not_read(own)])
    return "\n".join([*lines, "", *not_read] if not_read else lines)


def _faults(view: View) -> list[str]:
    """Searches of our own that failed and were not made good since."""
    results = _of_searches(_in((*view.memory, *view.steps), "results"))
    if any(result.get("ok") for result in results[-1:]):
        return []
    return [
        bounded(cleaned(f"{result.get('rule', '')} {result.get('detail', '')}"))
        for result in results
        if not result.get("ok")
    ][:PARTS_MAX]


# --- a researcher -----------------------------------------------------------------------------


def _researcher(view: View) -> tuple[Move, ...]:
    assert view.charter is not None
    _, about = _topic_of(view.charter, view.mission_text)
    if _has_reported(view) and not _is_asked(view):
        return (Think(move="think", thought="reported"),)
    results = _of_searches(_in(view.steps, "results"))
    if not results:
        asked = " ".join(
            m["text"] for m in _mail(view, now_only=True) if m["kind"] == Kind.DIRECTIVE
        )
        query = topic(f"{asked} {about.query}").query if asked else about.query
        return (_search(query, view.charter.files, PASSAGES_TOP),)
    best = ranked(about, _found(results), QUOTES_MAX)
    lines = [_cited(sentence) for sentence in best] or [
        f"{NOTHING} {', '.join(about.missing(())) or about.query}"
    ]
    lines += [
        (
            f"{NOT_SEARCHED} "
            f"{bounded(cleaned(str(r.get('rule', '')) + ' ' + str(r.get('detail', ''))))}"
        )
        for r in results
        if not r.get("ok")
    ]
    lines += _not_read_lines(_not_read(results))
    return (Report(move="report", text="\n".join(lines), done=True),)


# --- quotations -------------------------------------------------------------------------------

_CITATION: Final = re.compile(r"^\s*[-*]?\s*(?P<text>.+) \[(?P<path>.+?):(?P<line>\d{1,9})\]\s*$")
_REST: Final = re.compile(rf"{NOT_READ} \d+ more")
_FAKE: Final = re.compile(r"\[([^\[\]]{1,300}:\d{1,9})\]")


def _cited(sentence: Sentence) -> str:
    # A file may hold what looks like a citation: in round brackets it can't pass for one of ours.
    text = _FAKE.sub(r"(\1)", sentence.text)
    return f"- {text} [{sentence.path}:{sentence.line}]"


def _quotes(report: str) -> list[Sentence]:
    """The cited sentences of a report."""
    found = map(_CITATION.match, report.split("\n"))
    return [
        Sentence(_of_one_line(hit["path"]), int(hit["line"]), bounded(cleaned(hit["text"])))
        for hit in found
        if hit
    ]


def _found(results: Iterable[Mapping[str, Any]]) -> list[Sentence]:
    """The sentences of the passages that searches brought."""
    return [
        sentence
        for result in _of_searches(results)
        if result.get("ok")
        for passage in result.get("passages", ())
        for sentence in sentences(passage["path"], passage["start"], passage["lines"])
    ]


def _not_read(results: Iterable[Mapping[str, Any]]) -> list[str]:
    """What searches did not read, as the lines that say so."""
    return [
        f"{NOT_READ} {_of_one_line(one.get('path', ''))}: {cleaned(str(one.get('why', '')))}"
        for result in results
        for one in result.get("not_read") or ()
    ]


def _not_read_in(reports: Iterable[str]) -> list[str]:
    """What reports say was not read. A quotation begins with a dash: no file can make a report
    say this.
    """
    return [line for report in reports for line in report.split("\n") if line.startswith(NOT_READ)]


def _not_read_lines(said: Iterable[str]) -> list[str]:
    """Each once, and only the number of what nobody would read to its end."""
    lines = list(dict.fromkeys(said))
    rest = len(lines) - NOT_READ_SHOWN
    return [*lines[:NOT_READ_SHOWN], f"{NOT_READ} {rest} more"] if rest > 0 else lines


def _of_one_line(path: object) -> str:
    """A file's name as it is, spaces of every kind included, without what could act on a
    terminal.
    """
    return without_controls(str(path))


def _is_undone(report: str) -> bool:
    """A quotation begins with a dash: no file can make a report say this of itself."""
    return any(line.startswith(NOT_SEARCHED) for line in report.split("\n"))


@dataclass(frozen=True, slots=True)
class _Candidate:
    sentence: Sentence
    held: frozenset[str]
    score: float


def ranked(about: Topic, found: Sequence[Sentence], count: int) -> list[Sentence]:
    """The sentences that hold most of what is looked for, rare words before common ones, none
    twice.
    """
    left = _scored(about, list(dict.fromkeys(found)))
    highest = left[0].score if left else 0.0
    strong = frozenset(about.strong)
    best: list[_Candidate] = []
    while len(best) < count:
        floor = highest * (FLOOR if len(best) >= QUOTES_MIN else FLOOR_FIRST)
        left = [candidate for candidate in left if candidate.score >= floor]
        if not left:
            break
        # What repeats a sentence already taken is worth less, what has a word that none has is
        # worth more.
        fresh = strong.difference(*(candidate.held for candidate in best))
        gain = {
            c: 1 + len(fresh & c.held) / (3 * len(strong)) - 0.6 * _likeness(c, best) for c in left
        }
        chosen = max(left, key=lambda c: c.score * gain[c])
        best.append(chosen)
        left = [c for c in left if c is not chosen and _likeness(c, [chosen]) < 0.7]
    return [candidate.sentence for candidate in best]


def _scored(about: Topic, found: Sequence[Sentence]) -> list[_Candidate]:
    held = [frozenset(terms(sentence.text)) for sentence in found]
    rarity = {
        term: math.log(1 + len(found) / (1 + sum(term in have for have in held)))
        for term in about.weights
    }
    candidates = []
    for sentence, have in zip(found, held, strict=True):
        matched = sum(term in have for term in about.strong)
        if matched:
            score = sum(
                weight * rarity[term] for term, weight in about.weights.items() if term in have
            )
            coverage = matched / len(about.strong)
            # What a sentence begins with, it is about: "**Journal.** Written by the supervisor
            # only."
            leads = (
                1.3 if any(term in about.strong for term in terms(sentence.text[:40])[:2]) else 1.0
            )
            score *= (0.3 + 0.7 * coverage) * leads * _form(sentence)
            candidates.append(_Candidate(sentence, have, score))
    return sorted(
        candidates, key=lambda c: (-c.score, c.sentence.path, c.sentence.line, c.sentence.text)
    )


def _form(sentence: Sentence) -> float:
    """A reader is served by whole sentences of prose: rows, code and endless ones count for
    less.
    """
    text = sentence.text
    form = 1.0 if is_prose(sentence.path) else 0.6
    if " | " in text:
        form *= 0.7
    elif not text.endswith((".", "!", "?", ":", "。", "**", ")")):
        form *= 0.85
    return form / (1 + max(0, len(text) - 200) / 300)


def _likeness(candidate: _Candidate, others: Sequence[_Candidate]) -> float:
    return max(
        (len(candidate.held & o.held) / max(1, len(candidate.held | o.held)) for o in others),
        default=0.0,
    )


# --- what a view remembers --------------------------------------------------------------------


def _in(entries: Iterable[Mapping[str, Any]], kind: str) -> Iterator[Mapping[str, Any]]:
    """All `moves`, `results` or `mail` of the turns remembered, as plain objects, oldest first."""
    for entry in entries:
        for item in entry.get(kind) or ():
            plain = item.model_dump() if hasattr(item, "model_dump") else item
            if isinstance(plain, Mapping):
                yield plain


def _moves(view: View) -> Iterator[Mapping[str, Any]]:
    return _in((*view.memory, *view.steps), "moves")


def _search(query: str, files: tuple[str, ...], top: int) -> Use:
    args = {"query": query, "files": list(files), "top": top}
    return Use(move="use", function=FILE_SEARCH.name, args=args)


def _searched(moves: Iterable[Mapping[str, Any]]) -> set[tuple[str, ...]]:
    """The files that each search was to look into."""
    args = [m.get("args") or {} for m in moves if m.get("function") == FILE_SEARCH.name]
    return {tuple(one.get("files", ())) for one in args}


def _of_searches(results: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [result for result in results if result.get("function") == FILE_SEARCH.name]


def _mail(view: View, *, now_only: bool = False) -> Iterator[dict[str, Any]]:
    remembered = () if now_only else _in(view.memory, "mail")
    for item in remembered:
        yield {"from": "", "kind": "", "text": "", **item, "data": item.get("data") or {}}
    for message in view.mail:
        yield _as_plain(message)


def _as_plain(message: Message) -> dict[str, Any]:
    return {
        "from": message.sender,
        "kind": message.kind,
        "text": message.text,
        "data": message.data,
    }


def _spawned(view: View) -> dict[str, tuple[str, ...]]:
    """The parts that were given out: their keys, and the files of each."""
    asked = [move for move in _moves(view) if move.get("move") == "spawn"]
    return {str(move["key"]): tuple(move["charter"].get("files") or ()) for move in asked}


def _answers(view: View) -> dict[str, str]:
    """What became of spawns: by key, the rule that refused it, or nothing where it was granted."""
    answers = [mail["data"] for mail in _mail(view) if mail["kind"] == Kind.ANSWER]
    # What waits for permission is not answered yet.
    answers = [data for data in answers if data.get("outcome") != "waiting"]
    return {str(data["key"]): str(data.get("rule") or "") for data in answers if "key" in data}


def _reported(view: View) -> dict[str, str]:
    """The last final report of each child."""
    reports = [mail for mail in _mail(view) if mail["kind"] == Kind.REPORT]
    return {mail["from"]: mail["text"] for mail in reports if mail["data"].get("done", True)}


def _has_reported(view: View) -> bool:
    return any(
        move.get("move") == "report" and move.get("done") for move in _in(view.memory, "moves")
    )


def _is_asked(view: View) -> bool:
    return any(
        mail["kind"] in (Kind.CHARTER, Kind.DIRECTIVE) for mail in _mail(view, now_only=True)
    )


# --- words ------------------------------------------------------------------------------------


def _counted(count: int, noun: str) -> str:
    return f"{count or 'no'} {noun}{'' if count == 1 else 's'}"


def _named(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + (" and " if len(names) > 1 else "") + names[-1] if names else ""


def open_model(opening: Opening) -> BuiltinModel:
    return BuiltinModel(opening.files)
