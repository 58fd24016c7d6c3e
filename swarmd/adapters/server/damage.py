"""Data that the server must not be started on, and why a start failed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from swarmd.adapters.server.binary import find_binary
from swarmd.adapters.server.data_folder import AOF
from swarmd.errors import StoreUnavailableError, StoreUnsuitableError, SwarmError

TAIL_LINES: Final = 12

_MANIFEST: Final = "appendonly.aof.manifest"


class DamagedError(StoreUnsuitableError):
    """The server cannot read what is on disk. Nothing was changed. `path` is the file it names."""

    def __init__(self, path: Path, hint: str) -> None:
        super().__init__(f"the swarm's data is damaged: {path}", hint=hint)
        self.path = path


def refuse_disowned(folder: Path) -> None:
    """Raises `DamagedError` where data lies beside a manifest that does not name it.

    The server takes that for no data, begins anew and writes over it.
    """
    manifest = folder / _MANIFEST
    path = next(_disowned_files(folder, _named_in(manifest)), None)
    if path is not None:
        raise DamagedError(
            manifest,
            (
                f"it does not name {path}; put a good copy of {folder} back, or move it away to "
                "begin with an empty swarm"
            ),
        )


def _named_in(manifest: Path) -> list[str]:
    try:
        lines = manifest.read_bytes().decode("utf-8", "replace").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return []
    entries = [line.split() for line in lines]
    return [words[1] for words in entries if len(words) > 1 and words[0] == "file"]


def _disowned_files(folder: Path, named: Sequence[str]) -> Iterator[Path]:
    """Two kinds of file are rightly not named, as a rewrite that was broken off leaves them: an
    incremental file that nothing was written to, and a base beside the one that still is.
    """
    has_base = any(".base." in name for name in named)
    for path in folder.glob("*.aof.*"):
        is_kept = (".base." in path.name and not has_base) or path.name.endswith(".incr.aof")
        if is_kept and path.name not in named and path.stat().st_size:
            yield path


def start_failure(data: Path, log: Path, log_start: int, what: str) -> SwarmError:
    with log.open("rb") as lines:
        lines.seek(log_start)
        said = lines.read().decode("utf-8", "replace").splitlines()
    if any(map(_tells_of_damage, said)):
        return _damage_of(data, said)
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


def _damage_of(data: Path, said: list[str]) -> DamagedError:
    folder = data / AOF
    start_anew = (
        f"put a good copy of {folder} back, or move {data} away to begin with an empty swarm"
    )
    path = folder / _last_named(said, folder)
    if path.name.endswith(".incr.aof") and path.exists():
        # The same binary is the tool that cuts a file before its damage, when it is called by that
        # name.
        mend = f'bash -c \'exec -a valkey-check-aof "{find_binary()}" --fix "{path}"\''
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
