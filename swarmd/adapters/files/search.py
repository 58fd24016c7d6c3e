"""Finding passages of text files: a BM25 index over them.

Invariant: the same files and the same query give the same passages in the same order, on every
machine.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final

from swarmd.adapters.files.markup import without_markup
from swarmd.adapters.files.passages import is_bare_list, is_prose, passages
from swarmd.adapters.files.words import STOP_WORDS, stem, terms, words
from swarmd.errors import WorkspaceError
from swarmd.log_events import LogEvent
from swarmd.logs import logger
from swarmd.ports.files import Found, LeftOut, Passage

# Indexing runs at about 3 MB a second. A larger corpus wants an index on disk, which this is not.
INDEX_BYTES_MAX: Final = 16 * 1024 * 1024
INDEX_FILES_MAX: Final = 4_000
# Each part of a corpus that is searched has an index of its own, up to four times its text in
# memory.
INDEXES_KEPT: Final = 32
INDEXES_BYTES_MAX: Final = 64 * 1024 * 1024
QUERY_WORDS_MAX: Final = 64


@dataclass(frozen=True, slots=True)
class Listed:
    """A file as listed: `stamp` changes whenever its content does."""

    path: str
    stamp: tuple[int, ...]
    size: int


@dataclass(slots=True)
class _Slot:
    """One index, built by the first who needs it while the others of the same corpus wait."""

    size: int
    lock: threading.Lock = field(default_factory=threading.Lock)
    index: _Index | None = None


class Retrieval:
    """Indexes by corpus, kept while they are used. Safe for threads.

    An index is over the files searched and no others: scores tell nothing of what the asker may not
    read.
    """

    def __init__(self) -> None:
        self._slots: OrderedDict[tuple[object, ...], _Slot] = OrderedDict()
        self._lock = threading.Lock()

    def search(
        self, scope: str, files: Sequence[Listed], load: Callable[[str], str], query: str, top: int
    ) -> Found:
        """The best passages first, ties by path and line; only what shares a word with the query.

        `load` gives a file's text, or raises `WorkspaceError`, which leaves the file out. Files
        beyond `INDEX_FILES_MAX` or `INDEX_BYTES_MAX`, in order of their paths, are left out.
        """
        if not files:
            return Found()
        taken, beyond = _within_bounds(sorted(files, key=lambda listed: listed.path))
        index = self._index_of(scope, taken, load)
        wanted = _wanted_in(query)
        held = {word: index.holding.get(term, 0) for term, word in wanted.items()}
        left_out = (*index.left_out, *beyond)
        return Found(index.search(tuple(wanted), top), left_out, len(index.passages), held)

    def _index_of(self, scope: str, files: Sequence[Listed], load: Callable[[str], str]) -> _Index:
        slot = self._take_slot((scope, *((listed.path, listed.stamp) for listed in files)), files)
        with slot.lock:
            if slot.index is None:
                slot.index = _Index.of(files, load)
            return slot.index

    def _take_slot(self, key: tuple[object, ...], files: Sequence[Listed]) -> _Slot:
        with self._lock:
            slot = self._slots.pop(key, None) or _Slot(sum(listed.size for listed in files))
            self._slots[key] = slot
            while len(self._slots) > 1 and (
                len(self._slots) > INDEXES_KEPT
                or sum(kept.size for kept in self._slots.values()) > INDEXES_BYTES_MAX
            ):
                self._slots.popitem(last=False)
            return slot


def _wanted_in(query: str) -> dict[str, str]:
    """The stems that are looked for, sorted, and how the last word of each is written."""
    stems = {stem(word): word for word in words(query) if word not in STOP_WORDS}
    return dict(sorted(stems.items())[:QUERY_WORDS_MAX])


def _within_bounds(files: Sequence[Listed]) -> tuple[Sequence[Listed], list[LeftOut]]:
    size = 0
    for count, listed in enumerate(files):
        size += listed.size
        if count >= INDEX_FILES_MAX or size > INDEX_BYTES_MAX:
            logger(__name__).warning(
                LogEvent.FILES_BEYOND_BOUND,
                searched=count,
                left_out=len(files) - count,
                first_left_out=listed.path,
                hint="name fewer files",
            )
            return files[:count], [LeftOut(beyond.path, _BEYOND) for beyond in files[count:]]
    return files, []


_BEYOND: Final = (
    f"is beyond the {INDEX_FILES_MAX} files or {INDEX_BYTES_MAX} bytes of one "
    "search: name fewer files"
)


# What is left of the score of a bare list of names: it is found where there is nothing better, or
# where one of its names is asked for.
BARE_LIST_SHARE: Final = 0.25


# Path, number of the first line, lines, and the headings above them.
_Place = tuple[str, int, tuple[str, ...], str]


@dataclass(frozen=True, slots=True)
class _Index:
    """Passages and BM25 over them. Read-only once built."""

    passages: tuple[_Place, ...]
    shares: tuple[float, ...]  # of its score, what each passage keeps
    vocabulary: dict[str, int]
    bm25: Any  # bm25s ships no types; `None` where there is nothing to find
    left_out: tuple[LeftOut, ...] = ()
    holding: Mapping[str, int] = field(default_factory=dict)  # passages with a term

    @classmethod
    def of(cls, files: Sequence[Listed], load: Callable[[str], str]) -> _Index:
        found: list[_Place] = []
        documents: list[list[int]] = []
        vocabulary: dict[str, int] = {}
        left_out: list[LeftOut] = []
        for passage, said in _read_documents(files, load, left_out):
            found.append(passage)
            documents.append([vocabulary.setdefault(term, len(vocabulary)) for term in said])
        bm25 = _build_bm25(documents, vocabulary) if documents else None
        holding = _count_holding(documents, vocabulary)
        shares = tuple(_share(path, lines) for path, _, lines, _ in found)
        return cls(tuple(found), shares, vocabulary, bm25, tuple(left_out), holding)

    def search(self, wanted: Sequence[str], top: int) -> tuple[Passage, ...]:
        if not (known := [self.vocabulary[term] for term in wanted if term in self.vocabulary]):
            return ()
        scores = self.bm25.get_scores_from_ids(known).tolist()
        hits = sorted(
            (-score * self.shares[i], *self.passages[i])
            for i, score in enumerate(scores)
            if score > 0
        )
        return tuple(
            Passage(path, start, lines, round(-score, 4), under)
            for score, path, start, lines, under in hits[:top]
        )


def _count_holding(documents: list[list[int]], vocabulary: Mapping[str, int]) -> dict[str, int]:
    counts = Counter(chain.from_iterable(map(set, documents)))
    return {term: counts[number] for term, number in vocabulary.items()}


def _read_documents(
    files: Sequence[Listed], load: Callable[[str], str], left_out: list[LeftOut]
) -> Iterator[tuple[_Place, list[str]]]:
    """The passages that have a word to be found by, with their terms. A file that cannot be read is
    added to `left_out`.
    """
    for listed in files:
        try:
            text = load(listed.path)
        except WorkspaceError as error:
            left_out.append(LeftOut(listed.path, error.what.removeprefix(f"{listed.path}: ")))
            continue
        name = terms(listed.path.rsplit("/", 1)[-1].rsplit(".", 1)[0])
        for start, lines, under in passages(listed.path, text):
            if said := terms(_shown(listed.path, lines)):
                # "It takes two steps." is about the kill that its headings or its file name.
                yield (listed.path, start, lines, under), [*said, *terms(under), *name]


def _share(path: str, lines: Sequence[str]) -> float:
    return BARE_LIST_SHARE if is_prose(path) and is_bare_list(lines) else 1.0


def _shown(path: str, lines: Sequence[str]) -> str:
    return "\n".join(map(without_markup, lines) if is_prose(path) else lines)


def _build_bm25(documents: list[list[int]], vocabulary: dict[str, int]) -> Any:
    # Late, for verbs that only look must start fast, and few of them search.
    import bm25s

    # It sets its own logger to DEBUG and tells of each step.
    logging.getLogger("bm25s").setLevel(logging.WARNING)
    index = bm25s.BM25()
    index.index((documents, vocabulary), create_empty_token=False, show_progress=False)
    return index
