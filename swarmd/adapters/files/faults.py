"""What is wrong with a file, in words for whoever named it."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from swarmd.adapters.files.bounds import FILE_BYTES_MAX, NAME_BYTES_MAX
from swarmd.errors import WorkspaceError


@contextmanager
def translated(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what, hint = reason_of(error)
        raise WorkspaceError(f"{path}: {what}", hint=hint) from error


def reason_of(error: OSError) -> tuple[str, str]:
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


def missing_fault(path: str) -> WorkspaceError:
    return WorkspaceError(
        f"{path}: does not exist", hint="use a name from the mission's list of files"
    )


def link_fault(path: str) -> WorkspaceError:
    return WorkspaceError(
        f"{path}: is a symbolic link, which is never followed", hint="name the file itself"
    )


def special_fault(path: str) -> WorkspaceError:
    return WorkspaceError(f"{path}: is a device, pipe or socket", hint="name a plain file")


def size_fault(path: str) -> WorkspaceError:
    return WorkspaceError(
        f"{path}: is larger than {FILE_BYTES_MAX} bytes", hint="split it into smaller files"
    )
