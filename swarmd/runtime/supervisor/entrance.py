"""The entrance, which the leader alone hears: missions that are published, and the rings of its
inputs.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import anyio
import structlog

from swarmd.core.missions.intake import bounded, fields_of, masked, too_large
from swarmd.core.model.channels import INPUTS, MISSIONS
from swarmd.core.model.masking import Masking
from swarmd.core.model.timings import SWEEP_SECONDS
from swarmd.errors import TooLargeError, WrongKeyError
from swarmd.log_events import LogEvent
from swarmd.ports.pubsub import Rings
from swarmd.runtime.supervisor.leadership import Leadership

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Entrance:
    rings: Rings
    leadership: Leadership
    masking: Masking
    _rung: anyio.Event = field(default_factory=anyio.Event)

    async def listen(self) -> None:
        # What still waits rang before this process led: who led then has heard it.
        while await self.rings.next(0) is not None:
            pass
        await self.rings.follow([MISSIONS, *INPUTS])
        while True:
            ring = await self.rings.next(SWEEP_SECONDS)
            if isinstance(ring, tuple) and ring[0] == MISSIONS:
                # A process that slept past its lease hears what its successor has heard and stored.
                await self.leadership.renew()
                fields = masked(bounded(fields_of(ring[1])), self.masking)
                await self.keep_mission(self._identify(fields))
            if ring is not None:
                self._rung.set()

    async def close(self) -> None:
        """A publisher must not count on who waits for the lead."""
        await self.rings.follow((), gone=[MISSIONS, *INPUTS])

    def forget_rings(self) -> None:
        self._rung = anyio.Event()

    async def wait_for_ring(self, seconds: float) -> None:
        """One since `forget_rings` was called counts too."""
        with anyio.move_on_after(seconds):
            await self._rung.wait()

    async def keep_mission(self, fields: dict[str, str]) -> None:
        """What was heard is nowhere else: it is kept in hand until the stream can be written."""
        is_told = False
        while True:
            try:
                await self.leadership.memory.store.keep_mission(fields)
            except WrongKeyError as error:
                if not is_told:
                    log.warning(LogEvent.MISSION_WAITS, why=error.what, hint=error.hint)
                is_told = True
                await anyio.sleep(SWEEP_SECONDS)
            except TooLargeError as error:
                log.warning(
                    LogEvent.MISSION_TOO_LARGE,
                    why=error.what,
                    hint=error.hint,
                )
                fields = too_large(fields)
            else:
                return

    def _identify(self, fields: dict[str, str]) -> dict[str, str]:
        """With an id from the first: kept twice, because a reply was lost, it is still one
        mission.
        """
        if "raw" in fields or fields.get("id"):
            return fields
        return fields | {"id": self.leadership.memory.clock.new_id("m")}
