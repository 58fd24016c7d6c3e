"""A mission's files on a volume that all workers share, and the read-only knowledge folder beside it.

`ROOT/<mission>/given/` is the snapshot that came with the mission, `ROOT/<mission>/work/` what its
agents write. Invariant: whatever a path says, nothing outside these folders is read or written. A path
is walked one component at a time, each opened relative to the folder before it and never through a
symbolic link, so that renaming a folder into a link between check and use gains nothing.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from swarmd.adapters.retrieval import Listed, Retrieval, lines_of
from swarmd.core.names import ID_PATTERN, MissionId
from swarmd.errors import WorkspaceError
from swarmd.logs import logger
from swarmd.ports import Passage

# --- bounds, all of them ----------------------------------------------------------------------

# The longest text that `write_file` takes is 1,000,000 characters, at most 4 bytes each: what can be
# written can be read. A text file larger than this is data, and would fill a prompt many times over.
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
NAME_BYTES_MAX: Final = 255  # what common file systems take; said here in words instead of ENAMETOOLONG
SNIFF_BYTES: Final = 8 * 1024  # a NUL in these means binary, as git decides it

assert WRITE_BYTES_MAX <= FILE_BYTES_MAX, "what is written must be readable"
assert READ_BYTES_MAX <= FILE_BYTES_MAX

# Folders that tools fill and nobody means when naming the folder above them.
JUNK: Final = frozenset({"__pycache__", "node_modules", "venv", "site-packages"})
MARKER: Final = ".swarmd-workspace"
RESERVED: Final = ".swarmd-"  # our temporary names; an agent's file may not look like one

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_BENEATH: Final = _FOLDER | os.O_NOFOLLOW
# Non-blocking, for opening a pipe that nobody writes to would otherwise wait for ever.
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

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

    `root` and `knowledge` are the operator's and may themselves be links. Without `knowledge` there is
    only what the mission has. A finished write survives a crash of the machine; one that was cut short
    leaves the old version.
    """

    def __init__(self, root: Path, knowledge: Path | None, policies: Path | None = None) -> None:
        """`policies` is the swarm's own knowledge: readable as `policies/…` where nothing hides it."""
        self._root = root
        self._knowledge = knowledge
        self._policies = policies
        self._retrieval = Retrieval()

    # --- reading ------------------------------------------------------------------------------

    def names(self, mission: MissionId, wanted: Sequence[str]) -> tuple[str, ...]:
        """The files that `wanted` stands for, sorted; `.` is all that the mission itself
        has, or else the whole knowledge folder.

        Below a folder, hidden files, links and what tools leave behind are passed over. Raises
        `WorkspaceError` for what does not exist.
        """
        found: set[str] = set()
        for name in wanted:
            found |= self._below(mission, name)
        return tuple(sorted(found))

    def read(self, mission: MissionId, path: str, start: int, lines: int) -> tuple[str, ...]:
        """Up to `lines` lines from line `start` on (from 1), at most `READ_BYTES_MAX` bytes of them.

        A line that does not fit whole ends the answer, and is itself cut only where it comes first.
        """
        text = self._text(mission, path)
        return _bounded(lines_of(text)[start - 1 : start - 1 + lines])

    def search(self, mission: MissionId, query: str, names: Sequence[str], top: int) -> tuple[Passage, ...]:
        """Best first. What is too large, binary or not UTF-8 is left out, which the log says."""
        listed = [self._listed(mission, name) for name in self.names(mission, names)]
        small = [entry for entry in listed if entry.size <= FILE_BYTES_MAX]
        for entry in listed:
            if entry.size > FILE_BYTES_MAX:
                logger(__name__).warning(
                    "file left out of a search: too large", path=entry.path, bytes=entry.size
                )
        return self._retrieval.search(mission, small, lambda path: self._text(mission, path), query, top)

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
        """Copy `paths` (of the caller's machine) to the mission's given files; returns their names there.

        A name is relative to `cwd` where the path is beneath it, else the last part of the path. A
        repeated snapshot replaces the one before as a whole.
        """
        _check_mission(mission)
        sources: dict[str, Path] = {}
        names: list[str] = []
        for path in paths:
            name, whole = _snapshot_name(path, cwd)
            found = list(_sources(whole, name))
            if not found:
                raise WorkspaceError(f"{path}: holds no file that can be read", hint="name text files")
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
            self._copy(mission, sources)
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

    def _below(self, mission: MissionId, name: str) -> set[str]:
        given, work, *others = self._layers(mission)
        if name in (".", "./"):
            return self._all_below(given, work, others)
        parts = _parts(name)
        first, second = _files_of(given, parts), _files_of(work, parts)
        # A name that came with the mission hides the same name of the knowledge folder, or `--files
        # docs` would silently search somebody else's docs as well.
        third = None
        if first is None:
            elsewhere = (_files_of(layer, parts) for layer in others if layer.shows(parts))
            third = next((found for found in elsewhere if found is not None), None)
        if first is None and second is None and third is None:
            raise _missing(name)
        return (first or set()) | (second or set()) | (third or set())

    def _all_below(self, given: _Layer, work: _Layer, others: Sequence[_Layer]) -> set[str]:
        """All that the mission itself has; of one that has no folder yet, the whole knowledge folder."""
        first, second = _files_of(given, ()), _files_of(work, ())
        if first is None and second is None:
            return set().union(*(_files_of(layer, ()) or set() for layer in others if not layer.only))
        return (first or set()) | (second or set())

    def _listed(self, mission: MissionId, path: str) -> Listed:
        return self._first(mission, path, _listed)

    def _text(self, mission: MissionId, path: str) -> str:
        content = self._first(mission, path, _content)
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
                with suppress(FileNotFoundError), _folder(layer.start, (*layer.parts, *parts[:-1])) as folder:
                    return use(folder, parts[-1], path)
        raise _missing(path)

    def _check_not_given(self, mission: MissionId, path: str, parts: tuple[str, ...]) -> None:
        """Reading looks among the given files first: a file written over one would never be seen."""
        for length in range(1, len(parts) + 1):
            with suppress(FileNotFoundError):
                with _folder(self._root, (mission, "given", *parts[: length - 1])) as folder:
                    mode = os.stat(parts[length - 1], dir_fd=folder, follow_symlinks=False).st_mode
                if length == len(parts) or not stat.S_ISDIR(mode):
                    raise WorkspaceError(
                        f"{path}: {'/'.join(parts[:length])} was given with the mission and is read-only",
                        hint="write under another name",
                    )

    def _check_room(self, mission: MissionId, path: str, parts: tuple[str, ...], size: int) -> None:
        with _folder(self._root, (mission, "work")) as folder:
            held = {name: entry.st_size for name, entry in _walk(folder, "", _every)}
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

    def _copy(self, mission: MissionId, sources: dict[str, Path]) -> None:
        """Into a folder of its own first: a snapshot that was cut short is never taken for a whole one."""
        fresh = f"{RESERVED}given-{secrets.token_hex(8)}"
        with _folder(self._root, (mission,), create=True) as home:
            os.mkdir(fresh, dir_fd=home)
            with ExitStack() as undo:
                undo.callback(shutil.rmtree, fresh, dir_fd=home, ignore_errors=True)
                for name, source in sources.items():
                    *above, last = name.split("/")
                    with _folder(self._root, (mission, fresh, *above), create=True) as folder:
                        _create(folder, last, _outside_content(source))
                # Flushed after all were written: the file system then commits many at a time.
                for name in sources:
                    *above, last = name.split("/")
                    with _folder(self._root, (mission, fresh, *above)) as folder:
                        _flush(folder, last)
                _swap(home, fresh, "given")
                undo.pop_all()


