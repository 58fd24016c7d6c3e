"""The verbs that run the swarm in this process: the daemon, or a part of it, or one mission whole.

The process's signals are heard here; what runs is put together in `swarmd.app`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from swarmd.cli import connection, order_client
from swarmd.cli.exit_codes import Exit, exit_of_signal
from swarmd.cli.options import Work
from swarmd.cli.render import live
from swarmd.cli.render.text import Ink
from swarmd.cli.session import note
from swarmd.cli.verbs import missions as mission_verbs
from swarmd.cli.verbs import result
from swarmd.cli.verbs.missions import Wishes
from swarmd.core.model.channels import ORDERS
from swarmd.core.model.messages import Message
from swarmd.core.queries.snapshot import Snapshot, mission_view
from swarmd.core.queries.spending import used
from swarmd.errors import NotFoundError, SwarmError, UsageError
from swarmd.settings import Settings

if TYPE_CHECKING:
    import anyio

    from swarmd.app.attended import Attended, MissionEnd

PICTURE_SECONDS: Final = 0.4
T = TypeVar("T")


def run_loop(function: Callable[[], Awaitable[T]]) -> T:
    """`anyio.run`, whose task groups' one error leaves as itself: the entrance knows what it means.

    On uvloop where that is installed (an extra): the same loop, at half the cost for each wake-up.
    """
    import anyio

    try:
        return anyio.run(function, backend_options={"use_uvloop": find_spec("uvloop") is not None})
    except BaseExceptionGroup as group:
        leaves = list(_leaves(group))
        if all(isinstance(leaf, SwarmError) for leaf in leaves):
            raise leaves[0] from group
        raise


def _leaves(error: BaseException) -> Sequence[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]


# --- the daemon -------------------------------------------------------------------------------


def serve(settings: Settings, parts: frozenset[str], grace: float) -> Exit:
    """Runs until a signal ends it."""
    from functools import partial

    from swarmd import logs
    from swarmd.app.parts import serve_parts
    from swarmd.app.process import with_secret

    settings = with_secret(settings)
    logs.configure(level=settings.log_level, form=settings.log_format, secrets=settings.secrets)
    what = "swarmd" if len(parts) > 1 else next(iter(parts))

    def ready() -> None:
        where = "REDIS_URL" if settings.redis_url else settings.data
        note(f"{what} is up, on {where}; look with `swarmd tree`, stop with Ctrl-C")

    with connection.schema_explained(settings):
        number = run_loop(partial(serve_parts, settings, parts=parts, grace=grace, ready=ready))
    return exit_of_signal(number)


# --- one mission, whole -----------------------------------------------------------------------


def run(
    settings: Settings,
    mission: str,
    work: Work,
    *,
    resume: bool,
    quiet: bool,
    as_json: bool,
) -> Exit:
    """Does one mission in this process and prints its result alone."""
    result.refuse_folder(work)
    text, files = run_request(mission, work.names, resume=resume)
    fields: dict[str, str] = {}
    if text:
        wishes = Wishes(work.budget, work.deadline, work.board)
        fields = mission_verbs.entrance_fields(text, None, wishes, ())
    asked = Asked(text, files, fields, resume)
    end, interrupted = _watched(settings, asked, is_quiet=quiet)
    code = Exit.FAILED
    if end is not None:
        ended = mission_view(end.fields)
        code = result.tell_end(settings, work, ended, used(end.spent), as_json=as_json)
    if interrupted:
        return exit_of_signal(interrupted)
    assert end is not None, "only a signal ends a run without an end"
    return code


def _watched(settings: Settings, asked: Asked, *, is_quiet: bool) -> tuple[MissionEnd | None, int]:
    """The mission's end, while it is shown how it goes; and the signal that came, or 0."""
    from functools import partial

    from swarmd import logs
    from swarmd.app.process import with_secret

    settings = with_secret(settings)
    # Asked of the stream itself: within the screen standard error is a stand-in that knows less of
    # it.
    watcher = live.Watcher(Ink.of(sys.stderr, os.environ))
    with (
        connection.schema_explained(settings),
        live.screen_of(sys.stderr, os.environ, is_quiet=is_quiet) as screen,
    ):
        # Within the screen, so that a log line goes above its picture and not into it.
        logs.configure(level=settings.log_level, form=settings.log_format, secrets=settings.secrets)
        return run_loop(partial(_attended, settings, asked, watcher, screen))


