"""What all parts of one process stand on: the server, the keys that are ours, the secret."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeVar

import anyio
import structlog

from swarmd.adapters import secret as secret_files
from swarmd.adapters.config import loader as declarations
from swarmd.adapters.files.workspace import Workspace
from swarmd.adapters.record.folder import Bounds, RecordFolder
from swarmd.adapters.record.recorder import Recorder
from swarmd.adapters.redis.connection.connection import Dialler, check_server, dial
from swarmd.adapters.redis.connection.pubsub import Bell, Line
from swarmd.adapters.redis.connection.requirements import (
    demand_replay,
    demand_strict,
    refuse_shared_namespace,
)
from swarmd.adapters.redis.keys import WORKER_READS, shared_names, type_of
from swarmd.adapters.redis.store import RedisStore
from swarmd.core.model.channels import FACTS, JOURNAL, MISSIONS
from swarmd.core.model.declarations import Declarations
from swarmd.core.model.functions import BUILT_IN
from swarmd.core.model.masking import Masking
from swarmd.core.model.names import Channel, HostId
from swarmd.core.model.timings import SWEEP_SECONDS
from swarmd.errors import StoreUnavailableError, UsageError
from swarmd.log_events import LogEvent
from swarmd.ports.clock import Clock
from swarmd.runtime.recording import Recording

if TYPE_CHECKING:
    from swarmd.settings import Settings


log = structlog.get_logger(__name__)
T = TypeVar("T")

# How long a start waits for a server that is not there yet (compose, systemd: they start together).
START_PATIENCE_SECONDS: Final = 30.0
# Between two looks at a folder that another process took and does not serve yet.
_TAKEN_SECONDS: Final = 0.25
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


@dataclass(slots=True)
class Process:
    """What all parts of one process share."""

    settings: Settings
    declared: Declarations
    store: RedisStore
    files: Workspace
    clock: Clock
    host: HostId
    stop: anyio.Event
    bell: Bell
    recording: Recording
    is_guest: bool  # on the server of another process, which runs the parts

    def rings(self, keeps: Collection[Channel] = ()) -> Line:
        """A line of the process's one ringing connection."""
        return self.bell.line(keeps)


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
async def open_process(
    settings: Settings, owning: Owning, *, makes: bool = True, clock: Clock | None = None
) -> AsyncIterator[Process]:
    """What a process stands on. With `makes` it is one that may make the swarm where there is
    none yet. `clock` is another than the machine's.
    """
    clock = clock or SystemClock()
    declared = declarations.load(settings.policies, settings.channels, functions=BUILT_IN)
    async with AsyncExitStack() as stack:
        target, is_guest = await _server(settings, stack, owning)
        way = dial(target, namespace=settings.namespace)
        await _suitable(way)
        if settings.redis_url is not None:
            await _refuse_unfit(way, settings.redis_url, settings, makes=makes)
        settings = with_secret(settings)
        secret = settings.secret
        assert secret is not None
        store = RedisStore(way, settings.namespace, secret.encode())
        host = HostId(clock.new_id("h"))
        bell = Bell(way, store.keys)
        tasks = await stack.enter_async_context(anyio.create_task_group())
        stack.callback(tasks.cancel_scope.cancel)
        tasks.start_soon(store.pipe.run)
        tasks.start_soon(way.watch)
        await _keys_are_ours(store, STARTS_WITH if makes else WORKER_STARTS_WITH)
        # A guest's swarm is another process's: who holds another secret must not stamp it.
        await _made(store, makes=makes and not is_guest, is_guest=is_guest)
        if not is_guest and settings.redis_url is None:
            await store.forget_leases()
        tasks.start_soon(bell.run)
        recording = await _recording(settings, declared, clock, host, stack)
        yield Process(
            settings,
            declared,
            store,
            Workspace(
                settings.data / "workspace",
                settings.knowledge_folder,
                declarations.shipped("policies"),
                recording.masking,
            ),
            clock,
            host,
            anyio.Event(),
            bell,
            recording,
            is_guest,
        )


async def _recording(
    settings: Settings,
    declared: Declarations,
    clock: Clock,
    host: HostId,
    stack: AsyncExitStack,
) -> Recording:
    """What this process masks, and the record that it keeps until the stack is closed."""
    masking, limits = Masking(settings.secrets), declared.limits
    bounds = Bounds(limits.record_megabytes * 1_000_000, limits.record_seconds)
    has_prompts = limits.record == "all"
    folder = RecordFolder(settings.data / "record", host, bounds, clock, has_prompts=has_prompts)
    recorder = Recorder(folder, notes=limits.record != "none")
    stack.push_async_callback(recorder.aclose)
    tasks = await stack.enter_async_context(anyio.create_task_group())
    stack.callback(tasks.cancel_scope.cancel)
    tasks.start_soon(recorder.run)
    return Recording(recorder, masking)


