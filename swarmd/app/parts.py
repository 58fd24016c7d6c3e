"""Supervisor and worker in this process, from their start to the signal that ends them."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

import anyio
import structlog

from swarmd.adapters import halt_file
from swarmd.adapters.archive.journal_files import JournalFiles
from swarmd.core.model.channels import MISSIONS
from swarmd.core.model.declarations import Provider
from swarmd.core.model.records import Host
from swarmd.core.model.timings import SWEEP_SECONDS, stamp_of
from swarmd.errors import WorkspaceError
from swarmd.log_events import LogEvent
from swarmd.runtime.supervisor.supervisor import Supervisor
from swarmd.runtime.turn.functions import built_in
from swarmd.runtime.turn.masked import MaskedModel, masked_handlers
from swarmd.runtime.turn.model_call import Mind
from swarmd.runtime.turn.world import World
from swarmd.runtime.worker.worker import Worker

if TYPE_CHECKING:
    from swarmd.adapters.models.rate_limit import SharedPace
    from swarmd.adapters.models.registry import OpenModels
    from swarmd.settings import Settings


from swarmd.app.process import Owning, Process, open_process

log = structlog.get_logger(__name__)

# Agents that one host takes: idle ones cost less than 2 KiB each and no time, a full collection of
# garbage beside them a few milliseconds (docs/benchmarks.md).
HOST_CAPACITY: Final = 100_000


async def serve_parts(
    settings: Settings,
    *,
    parts: frozenset[str],
    grace: float,
    ready: Callable[[], None] | None = None,
) -> int:
    """Run the parts named (`supervisor`, `worker`) until one of `ending_signals`; then drain within
    `grace` seconds.

    A second signal ends the drain at once. Returns the number of the first.
    """
    owning: Owning = "must" if parts == {"supervisor", "worker"} else "never"
    async with (
        open_process(settings, owning, makes="supervisor" in parts) as process,
        anyio.create_task_group() as tasks,
    ):
        heard: list[int] = []
        tasks.start_soon(_stop_on_signal, process.stop, heard, tasks.cancel_scope)
        await run_parts(process, parts, grace, ready)
        tasks.cancel_scope.cancel()
    return heard[0] if heard else signal.SIGTERM


def ending_signals() -> tuple[signal.Signals, ...]:
    """The signals that ask this process to end in good order. A terminal that goes away says
    SIGHUP; where that is ignored, the process was started to outlive its terminal (`nohup`)."""
    asked = (signal.SIGTERM, signal.SIGINT)
    return asked if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else (*asked, signal.SIGHUP)


async def _stop_on_signal(stop: anyio.Event, heard: list[int], scope: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(*ending_signals()) as signals:
        async for number in signals:
            heard.append(number)
            if len(heard) > 1:
                scope.cancel()
                return
            log.info(LogEvent.PROCESS_ENDING, signal=signal.Signals(number).name)
            stop.set()


async def run_parts(
    process: Process, parts: frozenset[str], grace: float, ready: Callable[[], None] | None
) -> None:
    if not await process.store.declare(
        process.declared.digest, is_supervisor="supervisor" in parts
    ):
        log.warning(
            LogEvent.DECLARATIONS_OTHER,
            hint="give both the same SWARMD_POLICIES and SWARMD_CHANNELS",
        )
    async with AsyncExitStack() as stack:
        worker = await _worker(process, grace, stack) if "worker" in parts else None
        supervisor = await supervisor_of(process, stack) if "supervisor" in parts else None
        presence = stack.enter_context(
            halt_file.present(
                process.settings.data, process.host, parts, process.settings.knowledge_folder
            )
        )
        async with anyio.create_task_group() as watching:
            watching.start_soon(_heed_brake, process, worker, supervisor)
            watching.start_soon(_tell_trouble, process, supervisor, presence)
            async with anyio.create_task_group() as running:
                for part in (worker, supervisor):
                    if part is not None:
                        running.start_soon(part.run)
                if ready is not None:
                    ready()
            watching.cancel_scope.cancel()


async def _heed_brake(
    process: Process, worker: Worker | None, supervisor: Supervisor | None
) -> None:
    """The halt of this data folder: it needs no server, and neither does the word that it is
    answered with.
    """
    async for held in halt_file.watch(process.settings.data):
        if supervisor is not None:
            supervisor.is_braked = None if held is None else held.reason or "the brake was pulled"
        if held is None:
            if worker is not None:
                await worker.release()
            continue
        log.warning(LogEvent.HALTED, reason=held.reason, by=held.by)
        # A supervisor alone has no agents, and its word all the same: who halts must not wait for
        # it in vain.
        agents, busy = await worker.brake() if worker is not None else (0, {})
        word = halt_file.Word(process.host, held.at, agents, busy)
        try:
            await anyio.to_thread.run_sync(halt_file.answer, process.settings.data, word)
        except WorkspaceError as error:
            log.warning(LogEvent.HALT_NOT_TOLD, why=error.what)


async def _tell_trouble(
    process: Process, supervisor: Supervisor | None, presence: halt_file.Presence
) -> None:
    """Says in the data folder why this process cannot work as it should, for a server that refuses
    it cannot be told.
    """
    told = ""
    while True:
        await anyio.sleep(SWEEP_SECONDS)
        unkept = supervisor.journal.trouble if supervisor is not None else ""
        trouble = process.store.pipe.trouble or unkept
        if trouble == told:
            continue
        try:
            await anyio.to_thread.run_sync(presence.tell, trouble)
            told = trouble
        except WorkspaceError as error:
            log.warning(LogEvent.TROUBLE_NOT_TOLD, why=error.what)
            told = trouble


async def supervisor_of(process: Process, stack: AsyncExitStack) -> Supervisor:
    swarm = await process.store.identity(process.clock.new_id("s"))
    archive = JournalFiles(process.settings.data / "journal", swarm)
    # Without a folder for its anchors it says so at the start, and not when it comes to lead.
    await anyio.to_thread.run_sync(archive.check)
    # What is published at the entrance is nowhere else until the supervisor has stored it.
    rings = process.rings(keeps=[MISSIONS])
    stack.push_async_callback(rings.aclose)
    return Supervisor(
        process.store,
        rings,
        process.clock,
        process.declared,
        process.host,
        process.files,
        process.stop,
        archive=archive,
        recording=process.recording,
    )


async def _worker(process: Process, grace: float, stack: AsyncExitStack) -> Worker:
    models = await open_models(process)
    stack.push_async_callback(models.aclose)
    rings = process.rings()
    stack.push_async_callback(rings.aclose)
    identity = await anyio.to_thread.run_sync(process.files.identity)

    masking = process.recording.masking

    async def mind(spec: str) -> Mind:
        model = MaskedModel(models.open(spec), masking)
        return Mind(model, process.declared.models.provider(model.name.partition(":")[0]))

    def stamp() -> str:
        return stamp_of(process.clock.now() + process.store.clock_behind())

    handlers = masked_handlers(built_in(process.store, process.files), masking)
    world = World(
        process.store,
        process.declared,
        handlers,
        mind,
        stamp,
        recording=process.recording,
        files=process.files,
    )
    is_paid = models.open().is_language_model
    host = Host(process.host, HOST_CAPACITY, identity, is_paid, models.price())
    return Worker(world, host, rings, process.stop, grace)


async def open_models(process: Process) -> OpenModels:
    from swarmd.adapters.models.registry import ModelSettings, OpenModels, choose
    from swarmd.adapters.redis.rate_limit import RedisPace

    said = process.settings
    asked = ModelSettings(said.model or "", said.api_keys, said.base_urls)
    choice = await choose(asked, process.declared.models)
    print(choice.why, file=sys.stderr, flush=True)
    store = process.store

    def shared(name: str, provider: Provider) -> SharedPace:
        return RedisPace(
            store.pipe, store.keys, name, provider.calls_per_minute, provider.tokens_per_minute
        )

    models = OpenModels(choice, asked, process.declared.models, process.files, shared)
    # A wrong spec or script file is told at the start, not at the first thought.
    models.open()
    for role in process.declared.roles.values():
        if role.model:
            models.open(role.model)
    for line in models.prices:
        print(line, file=sys.stderr, flush=True)
    return models
