"""Finding passages: words, sentences, passages of text files, and a BM25 index over them.

Invariants: the same files and the same query give the same passages in the same order, on every
machine; the lines of a passage are the file's own, and its `start` is the number of the first.
"""

from __future__ import annotations

import logging
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from swarmd.errors import WorkspaceError
from swarmd.logs import logger
from swarmd.ports.files import Found, LeftOut, Passage

# A passage is quoted into prompts: a dozen lines is a paragraph or a small function.
PASSAGE_LINES_MAX: Final = 12
PASSAGE_LINES_MIN: Final = 4  # of a list: fewer lines say too little to be found by themselves
# Minified files have one endless line, and some write a paragraph to a line: longer lines are
# searched in parts.
LINE_CHARS_MAX: Final = 4_000
# Indexing runs at about 3 MB a second. A larger corpus wants an index on disk, which this is not.
INDEX_BYTES_MAX: Final = 16 * 1024 * 1024
INDEX_FILES_MAX: Final = 4_000
# Each part of a corpus that is searched has an index of its own, up to four times its text in
# memory.
INDEXES_KEPT: Final = 32
INDEXES_BYTES_MAX: Final = 64 * 1024 * 1024
QUERY_WORDS_MAX: Final = 64

PROSE: Final = frozenset({"md", "markdown", "txt", "rst", "adoc", "org", "tex", "html", "htm", ""})


# --- words ------------------------------------------------------------------------------------

# Function words, and the words that questions are asked with: they are in every passage.
STOP_WORDS: Final = frozenset(
    re.findall(
        r"\w+",
        "a about above after again against all also am an and any are as at be because been "
        "before being "
        "below between both but by can cannot could did do does doing don down during each else "
        "etc ever "
        "every few for from further had has have having he her here hers him his how i if in into "
        "is it "
        "its itself just let like me more most much my no nor not now of off on once one only or "
        "other "
        "our ours out over own per please rather same shall she should since so some such than "
        "that the "
        "their theirs them then there these they this those though through thus to too under "
        "until up "
        "upon us very was we were what when where whether which while who whom whose why will with "
        "within without would yet you your yours s t re ve ll isn doesn didn won wouldn shouldn "
        "couldn "
        "aren wasn weren hasn haven may might must e g",
    )
)

_RUN: Final = re.compile(r"[^\W_]+")
# Scripts written without spaces: a run of them is searched by its pairs of characters.
_UNSPACED: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]+")
_PIECE: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^A-Za-z\d]+")


def words(text: str) -> list[str]:
    """Lower-case words in order: `children_max`, `childrenMax` and `children max` are the same
    two.
    """
    found: list[str] = []
    for run in _RUN.findall(text):
        if run.isascii() and (run.islower() or run.istitle() or run.isdigit()):
            found.append(run.lower())
        elif _UNSPACED.search(run):
            found += _pairs(run)
        elif run.isascii():
            found += [piece.lower() for piece in _PIECE.findall(run)]
        else:
            found.append(run.casefold())
    return found


def _pairs(run: str) -> list[str]:
    if len(run) < 3:
        return [run]
    return [run[i : i + 2] for i in range(len(run) - 1)]


# The commonest words that change more than their ending.
_IRREGULAR: Final = {
    "began": "begin",
    "begun": "begin",
    "broke": "break",
    "broken": "break",
    "built": "build",
    "children": "child",
    "chosen": "choose",
    "chose": "choose",
    "fell": "fall",
    "fallen": "fall",
    "found": "find",
    "gave": "give",
    "given": "give",
    "gone": "go",
    "held": "hold",
    "kept": "keep",
    "knew": "know",
    "known": "know",
    "lost": "lose",
    "made": "make",
    "paid": "pay",
    "people": "person",
    "said": "say",
    "sent": "send",
    "shown": "show",
    "spent": "spend",
    "stole": "steal",
    "stolen": "steal",
    "taken": "take",
    "thought": "think",
    "told": "tell",
    "took": "take",
    "went": "go",
    "wrote": "write",
    "written": "write",
}


@lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """Strip plural, past and -ing, so that `verified` finds `verify`. Crude, short, and the same
    everywhere.
    """
    word = _IRREGULAR.get(word, word)
    if len(word) < 4 or not word.isascii() or not word.isalpha():
        return word
    for ending, instead in (("ies", "y"), ("ied", "y"), ("sses", "ss")):
        if word.endswith(ending) and len(word) > len(ending) + 1:
            return word[: -len(ending)] + instead
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ing", "ed"):
        root = word[: -len(ending)]
        if word.endswith(ending) and len(root) >= 3 and re.search("[aeiouy]", root):
            word = root[:-1] if root[-1] == root[-2] and root[-1] not in "lsz" else root
            break
    return word[:-1] if word.endswith("e") and len(word) > 3 else word


def terms(text: str) -> list[str]:
    """The stems of the words that carry meaning, in order, with repetitions."""
    return [stem(word) for word in words(text) if word not in STOP_WORDS]


# --- lines and passages -----------------------------------------------------------------------


def lines_of(text: str) -> list[str]:
    """Lines as editors number them. (`str.splitlines` also breaks at form feeds and others.)"""
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


def is_prose(path: str) -> bool:
    """Whether a file is read by paragraphs (Markdown, plain text) or by blocks of lines (all
    else).
    """
    name = path.rsplit("/", 1)[-1]
    return (name.rsplit(".", 1)[1].lower() if "." in name.lstrip(".") else "") in PROSE


_HEADING: Final = re.compile(r" {0,3}#{1,6}\s+\S")
_FENCE: Final = re.compile(r"\s*(```|~~~)")
_ITEM: Final = re.compile(r"\s*(?:[-*+•]|\d{1,3}[.)])\s+(?:\[[ xX]\]\s+)?")


def is_heading(line: str) -> bool:
    return _HEADING.match(line) is not None


def passages(path: str, text: str) -> Iterator[tuple[int, tuple[str, ...], str]]:
    """The passages of a file: first line's number, lines, and the heading that they stand under.

    A line of more than `LINE_CHARS_MAX` characters is a passage for each of its parts, all with its
    number.
    """
    lines = lines_of(text)
    prose = is_prose(path)
    heading = ""
    for first, last in _paragraphs(lines) if prose else _blocks(lines):
        for line in lines[first:last] if prose else ():
            if is_heading(line):
                heading = line.strip("# \t")[:LINE_CHARS_MAX]
        for start, part in _of_bounded_lines(lines, first, last):
            yield start + 1, part, heading


def _of_bounded_lines(
    lines: Sequence[str], first: int, last: int
) -> Iterator[tuple[int, tuple[str, ...]]]:
    """The lines of a passage, apart from those that are too long for one."""
    at = first
    for number in range(first, last):
        if len(lines[number]) > LINE_CHARS_MAX:
            if at < number:
                yield at, tuple(lines[at:number])
            yield from ((number, (part,)) for part in parts_of(lines[number], LINE_CHARS_MAX))
            at = number + 1
    if at < last:
        yield at, tuple(lines[at:last])


# Where a long text is best divided: after a sentence, else after a part of one, else between words.
_SEAMS: Final = (
    re.compile(r"[.!?…。！？]+[\"'”’)*_`\]]*(?:\s+|(?<=[。！？]))"),
    re.compile(r"[;,}\])|]+\s*"),
    re.compile(r"\s+"),
    re.compile(r"[^\w]+|(?<=[\u3040-\u30ff\u3400-\u9fff])"),
)


def parts_of(text: str, chars_max: int) -> Iterator[str]:
    """All of a text in parts of at most `chars_max` characters, divided where it has a seam."""
    first = 0
    while len(text) - first > chars_max:
        end = _seam(text, first, first + chars_max)
        yield text[first:end]
        first = end
    if first < len(text):
        yield text[first:]


def _seam(text: str, first: int, last: int) -> int:
    """The last seam of the best kind between `first` and `last`, not before half of it; else
    `last`.
    """
    half = (first + last) // 2
    for seam in _SEAMS:
        found = [hit.end() for hit in seam.finditer(text, half, last) if hit.end() > half]
        if found:
            return found[-1]
    return last


