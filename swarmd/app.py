"""Puts the parts together: which server, which model, which of supervisor and worker run in this
process.
"""

from __future__ import annotations

import json
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn

import anyio
import structlog

from swarmd.adapters import halt_file
from swarmd.adapters import secret as secret_files
from swarmd.adapters.archive.segments import JournalFiles
from swarmd.adapters.config import loader as declarations
from swarmd.adapters.files.workspace import Workspace
from swarmd.adapters.redis.connection.connection import Dialler, check_server, dial
from swarmd.adapters.redis.connection.pubsub import Bell, Line
from swarmd.adapters.redis.connection.requirements import (
    demand_replay,
    demand_strict,
    refuse_shared_namespace,
)
from swarmd.adapters.redis.keys import WORKER_READS, shared_names, type_of
from swarmd.adapters.redis.store import RedisStore
from swarmd.core.model.channels import BOARD_ROOM, FACTS, JOURNAL, MISSIONS, RESULTS
from swarmd.core.model.declarations import Declarations, Provider
from swarmd.core.model.functions import BUILT_IN
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import FIRST, Channel, HostId, MissionId, MissionState, StreamId
from swarmd.core.model.records import Host
from swarmd.core.model.timings import SWEEP_SECONDS, stamp_of
from swarmd.errors import NotFoundError, StoreUnavailableError, UsageError, WorkspaceError
from swarmd.runtime.supervisor.supervisor import Supervisor
from swarmd.runtime.turn.functions import built_in
from swarmd.runtime.turn.model_call import Mind
from swarmd.runtime.turn.world import World
from swarmd.runtime.worker.worker import Worker

if TYPE_CHECKING:
    from swarmd.adapters.models.rate_limit import SharedPace
    from swarmd.adapters.models.registry import OpenModels
    from swarmd.settings import Settings

log = structlog.get_logger(__name__)

# Agents that one host takes: idle ones cost less than 2 KiB each and no time, a full collection of
# garbage beside them a few milliseconds (docs/benchmarks.md).
HOST_CAPACITY: Final = 100_000
# How long a start waits for a server that is not there yet (compose, systemd: they start together).
START_PATIENCE_SECONDS: Final = 30.0
# How long a `run` beside another process's swarm waits for one that went away: a restart takes
# less.
GUEST_PATIENCE_SECONDS: Final = 3.0
# Stored missions that a `run` looks at before it starts.
_STORED_MAX: Final = 1_000
_ID_ALPHABET: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_ID_CHARS: Final = 10

# A stream that others write may be anything at a start: it is read as empty, and everything else
# goes on.
STARTS_WITH: Final = tuple(
    name for name in shared_names() if type_of(name) != "stream" or name in (JOURNAL, FACTS)
)
WORKER_STARTS_WITH: Final = tuple(name for name in STARTS_WITH if name in WORKER_READS)

# Of the data folder's server: `may` uses another process's where one lives.
Owning = Literal["must", "may", "never"]


class SystemClock:
    """The port `Clock` on this machine."""

    def now(self) -> float:
        return time.time()

    def new_id(self, prefix: str) -> str:
        # One draw for all ten: each is a call of the system.
        drawn, letters = secrets.randbelow(len(_ID_ALPHABET) ** _ID_CHARS), ""
        for _ in range(_ID_CHARS):
            drawn, place = divmod(drawn, len(_ID_ALPHABET))
            letters += _ID_ALPHABET[place]
        return f"{prefix}-{letters}"


@dataclass(frozen=True, slots=True)
class MissionEnd:
    """How a mission that `run` attended ended."""

    mission: str
    state: str
    reason: str
    result: str
    spent: Mapping[str, int]


@dataclass(slots=True)
class _Process:
    """What all parts of one process share."""

    settings: Settings
    declared: Declarations
    store: RedisStore
    files: Workspace
    clock: SystemClock
    host: HostId
    stop: anyio.Event
    bell: Bell
    is_guest: bool  # on the server of another process, which runs the parts

    def rings(self, keeps: Collection[Channel] = ()) -> Line:
        """A line of the process's one ringing connection."""
        return self.bell.line(keeps)


async def serve(
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
        _process(settings, owning, makes="supervisor" in parts) as process,
        anyio.create_task_group() as tasks,
    ):
        heard: list[int] = []
        tasks.start_soon(_stop_on_signal, process.stop, heard, tasks.cancel_scope)
        await _run_parts(process, parts, grace, ready)
        tasks.cancel_scope.cancel()
    return heard[0] if heard else signal.SIGTERM


