"""How the rows of each table are written and read, and what the journal keeps of them.

Nothing here imports pydantic: faces that have to start fast read records too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from swarmd.core.model.chain import Record, canonical, sha256
from swarmd.core.model.kpis import KpiResult, kpi_results, kpi_rows
from swarmd.core.model.lineage import Agent, Fence, Stop, StopKind
from swarmd.core.model.names import AgentId, Authority, TaskState
from swarmd.core.model.privileges import Revocation
from swarmd.core.model.records import (
    Approval,
    CheckResult,
    Citations,
    ExecutiveReport,
    Override,
    Task,
)
from swarmd.core.model.refusals import Rule
from swarmd.core.model.versions import check_record, only_known

if TYPE_CHECKING:
    from swarmd.core.model.charter import Charter
    from swarmd.core.model.procedure import Procedure

V = TypeVar("V")


# --- texts --------------------------------------------------------------------------------------


def _is_number(value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return abs(value) <= _NUMBER_MAX


# Beyond it no float holds every integer; and the journal keeps no number that is not finite.
_NUMBER_MAX: Final = 2**53
_PLAIN: Final[Mapping[str, Callable[[object], bool]]] = {
    "str": lambda value: isinstance(value, str),
    "bool": lambda value: isinstance(value, bool),
    "int": lambda value: isinstance(value, int) and _is_number(value),
    "float": _is_number,
    "Mapping[str, Any]": lambda value: isinstance(value, dict),
}


_WORDS: Final = ("AgentId", "HostId", "MissionId", "Right")


def check_types(value: Any) -> None:
    """Raises `TypeError` where a plain field of a dataclass holds something else than it says:
    what was read of a row may be anybody's.
    """
    if not is_dataclass(value):
        return
    for field in fields(value):
        given, kind = getattr(value, field.name), str(field.type)
        if kind in _WORDS or kind.startswith("Literal["):
            kind = "str"
        if kind in _PLAIN and not _PLAIN[kind](given):
            raise TypeError(f"{field.name} is {str(given)[:40]!r}")


def facts_of(what: str, text: str) -> dict[str, Any]:
    """The facts of a record, whatever a later release has added. Raises `ValueError`, or
    `NewerRecordError`.
    """
    facts = json.loads(text)
    if not isinstance(facts, dict):
        raise ValueError(f"{what} is no object")
    check_record(what, facts.pop("v", None))
    return facts


def plain_facts(value: Any, *without: str) -> dict[str, Any]:
    return {name: fact for name, fact in asdict(value).items() if name not in without}


def without(key: str) -> Callable[[Any], str]:
    """Writes a dataclass as JSON, but for its key."""
    return lambda value: json.dumps(plain_facts(value, key))


def reader(
    kind: type[V], key: str, what: str, **reads: Callable[[Any], Any]
) -> Callable[[str, str], V]:
    """Reads a dataclass back; `reads` are the fields that are no plain JSON."""

    def read(id: str, text: str) -> V:
        facts = only_known(kind, facts_of(f"{what} {id}", text))
        typed = {name: reads[name](fact) for name, fact in facts.items() if name in reads}
        return kind(**facts | typed | ({key: id} if key else {}))

    return read


def _action_of(action: Any) -> Any:
    """Whose it is, is asked of it by everybody who looks."""
    if not (isinstance(action["requester"], str) and isinstance(action["mission"], str)):
        raise TypeError("action is nobody's")
    return action


approval_of: Final = reader(
    Approval, "id", "the approval", needs=Authority, rule=Rule, action=_action_of
)


def stop_text(stop: Stop) -> str:
    return f"{stop.kind.value} {json.dumps(plain_facts(stop, 'target', 'kind'))}"


def stop_of(target: str, text: str) -> Stop:
    kind, _, why = text.partition(" ")
    facts = only_known(Stop, facts_of(f"the stop on {target}", why))
    authority = Authority(facts.pop("authority"))
    return Stop(**facts | {"target": target, "kind": StopKind(kind), "authority": authority})


def revocations_text(marks: Sequence[Revocation]) -> str:
    return json.dumps(
        [[m.path, m.number, m.right, m.by, m.at, m.reason, m.authority] for m in marks]
    )


def revocations_of(segment: str, text: str) -> tuple[Revocation, ...]:
    marks = json.loads(text)
    if not isinstance(marks, list):
        raise ValueError(f"the marks on {segment} are no list")
    return tuple(
        Revocation(segment, path, right, number, by, at, reason, authority)
        for path, number, right, by, at, reason, authority, *_ in marks
    )


def _citations_row(citations: Citations) -> tuple[int, tuple[str, ...]]:
    return citations.right, citations.wrong


def _checks_row(results: Sequence[CheckResult]) -> list[tuple[str, str]]:
    return [(one.check, one.fault) for one in results]


def check_results(rows: Any) -> tuple[CheckResult, ...]:
    return tuple(CheckResult(row["check"], row["fault"]) for row in rows)


def kpis_measured(rows: Any) -> tuple[KpiResult, ...]:
    return tuple(KpiResult(row["kpi"], row["value"], row["is_met"]) for row in rows)


def task_shown(task: Task) -> Mapping[str, str]:
    """What `swarm:task:<id>` has of it. The rest was written with its agent."""
    return {
        "state": task.state.value,
        "result": task.result,
        "digest": task.digest,
        "checks": json.dumps(_checks_row(task.checks)),
        "kpis": json.dumps(kpi_rows(task.kpis)),
        "reason": task.reason,
        "ended": task.at if task.state is TaskState.DONE else "",
    }


def task_begun(agent: Agent) -> Mapping[str, str]:
    """What `swarm:task:<id>` has when its agent is made. Its id is the agent's."""
    return {
        "id": agent.id,
        "from": str(agent.parent),
        "to": agent.id,
        "state": TaskState.ACCEPTED.value,
        "deadline": repr(agent.deadline),
        "result": "",
        "digest": "",
        "checks": "[]",
        "kpis": "[]",
        "reason": "",
        "created": agent.created,
        "ended": "",
    }


