"""Text for terminals: neutralised, measured, laid out in columns. Pure, and without rich.

Most of what is shown was written by models, which were fed by the world: a control character in it
could retitle the terminal, fill the clipboard (OSC 52), print a link that lies (OSC 8) or hide a
line. Invariant: text that passed through `plain` moves no cursor and changes no state of a
terminal.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TextIO

COLUMNS_DIGITS_MAX: Final = 4  # wider than any terminal is what somebody set by mistake
COLUMNS_LEAST: Final = 40  # what is narrower is laid out as if it were so wide
COLUMNS_OF_A_PIPE: Final = 160  # what texts are cut to where nothing says how wide a line may be

# C0 without tab and newline, DEL, C1 (an 8-bit CSI is one character there), the characters that
# reorder what stands around them, line separators, and halves of surrogate pairs (no encoder takes
# them).
_HARMFUL: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)

_PAINT: Final = re.compile(r"\x1b\[\d+m")  # what `Ink.paint` writes


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def plain(text: str, *, multiline: bool = False) -> str:
    """The text with what a terminal would obey made visible, `\\x1b` for an escape."""
    safe = _HARMFUL.sub(_escape, text.replace("\r\n", "\n"))
    return safe if multiline else safe.replace("\n", " ").replace("\t", " ")


def json_text(value: Any) -> str:
    """JSON on one line, in UTF-8 that can be read. Within its texts, what a terminal would obey is
    written as an escape of JSON, so that a program reads the very same value.
    """
    return _HARMFUL.sub(
        lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False)
    )


def width_of(text: str) -> int:
    """Columns that the text takes; a wide character takes two and a combining one none."""
    if text.isascii():
        return len(text)
    import unicodedata  # most of what is shown does without its tables

    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


def visible_width(text: str) -> int:
    """As `width_of`, of a text that may have been painted: a colour takes no column."""
    return width_of(unpainted(text))


def unpainted(text: str) -> str:
    return _PAINT.sub("", text)


def counted(count: int, noun: str) -> str:
    """`1 host`, `2 hosts`, `1,204 entries`."""
    if count == 1:
        return f"1 {noun}"
    return f"{count:,} " + (f"{noun[:-1]}ies" if noun.endswith("ry") else f"{noun}s")


def excerpt(text: str, columns: int) -> str:
    """The beginning of the text on one line of at most so many columns."""
    line = " ".join(plain(text[: 8 * columns]).split())
    if width_of(line) <= columns and len(text) <= 8 * columns:
        return line
    while line and width_of(line) > columns - 1:
        line = line[:-1]
    return line.rstrip() + "…"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Columns as `kubectl` sets them. The last column is not padded, so that nothing trails."""
    lines = [list(headings), *([plain(cell) for cell in row] for row in rows)]
    widths = [max(width_of(line[column]) for line in lines) for column in range(len(headings))]
    return ["   ".join(_padded(line, widths)).rstrip() for line in lines]


