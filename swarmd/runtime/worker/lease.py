"""The host's lease: renewed every few seconds, with how busy the host is."""

from __future__ import annotations

from dataclasses import dataclass, replace

import anyio
import structlog

from swarmd.core.model.names import FIRST
from swarmd.core.model.timings import LEASE_SECONDS, RENEW_SECONDS
from swarmd.log_events import LogEvent
from swarmd.runtime.worker.context import WorkerContext, until_keys_are_right

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class HostLease:
    context: WorkerContext
    # The server is another process: what is remembered may not have been kept.
    is_server_another: bool = False
    _is_renewed: bool = False
    _server_run: str = ""

    async def take(self) -> None:
        await until_keys_are_right(self._renew)

    async def keep(self) -> None:
        while True:
            await anyio.sleep(RENEW_SECONDS)
            await until_keys_are_right(self._renew)

    async def _renew(self) -> None:
        context, store = self.context, self.context.world.store
        # With how far it has heard its own channel: what lies before may go.
        heard = context.residents.last.get(context.own, FIRST)
        host = replace(
            context.host,
            busy=context.residents.busy(),
            heard=heard,
            unrecorded=context.world.recording.record.trouble,
        )
        is_shared = await store.register(host, LEASE_SECONDS)
        if not is_shared and not self._is_renewed:
            log.warning(
                LogEvent.WORKSPACE_OTHER,
                hint="give all workers the same workspace volume",
            )
            # What its agents would write here nobody else could read.
            context.world = replace(context.world, files=None)
        self._is_renewed = True
        run = await store.server_run()
        self.is_server_another = self.is_server_another or self._server_run not in ("", run)
        self._server_run = run
