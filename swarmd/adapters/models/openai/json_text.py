"""JSON as models write it: twice, encoded as text of itself, in pieces, or cut off. Pure."""

from __future__ import annotations

import json
import re
from typing import Any, Final

Json = dict[str, Any]

# How often arguments may be encoded as text of themselves.
_ENCODED_MAX: Final = 2
_BLANKS: Final = re.compile(r"\s*")
_DECODER: Final = json.JSONDecoder()


def read_arguments(text: str) -> Json | None:
    """The object that arguments stand for, `None` where they are none; encoded twice is decoded
    twice.
    """
    value: Any = text
    for _ in range(1 + _ENCODED_MAX):
        if not isinstance(value, str):
            break
        if value.strip() in ("", "null"):
            return {}
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, dict) else None


def said_once(arguments: str) -> str:
    """The one object that several JSON documents are, beside empty ones; else the text as it
    was.
    """
    said, position = "", 0
    text = arguments.strip()
    first: Any = {}
    try:
        while position < len(text):
            start = position
            document, position = _DECODER.raw_decode(text, start)
            if document not in (first, {}) and first != {}:
                return arguments
            if first == {}:
                first, said = document, text[start:position]
            position = _BLANKS.match(text, position).end()  # type: ignore[union-attr]  # always matches
    except (ValueError, RecursionError):
        return arguments
    return said


def decoded_at(text: str, position: int) -> tuple[Any, int] | None:
    try:
        return _DECODER.raw_decode(text, position)
    except (ValueError, RecursionError):
        return None


class Depth:
    """How many brackets of a JSON text are open, piece by piece: decoding it anew each time is
    quadratic.
    """

    def __init__(self) -> None:
        self._open = 0
        self._has_begun = False
        self._in_text = False
        self._is_escaped = False

    @property
    def is_complete(self) -> bool:
        return self._has_begun and self._open == 0

    @property
    def is_open(self) -> bool:
        return self._open > 0

    def add(self, text: str) -> None:
        for character in text:
            if self._is_escaped:
                self._is_escaped = False
            elif self._in_text:
                self._is_escaped = character == "\\"
                self._in_text = character != '"'
            elif character == '"' and self._open:
                self._in_text = True
            elif character in "{[":
                self._has_begun = True
                self._open += 1
            elif character in "}]":
                self._open -= 1


def is_unfinished(text: str) -> bool:
    """Whether a text ends inside of a JSON object or list that it began."""
    depth = Depth()
    depth.add(text)
    return depth.is_open
