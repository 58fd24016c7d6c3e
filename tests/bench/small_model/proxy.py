"""What stands between the swarm and the model's server, and writes down who asked when, for what, and
how it ended. Bytes pass through as they are.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

_LENGTH: Final = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_PHASE: Final = re.compile(r"^phase: *(\w+)", re.MULTILINE)
_MOTION: Final = re.compile(r"^motion: *(\d+)", re.MULTILINE)


@dataclass(slots=True)
class Passed:
    """One request that passed. Times in seconds since the proxy began; `ended` 0: it goes on."""

    began: float
    phase: str  # of a seat: which call it answers; of an agent: nothing
    bytes_in: int
    ended: float = 0.0
    bytes_out: int = 0
    is_cancelled: bool = False  # the asker went away

    @property
    def is_open(self) -> bool:
        return not self.ended


@dataclass(slots=True)
class Proxy:
    port_behind: int
    passed: list[Passed] = field(default_factory=list)
    port: int = 0
    began: float = field(default_factory=time.monotonic)
    told: Callable[[str], None] = print

    def now(self) -> float:
        return time.monotonic() - self.began

    async def serve(self) -> asyncio.Server:
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0, limit=2**22)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head)
            body = await reader.readexactly(int(length[1]) if length else 0)
            await self._pass_on(head, body, reader, writer)
        writer.close()

    async def _pass_on(
        self,
        head: bytes,
        body: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """One request a connection: what is kept open behind would hide whose answer it is."""
        one = Passed(self.now(), _phase_of(body), len(body))
        is_chat = b"/chat/completions" in head.split(b"\r\n", 1)[0]
        if is_chat:
            self.passed.append(one)
        behind, onward = await asyncio.open_connection("127.0.0.1", self.port_behind)
        onward.write(re.sub(rb"(?i)connection: [^\r]*\r\n", b"", head)[:-2])
        onward.write(b"Connection: close\r\n\r\n" + body)
        gone = asyncio.create_task(reader.read(1))
        try:
            while True:
                piece = asyncio.create_task(behind.read(65_536))
                await asyncio.wait({piece, gone}, return_when=asyncio.FIRST_COMPLETED)
                if gone.done() and not piece.done():
                    one.is_cancelled = True
                    piece.cancel()
                    break
                if not (data := await piece):
                    break
                one.bytes_out += len(data)
                writer.write(data)
                await writer.drain()
        finally:
            gone.cancel()
            onward.close()
            one.ended = self.now()
            if is_chat:
                how = "cancelled" if one.is_cancelled else f"{one.bytes_out} bytes"
                self.told(f"{one.began:7.1f}–{one.ended:7.1f} s  {one.phase or 'agent'}: {how}")


def _phase_of(body: bytes) -> str:
    """Which call of which motion a seat answers, by the last that its prompt says."""
    try:
        asked: dict[str, Any] = json.loads(body)
    except ValueError:
        return ""
    text = "\n".join(str(m.get("content") or "") for m in asked.get("messages", ()))
    if "say_ready" in json.dumps(asked.get("tools", ())):
        return "probe"
    phase, motion = _PHASE.findall(text), _MOTION.findall(text)
    return f"motion {motion[-1] if motion else '?'} {phase[-1]}" if phase else ""


def stray(passed: list[Passed]) -> list[str]:
    """Calls of a phase that were under way well after a call of a later phase had begun."""
    found: list[str] = []
    seats = [one for one in passed if one.phase.startswith("motion")]
    for n, one in enumerate(seats):
        later = [two for two in seats[n + 1 :] if two.phase != one.phase and two.began < one.ended]
        if later and one.ended - later[0].began > GRACE_SECONDS:
            found.append(
                f"{one.phase} went on until {one.ended:.0f} s; {later[0].phase} began at {later[0].began:.0f} s"
            )
    return found


# A cancellation needs its round trip, on a machine that is busy with a model.
GRACE_SECONDS: Final = 5.0
