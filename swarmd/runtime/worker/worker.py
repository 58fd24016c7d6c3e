"""A worker: one host of thousands of mostly idle agents in one event loop.

It converges on the lineage: what was placed here is admitted, what is fenced is ended and the host
gives its word.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import InitVar, dataclass, field

import anyio

from swarmd.core.model.names import FIRST
from swarmd.core.model.records import Host
from swarmd.core.model.timings import RENEW_SECONDS
from swarmd.errors import WrongKeyError
from swarmd.ports.pubsub import Rings
from swarmd.runtime.mailboxes import Resident, Residents
from swarmd.runtime.turn.turn import take_turn
from swarmd.runtime.turn.world import World
from swarmd.runtime.worker.context import WorkerContext
from swarmd.runtime.worker.lease import HostLease
from swarmd.runtime.worker.listening import Listening
from swarmd.runtime.worker.stopping import Stopping
from swarmd.runtime.worker.turns import Turns


@dataclass(slots=True)
class Worker:
    """Run it with `run` until `stop` is set; it then starts no new turn and waits `grace`
    seconds.
    """

    world: InitVar[World]
    host: InitVar[Host]
    rings: InitVar[Rings]
    stop: anyio.Event
    grace_seconds: float = 8.0
    answer: InitVar[Callable[[World, Resident], Awaitable[None]]] = take_turn
    context: WorkerContext = field(init=False)
    turns: Turns = field(init=False)
    lease: HostLease = field(init=False)
    stopping: Stopping = field(init=False)
    listening: Listening = field(init=False)

    def __post_init__(
        self,
        world: World,
        host: Host,
        rings: Rings,
        answer: Callable[[World, Resident], Awaitable[None]],
    ) -> None:
        self.context = WorkerContext(world, host, self.stop)
        self.turns = Turns(self.context, answer)
        self.lease = HostLease(self.context)
        self.stopping = Stopping(self.context, self.turns)
        self.listening = Listening(self.context, rings, self.turns, self.lease, self.stopping)

    @property
    def residents(self) -> Residents:
        return self.context.residents

    async def run(self) -> None:
        """Owns every task of this host. Raises what the store raises when it stays away."""
        self.residents.last[self.context.own] = FIRST
        await self.lease.take()
        async with anyio.create_task_group() as tasks:
            self.context.tasks = tasks
            tasks.start_soon(self.lease.keep)
            tasks.start_soon(self.listening.listen)
            await self.stop.wait()
            await self._drain()
            cut = self._find_busy()
            tasks.cancel_scope.cancel()
        with anyio.move_on_after(RENEW_SECONDS, shield=True):
            async with anyio.create_task_group() as telling:
                for resident in cut:
                    # It was this host's end and not the mail's doing.
                    telling.start_soon(self.turns.count_attempt, resident, "cut")
            with suppress(WrongKeyError):
                await self.listening.delivery.record_refused()
            with suppress(WrongKeyError):
                await self.context.world.store.leave(self.context.host.id)

    async def _drain(self) -> None:
        """No new turns; those under way may finish. What does not is resumed from the step
        journal elsewhere.
        """
        with anyio.move_on_after(self.grace_seconds):
            while self._find_busy():  # noqa: ASYNC110 - many tasks, one bounded wait
                await anyio.sleep(0.02)

    def _find_busy(self) -> list[Resident]:
        return [resident for resident in self.residents.by_id.values() if resident.is_busy]

    async def brake(self) -> tuple[int, dict[str, str]]:
        """As `Stopping.brake`."""
        return await self.stopping.brake()

    async def release(self) -> None:
        """As `Stopping.release`."""
        await self.stopping.release()