def run_request(
    mission: str, named: Sequence[str], *, resume: bool
) -> tuple[str, tuple[Path, ...]]:
    """The mission's text and its files. Raises `UsageError` where they cannot be meant, and
    `NotFoundError` for a file that is not there.
    """
    if not mission and resume:
        return "", ()
    if mission != "-" and named and _is_path(mission):
        raise UsageError(
            f"the mission comes before the files, and {mission!r} is a file",
            hint='swarmd run "What is to be done" --files FILE FILE',
        )
    text = mission_verbs.mission_text(mission, mission_verbs.standard_input)
    missing = [name for name in named if not _is_path(name)]
    if missing:
        raise NotFoundError(
            f"no such file or folder: {', '.join(missing)}", hint="--files takes files and folders"
        )
    return text, tuple(Path(name) for name in named)


@dataclass(frozen=True, slots=True)
class Asked:
    """What `run` was asked, checked."""

    mission: str
    files: tuple[Path, ...]
    fields: Mapping[str, str]  # as they enter
    resume: bool


@dataclass(slots=True)
class _Interrupted:
    """Which signal came first, and what it can stop: the missions that are waited for."""

    signal: int = 0
    missions: tuple[str, ...] = ()


async def _attended(
    settings: Settings, asked: Asked, watcher: live.Watcher, screen: live.Screen
) -> tuple[MissionEnd | None, int]:
    """The mission with somebody watching: its progress is shown, and Ctrl-C cancels it."""
    import anyio

    from swarmd.app.attended import run_mission

    stop = _Interrupted()
    end: MissionEnd | None = None

    def attend(attended: Attended) -> None:
        # Told and not heard: in the room of a busy swarm the first word is somebody else's.
        stop.missions = tuple(sorted(attended.missions))
        if attended.is_guest:
            note(
                f"the swarm that runs on {settings.data} does the mission, with its own model, "
                "policies, channels and durability; what this command says of these is not used"
            )
        if asked.resume:
            note(f"waiting for {', '.join(stop.missions)}")
        watcher.missions = stop.missions

    def observe(message: Message) -> None:
        screen.say(watcher.heard(message))

    async with anyio.create_task_group() as group:
        group.start_soon(_heed, settings, stop, group.cancel_scope)
        group.start_soon(_picture, settings, watcher, screen)
        end = await run_mission(
            settings,
            asked.mission,
            files=asked.files,
            fields=asked.fields,
            resume=asked.resume,
            attends=attend,
            observer=observe,
        )
        group.cancel_scope.cancel()
    return end, stop.signal


async def _heed(settings: Settings, stop: _Interrupted, scope: anyio.CancelScope) -> None:
    """The first signal cancels the mission, and its verified end is waited for; the second
    quits.
    """
    import anyio

    from swarmd.app.parts import ending_signals

    with anyio.open_signal_receiver(*ending_signals()) as signals:
        async for number in signals:
            target = connection.live(settings)
            if stop.signal or not stop.missions or target is None:
                stop.signal = stop.signal or number
                scope.cancel()
                return
            stop.signal = number
            note(f"cancelling {', '.join(stop.missions)}; once more to quit at once")
            _cancel(settings, target, stop.missions)


def _cancel(settings: Settings, target: connection.Target, missions: Sequence[str]) -> None:
    with connection.posting(settings, target) as post:
        for mission in missions:
            id = order_client.new_id("o")
            post(ORDERS, order_client.order("cancel", mission, "interrupted", id), id)


async def _picture(settings: Settings, watcher: live.Watcher, screen: live.Screen) -> None:
    """Draws the tree and the spend some times a second. What fails to be drawn is drawn the next
    time.
    """
    import anyio

    while True:
        await anyio.sleep(PICTURE_SECONDS)
        if not watcher.missions:
            # Not handed in yet: what the data folder holds is of former missions.
            screen.picture(watcher)
            continue
        try:
            snapshot = await anyio.to_thread.run_sync(_glimpse, settings, watcher.missions)
        except SwarmError:
            # not up yet, or away for a moment: the mission's own parts say so where it matters
            continue
        screen.say(watcher.seen(snapshot))
        screen.picture(watcher)


def _glimpse(settings: Settings, missions: Sequence[str]) -> Snapshot:
    with closing(connection.reader_of(settings, connection.living(settings))) as reader:
        return reader.snapshot(missions[0] if len(missions) == 1 else "")


def _is_path(name: str) -> bool:
    try:
        return Path(name).exists()
    except (OSError, ValueError):
        return False
