"""The brake: a halt that needs nothing but the data folder, for when Redis is away.

    halt                 JSON {at, reason, by}
                         `swarmd halt` writes it, `swarmd thaw all` removes it
    hosts/<host>.json    JSON {host, pid, hostname, since}
                         a daemon part, from its start to its orderly end
    halted/<host>.json   JSON {host, at, agents, busy}
                         that part's word, once nothing of it runs any more

Times are seconds since the epoch. A word's `at` is that of the halt it answers, so one of an
earlier halt is never taken for it; `busy` says what still runs: agent -> in what.

Invariants: the file `halt` holds the brake by being there, whatever is in it: a person with nothing
left but `touch` can pull it, and a full disk cannot garble it away. Files appear whole or not at
all, and are their owner's alone. A part that lives holds a lock on its file in `hosts`, which the
kernel drops with its process: one that was killed is told from one that is silent.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import time
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from swarmd import logs
from swarmd.core.model.names import ID_PATTERN
from swarmd.errors import WorkspaceError

WATCH_SECONDS: Final = 0.25
"""Between two looks at the folder: one `stat` each."""
_BYTES_MAX: Final = 1_000_000
_REASON_MAX: Final = 2_000

_HALT: Final = "halt"
_WORDS: Final = "halted"
_HOSTS: Final = "hosts"


@dataclass(frozen=True, slots=True)
class Brake:
    """A halt of everything on this folder. `at` is seconds since the epoch."""

    at: float
    reason: str
    by: str


@dataclass(frozen=True, slots=True)
class Word:
    """A part's word on the halt of that `at`: so many agents of its own stand still, but for
    those `busy`.
    """

    host: str
    at: float
    agents: int
    busy: Mapping[str, str] = field(default_factory=dict)  # agent -> in what


@dataclass(frozen=True, slots=True)
class Part:
    """A daemon part that has said that it works on this folder. One that does not live ended
    without saying so.
    """

    host: str
    pid: int
    hostname: str
    since: float
    is_alive: bool
    parts: tuple[str, ...] = ()  # of the daemon, that this process runs
    trouble: str = ""  # why it cannot work at the moment, in its own words
    knowledge: str = ""  # the folder in which it looks for a mission's files


# --- the brake itself -------------------------------------------------------------------------


def pull(data: Path, reason: str, by: str, *, at: float) -> Brake:
    """Halts everything on this folder, and returns the halt that is in force: an earlier one stays
    as it is.

    Raises `WorkspaceError` where the folder cannot be written to.
    """
    found = pulled(data)
    if found is not None:
        return found
    brake = Brake(at, reason[:_REASON_MAX], by)
    _write_file(data, _HALT, asdict(brake))
    return brake


def pulled(data: Path) -> Brake | None:
    """The halt in force. Raises `WorkspaceError` where the folder cannot be looked at."""
    try:
        changed = os.lstat(data / _HALT).st_mtime
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise WorkspaceError(f"{data} cannot be looked at: {error.strerror}") from error
    said = _read_object(data / _HALT)
    return Brake(
        _number_or(said.get("at"), changed),
        str(said.get("reason", ""))[:_REASON_MAX],
        str(said.get("by", "")),
    )


def release(data: Path) -> bool:
    """Lets everything on this folder go on; whether there was a halt at all. Raises
    `WorkspaceError`.
    """
    try:
        (data / _HALT).unlink()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise WorkspaceError(f"{data / _HALT} cannot be removed: {error.strerror}") from error
    # After the halt, never before: a part that still sees it would only say its word again.
    for path in _json_files(data / _WORDS):
        _remove_quietly(path)
    return True


async def watch(data: Path, *, seconds: float = WATCH_SECONDS) -> AsyncIterator[Brake | None]:
    """What holds now, then each change, without end. A folder that cannot be looked at changes
    nothing.
    """
    import anyio
    import anyio.to_thread

    held: Brake | None = None
    is_told, is_lost = False, False
    while True:
        try:
            found = await anyio.to_thread.run_sync(pulled, data)
        except WorkspaceError as error:
            if not is_lost:
                logs.logger(__name__).warning("halt_file_not_watched", why=error.what)
            is_lost = True
        else:
            is_lost = False
            if not is_told or found != held:
                held, is_told = found, True
                yield found
        await anyio.sleep(seconds)


# --- the words of those who were halted -------------------------------------------------------


def answer(data: Path, word: Word) -> None:
    """A part's word, in place of its former one. Raises `WorkspaceError`."""
    assert ID_PATTERN.fullmatch(word.host)
    _write_file(data / _WORDS, f"{word.host}.json", asdict(word))


