"""The folder of the record: one folder a mission, in it one file for each process that wrote.

Two processes on one volume never write into one file. A file is only ever appended to, a call in
one write with the texts that it is the first to name; what a crash or a full disk cuts short is a
last line that its readers pass over. Nothing waits for the disk: what power takes away is lost, and
the journal still has its digest.

It is bounded by age and by size. Room is made by removing whole missions, the one that was written
last the longest ago first, and never one that is being written; what then has no room is not
recorded. What was removed or left out is counted, and told to whoever looks.
"""

from __future__ import annotations

import os
import threading
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from swarmd.adapters.files.faults import translated
from swarmd.adapters.files.paths import check_mission
from swarmd.adapters.record import lines
from swarmd.core.model.names import MissionId
from swarmd.core.model.timings import stamp_of
from swarmd.log_events import LogEvent
from swarmd.logs import logger
from swarmd.ports.clock import Clock
from swarmd.ports.record import Answer

SUFFIX: Final = ".jsonl"
REMOVED: Final = "removed.jsonl"  # the records that were removed to keep the bounds
_REMOVED_BYTES_MAX: Final = 256 * 1024
# Files open at once: a worker serves few missions in the same minute.
_OPEN_MAX: Final = 64
# A mission may take such a part of the whole, or one that runs away would push out all others.
MISSION_SHARE: Final = 4
# What was written to so lately is not removed for its size: it is still being written.
BUSY_SECONDS: Final = 3_600.0
# Room is made down to such a part, so that not each call makes some anew.
_FILLED: Final = 0.9
FULL: Final = "the record is full (record_megabytes)"
SHARE_USED: Final = f"the mission has used its share of the record (1/{MISSION_SHARE} of it)"


@dataclass(frozen=True, slots=True)
class Bounds:
    bytes_max: int
    seconds: float  # since a mission's last call


@dataclass(slots=True)
class _File:
    """A file that this process appends to, and the texts that it has by digest."""

    handle: int
    size: int = 0
    is_torn: bool = False
    known: set[str] = field(default_factory=set)

    def append_whole(self, content: bytes) -> None:
        """Whole, or cut back to what was there. Raises `OSError`."""
        content = b"\n" * self.is_torn + content
        left = memoryview(content)
        try:
            while left:
                left = left[os.write(self.handle, left) :]
        except OSError:
            self.is_torn = True
            with suppress(OSError):
                os.ftruncate(self.handle, self.size)
                self.is_torn = False
            raise
        self.is_torn = False
        self.size += len(content)

    @property
    def is_gone(self) -> bool:
        """Another process has removed it."""
        return os.fstat(self.handle).st_nlink == 0

    def close(self) -> None:
        os.close(self.handle)


@dataclass(frozen=True, slots=True)
class _Kept:
    mission: str
    size: int
    written: float


