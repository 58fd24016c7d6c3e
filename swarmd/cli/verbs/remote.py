"""Verbs that go to a running swarm and come back: they connect, hand over or follow, and wait.

What is read, ordered and printed is in `look` and `act`; this holds the connections for them.
"""

from __future__ import annotations

import os
import pwd
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from swarmd.adapters import halt_file
from swarmd.adapters.redis.connection.address import Target
from swarmd.adapters.redis.connection.requirements import connect_sync
from swarmd.adapters.redis.keys import Keys
from swarmd.adapters.redis.reader import ask, bell_of, view_of
from swarmd.cli import connection, order_client
from swarmd.cli.exit_codes import Exit, TimedOutError
from swarmd.cli.options import ORDER_SECONDS, Ordered
from swarmd.cli.render.text import Ink
from swarmd.cli.session import Sight, note
from swarmd.cli.verbs import inspect, missions, orders
from swarmd.cli.verbs.orders import BRAKE_SECONDS
from swarmd.core.model.channels import JOURNAL, MISSIONS, RESULTS
from swarmd.core.model.lineage import EVERYTHING
from swarmd.core.model.messages import Message
from swarmd.core.model.names import Channel, MissionId
from swarmd.errors import StoreUnavailableError, StoreUnconfirmedError
from swarmd.settings import Settings

if TYPE_CHECKING:
    from swarmd.adapters.quarantine import SetAside
    from swarmd.adapters.redis.connection.sync_client import Wire
    from swarmd.adapters.redis.reader import Bell


T = TypeVar("T")

WRITE_SECONDS: Final = 5.0
"""How long a lost write is tried again: a connection that is cut, and not a server that is away."""
_WRITE_PAUSE_SECONDS: Final = 0.2

# --- acting on a running swarm ----------------------------------------------------------------


class OrderVerb(Protocol):
    def __call__(
        self,
        sight: Sight,
        post: order_client.Post,
        waiting: order_client.Waiting,
        wish: orders.Wish,
        /,
        *,
        is_awaited: bool,
    ) -> Exit: ...


@contextmanager
def posting(settings: Settings, target: Target) -> Iterator[order_client.Post]:
    """Posts, sealed as one operator's command. Raises `UsageError` or `StoreUnsuitableError` where
    this process has no secret, or not the swarm's: before anything is sent that everybody would
    refuse.
    """
    from swarmd.adapters.redis.operator_post import operator_sealer, post_sync
    from swarmd.adapters.secret import read

    keys = Keys(settings.namespace)
    secret = read(settings.data, settings.secret_file, is_elsewhere=settings.redis_url is not None)
    with closing(_Writing(settings, target)) as writing:
        sealer = operator_sealer(writing.wire, keys, secret.encode())

        def post(channel: Channel, message: Message, key: str) -> str:
            return writing.once(
                lambda wire: post_sync(wire, keys, sealer, channel, message, key=key)
            )

        yield post


def set_aside(settings: Settings, target: Target) -> Sequence[SetAside]:
    """Moves keys that hold something else than ours out of the way."""
    from swarmd.adapters.quarantine import Quarantine
    from swarmd.adapters.secret import read

    secret = read(settings.data, settings.secret_file, is_elsewhere=settings.redis_url is not None)
    keys, host = Keys(settings.namespace), order_client.new_id("h")
    return Quarantine(target, keys, settings.data / "journal", secret, host).mend()


class _Writing:
    """A connection for what may be written twice and happens once: where the answer is lost it
    is written again.
    """

    def __init__(self, settings: Settings, target: Target) -> None:
        self._connect = partial(connect_sync, target, namespace=settings.namespace)
        self.wire = self._connect()

    def once(self, write: Callable[[Wire], T]) -> T:
        end = time.monotonic() + WRITE_SECONDS
        while True:
            try:
                return write(self.wire)
            except StoreUnconfirmedError:
                raise
            except StoreUnavailableError:
                if time.monotonic() >= end:
                    raise
            time.sleep(_WRITE_PAUSE_SECONDS)
            # Where there is no other connection yet, the old one says again what is wrong.
            with suppress(StoreUnavailableError):
                fresh = self._connect()
                self.wire.close()
                self.wire = fresh

    def close(self) -> None:
        self.wire.close()


def ordered(
    settings: Settings,
    verb: OrderVerb,
    wish: orders.Wish,
    asked: Ordered,
    *,
    seconds: float = ORDER_SECONDS,
    is_patient: bool = True,
) -> Exit:
    """Gives an order to the running swarm and waits for what came of it: for as long as is asked,
    or for so many `seconds`.
    """
    target, timeout = connection.living(settings), asked.seconds(seconds)
    with (
        connection.attended(
            settings, target, JOURNAL, timeout=timeout, as_json=asked.as_json, is_patient=is_patient
        ) as (sight, bell),
        posting(settings, target) as post,
    ):
        waiting = order_client.Waiting.of(bell, timeout)
        return verb(sight, post, waiting, wish, is_awaited=asked.wait)