def task_words(charter: Charter) -> Mapping[str, str]:
    """What is to be done, and when it is done: a superior may change it."""
    checks = [f"check: {check.text_form}" for check in charter.checks]
    done = "\n".join([charter.done, *checks] if charter.done else checks)
    return {"what": charter.task, "done": done}


def report_text(report: ExecutiveReport) -> str:
    return json.dumps(
        [
            report.agent,
            report.name,
            report.text,
            report.files,
            report.is_done,
            report.taint,
            *_citations_row(report.citations),
            _checks_row(report.checks),
            kpi_rows(report.kpis),
        ]
    )


def report_of(_: str, text: str) -> ExecutiveReport:
    agent, name, said, files, is_done, taint, right, wrong, checks, *more = json.loads(text)
    # A report that a former release wrote has none.
    kpis = kpi_results(more[0] if more else ())
    found, held = Citations(right, tuple(wrong)), tuple(CheckResult(*row) for row in checks)
    return ExecutiveReport(
        AgentId(agent), name, said, tuple(files), is_done, tuple(taint), found, held, kpis
    )


def board_of(_: str, text: str) -> Procedure:
    from swarmd.core.model.procedure import Procedure

    return Procedure.from_json(text)


# --- what the journal keeps ---------------------------------------------------------------------


def stop_record(stop: Stop) -> Record:
    return plain_facts(stop, "target") | {
        "kind": stop.kind.value,
        "authority": stop.authority.value,
    }


def revocations_record(marks: Sequence[Revocation]) -> Record:
    return {
        "marks": [[m.path, m.right, m.number, m.by, m.at, m.reason, m.authority] for m in marks]
    }


def board_record(procedure: Procedure) -> Record:
    return {
        "stage": procedure.stage,
        "motion": procedure.motion_number,
        "procedure": sha256(procedure.to_json()),
    }


def report_record(report: ExecutiveReport) -> Record:
    said = sha256(
        canonical(
            [
                report.name,
                report.text,
                report.files,
                report.taint,
                *_citations_row(report.citations),
                _checks_row(report.checks),
                # The digest of a report without any is what a former release made it.
                *([kpi_rows(report.kpis)] if report.kpis else []),
            ]
        )
    )
    return {report.agent: f"{'done' if report.is_done else 'open'}:{said}"}


def approval_record(approval: Approval) -> Record:
    return {
        "requester": approval.requester,
        "mission": approval.mission,
        "digest": approval.digest,
        "needs": approval.needs.value,
        "rule": approval.rule.value,
        "at": approval.at,
        "expires": approval.expires,
        "put": approval.is_put,
        "answer": approval.answer,
        "by": approval.answered_by,
        "order": approval.order,
        # The digest of one without is what a former release made it.
        **({"reason": approval.reason} if approval.reason else {}),
    }


def override_record(override: Override) -> Record:
    told = ("kind", "target", "by", "mission", "at", "expires", "reason")
    return {name: getattr(override, name) for name in told} | {
        "authority": override.authority.value,
        "before": sha256(canonical(override.before)),
        "after": sha256(canonical(override.after)),
    }


# --- made again of it; a record leaves out what is empty ----------------------------------------


def fence_restored(segment: str, record: Record) -> Fence:
    told = {"reason": "", "by": "", "at": 0.0, **record, "taint": tuple(record.get("taint", ()))}
    return Fence(segment, **told)


def stop_restored(target: str, record: Record) -> Stop:
    told = {"reason": "", "by": "", "at": 0.0, **record}
    kind, authority = StopKind(told.pop("kind")), Authority(told.pop("authority", 0))
    return Stop(target, kind, authority, **told)


def revocations_restored(segment: str, record: Record) -> tuple[Revocation, ...]:
    return tuple(Revocation(segment, *mark) for mark in record.get("marks", ()))
