"""The stored records that are rows of a table, and the two changes of a row: `Put` and `Drop`.

One `Table` says all that is particular to a kind of record: its name in the journal, where it lies
in the store, how its text is written and read, what the journal keeps of it, whose it is and who
may read it. Memory, journal, commit, loading, `fsck`, repair and the server's users are loops over
`TABLES`, so that a new record is one more row of it. All keys of a swarm lie in one slot of a
cluster, for a commit is one script.

Nothing here imports pydantic: faces that have to start fast read records too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeVar

from swarmd.core.model import row_texts as texts
from swarmd.core.model.chain import Record
from swarmd.core.model.lineage import Fence, Stop
from swarmd.core.model.names import Authority, TaskState
from swarmd.core.model.privileges import Revocation
from swarmd.core.model.records import (
    Approval,
    ExecutiveReport,
    Forgetting,
    Override,
    Task,
    Trouble,
)

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
    # What the public hash `task:` of that name shows of a part.
    shown: Callable[[V], Mapping[str, str]] | None = None
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
                texts.check_types(part)
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


# --- the tables ---------------------------------------------------------------------------------

FENCES: Final[Table[Fence]] = Table(
    name="fence",
    stored="_fences",  # path segment -> why. One field ends what lies below it
    encode=texts.without("segment"),
    decode=texts.reader(Fence, "segment", "the fence on", at=float, taint=tuple),
    digest=lambda fence: texts.plain_facts(fence, "segment"),
    restored=texts.fence_restored,
    key_of="segment",
    read_by="workers",
)
STOPS: Final[Table[Stop]] = Table(
    name="stop",
    stored="_stops",  # target (`lineage.Stop.target`) -> its kind, a space and why
    # The kind comes first: the scripts read no further.
    encode=texts.stop_text,
    decode=texts.stop_of,
    digest=texts.stop_record,
    restored=texts.stop_restored,
    key_of="target",
    read_by="workers",
)
REVOCATIONS: Final[Table[tuple[Revocation, ...]]] = Table(
    name="revoked",
    stored="_revocations",  # path segment -> the marks on it, `[path, number, right, …]` each
    encode=texts.revocations_text,
    decode=texts.revocations_of,
    digest=texts.revocations_record,
    restored=texts.revocations_restored,
    read_by="workers",
)
APPROVALS: Final[Table[Approval]] = Table(
    name="approval",
    stored="_approvals",  # id of an action that waits for permission
    encode=texts.without("id"),
    decode=texts.approval_of,
    digest=texts.approval_record,
    key_of="id",
)
OVERRIDES: Final[Table[Override]] = Table(
    name="override",
    stored="_overrides",  # id of an override that stands
    encode=texts.without("id"),
    decode=texts.reader(Override, "id", "the override", authority=Authority),
    digest=texts.override_record,
    key_of="id",
)
FORGETTINGS: Final[Table[Forgetting]] = Table(
    name="forgetting",
    stored="_forgettings",  # mission whose record is to be deleted
    encode=texts.without("mission"),
    decode=texts.reader(Forgetting, "mission", "the order to forget", at=float),
    digest=lambda forgetting: texts.plain_facts(forgetting, "mission"),
    key_of="mission",
)
TROUBLES: Final[Table[Trouble]] = Table(
    name="trouble",
    stored="_troubles",  # agent -> what is wrong with it, for whoever looks
    encode=texts.without(""),
    decode=texts.reader(Trouble, "", "what is wrong with"),
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
    decode=texts.board_of,
    digest=texts.board_record,
    owner="mission",
)
TASKS: Final[Table[Task]] = Table(
    name="tasks",
    stored="_tasks:",  # mission -> agent -> what became of its charter, once it was handed in
    encode=texts.without("agent"),
    decode=texts.reader(
        Task,
        "agent",
        "the task of",
        state=TaskState,
        checks=texts.check_results,
        kpis=texts.kpis_measured,
    ),
    key_of="agent",
    has_parts=True,
    shown=texts.task_shown,
    owner="mission",
)
REPORTS: Final[Table[ExecutiveReport]] = Table(
    name="reports",
    stored="_reports:",  # mission -> executive -> its last report
    encode=texts.report_text,
    decode=texts.report_of,
    digest=texts.report_record,
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
    TASKS,
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
