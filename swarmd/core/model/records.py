"""The records that are stored: missions, reports, approvals, overrides, hosts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from swarmd.core.model.chain import canonical, sha256
from swarmd.core.model.kpis import KpiResult
from swarmd.core.model.lineage import Agent
from swarmd.core.model.names import (
    FIRST,
    AgentId,
    Authority,
    HostId,
    MissionId,
    MissionState,
    StreamId,
    TaskState,
)
from swarmd.core.model.refusals import Rule


@dataclass(frozen=True, slots=True)
class Spawned:
    """A spawn that the law allows: the minted agent, and what is carved from whose account."""

    agent: Agent
    caps: Mapping[str, int]
    account: str


Caps = Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mission:
    """One mission: the hash `swarm:mission:<id>`. `deadline` is seconds since the epoch."""

    id: MissionId
    text: str
    state: MissionState
    budget: Caps
    files: tuple[str, ...] = ()
    digest: str = ""  # of the content as submitted: the same id with other content is refused
    reason: str = ""
    result: str = ""
    created: str = ""
    ended: str = ""
    deadline: float = 0.0
    asked_files: tuple[str, ...] = ()  # as submitted; `files` is what they stand for
    board: Literal["all"] | int | None = None  # seats that it asked for; none: by its budget
    result_files: tuple[str, ...] = ()  # what was written of its result, the reports first
    # Decided, and waiting until its subtree is ended and its account closed.
    ending: MissionState | None = None

    @property
    def readable_files(self) -> tuple[str, ...]:
        """By their names and by what those stand for."""
        return (*self.files, *self.asked_files)


@dataclass(frozen=True, slots=True)
class Citations:
    """Of one report, as the runtime looked them up: how many are right, and what is wrong with
    each of the others.
    """

    right: int = 0
    wrong: tuple[str, ...] = ()

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Citations:
        """Of a report's data, as the runtime wrote them; a report of another form has none."""
        match data.get("citations"):
            case {"right": int(right), "wrong": list(wrong)}:
                return cls(right, tuple(fault for fault in wrong if isinstance(fault, str)))
            case _:
                return NO_CITATIONS

    @property
    def text(self) -> str:
        """For people and models; empty where nothing is cited."""
        count = self.right + len(self.wrong)
        if not count:
            return ""
        head = f"{self.right} of {count} citations have words of their claim in the cited lines"
        return f"{head}; not so: {'; '.join(self.wrong)}" if self.wrong else head


