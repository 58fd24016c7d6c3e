"""Executives that begin once others have given their final reports: `after` in a charter. Pure.

Such an executive is created with the others, so that its place and its budget are its own, and gets
its charter together with those reports. Before that it has no mail, and costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from swarmd.core.board import agenda
from swarmd.core.board.standstill import is_done, is_held_back
from swarmd.core.model.changes import AgentSet, Post
from swarmd.core.model.channels import inbox
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import SOB, AgentId, MissionId
from swarmd.core.model.provenance import stamped
from swarmd.core.model.records import ExecutiveReport
from swarmd.core.model.refusals import Denied, Rule
from swarmd.core.model.state import Draft, Swarm
from swarmd.core.tree.spawn import first_words

Followed = Mapping[AgentId, tuple[str, ...]]  # an executive -> ids of those it comes after


def those_named(
    swarm: Swarm, mission: MissionId, names: Sequence[str], made: Sequence[Agent]
) -> tuple[Agent, ...] | Denied:
    """Whom an executive comes after: those of its motion that stand before it (`made`), by name or
    key, and those that live, by name or id. So nobody can wait for itself.
    """
    living = [e for e in swarm.executives(mission) if not swarm.lineage.is_ending(e)]
    known = {name: e for e in (*living, *made) for name in (e.name, e.key, e.id)}
    unknown = next((name for name in names if name not in known), None)
    if unknown is not None:
        detail = f"after {unknown}: no executive before it in this motion, and none that lives"
        return Denied(Rule.BOARD_MOTION, detail)
    found = {known[name].id: known[name] for name in names}
    return tuple(found.values())


def ordered(
    swarm: Swarm, mission: MissionId, after: Followed, instead: Mapping[AgentId, AgentId]
) -> Followed | Denied:
    """Who comes after whom once a motion is carried. Whoever is created in another's place
    (`instead`: id of the old -> id of the new) is waited for in its place.
    """
    watch = swarm.boards[mission].watch
    known = {AgentId(id): ids for id, ids in watch.after.items()} | dict(after)
    begun = {id: ids for id, ids in known.items() if id in watch.begun}
    waiting = {id: _instead(ids, instead) for id, ids in known.items() if id not in begun}
    if _is_circle(waiting):
        detail = "with these `after` and `replaces` executives would wait for each other"
        return Denied(Rule.BOARD_MOTION, detail)
    return begun | waiting


def _instead(ids: Sequence[str], instead: Mapping[AgentId, AgentId]) -> tuple[str, ...]:
    return tuple(instead.get(AgentId(one), one) for one in ids)


def _is_circle(after: Followed) -> bool:
    """Would some wait for each other, and never begin?"""
    waiting = {id: {one for one in ids if one in after} for id, ids in after.items()}
    while ready := {id for id, ids in waiting.items() if not ids}:
        waiting = {id: ids - ready for id, ids in waiting.items() if id not in ready}
    return bool(waiting)


def note(draft: Draft, mission: MissionId, after: Followed) -> None:
    if after != draft.swarm.boards[mission].watch.after:
        agenda.keep_watch(draft, mission, after=dict(after))


def begin_ready(draft: Draft, mission: MissionId) -> None:
    """Those that nothing holds back any more get their charter and the reports."""
    watch = draft.swarm.boards[mission].watch
    for id in [id for id in watch.after if id not in watch.begun]:
        executive = draft.lineage.get(AgentId(id))
        if executive is None or draft.lineage.is_ending(executive):
            _note_begun(draft, mission, id)
        elif not is_held_back(draft.swarm, executive):
            _begin(draft, executive, watch.after[id])
            _note_begun(draft, mission, id)


def _note_begun(draft: Draft, mission: MissionId, id: str) -> None:
    begun = draft.swarm.boards[mission].watch.begun
    agenda.keep_watch(draft, mission, begun=(*begun, id))


def _begin(draft: Draft, executive: Agent, after: Sequence[str]) -> None:
    reports = _reports_of(draft.swarm, executive.mission, after)
    draft.add(AgentSet(replace(executive, reason="")))
    draft.add(Post(inbox(executive.id), first_words(executive, draft.moment, 0, executive.taint)))
    for report in reports:
        draft.add(Post(inbox(executive.id), _as_mail(draft, executive, report)))
    names = ", ".join(report.name for report in reports) or "nobody"
    draft.record(
        JournalEvent.AGENT_BEGINS,
        f"{executive.name} ({executive.id}) begins with the reports of {names}",
        actor=SOB,
        mission=executive.mission,
        agent=executive.id,
        follows=list(after),
    )


def _reports_of(swarm: Swarm, mission: MissionId, after: Sequence[str]) -> list[ExecutiveReport]:
    """In the order of the charter; of whoever ended without a result there is none."""
    reports = swarm.reports.get(mission, {})
    found = [reports[AgentId(id)] for id in after if AgentId(id) in reports]
    return [report for report in found if not report.is_without_result]


def _as_mail(draft: Draft, executive: Agent, report: ExecutiveReport) -> Message:
    message = Message(
        sender=report.agent,
        to=executive.id,
        kind=Kind.REPORT,
        mission=executive.mission,
        at=draft.stamp,
        text=report.text,
        data={"done": report.is_done, "files": list(report.files)},
    )
    return stamped(message, set(report.taint))


def worked_into(swarm: Swarm, mission: MissionId) -> Mapping[str, str]:
    """Reports that stand within another one that is final: id of their author -> name of whose
    report has them.
    """
    board = swarm.boards.get(mission)
    found: dict[str, str] = {}
    if board is None:
        return found
    for id in board.watch.begun:
        executive = swarm.lineage.get(AgentId(id))
        if executive is not None and is_done(swarm, executive):
            found |= dict.fromkeys(board.watch.after[id], executive.name)
    return found