# --- paths ------------------------------------------------------------------------------------


def _parts(path: str) -> tuple[str, ...]:
    """The components of a name relative to the mission, or `WorkspaceError` saying what is wrong with it."""
    wrong = _fault(path)
    if wrong:
        raise WorkspaceError(
            f"{path[:200]!r}: {wrong}", hint="use a name relative to the mission's folder, like docs/a.md"
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
    if not path.isprintable():
        # A line feed or a bidirectional mark in a name could dress up as something else in a report.
        return "has a character that cannot be printed"
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
    return not name.startswith(".") and name not in JUNK and name.isprintable()


def _every(name: str) -> bool:
    return True


def _files_of(layer: _Layer, parts: tuple[str, ...]) -> set[str] | None:
    """The files that a name stands for in one layer, as full names; `None` where it has no such name."""
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
            return {below for below, _ in _walk(folder, f"{name}/" if name else "", _wanted)}
    return None


def _walk(
    folder: int, prefix: str, wanted: Callable[[str], bool], depth: int = 0
) -> Iterator[tuple[str, os.stat_result]]:
    """Regular files below an open folder, with their facts; links and devices are passed over."""
    seen = 0
    with os.scandir(folder) as entries:
        listed = sorted(entry.name for entry in entries if wanted(entry.name))
    for name in listed:
        try:
            facts = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if stat.S_ISREG(facts.st_mode):
                yield prefix + name, facts
                seen += 1
            elif stat.S_ISDIR(facts.st_mode) and depth < DEPTH_MAX:
                below = os.open(name, _BENEATH, dir_fd=folder)
                try:
                    for found in _walk(below, f"{prefix}{name}/", wanted, depth + 1):
                        yield found
                        seen += 1
                finally:
                    os.close(below)
        except FileNotFoundError:
            continue  # another agent replaced or removed it while we walked
        if seen > LISTED_MAX:
            raise WorkspaceError(
                f"{prefix or './'}: holds more than {LISTED_MAX} files", hint="name a smaller folder"
            )


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
    return Listed(path, (facts.st_mtime_ns, facts.st_size, facts.st_ino), facts.st_size)


def _content(folder: int, name: str, path: str) -> bytes:
    with open(_open_regular(folder, name, path), "rb") as file:
        # One byte more than allowed, whatever its size was said to be: the file may grow meanwhile.
        content = file.read(FILE_BYTES_MAX + 1)
    if len(content) > FILE_BYTES_MAX:
        raise _too_large(path)
    return content


def _outside_content(source: Path) -> bytes:
    with _translated(str(source)), _folder(source.parent, ()) as folder:
        return _content(folder, source.name, str(source))


def _encoded(path: str, text: str) -> bytes:
    try:
        content = text.encode()
    except UnicodeEncodeError as error:
        raise WorkspaceError(
            f"{path}: its text cannot be written as UTF-8", hint="leave out half characters (surrogates)"
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
        raise WorkspaceError(f"{path}: is a folder or a device, not a file", hint="write under another name")


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
    """Put folder `fresh` in the place of `name`. Between the two renames there is none: repeat then."""
    former = f"{RESERVED}former-{secrets.token_hex(8)}"
    with suppress(FileNotFoundError):
        os.rename(name, former, src_dir_fd=home, dst_dir_fd=home)
    os.rename(fresh, name, src_dir_fd=home, dst_dir_fd=home)
    os.fsync(home)
    shutil.rmtree(former, dir_fd=home, ignore_errors=True)


def _mark(root: int) -> str:
    """Write the marker unless another process was first: a hard link never replaces what is there."""
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
        whole = here.resolve(strict=True)
    if name != ".":
        _parts(name)
    return name, whole


def _sources(whole: Path, name: str) -> Iterable[tuple[str, Path]]:
    """The files that a given path stands for, as name in the mission and place on this machine."""
    if not whole.is_dir():
        with _translated(str(whole)):
            facts = whole.stat()
        if not stat.S_ISREG(facts.st_mode):
            raise _is_special(str(whole))
        if facts.st_size > FILE_BYTES_MAX:
            raise _too_large(str(whole))
        return [(name, whole)]
    prefix = "" if name == "." else f"{name}/"
    with _translated(str(whole)):
        return list(_sources_below(whole, whole, prefix))


def _sources_below(folder: Path, top: Path, prefix: str, depth: int = 0) -> Iterator[tuple[str, Path]]:
    for entry in sorted(folder.iterdir()):
        if not _wanted(entry.name):
            continue
        if entry.is_symlink():
            yield from _linked(entry, top, prefix)
        elif entry.is_dir() and depth < DEPTH_MAX:
            yield from _sources_below(entry, top, f"{prefix}{entry.name}/", depth + 1)
        elif entry.is_file():
            if entry.stat().st_size > FILE_BYTES_MAX:
                # It could never be read: copying it would only cost the disk.
                logger(__name__).warning("file not given to the mission: too large", path=str(entry))
            else:
                yield prefix + entry.name, entry


def _linked(entry: Path, top: Path, prefix: str) -> Iterator[tuple[str, Path]]:
    """A link to a file of the same folder is that file; one to a folder adds nothing; others are refused."""
    target = entry.resolve()
    if not target.is_relative_to(top):
        raise WorkspaceError(
            f"{entry}: is a symbolic link that leads out of {top}",
            hint="give what it points to by its own path, or remove the link",
        )
    if target.is_file() and target.stat().st_size <= FILE_BYTES_MAX:
        yield prefix + entry.name, target


def _check_given(sources: dict[str, Path]) -> None:
    if len(sources) > GIVEN_FILES_MAX:
        raise WorkspaceError(
            f"{len(sources)} files are given, the bound is {GIVEN_FILES_MAX}", hint="give a smaller folder"
        )
    with _translated("the files given"):
        size = sum(source.stat().st_size for source in sources.values())
    if size > GIVEN_BYTES_MAX:
        raise WorkspaceError(
            f"the files given hold {size} bytes, the bound is {GIVEN_BYTES_MAX}", hint="give fewer files"
        )


# --- errors -----------------------------------------------------------------------------------


@contextmanager
def _translated(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        code = error.errno or 0
        what, hint = _REASONS.get(code, (error.strerror or type(error).__name__, "look at the folder"))
        raise WorkspaceError(f"{path}: {what}", hint=hint) from error


_REASONS: Final[dict[int, tuple[str, str]]] = {
    errno.ENOSPC: ("the disk is full; what was there before is unchanged", "free space on the workspace's volume"),
    errno.EDQUOT: ("the quota is used up; what was there before is unchanged", "raise the quota or free space"),
    errno.EROFS: ("the volume is read-only", "mount the workspace so that it can be written"),
    errno.EACCES: ("permission denied", "let the user that swarmd runs as read and write there"),
    errno.EPERM: ("operation not permitted", "let the user that swarmd runs as read and write there"),
    errno.ENOENT: ("does not exist", "look at the names of the mission's files"),
    errno.ENOTDIR: ("a part of it is a file, not a folder", "write under another name"),
    errno.EISDIR: ("is a folder", "name a file in it"),
    errno.ENAMETOOLONG: ("is too long a name", f"use names of at most {NAME_BYTES_MAX} bytes"),
    errno.EMFILE: ("too many files are open", "raise the limit of open files (ulimit -n)"),
    errno.EIO: ("the disk failed", "check the workspace's volume"),
}  # fmt: skip


def _missing(path: str) -> WorkspaceError:
    return WorkspaceError(f"{path}: does not exist", hint="use a name from the mission's list of files")


def _is_link(path: str) -> WorkspaceError:
    return WorkspaceError(f"{path}: is a symbolic link, which is never followed", hint="name the file itself")


def _is_special(path: str) -> WorkspaceError:
    return WorkspaceError(f"{path}: is a device, pipe or socket", hint="name a plain file")


def _too_large(path: str) -> WorkspaceError:
    return WorkspaceError(
        f"{path}: is larger than {FILE_BYTES_MAX} bytes", hint="split it into smaller files"
    )
