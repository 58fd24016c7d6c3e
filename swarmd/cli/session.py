"""What each verb is given: how to print, whether as JSON, and the time."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from swarmd.cli.render.text import Ink, json_text

if TYPE_CHECKING:
    from swarmd.ports.reader import Reader


@dataclass(frozen=True, slots=True)
class Sight:
    """What every look has: where to read, how to print."""

    reader: Reader
    ink: Ink
    as_json: bool

    def say(self, lines: Sequence[str]) -> None:
        if lines:
            print("\n".join(lines))

    def give(self, value: Any) -> None:
        print_json(value)


def print_json(value: Any) -> None:
    """The only way in which a verb prints JSON: what models and strangers wrote is in it."""
    print(json_text(value))


def note(text: str) -> None:
    print(text, file=sys.stderr)


def note_explain(code: str) -> None:
    """How to read about the refusal that was just named; nothing where none was."""
    if code:
        note(f"what it means: swarmd explain {code}")


def now() -> datetime:
    return datetime.now(UTC)
