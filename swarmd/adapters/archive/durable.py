"""Writing that is on the disk when it returns."""

from __future__ import annotations

import os
from pathlib import Path


def write_synced(target: Path | int, content: bytes, *, mode: str = "wb") -> None:
    """`target` is a path or an open descriptor, which is closed."""
    with open(target, mode) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
