"""What an agent reads of its channels, and what of it calls for a turn. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from swarmd.core.agent.waiting import NO_WAIT, AgentWait, is_settled, settled_by
from swarmd.core.model.channels import down, inbox
from swarmd.core.model.corrections import is_of_its_reader
from swarmd.core.model.declarations import Room
from swarmd.core.model.lineage import Agent, missions_rooms
from swarmd.core.model.messages import Kind, Message

# What a turn takes from a mailbox at most; the rest waits for the next.
MAIL_MAX: Final = 64


def concerns(agent: Agent, message: Message) -> bool:
    """Is the message for this agent to read at all? Its own posts and directives to a sibling
    are not.
    """
    if message.sender == agent.id or message.kind is Kind.UNREADABLE:
        return False
    if agent.is_seat:
        # What is said in the board's room it reads there when it is called, this mission's part
        # only.
        return message.channel == inbox(agent.id)
    if agent.parent is not None and message.channel == down(agent.parent):
        return message.to in ("", "*", agent.id)
    return True


def calls_for_turn(
    agent: Agent, mail: Sequence[Message], rooms: Mapping[str, Room], wait: AgentWait = NO_WAIT
) -> bool:
    """Does what is in its mailbox call for a turn? Last words of those whom it waits for do when
    all of them are there, so that sixteen reports are one turn and not sixteen.
    """
    if is_settled(wait, mail):
        return True
    return any(wakes(agent, message, rooms) and not settled_by(wait, message) for message in mail)


def wakes(agent: Agent, message: Message, rooms: Mapping[str, Room]) -> bool:
    """Inbox, directives, reports and mentions wake an agent; other posts in its rooms wait for its
    next turn, and so does what only says that a request of its own was done.

    Seats are woken by the clerk's call alone.
    """
    if agent.is_seat:
        return message.kind is Kind.CALL
    if not message.channel.startswith("room:"):
        return not _acknowledges(agent, message)
    if f"@{agent.name}" in message.text or f"@{agent.id}" in message.text:
        return True
    return any(
        declared.wakes == "all"
        for declared, channel in missions_rooms(agent, rooms)
        if channel == message.channel
    )


def _acknowledges(agent: Agent, message: Message) -> bool:
    """Does it say that what the agent asked for has been done, or what its own turns were like? A
    refusal does not, nor the end of a child that somebody else has ended or that failed.
    """
    if message.kind is Kind.ANSWER:
        return message.data.get("outcome") in ("created", "done")
    if is_of_its_reader(message):
        return True
    is_end = message.kind is Kind.NOTICE and bool(message.data.get("ended"))
    return is_end and message.data.get("by") == agent.id


def take(agent: Agent, waiting: Sequence[Message], *, is_alone: bool = False) -> list[Message]:
    """What one turn answers: everything, within bounds; a seat's ends with the first call, for each
    is answered alone.

    `is_alone`: one message, because it failed on several.
    """
    taken = []
    for message in waiting[: 1 if is_alone else MAIL_MAX]:
        taken.append(message)
        if agent.is_seat and message.kind is Kind.CALL:
            break
    return taken