async def _server(
    settings: Settings, stack: AsyncExitStack, owning: Owning
) -> tuple[str | Path, bool]:
    """The server, and whether it is another process's on the same folder. Raises where that may
    not be.
    """
    if settings.redis_url is not None:
        return settings.redis_url, False
    from swarmd.adapters.server.data_folder import live_socket
    from swarmd.adapters.server.embedded import EmbeddedServer, FolderTakenError

    server = EmbeddedServer(settings.data, durability=settings.durability)
    deadline = anyio.current_time() + START_PATIENCE_SECONDS
    while True:
        # A daemon that must own the server does not look for another's: the folder's lock says that
        # one is up.
        live = live_socket(settings.data) if owning != "must" else None
        if live is not None:
            return live, True
        if owning == "never":
            raise UsageError(
                "a part alone needs a server",
                hint="set REDIS_URL, or start `swarmd up` on the same data folder first",
            )
        try:
            await stack.enter_async_context(server)
            break
        except FolderTakenError:
            # Another process took the folder a moment before us. Its server is ours to use as soon
            # as it serves.
            if owning == "must" or anyio.current_time() > deadline:
                raise
            await anyio.sleep(_TAKEN_SECONDS)
    keeper = await stack.enter_async_context(anyio.create_task_group())
    stack.callback(keeper.cancel_scope.cancel)
    keeper.start_soon(server.keep)
    return server.socket, False


async def _suitable(way: Dialler) -> None:
    """Waits for a server that is not there yet; an unsuitable one is refused at once."""
    server = await _patiently(way, partial(check_server, way))
    if not server.keeps_aof:
        log.warning(LogEvent.SERVER_WITHOUT_AOF, hint="run it with `--appendonly yes`")


async def _patiently(way: Dialler, step: Callable[[], Awaitable[T]]) -> T:
    """Does a step of the start, again where the server is away, and says so. Raises what it raises
    when patience is over.
    """
    deadline, told = anyio.current_time() + START_PATIENCE_SECONDS, False
    while True:
        try:
            return await step()
        except StoreUnavailableError as error:
            if anyio.current_time() > deadline:
                raise
            if not told:
                log.warning(LogEvent.SERVER_WAITED_FOR, server=str(way.place), why=error.what)
                told = True
            await anyio.sleep(0.5)


async def _refuse_unfit(way: Dialler, url: str, settings: Settings, *, makes: bool) -> None:
    """Raises where a server that somebody else set up would lose work, or has another swarm in our
    namespace.
    """
    demands = [demand_replay, refuse_shared_namespace] if makes else []
    if settings.durability == "strict":
        demands.append(demand_strict)
    for demand in demands:
        ask = partial(anyio.to_thread.run_sync, demand, url, settings.namespace)
        await _patiently(way, ask)


async def _keys_are_ours(store: RedisStore, names: Collection[str]) -> None:
    """Waits, and says so, while a key without which nothing can begin holds something else than
    ours.
    """
    told: list[str] = []
    while wrong := await store.wrong_keys(names):
        if wrong != told:
            log.error(
                LogEvent.KEYS_OCCUPIED,
                keys=wrong,
                hint="`swarmd fsck --repair` sets them aside under other names",
            )
            told = wrong
        await anyio.sleep(SWEEP_SECONDS)


async def _made(store: RedisStore, *, makes: bool, is_guest: bool) -> None:
    """A worker that starts before the first supervisor of all waits for it: it may not make the
    swarm itself. A guest waits for one that is starting, and not beside one of another name.
    """
    deadline, told = anyio.current_time() + START_PATIENCE_SECONDS, False
    while not await store.check_schema(makes=makes):
        if is_guest:
            await _refuse_another_name(store)
        if anyio.current_time() > deadline:
            raise StoreUnavailableError(
                f"no supervisor has ever led the swarm {store.keys.namespace}",
                hint="start one: `swarmd supervisor`",
            )
        if not told:
            log.warning(LogEvent.LEAD_MISSING)
            told = True
        await anyio.sleep(0.5)


async def _refuse_another_name(store: RedisStore) -> None:
    """Raises where the server's swarm listens at the entrance of another namespace."""
    wanted = store.keys.channel(MISSIONS)
    ending = wanted.removeprefix(store.keys.namespace)
    heard = await store.pipe.execute("PUBSUB", "CHANNELS", f"*{ending}")
    names = sorted(str(one).removesuffix(ending) for one in heard)
    if names and store.keys.namespace not in names:
        raise UsageError(
            f"the swarm that runs on this data folder is named {', '.join(names)}, and not "
            f"{store.keys.namespace}",
            hint="leave --namespace (SWARMD_NAMESPACE) out, or name another data folder (--data)",
        )
