"""Rows of tables as anybody may have written them: each is a value of its types, or a `ValueError`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from swarmd.core.model.lineage import Fence, Stop, StopKind
from swarmd.core.model.names import Authority
from swarmd.core.model.privileges import Revocation
from swarmd.core.model.records import Approval, Override, Trouble
from swarmd.core.model.refusals import Rule
from swarmd.core.model.state import Swarm
from swarmd.core.model.tables import (
    APPROVALS,
    FENCES,
    OVERRIDES,
    REVOCATIONS,
    STOPS,
    TABLES,
    TROUBLES,
    Table,
)
from tests.core.swarm_builder import declarations

ACTION = {"requester": "a-1", "mission": "m-1", "incarnation": 1, "hops": 0}
VALUES: list[tuple[Table[Any], str, Any]] = [
    (FENCES, "a-1", Fence("a-1", "r", "operator", 1.5, taint=("file",))),
    (STOPS, "a-1", Stop("a-1", StopKind.DRAIN, Authority.OPERATOR, "r", "o", 1.0, until=9.0)),
    (
        APPROVALS,
        "ap-1",
        Approval(
            id="ap-1",
            digest="d",
            action=ACTION,
            needs=Authority.BOARD,
            rule=Rule.TAINT_PERMISSION,
            at=1.0,
            expires=2.0,
        ),
    ),
    (
        OVERRIDES,
        "ov-1",
        Override(
            id="ov-1",
            kind="task",
            target="a-1",
            by="operator",
            authority=Authority.OPERATOR,
            mission="m-1",
            before={},
            after={},
            at=1.0,
            expires=2.0,
            reversal="task",
            reason="r",
        ),
    ),
    (TROUBLES, "a-1", Trouble("stalled", 1.0)),
    (REVOCATIONS, "a-1", (Revocation("a-1", "model/**", "use", 3, "operator", "at"),)),
]
# The kind of what stands in a row's place.
HOSTILE: list[Any] = ["x", [], {}, None, True, 10**400, 1e300, float("inf")]


@pytest.mark.parametrize(("table", "key", "value"), VALUES, ids=lambda value: type(value).__name__)
def test_what_was_written_is_read_as_it_was(table: Table[Any], key: str, value: Any) -> None:
    assert table.read(key, table.encode(value)) == value


@pytest.mark.parametrize(("table", "key", "value"), VALUES, ids=lambda value: type(value).__name__)
def test_a_field_of_another_type_makes_the_row_unreadable_or_changes_nothing_of_its_types(
    table: Table[Any], key: str, value: Any
) -> None:
    kind, brace, facts = table.encode(value).partition("{")
    if not brace:  # a list of lists
        rows = json.loads(kind)
        texts = [
            json.dumps([[*rows[0][:at], wrong, *rows[0][at + 1 :]]])
            for at in range(len(rows[0]))
            for wrong in HOSTILE
        ]
    else:
        told = json.loads(brace + facts)
        texts = [kind + json.dumps(told | {name: wrong}) for name in told for wrong in HOSTILE]
    refused = 0
    for text in texts:
        try:
            again = table.read(key, text)
        except ValueError:
            refused += 1
        else:
            # Whatever is done with it later finds what the record says.
            table.encode(again)
            if table.digest is not None:
                json.dumps(table.record(again), allow_nan=False)
    assert refused > len(texts) // 2


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_what_is_no_row_at_all_is_a_value_error(table: Table[Any]) -> None:
    if table.name == "gap":
        pytest.skip("any text is an open gap")
    for text in ("", "x", "[]", "{}", "5", "null", "freeze", "freeze 5", "[" * 100_000):
        try:
            value = table.read("k", text)
        except ValueError:
            continue
        # No mark at all, and a board that has not begun.
        assert (table.name, text) in (("revoked", "[]"), ("board", "{}")), value


def test_an_approval_that_is_nobodys_is_unreadable() -> None:
    row = json.loads(APPROVALS.encode(VALUES[2][2]))
    for action in ({}, {"requester": 5, "mission": "m"}, {"requester": "a"}, "x"):
        with pytest.raises(ValueError, match="approval"):
            APPROVALS.read("ap-1", json.dumps(row | {"action": action}))


def test_marks_that_are_loaded_count_as_those_that_are_made() -> None:
    """A right that is given after a restart is younger than every mark from before it."""
    swarm = Swarm(declarations(None))
    swarm.load_rows(REVOCATIONS, {"a-1": VALUES[5][2]})
    assert swarm.number == 3
