"""Which files a name stands for: the regular ones below a folder, and what was passed over."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from swarmd.adapters.files.bounds import DEPTH_MAX, LISTED_MAX, NAME_CHARS_MAX
from swarmd.adapters.files.faults import link_fault, reason_of, special_fault, translated
from swarmd.adapters.files.paths import OPEN_BENEATH, is_shown, open_folder, show_path
from swarmd.errors import WorkspaceError
from swarmd.ports.files import LeftOut

# Folders that tools fill and nobody means when naming the folder above them.
JUNK: Final = frozenset({"__pycache__", "node_modules", "venv", "site-packages"})


@dataclass(frozen=True, slots=True)
class Layer:
    """A folder that names are looked up in: `parts` are walked beneath `start`."""

    start: Path
    parts: tuple[str, ...]
    only: str = ""  # where set, the one top-level name that this layer shows

    def shows(self, parts: tuple[str, ...]) -> bool:
        return not self.only or parts[:1] == (self.only,)


def is_wanted(name: str) -> bool:
    return not name.startswith(".") and name not in JUNK


def is_any(name: str) -> bool:
    return True


def name_left_out(path: str, why: WorkspaceError | str) -> LeftOut:
    said = why if isinstance(why, str) else why.what.removeprefix(f"{path}: ")
    return LeftOut(show_path(path), said[:NAME_CHARS_MAX])


def files_of(layer: Layer, parts: tuple[str, ...], passed: list[LeftOut]) -> set[str] | None:
    """The files that a name stands for in one layer, as full names; `None` where it has no such
    name.

    What is passed over below a folder is added to `passed`.
    """
    name = "/".join(parts)
    with translated(name or "."), suppress(FileNotFoundError):
        if parts and _is_file(layer, parts, name):
            return {name}
        with open_folder(layer.start, (*layer.parts, *parts)) as folder:
            prefix = f"{name}/" if name else ""
            return {below for below, _ in walk(folder, prefix, is_wanted, passed)}
    return None


def _is_file(layer: Layer, parts: tuple[str, ...], name: str) -> bool:
    """Whether the name is a plain file's; else it is a folder's. Raises `WorkspaceError` where it
    is neither's.
    """
    with open_folder(layer.start, (*layer.parts, *parts[:-1])) as folder:
        mode = os.stat(parts[-1], dir_fd=folder, follow_symlinks=False).st_mode
    if stat.S_ISLNK(mode):
        raise link_fault(name)
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise special_fault(name)
    return stat.S_ISREG(mode)


def walk(
    folder: int, prefix: str, wanted: Callable[[str], bool], passed: list[LeftOut]
) -> Iterator[tuple[str, os.stat_result]]:
    """Regular files below an open folder, with their facts. What else is wanted is added to
    `passed`, with why.
    """
    seen = 0
    for name in _names_in(folder, wanted):
        try:
            for found in _walk_entry(folder, name, prefix, wanted, passed):
                yield found
                seen += 1
        except FileNotFoundError:
            continue  # another agent replaced or removed it while we walked
        except OSError as error:
            passed.append(name_left_out(prefix + name, reason_of(error)[0]))
        if seen > LISTED_MAX:
            raise WorkspaceError(
                f"{prefix or './'}: holds more than {LISTED_MAX} files",
                hint="name a smaller folder",
            )


def _names_in(folder: int, wanted: Callable[[str], bool]) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if wanted(entry.name))


def _walk_entry(
    folder: int, name: str, prefix: str, wanted: Callable[[str], bool], passed: list[LeftOut]
) -> Iterator[tuple[str, os.stat_result]]:
    facts = os.stat(name, dir_fd=folder, follow_symlinks=False)
    fault = fault_of_entry(prefix + name, facts.st_mode)
    if fault:
        passed.append(name_left_out(prefix + name, fault))
    elif stat.S_ISREG(facts.st_mode):
        yield prefix + name, facts
    else:
        below = os.open(name, OPEN_BENEATH, dir_fd=folder)
        try:
            yield from walk(below, f"{prefix}{name}/", wanted, passed)
        finally:
            os.close(below)


def fault_of_entry(path: str, mode: int) -> str:
    """Why an entry of a folder is passed over; empty where it is not."""
    if stat.S_ISLNK(mode):
        return "is a symbolic link, which is never followed"
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        return "is a device, pipe or socket"
    if not is_shown(path):
        return "has a character that cannot be printed in its name"
    if len(path) > NAME_CHARS_MAX:
        return f"has a name of more than {NAME_CHARS_MAX} characters"
    # A folder's files have one part more than it has.
    if path.count("/") + 1 + stat.S_ISDIR(mode) > DEPTH_MAX:
        return f"is more than {DEPTH_MAX} folders deep"
    return ""