NO_CITATIONS: Final = Citations()


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check of a task on what was handed in: its text, and what is wrong; empty where it
    holds.
    """

    check: str
    fault: str = ""


def checks_of(data: Mapping[str, Any]) -> tuple[CheckResult, ...]:
    """Of a report, as the runtime wrote them; what has another form is none."""
    rows = data.get("checks")
    listed = (
        [row for row in rows if isinstance(row, list | tuple)] if isinstance(rows, list) else []
    )
    return tuple(CheckResult(*map(str, row)) for row in listed if len(row) == 2)


def checks_text(results: Iterable[CheckResult]) -> str:
    """For people and models; empty where nothing was checked."""
    listed = list(results)
    if not listed:
        return ""
    red = [f"{one.check}: {one.fault}" for one in listed if one.fault]
    head = f"{len(listed) - len(red)} of {len(listed)} checks hold"
    return f"{head}; not so: {'; '.join(red)}" if red else head


# How the report of an executive begins that ended before it gave a final one.
ENDED_WITHOUT_REPORT: Final = "(ended without a final report: "


@dataclass(frozen=True, slots=True)
class ExecutiveReport:
    """The last report of an executive of a mission; `is_done` when it was its final one."""

    agent: AgentId
    name: str
    text: str
    files: tuple[str, ...] = ()
    is_done: bool = False
    taint: tuple[str, ...] = ()  # what its author had read of what nobody vouches for
    citations: Citations = NO_CITATIONS
    checks: tuple[CheckResult, ...] = ()
    kpis: tuple[KpiResult, ...] = ()

    @property
    def is_without_result(self) -> bool:
        """Its executive ended before its final report."""
        return self.text.startswith(ENDED_WITHOUT_REPORT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What became of an agent's charter since it was handed in for the first time. Before that its
    state is `accepted`: the agent is at work on it.

    `digest` is of what was handed in and checked; `result` is its beginning. `at` is the stamp of
    the last change.
    """

    agent: AgentId
    state: TaskState
    digest: str
    result: str
    checks: tuple[CheckResult, ...] = ()
    kpis: tuple[KpiResult, ...] = ()
    reason: str = ""  # why it was sent back
    at: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """An action that waits for permission: exactly this one, once. Times are seconds since the
    epoch.

    `action` is the request as it was made, with `requester`, `incarnation`, `hops`, `mission` and
    `taint`; `digest` is of its JSON. `needs` is the least authority that may give permission:
    `LINEAGE` is any ancestor of the requester's.
    """

    id: str
    digest: str
    action: Mapping[str, Any]
    needs: Authority
    rule: Rule  # why it needs permission
    at: float
    expires: float
    facts: Mapping[str, Any] = field(default_factory=dict)  # what whoever is asked is told
    is_put: bool = False  # the board was called about it
    answer: Literal["", "approved", "denied", "expired"] = ""
    answered_by: str = ""
    reason: str = ""  # of who answered
    order: str = ""  # the operator's order that answered it

    def called(self) -> Approval:
        """The board was called about it."""
        return replace(self, is_put=True)

    @property
    def requester(self) -> AgentId:
        return AgentId(self.action["requester"])

    @property
    def mission(self) -> MissionId:
        return MissionId(self.action["mission"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """One decision that an authority has replaced, while it stands. Times are seconds since the
    epoch.

    `before` and `after` are JSON; `reversal` says what its end does.
    """

    id: str
    kind: str  # grant | task | spawn | message | motion
    target: str
    by: str
    authority: Authority
    mission: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    at: float
    expires: float
    reversal: str
    reason: str


@dataclass(frozen=True, slots=True)
class CallPrice:
    """What calls of a model cost at most, in whole micro-dollars: for a million tokens read, for a
    million written, and for each call. What a provider's cache saves is not in it.
    """

    tokens_in: int = 0
    tokens_out: int = 0
    call: int = 0

    def of(self, calls: int, tokens_in: int, tokens_out: int) -> int:
        """Micro-dollars, rounded up."""
        parts = tokens_in * self.tokens_in + tokens_out * self.tokens_out
        return -(-parts // 1_000_000) + calls * self.call


@dataclass(frozen=True, slots=True)
class Host:
    """A worker process as it described itself when it came."""

    id: HostId
    capacity: int
    workspace: str  # identity of the workspace it has, empty where none
    is_paid: bool = False  # whether its agents ask a language model, which takes tokens
    price: CallPrice | None = None  # of that model; none where nobody knows it
    lease_left: float = field(default=0.0, compare=False)  # seconds, when it was read
    # Agents in a turn or waiting for one, and how far it has heard its own channel, when it renewed
    # its lease.
    busy: int = field(default=0, compare=False)
    heard: StreamId = field(default=FIRST, compare=False)
    unrecorded: str = field(default="", compare=False)  # why it cannot write the missions' record


@dataclass(frozen=True, slots=True)
class Forgetting:
    """An operator's order that the record of a mission be deleted. It stands for a while: whoever
    leads next deletes what its predecessor had no time for.
    """

    mission: MissionId
    at: float  # seconds since the epoch: what was recorded later is of another mission of that id


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong with an agent, for whoever looks.

    `stalled`: it lives and gets nowhere; `since` is its last progress (seconds since the epoch).
    `stuck`: it was ended, and its host said that it ignores that; `since` is when that was said.
    """

    kind: Literal["stalled", "stuck"]
    since: float
    detail: str = ""
    host: HostId = HostId("")  # of what is stuck, and the segment that was ended
    segment: str = ""
    is_told_above: bool = False  # a stall: to the board, after twice the time


def report_digest(text: str, files: Iterable[str]) -> str:
    """Of a report with the files that it names, in hexadecimal digits."""
    return sha256(canonical([text, list(files)]))
