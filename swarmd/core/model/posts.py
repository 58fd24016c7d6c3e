"""What the supervisor and the clerk post: to an agent, to a host, into the board's room."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from swarmd.core.model.changes import Post
from swarmd.core.model.channels import BOARD_ROOM, host_channel, inbox
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import CLERK, SUPERVISOR, AgentId, HostId, MissionId
from swarmd.core.model.provenance import stamped
from swarmd.core.model.timings import Moment


def board_notice(
    moment: Moment, mission: MissionId, text: str, data: Mapping[str, Any], kind: Kind = Kind.NOTICE
) -> Post:
    """Told to the board's room."""
    message = Message(
        sender=CLERK, kind=kind, mission=mission, at=moment.stamp, text=text, data=data
    )
    return Post(BOARD_ROOM, message)


def host_notice(
    moment: Moment, host: HostId, kind: Kind, text: str, data: Mapping[str, Any] | None = None
) -> Post:
    """Told to a host, on the channel of its own."""
    message = Message(sender=SUPERVISOR, kind=kind, at=moment.stamp, text=text, data=data or {})
    return Post(host_channel(host), message)


def inbox_notice(
    moment: Moment,
    to: AgentId,
    mission: MissionId,
    text: str,
    data: Mapping[str, Any],
    *,
    kind: Kind = Kind.NOTICE,
    hops: int = 0,
    taint: tuple[str, ...] = (),
) -> Post:
    """Told to an agent, by the supervisor."""
    message = Message(
        sender=SUPERVISOR,
        to=to,
        kind=kind,
        mission=mission,
        at=moment.stamp,
        text=text,
        data=data,
        hops=hops,
    )
    return Post(inbox(to), stamped(message, taint) if taint else message)


def call_closed(
    moment: Moment, seat: AgentId, mission: MissionId, motion_number: int, attempt: int
) -> Post:
    """Told to a seat's host: nobody waits for the answer to this call any more."""
    message = Message(
        sender=CLERK,
        to=seat,
        kind=Kind.CLOSED,
        mission=mission,
        at=moment.stamp,
        text=f"motion {motion_number} of mission {mission}: your call is closed",
        data={"motion_number": motion_number, "attempt": attempt},
    )
    return Post(inbox(seat), message)


def answer_to(
    moment: Moment, agent: Agent, text: str, data: Mapping[str, Any], *, hops: int = 0
) -> Post:
    """What became of a request, told to the agent that made it."""
    return inbox_notice(moment, agent.id, agent.mission, text, data, kind=Kind.ANSWER, hops=hops)