@dataclass(slots=True)
class RecordFolder:
    """Safe for threads, and for several processes on one volume. `writer` is this process's own
    name, new for each.
    """

    root: Path
    writer: str
    bounds: Bounds
    clock: Clock
    has_prompts: bool = True
    trouble: str = ""  # why the last write failed
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _open: OrderedDict[MissionId, _File] = field(default_factory=OrderedDict)
    _sizes: Counter[str] = field(default_factory=Counter)  # by mission, as it was last looked at
    _left_out: dict[MissionId, Counter[str]] = field(default_factory=dict)  # and not told yet
    _warned: set[tuple[MissionId, str]] = field(default_factory=set)

    # --- writing ---

    def write(self, answers: Sequence[Answer]) -> None:
        """What cannot be written is counted. Never raises what the disk says."""
        with self._lock:
            for answer in answers:
                try:
                    self._write_one(answer)
                except Exception:
                    # One that cannot be written as JSON, or names no mission: the others are kept.
                    log = logger(__name__)
                    log.exception(LogEvent.RECORD_LEFT_OUT, mission=answer.mission)

    def leave_out(self, mission: MissionId, why: str) -> None:
        with self._lock:
            self._count_left_out(mission, why)

    def _write_one(self, answer: Answer) -> None:
        mission = answer.mission
        try:
            file = self._file_of(answer)
            packing = lines.Packing(file.known)
            line = lines.call_line(answer, packing, has_prompts=self.has_prompts)
            content = packing.text_lines() + line
            no_room = self._why_no_room(mission, len(content))
            if no_room:
                self._count_left_out(mission, no_room)
                return
            self._append_to(mission, file, self._left_out_lines(mission) + content)
        except OSError as error:
            self._note_failure(mission, error)
            return
        file.known |= packing.added.keys()
        self._left_out.pop(mission, None)
        self._warned = {told for told in self._warned if told[0] != mission}
        self.trouble = ""

    def _append_to(self, mission: MissionId, file: _File, content: bytes) -> None:
        file.append_whole(content)
        self._sizes[mission] += len(content)

    def _note_failure(self, mission: MissionId, error: OSError) -> None:
        self.trouble = error.strerror or type(error).__name__
        self._count_left_out(mission, self.trouble)

    def _count_left_out(self, mission: MissionId, why: str) -> None:
        self._left_out.setdefault(mission, Counter())[why] += 1
        # Once, until something of it is recorded again: each call of a swarm would be a line.
        if (mission, why) not in self._warned:
            self._warned.add((mission, why))
            logger(__name__).warning(LogEvent.RECORD_LEFT_OUT, mission=mission, why=why)

    def _left_out_lines(self, mission: MissionId) -> bytes:
        at, counts = stamp_of(self.clock.now()), self._left_out.get(mission, Counter[str]())
        return b"".join(lines.left_out_line(count, why, at) for why, count in counts.items())

    def _why_no_room(self, mission: MissionId, size: int) -> str:
        if self._sizes.total() + size > self.bounds.bytes_max:
            return FULL
        is_over = self._sizes[mission] + size > self.bounds.bytes_max // MISSION_SHARE
        return SHARE_USED if is_over else ""

    def _file_of(self, answer: Answer) -> _File:
        mission = answer.mission
        file = self._open.get(mission)
        if file is not None and not file.is_gone:
            self._open.move_to_end(mission)
            return file
        self._close_file(mission)
        if len(self._open) >= _OPEN_MAX:
            self._close_file(next(iter(self._open)))
        file = self._open_file(answer)
        self._open[mission] = file
        return file

    def _open_file(self, answer: Answer) -> _File:
        check_mission(answer.mission)
        folder = self.root / answer.mission
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / f"{self.writer}{SUFFIX}"
        # Prompts and answers are the mission's alone: nobody else on the machine reads them.
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            file = _File(handle, os.fstat(handle).st_size)
            if not file.size:
                head = lines.head_line(answer.mission, self.writer, answer.at)
                self._append_to(answer.mission, file, head)
        except OSError:
            os.close(handle)
            raise
        return file

    def _close_file(self, mission: MissionId) -> None:
        file = self._open.pop(mission, None)
        if file is not None:
            file.close()

    def close(self) -> None:
        with self._lock:
            self._tell_left_out()
            for mission in list(self._open):
                self._close_file(mission)

    # --- the bounds ---

    def sweep(self) -> None:
        """Removes what is too old or has no room, and tells of what was left out meanwhile. Never
        raises what the disk says.
        """
        with self._lock:
            with suppress(OSError):
                self._keep_bounds()
            self._tell_left_out()

    def _keep_bounds(self) -> None:
        now, kept = self.clock.now(), sorted(self._kept_missions(), key=lambda one: one.written)
        self._sizes = Counter({one.mission: one.size for one in kept})
        wanted = self._wanted_bytes()
        for one in kept:
            if one.written + self.bounds.seconds < now:
                self._remove_record(one, "age")
            elif self._sizes.total() > wanted and one.written + BUSY_SECONDS < now:
                self._remove_record(one, "size")

    def _wanted_bytes(self) -> int:
        is_full = self._sizes.total() > self.bounds.bytes_max
        return int(self.bounds.bytes_max * _FILLED) if is_full else self.bounds.bytes_max

    def _kept_missions(self) -> Iterator[_Kept]:
        for folder in _mission_folders(self.root):
            found = [file.stat() for file in folder.iterdir()]
            if found:
                size, written = sum(one.st_size for one in found), max(f.st_mtime for f in found)
                yield _Kept(folder.name, size, written)

    def _remove_record(self, one: _Kept, why: str) -> None:
        self._close_file(MissionId(one.mission))
        for path in (self.root / one.mission).iterdir():
            path.unlink(missing_ok=True)
        (self.root / one.mission).rmdir()
        del self._sizes[one.mission]
        logger(__name__).info(LogEvent.RECORD_REMOVED, mission=one.mission, why=why, bytes=one.size)
        self._note_removed(one, why)

    def _note_removed(self, one: _Kept, why: str) -> None:
        path, at = self.root / REMOVED, stamp_of(self.clock.now())
        told = lines.line_of({"removed": one.mission, "why": why, "bytes": one.size, "at": at})
        before = path.read_bytes() if path.exists() else b""
        if len(before) > _REMOVED_BYTES_MAX:
            fresh = path.with_name(f"{REMOVED}.{self.writer}")
            fresh.write_bytes(before[len(before) // 2 :].partition(b"\n")[2] + told)
            fresh.replace(path)
            return
        with path.open("ab") as file:
            file.write(told)

    def _tell_left_out(self) -> None:
        """In the file of the mission, where it can be written; once a minute, so whatever the
        bounds are.
        """
        for mission in list(self._left_out):
            file = self._open.get(mission)
            with suppress(OSError):
                if file is not None and not file.is_gone:
                    self._append_to(mission, file, self._left_out_lines(mission))
                    del self._left_out[mission]

    # --- to forget ---

    def forget(self, mission: MissionId, until: float) -> None:
        """Deletes the files of a mission that were begun up to then. May be repeated. Raises
        `WorkspaceError` where one is left.
        """
        check_mission(mission)
        with self._lock, translated(mission):
            if _delete_begun(self.root / mission, until):
                # A mission of the same id has begun since: its files stay.
                return
            self._close_file(mission)
            self._left_out.pop(mission, None)
            self._sizes.pop(mission, None)


def _delete_begun(folder: Path, until: float) -> bool:
    """Whether files stay, which were begun later."""
    if not folder.is_dir():
        return False
    for path in list(folder.iterdir()):
        if _began_at(path) <= until:
            path.unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()
    return folder.is_dir()


def _mission_folders(root: Path) -> list[Path]:
    return [path for path in root.iterdir() if path.is_dir()] if root.is_dir() else []


def _began_at(path: Path) -> float:
    """Of a file whose first line cannot be read: before all time, for it is nobody's."""
    with path.open("rb") as file:
        head = lines.read_line(file.readline(10_000))
    try:
        return lines.began(head or {})
    except ValueError:
        return 0.0
