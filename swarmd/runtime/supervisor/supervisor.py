"""The supervisor: sole writer of lineage, accounts' tree, fences and journal. It cannot be
prompted.

It waits for the lead, loads its memory and then takes one step after the other. This package
imports nothing that can call a model.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import InitVar, dataclass, field

import anyio
import structlog

from swarmd.core.model.declarations import Declarations
from swarmd.core.model.names import HostId
from swarmd.core.model.state import Swarm
from swarmd.core.model.timings import RENEW_SECONDS, SWEEP_SECONDS, TICK_SECONDS
from swarmd.errors import NotLeadingError, SwarmError, TooLargeError, WrongKeyError
from swarmd.log_events import LogEvent
from swarmd.ports.archive import Archive
from swarmd.ports.clock import Clock
from swarmd.ports.files import Files
from swarmd.ports.pubsub import Rings
from swarmd.ports.stores import SupervisorStore
from swarmd.runtime.recording import NOTHING_RECORDED, Recording
from swarmd.runtime.supervisor.entrance import Entrance
from swarmd.runtime.supervisor.forgetting import RecordsForgotten
from swarmd.runtime.supervisor.intake import Intake
from swarmd.runtime.supervisor.journal_keeper import JournalKeeper
from swarmd.runtime.supervisor.kept_turns import TurnsKeeper
from swarmd.runtime.supervisor.leadership import Leadership
from swarmd.runtime.supervisor.memory import LeaderMemory
from swarmd.runtime.supervisor.step import Step
from swarmd.runtime.supervisor.takeover import take_over
from swarmd.runtime.supervisor.upkeep import Upkeep

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Supervisor:
    """Run it with `run` until `stop` is set. One process leads; others wait for its lease to
    end.
    """

    store: SupervisorStore
    rings: InitVar[Rings]
    clock: Clock
    declared: Declarations
    host: HostId
    files: InitVar[Files | None]
    stop: anyio.Event
    is_braked: str | None = None  # why everything is to stand still, said by this machine's brake
    archive: InitVar[Archive | None] = None  # none: nothing vouches for the journal
    recording: InitVar[Recording] = NOTHING_RECORDED
    memory: LeaderMemory = field(init=False)
    leadership: Leadership = field(init=False)
    entrance: Entrance = field(init=False)
    journal: JournalKeeper = field(init=False)
    upkeep: Upkeep = field(init=False)
    intake: Intake = field(init=False)
    forgotten: RecordsForgotten = field(init=False)
    _step: Step = field(init=False)

    def __post_init__(
        self, rings: Rings, files: Files | None, archive: Archive | None, recording: Recording
    ) -> None:
        self.memory = LeaderMemory(self.store, self.clock, self.declared, self.host)
        self.leadership = Leadership(self.memory)
        self.entrance = Entrance(rings, self.leadership, recording.masking)
        self.journal = JournalKeeper(self.memory, archive)
        self.upkeep = Upkeep(self.memory, files)
        self.intake = Intake(self.memory, files, recording.masking)
        self.forgotten = RecordsForgotten(self.memory, recording.record)
        turns = TurnsKeeper(self.memory, files, recording.masking)
        self._step = Step(self.memory, self.intake, self.journal, self.upkeep, turns, recording)

    @property
    def state(self) -> Swarm:
        """The swarm as the last step left it, once `load` was called."""
        return self.memory.swarm

    async def step(self) -> bool:
        """Reads what waits, decides it and commits. True where there may be more to do at once."""
        return await self._step.take(self.is_braked)

    async def load(self) -> None:
        """Takes the swarm over from whoever led before. The lease must have been taken."""
        self.upkeep.start()
        await take_over(self.memory, self.journal, self.upkeep.counts, self.leadership.led_until)

    async def run(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.lead_for_ever)
            await self.stop.wait()
            tasks.cancel_scope.cancel()
        with anyio.move_on_after(RENEW_SECONDS, shield=True):
            if self.memory.number:
                with suppress(NotLeadingError):  # who leads now anchors what is there
                    await self.journal.anchor("stopped")
                await self.store.step_down(self.host, self.memory.number)

    async def lead_for_ever(self) -> None:
        """Whenever the lead is free."""
        while True:
            try:
                await self.leadership.take()
                await self._lead()
            except* NotLeadingError as lost:
                log.warning(LogEvent.LEAD_LOST, why=str(lost.exceptions[0]))
                await self._lead_no_more()
            except* (WrongKeyError, TooLargeError) as wrong:
                await self._stand_aside(wrong.exceptions[0])

    async def _lead(self) -> None:
        async with anyio.create_task_group() as tasks:
            # From the first: a hundred thousand agents take longer to load than a lease lasts.
            tasks.start_soon(self.leadership.keep)
            await self.load()
            agents = len(self.state.lineage.agents)
            log.info(LogEvent.LEAD_TAKEN, number=self.memory.number, agents=agents)
            tasks.start_soon(self.entrance.listen)
            tasks.start_soon(self.journal.keep)
            tasks.start_soon(self.upkeep.keep_short)
            tasks.start_soon(self.forgotten.keep)
            await self._work()

    async def _work(self) -> None:
        while True:
            self.entrance.forget_rings()
            if not await self.step():
                await self.entrance.wait_for_ring(TICK_SECONDS)

    async def _lead_no_more(self) -> None:
        self.memory.number = 0
        await self.entrance.close()

    async def _stand_aside(self, why: BaseException) -> None:
        """Nothing can be committed past a key of another type, nor what the server does not take.
        Its lead is free meanwhile, for whoever mends that.
        """
        hint = why.hint if isinstance(why, SwarmError) else ""
        log.error(LogEvent.COMMIT_BLOCKED, why=str(why), hint=hint)
        number = self.memory.number
        await self._lead_no_more()
        if number:
            with suppress(WrongKeyError):  # the lease itself may be what was written over
                await self.store.step_down(self.host, number)
        await anyio.sleep(SWEEP_SECONDS)
        while await self.store.wrong_keys():  # noqa: ASYNC110 - the server's keys ring for nobody
            await anyio.sleep(SWEEP_SECONDS)
