"""Names relative to a mission, and the folders that they lead to.

Invariant: a path is walked one component at a time, each opened relative to the folder before it
and never through a symbolic link, so that renaming a folder into a link between check and use gains
nothing.
"""

from __future__ import annotations

import errno
import os
import stat
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from swarmd.adapters.files.bounds import DEPTH_MAX, NAME_BYTES_MAX, NAME_CHARS_MAX
from swarmd.adapters.files.faults import link_fault
from swarmd.core.model.names import ID_PATTERN, MissionId
from swarmd.errors import WorkspaceError

RESERVED: Final = ".swarmd-"  # our temporary names; an agent's file may not look like one

OPEN_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
OPEN_BENEATH: Final = OPEN_FOLDER | os.O_NOFOLLOW


def parts_of_name(path: str) -> tuple[str, ...]:
    """The components of a name relative to the mission, or `WorkspaceError` saying what is wrong
    with it.
    """
    wrong = _fault_of_name(path)
    if wrong:
        raise WorkspaceError(
            f"{path[:200]!r}: {wrong}",
            hint="use a name relative to the mission's folder, like docs/a.md",
        )
    return tuple(part for part in path.split("/") if part not in ("", "."))


def _fault_of_name(path: str) -> str:
    parts = [part for part in path.split("/") if part not in ("", ".")]
    too_long = [part for part in parts if len(part.encode("utf-8", "replace")) > NAME_BYTES_MAX]
    faults = (
        (path.startswith("/"), "is absolute"),
        (not parts, "names no file"),
        (".." in parts, "leaves the folder by '..'"),
        # A line feed or a bidirectional mark in a name could dress up as something else in a
        # report.
        (not is_shown(path), "has a character that cannot be printed"),
        (len(path) > NAME_CHARS_MAX, f"has more than {NAME_CHARS_MAX} characters"),
        (bool(too_long), f"has a part of more than {NAME_BYTES_MAX} bytes"),
        (len(parts) > DEPTH_MAX, f"is more than {DEPTH_MAX} folders deep"),
        (
            any(part.startswith(RESERVED) for part in parts),
            f"begins with {RESERVED}, which is kept for swarmd",
        ),
    )
    return next((what for is_so, what in faults if is_so), "")


def check_mission(mission: MissionId) -> None:
    if not ID_PATTERN.fullmatch(mission):
        raise WorkspaceError(
            f"{mission[:80]!r} is no mission's id", hint="ids are 1 to 64 of A-Z a-z 0-9 _ -"
        )


@contextmanager
def open_folder(start: Path, parts: Sequence[str], *, create: bool = False) -> Iterator[int]:
    """The folder `parts` beneath `start`, open. Raises `FileNotFoundError` where there is none."""
    folder = os.open(start, OPEN_FOLDER)
    try:
        for part in parts:
            below = _open_below(folder, part, create=create)
            os.close(folder)
            folder = below
        yield folder
    finally:
        os.close(folder)


def _open_below(folder: int, part: str, *, create: bool) -> int:
    if create:
        with suppress(FileExistsError):
            os.mkdir(part, dir_fd=folder)
    try:
        return os.open(part, OPEN_BENEATH, dir_fd=folder)
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
        # Linux says "not a directory" of a link as well: which of the two it is decides whether the
        # next layer may be asked.
        if stat.S_ISLNK(os.stat(part, dir_fd=folder, follow_symlinks=False).st_mode):
            raise link_fault(part) from error
        if create:
            raise
        raise FileNotFoundError(errno.ENOENT, "not a folder", part) from error


def is_shown(name: str) -> bool:
    """Whether a name shows what it is. Spaces of every width do, though Python does not count
    them as printable.
    """
    return all(char.isprintable() or unicodedata.category(char) == "Zs" for char in name)


def show_path(path: str) -> str:
    """A name fit to be shown: what cannot be printed is written out, like \\n."""
    return "".join(
        char if is_shown(char) else char.encode("unicode_escape", "surrogatepass").decode("ascii")
        for char in path
    )[:NAME_CHARS_MAX]
