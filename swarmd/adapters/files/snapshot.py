"""The files that come with a mission: found on the caller's machine, and copied as a whole."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from swarmd.adapters.files.bounds import FILE_BYTES_MAX, GIVEN_BYTES_MAX, GIVEN_FILES_MAX
from swarmd.adapters.files.content import (
    OPEN_FILE,
    create_file,
    flush_file,
    read_outside,
    swap_folder,
)
from swarmd.adapters.files.faults import reason_of, size_fault, special_fault, translated
from swarmd.adapters.files.listing import fault_of_entry, is_wanted, name_left_out
from swarmd.adapters.files.paths import RESERVED, open_folder, parts_of_name, show_path
from swarmd.core.model.names import MissionId
from swarmd.errors import WorkspaceError
from swarmd.ports.files import LeftOut


@dataclass(frozen=True, slots=True)
class Given:
    """By name in the mission, where each file is on this machine. `names` are those of what was
    given, and `passed` what is not among it.
    """

    sources: dict[str, Path] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    passed: list[LeftOut] = field(default_factory=list)


def collect_sources(paths: Sequence[Path], cwd: Path) -> Given:
    """The files that `paths` stand for. Raises `WorkspaceError` where they cannot be given."""
    given = Given()
    for path in paths:
        _add_sources(given, path, cwd)
    _check_given(given.sources)
    return given


def _add_sources(given: Given, path: Path, cwd: Path) -> None:
    name, whole = _snapshot_name(path, cwd)
    found = list(_sources_of(whole, name, given.passed))
    if not found:
        raise _holds_nothing(path, given.passed)
    # The current folder has no name of its own there: what is at its top stands for it.
    given.names.extend([name] if name != "." else [below.split("/")[0] for below, _ in found])
    for below, source in found:
        if given.sources.setdefault(below, source) != source:
            raise WorkspaceError(
                f"{path}: another of the files given is already named {below}",
                hint="start in a folder above both, or give them in two missions",
            )


def copy_sources(root: Path, mission: MissionId, given: Given) -> None:
    """Into a folder of its own first: a snapshot that was cut short is never taken for a whole
    one.
    """
    fresh = f"{RESERVED}given-{secrets.token_hex(8)}"
    with open_folder(root, (mission,), create=True) as home:
        os.mkdir(fresh, dir_fd=home)
        with ExitStack() as undo:
            undo.callback(shutil.rmtree, fresh, dir_fd=home, ignore_errors=True)
            target = _Target(root, (mission, fresh))
            copied = [name for name in given.sources if target.copy(given, name)]
            # Flushed after all were written: the file system then commits many at a time.
            for name in copied:
                target.flush(name)
            swap_folder(home, fresh, "given")
            undo.pop_all()


@dataclass(frozen=True, slots=True)
class _Target:
    """The folder that files are copied into: `parts` below `root`."""

    root: Path
    parts: tuple[str, ...]

    def copy(self, given: Given, name: str) -> bool:
        """Whether it was copied. A file that cannot be read any more is passed over, unless it was
        given by its own name.
        """
        source = given.sources[name]
        try:
            content = read_outside(source)
        except WorkspaceError as error:
            if name in given.names:
                raise
            given.passed.append(name_left_out(name, error.what.removeprefix(f"{source}: ")))
            return False
        *above, last = name.split("/")
        with open_folder(self.root, (*self.parts, *above), create=True) as folder:
            create_file(folder, last, content)
        return True

    def flush(self, name: str) -> None:
        *above, last = name.split("/")
        with open_folder(self.root, (*self.parts, *above)) as folder:
            flush_file(folder, last)


# --- finding them -----------------------------------------------------------------------------


def _snapshot_name(path: Path, cwd: Path) -> tuple[str, Path]:
    """What a path is called in the mission, and where it really is.

    The path itself may be a link: whoever gives it may read what it points to.
    """
    with translated(str(path)):
        here = Path(os.path.normpath(cwd / path))
        name = here.relative_to(cwd).as_posix() if here.is_relative_to(cwd) else here.name
        # Not `Path.resolve`, which raises a RuntimeError for a loop of links up to Python 3.12.
        whole = Path(os.path.realpath(here, strict=True))
    if name != ".":
        parts_of_name(name)
    return name, whole


def _sources_of(whole: Path, name: str, passed: list[LeftOut]) -> Iterable[tuple[str, Path]]:
    """The files that a given path stands for, as name in the mission and place on this machine.

    What is passed over below a folder is added to `passed`, by its name in the mission.
    """
    with translated(str(whole)):
        facts = whole.stat()
        if stat.S_ISDIR(facts.st_mode):
            entries = sorted(os.listdir(whole))
            prefix = "" if name == "." else f"{name}/"
            return list(_sources_below(whole, entries, whole, prefix, passed))
    if not stat.S_ISREG(facts.st_mode):
        raise special_fault(str(whole))
    if facts.st_size > FILE_BYTES_MAX:
        raise size_fault(str(whole))
    return [(name, whole)]


def _sources_below(
    folder: Path, entries: Sequence[str], top: Path, prefix: str, passed: list[LeftOut]
) -> Iterator[tuple[str, Path]]:
    for entry in filter(is_wanted, entries):
        try:
            yield from _source_at(folder / entry, top, prefix + entry, passed)
        except FileNotFoundError:
            # Otherwise it went away while we walked.
            if os.path.islink(folder / entry):
                passed.append(
                    name_left_out(prefix + entry, "is a symbolic link that points to nothing")
                )
        except OSError as error:
            passed.append(name_left_out(prefix + entry, reason_of(error)[0]))


def _source_at(
    entry: Path, top: Path, name: str, passed: list[LeftOut]
) -> Iterator[tuple[str, Path]]:
    mode = entry.lstat().st_mode
    is_link = stat.S_ISLNK(mode)
    if is_link:
        entry = _link_target(entry, top)
        mode = entry.stat().st_mode
    fault = fault_of_entry(name, mode)
    if not fault and stat.S_ISREG(mode):
        fault = _fault_of_source(entry)
    if fault:
        passed.append(name_left_out(name, fault))
    elif stat.S_ISREG(mode):
        yield name, entry
    elif not is_link:  # a link to a folder of the same tree adds nothing
        yield from _sources_below(entry, sorted(os.listdir(entry)), top, f"{name}/", passed)


def _fault_of_source(source: Path) -> str:
    """Why a file is not copied. It is opened here, so that one without permission does not end
    the others.
    """
    file = os.open(source, OPEN_FILE)
    try:
        size = os.fstat(file).st_size
    finally:
        os.close(file)
    # It could never be read: copying it would only cost the disk.
    return f"is larger than {FILE_BYTES_MAX} bytes" if size > FILE_BYTES_MAX else ""


def _link_target(entry: Path, top: Path) -> Path:
    """What a link below a given folder points to. One that leads out of the folder is refused.

    Raises `OSError` where it points to nothing or to itself.
    """
    # Without `strict` first: where it leads is asked before whether there is something.
    if not Path(os.path.realpath(entry)).is_relative_to(top):
        raise WorkspaceError(
            f"{show_path(str(entry))}: is a symbolic link that leads out of {top}",
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
    with translated("the files given"):
        size = sum(map(_size_of, sources.values()))
    if size > GIVEN_BYTES_MAX:
        raise WorkspaceError(
            f"the files given hold {size} bytes, the bound is {GIVEN_BYTES_MAX}",
            hint="give fewer files",
        )
