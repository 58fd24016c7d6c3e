"""Notices that go up the tree. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from swarmd.core.model.lineage import Agent
from swarmd.core.model.names import SOB
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
    above, mission, moment = agent.parent, agent.mission, draft.moment
    text = f"{agent.name} ({agent.id}) {what}"[:4000]
    facts = _facts_of(agent, data, taint)
    if above is None or above == SOB:
        draft.add(board_notice(moment, mission, text, facts))
    else:
        draft.add(inbox_notice(moment, above, mission, text, facts, hops=hops))


def _facts_of(
    agent: Agent, data: Mapping[str, object], taint: tuple[str, ...]
) -> dict[str, object]:
    stamp = {TAINT: list(taint)} if taint else {}
    return {"agent": agent.id, "key": agent.key, **data, **stamp}
