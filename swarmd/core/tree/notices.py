"""Notices that go up the tree. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from swarmd.core.model.changes import Post
from swarmd.core.model.channels import BOARD_ROOM, host_channel, inbox
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import (
    CLERK,
    SOB,
    SUPERVISOR,
    HostId,
    MissionId,
)
from swarmd.core.model.provenance import KEY as TAINT
from swarmd.core.model.state import Draft
from swarmd.core.model.timings import Moment


def tell_superior(
    draft: Draft,
    agent: Agent,
    what: str,
    *,
    hops: int = 0,
    taint: tuple[str, ...] = (),
    **data: object,
) -> None:
    """What befell an agent, told to whom it reports: its creator, or the board's room."""
    text = f"{agent.name} ({agent.id}) {what}"[:4000]
    facts = {"agent": agent.id, "key": agent.key, **data} | ({TAINT: list(taint)} if taint else {})
    if agent.parent is None or agent.parent == SOB:
        draft.add(board_notice(draft.moment, agent.mission, text, facts))
        return
    message = Message(
        sender=SUPERVISOR,
        to=agent.parent,
        kind=Kind.NOTICE,
        mission=agent.mission,
        at=draft.moment.stamp,
        text=text,
        data=facts,
        hops=hops,
    )
    draft.add(Post(inbox(agent.parent), message))


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
