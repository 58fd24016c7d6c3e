"""The sentences of a passage, each on one line and fit to be quoted."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Final

from swarmd.adapters.files.markup import is_directive, without_markup
from swarmd.adapters.files.passages import FENCE, ITEM, is_prose, outline_of, parts_of
from swarmd.adapters.files.words import RUN, UNSPACED

SENTENCE_CHARS_MAX: Final = 420
ROW_CHARS_MAX: Final = (
    200  # of data on one endless line: what a reader wants of it is a value and its neighbours
)
SENTENCE_WORDS_MIN: Final = 4

# From the first of its marks on: from each of a thousand dots, the others would be read again.
_END: Final = re.compile(
    r"(?<![.!?…])[.!?…]+[\"'”’)*_`\]]*\s+(?=[\"'“‘(*_`\[]*[A-Z0-9À-Þ])|[。！？]"
)
_UNSPACED_ENDS: Final = "。！？"
_ABBREVIATION: Final = re.compile(
    r"(?:\b(?:e\.g|i\.e|etc|vs|cf|al|no|nr|fig|dr|mr|mrs|ms|st)|\b[A-Z])\.\s+$", re.I
)
_CODE_SPAN: Final = re.compile(r"`[^`]*`")
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
    """One sentence of a file, on one line. `line` is where its first word stands; `code` are the
    lines of the block that it introduces, `under` the headings above it, `around` its passage.
    """

    path: str
    line: int
    text: str
    code: tuple[str, ...] = field(default=(), compare=False)
    under: str = field(default="", compare=False)
    around: str = field(default="", compare=False)


def sentences(path: str, start: int, lines: Sequence[str]) -> Iterator[Sentence]:
    """The sentences of a passage, the last before a block of code with that block; headings (but
    before a block), table rules, markup and what is no sentence are left out.
    """
    read = [said for unit in _group_lines(path, start, lines) for said in _read_unit(path, unit)]
    for said, behind in zip_longest(read, read[1:]):
        code = behind.code if behind else ()
        if said.sentence is not None and (code or said.stands_alone):
            yield replace(said.sentence, code=code)


@dataclass(frozen=True, slots=True)
class _Said:
    """A unit's sentence, or its code. What is no sentence and what is a heading ("For Django:")
    says something before a block of code alone.
    """

    sentence: Sentence | None
    stands_alone: bool = False
    code: tuple[str, ...] = ()


def _read_unit(path: str, unit: Sequence[_Line]) -> list[_Said]:
    """One at least: what stands before code is what introduces it."""
    first = unit[0]
    if first.code:
        return [_Said(None, code=first.code)]
    found = [] if first.is_heading else [_Said(one, True) for one in _split_unit(path, unit)]
    if first.is_alone and not first.is_heading:
        return [*found, _Said(None)]  # a row of a table introduces nothing
    text = " ".join(line.text for line in unit)
    return found or [_Said(Sentence(path, first.number, bounded(cleaned(text))))]


@dataclass(frozen=True, slots=True)
class _Line:
    """What a line says. `is_alone`: it is a unit by itself; `opens`: it begins another one."""

    number: int
    text: str = ""
    is_alone: bool = False
    opens: bool = False
    is_heading: bool = False
    code: tuple[str, ...] = ()

    @property
    def ends_unit(self) -> bool:
        """Whether what stands before it is complete."""
        return self.is_alone or self.opens or not self.text


def _group_lines(path: str, start: int, lines: Sequence[str]) -> Iterator[list[_Line]]:
    """Lines that belong together (a paragraph, a list item, a row, a block of code)."""
    unit: list[_Line] = []
    for line in _lines_of_prose(start, lines) if is_prose(path) else _lines_of_code(start, lines):
        if unit and line.ends_unit:
            yield unit
            unit = []
        if line.is_alone and (line.text or line.code):
            yield [line]
        elif line.text:
            unit.append(line)
    if unit:
        yield unit


def _lines_of_prose(start: int, lines: Sequence[str]) -> Iterator[_Line]:
    outline = outline_of(lines)
    at = 0
    while at < len(lines):
        if at in outline.fences:
            end = outline.fences[at]
            yield _Line(start + at, is_alone=True, code=_code_in(lines[at:end]))
            at = end
        elif heading := outline.headings.get(at):
            yield _Line(start + at, without_markup(heading.text), is_alone=True, is_heading=True)
            at += heading.lines
        else:
            yield _as_row_or_text(start + at, lines, at)
            at += 1


def _as_row_or_text(number: int, lines: Sequence[str], at: int) -> _Line:
    line = _as_prose(number, lines[at])
    # A table's head names columns and says nothing.
    return _Line(number) if line.is_alone and _is_rule(lines, at + 1) else line


def _code_in(fence: Sequence[str]) -> tuple[str, ...]:
    """The lines between its marks, without the indent that all of them have."""
    inner = fence[1:-1] if len(fence) > 1 and FENCE.match(fence[-1]) else fence[1:]
    text = "\n".join(without_controls(line.expandtabs(4)) for line in inner)
    return tuple(line.rstrip() for line in textwrap.dedent(text).strip("\n").split("\n"))


def _lines_of_code(start: int, lines: Sequence[str]) -> Iterator[_Line]:
    for number, line in enumerate(lines, start):
        yield _as_code(number, line)


def _is_rule(lines: Sequence[str], index: int) -> bool:
    return (
        index < len(lines) and "-" in lines[index] and _TABLE_RULE.match(lines[index]) is not None
    )


def _as_prose(number: int, line: str) -> _Line:
    """A row of a table stands alone, an item of a list opens."""
    if is_directive(line):
        return _Line(number, opens=True)
    text = without_markup(re.sub(r"^\s*(?:>\s?)+", "", line)).strip()
    if not text or _TABLE_RULE.match(text):
        return _Line(number, opens=True)
    if text.startswith("|"):
        return _Line(number, text.strip("| "), is_alone=True, opens=True)
    item = ITEM.match(text)
    return _Line(number, text[item.end() :], opens=True) if item else _Line(number, text)


def _as_code(number: int, line: str) -> _Line:
    comment = _COMMENT.match(line)
    if comment:
        said = line[comment.end() :].strip().removesuffix("*/").removesuffix('"""').strip()
        return _Line(number, said)
    return _Line(number, line.strip(), is_alone=_LOOKS_LIKE_CODE.search(line) is not None)


