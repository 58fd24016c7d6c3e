"""The passages of a text file: paragraphs of prose, blocks of all else, no line too long.

Invariant: the lines of a passage are the file's own, and its `start` is the number of the first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

# A passage is quoted into prompts: a dozen lines is a paragraph or a small function.
PASSAGE_LINES_MAX: Final = 12
PASSAGE_LINES_MIN: Final = 4  # of a list: fewer lines say too little to be found by themselves
# Minified files have one endless line, and some write a paragraph to a line: longer lines are
# searched in parts.
LINE_CHARS_MAX: Final = 4_000

PROSE: Final = frozenset({"md", "markdown", "txt", "rst", "adoc", "org", "tex", "html", "htm", ""})


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
FENCE: Final = re.compile(r"\s*(```|~~~)")
ITEM: Final = re.compile(r"\s*(?:[-*+•]|\d{1,3}[.)])\s+(?:\[[ xX]\]\s+)?")


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
    for first, last in _split_paragraphs(lines) if prose else _split_blocks(lines):
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
    re.compile(r"(?<![.!?…。！？])[.!?…。！？]+[\"'”’)*_`\]]*(?:\s+|(?<=[。！？]))"),
    re.compile(r"[;,}\])|]+\s*"),
    re.compile(r"\s+"),
    re.compile(r"[^\w]+|(?<=[\u3040-\u30ff\u3400-\u9fff])"),
)


def parts_of(text: str, chars_max: int) -> Iterator[str]:
    """All of a text in parts of at most `chars_max` characters, divided where it has a seam."""
    first = 0
    while len(text) - first > chars_max:
        end = _last_seam(text, first, first + chars_max)
        yield text[first:end]
        first = end
    if first < len(text):
        yield text[first:]


def _last_seam(text: str, first: int, last: int) -> int:
    """The last seam of the best kind between `first` and `last`, not before half of it; else
    `last`.
    """
    half = (first + last) // 2
    for seam in _SEAMS:
        found = [hit.end() for hit in seam.finditer(text, half, last) if hit.end() > half]
        if found:
            return found[-1]
    return last


def _split_paragraphs(lines: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Blocks between blank lines; headings go with what follows, a fence is not broken by its
    blanks.
    """
    first: int | None = None
    in_fence = only_headings = False
    for number, line in enumerate(lines):
        is_blank = not line.strip()
        ends = is_blank or is_heading(line)
        if ends and first is not None and not (in_fence or only_headings):
            yield from _cut_block(lines, first, number)
            first = None
        if not is_blank:
            if first is None:
                first, only_headings = number, True
            only_headings &= is_heading(line)
        in_fence ^= FENCE.match(line) is not None
    if first is not None:
        yield from _cut_block(lines, first, len(lines))


def _cut_block(lines: Sequence[str], first: int, last: int) -> Iterator[tuple[int, int]]:
    """A block in pieces: before a list item once there are enough lines, else where it gets too
    long.
    """
    while last > first and not lines[last - 1].strip():
        last -= 1
    while first < last:
        limit = min(first + PASSAGE_LINES_MAX, last)
        items = (n for n in range(first + PASSAGE_LINES_MIN, limit) if ITEM.match(lines[n]))
        at = next(items, limit)
        yield first, at
        first = at


def _split_blocks(lines: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Code and data: runs of lines, ended by a blank line once they are half full."""
    first: int | None = None
    for number, line in enumerate(lines):
        if first is None:
            first = number if line.strip() else None
        elif number - first >= PASSAGE_LINES_MAX or (
            not line.strip() and number - first >= PASSAGE_LINES_MAX // 2
        ):
            yield from _cut_block(lines, first, number)
            first = number if line.strip() else None
    if first is not None:
        yield from _cut_block(lines, first, len(lines))
