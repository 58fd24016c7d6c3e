"""Files read whole and written whole: what was cut short leaves the old version."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

from swarmd.adapters.files.bounds import FILE_BYTES_MAX, SNIFF_BYTES, WRITE_BYTES_MAX
from swarmd.adapters.files.faults import link_fault, size_fault, special_fault, translated
from swarmd.adapters.files.paths import RESERVED, open_folder
from swarmd.adapters.files.search import Listed
from swarmd.errors import WorkspaceError

MARKER: Final = ".swarmd-workspace"

# Non-blocking, for opening a pipe that nobody writes to would otherwise wait for ever.
OPEN_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")  # the marks that such a file begins with


def _open_regular(folder: int, name: str, path: str) -> int:
    try:
        file = os.open(name, OPEN_FILE, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise link_fault(path) from error
        if error.errno == errno.ENXIO:
            raise special_fault(path) from error
        raise
    mode = os.fstat(file).st_mode
    if stat.S_ISREG(mode):
        return file
    os.close(file)
    if stat.S_ISDIR(mode):
        raise WorkspaceError(f"{path}: is a folder", hint="name a file in it, or search it")
    raise special_fault(path)


def list_file(folder: int, name: str, path: str) -> Listed:
    facts = os.stat(name, dir_fd=folder, follow_symlinks=False)
    # With the time of the last change of its rights: what may be read now is read again.
    stamp = (facts.st_mtime_ns, facts.st_ctime_ns, facts.st_size, facts.st_ino)
    return Listed(path, stamp, facts.st_size)


def read_bytes(folder: int, name: str, path: str) -> bytes:
    with open(_open_regular(folder, name, path), "rb") as file:
        # One byte more than allowed, whatever its size was said to be: the file may grow meanwhile.
        content = file.read(FILE_BYTES_MAX + 1)
    if len(content) > FILE_BYTES_MAX:
        raise size_fault(path)
    return content


def read_own(home: int, name: str) -> bytes:
    """What is kept under one of our own names; nothing where it is not."""
    try:
        return read_bytes(home, name, name)
    except (FileNotFoundError, WorkspaceError):
        return b""


def read_outside(source: Path) -> bytes:
    with translated(str(source)), open_folder(source.parent, ()) as folder:
        return read_bytes(folder, source.name, str(source))


def encode(path: str, text: str) -> bytes:
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
        raise size_fault(path)
    return content


def check_replaceable(folder: int, path: str, name: str) -> None:
    try:
        mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return
    if stat.S_ISLNK(mode):
        raise link_fault(path)
    if not stat.S_ISREG(mode):
        raise WorkspaceError(
            f"{path}: is a folder or a device, not a file", hint="write under another name"
        )


def is_there(folder: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def replace_file(folder: int, name: str, content: bytes) -> None:
    temporary = f"{RESERVED}{secrets.token_hex(8)}.tmp"
    with ExitStack() as undo:
        undo.callback(_remove_quietly, folder, temporary)
        create_file(folder, temporary, content)
        flush_file(folder, temporary)
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        undo.pop_all()
    os.fsync(folder)


def _remove_quietly(folder: int, name: str) -> None:
    with suppress(OSError):
        os.unlink(name, dir_fd=folder)


def create_file(folder: int, name: str, content: bytes) -> None:
    # Unbuffered: a full disk is told by the write itself, not by a close that comes too late.
    with open(os.open(name, _NEW_FILE, 0o666, dir_fd=folder), "wb", buffering=0) as file:
        rest = memoryview(content)
        while rest:
            rest = rest[file.write(rest) :]


def flush_file(folder: int, name: str) -> None:
    file = os.open(name, OPEN_FILE, dir_fd=folder)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def swap_folder(home: int, fresh: str, name: str) -> None:
    """Put folder `fresh` in the place of `name`. Between the two renames there is none: repeat
    then.
    """
    former = f"{RESERVED}former-{secrets.token_hex(8)}"
    with suppress(FileNotFoundError):
        os.rename(name, former, src_dir_fd=home, dst_dir_fd=home)
    os.rename(fresh, name, src_dir_fd=home, dst_dir_fd=home)
    os.fsync(home)
    shutil.rmtree(former, dir_fd=home, ignore_errors=True)


def add_file(folder: int, name: str, content: bytes) -> bool:
    """Write a whole file unless something has its name: a hard link never replaces what is there.
    Says whether it was written.
    """
    temporary = f"{RESERVED}{secrets.token_hex(8)}.tmp"
    with ExitStack() as undo:
        undo.callback(_remove_quietly, folder, temporary)
        create_file(folder, temporary, content)
        flush_file(folder, temporary)
        try:
            os.link(temporary, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
        except FileExistsError:
            return False
    os.fsync(folder)
    return True


def write_marker(root: int) -> str:
    """Write the marker unless another process was first."""
    add_file(root, MARKER, f"{secrets.token_hex(16)}\n".encode())
    return read_bytes(root, MARKER, MARKER).decode("ascii", "replace").strip()


def decode_text(path: str, content: bytes) -> str:
    """Raises `WorkspaceError` for what is no text in UTF-8."""
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
