"""One mission in this process, attended from its text to its end."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NoReturn

import anyio

from swarmd.app.parts import run_parts
from swarmd.app.process import Process, open_process
from swarmd.core.missions.intake import masked
from swarmd.core.model.channels import BOARD_ROOM, JOURNAL, MISSIONS, RESULTS
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import FIRST, Channel, MissionId, StreamId
from swarmd.core.model.timings import SWEEP_SECONDS
from swarmd.errors import NotFoundError, StoreUnavailableError, UsageError

if TYPE_CHECKING:
    from swarmd.settings import Settings

# How long a `run` beside another process's swarm waits for one that went away: a restart takes
# less.
GUEST_PATIENCE_SECONDS: Final = 3.0
# Stored missions that a `run` looks at before it starts.
_STORED_MAX: Final = 1_000
# Messages of one channel that are read at once.
_READ_AT_ONCE: Final = 500
NO_FIELDS: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Attended:
    """Which missions a `run` waits for, and whether another process's swarm does them."""

    missions: frozenset[MissionId]
    is_guest: bool


@dataclass(frozen=True, slots=True)
class MissionEnd:
    """How a mission that `run` attended ended; `fields` is its record, as it was then."""

    spent: Mapping[str, int]
    fields: Mapping[str, str]


async def run_mission(
    settings: Settings,
    mission: str,
    *,
    files: Sequence[Path] = (),
    fields: Mapping[str, str] = NO_FIELDS,
    resume: bool = False,
    attends: Callable[[Attended], None],
    observer: Callable[[Message], None],
) -> MissionEnd:
    """One mission in this process, from its text to its end; beside a live `up` it is submitted to
    that.

    `fields` are what it asks for beside that, as they enter. `attends` is told which missions are
    waited for, as soon as that is settled. Messages of the board's room, the journal and the
    results go to `observer` as they come. With `resume` the unfinished missions of the data folder
    are finished first and the last one's end is returned.
    """
    async with open_process(settings, "may") as process:
        beside = process.is_guest
        wanted = await _to_resume(process, is_asked=resume)
        start = await _newest(process)
        if not (mission or wanted):
            raise _nothing_to_resume(process)
        async with anyio.create_task_group() as tasks:
            if beside:
                tasks.start_soon(_watch_host, settings)
            else:
                # Running before anything is stored: a model that cannot be opened must not leave a
                # mission behind.
                running = anyio.Event()
                parts = frozenset({"supervisor", "worker"})
                tasks.start_soon(run_parts, process, parts, 0.0, running.set)
                await running.wait()
            if mission:
                id = MissionId(process.clock.new_id("m"))
                wanted.add(id)
                await _submit(process, id, mission, files, fields)
            attends(Attended(frozenset(wanted), beside))
            end = await _attend(process, wanted, start, observer)
            process.stop.set()
            if beside:
                tasks.cancel_scope.cancel()
        return end


async def _to_resume(process: Process, *, is_asked: bool) -> set[MissionId]:
    """The unfinished missions, where they are to be gone on with. Raises where our own data folder
    has some and nobody asked for them.

    A swarm that runs goes on with its missions itself: they are not ours to wait for, nor to cancel
    when we are interrupted.
    """
    if process.is_guest:
        return set()
    pending = await _unfinished(process)
    if pending and not is_asked:
        raise UsageError(
            f"unfinished missions in {process.settings.data}: {', '.join(sorted(pending))}",
            hint="`swarmd up` or `swarmd run --resume` goes on with them; to end one, `swarmd up` "
            "and then `swarmd cancel ID`",
        )
    return pending if is_asked else set()


def _nothing_to_resume(process: Process) -> UsageError:
    if process.is_guest:
        return UsageError(
            f"nothing to resume: the swarm that runs on {process.settings.data} goes on with its "
            "missions itself",
            hint="`swarmd missions` lists them, `swarmd tree` shows what they do",
        )
    return UsageError("nothing to resume", hint='give a mission: swarmd run "what is to be done"')


async def _watch_host(settings: Settings) -> NoReturn:
    """Raises where the swarm whose guest we are has ended: nobody would tell us of our mission's
    end.
    """
    from swarmd.adapters.server.data_folder import live_socket

    gone_since: float | None = None
    while gone_since is None or anyio.current_time() < gone_since + GUEST_PATIENCE_SECONDS:
        await anyio.sleep(SWEEP_SECONDS)
        is_there = await anyio.to_thread.run_sync(live_socket, settings.data) is not None
        gone_since = None if is_there else gone_since or anyio.current_time()
    raise StoreUnavailableError(
        f"the swarm on {settings.data} that the mission was handed to has ended",
        hint="the mission is kept: `swarmd run --resume` or `swarmd up` goes on with it",
    )


async def _unfinished(process: Process) -> set[MissionId]:
    """Open missions, and those stored that no supervisor has read yet."""
    store = process.store
    found = {MissionId(id) for id in await store.pipe.execute("SMEMBERS", store.keys.missions)}
    read_until = await store.pipe.execute("HGET", store.keys.positions, MISSIONS)
    stored = await store.read_missions(StreamId(read_until or FIRST), _STORED_MAX)
    return found | {MissionId(fields["id"]) for _, fields in stored if fields.get("id")}


async def _newest(process: Process) -> dict[Channel, StreamId]:
    newest = {}
    # In the order in which they are read: a result last would be seen without what was journaled
    # just before it.
    for channel in (RESULTS, BOARD_ROOM, JOURNAL):
        last = await process.store.latest(channel, 1)
        newest[channel] = last[0].id if last else FIRST
    return newest


async def _submit(
    process: Process,
    id: MissionId,
    mission: str,
    files: Sequence[Path],
    asked: Mapping[str, str],
) -> None:
    fields = {**asked, "mission": mission, "id": id}
    if files:
        cwd = await anyio.to_thread.run_sync(_working_folder)
        names = await anyio.to_thread.run_sync(process.files.snapshot, id, files, cwd)
        fields["files"] = json.dumps(names)
    await process.store.keep_mission(masked(fields, process.recording.masking))


def _working_folder() -> Path:
    """Against which files are named. Where it was deleted, only whole paths can be meant."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        return Path("/")


async def _attend(
    process: Process,
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
            async for message in _read_on(process, positions):
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
    return await _end_of(process, last)


async def _read_on(process: Process, positions: dict[Channel, StreamId]) -> AsyncIterator[Message]:
    """What has come since, channel by channel; moves the positions on."""
    for channel, after in list(positions.items()):
        for message in await process.store.read(channel, after, _READ_AT_ONCE):
            positions[channel] = message.id
            yield message


async def _still_there(process: Process, wanted: set[MissionId], seen: set[MissionId]) -> None:
    """Raises where a mission that had a record has none any more: nobody would tell of its end."""
    for id in wanted:
        if await process.store.pipe.execute("EXISTS", process.store.keys.mission(id)):
            seen.add(id)
        elif id in seen:
            raise NotFoundError(
                f"the record of mission {id} is gone", hint="its data was deleted: submit it again"
            )


async def _end_of(process: Process, message: Message) -> MissionEnd:
    key = process.store.keys.mission(message.mission)
    flat = await process.store.pipe.execute("HGETALL", key)
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    return MissionEnd(message.data.get("spent", {}), fields)
