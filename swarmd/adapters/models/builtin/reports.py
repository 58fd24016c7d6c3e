"""The lines of a report: sentences with their file and line, and what was not found or read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from swarmd.adapters.files.sentences import Sentence, bounded, cleaned, without_controls

QUOTES_MAX: Final = 8  # of one researcher and of one section
CODE_LINES_MAX: Final = 12  # of one quotation; a reader opens the file for more
CODE_CHARS_MAX: Final = 160  # of one line of it
NOTHING: Final = "nothing found for:"
NOT_SEARCHED: Final = "not searched:"
NOT_READ: Final = "not read:"  # a file that no further search would read either
NOT_READ_SHOWN: Final = 20

# Code is indented, so no line of it can pass for a quotation or for a line of the report's own.
_QUOTED: Final = re.compile(
    r"^[-*] (?P<text>.+) \[(?P<path>.+?):(?P<line>\d{1,9})\]\s*?$"
    r"(?:\n  (?P<mark>```|~~~~)\n(?P<code>(?:(?:  .*)?\n)*?)  (?P=mark)$)?",
    re.M,
)
_NUMBER: Final = re.compile(rf"{NOT_READ} \d+ more")
_FAKE: Final = re.compile(r"\[([^\[\]]{1,300}:\d{1,9})\]")


def cite(sentence: Sentence) -> str:
    """A quotation as a line of a report, with the code that it introduces indented below it."""
    # A file may hold what looks like a citation: in round brackets it can't pass for one of ours.
    text = _FAKE.sub(r"(\1)", sentence.text)
    return "\n".join([f"- {text} [{sentence.path}:{sentence.line}]", *_code_lines(sentence.code)])


def _code_lines(code: Sequence[str]) -> list[str]:
    """In a fence that the code cannot close, at most so many lines of it."""
    if not code:
        return []
    shown = [bounded(_FAKE.sub(r"(\1)", line), CODE_CHARS_MAX) for line in code[:CODE_LINES_MAX]]
    more = ["…"] if len(code) > CODE_LINES_MAX else []
    fence = "```" if not any("```" in line for line in shown) else "~~~~"
    return [f"  {line}".rstrip() for line in (fence, *shown, *more, fence)]


def quotes_of(reports: Iterable[Mapping[str, Any]]) -> list[Sentence]:
    """The cited sentences of all reports that a call is about."""
    return [quote for report in reports for quote in quotes_in(str(report.get("text", "")))]


def quotes_in(report: str) -> list[Sentence]:
    """The cited sentences of a report."""
    return [
        Sentence(
            one_line(hit["path"]),
            int(hit["line"]),
            bounded(cleaned(hit["text"])),
            tuple(without_controls(line[2:]) for line in (hit["code"] or "").splitlines()),
        )
        for hit in _QUOTED.finditer(report)
    ]


def not_read_in(reports: Iterable[str]) -> list[str]:
    """What reports say was not read. A quotation begins with a dash: no file can make a report
    say this.
    """
    return [line for report in reports for line in report.split("\n") if line.startswith(NOT_READ)]


def not_read_lines(said: Iterable[str]) -> list[str]:
    """Each once, and only the number of what nobody would read to its end."""
    lines = list(dict.fromkeys(said))
    rest = len(lines) - NOT_READ_SHOWN
    return [*lines[:NOT_READ_SHOWN], f"{NOT_READ} {rest} more"] if rest > 0 else lines


def tells_number(line: str) -> bool:
    """Whether it says how many more files were not read, and not which."""
    return _NUMBER.match(line) is not None


def one_line(path: object) -> str:
    """A file's name as it is, spaces of every kind included, without what could act on a
    terminal.
    """
    return without_controls(str(path))


def is_undone(report: str) -> bool:
    """Whether it names a part that was not searched. A quotation begins with a dash: no file can
    make a report say this of itself.
    """
    return any(line.startswith(NOT_SEARCHED) for line in report.split("\n"))
