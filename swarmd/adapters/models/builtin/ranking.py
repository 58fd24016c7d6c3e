"""Which of the sentences that were found answer best."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from typing import Final

from swarmd.adapters.files.passages import UNDER, is_prose
from swarmd.adapters.files.sentences import Sentence
from swarmd.adapters.files.words import terms
from swarmd.adapters.models.builtin.cues import answers
from swarmd.adapters.models.builtin.searches import Counts
from swarmd.adapters.models.builtin.synonyms import KIN_STEMS
from swarmd.adapters.models.builtin.topics import Topic

QUOTES_MIN: Final = 4  # a section should have these, so they may be somewhat off the point
# Of the best sentence's score: what is below it shares a word with the question and hardly answers
# it.
FLOOR: Final = 0.5
FLOOR_FIRST: Final = 0.25


# What a word counts for a sentence where it stands: in the sentence itself, in the code that it
# introduces, in the heading above it, in those above that and in the file's name, in its passage.
# The second row is for how much of the question is spoken of there at all.
TELLS: Final = (1.0, 0.5, 0.7, 0.3, 0.15)
COVERS: Final = (1.0, 0.8, 1.0, 0.7, 0.6)
NEAR: Final = 1.15  # what stands below the heading of a sentence already taken, belongs to it
AS_SYNONYM: Final = 0.5  # of a word that may stand for another

# Files that say what was, release by release: they have every word, and answer few questions.
_HISTORY: Final = re.compile(
    r"(?:^|[/_.-])(?:changelog|changes|history|news|releases?|release[_-]notes|whats[_-]?new)\b",
    re.I,
)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """`told` and `covered`: how much each word of the topic is meant in the sentence, and where it
    stands, 0 to 1.
    """

    sentence: Sentence
    held: frozenset[str]
    told: Mapping[str, float]
    covered: Mapping[str, float]
    score: float = 0.0


def ranked(
    about: Topic, found: Sequence[Sentence], count: int, counts: Counts | None = None
) -> list[Sentence]:
    """The sentences that hold most of what is looked for, rare words before common ones, none
    twice.
    """
    candidates = [_look_at(about, sentence) for sentence in dict.fromkeys(found)]
    values = _values_of(about, counts or Counts())
    scored = _score_all(about, values, candidates)
    chosen = _choose(scored, {term: values[term] for term in about.strong})
    return [candidate.sentence for candidate in islice(chosen, count)]


def _choose(left: list[_Candidate], values: Mapping[str, float]) -> Iterator[_Candidate]:
    """The best of what is left again and again, down to a part of the best of all."""
    highest = left[0].score if left else 0.0
    best: list[_Candidate] = []
    while left:
        chosen = _next_best(left, best, values)
        yield chosen
        best.append(chosen)
        floor = highest * (FLOOR if len(best) >= QUOTES_MIN else FLOOR_FIRST)
        left = [c for c in left if c.score >= floor and _likeness_to(c, [chosen]) < 0.7]


def _next_best(
    left: Sequence[_Candidate], best: Sequence[_Candidate], values: Mapping[str, float]
) -> _Candidate:
    """What repeats a sentence already taken is worth less, what has a word that none has is worth
    more.
    """
    fresh = set(values).difference(*(candidate.held for candidate in best))
    whole = 3 * sum(values.values())

    def worth(candidate: _Candidate) -> float:
        novelty = sum(values[term] for term in fresh & candidate.held) / whole
        return candidate.score * (1 + novelty - 0.6 * _likeness_to(candidate, best))

    return max(left, key=lambda candidate: worth(candidate) * _nearness(candidate, best))


def _nearness(candidate: _Candidate, best: Sequence[_Candidate]) -> float:
    return NEAR if any(_is_near(candidate, other) for other in best) else 1.0


def _is_near(one: _Candidate, other: _Candidate) -> bool:
    """Whether they stand below the same heading."""
    here, there = one.sentence, other.sentence
    return here.path == there.path and here.under == there.under


def _look_at(about: Topic, sentence: Sentence) -> _Candidate:
    places = _places_of(sentence)
    told = {term: _surety_of(term, TELLS, places) for term in about.weights}
    covered = {term: _surety_of(term, COVERS, places) for term in about.weights}
    return _Candidate(sentence, places[0], told, covered)


def _places_of(sentence: Sentence) -> tuple[frozenset[str], ...]:
    """The stems of each place, in the order of `TELLS` and `COVERS`."""
    name = sentence.path.rsplit("/", 1)[-1].rsplit(".", 1)[0]
    above, _, nearest = sentence.under.rpartition(UNDER)
    code = "\n".join(sentence.code)
    texts = (sentence.text, code, nearest, f"{above} {name}", sentence.around)
    return tuple(map(stems_in, texts))


@lru_cache(maxsize=4_096)
def stems_in(text: str) -> frozenset[str]:
    """Of passages and headings, which many sentences share."""
    return frozenset(terms(text))


def _surety_of(term: str, factors: Sequence[float], places: Sequence[frozenset[str]]) -> float:
    kin = KIN_STEMS.get(term, frozenset())
    return max(
        factor if term in said else factor * AS_SYNONYM if said & kin else 0.0
        for factor, said in zip(factors, places, strict=True)
    )


def _values_of(about: Topic, counts: Counts) -> dict[str, float]:
    """How much each term tells: what is everywhere tells nothing. A word that no passage has is as
    rare as those that may stand for it.
    """

    def held_by(term: str) -> int:
        own = counts.holding.get(term, 0)
        return own or sum(counts.holding.get(kin, 0) for kin in KIN_STEMS.get(term, ()))

    # A word that is in one passage alone may be there by chance: a hundredth is rare enough.
    least = 1 + counts.searched / 100
    return {
        term: weight * math.log(2 + counts.searched / (least + held_by(term)))
        for term, weight in about.weights.items()
    }


def _score_all(
    about: Topic, values: Mapping[str, float], candidates: Sequence[_Candidate]
) -> list[_Candidate]:
    """Those that have a word that matters, the best first."""
    scored = [
        replace(candidate, score=_score_of(about, values, candidate))
        for candidate in candidates
        if any(candidate.told[term] > TELLS[-1] for term in about.strong)
    ]
    return sorted(
        scored, key=lambda c: (-c.score, c.sentence.path, c.sentence.line, c.sentence.text)
    )


def _score_of(about: Topic, values: Mapping[str, float], candidate: _Candidate) -> float:
    told, covered = (
        sum(value * found[term] for term, value in values.items())
        for found in (candidate.told, candidate.covered)
    )
    coverage = covered / sum(values.values())
    sentence = candidate.sentence
    # What a sentence begins with, it is about: "**Journal.** Written by the supervisor only."
    leads = not stems_in(sentence.text[:40]).isdisjoint(about.strong)
    form = _form_factor(sentence) * answers(about.asked, sentence)
    return told * coverage * coverage * (1.2 if leads else 1.0) * form


def _form_factor(sentence: Sentence) -> float:
    """A reader is served by whole sentences of prose: rows, code and endless ones count for
    less.
    """
    text = sentence.text
    form = 1.0 if is_prose(sentence.path) else 0.6
    if _HISTORY.search(sentence.path):
        form *= 0.5
    if " | " in text:
        form *= 0.7
    elif not text.endswith((".", "!", "?", ":", "。", "**", ")")):
        form *= 0.85
    return form / (1 + max(0, len(text) - 200) / 300)


def _likeness_to(candidate: _Candidate, others: Sequence[_Candidate]) -> float:
    return max(
        (len(candidate.held & o.held) / max(1, len(candidate.held | o.held)) for o in others),
        default=0.0,
    )