async def run_mission(
    settings: Settings,
    mission: str,
    *,
    files: Sequence[Path] = (),
    budget: Mapping[str, int] | None = None,
    deadline: float | None = None,
    resume: bool = False,
    attends: Callable[[Collection[MissionId]], None],
    observer: Callable[[Message], None],
) -> MissionEnd:
    """One mission in this process, from its text to its end; beside a live `up` it is submitted to
    that.

    `attends` is told which missions are waited for, as soon as that is settled. Messages of the
    board's room, the journal and the results go to `observer` as they come. With `resume` the
    unfinished missions of the data folder are finished first and the last one's end is returned.
    """
    async with _process(settings, "may") as process:
        beside = process.is_guest
        pending = await _unfinished(process)
        if pending and not (resume or beside):
            raise UsageError(
                f"unfinished missions in {settings.data}: {', '.join(sorted(pending))}",
                hint="`swarmd up` or `swarmd run --resume` goes on with them; to end one, `swarmd "
                "up` and then "
                "`swarmd cancel ID`",
            )
        start = await _newest(process)
        wanted = set(pending) if resume else set()
        if not (mission or wanted):
            raise UsageError(
                "nothing to resume", hint='give a mission: swarmd run "what is to be done"'
            )
        async with anyio.create_task_group() as tasks:
            if beside:
                tasks.start_soon(_watch_host, settings)
            else:
                # Running before anything is stored: a model that cannot be opened must not leave a
                # mission behind.
                running = anyio.Event()
                parts = frozenset({"supervisor", "worker"})
                tasks.start_soon(_run_parts, process, parts, 0.0, running.set)
                await running.wait()
            if mission:
                id = MissionId(process.clock.new_id("m"))
                wanted.add(id)
                await _submit(process, id, mission, files, budget, deadline)
            attends(frozenset(wanted))
            end = await _attend(process, wanted, start, observer)
            process.stop.set()
            if beside:
                tasks.cancel_scope.cancel()
        return end


async def _watch_host(settings: Settings) -> NoReturn:
    """Raises where the swarm whose guest we are has ended: nobody would tell us of our mission's
    end.
    """
    from swarmd.adapters.server.embedded import live_socket

    gone_since: float | None = None
    while gone_since is None or anyio.current_time() < gone_since + GUEST_PATIENCE_SECONDS:
        await anyio.sleep(SWEEP_SECONDS)
        is_there = await anyio.to_thread.run_sync(live_socket, settings.data) is not None
        gone_since = None if is_there else gone_since or anyio.current_time()
    raise StoreUnavailableError(
        f"the swarm on {settings.data} that the mission was handed to has ended",
        hint="the mission is kept: `swarmd run --resume` or `swarmd up` goes on with it",
    )


# --- the process ------------------------------------------------------------------------------


def with_secret(settings: Settings) -> Settings:
    """The settings with the swarm's secret, which is made where nobody has made it yet. May be
    repeated.
    """
    if settings.secret is not None:
        return settings
    if settings.secret_file is None:
        secret_files.make(settings.data)
    secret = secret_files.read(
        settings.data, settings.secret_file, is_elsewhere=settings.redis_url is not None
    )
    return replace(settings, secret=secret)


@asynccontextmanager
async def _process(
    settings: Settings, owning: Owning, *, makes: bool = True
) -> AsyncIterator[_Process]:
    """What a process stands on. With `makes` it is one that may make the swarm where there is
    none yet.
    """
    declared = declarations.load(settings.policies, settings.channels, functions=BUILT_IN)
    async with AsyncExitStack() as stack:
        target, is_guest = await _server(settings, stack, owning)
        way = dial(target, namespace=settings.namespace)
        await _suitable(way)
        if makes and settings.redis_url is not None:
            await anyio.to_thread.run_sync(demand_replay, settings.redis_url, settings.namespace)
        if settings.durability == "strict" and settings.redis_url is not None:
            await anyio.to_thread.run_sync(demand_strict, settings.redis_url, settings.namespace)
        if makes and not is_guest and settings.redis_url is not None:
            await anyio.to_thread.run_sync(
                refuse_shared_namespace, settings.redis_url, settings.namespace
            )
        secret = with_secret(settings).secret
        assert secret is not None
        store = RedisStore(way, settings.namespace, secret.encode())
        clock = SystemClock()
        host = HostId(clock.new_id("h"))
        bell = Bell(way, store.keys)
        tasks = await stack.enter_async_context(anyio.create_task_group())
        stack.callback(tasks.cancel_scope.cancel)
        tasks.start_soon(store.pipe.run)
        tasks.start_soon(way.watch)
        await _keys_are_ours(store, STARTS_WITH if makes else WORKER_STARTS_WITH)
        # A guest's swarm is another process's: who holds another secret must not stamp it.
        await _made(store, makes=makes and not is_guest)
        if not is_guest and settings.redis_url is None:
            await store.forget_leases()
        tasks.start_soon(bell.run)
        yield _Process(
            settings,
            declared,
            store,
            Workspace(
                settings.data / "workspace",
                settings.knowledge_folder,
                declarations.shipped("policies"),
            ),
            clock,
            host,
            anyio.Event(),
            bell,
            is_guest,
        )


