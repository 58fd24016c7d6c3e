"""Work is accepted, not announced: how a task is handed in, sent back and done. Pure.

A charter is a task, and its agent's id is the task's. It is handed in by a final report that leaves
no child at work and passes the charter's checks. It is done when the assigner accepts what was
handed in: an agent by giving its own final report, the board by delivering.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from swarmd.core.model.events import JournalEvent
from swarmd.core.model.kpis import KpiResult
from swarmd.core.model.lineage import Agent
from swarmd.core.model.names import AgentId, MissionId, TaskState
from swarmd.core.model.records import CheckResult, Task, checks_text
from swarmd.core.model.refusals import Denied, Rule
from swarmd.core.model.requests import HandInRequest, SendBackRequest
from swarmd.core.model.state import Draft, Swarm
from swarmd.core.model.tables import REPORTS, TASKS, Put
from swarmd.core.tasks.checking import are_green


def task_of(swarm: Swarm, agent: Agent) -> Task | None:
    """What became of its charter; `None` where it was never handed in."""
    found: Task | None = swarm.rows(TASKS).get(agent.mission, {}).get(agent.id)
    return found


def is_at_work(swarm: Swarm, agent: Agent) -> bool:
    """It lives, and its task is neither handed in nor done."""
    task = task_of(swarm, agent)
    is_in = task is not None and task.state in (TaskState.HANDED_IN, TaskState.DONE)
    return not is_in and not swarm.lineage.is_ending(agent)


def hand_in(draft: Draft, agent: Agent, request: HandInRequest) -> Denied | None:
    """Take a final report as handed in, and what its author's children handed in as accepted. Where
    it is not taken, it is not final for the board either.
    """
    results = tuple(CheckResult(*row) for row in request.checks)
    denied = _why_not_final(draft.swarm, agent, results)
    if denied is not None:
        report_is_interim(draft, agent)
        return denied
    task = Task(
        agent=agent.id,
        state=TaskState.HANDED_IN,
        digest=request.digest,
        result=request.result,
        checks=results,
        kpis=tuple(KpiResult(*row) for row in request.kpis),
        at=draft.stamp,
    )
    _put(draft, agent.mission, task)
    _record(draft, JournalEvent.TASK_SUBMITTED, agent.mission, agent.id, task)
    children = draft.lineage.children(agent.id)
    accept(draft, agent.mission, agent.id, [child.id for child in children])
    return None


def _why_not_final(swarm: Swarm, agent: Agent, results: Sequence[CheckResult]) -> Denied | None:
    return _why_not_checked(agent, results) or _why_still_open(swarm, agent)


def _why_not_checked(agent: Agent, results: Sequence[CheckResult]) -> Denied | None:
    """They are the checks of its charter, in its order, and hold."""
    if agent.charter is None:
        return Denied(Rule.TASK_STATE, f"{agent.id} has no charter to hand in")
    if [one.check for one in results] != [check.text_form for check in agent.charter.checks]:
        return Denied(Rule.TASK_CHECKS, "these are not the checks of its charter")
    return None if are_green(results) else Denied(Rule.TASK_CHECKS, checks_text(results))


def _why_still_open(swarm: Swarm, agent: Agent) -> Denied | None:
    at_work = [child.name for child in swarm.lineage.children(agent.id) if is_at_work(swarm, child)]
    return Denied(Rule.TASK_OPEN, f"at work: {', '.join(at_work)}") if at_work else None


def accept(draft: Draft, mission: MissionId, by: str, agents: Iterable[AgentId]) -> None:
    """Of these, what is handed in is done."""
    for id in agents:
        task = draft.swarm.rows(TASKS).get(mission, {}).get(id)
        if task is not None and task.state is TaskState.HANDED_IN:
            _put(draft, mission, replace(task, state=TaskState.DONE, at=draft.stamp))
            _record(draft, JournalEvent.TASK_DONE, mission, by, task)


def report_is_interim(draft: Draft, agent: Agent) -> None:
    """What an executive has reported to the board is not its last word."""
    report = draft.swarm.reports.get(agent.mission, {}).get(agent.id)
    if report is not None and report.is_done:
        draft.add(Put(REPORTS, agent.mission, replace(report, is_done=False)))


def send_back(draft: Draft, superior: Agent, request: SendBackRequest) -> Denied | None:
    child = draft.lineage.get(request.agent)
    if child is None or child.parent != superior.id:
        return Denied(Rule.AUTHORITY, f"{request.agent} is no child of {superior.id}")
    return reject(draft, child, superior.id, request.reason)


def reject(draft: Draft, agent: Agent, by: str, reason: str) -> Denied | None:
    """What it handed in is not accepted, or no longer: it is at work again."""
    task = task_of(draft.swarm, agent)
    if task is None or task.state not in (TaskState.HANDED_IN, TaskState.DONE):
        return Denied(Rule.TASK_STATE, f"{agent.id} has nothing handed in")
    _put(
        draft,
        agent.mission,
        replace(task, state=TaskState.REJECTED, reason=reason, at=draft.stamp),
    )
    _record(draft, JournalEvent.TASK_RETURNED, agent.mission, by, task)
    return None


def _put(draft: Draft, mission: MissionId, task: Task) -> None:
    draft.add(Put(TASKS, mission, task))


_WORDS: Final = {
    JournalEvent.TASK_SUBMITTED: "handed in the task of",
    JournalEvent.TASK_DONE: "accepted the work of",
    JournalEvent.TASK_RETURNED: "sent back the work of",
}


def _record(draft: Draft, event: JournalEvent, mission: MissionId, by: str, task: Task) -> None:
    draft.record(
        event,
        f"{by} {_WORDS[event]} {task.agent}",
        actor=by,
        mission=mission,
        agent=task.agent,
        digest=task.digest,
        checks=len(task.checks),
    )
