"""What executives reported to the board: kept, told in its room, shown to who is called. Pure."""

from __future__ import annotations

from swarmd.core.board import agenda
from swarmd.core.board.room import report_digest, words_of
from swarmd.core.model.changes import Post
from swarmd.core.model.channels import BOARD_ROOM
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.kpis import kpis_of
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import Message
from swarmd.core.model.provenance import taint_of
from swarmd.core.model.records import (
    ENDED_WITHOUT_REPORT,
    Citations,
    ExecutiveReport,
    checks_of,
)
from swarmd.core.model.state import Draft
from swarmd.core.model.tables import REPORTS, Put


def take_report(draft: Draft, executive: Agent, report: ExecutiveReport) -> None:
    draft.add(
        Put(REPORTS, executive.mission, report),
        Post(BOARD_ROOM, report_digest(draft, executive, report)),
    )
    if executive.mission in draft.swarm.boards:
        agenda.note_directed(draft, executive, "")
    draft.record(
        JournalEvent.AGENT_REPORTED,
        f"{executive.name} reported{', done' if report.is_done else ''}",
        actor=executive.id,
        mission=executive.mission,
        done=report.is_done,
    )


def report_of(executive: Agent, message: Message) -> ExecutiveReport:
    return ExecutiveReport(
        executive.id,
        executive.name,
        message.text,
        words_of(message.data.get("files")),
        bool(message.data.get("done")),
        taint_of(message),
        Citations.of(message.data),
        checks_of(message.data),
        kpis_of(message.data),
    )


def last_report(
    executive: Agent, known: ExecutiveReport | None, why: str, taint: tuple[str, ...]
) -> ExecutiveReport:
    text, read = f"{ENDED_WITHOUT_REPORT}{why})", {*taint}
    if known is not None:
        text, read = f"{text}\n\n{known.text}", {*taint, *known.taint}
    return ExecutiveReport(executive.id, executive.name, text, (), True, tuple(sorted(read)))
