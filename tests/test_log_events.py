"""Each log line of swarmd's own names its event, and each event is somebody's."""

from __future__ import annotations

import ast
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import swarmd
from swarmd import logs
from swarmd.log_events import LogEvent

PACKAGE = Path(swarmd.__file__).parent
LEVELS = {"debug", "info", "warning", "error", "exception"}


def _first_words(tree: ast.Module) -> Iterator[ast.expr]:
    """The first argument of each call `log.LEVEL(…)` and `logger(…).LEVEL(…)`."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=logger, attr=level), args=[word, *_]):
                if level in LEVELS and re.search(r"\blog$|logger\(", ast.unparse(logger)):
                    yield word


def _named(word: ast.expr) -> set[str]:
    """The events that it may name; a sentence names none."""
    found = {
        n.attr
        for n in ast.walk(word)
        if isinstance(n, ast.Attribute) and ast.unparse(n.value) == "LogEvent"
    }
    return (
        set() if any(isinstance(n, ast.Constant | ast.JoinedStr) for n in ast.walk(word)) else found
    )


def test_each_line_names_its_event_and_each_event_is_told_by_a_line() -> None:
    told: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        for word in _first_words(ast.parse(path.read_text(encoding="utf-8"))):
            names = _named(word)
            assert names, f"{path.name}:{word.lineno} tells no event: {ast.unparse(word)}"
            told |= names
    assert told == set(LogEvent.__members__)


def test_a_key_is_a_thing_and_what_became_of_it() -> None:
    keys = [event.value for event in LogEvent]
    assert all(re.fullmatch(r"[a-z]+(\.[a-z]+(_[a-z]+)*)", key) for key in keys)
    assert len(set(keys)) == len(keys)


def test_a_line_has_the_key_for_programs_and_the_sentence_for_people() -> None:
    stream = io.StringIO()
    logs.configure(form="json", stream=stream)
    logs.logger("x").warning(LogEvent.LEAD_LOST, why="a reason")
    line = json.loads(stream.getvalue())
    assert (line["event"], line["message"], line["why"]) == (
        "lead.lost",
        LogEvent.LEAD_LOST.meaning,
        "a reason",
    )
    stream = io.StringIO()
    logs.configure(form="console", stream=stream)
    logs.logger("x").warning(LogEvent.LEAD_LOST, why="a reason")
    assert re.search(rf"{LogEvent.LEAD_LOST.meaning}.*event=lead\.lost", stream.getvalue())
