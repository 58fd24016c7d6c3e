"""What may be written into a mission's work folder."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from swarmd.adapters.files.bounds import WORK_BYTES_MAX, WORK_FILES_MAX
from swarmd.adapters.files.listing import is_any, walk
from swarmd.adapters.files.paths import open_folder
from swarmd.core.model.names import MissionId
from swarmd.errors import WorkspaceError


def check_not_given(root: Path, mission: MissionId, path: str, parts: tuple[str, ...]) -> None:
    """Reading looks among the given files first: a file written over one would never be
    seen.
    """
    for length in range(1, len(parts) + 1):
        with suppress(FileNotFoundError):
            with open_folder(root, (mission, "given", *parts[: length - 1])) as folder:
                mode = os.stat(parts[length - 1], dir_fd=folder, follow_symlinks=False).st_mode
            if length == len(parts) or not stat.S_ISDIR(mode):
                raise WorkspaceError(
                    (
                        f"{path}: {'/'.join(parts[:length])} was given with the mission and is "
                        "read-only"
                    ),
                    hint="write under another name",
                )


def check_room(
    root: Path, mission: MissionId, path: str, parts: tuple[str, ...], size: int
) -> None:
    with open_folder(root, (mission, "work")) as folder:
        held = {name: entry.st_size for name, entry in walk(folder, "", is_any, [])}
    held.pop("/".join(parts), None)
    if len(held) >= WORK_FILES_MAX:
        raise WorkspaceError(
            f"{path}: the mission has written {len(held)} files, the bound is {WORK_FILES_MAX}",
            hint="write into a file that exists",
        )
    if sum(held.values()) + size > WORK_BYTES_MAX:
        raise WorkspaceError(
            f"{path}: with it the mission's files would hold more than {WORK_BYTES_MAX} bytes",
            hint="write less, or overwrite what is no longer needed",
        )