async def _server(
    settings: Settings, stack: AsyncExitStack, owning: Owning
) -> tuple[str | Path, bool]:
    """The server, and whether it is another process's on the same folder. Raises where that may
    not be.
    """
    if settings.redis_url is not None:
        return settings.redis_url, False
    from swarmd.adapters.server.embedded import EmbeddedServer, live_socket

    # A daemon that must own the server does not look for another's: the folder's lock says that one
    # is up.
    live = live_socket(settings.data) if owning != "must" else None
    if live is not None:
        return live, True
    if owning == "never":
        raise UsageError(
            "a part alone needs a server",
            hint="set REDIS_URL, or start `swarmd up` on the same data folder first",
        )
    server = await stack.enter_async_context(
        EmbeddedServer(settings.data, durability=settings.durability)
    )
    keeper = await stack.enter_async_context(anyio.create_task_group())
    stack.callback(keeper.cancel_scope.cancel)
    keeper.start_soon(server.keep)
    return server.socket, False


async def _suitable(way: Dialler) -> None:
    """Waits for a server that is not there yet, and says so; an unsuitable one is refused at
    once.
    """
    deadline, told = anyio.current_time() + START_PATIENCE_SECONDS, False
    while True:
        try:
            server = await check_server(way)
            break
        except StoreUnavailableError as error:
            if anyio.current_time() > deadline:
                raise
            if not told:
                log.warning("waiting for the server", server=str(way.place), why=error.what)
                told = True
            await anyio.sleep(0.5)
    if not server.keeps_aof:
        log.warning(
            "the server keeps no append-only file: if it restarts, acknowledged work is lost",
            hint="run it with `--appendonly yes`",
        )


async def _keys_are_ours(store: RedisStore, names: Collection[str]) -> None:
    """Waits, and says so, while a key without which nothing can begin holds something else than
    ours.
    """
    told: list[str] = []
    while wrong := await store.wrong_keys(names):
        if wrong != told:
            log.error(
                "keys of the swarm hold something else; waiting until that is gone",
                keys=wrong,
                hint="`swarmd fsck --repair` sets them aside under other names",
            )
            told = wrong
        await anyio.sleep(SWEEP_SECONDS)


async def _made(store: RedisStore, *, makes: bool) -> None:
    """A worker that starts before the first supervisor of all waits for it: it may not make the
    swarm itself.
    """
    deadline, told = anyio.current_time() + START_PATIENCE_SECONDS, False
    while not await store.check_schema(makes=makes):
        if anyio.current_time() > deadline:
            raise StoreUnavailableError(
                f"no supervisor has ever led the swarm {store.keys.namespace}",
                hint="start one: `swarmd supervisor`",
            )
        if not told:
            log.warning("waiting for a first supervisor")
            told = True
        await anyio.sleep(0.5)


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
            log.info("ending; once more to end at once", signal=signal.Signals(number).name)
            stop.set()


async def _run_parts(
    process: _Process, parts: frozenset[str], grace: float, ready: Callable[[], None] | None
) -> None:
    if not await process.store.declare(
        process.declared.digest, is_supervisor="supervisor" in parts
    ):
        log.warning(
            "this worker's policies and channels are not the supervisor's",
            hint="give both the same SWARMD_POLICIES and SWARMD_CHANNELS",
        )
    async with AsyncExitStack() as stack:
        worker = await _worker(process, grace, stack) if "worker" in parts else None
        supervisor = await _supervisor(process, stack) if "supervisor" in parts else None
        presence = stack.enter_context(
            halt_file.present(
                process.settings.data, process.host, parts, process.settings.knowledge_folder
            )
        )
        async with anyio.create_task_group() as watching:
            watching.start_soon(_heed_brake, process, worker, supervisor)
            watching.start_soon(_tell_trouble, process, presence)
            async with anyio.create_task_group() as running:
                for part in (worker, supervisor):
                    if part is not None:
                        running.start_soon(part.run)
                if ready is not None:
                    ready()
            watching.cancel_scope.cancel()