def _paragraphs(lines: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Blocks between blank lines; headings go with what follows, a fence is not broken by its
    blanks.
    """
    first: int | None = None
    in_fence = only_headings = False
    for number, line in enumerate(lines):
        is_fence = _FENCE.match(line) is not None
        if first is not None and not in_fence:
            ends = not line.strip() or (is_heading(line) and not only_headings)
            if ends and not only_headings:
                yield from _cut(lines, first, number)
                first = None
        if first is None and line.strip():
            first, only_headings = number, True
        if line.strip() and not is_heading(line):
            only_headings = False
        in_fence ^= is_fence
    if first is not None:
        yield from _cut(lines, first, len(lines))


def _cut(lines: Sequence[str], first: int, last: int) -> Iterator[tuple[int, int]]:
    """A block in pieces: before a list item once there are enough lines, else where it gets too
    long.
    """
    while last > first and not lines[last - 1].strip():
        last -= 1
    while first < last:
        limit = min(first + PASSAGE_LINES_MAX, last)
        items = (n for n in range(first + PASSAGE_LINES_MIN, limit) if _ITEM.match(lines[n]))
        at = next(items, limit)
        yield first, at
        first = at


def _blocks(lines: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Code and data: runs of lines, ended by a blank line once they are half full."""
    first: int | None = None
    for number, line in enumerate(lines):
        if first is None:
            first = number if line.strip() else None
        elif number - first >= PASSAGE_LINES_MAX or (
            not line.strip() and number - first >= PASSAGE_LINES_MAX // 2
        ):
            yield from _cut(lines, first, number)
            first = number if line.strip() else None
    if first is not None:
        yield from _cut(lines, first, len(lines))


# --- sentences --------------------------------------------------------------------------------

SENTENCE_CHARS_MAX: Final = 420
ROW_CHARS_MAX: Final = (
    200  # of data on one endless line: what a reader wants of it is a value and its neighbours
)
SENTENCE_WORDS_MIN: Final = 4

_END: Final = re.compile(r"[.!?…]+[\"'”’)*_`\]]*\s+(?=[\"'“‘(*_`\[]*[A-Z0-9À-Þ])|[。！？]")
_UNSPACED_ENDS: Final = "。！？"
_ABBREVIATION: Final = re.compile(
    r"(?:\b(?:e\.g|i\.e|etc|vs|cf|al|no|nr|fig|dr|mr|mrs|ms|st)|\b[A-Z])\.\s+$", re.I
)
_TABLE_RULE: Final = re.compile(r"[\s|:+=-]+$")
_COMMENT: Final = re.compile(r"\s*(?:#+|//+!?|/\*+|\*+/?|--+|;+|\"\"\"|''')\s?")
_LOOKS_LIKE_CODE: Final = re.compile(
    r"[{}();,\[\]:]\s*$|[=!<>]=|\s=\s|->|=>|\w\(|^\s*(?:@\w|import\b|from\b|return\b|export\b|def\b|class\b)|</?\w+|^\s*(?:-\s)?[\w.-]+:\s"
)
# What is no text: colours of a terminal, controls, marks that turn the direction of writing,
# characters of no width.
_UNPRINTABLE: Final = re.compile(
    r"\x1b\[[0-9;]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]"
)


def without_controls(text: str) -> str:
    """Without what could act on a terminal or hide in one; spaces of every kind stay as they
    are.
    """
    return _UNPRINTABLE.sub(" ", text)


def cleaned(text: str) -> str:
    """Text from outside, on one line and without what could act on a terminal or hide in one."""
    return " ".join(without_controls(text).split())


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence of a file, on one line. `line` is where its first word stands."""

    path: str
    line: int
    text: str


def sentences(path: str, start: int, lines: Sequence[str]) -> Iterator[Sentence]:
    """The sentences of a passage; headings, table rules, fences and what is no sentence are left
    out.
    """
    for unit in _units(path, start, lines):
        yield from _split(path, unit)


def _units(path: str, start: int, lines: Sequence[str]) -> Iterator[list[tuple[int, str]]]:
    """Lines that belong together (a paragraph, a list item, a row), each with its number."""
    prose, unit = is_prose(path), list[tuple[int, str]]()
    in_fence = False
    for number, line in enumerate(lines, start):
        text, alone, opens = _as_prose(line) if prose else _as_code(line)
        if alone and prose and _is_rule(lines, number - start + 1):
            continue  # a table's head names columns and says nothing
        if prose and _FENCE.match(line):
            in_fence = not in_fence
            text = ""
        if in_fence or not text or alone or opens:
            if unit:
                yield unit
            unit = []
        if in_fence or not text:
            continue
        if alone:
            yield [(number, text)]
        else:
            unit.append((number, text))
    if unit:
        yield unit


def _is_rule(lines: Sequence[str], index: int) -> bool:
    return (
        index < len(lines) and "-" in lines[index] and _TABLE_RULE.match(lines[index]) is not None
    )


def _as_prose(line: str) -> tuple[str, bool, bool]:
    """The words of a line, whether it stands alone (a row), whether it begins something (an
    item).
    """
    text = re.sub(r"^\s*(?:>\s?)+", "", line).strip()
    if not text or is_heading(line) or _TABLE_RULE.match(text):
        return "", False, True
    if text.startswith("|"):
        return text.strip("| "), True, True
    item = _ITEM.match(text)
    return (text[item.end() :], False, True) if item else (text, False, False)


def _as_code(line: str) -> tuple[str, bool, bool]:
    comment = _COMMENT.match(line)
    if comment:
        return (
            line[comment.end() :].strip().removesuffix("*/").removesuffix('"""').strip(),
            False,
            False,
        )
    return line.strip(), _LOOKS_LIKE_CODE.search(line) is not None, False