def _padded(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [
        cell + " " * (width - width_of(cell)) for cell, width in zip(cells, widths, strict=True)
    ]


def ago(at: str, now: datetime) -> str:
    """How long ago an ISO time was: `8s`, `5m`, `3h`, `2d`; empty for what is no time."""
    try:
        return lasted((now - datetime.fromisoformat(at)).total_seconds())
    except (ValueError, TypeError):
        return ""


def until(at: float, now: datetime) -> str:
    """How long it is until then: `5m`, and `now` where that has passed; empty for 0, which is no
    time.
    """
    if not at:
        return ""
    return lasted(at - now.timestamp()) if at > now.timestamp() else "now"


def lasted(duration: float) -> str:
    """So many seconds in the largest unit that fits, as `ago`."""
    seconds = max(0, int(duration))
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


# --- colour and characters --------------------------------------------------------------------

STYLES: Final[Mapping[str, str]] = {
    "dim": "2",
    "bold": "1",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "cyan": "36",
}

_STATE_STYLES: Final[Mapping[str, str]] = {
    "starting": "cyan",
    "live": "green",
    "frozen": "blue",
    "draining": "yellow",
    "terminated": "dim",
    "docketed": "dim",
    "debating": "cyan",
    "working": "green",
    "reviewing": "cyan",
    "delivered": "green",
    "rejected": "yellow",
    "failed": "red",
    "cancelled": "yellow",
    "exhausted": "red",
    "busy": "green",
    "stalled": "yellow",
    "stuck": "red",
    "dead": "red",
    "unplaced": "cyan",
    "waiting": "yellow",
}

_GLYPHS: Final[Mapping[str, tuple[str, str]]] = {
    "starting": ("◔", "+"),
    "live": ("●", "*"),
    "frozen": ("◆", "="),
    "draining": ("◐", "~"),
    "terminated": ("○", "-"),
}


def wants_colour(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """`NO_COLOR`, then `FORCE_COLOR`, then whether a terminal that can is there."""
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and environ.get("TERM") != "dumb"


class Ink:
    """What one stream can show: colours or none, Unicode or ASCII, and how many columns.

    `bound` is how wide a line may be, `None` where nothing bounds it: then no column of a table is
    left out, for a program reads it. `columns` is what single texts are cut to in either case.
    """

    __slots__ = ("bound", "columns", "is_coloured", "is_unicode")

    def __init__(
        self, *, is_coloured: bool = False, is_unicode: bool = True, columns: int | None = None
    ) -> None:
        self.is_coloured = is_coloured
        self.is_unicode = is_unicode
        self.bound = columns
        self.columns = COLUMNS_OF_A_PIPE if columns is None else columns

    @classmethod
    def of(cls, stream: TextIO, environ: Mapping[str, str]) -> Ink:
        encoding = (getattr(stream, "encoding", None) or "").lower().replace("-", "")
        return cls(
            is_coloured=wants_colour(stream, environ),
            is_unicode=encoding.startswith("utf"),
            columns=columns_of(stream, environ),
        )

    def paint(self, text: str, style: str) -> str:
        """`text` must be neutralised already: the colour's own escapes come after."""
        if not self.is_coloured or style not in STYLES:
            return text
        return f"\x1b[{STYLES[style]}m{text}\x1b[0m"

    def state(self, state: str) -> str:
        """A state as glyph and word: never by colour alone."""
        word = plain(state)
        glyph = _GLYPHS.get(state, ("?", "?"))[0 if self.is_unicode else 1]
        return self.paint(f"{glyph} {word}", _STATE_STYLES.get(state, ""))

    def word(self, state: str, text: str = "") -> str:
        """A state as word alone, or a text about it in its colour."""
        return self.paint(plain(text or state), _STATE_STYLES.get(state, ""))

    def branches(self) -> tuple[str, str, str, str]:
        """Tee, corner, bar and gap of a drawn tree."""
        return ("├─ ", "└─ ", "│  ", "   ") if self.is_unicode else ("|- ", "`- ", "|  ", "   ")


def columns_of(stream: TextIO, environ: Mapping[str, str]) -> int | None:
    """How wide a line may be; `None` for a pipe, which has no width. `COLUMNS` says it for both."""
    said = environ.get("COLUMNS", "")
    if said.isdecimal() and len(said) <= COLUMNS_DIGITS_MAX:
        return max(COLUMNS_LEAST, int(said))
    try:
        return max(COLUMNS_LEAST, os.get_terminal_size(stream.fileno()).columns)
    except (OSError, ValueError):
        return None


# --- amounts ----------------------------------------------------------------------------------


def number(value: int) -> str:
    """`950`, `12.4k`, `3.1M`: three figures are what a person compares."""
    if abs(value) < 10_000:
        return str(value)
    if abs(value) < 1_000_000:
        return f"{value / 1_000:.1f}k"
    return f"{value / 1_000_000:.1f}M"


# As people read them: what was used, what it cost, how often. Others, of a newer swarm, come after.
_KINDS: Final = ("tokens", "cost", "calls", "tools", "agents")


def in_order(kinds: Iterable[str]) -> list[str]:
    return sorted(
        kinds, key=lambda kind: (_KINDS.index(kind) if kind in _KINDS else len(_KINDS), kind)
    )


def amounts(spent: Mapping[str, Any]) -> str:
    """`12.4k tokens (8.1k cached), 31 calls, $0.0031`; what is nothing is left out, but for the
    cost of what was used.
    """
    kinds = (kind for kind in in_order(spent) if kind not in ("cost", "unpriced", "cached"))
    said = [_amount(kind, int(spent[kind]), spent) for kind in kinds if spent[kind]]
    if "cost" in spent and (said or spent["cost"] or spent.get("unpriced")):
        said.append(money(spent))
    return ", ".join(said) or "nothing"


def _amount(kind: str, n: int, spent: Mapping[str, Any]) -> str:
    named = f"{number(n)} {plain(kind if n != 1 else kind.removesuffix('s'))}"
    is_cached = kind == "tokens" and spent.get("cached")
    return f"{named} ({number(int(spent['cached']))} cached)" if is_cached else named


def money(spent: Mapping[str, Any]) -> str:
    """`$0.0031`; `unpriced` where no token's price was known, and `$0.0031 + unpriced` where
    some were.
    """
    # Rounded up like the amounts themselves: what cost something never reads as nothing.
    cost = -(-int(spent.get("cost", 0)) // 100)
    known = f"${cost // 10_000}.{cost % 10_000:04d}"
    if not spent.get("unpriced"):
        return known
    return f"{known} + unpriced" if cost else "unpriced"
