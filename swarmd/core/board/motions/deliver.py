"""Deliver: the mission ends with a text and the reports that are chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from swarmd.core.model.charter import LIST_MAX, TEXT_CHARS_MAX, Line, Reference
from swarmd.core.model.motion_kinds import BaseMotion, Carried, MotionKind

if TYPE_CHECKING:
    from swarmd.core.model.refusals import Denied
    from swarmd.core.model.state import Draft


class DeliverMotion(BaseMotion):
    """Deliver the mission: `text`, then the final reports of the executives named."""

    motion: Literal["deliver"]
    text: str = Field(
        "",
        max_length=TEXT_CHARS_MAX,
        description="before the reports: a title, what is missing",
    )
    reports: tuple[Reference, ...] = Field(
        (),
        max_length=LIST_MAX,
        description="executives whose reports follow whole, in this order",
    )
    reason: Line

    @model_validator(mode="after")
    def _delivers_something(self) -> DeliverMotion:
        if not self.text.strip() and not self.reports:
            raise ValueError("a delivery needs a text or reports")
        return self


def decide_deliver(draft: Draft, carried: Carried) -> Denied | None:
    from swarmd.core.missions import queue
    from swarmd.core.missions.reports import standing_reports
    from swarmd.core.model.names import MissionState
    from swarmd.core.model.refusals import Denied, Rule

    motion = carried.motion
    reports = standing_reports(draft.swarm, carried.mission)
    chosen = []
    for reference in motion.reports:
        found = [r for r in reports if reference in (r.agent, r.name)]
        if not found:
            return Denied(Rule.BOARD_MOTION, f"no report of {reference}")
        # A name may have been used again: the later agent has it now.
        chosen.append(found[-1])
    parts = [motion.text.strip()] if motion.text.strip() else []
    for report in chosen:
        parts.append(report.text.strip())
        if report.citations.wrong:
            parts.append(f"[swarmd: of {report.name}'s report, {report.citations.text}]")
    text = "\n\n".join(parts)
    mission = draft.swarm.missions[carried.mission]
    queue.end(draft, mission, MissionState.DELIVERED, motion.reason, text=text)
    return None


KIND = MotionKind(DeliverMotion, decide_deliver, ends=True)
