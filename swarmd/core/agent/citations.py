"""Citations `file:line` in a report, and whether what is cited stands there. Pure.

A citation is right where the file is one that the agent may read, the lines exist, and they share a
word or a number with the claim before it. That is no proof that the claim is true. It finds what a
reader cannot see: a file that is not there, a line that is off by one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from swarmd.core.model.records import Citations

# Citations of one report that are looked up: each is a read of a file.
CITATIONS_MAX: Final = 200
# Lines before and after the cited ones in which the words of the claim are looked for.
NEAR_LINES: Final = 5
# Of one citation: what spans more is a chapter, and shares a word with anything.
SPAN_MAX: Final = 200
# A word counts from so many letters on, by its beginning: `reserve` and `reserved` are one.
_WORD: Final = re.compile(r"[^\W\d_]{4,}|\d+")
_STEM_CHARS: Final = 5
# A file has an ending, and is no host of a URL.
_CITED: Final = re.compile(
    r"(?<![\w/:.@-])(?P<path>[\w-][\w./-]*\.[A-Za-z]\w{0,7}):(?P<first>\d{1,7})"
    r"(?:[-–](?P<last>\d{1,7}))?(?![\w.:-]*:\d)"
)


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
    """Lines of a file from `start` on, and how many it has in all."""

    start: int
    lines: Sequence[str]
    total: int


def citations_in(text: str) -> tuple[Citation, ...]:
    """In their order, each once, at most `CITATIONS_MAX`."""
    found: dict[tuple[str, int, int], Citation] = {}
    for row in text.split("\n"):
        hits = list(_CITED.finditer(row))
        whole, said = _stems(_CITED.sub(" ", row)) if hits else frozenset[str](), 0
        for hit in hits:
            first = int(hit["first"])
            last = max(first, int(hit["last"] or first))
            claim = _stems(row[said : hit.start()]) or whole
            said = hit.end()
            if len(found) < CITATIONS_MAX and last - first <= SPAN_MAX:
                one = Citation(hit["path"], first, last, claim)
                found.setdefault((one.path, first, last), one)
    return tuple(found.values())


def places_in(text: str) -> set[str]:
    """Where its citations point, each as `file:line` by its first line."""
    return {f"{hit['path']}:{hit['first']}" for hit in _CITED.finditer(text)}


def fault_of(citation: Citation, window: Window | None) -> str:
    """Why it is not right; empty where it is. `None`: there is no such file to read."""
    if window is None:
        return f"{citation.text}: no such file of yours"
    if citation.first < 1 or citation.last > window.total:
        return f"{citation.text}: the file has {window.total} lines"
    cited = range(citation.first, citation.last + 1)
    there = {
        number for number, line in enumerate(window.lines, window.start) if _shares(citation, line)
    }
    if not citation.stems or there.intersection(cited):
        return ""
    if there:
        nearest = min(there, key=lambda number: abs(number - citation.first))
        return f"{citation.text}: no word of the claim stands there, but in line {nearest}"
    return f"{citation.text}: no word of the claim stands there"


def checked(faults: Sequence[str]) -> Citations:
    """Of one report, from what `fault_of` said of each."""
    wrong = tuple(fault for fault in faults if fault)
    return Citations(len(faults) - len(wrong), wrong)


def _stems(text: str) -> frozenset[str]:
    return frozenset(word[:_STEM_CHARS] for word in _WORD.findall(text.casefold()))


def _shares(citation: Citation, line: str) -> bool:
    return bool(citation.stems & _stems(line))
