"""What a text is about: its words with their weights, and the questions that it asks."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final

from swarmd.adapters.files.sentences import bounded, cleaned
from swarmd.adapters.files.words import STOP_WORDS, stem, terms, words
from swarmd.adapters.models.builtin.synonyms import KIN

THEMES_MAX: Final = 3  # a brief of more parts than that is read by nobody

REMARKS_WEIGHT: Final = 0.6  # of a word beside the questions: "My run was killed. What now?"
OTHERS_WEIGHT: Final = 0.2  # of a word of another question
SAYS_LITTLE: Final = 3  # a theme of fewer words is searched with those of the others

# Words that missions are given with. They say what to do, hardly ever what it is about.
_WEAK: Final = frozenset(
    stem(word)
    for word in words(
        "answer article brief briefly cite citation compare concise describe detail different do "
        "docs document documentation explain file find full give good handle happen help important "
        "investigate kind know line list look main make mean mention mission need note overview "
        "page paragraph part point question quote read report result review say see sentence short "
        "show something source state summarise summarize summary tell text thing topic understand "
        "use using want way word work write"
    )
)
# Words of everyday English that are in a question for its grammar. They are rare in many a text,
# and say little all the same.
_COMMON: Final = frozenset(
    stem(word)
    for word in words(
        "able actually already always another anything around away back bad become best better big "
        "bring call come day easy enough everything far fast first get go great happen hard keep "
        "last later least left less let life little long lot many maybe mine minute never new next "
        "nothing often old other own people person place possible probably problem properly put "
        "quick quickly quite really right run second seem send set several simple simply small "
        "soon start still stuff suddenly sure take thing think time today together try turn "
        "usually well wrong year"
    )
)


@dataclass(frozen=True, slots=True)
class Topic:
    """What is looked for: stems with their weights, and how each was written. `strong` are the
    theme's own; the others say what the whole mission is about, or only what to do.
    """

    weights: Mapping[str, float]
    written: Mapping[str, str]
    strong: tuple[str, ...]
    asked: str = ""

    @property
    def query(self) -> str:
        """The words that are searched for, and those that may stand for them: the theme's own,
        those of the remarks beside it, and of the other questions where the theme says little.
        """
        told = list(dict.fromkeys((*self.strong, *self._around(self.strong))))
        told = told if len(told) >= 2 else list(self.weights)
        kin = chain.from_iterable(KIN.get(term, ()) for term in told)
        return " ".join(dict.fromkeys([*map(self.written.__getitem__, told), *kin]))[:2_000]

    def _around(self, own: Sequence[str]) -> list[str]:
        least = 0.0 if len(own) < SAYS_LITTLE else OTHERS_WEIGHT
        return [
            term
            for term, weight in self.weights.items()
            if weight > least and not self.is_weak(term)
        ]

    def is_weak(self, term: str) -> bool:
        return term in _WEAK and term not in self.strong

    def missing(self, held: Iterable[str]) -> list[str]:
        """The words that matter and that nothing of `held` has."""
        have = set(chain.from_iterable(terms(text) for text in held))
        return [self.written[term] for term in self.strong if term not in have]

    def passed_over(self) -> list[str]:
        """The theme's words that were not searched for, because they say what to do."""
        return [self.written[term] for term in _stems_once(self.asked) if self.is_weak(term)]


def topic(theme: str, mission: str = "") -> Topic:
    """The theme's words count fully, those of remarks beside it less, and those of the mission's
    other questions a little.
    """
    own = _stems_once(theme)
    others = frozenset[str]().union(*map(_stems_once, themes(mission))) if mission else frozenset()

    def share(term: str) -> float:
        return 1.0 if term in own else OTHERS_WEIGHT if term in others else REMARKS_WEIGHT

    written = _spelled(f"{theme}\n{mission}")
    weights = {term: share(term) * _weight_of(term) for term in written}
    strong = tuple(term for term in own if term not in _WEAK)
    # "Explain this" has none but weak words, and then these are what it is about.
    return Topic(weights, written, strong or own, theme)


def _spelled(text: str) -> dict[str, str]:
    """Each stem, and how its first word is written."""
    found: dict[str, str] = {}
    for word in content_words(text):
        found.setdefault(stem(word), word)
    return found


def _weight_of(term: str) -> float:
    return 0.25 if term in _WEAK else 0.5 if term in _COMMON else 1.0


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
_REFERS: Final = re.compile(r"\b(?:it|its|itself|they|them|their|theirs|these|those)\b", re.I)
# Each is a look at the whole clause; a clause with more of them is no pair of questions.
_JOINTS_MAX: Final = 32
_MARKER: Final = re.compile(r"^\s*(?:[-*+•]|\d{1,2}[.)])\s+")


def themes(mission: str) -> tuple[str, ...]:
    """The one to three questions that a mission consists of."""
    found = _questions_in(mission) or [cleaned(mission)]
    return tuple(bounded(theme, 600) for theme in _merge_questions(found))


def _questions_in(mission: str) -> list[str]:
    parts = [part for clause in _clauses_of(mission) for part in _split_question(clause)]
    asked = [part for part in _with_what_they_mean(parts) if _count_strong(part)]
    if any(part.endswith("?") for part in asked):
        # Beside questions, what does not ask is a remark.
        asked = [part for part in asked if _is_question(part)]
    return list(dict.fromkeys(asked))


def _with_what_they_mean(parts: Sequence[str]) -> list[str]:
    """A question that speaks of "it" or "them" is asked together with the one before it."""
    found: list[str] = []
    for part in parts:
        if found and _REFERS.search(part) and _is_question(part) and _is_question(found[-1]):
            found[-1] = f"{found[-1]} {part}"
        else:
            found.append(part)
    return found


def _is_question(part: str) -> bool:
    return part.endswith("?") or _ASKS.match(part) is not None


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
