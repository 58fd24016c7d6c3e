"""How long files are and what their first headings are: read once, and again where one changed."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

from swarmd.adapters.files.bounds import FILE_BYTES_MAX, LISTED_MAX
from swarmd.adapters.files.passages import FENCE, is_heading, is_prose, lines_of
from swarmd.adapters.files.search import INDEX_BYTES_MAX, Listed
from swarmd.core.agent.file_list import FileFacts
from swarmd.errors import WorkspaceError

# That are read for one list: as much as one search reads. Of what is beyond only the size is told.
COUNTED_BYTES_MAX: Final = INDEX_BYTES_MAX
KEPT_MAX: Final = LISTED_MAX  # some hundred bytes each
# They tell what a file is about: more of it is read or searched.
HEADINGS_MAX: Final = 4
HEADING_CHARS_MAX: Final = 60

_Text = tuple[int | None, tuple[str, ...]]  # lines, and headings
_NO_TEXT: Final[_Text] = (None, ())


class FactsKept:
    """Facts by file, kept while it does not change. Safe for threads."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str], tuple[tuple[int, ...], _Text]] = OrderedDict()
        self._lock = threading.Lock()

    def of(
        self, scope: str, files: Sequence[Listed], load: Callable[[str], str]
    ) -> tuple[FileFacts, ...]:
        """In the order of `files`. `load` gives a file's text, or raises `WorkspaceError`."""
        found: list[FileFacts] = []
        left = COUNTED_BYTES_MAX
        for listed in files:
            left -= listed.size
            is_read = left >= 0 and listed.size <= FILE_BYTES_MAX
            lines, headings = self._text_of(scope, listed, load) if is_read else _NO_TEXT
            found.append(FileFacts(listed.path, listed.size, lines, headings))
        return tuple(found)

    def _text_of(self, scope: str, listed: Listed, load: Callable[[str], str]) -> _Text:
        key = (scope, listed.path)
        with self._lock:
            stamp, text = self._kept.get(key, ((), _NO_TEXT))
        if stamp == listed.stamp:
            return text
        try:
            text = _facts_in(listed.path, load(listed.path))
        except WorkspaceError:  # no text, or gone by now
            text = _NO_TEXT
        with self._lock:
            self._kept[key] = (listed.stamp, text)
            if len(self._kept) > KEPT_MAX:
                self._kept.popitem(last=False)
        return text


def _facts_in(path: str, text: str) -> _Text:
    lines = lines_of(text)
    return len(lines), _headings_of(lines) if is_prose(path) else ()


def _headings_of(lines: Sequence[str]) -> tuple[str, ...]:
    found: list[str] = []
    in_fence = False
    for line in lines:
        in_fence ^= FENCE.match(line) is not None
        if not in_fence and is_heading(line):
            found.append(line.strip("# \t")[:HEADING_CHARS_MAX])
            if len(found) == HEADINGS_MAX:
                break
    return tuple(found)
