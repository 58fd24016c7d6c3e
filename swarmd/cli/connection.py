"""Where a verb finds its server: `REDIS_URL`, the live server of the data folder, or one for the
moment. Here alone the command line knows what its port for reading stands on.

Looking may start a server that nobody runs (§8 of the design); acting may not, for nobody would
hear it.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from swarmd.cli.exit_codes import Exit
from swarmd.cli.render.text import Ink
from swarmd.cli.session import Sight, note
from swarmd.core.model.masking import Masking
from swarmd.core.model.names import Channel
from swarmd.errors import AnotherSchemaError, StoreUnavailableError, StoreUnsuitableError
from swarmd.settings import Settings

if TYPE_CHECKING:
    from swarmd.adapters.quarantine import SetAside
    from swarmd.adapters.redis.connection import address
    from swarmd.adapters.redis.reader import View
    from swarmd.cli.order_client import Post
    from swarmd.core.journal.fsck import Flaw
    from swarmd.ports.reader import Notifications, Reader

Target: TypeAlias = "address.Target"


def live(settings: Settings) -> Target | None:
    """The server that is there already; `None` where the data folder has none."""
    if settings.redis_url:
        return settings.redis_url
    # Asked before the embedded server is imported: a folder that was never used answers at once.
    if not settings.data.is_dir():
        return None
    from swarmd.adapters.server.data_folder import live_socket

    return live_socket(settings.data)


def living(settings: Settings) -> Target:
    """As `live`. Raises `StoreUnavailableError` where nothing runs."""
    target = live(settings)
    if target is None:
        raise nothing_runs(settings)
    return target


def nothing_runs(settings: Settings) -> StoreUnavailableError:
    return StoreUnavailableError(
        f"no swarm is running in {settings.data}",
        hint="start one with `swarmd up`, or name its server with REDIS_URL",
    )


def place_of(settings: Settings) -> str:
    """Where the swarm is kept, as its operator knows it."""
    if settings.redis_url:
        return "the server of REDIS_URL"
    return f"the data folder {settings.data}"


@contextmanager
def schema_explained(settings: Settings) -> Iterator[None]:
    """A swarm of another schema is told of with the place in which it is kept, and what to do."""
    try:
        yield
    except AnotherSchemaError as error:
        another = "another data folder (--data or SWARMD_DATA)"
        if settings.redis_url:
            another = "another namespace (--namespace or SWARMD_NAMESPACE) or another server"
        raise StoreUnsuitableError(
            f"{place_of(settings)}: {error.what}",
            hint=(
                f"use the swarmd that made it, or begin anew with {another}; it is not converted"
            ),
        ) from error


@contextmanager
def looked_at(settings: Settings) -> Iterator[tuple[Target, bool]]:
    """A server to look at, and whether it is there only for this moment."""
    target = live(settings)
    if target is not None:
        yield target, False
        return
    from swarmd.adapters.server.embedded import momentary

    with momentary(settings.data) as started:
        yield started, True


@contextmanager
def sight_of(settings: Settings, target: Target, *, as_json: bool) -> Iterator[Sight]:
    with closing(reader_of(settings, target)) as reader:
        yield Sight(reader, Ink.of(sys.stdout, os.environ), as_json)


def reader_of(settings: Settings, target: Target) -> Reader:
    """Connects. Raises `StoreUnavailableError` or `StoreUnsuitableError`."""
    from swarmd.adapters.redis.reader import view_of

    return view_of(target, settings.namespace)


@contextmanager
def attended(
    settings: Settings,
    target: Target,
    *channels: Channel,
    timeout: float | None,
    as_json: bool,
    is_patient: bool = True,
) -> Iterator[tuple[Sight, Notifications]]:
    """To look and to wait: with patience, connections that are lost on the way are made anew
    within the time-out.
    """
    from swarmd.adapters.redis.reader import bell_of

    if not is_patient:
        with (
            sight_of(settings, target, as_json=as_json) as sight,
            closing(bell_of(target, settings.namespace, *channels)) as bell,
        ):
            yield sight, bell
        return
    from swarmd.adapters.redis.lasting import LastingBell

    with lasting_sight(settings, timeout=timeout, as_json=as_json) as sight:
        # Looked for each time: a swarm that was started anew may have another socket.
        lasting = LastingBell(lambda: bell_of(living(settings), settings.namespace, *channels))
        with closing(lasting):
            yield sight, lasting


@contextmanager
def lasting_sight(settings: Settings, *, timeout: float | None, as_json: bool) -> Iterator[Sight]:
    """As `sight_of`, over a connection that is made anew when it is lost."""
    from swarmd.adapters.redis.connection.requirements import connect_sync
    from swarmd.adapters.redis.keys import Keys
    from swarmd.adapters.redis.lasting import LastingWire, Patience
    from swarmd.adapters.redis.reader import View

    until = None if timeout is None else time.monotonic() + timeout
    patience = Patience(until, lambda what: note(f"swarmd: {what}"))
    wire = LastingWire(
        lambda: connect_sync(living(settings), namespace=settings.namespace), patience
    )
    with closing(wire):
        yield Sight(View(wire, Keys(settings.namespace)), Ink.of(sys.stdout, os.environ), as_json)


def look(settings: Settings, as_json: bool, see: Callable[[Sight], Exit]) -> Exit:
    with (
        looked_at(settings) as (target, is_momentary),
        sight_of(settings, target, as_json=as_json) as sight,
    ):
        if is_momentary:
            note("no swarm is running here: this is what is stored")
        return see(sight)


def watch(settings: Settings, see: Callable[[Sight], Exit]) -> Exit:
    """As `look`, for what is looked at until somebody has seen enough: a server that goes is
    waited for as long.
    """
    with looked_at(settings) as (target, is_momentary):
        if is_momentary:
            note("no swarm is running here: this is what is stored")
            with sight_of(settings, target, as_json=False) as sight:
                return see(sight)
        with lasting_sight(settings, timeout=math.inf, as_json=False) as sight:
            return see(sight)


# --- writing ----------------------------------------------------------------------------------


@contextmanager
def posting(settings: Settings, target: Target) -> Iterator[Post]:
    """Posts, sealed as one operator's command. Raises `UsageError` or `StoreUnsuitableError` where
    this process has no secret, or not the swarm's: before anything is sent that everybody would
    refuse.
    """
    from swarmd.adapters.redis.keys import Keys
    from swarmd.adapters.redis.operator_post import OperatorPosts

    secret = _secret(settings)
    masking = Masking((*settings.secrets, secret))
    with schema_explained(settings):
        posts = OperatorPosts(target, Keys(settings.namespace), secret.encode(), masking)
    with closing(posts) as post:
        yield post


def store_mission(settings: Settings, target: Target, fields: Mapping[str, str]) -> None:
    from swarmd.adapters.redis.keys import Keys
    from swarmd.adapters.redis.operator_post import store_mission as store

    store(target, Keys(settings.namespace), fields)


# --- beneath the port: what looks into the store itself ---------------------------------------


def set_aside(settings: Settings, target: Target, host: str) -> Sequence[SetAside]:
    """Moves keys that hold something else than ours out of the way."""
    from swarmd.adapters.quarantine import Quarantine
    from swarmd.adapters.redis.keys import Keys

    keys, folder = Keys(settings.namespace), settings.data / "journal"
    return Quarantine(target, keys, folder, _secret(settings), host).mend()


def wrong_keys(reader: Reader) -> list[Flaw]:
    from swarmd.adapters.archive import fsck

    return fsck.wrong_keys(_store_beneath(reader))


def faults_of(reader: Reader, folder: Path, swarm: str) -> list[Flaw]:
    """Where the store does not hold what the journal says."""
    from swarmd.adapters.archive import fsck

    return fsck.check(_store_beneath(reader), folder, swarm)


def _store_beneath(reader: Reader) -> View:
    from swarmd.adapters.redis.reader import View

    assert isinstance(reader, View)
    return reader


def _secret(settings: Settings) -> str:
    from swarmd.adapters.secret import read

    return read(settings.data, settings.secret_file, is_elsewhere=settings.redis_url is not None)


def version(as_json: bool) -> None:
    from swarmd import __version__

    print(f'{{"version": "{__version__}"}}' if as_json else __version__)
