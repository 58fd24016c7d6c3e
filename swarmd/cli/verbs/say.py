"""`swarmd say`: the operator speaks to the board about a mission, in a room, or to one agent."""

from __future__ import annotations

from typing import Final

from swarmd.cli.exit_codes import Exit
from swarmd.cli.order_client import Post, at_now, new_id
from swarmd.cli.render.text import plain
from swarmd.cli.session import Sight, note
from swarmd.cli.verbs.channels import channel_named
from swarmd.cli.verbs.inspect import named
from swarmd.cli.verbs.missions import MISSION_BYTES_MAX
from swarmd.core.model.channels import (
    BOARD_ROOM,
    DEAD,
    JOURNAL,
    MISSIONS,
    ORDERS,
    REQUESTS,
    RESULTS,
)
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import OPERATOR, SOB, Channel, MissionId
from swarmd.errors import NotFoundError, UsageError
from swarmd.ports.reader import Reader

# Channels without a kind, in which an operator does not speak.
_OTHERS: Final = frozenset({MISSIONS, RESULTS, ORDERS, REQUESTS, JOURNAL, DEAD})


def say(sight: Sight, post: Post, name: str, text: str) -> Exit:
    """Speaks as the operator to the board about a mission, in a room, or to one agent."""
    channel, mission = _channel_for(sight.reader, name)
    _refuse_unsayable(text)
    to = channel.removeprefix("inbox:") if channel.startswith("inbox:") else ""
    message = Message(
        sender=OPERATOR, kind=Kind.SAY, mission=mission, at=at_now(), to=to, text=text
    )
    id_ = post(channel, message, new_id("s"))
    if sight.as_json:
        sight.give({"channel": channel, "id": id_})
    else:
        print(id_)
        # An agent has no such place: it answers by what it does.
        if channel.startswith("room:"):
            note(f"the answer will stand in {plain(channel)}: swarmd tail {plain(channel)}")
    return Exit.DONE


def _refuse_unsayable(text: str) -> None:
    if not text.strip():
        raise UsageError("there is nothing to say", hint='swarmd say room:sob "…"')
    if len(text.encode("utf-8", "surrogateescape")) > MISSION_BYTES_MAX:
        raise UsageError("that is too long to say", hint="at most 1,000,000 bytes")


def _channel_for(reader: Reader, name: str) -> tuple[Channel, MissionId]:
    """Where somebody listens, and of a mission's id which one the board is told about.

    Raises `UsageError` or `NotFoundError`.
    """
    channel = _spoken_to(reader, name)
    kind, colon, who = channel.partition(":")
    if not colon and channel and channel not in _OTHERS:
        raise NotFoundError(
            f"no agent or room {name!r}",
            hint="`swarmd ps` lists agents; `say room:sob` tells the board",
        )
    if kind not in ("room", "inbox") or not who:
        raise UsageError(
            f"nobody listens on {name!r}",
            hint=(
                "say to a mission, to room:NAME or to an agent, such as m-1, room:sob or socrates: "
                "`swarmd missions` and `swarmd ps` list them"
            ),
        )
    if kind == "room":
        return channel_named(reader, channel), MissionId("")
    found = named(reader, who)
    if not found.is_mission:
        return Channel(f"inbox:{found.id}"), MissionId("")
    mission = reader.mission(MissionId(found.id))
    if mission is None or mission.has_ended:
        raise UsageError(f"mission {found.id} has ended", hint="`swarmd missions` lists them")
    return BOARD_ROOM, MissionId(found.id)


def _spoken_to(reader: Reader, name: str) -> Channel:
    """The channel of that name. A name without a kind is an agent's, or else a room's, as a
    person would say it.
    """
    channel = reader.channel_of(name)
    if ":" in channel or not channel or channel in _OTHERS:
        return channel
    is_room = f"room:{channel}" in reader.rooms()
    try:
        found = named(reader, channel)
    except NotFoundError:
        found = None
    # The board is spoken to in its room: it has no inbox that anybody reads.
    if is_room and (found is None or found.id == SOB):
        return Channel(f"room:{channel}")
    return channel if found is None else Channel(f"inbox:{channel}")
