"""Dead letters: messages on which their reader failed again and again, and what an operator does
about them. Pure.

A letter holds the whole message, who could not read it, how often that was tried and the last words
of it. It is written in the step that moves its reader past the message: it is on the stream of
letters or still to be read, never both, never neither.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from pydantic import ValidationError

from swarmd.core.model.changes import MessageRecalled, Post
from swarmd.core.model.channels import DEAD, inbox
from swarmd.core.model.entries import order_facts
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import OPERATOR, SUPERVISOR, AgentId, Channel, StreamId
from swarmd.core.model.overruling import Original
from swarmd.core.model.refusals import Denied, Rule
from swarmd.core.model.requests import DeadMail
from swarmd.core.model.state import Draft, Swarm
from swarmd.core.tree import notices

_LAST_WORDS_MAX: Final = 2_000


def letter(
    reader: AgentId, message: Message, *, tries: int, why: str, at: str, incarnation: int = 0
) -> Message:
    """As it goes on the stream of letters; `why` are the reader's last words."""
    original = Original.of(message).model_dump(mode="json")
    return Message(
        sender=reader,
        kind=Kind.DEAD,
        mission=message.mission,
        at=at,
        text=why[:_LAST_WORDS_MAX],
        incarnation=incarnation,
        data={"reader": reader, "tries": tries, "original": original},
    )


def undecidable(draft: Draft, message: Message, why: str) -> None:
    """The supervisor's own: an input that it cannot decide. Deciding is pure, so that it is not
    tried again.
    """
    order = str(message.data.get("order", ""))[:64] if message.kind is Kind.ORDER else ""
    draft.add(Post(DEAD, letter(SUPERVISOR, message, tries=1, why=why, at=draft.stamp)))
    draft.record(
        JournalEvent.MESSAGE_REFUSED,
        f"an input of {message.sender} on {message.channel} cannot be decided; it is a dead letter",
        actor=message.sender,
        mission=message.mission,
        rule=Rule.POISON,
        request=message.id,
        channel=message.channel,
        detail=why[:_LAST_WORDS_MAX],
        more=order_facts(order, "refused"),
    )


def tell(draft: Draft, agent: Agent, mail: DeadMail, why: str) -> None:
    """A reader was led past a message on which it failed: recorded, and told to its superior."""
    what = f"failed {mail.tries} times on a message of {mail.sender} ({mail.channel} {mail.id})"
    draft.record(
        JournalEvent.DEAD_ADDED,
        f"{agent.id} {what}: {why}"[:_LAST_WORDS_MAX],
        actor=agent.id,
        mission=agent.mission,
        rule=Rule.POISON,
        agent=agent.id,
        channel=mail.channel,
        message=mail.id,
        tries=mail.tries,
    )
    told = {"channel": mail.channel, "id": mail.id, "tries": mail.tries}
    text = f"{what}; it goes on without it. The message is a dead letter."
    notices.tell_superior(draft, agent, text, data={"dead": told})


# --- what an operator does about one ----------------------------------------------------------


def retry(draft: Draft, order: str, id: str, reason: str) -> Denied | None:
    """Posted once more to its reader, who begins to count anew; the letter is gone with it."""
    found = _found(draft, id)
    if isinstance(found, Denied):
        return found
    reader, original = found
    if reader != SUPERVISOR and not _reads_on(draft.swarm, reader):
        return Denied(Rule.UNKNOWN_AGENT, f"{reader}, who was to read it, has ended")
    # To whom it failed alone: the others on its channel have read it.
    channel = Channel(original.channel) if reader == SUPERVISOR else inbox(reader)
    # An operator's hand: the chain of turns begins anew.
    draft.add(Post(channel, replace(original.message(), hops=0)))
    _close(draft, JournalEvent.DEAD_RETRIED, order, id, reader, original, reason)
    return None


def _reads_on(swarm: Swarm, reader: AgentId) -> bool:
    agent = swarm.lineage.get(reader)
    return agent is not None and not swarm.lineage.is_ending(agent)


def drop(draft: Draft, order: str, id: str, reason: str) -> Denied | None:
    """Nobody will read it; the record keeps that it was."""
    found = _found(draft, id)
    if isinstance(found, Denied):
        return found
    _close(draft, JournalEvent.DEAD_DROPPED, order, id, *found, reason)
    return None


def _found(draft: Draft, id: str) -> tuple[AgentId, Original] | Denied:
    held = draft.swarm.observed.letters.get(StreamId(id))
    if held is None:
        return Denied(Rule.UNKNOWN_LETTER, id)
    try:
        return AgentId(str(held.data["reader"])), Original.model_validate(held.data["original"])
    except (KeyError, ValidationError):
        return Denied(Rule.REQUEST_INVALID, f"{id} is no letter that can be read")


def _close(
    draft: Draft,
    event: JournalEvent,
    order: str,
    id: str,
    reader: AgentId,
    original: Original,
    reason: str,
) -> None:
    facts: dict[str, Any] = {
        "letter": id,
        "reader": reader,
        "channel": original.channel,
        "message": original.id,
    }
    draft.add(MessageRecalled(DEAD, StreamId(id)))
    draft.record(
        event,
        f"letter {id} to {reader} is {event.partition('.')[2]}: {reason}"[:_LAST_WORDS_MAX],
        actor=OPERATOR,
        mission=original.mission,
        order=order,
        outcome="done",
        more=facts,
    )
