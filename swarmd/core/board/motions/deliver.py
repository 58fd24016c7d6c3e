"""Deliver: the mission ends with a text and the reports that are chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from swarmd.core.model.charter import LIST_MAX, TEXT_CHARS_MAX, Line, Reference
from swarmd.core.model.motion_kinds import BaseMotion, Carried, MotionKind

if TYPE_CHECKING:
    from swarmd.core.model.names import MissionId
    from swarmd.core.model.records import ExecutiveReport
    from swarmd.core.model.refusals import Denied
    from swarmd.core.model.state import Draft, Swarm


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
    from swarmd.core.model.names import SOB, MissionState
    from swarmd.core.model.refusals import Denied
    from swarmd.core.tasks.law import accept

    motion, id = carried.motion, carried.mission
    chosen = _chosen(draft.swarm, id, motion)
    if isinstance(chosen, Denied):
        return chosen
    told = [part for report in chosen for part in _told(report)]
    parts = [motion.text.strip(), *told, _open_ends(draft.swarm, id)]
    accept(draft, id, SOB, [report.agent for report in chosen])
    text = "\n\n".join(filter(None, parts))
    mission = draft.swarm.missions[id]
    queue.end(draft, mission, MissionState.DELIVERED, motion.reason, text=text)
    return None


def _chosen(
    swarm: Swarm, mission: MissionId, motion: DeliverMotion
) -> list[ExecutiveReport] | Denied:
    """The reports that it names. A name may have been used again: the later agent has it now."""
    from swarmd.core.missions.reports import standing_reports
    from swarmd.core.model.refusals import Denied, Rule

    reports = standing_reports(swarm, mission)
    chosen: list[ExecutiveReport] = []
    for reference in motion.reports:
        found = [r for r in reports if reference in (r.agent, r.name)]
        if not found:
            there = ", ".join(dict.fromkeys(r.name for r in reports)) or "nobody"
            return Denied(
                Rule.BOARD_MOTION, f"no report of {reference}; there are those of {there}"
            )
        chosen.append(found[-1])
    if not motion.text.strip() and not any(report.is_done for report in chosen):
        detail = f"no final report among {', '.join(motion.reports)}: an interim one is no result"
        return Denied(Rule.BOARD_MOTION, detail)
    return chosen


def _told(report: ExecutiveReport) -> list[str]:
    """A report as it is delivered, and what the program found of it."""
    from swarmd.core.model.records import checks_text

    parts = [] if report.is_done else [f"[swarmd: interim, {report.name} was not done]"]
    parts.append(report.text.strip())
    if report.citations.wrong:
        parts.append(f"[swarmd: of {report.name}'s report, {report.citations.text}]")
    if any(result.fault for result in report.checks):
        parts.append(f"[swarmd: of {report.name}'s report, {checks_text(report.checks)}]")
    return parts


def _open_ends(swarm: Swarm, mission: MissionId) -> str:
    """Executives that are still to give a final report; empty where there is none."""
    reports = swarm.reports.get(mission, {})
    done = {id for id, report in reports.items() if report.is_done}
    living = (e for e in swarm.executives(mission) if not swarm.lineage.is_ending(e))
    names = [executive.name for executive in living if executive.id not in done]
    return f"[swarmd: open at the end: {', '.join(names)}]" if names else ""


KIND = MotionKind(DeliverMotion, decide_deliver, ends=True)