def words(data: Path, brake: Brake) -> dict[str, Word]:
    """By host, the words given on this very halt."""
    found = {}
    for path in _json_files(data / _WORDS):
        said = _read_object(path)
        busy = said.get("busy")
        word = Word(
            path.stem,
            _number_or(said.get("at"), -1),
            int(_number_or(said.get("agents"), 0)),
            {str(k): str(v) for k, v in busy.items()} if isinstance(busy, dict) else {},
        )
        if word.at == brake.at:
            found[word.host] = word
    return found


class Presence:
    """A process's own file among the folder's parts."""

    def __init__(self, data: Path, host: str, said: Mapping[str, Any]) -> None:
        self._folder, self._name, self._said = data / _HOSTS, f"{host}.json", said
        # The descriptor is kept: the lock on it is what says that we live.
        self._descriptor = _write_locked(self._folder, self._name, said)

    def tell(self, trouble: str) -> None:
        """Why the process cannot work at the moment; empty: it can. Raises `WorkspaceError`."""
        former = self._descriptor
        self._descriptor = _write_locked(
            self._folder, self._name, {**self._said, "trouble": trouble}
        )
        os.close(former)

    def close(self) -> None:
        os.close(self._descriptor)


@contextmanager
def present(
    data: Path, host: str, parts_of_daemon: Collection[str] = (), knowledge: Path | None = None
) -> Iterator[Presence]:
    """While it lasts, this process is one of the folder's parts. Raises `WorkspaceError`.

    Files that killed processes left behind are cleared away on the way in.
    """
    assert ID_PATTERN.fullmatch(host)
    for part in parts(data):
        if not part.is_alive:
            _forget_host(data, part.host)
    said = {
        "host": host,
        "pid": os.getpid(),
        "hostname": os.uname().nodename,
        "since": time.time(),
        "parts": sorted(parts_of_daemon),
        "knowledge": str(knowledge or ""),
    }
    presence = Presence(data, host, said)
    try:
        yield presence
    finally:
        _forget_host(data, host)
        presence.close()


def parts(data: Path) -> list[Part]:
    """All that have said they work on this folder, by name."""
    found = []
    for path in _json_files(data / _HOSTS):
        said, is_alive = _read_object(path), _is_locked(path)
        if is_alive is not None:
            found.append(
                Part(
                    path.stem,
                    int(_number_or(said.get("pid"), 0)),
                    str(said.get("hostname", "")),
                    _number_or(said.get("since"), 0.0),
                    is_alive,
                    _words_of(said.get("parts")),
                    str(said.get("trouble", "")),
                    str(said.get("knowledge", "")),
                )
            )
    return found


def _words_of(said: object) -> tuple[str, ...]:
    return tuple(map(str, said)) if isinstance(said, list) else ()


def _forget_host(data: Path, host: str) -> None:
    for folder in (_HOSTS, _WORDS):
        _remove_quietly(data / folder / f"{host}.json")


def _is_locked(path: Path) -> bool | None:
    """Whether a process holds it; `None` where it has gone meanwhile."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        # Also where the file system knows no locks: who cannot be told apart is taken for living.
        return True
    finally:
        os.close(descriptor)
    return False


# --- files ------------------------------------------------------------------------------------


def _write_file(folder: Path, name: str, said: Mapping[str, Any]) -> None:
    os.close(_write_locked(folder, name, said))


def _write_locked(folder: Path, name: str, said: Mapping[str, Any]) -> int:
    """Writes the file, whole or not at all, locked before it can be seen, and on disk when this
    returns. The descriptor, which holds the lock, is the caller's to close."""
    content = json.dumps(said, ensure_ascii=False).encode("utf-8", "backslashreplace")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return _publish_file(folder / name, folder / f".{name}.{secrets.token_hex(4)}", content)
    except OSError as error:
        raise WorkspaceError(
            f"{folder / name} cannot be written: {error.strerror}",
            hint="is the disk full, or the folder another's?",
        ) from error


def _publish_file(path: Path, draft: Path, content: bytes) -> int:
    with ExitStack() as undo:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        undo.callback(os.close, descriptor)
        undo.callback(_remove_quietly, draft)
        with open(descriptor, "wb", closefd=False) as file:
            file.write(content)
        os.fsync(descriptor)
        # A file system without locks is no reason not to write.
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        draft.replace(path)
        undo.pop_all()
    return descriptor


def _remove_quietly(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _read_object(path: Path) -> Mapping[str, Any]:
    """What the file says, and nothing where it cannot be read or is no JSON object. Never waits,
    as for a pipe.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(descriptor, "rb") as file:
            said = json.loads(file.read(_BYTES_MAX) or b"null")
    except (OSError, ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _json_files(folder: Path) -> list[Path]:
    try:
        return sorted(
            path for path in folder.iterdir() if path.suffix == ".json" and path.name[0] != "."
        )
    except OSError:
        return []


def _number_or(said: object, otherwise: float) -> float:
    is_one = isinstance(said, int | float) and not isinstance(said, bool) and abs(said) < 1e15
    return float(said) if is_one else otherwise  # type: ignore[arg-type]  # `is_one` says so