def _split_unit(path: str, unit: Sequence[_Line]) -> Iterator[Sentence]:
    text = " ".join(line.text for line in unit)
    for first, last in _sentence_spans(text):
        yield from _bounded_sentences(path, unit, text, first, last)


def _bounded_sentences(
    path: str, unit: Sequence[_Line], text: str, first: int, last: int
) -> Iterator[Sentence]:
    """A sentence, or one that is too long to be quoted in parts, so that each word of it can be."""
    whole = last - first <= SENTENCE_CHARS_MAX
    chars_max = SENTENCE_CHARS_MAX if whole or is_prose(path) else ROW_CHARS_MAX
    for part in parts_of(text[first:last], chars_max):
        sentence = bounded(cleaned(without_markup(part) if is_prose(path) else part))
        ends = first + len(part) == last
        if is_sentence(sentence):
            yield Sentence(
                path, _line_at(unit, first), sentence if ends else f"{sentence.rstrip(',;: ')} …"
            )
        first += len(part)


def _sentence_spans(text: str) -> Iterator[tuple[int, int]]:
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


def _line_at(unit: Sequence[_Line], offset: int) -> int:
    for line in unit:
        if offset < len(line.text) + 1:
            return line.number
        offset -= len(line.text) + 1
    return unit[-1].number


def bounded(text: str, chars_max: int = SENTENCE_CHARS_MAX) -> str:
    """Cut at a word, and say so by an ellipsis. Emphasis that is left open is taken off."""
    if len(text) > chars_max:
        text = text[:chars_max].rsplit(" ", 1)[0].rstrip(",;: ") + " …"
    if text.count("**") % 2:
        text = text.replace("**", "")
    return text


def is_sentence(text: str) -> bool:
    """Enough words to say something, one of them outside of code, and more letters than signs."""
    letters = sum(char.isalpha() for char in text)
    if UNSPACED.search(text):
        return letters >= 6
    enough = len(RUN.findall(text)) >= SENTENCE_WORDS_MIN and RUN.search(_CODE_SPAN.sub("", text))
    return bool(enough) and letters * 2 > len(text.replace(" ", ""))
