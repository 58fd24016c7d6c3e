"""Verbs that go to a running swarm and come back: they connect, hand over or follow, and wait.

What is read, ordered and printed stands in the other modules; this holds the connections for them.
"""

from __future__ import annotations

import math
import os
import pwd
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Protocol

from swarmd.adapters import halt_file
from swarmd.cli import connection, order_client
from swarmd.cli.exit_codes import Exit, TimedOutError
from swarmd.cli.options import ORDER_SECONDS, Ordered, Work
from swarmd.cli.session import Sight, note
from swarmd.cli.verbs import channels, halt, missions, orders, result
from swarmd.cli.verbs import say as say_verb
from swarmd.cli.verbs.targets import Wish
from swarmd.core.missions.intake import masked
from swarmd.core.model.channels import JOURNAL, RESULTS
from swarmd.core.model.lineage import EVERYTHING
from swarmd.core.model.masking import Masking
from swarmd.core.model.names import MissionId
from swarmd.errors import StoreUnavailableError, UsageError
from swarmd.settings import Settings

# --- acting on a running swarm ----------------------------------------------------------------


class OrderVerb(Protocol):
    def __call__(
        self,
        sight: Sight,
        post: order_client.Post,
        waiting: order_client.Waiting,
        wish: Wish,
        /,
        *,
        is_awaited: bool,
    ) -> Exit: ...


def ordered(
    settings: Settings,
    verb: OrderVerb,
    wish: Wish,
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
        connection.posting(settings, target) as post,
    ):
        waiting = order_client.Waiting.of(bell, timeout)
        return verb(sight, post, waiting, wish, is_awaited=asked.wait)


def halt_all(settings: Settings, asked: Ordered) -> Exit:
    """Halts everything, by the data folder's brake and by an order: either alone is enough for
    what it reaches.
    """
    held = halt.pull_brake(settings.data, asked.reason, _user())
    wish, seconds = Wish("halt", EVERYTHING, asked.reason), asked.seconds(halt.BRAKE_SECONDS)
    try:
        # What the brake reaches answers in the data folder: a server that has gone is not waited
        # for.
        return ordered(settings, orders.stop, wish, asked, seconds=seconds, is_patient=held is None)
    except StoreUnavailableError as away:
        if held is None:
            raise
        longest = seconds if asked.wait else 0.0
        return halt.tell_words(settings.data, held, longest, away, as_json=asked.as_json)
    except TimedOutError:
        if held is not None and not asked.as_json:
            halt.say_braked(halt.braked(settings.data, held))
        raise


def thaw(settings: Settings, wish: Wish, asked: Ordered) -> Exit:
    """Of everything, the data folder's brake is released also where no server answers."""
    try:
        return ordered(settings, partial(orders.thaw, data=settings.data), wish, asked)
    except StoreUnavailableError:
        if wish.reference in ("all", EVERYTHING) and halt_file.release(settings.data):
            note(
                "the brake of the data folder is released (its file `halt` is removed); what the "
                "server holds stopped stays so: `swarmd thaw all` once more when it is there"
            )
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
        connection.posting(settings, target) as post,
    ):
        return say_verb.say(sight, post, channel, text)


def submit(
    settings: Settings,
    fields: Mapping[str, str],
    work: Work,
    *,
    wait: bool,
    timeout: float | None,
    as_json: bool,
) -> Exit:
    """Stores the mission at the entrance. Acknowledged, it is never lost. Raises `NotFoundError`
    for a file that is seen to be missing: then nothing is stored.
    """
    if work.folder is not None and not wait:
        raise UsageError(
            "--out takes --wait", hint="or `swarmd result MISSION --out DIR`, once it has ended"
        )
    result.refuse_folder(work)
    target = connection.living(settings)
    fields = masked(fields, Masking(settings.secrets))
    id_ = MissionId(fields["id"])
    missions.refuse_missing_files(settings, id_, work.names)
    # Listening before it is stored: a short mission's end is not missed.
    with connection.attended(
        settings, target, JOURNAL, RESULTS, timeout=timeout, as_json=as_json, is_patient=wait
    ) as (sight, bell):
        missions.refuse_conflict(sight.reader, fields)
        former = sight.reader.mission(id_) if wait else None
        former = former if former and missions.is_turned_away(former) else None
        connection.store_mission(settings, target, fields)
        _note_no_leader(sight)
        if wait:
            note(f"mission {id_}")
            waiting = order_client.Waiting.of(bell, timeout)
            with _told_to_go_on(id_):
                mission = missions.await_mission(sight, waiting, id_, former)
            return result.ended(settings, work, sight, mission)
        if as_json:
            sight.give({"mission": id_})
        else:
            print(id_)
        return Exit.DONE


@contextmanager
def _told_to_go_on(id: MissionId) -> Iterator[None]:
    """Who stops waiting is told that the mission does not stop with them."""
    try:
        yield
    except KeyboardInterrupt:
        note(
            f"mission {id} goes on without you: `swarmd inspect {id}` shows it, `swarmd cancel "
            f"{id}` ends it"
        )
        raise


def _note_no_leader(sight: Sight) -> None:
    if not sight.as_json and sight.reader.leads() is False:
        note("stored; no supervisor leads yet, and the next one takes it up: `swarmd up`")


# --- following --------------------------------------------------------------------------------


def tail(
    settings: Settings, name: str, since: str | None, count: int, *, follow: bool, as_json: bool
) -> Exit:
    start = channels.since_of(since)
    with connection.looked_at(settings) as (target, is_momentary):
        with connection.sight_of(settings, target, as_json=as_json) as sight:
            channel = channels.channel_named(sight.reader, name)
            reached = channels.tail(sight, channel, since=start, count=count)
        if not follow or is_momentary:
            if follow:
                note("no swarm is running here: this is what is stored")
            return Exit.DONE
        with connection.attended(settings, target, channel, timeout=math.inf, as_json=as_json) as (
            sight,
            notifications,
        ):
            channels.follow(sight, channel, reached, notifications)
    return Exit.DONE
