"""What a mission wrote, handed over: copied out of the workspace into a folder of whoever asks.

Invariant: nothing is read but below the mission's own `work/`, nothing is written but below that
folder, and no symbolic link is followed on either side. A file is written whole, under the name
that the mission has for it, without its secrets.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from swarmd.adapters.files.bounds import HANDED_BYTES_MAX
from swarmd.adapters.files.content import (
    check_replaceable,
    decode_text,
    encode,
    is_there,
    read_bytes,
    replace_file,
)
from swarmd.adapters.files.faults import translated
from swarmd.adapters.files.listing import Layer, files_of, name_left_out
from swarmd.adapters.files.paths import check_mission, open_folder, parts_of_name
from swarmd.core.agent.report_file import files_named
from swarmd.core.model.functions import REPORTS, is_own_file
from swarmd.core.model.masking import Masking
from swarmd.core.model.names import MissionId
from swarmd.errors import WorkspaceError
from swarmd.ports.files import LeftOut


@dataclass(frozen=True, slots=True)
class Written:
    """The files of a mission's result: all reports, then what they name. `absent` was named and
    never written.
    """

    files: tuple[str, ...]
    absent: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()


@dataclass(slots=True)
class MissionFiles:
    """What one mission wrote, on the volume of this machine."""

    root: Path
    mission: MissionId
    masking: Masking
    _work: Layer = field(init=False)

    def __post_init__(self) -> None:
        check_mission(self.mission)
        self._work = Layer(self.root, (self.mission, "work"))

    def is_here(self) -> bool:
        """Has the mission written anything on this volume?"""
        try:
            with translated(self.mission), open_folder(self.root, self._work.parts):
                return True
        except WorkspaceError:
            return False

    def written(self, named: Iterable[str]) -> Written:
        """The files that there are, of all reports, of `named` and of what the reports name."""
        left_out: list[LeftOut] = []
        reports = sorted(self._files_below(REPORTS, left_out) or ())
        wanted = dict.fromkeys(named)
        for path in reports:
            try:
                wanted |= dict.fromkeys(files_named(self.text(path)))
            except WorkspaceError:
                continue  # said when it is copied
        found, absent = dict.fromkeys(reports), []
        for name in filter(is_own_file, wanted):
            below = self._files_below(name, left_out)
            found |= dict.fromkeys(sorted(below or ()))
            if below is None:
                absent.append(name)
        return Written(tuple(found), tuple(absent), tuple(dict.fromkeys(left_out)))

    def _files_below(self, name: str, left_out: list[LeftOut]) -> set[str] | None:
        """`None` where there is nothing of that name."""
        try:
            return files_of(self._work, parts_of_name(name), left_out)
        except WorkspaceError as error:
            left_out.append(name_left_out(name, error))
            return set()

    def text(self, path: str) -> str:
        """One file, without its secrets. Raises `WorkspaceError`."""
        parts = parts_of_name(path)
        with (
            translated(path),
            open_folder(self.root, (*self._work.parts, *parts[:-1])) as folder,
        ):
            return self.masking.text(decode_text(path, read_bytes(folder, parts[-1], path)))


@dataclass(slots=True)
class Target:
    """The folder that files are handed over to. With `replaces` a file that has a name takes the
    place of the one that had it.
    """

    folder: Path
    replaces: bool
    files: list[str] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    _bytes: int = 0

    def make(self) -> None:
        """Raises `WorkspaceError` where there can be no such folder."""
        with translated(str(self.folder)):
            self.folder.mkdir(parents=True, exist_ok=True)

    def copy(self, source: MissionFiles, paths: Sequence[str]) -> None:
        """Those that cannot be copied are left out by name, and the others are copied."""
        for path in paths:
            try:
                self._put(path, source.text(path))
            except WorkspaceError as error:
                self.left_out.append(name_left_out(path, error))

    def put(self, path: str, text: str) -> None:
        """One file with this text; left out by name where that cannot be."""
        try:
            self._put(path, text)
        except WorkspaceError as error:
            self.left_out.append(name_left_out(path, error))

    def _put(self, path: str, text: str) -> None:
        parts, content = parts_of_name(path), encode(path, text)
        if self._bytes + len(content) > HANDED_BYTES_MAX:
            raise WorkspaceError(
                f"{path}: with it more than {HANDED_BYTES_MAX} bytes would be handed over",
                hint="take it from the workspace itself",
            )
        with (
            translated(path),
            open_folder(self.folder, parts[:-1], create=True) as folder,
        ):
            if not self.replaces and is_there(folder, parts[-1]):
                raise WorkspaceError(f"{path}: is there already", hint="name another folder")
            check_replaceable(folder, path, parts[-1])
            replace_file(folder, parts[-1], content)
        self._bytes += len(content)
        self.files.append(path)
