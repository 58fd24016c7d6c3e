"""Files as a model is told of them: by their names where they are few, else by their folders. Pure.

Names of files are long, and a prompt is sent with each call. What is not shown here can be listed
folder by folder with `file/list`, whose result this makes, too.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

# So many are told by their names in a prompt: a dozen are about 100 tokens in each call.
NAMES_MAX: Final = 12
# Of a larger mission, a folder with no more files than this is told by their names, too.
FEW: Final = 4
NAMES_OF_FOLDER: Final = 3  # that are told of a larger folder, for an example
# Lines of a prompt's list: with more folders than this only those at the top are told.
ROWS_MAX: Final = 24

# Of one result of `file/list`, which is shown whole: less than what is shown of one result.
ENTRIES_MAX: Final = 200
ENTRIES_CHARS_MAX: Final = 16_000


@dataclass(frozen=True, slots=True)
class FileFacts:
    """A file, or a name of which no more is known. `size` in bytes; `lines` are `None` of what was
    not read or is no text; `headings` are its first ones.
    """

    path: str
    size: int | None = None
    lines: int | None = None
    headings: tuple[str, ...] = ()


def as_named(names: Iterable[str]) -> tuple[FileFacts, ...]:
    """Names of which no more is known."""
    return tuple(FileFacts(name) for name in names)


# --- in a prompt ------------------------------------------------------------------------------


def files_text(files: Sequence[FileFacts]) -> str:
    """In one line. Every name in it is one that a charter can give."""
    rows = _rows(files)
    shown = ", ".join(rows[:ROWS_MAX])
    more = len(rows) - ROWS_MAX
    return shown + (f" … and {more} more" if more > 0 else "")


def are_all_named(files: Sequence[FileFacts]) -> bool:
    """Whether `files_text` has the name of each."""
    return len(files) <= NAMES_MAX


def _rows(files: Sequence[FileFacts]) -> list[str]:
    if are_all_named(files):
        return [_file_text(file) for file in files]
    rows = _by_folder(files, _folder_of)
    return rows if len(rows) <= ROWS_MAX else _by_folder(files, _top_of)


def _by_folder(files: Sequence[FileFacts], folder_of: Callable[[str], str]) -> list[str]:
    folders: dict[str, list[FileFacts]] = defaultdict(list)
    for file in files:
        folders[folder_of(file.path)].append(file)
    rows: list[str] = []
    for folder, its in folders.items():
        is_named = len(its) <= FEW or not folder
        rows += map(_file_text, its) if is_named else [_folder_text(folder, its, folders)]
    return rows


def _folder_of(path: str) -> str:
    return path.rpartition("/")[0]


def _top_of(path: str) -> str:
    top, slash, _ = path.partition("/")
    return top if slash else ""


def _file_text(file: FileFacts) -> str:
    extent = _extent([file])
    return f"{_shown(file.path)} ({extent})" if extent else _shown(file.path)


def _folder_text(folder: str, files: Sequence[FileFacts], folders: Iterable[str]) -> str:
    is_above = any(other.startswith(f"{folder}/") for other in folders)
    names = [_shown(file.path.removeprefix(f"{folder}/")) for file in files[:NAMES_OF_FOLDER]]
    count = f"{len(files)} files" + (" directly in it" if is_above else "")
    facts = ", ".join(part for part in (count, _extent(files)) if part)
    return f"{_shown(folder)} ({facts}: {', '.join(names)} …)"


def _extent(files: Sequence[FileFacts]) -> str:
    """Their lines where all are known, else their size."""
    lines = [file.lines for file in files if file.lines is not None]
    if len(lines) == len(files):
        return f"{sum(lines):,} {'line' if sum(lines) == 1 else 'lines'}"
    sizes = [file.size for file in files if file.size is not None]
    return f"{-(-sum(sizes) // 1024):,} KB" if len(sizes) == len(files) else ""


def _shown(name: str) -> str:
    """A name with a line break in it could pass for more than a name."""
    return name if name.isprintable() else json.dumps(name)


# --- as the result of a function --------------------------------------------------------------


def listing(files: Sequence[FileFacts], folder: str, start: int) -> dict[str, Any]:
    """What is in a folder, each entry in one line: its folders with how much is in them, its files
    with their lines and first headings. From entry `start` on, counted from 1; `next` is where it
    goes on. A folder that has nothing but one folder is passed over.
    """
    folder, entries = _opened(
        files, "/".join(part for part in folder.split("/") if part not in ("", "."))
    )
    texts = [_entry_text(name, its) for name, its in sorted(entries.items())]
    shown = _within_bounds(texts[start - 1 :])
    result = {"folder": folder or ".", "entries": shown, "total": len(texts)}
    end = start - 1 + len(shown)
    return result | ({"next": f"go on with start={end + 1}"} if end < len(texts) else {})


def _opened(files: Sequence[FileFacts], folder: str) -> tuple[str, dict[str, list[FileFacts]]]:
    entries = _entries_of(files, folder)
    while len(entries) == 1 and (inner := next(iter(entries))).endswith("/"):
        folder = inner.rstrip("/")
        entries = _entries_of(files, folder)
    return folder, entries


def _entries_of(files: Sequence[FileFacts], folder: str) -> dict[str, list[FileFacts]]:
    """By the whole name of each entry; that of a folder ends in a slash."""
    before = f"{folder}/" if folder else ""
    entries: dict[str, list[FileFacts]] = defaultdict(list)
    for file in files:
        if file.path == folder:
            entries[file.path].append(file)
        elif file.path.startswith(before):
            name, slash, _ = file.path.removeprefix(before).partition("/")
            entries[before + name + slash].append(file)
    return entries


def _entry_text(name: str, files: Sequence[FileFacts]) -> str:
    count = f"{len(files)} {'file' if len(files) == 1 else 'files'}" if name.endswith("/") else ""
    facts = ", ".join(part for part in (count, _extent(files)) if part)
    headings = "" if count else "; ".join(files[0].headings)
    return ": ".join(part for part in (_shown(name), facts, headings) if part)


def _within_bounds(texts: Sequence[str]) -> list[str]:
    """As many as are shown at once, and one at least."""
    shown: list[str] = []
    room = ENTRIES_CHARS_MAX
    for text in texts[:ENTRIES_MAX]:
        room -= len(text) + 4  # as JSON has it
        if room < 0 and shown:
            break
        shown.append(text)
    return shown
