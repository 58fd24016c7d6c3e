"""Faults in declarations: where, which field, what is wrong."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SHOWN_CHARS_MAX: Final = 60  # of a value or key repeated in a fault


NoteFault = Callable[[int, str, str], None]  # line, field, what is wrong


class Faults:
    """Collects. Of two faults on one field of one line the first is kept: the second is its
    echo.
    """

    def __init__(self) -> None:
        self._found: dict[tuple[str, int, str], str] = {}

    @property
    def any(self) -> bool:
        return bool(self._found)

    def note(self, file: str, line: int, field: str, what: str) -> None:
        self._found.setdefault((file, line, field), " ".join(what.split()))

    def lines(self) -> tuple[str, ...]:
        return tuple(
            _make_printable(f"{file}:{line}: {field}: {what}")
            for (file, line, field), what in sorted(self._found.items())
        )


def _make_printable(text: str) -> str:
    """One line that cannot steer a terminal, for file names and keys are somebody else's bytes."""
    return "".join(character if character.isprintable() else "?" for character in text)


def shortened(value: object) -> str:
    shown = value if isinstance(value, str) else json.dumps(value)
    return shown if len(shown) <= SHOWN_CHARS_MAX else f"{shown[:SHOWN_CHARS_MAX]}…"


def field_path(parts: Iterable[str | int]) -> str:
    """`root.tokens`, `seats.2`; a key that is no word is quoted, so that a fault's parts stay
    apart.
    """
    words = (str(part) for part in parts)
    return (
        ".".join(
            word if re.fullmatch(r"[\w-]{1,64}", word) else repr(shortened(word)) for word in words
        )
        or "file"
    )


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file that counts. `shown` is its path as faults name it."""

    shown: str
    raw: bytes
    note: NoteFault

    @property
    def stem(self) -> str:
        return Path(self.shown).stem


def suggestion(name: str, known: Iterable[str]) -> str:
    choices = list(known)
    close = difflib.get_close_matches(name[:SHOWN_CHARS_MAX], choices, n=1)
    return f"; did you mean {close[0]}?" if close else f"; known: {', '.join(choices)}"
