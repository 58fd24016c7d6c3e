"""A result as it is read on a terminal: its lines are broken between words."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from typing import Final

_ITEM: Final = re.compile(r"\s*(?:[-*+]|\d{1,3}[.)])\s+")
_FENCE: Final = re.compile(r"\s*(?:```|~~~)")


def wrapped(text: str, columns: int) -> str:
    """In lines of at most so many characters. Words and paths stay whole, and so do code, tables
    and headings.
    """
    return "\n".join(_lines_of(text, columns))


def _lines_of(text: str, columns: int) -> Iterator[str]:
    in_fence = False
    for line in text.split("\n"):
        is_fence = _FENCE.match(line) is not None
        in_fence ^= is_fence
        if in_fence or is_fence or line.lstrip().startswith(("|", "#")) or len(line) <= columns:
            yield line
        else:
            item = _ITEM.match(line)
            yield from textwrap.wrap(
                line,
                columns,
                subsequent_indent=" " * (item.end() if item else 0),
                break_long_words=False,
                break_on_hyphens=False,
            )
