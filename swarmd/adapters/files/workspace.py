"""A mission's files on a volume that all workers share, and the read-only knowledge folder beside
it.

`ROOT/<mission>/given/` is the snapshot that came with the mission, `ROOT/<mission>/work/` what its
agents write. Invariant: whatever a path says, nothing outside these folders is read or written. A
path is walked one component at a time, each opened relative to the folder before it and never
through a symbolic link, so that renaming a folder into a link between check and use gains nothing.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
import stat
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from swarmd.adapters.files.search import Listed, Retrieval, lines_of
from swarmd.core.model.names import ID_PATTERN, MissionId
from swarmd.errors import WorkspaceError
from swarmd.logs import logger
from swarmd.ports.files import Found, LeftOut

# --- bounds, all of them ----------------------------------------------------------------------

# The longest text that `file/write` takes is 1,000,000 characters, at most 4 bytes each: what can
# be written can be read. A text file larger than this is data, and would fill a prompt many times
# over.
FILE_BYTES_MAX: Final = 4 * 1024 * 1024
WRITE_BYTES_MAX: Final = FILE_BYTES_MAX
# One read goes into one prompt: 64 KB is about 16,000 tokens, more is a question for a search.
READ_BYTES_MAX: Final = 64 * 1024
# An agent that writes in a loop must not fill a volume that every mission shares.
WORK_FILES_MAX: Final = 2_000
WORK_BYTES_MAX: Final = 256 * 1024 * 1024
# A snapshot is copied before the mission starts, while somebody waits at a terminal.
GIVEN_FILES_MAX: Final = 10_000
GIVEN_BYTES_MAX: Final = 256 * 1024 * 1024
# The knowledge folder is the operator's and may be anything; a listing of it stays a second's work.
LISTED_MAX: Final = 20_000
DEPTH_MAX: Final = 32  # folders below one another; each costs an open folder while it is walked
NAME_BYTES_MAX: Final = (
    255  # what common file systems take; said here in words instead of ENAMETOOLONG
)
NAME_CHARS_MAX: Final = (
    512  # a whole name, folders included: moves and charters hold no longer ones
)
SNIFF_BYTES: Final = 8 * 1024  # a NUL in these means binary, as git decides it
# What was passed over when files were given or listed is kept to be told: more of it is told by its
# number.
LEFT_OUT_MAX: Final = 200

assert WRITE_BYTES_MAX <= FILE_BYTES_MAX, "what is written must be readable"
assert READ_BYTES_MAX <= FILE_BYTES_MAX

# Folders that tools fill and nobody means when naming the folder above them.
JUNK: Final = frozenset({"__pycache__", "node_modules", "venv", "site-packages"})
MARKER: Final = ".swarmd-workspace"
RESERVED: Final = ".swarmd-"  # our temporary names; an agent's file may not look like one
LEFT_OUT_GIVEN: Final = f"{RESERVED}left-out-given"
LEFT_OUT_LISTED: Final = f"{RESERVED}left-out-listed"

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_BENEATH: Final = _FOLDER | os.O_NOFOLLOW
# Non-blocking, for opening a pipe that nobody writes to would otherwise wait for ever.
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")  # the marks that such a file begins with

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Layer:
    """A folder that names are looked up in: `parts` are walked beneath `start`."""

    start: Path
    parts: tuple[str, ...]
    only: str = ""  # where set, the one top-level name that this layer shows

    def shows(self, parts: tuple[str, ...]) -> bool:
        return not self.only or parts[:1] == (self.only,)


class Workspace:
    """The `Files` port on a folder. Safe for threads and for several processes on one volume.

    `root` and `knowledge` are the operator's and may themselves be links. Without `knowledge` there
    is only what the mission has. A finished write survives a crash of the machine; one that was cut
    short leaves the old version.
    """

    def __init__(self, root: Path, knowledge: Path | None, policies: Path | None = None) -> None:
        """`policies` is the swarm's own knowledge: readable as `policies/…` where nothing hides
        it.
        """
        self._root = root
        self._knowledge = knowledge
        self._policies = policies
        self._retrieval = Retrieval()

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
            found |= self._below(mission, name, passed)
        if found and passed:
            # With what other listings of the same mission passed over: each is of some of its
            # files.
            self._keep_left_out(
                mission, LEFT_OUT_LISTED, [*passed, *self._left_out(mission, LEFT_OUT_LISTED)]
            )
        return tuple(sorted(found))

    def read(self, mission: MissionId, path: str, start: int, lines: int) -> tuple[str, ...]:
        """Up to `lines` lines from line `start` on (from 1), at most `READ_BYTES_MAX` bytes of
        them.

        A line that does not fit whole ends the answer, and is itself cut only where it comes first.
        """
        text = self._text(mission, path)
        return _bounded(lines_of(text)[start - 1 : start - 1 + lines])

    def search(self, mission: MissionId, query: str, names: Sequence[str], top: int) -> Found:
        """Best first. What is gone, too large, binary, not UTF-8 or not permitted to read is
        left out by name.
        """
        listed, left_out = self._searchable(mission, names)
        found = self._retrieval.search(
            mission, listed, lambda path: self._text(mission, path), query, top
        )
        left_out += [*found.left_out, *self._left_out(mission, LEFT_OUT_GIVEN, LEFT_OUT_LISTED)]
        for one in found.left_out:
            logger(__name__).warning("file left out of a search", path=one.path, why=one.why)
        return Found(
            found.passages, tuple(sorted(set(left_out), key=lambda one: (one.path, one.why)))
        )

    def _searchable(
        self, mission: MissionId, names: Sequence[str]
    ) -> tuple[list[Listed], list[LeftOut]]:
        """The files that may be indexed, and what is not among them though it was asked for."""
        present, left_out = self._present(mission, names)
        listed: list[Listed] = []
        for path in present:
            try:
                entry = self._listed(mission, path)
            except WorkspaceError as error:  # it went away, or may not be looked at
                left_out.append(_left_out(path, error))
                continue
            if entry.size > FILE_BYTES_MAX:
                left_out.append(_left_out(path, _too_large(path)))
            else:
                listed.append(entry)
        return listed, left_out

    def _present(self, mission: MissionId, names: Sequence[str]) -> tuple[list[str], list[LeftOut]]:
        """What `names` stand for. One of several that is gone leaves the others to be searched."""
        present: set[str] = set()
        left_out: list[LeftOut] = []
        first: WorkspaceError | None = None
        for name in names:
            try:
                present.update(self._below(mission, name, left_out))
            except WorkspaceError as error:
                first = first or error
                left_out.append(_left_out(name, error))
        if first is not None and not present:
            raise first
        return sorted(present), left_out

    # --- writing ------------------------------------------------------------------------------

    def write(self, mission: MissionId, path: str, text: str) -> int:
        """Write a whole file into the mission's work folder; returns its bytes. May be repeated.

        The bounds of the folder are checked before the write: writers at the same instant can pass
        them by one file each.
        """
        parts = _parts(path)
        content = _encoded(path, text)
        _check_mission(mission)
        with _translated(path):
            self._check_not_given(mission, path, parts)
            self._root.mkdir(parents=True, exist_ok=True)
            with _folder(self._root, (mission, "work", *parts[:-1]), create=True) as folder:
                _check_replaceable(folder, path, parts[-1])
                self._check_room(mission, path, parts, len(content))
                _replace(folder, parts[-1], content)
        return len(content)

    def snapshot(self, mission: MissionId, paths: Sequence[Path], cwd: Path) -> tuple[str, ...]:
        """Copy `paths` (of the caller's machine) to the mission's given files; returns their names
        there.

        A name is relative to `cwd` where the path is beneath it, else the last part of the path. A
        repeated snapshot replaces the one before as a whole.
        """
        _check_mission(mission)
        sources: dict[str, Path] = {}
        names: list[str] = []
        passed: list[LeftOut] = []
        for path in paths:
            name, whole = _snapshot_name(path, cwd)
            found = list(_sources(whole, name, passed))
            if not found:
                raise _holds_nothing(path, passed)
            # The current folder has no name of its own there: what is at its top stands for it.
            names += [name] if name != "." else [below.split("/")[0] for below, _ in found]
            for below, source in found:
                if sources.setdefault(below, source) != source:
                    raise WorkspaceError(
                        f"{path}: another of the files given is already named {below}",
                        hint="start in a folder above both, or give them in two missions",
                    )
        _check_given(sources)
        with _translated(str(self._root)):
            self._root.mkdir(parents=True, exist_ok=True)
            self._copy(mission, sources, set(names), passed)
        for one in passed:
            logger(__name__).warning("file not given to the mission", path=one.path, why=one.why)
        # Also where nothing was passed over: an earlier snapshot's is replaced with it.
        self._keep_left_out(mission, LEFT_OUT_GIVEN, passed)
        return tuple(dict.fromkeys(names))

    def remove(self, mission: MissionId) -> None:
        """Delete all that the mission has here; nothing to delete is fine."""
        _check_mission(mission)
        with _translated(mission), suppress(FileNotFoundError), _folder(self._root, ()) as root:
            shutil.rmtree(mission, dir_fd=root)

    def identity(self) -> str:
        """A random id kept in the root: two workers that read the same one share the volume."""
        with _translated(str(self._root)):
            self._root.mkdir(parents=True, exist_ok=True)
            with _folder(self._root, ()) as root:
                with suppress(FileNotFoundError):
                    return _content(root, MARKER, MARKER).decode("ascii", "replace").strip()
                return _mark(root)

    # --- inside -------------------------------------------------------------------------------

    def _layers(self, mission: MissionId) -> tuple[_Layer, ...]:
        _check_mission(mission)
        layers = [_Layer(self._root, (mission, "given")), _Layer(self._root, (mission, "work"))]
        if self._knowledge is not None:
            layers.append(_Layer(self._knowledge, ()))
        if self._policies is not None:
            layers.append(_Layer(self._policies.parent, (), only=self._policies.name))
        return tuple(layers)

    def _keep_left_out(self, mission: MissionId, name: str, passed: Sequence[LeftOut]) -> None:
        """Beside the mission's files, where every worker finds it. That it cannot be kept stops
        nobody.
        """
        told = sorted({(one.path, one.why) for one in passed})
        if len(told) > LEFT_OUT_MAX:
            rest = len(told) - LEFT_OUT_MAX
            told = [*told[:LEFT_OUT_MAX], (f"{rest} more files and folders", "passed over as well")]
        content = json.dumps(told, ensure_ascii=True).encode()
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            with _folder(self._root, (mission,), create=True) as home:
                if _kept(home, name) != content and (told or _kept(home, name)):
                    _replace(home, name, content)
        except OSError as error:
            logger(__name__).warning(
                "what was passed over cannot be kept", mission=mission, why=str(error)
            )

    def _left_out(self, mission: MissionId, *names: str) -> list[LeftOut]:
        """What was passed over when the mission's files were given or listed."""
        with suppress(OSError, ValueError), _folder(self._root, (mission,)) as home:
            kept = [json.loads(_kept(home, name) or b"[]") for name in names]
            return [LeftOut(path, why) for told in kept for path, why in told]
        return []

    def _below(self, mission: MissionId, name: str, passed: list[LeftOut]) -> set[str]:
        given, work, *others = self._layers(mission)
        if name in (".", "./"):
            return self._all_below(given, work, others, passed)
        parts = _parts(name)
        first, second = _files_of(given, parts, passed), _files_of(work, parts, passed)
        # A name that came with the mission hides the same name of the knowledge folder, or `--files
        # docs` would silently search somebody else's docs as well.
        third = None
        if first is None:
            elsewhere = (_files_of(layer, parts, passed) for layer in others if layer.shows(parts))
            third = next((found for found in elsewhere if found is not None), None)
        if first is None and second is None and third is None:
            raise _missing(name)
        return (first or set()) | (second or set()) | (third or set())

    def _all_below(
        self, given: _Layer, work: _Layer, others: Sequence[_Layer], passed: list[LeftOut]
    ) -> set[str]:
        """All that the mission itself has; of one that has no folder yet, the whole knowledge
        folder.
        """
        first, second = _files_of(given, (), passed), _files_of(work, (), passed)
        if first is None and second is None:
            whole = [layer for layer in others if not layer.only]
            return set().union(*(_files_of(layer, (), passed) or set() for layer in whole))
        return (first or set()) | (second or set())

    def _listed(self, mission: MissionId, path: str) -> Listed:
        return self._first(mission, path, _listed)

    def _text(self, mission: MissionId, path: str) -> str:
        content = self._first(mission, path, _content)
        if content.startswith(_UTF_16):
            raise WorkspaceError(f"{path}: is UTF-16, not UTF-8", hint="convert it to UTF-8 text")
        if b"\0" in content[:SNIFF_BYTES]:
            raise WorkspaceError(f"{path}: is binary", hint="name a text file")
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise WorkspaceError(
                f"{path}: is not UTF-8 (byte {error.start})", hint="convert it to UTF-8 text"
            ) from error

    def _first(self, mission: MissionId, path: str, use: Callable[[int, str, str], T]) -> T:
        """`use(folder, last part, path)` in the first layer that has `path`."""
        parts = _parts(path)
        with _translated(path):
            for layer in self._layers(mission):
                if not layer.shows(parts):
                    continue
                with (
                    suppress(FileNotFoundError),
                    _folder(layer.start, (*layer.parts, *parts[:-1])) as folder,
                ):
                    return use(folder, parts[-1], path)
        raise _missing(path)

    def _check_not_given(self, mission: MissionId, path: str, parts: tuple[str, ...]) -> None:
        """Reading looks among the given files first: a file written over one would never be
        seen.
        """
        for length in range(1, len(parts) + 1):
            with suppress(FileNotFoundError):
                with _folder(self._root, (mission, "given", *parts[: length - 1])) as folder:
                    mode = os.stat(parts[length - 1], dir_fd=folder, follow_symlinks=False).st_mode
                if length == len(parts) or not stat.S_ISDIR(mode):
                    raise WorkspaceError(
                        (
                            f"{path}: {'/'.join(parts[:length])} was given with the mission and is "
                            "read-only"
                        ),
                        hint="write under another name",
                    )

    def _check_room(self, mission: MissionId, path: str, parts: tuple[str, ...], size: int) -> None:
        with _folder(self._root, (mission, "work")) as folder:
            held = {name: entry.st_size for name, entry in _walk(folder, "", _every, [])}
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

    def _copy(
        self, mission: MissionId, sources: dict[str, Path], named: set[str], passed: list[LeftOut]
    ) -> None:
        """Into a folder of its own first: a snapshot that was cut short is never taken for a whole
        one.

        A file that cannot be read any more is passed over, unless it was given by its own name.
        """
        fresh = f"{RESERVED}given-{secrets.token_hex(8)}"
        with _folder(self._root, (mission,), create=True) as home:
            os.mkdir(fresh, dir_fd=home)
            with ExitStack() as undo:
                undo.callback(shutil.rmtree, fresh, dir_fd=home, ignore_errors=True)
                copied: list[str] = []
                for name, source in sources.items():
                    try:
                        content = _outside_content(source)
                    except WorkspaceError as error:
                        if name in named:
                            raise
                        passed.append(_left_out(name, error.what.removeprefix(f"{source}: ")))
                        continue
                    *above, last = name.split("/")
                    with _folder(self._root, (mission, fresh, *above), create=True) as folder:
                        _create(folder, last, content)
                    copied.append(name)
                # Flushed after all were written: the file system then commits many at a time.
                for name in copied:
                    *above, last = name.split("/")
                    with _folder(self._root, (mission, fresh, *above)) as folder:
                        _flush(folder, last)
                _swap(home, fresh, "given")
                undo.pop_all()


# --- paths ------------------------------------------------------------------------------------


def _parts(path: str) -> tuple[str, ...]:
    """The components of a name relative to the mission, or `WorkspaceError` saying what is wrong
    with it.
    """
    wrong = _fault(path)
    if wrong:
        raise WorkspaceError(
            f"{path[:200]!r}: {wrong}",
            hint="use a name relative to the mission's folder, like docs/a.md",
        )
    return tuple(part for part in path.split("/") if part not in ("", "."))


def _fault(path: str) -> str:
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if path.startswith("/"):
        return "is absolute"
    if not parts:
        return "names no file"
    if ".." in parts:
        return "leaves the folder by '..'"
    if not _is_shown(path):
        # A line feed or a bidirectional mark in a name could dress up as something else in a
        # report.
        return "has a character that cannot be printed"
    if len(path) > NAME_CHARS_MAX:
        return f"has more than {NAME_CHARS_MAX} characters"
    if any(len(part.encode("utf-8", "replace")) > NAME_BYTES_MAX for part in parts):
        return f"has a part of more than {NAME_BYTES_MAX} bytes"
    if len(parts) > DEPTH_MAX:
        return f"is more than {DEPTH_MAX} folders deep"
    if any(part.startswith(RESERVED) for part in parts):
        return f"begins with {RESERVED}, which is kept for swarmd"
    return ""


def _check_mission(mission: MissionId) -> None:
    if not ID_PATTERN.fullmatch(mission):
        raise WorkspaceError(
            f"{mission[:80]!r} is no mission's id", hint="ids are 1 to 64 of A-Z a-z 0-9 _ -"
        )


@contextmanager
def _folder(start: Path, parts: Sequence[str], *, create: bool = False) -> Iterator[int]:
    """The folder `parts` beneath `start`, open. Raises `FileNotFoundError` where there is none."""
    folder = os.open(start, _FOLDER)
    try:
        for part in parts:
            below = _step(folder, part, create=create)
            os.close(folder)
            folder = below
        yield folder
    finally:
        os.close(folder)


def _step(folder: int, part: str, *, create: bool) -> int:
    if create:
        with suppress(FileExistsError):
            os.mkdir(part, dir_fd=folder)
    try:
        return os.open(part, _BENEATH, dir_fd=folder)
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
        # Linux says "not a directory" of a link as well: which of the two it is decides whether the
        # next layer may be asked.
        if stat.S_ISLNK(os.stat(part, dir_fd=folder, follow_symlinks=False).st_mode):
            raise _is_link(part) from error
        if create:
            raise
        raise FileNotFoundError(errno.ENOENT, "not a folder", part) from error


# --- listing ----------------------------------------------------------------------------------


def _wanted(name: str) -> bool:
    return not name.startswith(".") and name not in JUNK


def _is_shown(name: str) -> bool:
    """Whether a name shows what it is. Spaces of every width do, though Python does not count
    them as printable.
    """
    return all(char.isprintable() or unicodedata.category(char) == "Zs" for char in name)


def _shown(path: str) -> str:
    """A name fit to be shown: what cannot be printed is written out, like \\n."""
    return "".join(
        char if _is_shown(char) else char.encode("unicode_escape", "surrogatepass").decode("ascii")
        for char in path
    )[:NAME_CHARS_MAX]


def _left_out(path: str, why: WorkspaceError | str) -> LeftOut:
    said = why if isinstance(why, str) else why.what.removeprefix(f"{path}: ")
    return LeftOut(_shown(path), said[:NAME_CHARS_MAX])


def _every(name: str) -> bool:
    return True


def _files_of(layer: _Layer, parts: tuple[str, ...], passed: list[LeftOut]) -> set[str] | None:
    """The files that a name stands for in one layer, as full names; `None` where it has no such
    name.

    What is passed over below a folder is added to `passed`.
    """
    name = "/".join(parts)
    with _translated(name or "."), suppress(FileNotFoundError):
        if parts:
            with _folder(layer.start, (*layer.parts, *parts[:-1])) as folder:
                mode = os.stat(parts[-1], dir_fd=folder, follow_symlinks=False).st_mode
            if stat.S_ISLNK(mode):
                raise _is_link(name)
            if stat.S_ISREG(mode):
                return {name}
            if not stat.S_ISDIR(mode):
                raise _is_special(name)
        with _folder(layer.start, (*layer.parts, *parts)) as folder:
            return {
                below for below, _ in _walk(folder, f"{name}/" if name else "", _wanted, passed)
            }
    return None


def _walk(
    folder: int, prefix: str, wanted: Callable[[str], bool], passed: list[LeftOut]
) -> Iterator[tuple[str, os.stat_result]]:
    """Regular files below an open folder, with their facts. What else is wanted is added to
    `passed`, with why.
    """
    seen = 0
    with os.scandir(folder) as entries:
        listed = sorted(entry.name for entry in entries if wanted(entry.name))
    for name in listed:
        try:
            for found in _walk_entry(folder, name, prefix, wanted, passed):
                yield found
                seen += 1
        except FileNotFoundError:
            continue  # another agent replaced or removed it while we walked
        except OSError as error:
            passed.append(_left_out(prefix + name, _reason(error)[0]))
        if seen > LISTED_MAX:
            raise WorkspaceError(
                f"{prefix or './'}: holds more than {LISTED_MAX} files",
                hint="name a smaller folder",
            )


def _walk_entry(
    folder: int, name: str, prefix: str, wanted: Callable[[str], bool], passed: list[LeftOut]
) -> Iterator[tuple[str, os.stat_result]]:
    facts = os.stat(name, dir_fd=folder, follow_symlinks=False)
    fault = _fault_of_entry(prefix + name, facts.st_mode)
    if fault:
        passed.append(_left_out(prefix + name, fault))
    elif stat.S_ISREG(facts.st_mode):
        yield prefix + name, facts
    else:
        below = os.open(name, _BENEATH, dir_fd=folder)
        try:
            yield from _walk(below, f"{prefix}{name}/", wanted, passed)
        finally:
            os.close(below)


def _fault_of_entry(path: str, mode: int) -> str:
    """Why an entry of a folder is passed over; empty where it is not."""
    if stat.S_ISLNK(mode):
        return "is a symbolic link, which is never followed"
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        return "is a device, pipe or socket"
    if not _is_shown(path):
        return "has a character that cannot be printed in its name"
    if len(path) > NAME_CHARS_MAX:
        return f"has a name of more than {NAME_CHARS_MAX} characters"
    # A folder's files have one part more than it has.
    if path.count("/") + 1 + stat.S_ISDIR(mode) > DEPTH_MAX:
        return f"is more than {DEPTH_MAX} folders deep"
    return ""


# --- files ------------------------------------------------------------------------------------


def _open_regular(folder: int, name: str, path: str) -> int:
    try:
        file = os.open(name, _FILE, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _is_link(path) from error
        if error.errno == errno.ENXIO:
            raise _is_special(path) from error
        raise
    mode = os.fstat(file).st_mode
    if stat.S_ISREG(mode):
        return file
    os.close(file)
    if stat.S_ISDIR(mode):
        raise WorkspaceError(f"{path}: is a folder", hint="name a file in it, or search it")
    raise _is_special(path)


def _listed(folder: int, name: str, path: str) -> Listed:
    facts = os.stat(name, dir_fd=folder, follow_symlinks=False)
    # With the time of the last change of its rights: what may be read now is read again.
    stamp = (facts.st_mtime_ns, facts.st_ctime_ns, facts.st_size, facts.st_ino)
    return Listed(path, stamp, facts.st_size)


def _content(folder: int, name: str, path: str) -> bytes:
    with open(_open_regular(folder, name, path), "rb") as file:
        # One byte more than allowed, whatever its size was said to be: the file may grow meanwhile.
        content = file.read(FILE_BYTES_MAX + 1)
    if len(content) > FILE_BYTES_MAX:
        raise _too_large(path)
    return content


def _kept(home: int, name: str) -> bytes:
    """What is kept under one of our own names; nothing where it is not."""
    try:
        return _content(home, name, name)
    except (FileNotFoundError, WorkspaceError):
        return b""


def _outside_content(source: Path) -> bytes:
    with _translated(str(source)), _folder(source.parent, ()) as folder:
        return _content(folder, source.name, str(source))


def _encoded(path: str, text: str) -> bytes:
    try:
        content = text.encode()
    except UnicodeEncodeError as error:
        raise WorkspaceError(
            f"{path}: its text cannot be written as UTF-8",
            hint="leave out half characters (surrogates)",
        ) from error
    if b"\0" in content:
        raise WorkspaceError(f"{path}: its text holds a NUL character", hint="write plain text")
    if len(content) > WRITE_BYTES_MAX:
        raise _too_large(path)
    return content


def _check_replaceable(folder: int, path: str, name: str) -> None:
    try:
        mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return
    if stat.S_ISLNK(mode):
        raise _is_link(path)
    if not stat.S_ISREG(mode):
        raise WorkspaceError(
            f"{path}: is a folder or a device, not a file", hint="write under another name"
        )


def _replace(folder: int, name: str, content: bytes) -> None:
    temporary = f"{RESERVED}{secrets.token_hex(8)}.tmp"
    with ExitStack() as undo:
        undo.callback(_forget, folder, temporary)
        _create(folder, temporary, content)
        _flush(folder, temporary)
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        undo.pop_all()
    os.fsync(folder)


def _forget(folder: int, name: str) -> None:
    with suppress(OSError):
        os.unlink(name, dir_fd=folder)


def _create(folder: int, name: str, content: bytes) -> None:
    # Unbuffered: a full disk is told by the write itself, not by a close that comes too late.
    with open(os.open(name, _NEW_FILE, 0o666, dir_fd=folder), "wb", buffering=0) as file:
        rest = memoryview(content)
        while rest:
            rest = rest[file.write(rest) :]


def _flush(folder: int, name: str) -> None:
    file = os.open(name, _FILE, dir_fd=folder)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _swap(home: int, fresh: str, name: str) -> None:
    """Put folder `fresh` in the place of `name`. Between the two renames there is none: repeat
    then.
    """
    former = f"{RESERVED}former-{secrets.token_hex(8)}"
    with suppress(FileNotFoundError):
        os.rename(name, former, src_dir_fd=home, dst_dir_fd=home)
    os.rename(fresh, name, src_dir_fd=home, dst_dir_fd=home)
    os.fsync(home)
    shutil.rmtree(former, dir_fd=home, ignore_errors=True)


def _mark(root: int) -> str:
    """Write the marker unless another process was first: a hard link never replaces what is
    there.
    """
    temporary = f"{RESERVED}{secrets.token_hex(8)}.tmp"
    _create(root, temporary, f"{secrets.token_hex(16)}\n".encode())
    try:
        _flush(root, temporary)
        with suppress(FileExistsError):
            os.link(temporary, MARKER, src_dir_fd=root, dst_dir_fd=root, follow_symlinks=False)
    finally:
        os.unlink(temporary, dir_fd=root)
    return _content(root, MARKER, MARKER).decode("ascii", "replace").strip()


def _bounded(lines: Sequence[str]) -> tuple[str, ...]:
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


# --- the snapshot's sources -------------------------------------------------------------------


def _snapshot_name(path: Path, cwd: Path) -> tuple[str, Path]:
    """What a path is called in the mission, and where it really is.

    The path itself may be a link: whoever gives it may read what it points to.
    """
    with _translated(str(path)):
        here = Path(os.path.normpath(cwd / path))
        name = here.relative_to(cwd).as_posix() if here.is_relative_to(cwd) else here.name
        # Not `Path.resolve`, which raises a RuntimeError for a loop of links up to Python 3.12.
        whole = Path(os.path.realpath(here, strict=True))
    if name != ".":
        _parts(name)
    return name, whole


def _sources(whole: Path, name: str, passed: list[LeftOut]) -> Iterable[tuple[str, Path]]:
    """The files that a given path stands for, as name in the mission and place on this machine.

    What is passed over below a folder is added to `passed`, by its name in the mission.
    """
    with _translated(str(whole)):
        facts = whole.stat()
        if stat.S_ISDIR(facts.st_mode):
            entries = sorted(os.listdir(whole))
            prefix = "" if name == "." else f"{name}/"
            return list(_sources_below(whole, entries, whole, prefix, passed))
    if not stat.S_ISREG(facts.st_mode):
        raise _is_special(str(whole))
    if facts.st_size > FILE_BYTES_MAX:
        raise _too_large(str(whole))
    return [(name, whole)]


def _sources_below(
    folder: Path, entries: Sequence[str], top: Path, prefix: str, passed: list[LeftOut]
) -> Iterator[tuple[str, Path]]:
    for entry in filter(_wanted, entries):
        try:
            yield from _source(folder / entry, top, prefix + entry, passed)
        except FileNotFoundError:
            # Otherwise it went away while we walked.
            if os.path.islink(folder / entry):
                passed.append(
                    _left_out(prefix + entry, "is a symbolic link that points to nothing")
                )
        except OSError as error:
            passed.append(_left_out(prefix + entry, _reason(error)[0]))


def _source(entry: Path, top: Path, name: str, passed: list[LeftOut]) -> Iterator[tuple[str, Path]]:
    mode = entry.lstat().st_mode
    is_link = stat.S_ISLNK(mode)
    if is_link:
        entry = _target(entry, top)
        mode = entry.stat().st_mode
    fault = _fault_of_entry(name, mode)
    if not fault and stat.S_ISREG(mode):
        fault = _fault_of_source(entry)
    if fault:
        passed.append(_left_out(name, fault))
    elif stat.S_ISREG(mode):
        yield name, entry
    elif not is_link:  # a link to a folder of the same tree adds nothing
        yield from _sources_below(entry, sorted(os.listdir(entry)), top, f"{name}/", passed)


def _fault_of_source(source: Path) -> str:
    """Why a file is not copied. It is opened here, so that one without permission does not end
    the others.
    """
    file = os.open(source, _FILE)
    try:
        size = os.fstat(file).st_size
    finally:
        os.close(file)
    # It could never be read: copying it would only cost the disk.
    return f"is larger than {FILE_BYTES_MAX} bytes" if size > FILE_BYTES_MAX else ""


def _target(entry: Path, top: Path) -> Path:
    """What a link below a given folder points to. One that leads out of the folder is refused.

    Raises `OSError` where it points to nothing or to itself.
    """
    # Without `strict` first: where it leads is asked before whether there is something.
    if not Path(os.path.realpath(entry)).is_relative_to(top):
        raise WorkspaceError(
            f"{_shown(str(entry))}: is a symbolic link that leads out of {top}",
            hint="give what it points to by its own path, or remove the link",
        )
    return Path(os.path.realpath(entry, strict=True))


def _holds_nothing(path: Path, passed: Sequence[LeftOut]) -> WorkspaceError:
    first = f" ({passed[0].path}: {passed[0].why})" if passed else ""
    return WorkspaceError(f"{path}: holds no file that can be read{first}", hint="name text files")


def _size_of(source: Path) -> int:
    with suppress(FileNotFoundError):  # gone since it was listed: the copy says so
        return source.stat().st_size
    return 0


def _check_given(sources: dict[str, Path]) -> None:
    if len(sources) > GIVEN_FILES_MAX:
        raise WorkspaceError(
            f"{len(sources)} files are given, the bound is {GIVEN_FILES_MAX}",
            hint="give a smaller folder",
        )
    with _translated("the files given"):
        size = sum(map(_size_of, sources.values()))
    if size > GIVEN_BYTES_MAX:
        raise WorkspaceError(
            f"the files given hold {size} bytes, the bound is {GIVEN_BYTES_MAX}",
            hint="give fewer files",
        )


# --- errors -----------------------------------------------------------------------------------


@contextmanager
def _translated(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what, hint = _reason(error)
        raise WorkspaceError(f"{path}: {what}", hint=hint) from error


def _reason(error: OSError) -> tuple[str, str]:
    """What is wrong, and what helps."""
    unknown = (error.strerror or type(error).__name__, "look at the folder")
    return _REASONS.get(error.errno or 0, unknown)


_REASONS: Final[dict[int, tuple[str, str]]] = {
    errno.ENOSPC: (
        "the disk is full; what was there before is unchanged",
        "free space on the workspace's volume",
    ),
    errno.EDQUOT: (
        "the quota is used up; what was there before is unchanged",
        "raise the quota or free space",
    ),
    errno.EROFS: ("the volume is read-only", "mount the workspace so that it can be written"),
    errno.EACCES: ("permission denied", "let the user that swarmd runs as read and write there"),
    errno.EPERM: (
        "operation not permitted",
        "let the user that swarmd runs as read and write there",
    ),
    errno.ENOENT: ("does not exist", "look at the names of the mission's files"),
    errno.ENOTDIR: ("a part of it is a file, not a folder", "write under another name"),
    errno.EISDIR: ("is a folder", "name a file in it"),
    errno.ENAMETOOLONG: ("is too long a name", f"use names of at most {NAME_BYTES_MAX} bytes"),
    errno.ELOOP: ("is a symbolic link to itself, or one of too many", "remove the link"),
    errno.EMFILE: ("too many files are open", "raise the limit of open files (ulimit -n)"),
    errno.EIO: ("the disk failed", "check the workspace's volume"),
}


def _missing(path: str) -> WorkspaceError:
    return WorkspaceError(
        f"{path}: does not exist", hint="use a name from the mission's list of files"
    )


def _is_link(path: str) -> WorkspaceError:
    return WorkspaceError(
        f"{path}: is a symbolic link, which is never followed", hint="name the file itself"
    )


def _is_special(path: str) -> WorkspaceError:
    return WorkspaceError(f"{path}: is a device, pipe or socket", hint="name a plain file")


def _too_large(path: str) -> WorkspaceError:
    return WorkspaceError(
        f"{path}: is larger than {FILE_BYTES_MAX} bytes", hint="split it into smaller files"
    )
