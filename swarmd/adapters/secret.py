"""The swarm's secret: a file that all its processes hold and Redis does not.

`SWARMD_SECRET_FILE` names it; without that it is `secret` in the data folder, made by the first
daemon part that starts there. Invariant: a file that this process made is never written again, so
that two which start at once agree on whichever was there first.
"""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from swarmd.core.bus.envelope import SECRET_BYTES_MIN
from swarmd.errors import UsageError

_NAME: Final = "secret"
# A secret is a line: what is longer is another file, named by mistake.
_BYTES_MAX: Final = 4_096
_GROUP_MAY_READ: Final = 0o640
_OWNER_MAY_READ: Final = 0o600


def make(data: Path) -> None:
    """Makes the data folder's secret where it has none. Raises `UsageError` where it cannot be
    kept.
    """
    path = data / _NAME
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        _make_file(path)
    except OSError as error:
        raise _unreadable(path, error) from error


def read(data: Path, named: Path | None, *, is_elsewhere: bool) -> str:
    """The secret: of the file `named`, else of the data folder; `is_elsewhere` where the server is
    `REDIS_URL`'s.

    Raises `UsageError` where there is none, or none that may be used, with what to do about it.
    """
    if named is not None:
        try:
            return _read_secret(
                named, "SWARMD_SECRET_FILE names it: copy the swarm's secret there, with mode 600"
            )
        except UsageError as error:
            raise UsageError(f"SWARMD_SECRET_FILE: {error.what}", hint=error.hint) from error
    way_out = "start the swarm first: `swarmd up`"
    if is_elsewhere:
        way_out = (
            "the swarm at REDIS_URL has it in the data folder of its first daemon part: copy it, "
            "with mode 600, and name the copy in SWARMD_SECRET_FILE"
        )
    return _read_secret(data / _NAME, way_out)


def _make_file(path: Path) -> None:
    """Written whole beside it, then linked to its name: nobody reads half, and who is second
    changes nothing.
    """
    fresh = path.with_name(f"{_NAME}.{secrets.token_hex(8)}")
    _make_folder(path.parent)
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_MAY_READ)
        try:
            _write_new(descriptor)
            with suppress(FileExistsError):
                path.hardlink_to(fresh)
        finally:
            fresh.unlink()
    except OSError as error:
        raise UsageError(
            f"the swarm's secret cannot be kept in {path}: {error.strerror}",
            hint=(
                "make the data folder writable, or put a secret into a file and name it in "
                "SWARMD_SECRET_FILE"
            ),
        ) from error


def _write_new(descriptor: int) -> None:
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(SECRET_BYTES_MIN) + "\n")
        file.flush()
        # A secret that a crash takes away leaves a swarm whose messages nobody may read.
        os.fsync(file.fileno())


def _make_folder(data: Path) -> None:
    """It is the first thing that a daemon part makes, so who named a folder that cannot be made is
    told of it here.
    """
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"the data folder {data} cannot be made: {error.strerror}",
            hint="name a folder that can be written to, with --data or SWARMD_DATA",
        ) from error


def _read_secret(path: Path, way_out: str) -> str:
    try:
        # A pipe is read as empty, where to open it would wait for a writer for ever.
        with open(path, "rb", opener=lambda name, how: os.open(name, how | os.O_NONBLOCK)) as file:
            _refuse_what_others_read(path, os.fstat(file.fileno()))
            raw = file.read(_BYTES_MAX + 1).strip()
    except FileNotFoundError as error:
        raise UsageError(f"there is no secret of this swarm at {path}", hint=way_out) from error
    except OSError as error:
        raise _unreadable(path, error) from error
    if not SECRET_BYTES_MIN <= len(raw) <= _BYTES_MAX or not raw.isascii():
        raise UsageError(
            f"{path} holds no secret: {SECRET_BYTES_MIN} to {_BYTES_MAX} ASCII characters are one",
            hint="copy the swarm's, or make one for a new swarm: openssl rand -hex 32",
        )
    return raw.decode()


def _unreadable(path: Path, error: OSError) -> UsageError:
    return UsageError(
        f"the swarm's secret in {path} cannot be read: {error.strerror}",
        hint=(
            "run as the user that the swarm runs as, or name a copy of your own in "
            "SWARMD_SECRET_FILE"
        ),
    )


def _refuse_what_others_read(path: Path, status: os.stat_result) -> None:
    """As PostgreSQL does with its key: a file of root's may be read by a group (a mounted secret is
    that), a file of anybody else's by its owner alone.
    """
    allowed = _GROUP_MAY_READ if status.st_uid == 0 else _OWNER_MAY_READ
    mode = stat.S_IMODE(status.st_mode)
    if mode & ~allowed & 0o077:
        raise UsageError(
            f"the secret in {path} can be read by others (mode {mode:04o})",
            hint=f"chmod 600 {path}",
        )
