"""The passages of a text file: paragraphs of prose, blocks of all else, no line too long.

Invariant: the lines of a passage are the file's own, and its `start` is the number of the first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

# A passage is quoted into prompts: a dozen lines is a paragraph or a small function.
PASSAGE_LINES_MAX: Final = 12
PASSAGE_LINES_MIN: Final = 4  # of a list: fewer lines say too little to be found by themselves
CODE_LINES_MAX: Final = 20  # of a fence that is not divided, on top of what introduces it
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


_HEADING: Final = re.compile(r" {0,3}(#{1,6})\s+\S")
FENCE: Final = re.compile(r"\s*(```|~~~)")
ITEM: Final = re.compile(r"\s*(?:[-*+•]|\d{1,3}[.)])\s+(?:\[[ xX]\]\s+)?")
# Below a line of text it makes that a heading, of a level that its sign tells.
_UNDERLINE: Final = re.compile(r"([=~^\"#*+-])\1{2,}\s*$")
_LEVELS: Final = {"=": 1, "-": 2, "~": 3, "^": 4}
_HEADING_CHARS_MAX: Final = 200
UNDER: Final = " › "  # between a heading and one below it


def is_heading(line: str) -> bool:
    return _HEADING.match(line) is not None


# Marks of a name that no word of prose has in its middle: `core/test_x.py::test_y`.
_OF_A_NAME: Final = re.compile(r"\w(?:_|::|/)\w")


def is_bare_list(lines: Sequence[str]) -> bool:
    """Whether nothing stands there but names of code or files, one a line: whoever asks in words
    finds no answer in it. Headings above them do not count.
    """
    said = [ITEM.sub("", line, count=1) for line in lines if line.strip() and not is_heading(line)]
    is_one_word = all(len(line.split()) == 1 for line in said)
    return is_one_word and any(map(_OF_A_NAME.search, said))


@dataclass(frozen=True, slots=True)
class Heading:
    """`level` counts from 1, the title. `lines` are those that it takes: 2 where it is
    underlined.
    """

    level: int
    text: str
    lines: int = 1


@dataclass(frozen=True, slots=True)
class Outline:
    """Where lines of prose are no text, by the index of the first: headings, and fences with the
    index behind their last line. A fence whose end is missing goes on to the end.
    """

    headings: Mapping[int, Heading]
    fences: Mapping[int, int]


def outline_of(lines: Sequence[str]) -> Outline:
    headings: dict[int, Heading] = {}
    fences: dict[int, int] = {}
    at = 0
    while at < len(lines):
        if heading := _heading_at(lines, at):
            headings[at] = heading
            at += heading.lines  # an underline is no fence
        elif mark := FENCE.match(lines[at]):
            fences[at] = _end_of_fence(lines, at, mark[1])
            at = fences[at]
        else:
            at += 1
    return Outline(headings, fences)


def _end_of_fence(lines: Sequence[str], first: int, mark: str) -> int:
    closing = (n for n in range(first + 1, len(lines)) if lines[n].strip().startswith(mark))
    return next(closing, len(lines) - 1) + 1


def _heading_at(lines: Sequence[str], index: int) -> Heading | None:
    line = lines[index]
    if hit := _HEADING.match(line):
        return Heading(len(hit[1]), line.strip("# \t")[:_HEADING_CHARS_MAX])
    below = _UNDERLINE.match(lines[index + 1]) if index + 1 < len(lines) else None
    if below is None or _is_no_title(lines, index):
        return None
    return Heading(_LEVELS.get(below[1], 5), line.strip()[:_HEADING_CHARS_MAX], 2)


def _is_no_title(lines: Sequence[str], index: int) -> bool:
    """A title is one line of text, and no row, item or rule."""
    line = lines[index]
    first = index == 0 or not lines[index - 1].strip() or _UNDERLINE.match(lines[index - 1])
    is_text = line[:1].strip() != "" and any(map(str.isalnum, line))
    return not (first and is_text) or "|" in line or ITEM.match(line) is not None


def passages(path: str, text: str) -> Iterator[tuple[int, tuple[str, ...], str]]:
    """The passages of a file: first line's number, lines, and the headings that they stand under,
    from the title down.

    A line of more than `LINE_CHARS_MAX` characters is a passage for each of its parts, all with its
    number.
    """
    lines = lines_of(text)
    outline = outline_of(lines) if is_prose(path) else None
    paths, under = _paths_of(outline.headings if outline else {}), ""
    for first, last in _split_paragraphs(lines, outline) if outline else _split_blocks(lines):
        under = next((paths[n] for n in range(last - 1, first - 1, -1) if n in paths), under)
        for start, part in _of_bounded_lines(lines, first, last):
            yield start + 1, part, under


def _paths_of(headings: Mapping[int, Heading]) -> dict[int, str]:
    """Each heading with those above it."""
    found: dict[int, str] = {}
    above: list[Heading] = []
    for index, heading in headings.items():
        above = [one for one in above if one.level < heading.level] + [heading]
        found[index] = UNDER.join(one.text for one in above)
    return found


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


@dataclass(frozen=True, slots=True)
class _Chunk:
    kind: Literal["heading", "code", "text"]
    first: int
    last: int  # the line behind it


def _split_paragraphs(lines: Sequence[str], outline: Outline) -> Iterator[tuple[int, int]]:
    """Blocks between blank lines; headings go with what follows, a fence with the paragraph before
    it, and no blank line breaks a fence.
    """
    block: list[_Chunk] = []
    for chunk in _chunks_of(lines, outline):
        if block and not _is_joined(block[-1], chunk):
            yield from _cut_block(lines, block)
            block = []
        block.append(chunk)
    if block:
        yield from _cut_block(lines, block)


def _chunks_of(lines: Sequence[str], outline: Outline) -> Iterator[_Chunk]:
    at = 0
    while at < len(lines):
        chunk = _chunk_at(lines, outline, at)
        if lines[at].strip():
            yield chunk
        at = chunk.last


def _chunk_at(lines: Sequence[str], outline: Outline, at: int) -> _Chunk:
    """A blank line is one, too."""
    if heading := outline.headings.get(at):
        return _Chunk("heading", at, at + heading.lines)
    if at in outline.fences:
        return _Chunk("code", at, outline.fences[at])
    end = at + 1
    while lines[at].strip() and end < len(lines) and _is_text(lines, outline, end):
        end += 1
    return _Chunk("text", at, end)


def _is_text(lines: Sequence[str], outline: Outline, at: int) -> bool:
    return bool(lines[at].strip()) and at not in outline.headings and at not in outline.fences


def _is_joined(before: _Chunk, chunk: _Chunk) -> bool:
    if before.kind == "heading" or chunk.kind == "heading":
        return before.kind == "heading"
    return chunk.first == before.last or (before.kind, chunk.kind) == ("text", "code")


def _cut_block(lines: Sequence[str], block: Sequence[_Chunk]) -> Iterator[tuple[int, int]]:
    """A block in pieces: before a list item once there are enough lines, else where it gets too
    long. A fence stays whole, with what introduces it, where it has at most `CODE_LINES_MAX`.
    """
    first, last = block[0].first, block[-1].last
    fence = next((chunk.first for chunk in block if chunk.kind == "code"), last)
    whole = fence if last - fence <= CODE_LINES_MAX else last
    *pieces, (start, _) = _cut_lines(lines, first, whole) if first < whole else [(first, first)]
    yield from pieces
    yield start, last


def _cut_lines(lines: Sequence[str], first: int, last: int) -> Iterator[tuple[int, int]]:
    while first < last:
        limit = min(first + PASSAGE_LINES_MAX, last)
        items = (n for n in range(first + PASSAGE_LINES_MIN, limit) if ITEM.match(lines[n]))
        at = next(items, limit)
        yield first, at
        first = at


def _cut_run(lines: Sequence[str], first: int, last: int) -> Iterator[tuple[int, int]]:
    while last > first and not lines[last - 1].strip():
        last -= 1
    return _cut_lines(lines, first, last)


def _split_blocks(lines: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Code and data: runs of lines, ended by a blank line once they are half full."""
    first: int | None = None
    for number, line in enumerate(lines):
        if first is None:
            first = number if line.strip() else None
        elif number - first >= PASSAGE_LINES_MAX or (
            not line.strip() and number - first >= PASSAGE_LINES_MAX // 2
        ):
            yield from _cut_run(lines, first, number)
            first = number if line.strip() else None
    if first is not None:
        yield from _cut_run(lines, first, len(lines))
