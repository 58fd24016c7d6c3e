"""The `Record` port: what is noted waits in a short queue, and a thread of its own writes it.

A turn never waits for it. A disk that is slower than what is noted costs answers in the record and
no time; they are counted there.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

import anyio
import anyio.to_thread

from swarmd.adapters.record.folder import RecordFolder
from swarmd.core.model.names import MissionId
from swarmd.ports.record import Answer

# Answers that wait to be written: with prompts of a hundred kilobytes they are 100 MB, and the
# texts of most are also the memory of their agents.
QUEUE_MAX: Final = 1_024
# Between two looks at the bounds; what was written meanwhile may be beyond them.
SWEEP_SECONDS: Final = 60.0
# What is still to be written when the process ends has so long.
CLOSE_SECONDS: Final = 3.0
TOO_SLOW: Final = "the disk was slower than what was to be recorded"


@dataclass(slots=True)
class Recorder:
    """Needs `run` in a task of its owner, and `aclose` at the end."""

    folder: RecordFolder
    notes: bool = True  # else nothing is added to what is there
    _waiting: deque[Answer] = field(default_factory=deque)
    _lost: dict[MissionId, int] = field(default_factory=dict)  # not yet told to the folder
    _woken: anyio.Event = field(default_factory=anyio.Event)
    _writing: anyio.Lock = field(default_factory=anyio.Lock)

    @property
    def trouble(self) -> str:
        return self.folder.trouble

    def note(self, answer: Answer) -> None:
        if not self.notes:
            return
        if len(self._waiting) >= QUEUE_MAX:
            self._lost[answer.mission] = self._lost.get(answer.mission, 0) + 1
            return
        self._waiting.append(answer)
        self._woken.set()

    async def run(self) -> None:
        while True:
            await anyio.to_thread.run_sync(self.folder.sweep)
            with anyio.move_on_after(SWEEP_SECONDS):
                while True:
                    await self._woken.wait()
                    self._woken = anyio.Event()
                    await self.flush()

    async def flush(self) -> None:
        """Writes all that waits."""
        async with self._writing:
            while self._waiting:
                batch = list(self._waiting)
                # Not cancelled half-way: a write that was begun is waited for.
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(self._write_batch, batch)
                for _ in batch:
                    self._waiting.popleft()

    def _write_batch(self, batch: list[Answer]) -> None:
        self.folder.write(batch)
        for mission, count in list(self._lost.items()):
            self._lost.pop(mission)
            for _ in range(count):
                self.folder.leave_out(mission, TOO_SLOW)

    async def forget(self, mission: MissionId, until: float) -> None:
        await self.flush()
        await anyio.to_thread.run_sync(self.folder.forget, mission, until)

    async def aclose(self) -> None:
        """Within a few seconds, also where its task was cancelled."""
        with anyio.move_on_after(CLOSE_SECONDS, shield=True):
            await self.flush()
            await anyio.to_thread.run_sync(self.folder.close)
