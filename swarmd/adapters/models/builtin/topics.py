"""What a text is about: its words with their weights, and the questions that it asks."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final

from swarmd.adapters.files.sentences import bounded, cleaned
from swarmd.adapters.files.words import STOP_WORDS, stem, terms, words

THEMES_MAX: Final = 3  # a brief of more parts than that is read by nobody

# Words that missions are given with. They say what to do, hardly ever what it is about.
_WEAK: Final = frozenset(
    stem(word)
    for word in words(
        "answer article brief briefly cite citation compare concise describe detail different do "
        "docs document documentation explain file find full give good handle happen help important "
        "investigate kind know line list look main make mean mention mission need note overview "
        "page paragraph part point question quote read report result review say sentence short "
        "show source state summarise summarize summary tell text thing topic understand use using "
        "want way word work write"
    )
)


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
        for word in content_words(text):
            term = stem(word)
            written.setdefault(term, word)
            weights.setdefault(term, weight / 4 if term in _WEAK else weight)
    strong = tuple(term for term, weight in weights.items() if weight == 1.0)
    # "Explain this" has none but weak words, and then these are what it is about.
    return Topic(weights, written, strong or _stems_once(theme))


def _stems_once(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(stem, content_words(text))))


def content_words(text: str) -> list[str]:
    return [word for word in words(text[:20_000]) if word not in STOP_WORDS]


_CLAUSE: Final = re.compile(r"(?<=[?;\n])|(?<=[.!])\s+(?=[A-Z])")
_ASK_WORD: Final = (
    r"(?:how|what|why|when|where|which|who|whose|whether|explain|describe|list|compare|"
    r"summari[sz]e|show|find|tell|name)\b"
)
_AND: Final = re.compile(rf",?\s+and\s+(?={_ASK_WORD})", re.I)
_ASKS: Final = re.compile(rf"(?:and\s+|or\s+|but\s+)?{_ASK_WORD}", re.I)
# Each is a look at the whole clause; a clause with more of them is no pair of questions.
_JOINTS_MAX: Final = 32
_MARKER: Final = re.compile(r"^\s*(?:[-*+•]|\d{1,2}[.)])\s+")


def themes(mission: str) -> tuple[str, ...]:
    """The one to three questions that a mission consists of."""
    found = _questions_in(mission) or [cleaned(mission)]
    return tuple(bounded(theme, 600) for theme in _merge_questions(found))


def _questions_in(mission: str) -> list[str]:
    parts = [part for clause in _clauses_of(mission) for part in _split_question(clause)]
    asked = [part for part in parts if _count_strong(part)]
    if any(part.endswith("?") for part in asked):
        # Beside questions, what does not ask is a remark.
        asked = [part for part in asked if part.endswith("?") or _ASKS.match(part)]
    return list(dict.fromkeys(asked))


def _clauses_of(mission: str) -> list[str]:
    clauses = _CLAUSE.split(mission[:20_000])
    return [cleaned(_MARKER.sub("", clause)).strip(" ;") for clause in clauses]


def _merge_questions(questions: list[str]) -> list[str]:
    """At most `THEMES_MAX`: neighbours are asked together where there are more."""
    if len(questions) <= THEMES_MAX:
        return questions
    size = math.ceil(len(questions) / THEMES_MAX)
    return [" ".join(questions[at : at + size]) for at in range(0, len(questions), size)]


def _split_question(clause: str) -> list[str]:
    """Two questions joined by "and", where each says enough to be searched by itself.

    What follows must ask again: "budgets and leases of a worker" is one question about two things.
    The first half stays a question, or it would be taken for a remark beside the second.
    """
    mark = "?" if clause.endswith("?") else ""
    for joint in islice(_AND.finditer(clause), _JOINTS_MAX):
        halves = [clause[: joint.start()] + mark, clause[joint.end() :]]
        if min(map(_count_strong, halves)) >= 2:
            return halves
    return [clause]


def _count_strong(clause: str) -> int:
    return len({stem(word) for word in content_words(clause)} - _WEAK)


def slug_of(theme: str) -> str:
    about = topic(theme)
    spelled = "-".join(about.written[term] for term in about.strong[:3])
    return re.sub(r"[^a-z0-9-]", "", spelled.lower())[:40].strip("-") or "mission"
