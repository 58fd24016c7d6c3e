"""The mail that a turn reads, and where its positions stand after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from pydantic import TypeAdapter, ValidationError

from swarmd.core.agent.mailbox import take
from swarmd.core.model.lineage import Agent, mission_segments
from swarmd.core.model.messages import Kind, Message, order_of
from swarmd.core.model.names import FIRST, AgentId, Channel, MissionId, StreamId
from swarmd.core.model.provenance import of_mail, strangers
from swarmd.core.model.records import Mission
from swarmd.core.model.requests import SentRequest
from swarmd.log_events import LogEvent
from swarmd.ports.models import Call
from swarmd.runtime.mailboxes import Resident
from swarmd.runtime.turn.world import World

log = structlog.get_logger(__name__)


_CALL: Final[TypeAdapter[Call]] = TypeAdapter(Call)


async def turn_taint(world: World, resident: Resident, read: Sequence[Message]) -> frozenset[str]:
    """What reading these messages does, on top of what the agent has read before."""
    agent, seats = resident.agent, world.declared.board.seats
    unknown = strangers(read, (agent.id, str(agent.parent), *seats))
    records = await world.store.agents([AgentId(id) for id in unknown]) if unknown else []
    outsiders = [id for id, record in zip(unknown, records, strict=True) if record is None]
    return count_taint(world, resident, of_mail(read, outsiders))


def count_taint(world: World, resident: Resident, found: frozenset[str]) -> frozenset[str]:
    """As far as the declarations count it. A charter's own is the agent's for good."""
    known = {*found, *resident.taint, *resident.agent.taint}
    return frozenset(known & set(world.declared.limits.taint.sources))


@dataclass(frozen=True, slots=True)
class SeatCalled:
    """The clerk's call to a seat: the mission that it serves, and its number within the motion."""

    mission: MissionId
    attempt: int
    call: Call

    def is_closed_by(self, message: Message) -> bool:
        """Does the clerk say with it that nobody waits for the answer any more?"""
        key = (message.mission, message.data.get("motion_number"), message.data.get("attempt"))
        own = (self.mission, self.call.motion_number, self.attempt)
        return message.kind is Kind.CLOSED and key == own

    def sent_by(self, agent: Agent, at: str) -> Message:
        """The host's word that the request to the seat's model has gone out."""
        number = self.call.motion_number
        word = SentRequest(mission=self.mission, motion_number=number, attempt=self.attempt)
        return Message(
            sender=agent.id,
            kind=Kind.REQUEST,
            mission=self.mission,
            at=at,
            text=word.type,
            data=word.model_dump(),
            incarnation=agent.incarnation,
        )


def seat_call(agent: Agent, mail: Sequence[Message]) -> SeatCalled | None:
    """The clerk's call among a seat's mail; one that cannot be read is passed over."""
    message = next((m for m in mail if m.kind is Kind.CALL), None) if agent.is_seat else None
    if message is None:
        return None
    try:
        call, attempt = _CALL.validate_python(message.data.get("call")), message.data.get("attempt")
        return SeatCalled(message.mission, attempt if isinstance(attempt, int) else 0, call)
    except ValidationError as error:
        log.warning(LogEvent.CALL_UNREADABLE, agent=agent.id, why=str(error)[:300])
        return None


def unread_mail(resident: Resident) -> list[Message]:
    """This turn's messages; those of a turn that a former holder began are exactly the same as
    then.
    """
    waiting = resident.mailbox or []
    if resident.batch:
        return [
            m for m in waiting if order_of(m.id) <= order_of(resident.batch.get(m.channel, FIRST))
        ]
    return take(resident.agent, waiting, is_alone=resident.alone > 0)


def mail_since(resident: Resident, taken: Sequence[Message]) -> list[Message]:
    """What waits for the next turn beside the mail that this one has taken; nothing, where no turn
    comes after it.
    """
    if resident.is_draining:
        return []
    known = {(message.channel, message.id) for message in taken}
    return [m for m in resident.mailbox or () if (m.channel, m.id) not in known]


def is_call_closed(called: SeatCalled | None, resident: Resident) -> bool:
    waiting = resident.mailbox or ()
    return called is not None and any(called.is_closed_by(message) for message in waiting)


def positions_after(resident: Resident, mail: Sequence[Message]) -> dict[Channel, StreamId]:
    if resident.batch:
        return dict(resident.batch)
    left = (resident.mailbox or [])[len(mail) :]
    positions = dict(resident.seen)
    # A channel of which something still waits has been answered only up to what this turn took of
    # it.
    for channel in {m.channel for m in left}:
        first_left = next(m for m in left if m.channel == channel)
        positions[channel] = _before(first_left.id)
    return positions


def _before(id: StreamId) -> StreamId:
    """The id just before, so that reading after it begins with `id`."""
    milliseconds, sequence = order_of(id)
    if sequence > 0:
        return StreamId(f"{milliseconds}-{sequence - 1}")
    return StreamId(f"{milliseconds - 1}-{2**64 - 1}")


def account_of(agent: Agent, mission: Mission) -> str:
    return mission.id if agent.is_seat else agent.id


def segments_of(agent: Agent, mission: Mission) -> tuple[str, ...]:
    return (*agent.path, *mission_segments(mission.id)) if agent.is_seat else agent.path
