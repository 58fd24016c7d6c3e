"""What a data folder tells of its server: whether it keeps data, and who serves it."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal

from swarmd.adapters.redis.connection.address import Address
from swarmd.adapters.redis.connection.sync_client import ErrorReply, Wire
from swarmd.errors import StoreUnavailableError, UsageError

PING_SECONDS: Final = 0.2

SOCKET: Final = "redis.sock"
LOCK: Final = "owner.lock"
RECORD: Final = "server.json"
LOG: Final = "server.log"
AOF: Final = "appendonlydir"


@dataclass(frozen=True, slots=True)
class ServerRecord:
    """`server.json`: which server was last started here, for those who look for it.

    It names its folder, because a folder is also copied: the copy must not end, or use, the server
    of the original.
    """

    pid: int
    socket: str
    momentary: bool
    data: str

    @classmethod
    def read(cls, data: Path) -> ServerRecord | None:
        try:
            # A pipe is read as empty, where to open it would wait for a writer for ever.
            with open(data / RECORD, "rb", opener=_open_at_once) as file:
                fields = json.loads(file.read())
            record = cls(
                int(fields["pid"]), str(fields["socket"]), bool(fields["momentary"]), fields["data"]
            )
        except (OSError, ValueError, KeyError, TypeError):
            # Absent, or cut short by a full disk: then nothing is known, and the default place is
            # looked at.
            return None
        return record if record.data == str(data) else None

    def write(self) -> None:
        place = Path(self.data) / RECORD
        draft = place.with_suffix(".new")
        draft.write_text(json.dumps(asdict(self)))
        draft.replace(place)


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def whole_path(folder: Path) -> Path:
    """A folder's full path. (`Path.resolve` raises a RuntimeError for a loop of links up to
    Python 3.12.)
    """
    return Path(os.path.realpath(folder))


def live_socket(data: Path) -> Path | None:
    """The socket of the live server of this folder. One that runs only for a verb's moment does
    not count.
    """
    record = ServerRecord.read(whole_path(data))
    if record is None or record.momentary:
        return None
    return Path(record.socket) if probe_socket(record.socket) != "absent" else None


def has_data(data: Path) -> bool:
    """Whether a server has ever kept anything in this folder. Raises `UsageError` where that cannot
    be seen.
    """
    try:
        return stat.S_ISDIR((data / AOF).stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise UsageError(
            f"the data folder {data} cannot be looked at: {error.strerror}",
            hint="run as the user that the swarm runs as, or name another folder (SWARMD_DATA)",
        ) from error


def probe_socket(socket: str) -> Literal["absent", "loading", "serving"]:
    try:
        with Wire(Address(path=socket), seconds=PING_SECONDS) as wire:
            reply = wire.command("PING")
    except StoreUnavailableError as error:
        # Loading one large value, it accepts and does not answer: that is a server, and not yet
        # ready.
        return "loading" if isinstance(error.__cause__, TimeoutError) else "absent"
    return "loading" if isinstance(reply, ErrorReply) else "serving"


def ask_to_end(socket: Path) -> None:
    # Where it obeys it does not answer but closes the connection.
    with (
        contextlib.suppress(StoreUnavailableError),
        Wire(Address(path=str(socket)), seconds=PING_SECONDS) as wire,
    ):
        wire.command("SHUTDOWN")
