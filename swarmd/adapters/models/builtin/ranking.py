"""Which of the sentences that were found answer best."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from swarmd.adapters.files.passages import is_prose
from swarmd.adapters.files.sentences import Sentence
from swarmd.adapters.files.words import terms
from swarmd.adapters.models.builtin.topics import Topic

QUOTES_MIN: Final = 4  # a section should have these, so they may be somewhat off the point
# Of the best sentence's score: what is below it shares a word with the question and hardly answers
# it.
FLOOR: Final = 0.45
FLOOR_FIRST: Final = 0.25


@dataclass(frozen=True, slots=True)
class _Candidate:
    sentence: Sentence
    held: frozenset[str]
    score: float


def ranked(about: Topic, found: Sequence[Sentence], count: int) -> list[Sentence]:
    """The sentences that hold most of what is looked for, rare words before common ones, none
    twice.
    """
    left = _score_all(about, list(dict.fromkeys(found)))
    highest = left[0].score if left else 0.0
    best: list[_Candidate] = []
    while len(best) < count:
        floor = highest * (FLOOR if len(best) >= QUOTES_MIN else FLOOR_FIRST)
        left = [c for c in left if c.score >= floor]
        if not left:
            break
        chosen = _next_best(left, best, frozenset(about.strong))
        best.append(chosen)
        left = [c for c in left if _likeness_to(c, [chosen]) < 0.7]
    return [candidate.sentence for candidate in best]


def _next_best(
    left: Sequence[_Candidate], best: Sequence[_Candidate], strong: frozenset[str]
) -> _Candidate:
    """What repeats a sentence already taken is worth less, what has a word that none has is worth
    more.
    """
    fresh = strong.difference(*(candidate.held for candidate in best))

    def worth(candidate: _Candidate) -> float:
        novelty = len(fresh & candidate.held) / (3 * len(strong))
        return candidate.score * (1 + novelty - 0.6 * _likeness_to(candidate, best))

    return max(left, key=worth)


def _score_all(about: Topic, found: Sequence[Sentence]) -> list[_Candidate]:
    """Those that have a word that matters, the best first."""
    held = [frozenset(terms(sentence.text)) for sentence in found]
    rarity = _rarity_of(about.weights, held)
    candidates = [
        _Candidate(sentence, have, _score_of(about, rarity, sentence, have))
        for sentence, have in zip(found, held, strict=True)
        if not have.isdisjoint(about.strong)
    ]
    return sorted(
        candidates, key=lambda c: (-c.score, c.sentence.path, c.sentence.line, c.sentence.text)
    )


def _rarity_of(wanted: Iterable[str], held: Sequence[frozenset[str]]) -> dict[str, float]:
    """How much a term tells: what is in every sentence tells nothing."""
    return {
        term: math.log(1 + len(held) / (1 + sum(term in have for have in held))) for term in wanted
    }


def _score_of(
    about: Topic, rarity: Mapping[str, float], sentence: Sentence, held: frozenset[str]
) -> float:
    words = sum(weight * rarity[term] for term, weight in about.weights.items() if term in held)
    coverage = sum(term in held for term in about.strong) / len(about.strong)
    # What a sentence begins with, it is about: "**Journal.** Written by the supervisor only."
    leads = any(term in about.strong for term in terms(sentence.text[:40])[:2])
    return words * ((0.3 + 0.7 * coverage) * (1.3 if leads else 1.0) * _form_factor(sentence))


def _form_factor(sentence: Sentence) -> float:
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


def _likeness_to(candidate: _Candidate, others: Sequence[_Candidate]) -> float:
    return max(
        (len(candidate.held & o.held) / max(1, len(candidate.held | o.held)) for o in others),
        default=0.0,
    )
