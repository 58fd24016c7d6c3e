"""Notices that go up the tree. Pure."""

from __future__ import annotations

from swarmd.core.model.changes import (
    Post,
)
from swarmd.core.model.channels import BOARD_ROOM, inbox
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import (
    CLERK,
    SOB,
    SUPERVISOR,
)
from swarmd.core.model.provenance import KEY as TAINT
from swarmd.core.model.state import Draft


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
        draft.add(
            Post(
                BOARD_ROOM,
                Message(
                    sender=CLERK,
                    kind=Kind.NOTICE,
                    mission=agent.mission,
                    at=draft.moment.stamp,
                    text=text,
                    data=facts,
                ),
            )
        )
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
