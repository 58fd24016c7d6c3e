"""A file is read in time that grows as it does, whoever wrote it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final

import pytest

from swarmd.adapters.files.passages import passages
from swarmd.adapters.files.sentences import sentences

CHARS: Final = 20_000
READING: Final[dict[str, Callable[[str], Iterable[object]]]] = {
    "passages": lambda text: passages("a.md", text),
    "sentences": lambda text: sentences("a.md", 1, [text]),
}


@pytest.mark.parametrize("read", READING.values(), ids=READING)
@pytest.mark.parametrize(
    "unit",
    [
        ".",
        "?)",
        "... ",
        " ",
        ";",
        "a. ",
        "[",
        "[a](",
        "![",
        "<a ",
        "<!--",
        ":a",
        "`a <",
        "&",
        "` ",
        "| ",
    ],
)
def test_a_line_of_nothing_but_marks_is_read_at_once(
    unit: str, read: Callable[[str], Iterable[object]]
) -> None:
    started = time.process_time()
    for _ in read((unit * CHARS)[:CHARS]):
        pass
    assert time.process_time() - started < 0.2