def _split(path: str, unit: Sequence[tuple[int, str]]) -> Iterator[Sentence]:
    text = " ".join(part for _, part in unit)
    for first, last in _spans(text):
        yield from _bounded_sentences(path, unit, text, first, last)


def _bounded_sentences(
    path: str, unit: Sequence[tuple[int, str]], text: str, first: int, last: int
) -> Iterator[Sentence]:
    """A sentence, or one that is too long to be quoted in parts, so that each word of it can be."""
    whole = last - first <= SENTENCE_CHARS_MAX
    chars_max = SENTENCE_CHARS_MAX if whole or is_prose(path) else ROW_CHARS_MAX
    for part in parts_of(text[first:last], chars_max):
        sentence = bounded(cleaned(part))
        ends = first + len(part) == last
        if is_sentence(sentence):
            yield Sentence(
                path, _line_at(unit, first), sentence if ends else f"{sentence.rstrip(',;: ')} …"
            )
        first += len(part)


def _spans(text: str) -> Iterator[tuple[int, int]]:
    first = 0
    for end in _END.finditer(text):
        piece = text[first : end.end()]
        # A short start ("**Spawn.** An agent …") belongs to what it introduces.
        if _ABBREVIATION.search(piece) or (
            len(piece.split()) < SENTENCE_WORDS_MIN and end[0] not in _UNSPACED_ENDS
        ):
            continue
        yield first, end.end()
        first = end.end()
    if first < len(text):
        yield first, len(text)


def _line_at(unit: Sequence[tuple[int, str]], offset: int) -> int:
    for number, part in unit:
        if offset < len(part) + 1:
            return number
        offset -= len(part) + 1
    return unit[-1][0]


def bounded(text: str, chars_max: int = SENTENCE_CHARS_MAX) -> str:
    """Cut at a word, and say so by an ellipsis. Emphasis that is left open is taken off."""
    if len(text) > chars_max:
        text = text[:chars_max].rsplit(" ", 1)[0].rstrip(",;: ") + " …"
    if text.count("**") % 2:
        text = text.replace("**", "")
    return text


def is_sentence(text: str) -> bool:
    """Enough words to say something, and more letters than signs."""
    letters = sum(char.isalpha() for char in text)
    if _UNSPACED.search(text):
        return letters >= 6
    return len(_RUN.findall(text)) >= SENTENCE_WORDS_MIN and letters * 2 > len(
        text.replace(" ", "")
    )


