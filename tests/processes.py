"""Processes of their own beside a test or a bench, which speak by lines."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import anyio.abc


@asynccontextmanager
async def process(module: str, *words: str) -> AsyncIterator[anyio.abc.Process]:
    """A process of its own, told by the end of its input that it is to stop. Its errors are ours
    to see.
    """
    command = [sys.executable, "-m", module, *words]
    async with await anyio.open_process(command, stderr=None) as started:
        try:
            yield started
        finally:
            if started.returncode is None:
                started.kill()


async def line_of(started: anyio.abc.Process) -> str:
    """What it says next, up to the end of a line."""
    assert started.stdout is not None
    said = b""
    while not said.endswith(b"\n"):
        said += await started.stdout.receive()
    return said.decode().strip()
