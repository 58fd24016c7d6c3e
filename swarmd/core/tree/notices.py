"""Notices that go up the tree. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from swarmd.core.model.lineage import Agent
from swarmd.core.model.names import (
    SOB,
)
from swarmd.core.model.posts import board_notice, inbox_notice
from swarmd.core.model.provenance import KEY as TAINT
from swarmd.core.model.state import Draft


def tell_superior(
    draft: Draft,
    agent: Agent,
    what: str,
    *,
    hops: int = 0,
    taint: tuple[str, ...] = (),
    data: Mapping[str, object],
) -> None:
    """What befell an agent, told to whom it reports: its creator, or the board's room."""
    above, moment = agent.parent, draft.moment
    text = f"{agent.name} ({agent.id}) {what}"[:4000]
    facts = {"agent": agent.id, "key": agent.key, **data} | ({TAINT: list(taint)} if taint else {})
    if above is None or above == SOB:
        draft.add(board_notice(moment, agent.mission, text, facts))
    else:
        draft.add(inbox_notice(moment, above, agent.mission, text, facts, hops=hops))
