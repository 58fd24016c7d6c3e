"""A mission's files on a volume that all workers share, and the read-only knowledge folder beside
it.

Below the root, `<mission>/given/` is the snapshot that came with the mission and `<mission>/work/`
what its agents write. Invariant: whatever a path says, nothing outside these folders is read or
written. A path is walked one component at a time, each opened relative to the folder before it and
never through a symbolic link, so that renaming a folder into a link between check and use gains
nothing.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from swarmd.adapters.files.bounds import FILE_BYTES_MAX, READ_BYTES_MAX
from swarmd.adapters.files.content import (
    MARKER,
    add_file,
    check_replaceable,
    encode,
    is_there,
    read_bytes,
    replace_file,
    write_marker,
)
from swarmd.adapters.files.facts import FactsKept
from swarmd.adapters.files.faults import size_fault, translated
from swarmd.adapters.files.layers import Layers
from swarmd.adapters.files.left_out import (
    LEFT_OUT_GIVEN,
    LEFT_OUT_LISTED,
    keep_left_out,
    kept_left_out,
)
from swarmd.adapters.files.listing import name_left_out
from swarmd.adapters.files.passages import lines_of
from swarmd.adapters.files.paths import check_mission, open_folder, parts_of_name
from swarmd.adapters.files.search import Listed, Retrieval
from swarmd.adapters.files.snapshot import collect_sources, copy_sources
from swarmd.adapters.files.work import check_not_given, check_room
from swarmd.core.agent.file_list import FileFacts
from swarmd.core.model.masking import SHAPES_ALONE, Masking
from swarmd.core.model.names import MissionId
from swarmd.errors import WorkspaceError
from swarmd.log_events import LogEvent
from swarmd.logs import logger
from swarmd.ports.files import Excerpt, Found, LeftOut


class Workspace:
    """The `Files` port on a folder. Safe for threads and for several processes on one volume.

    `root` and `knowledge` are the operator's and may themselves be links. Without `knowledge` there
    is only what the mission has. A finished write survives a crash of the machine; one that was cut
    short leaves the old version.
    """

    def __init__(
        self,
        root: Path,
        knowledge: Path | None,
        policies: Path | None = None,
        masking: Masking = SHAPES_ALONE,
    ) -> None:
        """`policies` is the swarm's own knowledge: readable as `policies/…` where nothing hides
        it. `masking` takes the secrets out of what is read.
        """
        self._root = root
        self._layers = Layers(root, knowledge, policies, masking)
        self._retrieval = Retrieval()
        self._facts = FactsKept()

    # --- reading ------------------------------------------------------------------------------

    def names(self, mission: MissionId, wanted: Sequence[str]) -> tuple[str, ...]:
        """The files that `wanted` stands for, sorted; `.` is all that the mission itself has, or
        else the whole knowledge folder.

        Below a folder, hidden files and what tools leave behind are passed over. What else is
        passed over (a link, a device, a folder without permission) is kept beside the mission's
        files, for searches to name. Raises `WorkspaceError` for what does not exist.
        """
        found: set[str] = set()
        passed: list[LeftOut] = []
        for name in wanted:
            found |= self._layers.files_below(mission, name, passed)
        if found and passed:
            # With what other listings of the same mission passed over: each is of some of its
            # files.
            before = kept_left_out(self._root, mission, LEFT_OUT_LISTED)
            keep_left_out(self._root, mission, LEFT_OUT_LISTED, [*passed, *before])
        return tuple(sorted(found))

    def facts(self, mission: MissionId, wanted: Sequence[str]) -> tuple[FileFacts, ...]:
        """Of what `names` finds, without what went away since or may not be looked at."""
        listed: list[Listed] = []
        for path in self.names(mission, wanted):
            with suppress(WorkspaceError):
                listed.append(self._layers.list_file(mission, path))
        return self._facts.of(mission, listed, lambda path: self._layers.read_text(mission, path))

    def read(self, mission: MissionId, path: str, start: int, lines: int) -> Excerpt:
        """Up to `lines` lines from line `start` on (from 1), at most `READ_BYTES_MAX` bytes of
        them.

        A line that does not fit whole ends the answer, and is itself cut only where it comes first.
        """
        found = self.lines(mission, path)
        return Excerpt(_bound_lines(found[start - 1 : start - 1 + lines]), len(found))

    def lines(self, mission: MissionId, path: str) -> list[str]:
        """All lines of a file of at most `FILE_BYTES_MAX` bytes."""
        return lines_of(self._layers.read_text(mission, path))

    def search(self, mission: MissionId, query: str, names: Sequence[str], top: int) -> Found:
        """Best first. What is gone, too large, binary, not UTF-8 or not permitted to read is
        left out by name.
        """
        listed, left_out = self._list_searchable(mission, names)
        found = self._retrieval.search(
            mission, listed, lambda path: self._layers.read_text(mission, path), query, top
        )
        left_out += [
            *found.left_out,
            *kept_left_out(self._root, mission, LEFT_OUT_GIVEN, LEFT_OUT_LISTED),
        ]
        for one in found.left_out:
            logger(__name__).warning(LogEvent.FILE_NOT_SEARCHED, path=one.path, why=one.why)
        return replace(found, left_out=_each_once(left_out))

    def _list_searchable(
        self, mission: MissionId, names: Sequence[str]
    ) -> tuple[list[Listed], list[LeftOut]]:
        """The files that may be indexed, and what is not among them though it was asked for."""
        present, left_out = self._list_present(mission, names)
        listed: list[Listed] = []
        for path in present:
            try:
                entry = self._layers.list_file(mission, path)
            except WorkspaceError as error:  # it went away, or may not be looked at
                left_out.append(name_left_out(path, error))
                continue
            if entry.size > FILE_BYTES_MAX:
                left_out.append(name_left_out(path, size_fault(path)))
            else:
                listed.append(entry)
        return listed, left_out

    def _list_present(
        self, mission: MissionId, names: Sequence[str]
    ) -> tuple[list[str], list[LeftOut]]:
        """What `names` stand for. One of several that is gone leaves the others to be searched."""
        present: set[str] = set()
        left_out: list[LeftOut] = []
        first: WorkspaceError | None = None
        for name in names:
            try:
                present.update(self._layers.files_below(mission, name, left_out))
            except WorkspaceError as error:
                first = first or error
                left_out.append(name_left_out(name, error))
        if first is not None and not present:
            raise first
        return sorted(present), left_out

    # --- writing ------------------------------------------------------------------------------

    def write(self, mission: MissionId, path: str, text: str) -> int:
        """Write a whole file into the mission's work folder; returns its bytes. May be repeated.

        The bounds of the folder are checked before the write: writers at the same instant can pass
        them by one file each.
        """
        parts, content = parts_of_name(path), encode(path, text)
        with self._writing(mission, path, parts) as folder:
            check_replaceable(folder, path, parts[-1])
            check_room(self._root, mission, path, parts, len(content))
            replace_file(folder, parts[-1], content)
        return len(content)

    def create(self, mission: MissionId, path: str, text: str) -> bool:
        """As `write`, where nothing has that name yet; false where something has. Of several that
        create one name at once, one does.
        """
        parts, content = parts_of_name(path), encode(path, text)
        with self._writing(mission, path, parts) as folder:
            if is_there(folder, parts[-1]):
                return False
            check_room(self._root, mission, path, parts, len(content))
            return add_file(folder, parts[-1], content)

    @contextmanager
    def _writing(self, mission: MissionId, path: str, parts: tuple[str, ...]) -> Iterator[int]:
        """The folder of a file that may be written, open; it is made where there is none."""
        check_mission(mission)
        with translated(path):
            check_not_given(self._root, mission, path, parts)
            self._root.mkdir(parents=True, exist_ok=True)
            with open_folder(self._root, (mission, "work", *parts[:-1]), create=True) as folder:
                yield folder

    def snapshot(self, mission: MissionId, paths: Sequence[Path], cwd: Path) -> tuple[str, ...]:
        """Copy `paths` (of the caller's machine) to the mission's given files; returns their names
        there.

        A name is relative to `cwd` where the path is beneath it, else the last part of the path. A
        repeated snapshot replaces the one before as a whole.
        """
        check_mission(mission)
        given = collect_sources(paths, cwd)
        with translated(str(self._root)):
            self._root.mkdir(parents=True, exist_ok=True)
            copy_sources(self._root, mission, given)
        for one in given.passed:
            logger(__name__).warning(LogEvent.FILE_NOT_GIVEN, path=one.path, why=one.why)
        # Also where nothing was passed over: an earlier snapshot's is replaced with it.
        keep_left_out(self._root, mission, LEFT_OUT_GIVEN, given.passed)
        return tuple(dict.fromkeys(given.names))

    def remove(self, mission: MissionId) -> None:
        """Delete all that the mission has here; nothing to delete is fine."""
        check_mission(mission)
        with translated(mission), suppress(FileNotFoundError), open_folder(self._root, ()) as root:
            shutil.rmtree(mission, dir_fd=root)

    def identity(self) -> str:
        """A random id kept in the root: two workers that read the same one share the volume."""
        with translated(str(self._root)):
            self._root.mkdir(parents=True, exist_ok=True)
            with open_folder(self._root, ()) as root:
                with suppress(FileNotFoundError):
                    return read_bytes(root, MARKER, MARKER).decode("ascii", "replace").strip()
                return write_marker(root)


def _each_once(left_out: Sequence[LeftOut]) -> tuple[LeftOut, ...]:
    return tuple(sorted(set(left_out), key=lambda one: (one.path, one.why)))


def _bound_lines(lines: Sequence[str]) -> tuple[str, ...]:
    taken: list[str] = []
    left = READ_BYTES_MAX
    for line in lines:
        size = len(line.encode()) + 1
        if size > left:
            if not taken:
                taken.append(line.encode()[:left].decode("utf-8", "ignore"))
            break
        taken.append(line)
        left -= size
    return tuple(taken)
