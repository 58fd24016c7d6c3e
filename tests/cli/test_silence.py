"""A call that takes long is told to whoever watches, at twice the time and then each half minute."""

from __future__ import annotations

from swarmd.cli.render.silence import Silence
from swarmd.cli.render.text import Ink
from swarmd.cli.render.tree import tree_lines
from swarmd.core.queries.activity import Activity
from swarmd.core.queries.snapshot import AgentView, Snapshot, agent_view
from swarmd.core.queries.spending import tree_of


def seat(name: str, seconds: float | None, call: str = "model") -> AgentView:
    known = {"id": name, "name": name, "tier": "0", "role": "seat", "parent": "", "state": "live"}
    doing = Activity("idle") if seconds is None else Activity("busy", call, seconds)
    return agent_view(known, doing)


def test_a_seat_that_thinks_is_told_of_after_15_seconds_and_again_within_half_a_minute() -> None:
    silence = Silence()
    told = {n: silence.lines([seat("captain-picard", float(n))]) for n in range(1, 100)}
    assert {n: lines for n, lines in told.items() if lines} == {
        15: ["captain-picard thinks, 15 s"],
        30: ["captain-picard thinks, 30 s"],
        60: ["captain-picard thinks, 60 s"],
        90: ["captain-picard thinks, 90 s"],
    }


def test_seats_that_are_called_at_once_are_told_of_in_one_line() -> None:
    seats = [seat(name, 20.0) for name in ("a", "b", "c", "d", "e")]
    assert Silence().lines([*seats, seat("f", None), seat("g", 3.0)]) == [
        "a, b, c and 2 more think, 20 s"
    ]


def test_the_next_call_of_the_same_agent_is_told_of_anew() -> None:
    silence = Silence()
    assert silence.lines([seat("a", 16.0, "file/read")]) == ["a in file/read, 16 s"]
    assert silence.lines([seat("a", 1.0)]) == []
    assert silence.lines([seat("a", 17.0)]) == ["a thinks, 17 s"]


def test_the_tree_shows_what_each_seat_is_at() -> None:
    board = {"id": "sob", "name": "sob", "tier": "0", "role": "board", "state": "live"}
    snapshot = Snapshot((agent_view(board), seat("picard", 9.0), seat("gandhi", None)))
    lines = tree_lines(tree_of(snapshot), Ink(columns=100), ended=False)
    assert "seats: picard (busy model 9s) · gandhi" in lines[1]