async def _heed_brake(
    process: _Process, worker: Worker | None, supervisor: Supervisor | None
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
        log.warning("halted by the data folder's brake", reason=held.reason, by=held.by)
        # A supervisor alone has no agents, and its word all the same: who halts must not wait for
        # it in vain.
        agents, busy = await worker.brake() if worker is not None else (0, {})
        word = halt_file.Word(process.host, held.at, agents, busy)
        try:
            await anyio.to_thread.run_sync(halt_file.answer, process.settings.data, word)
        except WorkspaceError as error:
            log.warning("halted, but the word of it could not be given", why=error.what)


async def _tell_trouble(process: _Process, presence: halt_file.Presence) -> None:
    """Says in the data folder why this process cannot work, for a server that refuses it cannot
    be told.
    """
    told = ""
    while True:
        await anyio.sleep(SWEEP_SECONDS)
        trouble = process.store.pipe.trouble
        if trouble == told:
            continue
        try:
            await anyio.to_thread.run_sync(presence.tell, trouble)
            told = trouble
        except WorkspaceError as error:
            log.warning("what is wrong could not be said in the data folder", why=error.what)
            told = trouble


async def _supervisor(process: _Process, stack: AsyncExitStack) -> Supervisor:
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
    )


async def _worker(process: _Process, grace: float, stack: AsyncExitStack) -> Worker:
    models = await _models(process)
    stack.push_async_callback(models.aclose)
    rings = process.rings()
    stack.push_async_callback(rings.aclose)
    identity = await anyio.to_thread.run_sync(process.files.identity)

    async def mind(spec: str) -> Mind:
        model = models.open(spec)
        return Mind(model, process.declared.models.provider(model.name.partition(":")[0]))

    def stamp() -> str:
        return stamp_of(process.clock.now() + process.store.clock_behind())

    handlers = built_in(process.store, process.files)
    world = World(process.store, process.declared, handlers, mind, stamp)
    host = Host(process.host, HOST_CAPACITY, identity)
    return Worker(world, host, rings, process.stop, grace)


async def _models(process: _Process) -> OpenModels:
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


# --- one mission attended -----------------------------------------------------------------------


async def _unfinished(process: _Process) -> set[MissionId]:
    """Open missions, and those stored that no supervisor has read yet."""
    store = process.store
    found = {MissionId(id) for id in await store.pipe.execute("SMEMBERS", store.keys.missions)}
    read_until = await store.pipe.execute("HGET", store.keys.positions, MISSIONS)
    stored = await store.read_missions(StreamId(read_until or FIRST), _STORED_MAX)
    return found | {MissionId(fields["id"]) for _, fields in stored if fields.get("id")}


async def _newest(process: _Process) -> dict[Channel, StreamId]:
    newest = {}
    # In the order in which they are read: a result last would be seen without what was journaled
    # just before it.
    for channel in (RESULTS, BOARD_ROOM, JOURNAL):
        last = await process.store.latest(channel, 1)
        newest[channel] = last[0].id if last else FIRST
    return newest


async def _submit(
    process: _Process,
    id: MissionId,
    mission: str,
    files: Sequence[Path],
    budget: Mapping[str, int] | None,
    deadline: float | None,
) -> None:
    fields: dict[str, str] = {"mission": mission, "id": id}
    if files:
        cwd = await anyio.Path.cwd()
        names = await anyio.to_thread.run_sync(process.files.snapshot, id, files, Path(cwd))
        fields["files"] = json.dumps(names)
    if budget:
        fields["budget"] = json.dumps(dict(budget))
    if deadline:
        fields["deadline_s"] = json.dumps(deadline)
    await process.store.keep_mission(fields)


async def _attend(
    process: _Process,
    wanted: set[MissionId],
    start: dict[Channel, StreamId],
    observer: Callable[[Message], None],
) -> MissionEnd:
    """Follow the debate and the journal until every wanted mission has ended."""
    rings = process.rings()
    positions, last = dict(start), None
    seen: set[MissionId] = set()
    await rings.follow(list(positions))
    try:
        while wanted:
            for channel, after in list(positions.items()):
                for message in await process.store.read(channel, after, 500):
                    positions[channel] = message.id
                    if message.kind is not Kind.UNREADABLE:
                        observer(message)
                    if message.kind is Kind.RESULT and message.mission in wanted:
                        wanted.discard(message.mission)
                        last = message
            if wanted:
                await _still_there(process, wanted, seen)
                await rings.next(SWEEP_SECONDS)
    finally:
        with anyio.move_on_after(1, shield=True):
            await rings.aclose()
    assert last is not None
    return _end_of(last)


async def _still_there(process: _Process, wanted: set[MissionId], seen: set[MissionId]) -> None:
    """Raises where a mission that had a record has none any more: nobody would tell of its end."""
    for id in wanted:
        if await process.store.pipe.execute("EXISTS", process.store.keys.mission(id)):
            seen.add(id)
        elif id in seen:
            raise NotFoundError(
                f"the record of mission {id} is gone", hint="its data was deleted: submit it again"
            )


def _end_of(message: Message) -> MissionEnd:
    data: Mapping[str, Any] = message.data
    state = str(data.get("state", MissionState.FAILED))
    result = message.text if state == MissionState.DELIVERED else ""
    return MissionEnd(
        message.mission, state, str(data.get("reason", "")), result, data.get("spent", {})
    )
