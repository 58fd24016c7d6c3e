"""The lease of the lead: taken, renewed, given back."""

from __future__ import annotations

from dataclasses import dataclass

import anyio
import structlog

from swarmd.core.model.timings import LEASE_SECONDS, RENEW_SECONDS, SWEEP_SECONDS
from swarmd.errors import NotLeadingError
from swarmd.log_events import LogEvent
from swarmd.runtime.supervisor.memory import LeaderMemory

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Leadership:
    memory: LeaderMemory
    led_until: float = 0.0  # by whoever led before, in seconds since the epoch; 0: nobody did

    async def take(self) -> None:
        """Waits until nobody else leads."""
        store, host = self.memory.store, self.memory.host
        is_told = False
        # Asked before each try: the lead that is taken is noted in its place.
        self.led_until = await store.led_until()
        while not (number := await store.lead(host, LEASE_SECONDS)):
            if not is_told:
                log.info(LogEvent.LEAD_WAITED_FOR)
                is_told = True
            await anyio.sleep(SWEEP_SECONDS)
            self.led_until = await store.led_until()
        self.memory.number = number

    async def keep(self) -> None:
        while True:
            await anyio.sleep(RENEW_SECONDS)
            await self.renew()

    async def renew(self) -> None:
        memory = self.memory
        if await memory.store.lead(memory.host, LEASE_SECONDS) != memory.number:
            raise NotLeadingError("the lease ended before it was renewed")
        await memory.store.server_run()
        # A server that lost its last moments is behind this memory. Who has nothing to commit would
        # not be told so.
        known = memory.seq
        if await memory.store.last_commit() < known:
            raise NotLeadingError("the server lost what was committed last")
