"""Direct: work is sent back, or an executive is directed further."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from swarmd.core.model.charter import Line, Reference, Text
from swarmd.core.model.motion_kinds import BaseMotion, Carried, MotionKind

if TYPE_CHECKING:
    from swarmd.core.model.lineage import Agent
    from swarmd.core.model.names import MissionId
    from swarmd.core.model.refusals import Denied
    from swarmd.core.model.state import Draft, Swarm


class DirectMotion(BaseMotion):
    """Send work back, or direct an executive of this mission further."""

    motion: Literal["direct"]
    to: Reference = Field(description="an executive, by name or id")
    text: Text
    reason: Line


def decide_direct(draft: Draft, carried: Carried) -> Denied | None:
    from swarmd.core.model.changes import Post
    from swarmd.core.model.channels import down
    from swarmd.core.model.messages import Kind, Message
    from swarmd.core.model.names import SOB
    from swarmd.core.model.provenance import stamped
    from swarmd.core.model.refusals import Denied
    from swarmd.core.model.requests import RESULT_SHOWN_MAX
    from swarmd.core.model.tables import REPORTS, Put
    from swarmd.core.tasks.law import reject

    mission = carried.mission
    agent = _directed(draft.swarm, mission, carried.motion.to)
    if isinstance(agent, Denied):
        return agent
    # Where it has handed in, that is not accepted; where it is at work, it is only directed.
    reject(draft, agent, SOB, carried.motion.text[:RESULT_SHOWN_MAX])
    report = draft.swarm.reports.get(mission, {}).get(agent.id)
    if report is not None:
        draft.add(Put(REPORTS, mission, replace(report, is_done=False)))
    message = Message(
        sender=SOB,
        to=agent.id,
        kind=Kind.DIRECTIVE,
        mission=mission,
        at=draft.stamp,
        text=carried.motion.text,
    )
    draft.add(Post(down(SOB), stamped(message, carried.taint)))
    return None


def _directed(swarm: Swarm, mission: MissionId, to: str) -> Agent | Denied:
    """The executive that the board may direct."""
    from swarmd.core.actions import authority
    from swarmd.core.model.names import SOB
    from swarmd.core.model.refusals import Denied, Rule

    agent = authority.find_of_mission(swarm, mission, to)
    if isinstance(agent, Denied):
        return agent
    if agent.parent != SOB:
        return Denied(Rule.BOARD_MOTION, f"{agent.id} is no executive: direct its executive")
    if swarm.lineage.is_fenced(agent.path):
        return Denied(Rule.ANCESTOR_ENDING, agent.id)
    return agent


KIND = MotionKind(DirectMotion, decide_direct, sends_back=True)
