"""Citations `file:line` in a report, and whether what is cited stands there. Pure.

A citation is right where the file is one that the agent may read, the lines exist, they share a
word or a number with the claim before it, and no line near them clearly shares more. That is no
proof that the claim is true. It finds what a reader cannot see: a file that is not there, a line
that is off by one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from swarmd.core.model.records import Citations
from swarmd.core.model.words import CITED

# Citations of one report that are looked up: each is a read of a file.
CITATIONS_MAX: Final = 200
# Lines before and after the cited ones in which the words of the claim are looked for.
NEAR_LINES: Final = 5
# Of one citation: what spans more is a chapter, and shares a word with anything.
SPAN_MAX: Final = 200
# A word counts from so many letters on, by its beginning: `reserve` and `reserved` are one.
_WORD: Final = re.compile(r"[^\W\d_]{4,}|\d+")
_STEM_CHARS: Final = 5
# A word that stands on more lines of a file than this, of all that are not blank, says little of
# where in it a claim belongs. Of a short file no word does on so few lines.
_COMMON_SHARE: Final = 0.05
_COMMON_LINES_MIN: Final = 4
# What a shared word is worth. Where what is cited is worth no more than `_FAINT`, a line near it is
# clearly what was meant if it is worth `_CLEAR`, `_AHEAD` more than what is cited, and a third of
# the whole claim. Measured over models' reports: a lower bound takes true citations for wrong ones.
_WORD_WORTH: Final = 2
_COMMON_WORTH: Final = 1
_FAINT: Final = 3
_CLEAR: Final = 5
_AHEAD: Final = 4
_CLAIM_PARTS: Final = 3
# A line of text that is at least so long and ends no sentence goes on in the next one.
_WRAPPED_CHARS_MIN: Final = 60
_NO_TEXT: Final = re.compile(r"\s*(?:$|[|#>]|```|~~~|(?:[-*+•]|\d{1,3}[.)])\s)")


@dataclass(frozen=True, slots=True)
class Citation:
    """Lines `first` to `last` of a file, and the words that were said before it."""

    path: str
    first: int
    last: int
    stems: frozenset[str] = frozenset()

    @property
    def text(self) -> str:
        span = f"{self.first}" if self.last == self.first else f"{self.first}-{self.last}"
        return f"{self.path}:{span}"

    @property
    def window(self) -> tuple[int, int]:
        """The first line to read, and how many."""
        start = max(1, self.first - NEAR_LINES)
        return start, self.last + NEAR_LINES - start + 1


@dataclass(frozen=True, slots=True)
class Window:
    """Lines of a file from `start` on, how many it has in all, and the words that stand on many of
    them.
    """

    start: int
    lines: Sequence[str]
    total: int
    common: frozenset[str] = frozenset()


def citations_in(text: str) -> tuple[Citation, ...]:
    """In their order, each place once for each claim, at most `CITATIONS_MAX`."""
    found: dict[Citation, None] = {}
    for row in text.split("\n"):
        hits = list(CITED.finditer(row))
        whole, said = _stems(CITED.sub(" ", row)) if hits else frozenset[str](), 0
        for hit in hits:
            first = int(hit["first"])
            last = max(first, int(hit["last"] or first))
            claim = _stems(row[said : hit.start()]) or whole
            said = hit.end()
            if len(found) < CITATIONS_MAX and last - first <= SPAN_MAX:
                found[Citation(hit["path"], first, last, claim)] = None
    return tuple(found)


def places_in(text: str) -> set[str]:
    """Where its citations point, each as `file:line` by its first line."""
    return {f"{hit['path']}:{hit['first']}" for hit in CITED.finditer(text)}


def fault_of(citation: Citation, window: Window | None) -> str:
    """Why it is not right; empty where it is. `None`: there is no such file to read."""
    if window is None:
        return f"{citation.text}: no such file of yours"
    if citation.first < 1 or citation.last > window.total:
        return f"{citation.text}: the file has {window.total} lines"
    shared = _shared(citation, window)
    if citation.stems and not any(shared[n] for n in range(citation.first, citation.last + 1)):
        near = _nearest(citation, shared)
        but = f", but in line {near}" if near else ""
        return f"{citation.text}: no word of the claim stands there{but}"
    meant = _meant_instead(citation, window, shared)
    if meant:
        return f"{citation.text}: little of the claim stands there, and more of it in line {meant}"
    return ""


# Of each line of a window by its number: the words that it shares with the claim.
_Shared = Mapping[int, frozenset[str]]


def _shared(citation: Citation, window: Window) -> _Shared:
    numbered = enumerate(window.lines, window.start)
    return {number: citation.stems & _stems(line) for number, line in numbered}


def _nearest(citation: Citation, shared: _Shared) -> int:
    """The line that shares a word and is the nearest to the cited ones; 0 where none does."""
    there = [number for number, stems in shared.items() if stems]
    return min(there, key=lambda number: abs(number - citation.first), default=0)


def _meant_instead(citation: Citation, window: Window, shared: _Shared) -> int:
    """The line near what is cited that clearly has more of the claim; 0 where there is none."""
    place = _sentences(citation, window)
    here = _worth(frozenset().union(*(shared[number] for number in place)), window)
    near = {n: _worth(stems, window) for n, stems in shared.items() if n not in place}
    best = max(near, key=lambda number: near[number], default=0)
    part = -(-_worth(citation.stems, window) // _CLAIM_PARTS)
    is_clear = near.get(best, 0) >= max(_CLEAR, here + _AHEAD, part)
    return best if here <= _FAINT and is_clear else 0


def _worth(stems: Iterable[str], window: Window) -> int:
    return sum(_COMMON_WORTH if stem in window.common else _WORD_WORTH for stem in stems)


def _sentences(citation: Citation, window: Window) -> range:
    """The cited lines with those that their sentences begin and end in: who cites a part of a
    sentence cites the sentence.
    """
    joined = {
        number
        for number, pair in enumerate(pairwise(window.lines), window.start)
        if _goes_on(*pair)  # into the next line
    }
    first, last = citation.first, citation.last
    while first - 1 in joined:
        first -= 1
    while last in joined:
        last += 1
    return range(first, last + 1)


def _goes_on(line: str, following: str) -> bool:
    text = line.strip()
    is_wrapped = len(text) >= _WRAPPED_CHARS_MIN and text[0] not in "|#" and text[-1] not in ".!?:;"
    return is_wrapped and _NO_TEXT.match(following) is None


def common_in(lines: Sequence[str]) -> frozenset[str]:
    """The words of a file that stand on many of its lines."""
    counts = Counter(stem for line in lines for stem in _stems(line))
    most = max(_COMMON_LINES_MIN, _COMMON_SHARE * sum(1 for line in lines if line.strip()))
    return frozenset(stem for stem, count in counts.items() if count > most)


def checked(looked_up: Iterable[tuple[Citation, str]]) -> Citations:
    """Of one report, from what `fault_of` said of each. A place that is cited for two claims is
    one, and right for both.
    """
    faults: dict[str, str] = {}
    for citation, fault in looked_up:
        faults[citation.text] = faults.get(citation.text) or fault
    wrong = tuple(fault for fault in faults.values() if fault)
    return Citations(len(faults) - len(wrong), wrong)


def _stems(text: str) -> frozenset[str]:
    return frozenset(word[:_STEM_CHARS] for word in _WORD.findall(text.casefold()))
