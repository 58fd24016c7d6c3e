"""The server as a process: how it is started, and how one that outlived its owner is ended."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import signal
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Literal, TypeAlias

from swarmd.adapters.server.binary import find_binary
from swarmd.adapters.server.data_folder import (
    AOF,
    RECORD,
    SOCKET,
    ServerRecord,
    ask_to_end,
    probe_socket,
)
from swarmd.adapters.server.pauses import Pauses, until
from swarmd.errors import StoreUnavailableError

SOCKET_BYTES_MAX: Final = 100
"""The kernel's bound is 108 on Linux and 104 on macOS, the closing zero included."""
STOP_SECONDS: Final = 10.0
"""Until it has flushed and gone. Only then is it killed, and that loses no write it has
acknowledged.
"""

Durability: TypeAlias = Literal["balanced", "strict"]
"""What an acknowledged write survives: the end of any process, or a power cut too."""

_FOLDER_PREFIX: Final = "swarmd-"

_CONFIG: Final = {
    "port": "0",
    "unixsocketperm": "700",
    "appendonly": "yes",
    "appenddirname": AOF,
    "save": "",
    "maxmemory-policy": "noeviction",
    # Half the resident memory under churn of small streams, which most of an agent's channels are.
    "stream-node-max-bytes": "1024",
    # A subscriber that stopped reading is cut off, and catches up from the streams when it returns.
    # The default of 32 MB would be held for each of them.
    "client-output-buffer-limit": "pubsub 8mb 2mb 10",
    # The command line stays what we gave: it is how an ownerless server is told from a stranger's
    # process.
    "set-proc-title": "no",
    "always-show-logo": "no",
    "daemonize": "no",
}
FSYNC: Final[Mapping[Durability, str]] = {"balanced": "everysec", "strict": "always"}
"""When what was appended is put on the disk: each second, or before it is acknowledged."""
ALLOCATORS: Final = tuple(
    Path(folder) / "libjemalloc.so.2"
    for folder in (
        f"/usr/lib/{platform.machine()}-linux-gnu",
        "/usr/lib64",
        "/usr/lib",
        "/usr/local/lib",
    )
)
"""The wheel's server has the C library's, which keeps what it once had: after nine tenths of 300 MB
were deleted, 327 MB resident, with this one 112. It is taken where the machine has it."""
_ALLOCATOR_SETTINGS: Final = "background_thread:true,dirty_decay_ms:2000"
_ENVIRONMENT_KEPT: Final = ("LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH")
"""Nothing else reaches the server: keys and tokens live in the environment."""


def command_of(data: Path, socket: Path, durability: Durability) -> list[str]:
    options = {
        **_CONFIG,
        "appendfsync": FSYNC[durability],
        "dir": str(data),
        "unixsocket": str(socket),
    }
    return [
        str(find_binary()),
        *(word for name, value in options.items() for word in (f"--{name}", value)),
    ]


def choose_socket(data: Path) -> Path:
    place = data / SOCKET
    if len(os.fsencode(place)) <= SOCKET_BYTES_MAX:
        return place
    folder = Path(tempfile.mkdtemp(prefix=_FOLDER_PREFIX))
    if len(os.fsencode(folder / SOCKET)) > SOCKET_BYTES_MAX:
        folder.rmdir()
        folder = Path(tempfile.mkdtemp(prefix=_FOLDER_PREFIX, dir="/tmp"))
    return folder / SOCKET


def remove_socket(data: Path, socket: Path) -> None:
    with contextlib.suppress(OSError):
        socket.unlink(missing_ok=True)
        # Only a folder that we made ourselves: the record might name any place.
        if socket.parent != data and socket.parent.name.startswith(_FOLDER_PREFIX):
            socket.parent.rmdir()


def fork_server(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    assert threading.current_thread() is threading.main_thread(), (
        "the server would end with this thread"
    )
    environment = {
        name: os.environ[name] for name in _ENVIRONMENT_KEPT if name in os.environ
    } | _allocator_settings()
    with log.open("ab") as output, warnings.catch_warnings():
        # From 3.12 on, Python warns of a fork beside threads, since they may hold a lock that the
        # child needs. The child below makes two system calls and takes none.
        warnings.simplefilter("ignore", DeprecationWarning)
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            umask=0o077,
            # Out of the terminal's process group: Ctrl-C is for swarmd, which needs the server to
            # drain.
            start_new_session=True,
            preexec_fn=ends_with_parent(),  # noqa: PLW1509 (as above: it takes no lock)
        )


def _allocator_settings() -> dict[str, str]:
    if sys.platform != "linux":
        return {}
    found = next((path for path in ALLOCATORS if path.is_file()), None)
    return {} if found is None else {"LD_PRELOAD": str(found), "MALLOC_CONF": _ALLOCATOR_SETTINGS}


def ends_with_parent() -> Callable[[], None] | None:
    """What the child does before it becomes the server. Elsewhere than on Linux there is nothing to
    do; an ownerless server is then ended at the next start."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl  # looked up before the fork, where it may take locks
    parent = os.getpid()
    set_parent_death_signal = 1

    def arm() -> None:
        prctl(set_parent_death_signal, signal.SIGTERM, 0, 0, 0)
        # The parent may have died before the signal was armed; then it never comes.
        if os.getppid() != parent:
            os._exit(1)

    return arm


def end_ownerless(data: Path) -> Pauses:
    """Ends a server that outlived its owner. The lock is ours, so whoever still serves this
    folder is one.
    """
    record = ServerRecord.read(data)
    socket = Path(record.socket) if record else data / SOCKET
    pid = record.pid if record else 0
    ask_to_end(socket)

    def is_gone() -> bool:
        return probe_socket(str(socket)) == "absent" and not _serves_socket(pid, socket)

    yield from until(is_gone, STOP_SECONDS)
    if _serves_socket(pid, socket):
        os.kill(pid, signal.SIGKILL)
        yield from until(is_gone, STOP_SECONDS)
    if not is_gone():
        raise StoreUnavailableError(
            f"a server without an owner still runs on {socket}",
            hint=f"end it; its process is {pid or '?'}",
        )
    remove_socket(data, socket)
    (data / RECORD).unlink(missing_ok=True)


def _serves_socket(pid: int, socket: Path) -> bool:
    """Whether the process of that number is really the server of that socket: numbers are given
    out again.
    """
    if pid <= 0:
        return False
    words = _command_line(pid)
    return "--unixsocket" in words and str(socket) in words


def _command_line(pid: int) -> str:
    try:
        if Path("/proc/self/cmdline").exists():
            return (
                Path(f"/proc/{pid}/cmdline")
                .read_bytes()
                .replace(b"\0", b" ")
                .decode("utf-8", "replace")
            )
        asked = ["ps", "-ww", "-o", "command=", "-p", str(pid)]
        return subprocess.run(asked, capture_output=True, text=True, check=False).stdout
    except OSError:
        return ""
