"""What verbs print fits the terminal: columns are left out and texts cut, ids never."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmd.cli.render import tables
from swarmd.cli.render.columns import GAP_COLUMNS, Column, table_lines
from swarmd.cli.render.text import Ink, columns_of, counted, visible_width, width_of
from swarmd.cli.render.tree import tree_lines
from swarmd.core.queries.activity import Activity
from swarmd.core.queries.snapshot import (
    AccountView,
    AgentView,
    Snapshot,
    agent_view,
    mission_view,
)
from swarmd.core.queries.spending import totals_of, tree_of

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
NARROW = 80
EIGHTY = Ink(columns=NARROW)
PIPE = Ink()


def stored(id: str, parent: str, tier: int, **more: str) -> dict[str, str]:
    known = {"id": id, "name": id, "tier": str(tier), "parent": parent, "state": "live"}
    return known | {"mission": "m-f4u9528mx2", "host": "h-5aygjrqcx6", "role": "seat"} | more


def _agents() -> tuple[AgentView, ...]:
    chain = [
        agent_view(
            stored(
                f"a-{n}c5vdwrva1",
                f"a-{n - 1}c5vdwrva1" if n > 1 else "sob",
                n,
                name=f"theme-{n}-redis-away-and-back",
                role="researcher",
                state="frozen" if n == 5 else "live",
                reason="freeze: a closer look at what it says of Redis" if n == 5 else "",
                charter='{"task": "Read all files of the folder and tell what they say of Redis"}',
                deadline="1772370000",
            ),
            Activity("stalled", "model", 1_000.0) if n == 4 else Activity("idle"),
        )
        for n in range(1, 8)
    ]
    seats = ("captain-picard", "gandhi", "king-solomon", "marcus-aurelius", "socrates")
    board = agent_view(stored("sob", "", 0, role="board", mission="", host=""))
    return (board, *(agent_view(stored(seat, "sob", 0, mission="")) for seat in seats), *chain)


def _account(tokens: int) -> AccountView:
    spent = {
        "tokens": {"spent": tokens},
        "calls": {"spent": 12_345},
        "cost": {"spent": 123_456_789},
    }
    return AccountView(spent, {"overdrawn": "tokens: 12 more than it had"} if tokens == 50 else {})


SWARM = Snapshot(
    _agents(),
    (
        mission_view(
            {
                "id": "m-f4u9528mx2",
                "mission": "Wait until you are stopped, and do this for a long time",
                "state": "working",
                "reason": "",
            }
        ),
        mission_view(
            {
                "id": "m-tn0arh1ruw",
                "mission": "hello",
                "state": "rejected",
                "reason": "mission.invalid: files: nosuch.md: does not exist",
            }
        ),
    ),
    {agent.id: _account(10 * n) for n, agent in enumerate(_agents())}
    | {"m-f4u9528mx2": _account(1_234_567)},
)


def drawn(ink: Ink) -> dict[str, list[str]]:
    tree, totals = tree_of(SWARM), totals_of(SWARM)
    stops = [
        {
            "target": "use:tool/file/write",
            "kind": "freeze",
            "by": "the-operator-of-the-night",
            "at": "2026-03-01T11:00:00Z",
            "until": "2026-03-01T13:00:00Z",
            "reason": "nobody writes any file before we know what the last one was about",
        }
    ]
    return {
        "ps": tables.agent_lines(SWARM.agents, SWARM.accounts, totals, ink, NOW),
        "missions": tables.mission_lines(SWARM.missions, SWARM.accounts, totals, ink, NOW),
        "top": tables.top_lines(tree, ink, NOW),
        "stops": tables.stop_lines(stops, ink, NOW),
        "tree": tree_lines(tree, ink, ended=True, now=NOW),
    }


@pytest.mark.parametrize("verb", drawn(EIGHTY))
def test_what_a_verb_prints_fits_a_terminal_of_80_columns(verb: str) -> None:
    lines = drawn(EIGHTY)[verb]
    assert max(map(width_of, lines)) <= NARROW, lines
    assert max(map(width_of, drawn(PIPE)[verb])) > NARROW, "or this shows nothing"


@pytest.mark.parametrize("columns", [40, 50, 62])
@pytest.mark.parametrize("verb", ["ps", "top", "missions"])
def test_a_table_fits_a_terminal_of_40_columns(verb: str, columns: int) -> None:
    assert max(map(width_of, drawn(Ink(columns=columns))[verb])) <= columns


@pytest.mark.parametrize("verb", ["ps", "top", "tree"])
def test_every_agent_is_shown_with_its_whole_id_however_narrow_it_is(verb: str) -> None:
    text = "\n".join(drawn(EIGHTY)[verb])
    assert [agent.id for agent in SWARM.agents if agent.id not in text and agent.id != "sob"] == []


def test_a_state_is_one_word_and_its_reason_stands_apart_from_it() -> None:
    over = {"state": "terminated", "reason": "its superior reported: the mission is over"}
    ended = agent_view(stored("a-9", "sob", 1, role="researcher", **over))
    for columns in (120, 200):
        lines = tables.agent_lines([ended], {}, {}, Ink(columns=columns), NOW)
        assert lines[1].split()[:4] == ["a-9", "-", "1", "researcher"]
        assert "   terminated   " in lines[1]
        assert "REASON" in lines[0]
        assert "its superior" in lines[1]
    well = tables.agent_lines(
        [agent_view(stored("a-9", "sob", 1, reason="thawed"))], {}, {}, PIPE, NOW
    )
    assert "REASON" not in well[0]


def test_a_pipe_is_told_every_column() -> None:
    heading = drawn(PIPE)["ps"][0].split()
    assert set(heading) >= {"ID", "PARENT", "HOST", "MISSION", "CALLS", "COST", "AGE", "DUE"}
    assert columns_of(io.StringIO(), {}) is None
    assert columns_of(io.StringIO(), {"COLUMNS": "72"}) == 72


def test_colours_take_no_columns() -> None:
    painted, plain = (
        drawn(Ink(columns=NARROW, is_coloured=is_coloured))["tree"] for is_coloured in (True, False)
    )
    assert list(map(visible_width, painted)) == list(map(width_of, plain))


def test_what_an_agent_spent_by_itself_is_told_where_there_is_room() -> None:
    wide = drawn(Ink(columns=200))["tree"]
    assert any("own, " in line for line in wide)
    assert not any("own, " in line for line in drawn(EIGHTY)["tree"])


@given(
    st.lists(
        st.tuples(st.text(max_size=30), st.integers(0, 3), st.integers(0, 12)),
        min_size=1,
        max_size=8,
    ),
    st.integers(40, 200),
)
def test_a_table_is_as_wide_as_it_may_be_or_as_what_is_never_left_out(
    said: list[tuple[str, int, int]], bound: int
) -> None:
    columns = [
        Column(f"C{n}", [text], rank=rank, least=least)
        for n, (text, rank, least) in enumerate(said)
    ]
    kept = [column.least_width for column in columns if not column.rank]
    smallest = sum(kept) + GAP_COLUMNS * max(0, len(kept) - 1)
    if not kept:
        columns = [*columns, Column("ID", ["a-1"])]
    lines = table_lines(columns, Ink(columns=bound))
    assert max(map(width_of, lines)) <= max(bound, smallest)


def test_where_no_token_was_spent_the_calls_are_told() -> None:
    agents = [agent_view(stored("sob", "", 0, role="board", mission="", host=""))]
    agents += [agent_view(stored("a-1", "sob", 1, name="a" * 20, mission="m-1"))]
    mission = mission_view({"id": "m-1", "mission": "Find it", "state": "working"})
    account = AccountView({"tokens": {"spent": 0}, "calls": {"spent": 7}, "tools": {"spent": 3}})
    swarm = Snapshot(tuple(agents), (mission,), {"m-1": account, "a-1": account})
    lines = tree_lines(tree_of(swarm), Ink(columns=62), ended=False)
    assert "7 calls" in lines[-1]
    assert "nothing" not in lines[-1]


def test_the_column_of_the_highest_rank_is_left_out_first() -> None:
    columns = [
        Column("ID", ["x" * 30]),
        Column("FIRST", ["y" * 20], rank=2),
        Column("SECOND", ["z" * 20], rank=1),
    ]
    headings: list[Any] = [table_lines(columns, Ink(columns=n))[0].split() for n in (80, 60, 40)]
    assert headings == [["ID", "FIRST", "SECOND"], ["ID", "SECOND"], ["ID"]]


def test_counts_are_in_the_right_number() -> None:
    assert [counted(n, "host") for n in (0, 1, 2)] == ["0 hosts", "1 host", "2 hosts"]
    assert [counted(n, "entry") for n in (1, 1_204)] == ["1 entry", "1,204 entries"]
