"""Work is accepted, not announced: how a task is handed in, sent back and done. Pure.

A charter is a task, and its agent's id is the task's. It is handed in by a final report that leaves
no child at work and passes the charter's checks. It is done when the assigner accepts what was
handed in: an agent by giving its own final report, the board by delivering.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from swarmd.core.model.checks import Check
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.kpis import KpiResult
from swarmd.core.model.lineage import Agent
from swarmd.core.model.names import AgentId, MissionId, TaskState
from swarmd.core.model.records import Approval, CheckResult, Task, checks_text, report_digest
from swarmd.core.model.refusals import Denied, Rule
from swarmd.core.model.requests import HandInRequest, SendBackRequest
from swarmd.core.model.state import Draft, Swarm
from swarmd.core.model.tables import APPROVALS, REPORTS, TASKS, Drop, Put
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
    denied = refuse_result(draft, agent, request)
    if denied is not None:
        return denied
    answered = (CheckResult(check.text_form) for check in asked_of_a_person(agent))
    results = (*_results_in(request), *answered)
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


def asked_of_a_person(agent: Agent) -> tuple[Check, ...]:
    """The checks of its charter that an operator answers."""
    checks = agent.charter.checks if agent.charter is not None else ()
    return tuple(check for check in checks if not check.is_looked_up)


def refuse_result(draft: Draft, agent: Agent, request: HandInRequest) -> Denied | None:
    """Why it cannot be handed in, whatever a person says of it; the report is then an interim
    one.
    """
    denied = _why_not_final(draft.swarm, agent, _results_in(request))
    if denied is not None:
        report_is_interim(draft, agent)
    return denied


def _results_in(request: HandInRequest) -> tuple[CheckResult, ...]:
    return tuple(CheckResult(*row) for row in request.checks)


def _why_not_final(swarm: Swarm, agent: Agent, results: Sequence[CheckResult]) -> Denied | None:
    return _why_not_checked(agent, results) or _why_still_open(swarm, agent)


def _why_not_checked(agent: Agent, results: Sequence[CheckResult]) -> Denied | None:
    """They are the checks of its charter, in its order, and hold."""
    if agent.charter is None:
        return Denied(Rule.TASK_STATE, f"{agent.id} has no charter to hand in")
    looked_up = [check.text_form for check in agent.charter.checks if check.is_looked_up]
    if [one.check for one in results] != looked_up:
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
    """What an executive has reported to the board is not its last word, and no person is asked
    about it any more.
    """
    withdraw(draft, agent)
    report = draft.swarm.reports.get(agent.mission, {}).get(agent.id)
    if report is not None and report.is_done:
        draft.add(Put(REPORTS, agent.mission, replace(report, is_done=False)))


def report_is_final(draft: Draft, agent: Agent, digest: str) -> Denied | None:
    """What a person has said yes to is its last word, where it has said nothing else since."""
    report = draft.swarm.reports.get(agent.mission, {}).get(agent.id)
    if report is None or report_digest(report.text, report.files) != digest:
        return Denied(Rule.TASK_STATE, f"{agent.id} has reported something else since")
    draft.add(Put(REPORTS, agent.mission, replace(report, is_done=True)))
    return None


def is_with_a_person(swarm: Swarm, agent: Agent) -> bool:
    """It has handed in, and an operator is asked."""
    return any(True for _ in _asked_about(swarm, agent))


def withdraw(draft: Draft, agent: Agent) -> None:
    for approval in list(_asked_about(draft.swarm, agent)):
        draft.add(Drop(APPROVALS, approval.id))
        draft.record(
            JournalEvent.APPROVAL_WITHDRAWN,
            f"{approval.id} of {agent.id}: withdrawn",
            actor=agent.id,
            mission=agent.mission,
            approval=approval.id,
            digest=approval.digest,
        )


def _asked_about(swarm: Swarm, agent: Agent) -> Iterator[Approval]:
    for approval in swarm.approvals.values():
        is_result = approval.action["request"].get("type") == "hand_in"
        if is_result and approval.requester == agent.id and not approval.answer:
            yield approval


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