def halt_all(settings: Settings, asked: Ordered) -> Exit:
    """Halts everything, by the data folder's brake and by an order: either alone is enough for
    what it reaches.
    """
    held = orders.pull_brake(settings.data, asked.reason, _user())
    wish, seconds = orders.Wish("halt", EVERYTHING, asked.reason), asked.seconds(BRAKE_SECONDS)
    try:
        # What the brake reaches answers in the data folder: a server that has gone is not waited
        # for.
        return ordered(settings, orders.stop, wish, asked, seconds=seconds, is_patient=held is None)
    except StoreUnavailableError as away:
        if held is None:
            raise
        longest = seconds if asked.wait else 0.0
        return orders.tell_words(settings.data, held, longest, away, as_json=asked.as_json)
    except TimedOutError:
        if held is not None and not asked.as_json:
            orders.say_braked(orders.braked(settings.data, held))
        raise


def thaw(settings: Settings, wish: orders.Wish, asked: Ordered) -> Exit:
    """Of everything, the data folder's brake is released also where no server answers."""
    try:
        return ordered(settings, partial(orders.thaw, data=settings.data), wish, asked)
    except StoreUnavailableError:
        if wish.reference in ("all", EVERYTHING) and halt_file.release(settings.data):
            note("the brake of the data folder is released; what the server holds stopped stays so")
        raise


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def say(settings: Settings, channel: str, text: str, *, as_json: bool) -> Exit:
    if text == "-":
        text = missions.mission_text(text, missions.standard_input)
    target = connection.living(settings)
    with (
        connection.sight_of(settings, target, as_json=as_json) as sight,
        posting(settings, target) as post,
    ):
        return missions.say(sight, post, channel, text)


def submit(
    settings: Settings,
    fields: Mapping[str, str],
    *,
    wait: bool,
    timeout: float | None,
    as_json: bool,
) -> Exit:
    """Stores the mission at the entrance. Acknowledged, it is never lost."""
    target = connection.living(settings)
    id_ = MissionId(fields["id"])
    # Listening before it is stored: a short mission's end is not missed.
    with connection.attended(
        settings, target, JOURNAL, RESULTS, timeout=timeout, as_json=as_json, is_patient=wait
    ) as (sight, bell):
        missions.refuse_conflict(sight.view, fields)
        former = sight.view.mission(id_) if wait else None
        former = former if former and missions.is_turned_away(former) else None
        _store(settings, target, fields)
        if not as_json and sight.view.leads() is False:
            note(
                "stored; no supervisor leads yet, and one will take it up when it comes: `swarmd "
                "up`"
            )
        if wait:
            note(f"mission {id_}")
            return missions.await_mission(
                sight, order_client.Waiting.of(bell, timeout), id_, former
            )
        if as_json:
            sight.give({"mission": id_})
        else:
            print(id_)
        return Exit.DONE


def _store(settings: Settings, target: Target, fields: Mapping[str, str]) -> None:
    flat = [word for pair in fields.items() for word in pair]
    try:
        with closing(_Writing(settings, target)) as writing:
            # Under the same id it is the same mission.
            writing.once(
                partial(_add, ["XADD", Keys(settings.namespace).channel(MISSIONS), "*", *flat])
            )
    except StoreUnavailableError as error:
        # The answer may be what was lost: repeated under its id, it is the same mission.
        raise StoreUnavailableError(
            error.what,
            hint=f"it is not known whether it was stored: repeat it with --id {fields['id']}",
        ) from error


def _add(command: Sequence[str], wire: Wire) -> None:
    from swarmd.adapters.redis.operator_post import confirm_sync

    ask(wire, command)
    confirm_sync(wire)


# --- following --------------------------------------------------------------------------------


def tail(
    settings: Settings, name: str, since: str | None, count: int, *, follow: bool, as_json: bool
) -> Exit:
    start = inspect.since_of(since)
    with connection.looked_at(settings) as (target, is_momentary):
        with connection.sight_of(settings, target, as_json=as_json) as sight:
            channel = inspect.channel_named(sight.view, name)
            reached = inspect.tail(sight, channel, since=start, count=count)
        if not follow or is_momentary:
            if follow:
                note("no swarm is running here: this is what is stored")
            return Exit.DONE
        with closing(_Line(settings, channel, as_json=as_json)) as line:
            inspect.follow(channel, reached, line.connect, time.sleep)
    return Exit.DONE


class _Line:
    """The connections of a follower, made anew each time that the server was away."""

    def __init__(self, settings: Settings, channel: Channel, *, as_json: bool) -> None:
        self._settings = settings
        self._channel = channel
        self._as_json = as_json
        self._open: tuple[Sight, Bell] | None = None

    def connect(self) -> tuple[Sight, Bell]:
        self.close()
        # Looked for each time: a swarm that was started anew may have another socket.
        target = connection.living(self._settings)
        bell = bell_of(target, self._settings.namespace, self._channel)
        with ExitStack() as undo:
            undo.callback(bell.close)
            view = view_of(target, self._settings.namespace)
            undo.pop_all()
        self._open = (Sight(view, Ink.of(sys.stdout, os.environ), self._as_json), bell)
        return self._open

    def close(self) -> None:
        if self._open is not None:
            sight, bell = self._open
            sight.view.close()
            bell.close()
            self._open = None
