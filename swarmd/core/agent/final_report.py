"""A final report: what stands in its way, and how it is handed in. Pure.

It is final only where nothing below its author is open. Else it is given back with the reason, or
at the bound of a turn sent as an interim one that says what is open.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from swarmd.core.agent.turn import Acting, Output
from swarmd.core.model.channels import REQUESTS
from swarmd.core.model.kpis import KpiResult, kpi_rows
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.moves import Govern, Move, Report
from swarmd.core.model.names import AgentState
from swarmd.core.model.records import NO_CITATIONS, CheckResult, Citations, report_digest
from swarmd.core.model.refusals import Rule
from swarmd.core.model.requests import RESULT_SHOWN_MAX, HandInRequest
from swarmd.core.model.words import words_of

# What waits for an agent that has to be heard before its task can be over.
_TO_BE_HEARD = (Kind.CHARTER, Kind.DIRECTIVE, Kind.REPORT)


@dataclass(frozen=True, slots=True)
class Findings:
    """What the runtime has looked up for a report: its citations, and the checks of its author's
    charter on what is handed in, whose digest it is; and the KPIs that can be measured.
    """

    citations: Citations = NO_CITATIONS
    checks: tuple[CheckResult, ...] = ()
    digest: str = ""
    kpis: tuple[KpiResult, ...] = ()

    def beside(self) -> dict[str, Any]:
        """What stands in the report's data; of nothing nothing is said."""
        return {
            **({"citations": asdict(self.citations)} if self.citations.text else {}),
            **({"checks": [(one.check, one.fault) for one in self.checks]} if self.checks else {}),
            **({"kpis": kpi_rows(self.kpis)} if self.kpis else {}),
        }


@dataclass(frozen=True, slots=True)
class OpenEnds:
    """Why a report cannot be final, all of it at once: the names of children at work, what is wrong
    by the checks, and how many messages are unread.
    """

    at_work: Sequence[str] = ()
    checks: str = ""
    unread: int = 0

    @property
    def rule(self) -> Rule:
        return Rule.TASK_OPEN if self.at_work or self.unread else Rule.TASK_CHECKS

    @property
    def detail(self) -> str:
        """Empty where nothing is open."""
        said = [
            f"at work: {', '.join(self.at_work)}" if self.at_work else "",
            self.checks,
            f"unread messages: {self.unread}" if self.unread else "",
        ]
        return "; ".join(filter(None, said))

    def hint(self, *, may_govern: bool) -> str:
        """What its author can do about it: who has no child is told nothing of children."""
        end_them = " or end them with `govern`" if may_govern else ""
        ways = [
            f"`wait` for whom it names{end_them}" if self.at_work else "",
            "mend what a check names" if self.checks else "",
        ]
        todo = ", ".join([*filter(None, ways), "and report again"])
        return f"Not sent: {todo}; or report with `done` false."


def let_go(moves: Sequence[Move]) -> set[str]:
    """Whom an answer ends, by what it calls them."""
    return {
        move.target
        for move in moves
        if isinstance(move, Govern) and move.verb in ("terminate", "drain")
    }


def at_work(acting: Acting, ended: Collection[str]) -> list[str]:
    """The names of its children that have not handed in, those that are only asked for among
    them.
    """
    found = [
        child.name
        for child in acting.children
        if child.id not in acting.done
        and child.state is not AgentState.DRAINING
        and not {child.id, child.name, child.key}.intersection(ended)
    ]
    return [*found, *dict.fromkeys(acting.asked.values())]


def to_be_heard(unread: Sequence[Message]) -> int:
    return sum(1 for message in unread if message.kind in _TO_BE_HEARD)


def hands_in(output: Output) -> bool:
    return output[1].kind is Kind.REQUEST and output[1].data.get("type") == "hand_in"


def counts_of(
    report: Report, findings: Findings, spent: Mapping[str, int], seconds: float, *, has_files: bool
) -> dict[str, int]:
    """What can be said of a report in numbers, by measure. Without files no citation could be
    looked up.
    """
    counts = {
        "words": words_of(report.text),
        "lines": len(report.text.splitlines()),
        "files": len(report.files),
        "calls": spent.get("calls", 0),
        "tokens": spent.get("tokens", 0),
        "seconds": round(seconds),
    }
    return counts | ({"citations": findings.citations.right} if has_files else {})


def handed_in(acting: Acting, sent: Message, findings: Findings) -> Output:
    """The request that hands a report in, as it was sent."""
    request = HandInRequest(
        result=sent.text[:RESULT_SHOWN_MAX],
        digest=findings.digest,
        report=report_digest(sent.text, sent.data["files"]),
        checks=tuple((one.check, one.fault) for one in findings.checks),
        kpis=tuple(kpi_rows(findings.kpis)),
    )
    message = Message(
        sender=acting.agent.id,
        kind=Kind.REQUEST,
        mission=acting.mission,
        at=acting.at,
        text=request.type,
        data=request.model_dump(mode="json"),
        hops=acting.hops,
        incarnation=acting.agent.incarnation,
    )
    return REQUESTS, message
