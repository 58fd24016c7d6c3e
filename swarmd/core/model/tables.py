"""The stored records that are rows of a table, and the two changes of a row: `Put` and `Drop`.

One `Table` says all that is particular to a kind of record: its name in the journal, where it lies
in the store, how its text is written and read, what the journal keeps of it, whose it is and who
may read it. Memory, journal, commit, loading, `fsck`, repair and the server's users are loops over
`TABLES`, so that a new record is one more row of it. All keys of a swarm lie in one slot of a
cluster, for a commit is one script.

Nothing here imports pydantic: faces that have to start fast read records too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeVar

from swarmd.core.model.chain import Record, canonical, sha256
from swarmd.core.model.lineage import Fence, Stop, StopKind
from swarmd.core.model.names import AgentId, Authority
from swarmd.core.model.privileges import Revocation
from swarmd.core.model.records import (
    Approval,
    Citations,
    ExecutiveReport,
    Forgetting,
    Override,
    Trouble,
)
from swarmd.core.model.refusals import Rule
from swarmd.core.model.versions import check_record, only_known

if TYPE_CHECKING:
    from swarmd.core.model.procedure import Procedure

V = TypeVar("V")
ReadBy = Literal["workers", "supervisor"]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Table(Generic[V]):
    """One kind of record.

    `stored` is the name of its key without the namespace. Where that ends in a colon, each row has
    a key of its own, which its key follows; else all rows are fields of one hash, their names
    beginning with `prefix`. A table that `has_parts` keeps a hash for each key, with a row for each
    part.
    """

    name: str
    stored: str
    encode: Callable[[V], str]
    decode: Callable[[str, str], V]  # of the key (the part, where it has parts) and the text
    digest: Callable[[V], Record] | None = None  # what the journal keeps; none: no law asks for it
    restored: Callable[[str, Record], V] | None = None  # of what the journal keeps, if that is all
    key_of: str = ""  # the value's attribute that is its key (or part), where it has one
    prefix: str = ""
    has_parts: bool = False
    owner: Literal["", "agent", "mission"] = ""  # a row ends with its agent or mission
    read_by: ReadBy = "supervisor"  # beside people's tools; only the supervisor ever writes

    @property
    def has_own_keys(self) -> bool:
        return self.stored.endswith(":")

    @property
    def pattern(self) -> str:
        """Its keys without the namespace, `*` for an id."""
        return self.stored + ("*" if self.has_own_keys else "")

    def rows_in(self, fields: Mapping[str, str]) -> dict[str, str]:
        """The texts of its rows by key, of the fields of a hash that may hold others' too."""
        start = len(self.prefix)
        return {name[start:]: text for name, text in fields.items() if name.startswith(self.prefix)}

    def read(self, key: str, text: str) -> V:
        """A row of its text. Raises `ValueError` where it is none, whatever somebody wrote there,
        or `NewerRecordError`.
        """
        try:
            value = self.decode(key, text)
            for part in value if isinstance(value, tuple) else (value,):
                check_types(part)
        except (KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise ValueError(f"{self.name} {key}: {error}") from error
        return value

    def put(self, value: V) -> Put:
        """Of a value that knows its own key."""
        return Put(self, getattr(value, self.key_of), value)

    def set(self, key: str, value: V | None) -> Put | Drop:
        """The row as it is to be: without a value, or with an empty one, there is none."""
        return Put(self, key, value) if value else Drop(self, key)

    def record(self, value: V, known: Record | None = None) -> Record:
        """What the journal keeps of a row; of one with parts, beside what is known of the
        others.
        """
        assert self.digest is not None
        record = self.digest(value)
        return {**known, **record} if self.has_parts and known else record


@dataclass(frozen=True, slots=True)
class Put:
    """A row as it is from now on, whether or not there was one."""

    table: Table[Any]
    key: str
    value: Any

    @property
    def part(self) -> str:
        """Of a table that has parts: which of them it is."""
        return str(getattr(self.value, self.table.key_of))


@dataclass(frozen=True, slots=True)
class Drop:
    """No such row any more. May be told of one that never was."""

    table: Table[Any]
    key: str


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


def _facts(value: Any, *without: str) -> dict[str, Any]:
    return {name: fact for name, fact in asdict(value).items() if name not in without}


def _without(key: str) -> Callable[[Any], str]:
    """Writes a dataclass as JSON, but for its key."""
    return lambda value: json.dumps(_facts(value, key))


def _reader(
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


def _stop_of(target: str, text: str) -> Stop:
    kind, _, why = text.partition(" ")
    facts = only_known(Stop, facts_of(f"the stop on {target}", why))
    authority = Authority(facts.pop("authority"))
    return Stop(**facts | {"target": target, "kind": StopKind(kind), "authority": authority})


def _revocations_text(marks: Sequence[Revocation]) -> str:
    return json.dumps(
        [[m.path, m.number, m.right, m.by, m.at, m.reason, m.authority] for m in marks]
    )


def _revocations_of(segment: str, text: str) -> tuple[Revocation, ...]:
    marks = json.loads(text)
    if not isinstance(marks, list):
        raise ValueError(f"the marks on {segment} are no list")
    return tuple(
        Revocation(segment, path, right, number, by, at, reason, authority)
        for path, number, right, by, at, reason, authority, *_ in marks
    )


def _citations_row(citations: Citations) -> tuple[int, tuple[str, ...]]:
    return citations.right, citations.wrong


def _report_text(report: ExecutiveReport) -> str:
    return json.dumps(
        [
            report.agent,
            report.name,
            report.text,
            report.files,
            report.is_done,
            report.taint,
            *_citations_row(report.citations),
        ]
    )


def _report_of(_: str, text: str) -> ExecutiveReport:
    agent, name, said, files, is_done, taint, right, wrong, *_ = json.loads(text)
    found = Citations(right, tuple(wrong))
    return ExecutiveReport(AgentId(agent), name, said, tuple(files), is_done, tuple(taint), found)


def _board_of(_: str, text: str) -> Procedure:
    from swarmd.core.model.procedure import Procedure

    return Procedure.from_json(text)


# --- what the journal keeps ---------------------------------------------------------------------


def _stop_record(stop: Stop) -> Record:
    return _facts(stop, "target") | {"kind": stop.kind.value, "authority": stop.authority.value}


def _revocations_record(marks: Sequence[Revocation]) -> Record:
    return {
        "marks": [[m.path, m.right, m.number, m.by, m.at, m.reason, m.authority] for m in marks]
    }


def _board_record(procedure: Procedure) -> Record:
    return {
        "stage": procedure.stage,
        "motion": procedure.motion_number,
        "procedure": sha256(procedure.to_json()),
    }


def _report_record(report: ExecutiveReport) -> Record:
    said = sha256(
        canonical(
            [
                report.name,
                report.text,
                report.files,
                report.taint,
                *_citations_row(report.citations),
            ]
        )
    )
    return {report.agent: f"{'done' if report.is_done else 'open'}:{said}"}


def _approval_record(approval: Approval) -> Record:
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
    }


def _override_record(override: Override) -> Record:
    told = ("kind", "target", "by", "mission", "at", "expires", "reason")
    return {name: getattr(override, name) for name in told} | {
        "authority": override.authority.value,
        "before": sha256(canonical(override.before)),
        "after": sha256(canonical(override.after)),
    }


# --- made again of it; a record leaves out what is empty ----------------------------------------


def _fence_restored(segment: str, record: Record) -> Fence:
    told = {"reason": "", "by": "", "at": 0.0, **record, "taint": tuple(record.get("taint", ()))}
    return Fence(segment, **told)


def _stop_restored(target: str, record: Record) -> Stop:
    told = {"reason": "", "by": "", "at": 0.0, **record}
    kind, authority = StopKind(told.pop("kind")), Authority(told.pop("authority", 0))
    return Stop(target, kind, authority, **told)


def _revocations_restored(segment: str, record: Record) -> tuple[Revocation, ...]:
    return tuple(Revocation(segment, *mark) for mark in record.get("marks", ()))


# --- the tables ---------------------------------------------------------------------------------

FENCES: Final[Table[Fence]] = Table(
    name="fence",
    stored="_fences",  # path segment -> why. One field ends what lies below it
    encode=_without("segment"),
    decode=_reader(Fence, "segment", "the fence on", at=float, taint=tuple),
    digest=lambda fence: _facts(fence, "segment"),
    restored=_fence_restored,
    key_of="segment",
    read_by="workers",
)
STOPS: Final[Table[Stop]] = Table(
    name="stop",
    stored="_stops",  # target (`lineage.Stop.target`) -> its kind, a space and why
    # The kind comes first: the scripts read no further.
    encode=lambda stop: f"{stop.kind.value} {json.dumps(_facts(stop, 'target', 'kind'))}",
    decode=_stop_of,
    digest=_stop_record,
    restored=_stop_restored,
    key_of="target",
    read_by="workers",
)
REVOCATIONS: Final[Table[tuple[Revocation, ...]]] = Table(
    name="revoked",
    stored="_revocations",  # path segment -> the marks on it, `[path, number, right, …]` each
    encode=_revocations_text,
    decode=_revocations_of,
    digest=_revocations_record,
    restored=_revocations_restored,
    read_by="workers",
)
APPROVALS: Final[Table[Approval]] = Table(
    name="approval",
    stored="_approvals",  # id of an action that waits for permission
    encode=_without("id"),
    decode=_reader(Approval, "id", "the approval", needs=Authority, rule=Rule, action=_action_of),
    digest=_approval_record,
    key_of="id",
)
OVERRIDES: Final[Table[Override]] = Table(
    name="override",
    stored="_overrides",  # id of an override that stands
    encode=_without("id"),
    decode=_reader(Override, "id", "the override", authority=Authority),
    digest=_override_record,
    key_of="id",
)
FORGETTINGS: Final[Table[Forgetting]] = Table(
    name="forgetting",
    stored="_forgettings",  # mission whose record is to be deleted
    encode=_without("mission"),
    decode=_reader(Forgetting, "mission", "the order to forget", at=float),
    digest=lambda forgetting: _facts(forgetting, "mission"),
    key_of="mission",
)
TROUBLES: Final[Table[Trouble]] = Table(
    name="trouble",
    stored="_troubles",  # agent -> what is wrong with it, for whoever looks
    encode=_without(""),
    decode=_reader(Trouble, "", "what is wrong with"),
    owner="agent",
)
GAPS: Final[Table[str]] = Table(
    name="gap",
    stored="_meta",  # the journal's entry that tells of a gap that nobody has acknowledged
    prefix="gap:",
    encode=str,
    decode=lambda _, text: text,
)
BOARDS: Final[Table[Procedure]] = Table(
    name="board",
    stored="_board:",  # mission -> the board's procedure
    encode=lambda procedure: procedure.to_json(),
    decode=_board_of,
    digest=_board_record,
    owner="mission",
)
REPORTS: Final[Table[ExecutiveReport]] = Table(
    name="reports",
    stored="_reports:",  # mission -> executive -> its last report
    encode=_report_text,
    decode=_report_of,
    digest=_report_record,
    key_of="agent",
    has_parts=True,
    owner="mission",
)

TABLES: Final[tuple[Table[Any], ...]] = (
    FENCES,
    STOPS,
    REVOCATIONS,
    TROUBLES,
    APPROVALS,
    OVERRIDES,
    FORGETTINGS,
    GAPS,
    BOARDS,
    REPORTS,
)

SHARED: Final = tuple(table for table in TABLES if not table.has_own_keys)
"""Those whose rows are fields of one hash."""
OF_MISSIONS: Final = tuple(table for table in TABLES if table.owner == "mission")
MARKS: Final[Mapping[str, Table[Any]]] = {
    table.name: table for table in SHARED if table.digest is not None
}
"""By name, what is compared with the journal, and mended, row by row."""


def patterns_read_by(reader: ReadBy) -> tuple[str, ...]:
    """The keys of the tables that say so."""
    return tuple(table.pattern for table in TABLES if table.read_by == reader)