# --- the index --------------------------------------------------------------------------------


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
        wanted = sorted(set(terms(query)))[:QUERY_WORDS_MAX]
        if not files:
            return Found()
        taken, beyond = _within_bounds(sorted(files, key=lambda listed: listed.path))
        slot = self._slot((scope, *((listed.path, listed.stamp) for listed in taken)), taken)
        with slot.lock:
            if slot.index is None:
                slot.index = _Index.of(taken, load)
            index = slot.index
        return Found(index.search(wanted, top), (*index.left_out, *beyond))

    def _slot(self, key: tuple[object, ...], files: Sequence[Listed]) -> _Slot:
        with self._lock:
            slot = self._slots.pop(key, None) or _Slot(sum(listed.size for listed in files))
            self._slots[key] = slot
            while len(self._slots) > 1 and (
                len(self._slots) > INDEXES_KEPT
                or sum(kept.size for kept in self._slots.values()) > INDEXES_BYTES_MAX
            ):
                self._slots.popitem(last=False)
            return slot


def _within_bounds(files: Sequence[Listed]) -> tuple[Sequence[Listed], list[LeftOut]]:
    size = 0
    for count, listed in enumerate(files):
        size += listed.size
        if count >= INDEX_FILES_MAX or size > INDEX_BYTES_MAX:
            logger(__name__).warning(
                "corpus searched in part: name fewer files",
                searched=count,
                left_out=len(files) - count,
                first_left_out=listed.path,
            )
            return files[:count], [LeftOut(beyond.path, _BEYOND) for beyond in files[count:]]
    return files, []


_BEYOND: Final = (
    f"is beyond the {INDEX_FILES_MAX} files or {INDEX_BYTES_MAX} bytes of one "
    "search: name fewer files"
)


@dataclass(frozen=True, slots=True)
class _Index:
    """Passages and BM25 over them. Read-only once built."""

    passages: tuple[tuple[str, int, tuple[str, ...]], ...]
    vocabulary: dict[str, int]
    bm25: Any  # bm25s ships no types; `None` where there is nothing to find
    left_out: tuple[LeftOut, ...] = ()

    @classmethod
    def of(cls, files: Sequence[Listed], load: Callable[[str], str]) -> _Index:
        found: list[tuple[str, int, tuple[str, ...]]] = []
        documents: list[list[int]] = []
        vocabulary: dict[str, int] = {}
        left_out: list[LeftOut] = []
        for listed in files:
            try:
                text = load(listed.path)
            except WorkspaceError as error:
                left_out.append(LeftOut(listed.path, error.what.removeprefix(f"{listed.path}: ")))
                continue
            for start, lines, heading in passages(listed.path, text):
                document = terms("\n".join(lines))
                if document:
                    # "It takes two steps." is about the kill that its heading names.
                    if not any(heading in line for line in lines):
                        document += terms(heading)
                    found.append((listed.path, start, lines))
                    documents.append(
                        [vocabulary.setdefault(term, len(vocabulary)) for term in document]
                    )
        bm25 = _bm25(documents, vocabulary) if documents else None
        return cls(tuple(found), vocabulary, bm25, tuple(left_out))

    def search(self, wanted: Sequence[str], top: int) -> tuple[Passage, ...]:
        known = [self.vocabulary[term] for term in wanted if term in self.vocabulary]
        if not known:
            return ()
        scores = self.bm25.get_scores_from_ids(known).tolist()
        hits = sorted((-score, *self.passages[i]) for i, score in enumerate(scores) if score > 0)
        return tuple(
            Passage(path, start, lines, round(-score, 4))
            for score, path, start, lines in hits[:top]
        )


def _bm25(documents: list[list[int]], vocabulary: dict[str, int]) -> Any:
    # Late, for verbs that only look must start fast, and few of them search.
    import bm25s

    # It sets its own logger to DEBUG and tells of each step.
    logging.getLogger("bm25s").setLevel(logging.WARNING)
    index = bm25s.BM25()
    index.index((documents, vocabulary), create_empty_token=False, show_progress=False)
    return index
