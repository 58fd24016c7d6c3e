"""Long histories: what stays, what is said of the rest, and that it never grows."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import Any, Final

from hypothesis import given
from hypothesis import strategies as st

from swarmd.core.agent.memory import NO_MEMORY, Memory, news_of, remember, said_of, shorten
from swarmd.core.agent.prompt import exchange_of
from swarmd.core.model.functions import BUILT_IN, FILE_WRITE, REPORTS, registry

MAX: Final = 8_000


def _turn(n: int, length: int = 100) -> list[dict[str, Any]]:
    mail = {
        "from": "sob",
        "kind": "directive",
        "text": f"{n} " + "x" * length,
        "data": {},
        "channel": "down:sob",
    }
    return [
        {"mail": [mail]},
        {
            "moves": [
                {
                    "move": "use",
                    "function": "file/write",
                    "args": {"path": f"work/{n}.md", "text": "y"},
                }
            ]
        },
    ]


def test_a_history_of_a_thousand_turns_stays_within_its_bound_and_ends_with_the_newest() -> None:
    memory, firsts = NO_MEMORY, list[str]()
    for n in range(1_000):
        memory = remember(memory, _turn(n), MAX, BUILT_IN)
        assert sum(map(len, memory.entries)) <= MAX
        firsts.append("".join(memory.entries)[:1_000])
    entries = [json.loads(entry) for entry in memory.entries]
    assert entries[-1] == _turn(999)[1]
    left_out = entries[0]["left_out"]
    assert left_out["turns"] + sum("mail" in entry for entry in entries) == 1_000
    assert left_out["wrote"][-1] in {f"work/{left_out['turns'] - back}.md" for back in (1, 2)}
    # The beginning of what an agent is told stays the same for many turns: caches of prompts hold.
    assert sum(a != b for a, b in itertools.pairwise(firsts)) < 150


def test_what_is_remembered_as_written_is_what_the_row_of_a_function_says() -> None:
    rows = registry(
        replace(FILE_WRITE, name="page/put", subject="address"),
        replace(FILE_WRITE, name="page/get", subject="address", effect="reads"),
    )
    moves = [
        {"move": "use", "function": name, "args": {"address": name}}
        for name in ("page/put", "page/get", "page/gone")
    ]
    bare: list[dict[str, Any]] = [{"move": "use", "function": "page/put"}]
    old = [json.dumps({"moves": moves + bare})] + [json.dumps({"mail": ["x" * 900]})] * 100
    (first, *_) = shorten(old, MAX, 500, rows)
    assert json.loads(first)["left_out"]["wrote"] == ["page/put"]


def test_an_agent_is_told_that_it_does_not_see_everything() -> None:
    moves = [
        {
            "move": "spawn",
            "key": "k1",
            "charter": {"name": "anna", "role": "researcher", "task": "t"},
        },
        {"move": "report", "text": "half is done", "done": False},
    ]
    old = [
        json.dumps({"moves": moves}),
        *(json.dumps(entry) for n in range(60) for entry in _turn(n)),
    ]
    (first, *_) = shorten(old, MAX, 500, BUILT_IN)
    piece = exchange_of([json.loads(first)])[0]
    (side, text) = piece.side, piece.text
    assert side == "user"
    assert text.startswith("<earlier>\nYour first ")
    assert "turns are left out" in text
    assert "anna (key k1)" in text
    assert "half is done" in text
    assert "files you wrote" in said_of(json.loads(first)["left_out"])


def test_what_fits_is_not_touched() -> None:
    entries = [json.dumps(entry) for n in range(5) for entry in _turn(n)]
    assert shorten(entries, MAX, 500, BUILT_IN) == entries
    assert shorten([], MAX, 500, BUILT_IN) == []


def test_one_entry_that_is_too_large_by_itself_keeps_its_beginning() -> None:
    (summary, kept) = shorten(
        [json.dumps({"results": [{"ok": True, "text": "z" * 50_000}]})], MAX, 500, BUILT_IN
    )
    assert json.loads(summary)["left_out"]["turns"] == 0
    (result,) = json.loads(kept)["results"]
    assert result["ok"] is True
    assert result["text"].startswith("zzz")
    assert result["text"].endswith("[… cut]")
    many = json.dumps({"results": [{"text": "z" * 300}] * 1_000})
    assert "too long to keep" in shorten([many], MAX, 500, BUILT_IN)[1]


_ENTRIES = st.lists(
    st.one_of(
        st.builds(lambda text: {"mail": [{"text": text}]}, st.text(max_size=3_000)),
        st.builds(
            lambda text: {
                "moves": [{"move": "use", "function": "file/write", "args": {"path": text}}]
            },
            st.text(max_size=3_000),
        ),
        st.builds(
            lambda text: {"moves": [{"move": "spawn", "key": text}]}, st.text(max_size=3_000)
        ),
        st.builds(
            lambda text: {"moves": [{"move": "report", "text": text}]}, st.text(max_size=9_000)
        ),
    ),
    max_size=30,
)


@given(st.lists(_ENTRIES, max_size=6))
def test_the_bound_holds_for_every_history(turns: list[list[dict[str, Any]]]) -> None:
    memory = NO_MEMORY
    for new in turns:
        memory = remember(memory, new, MAX, BUILT_IN)
        assert sum(map(len, memory.entries)) <= MAX
        assert new == [] or memory.entries


def _reading(n: int, length: int) -> list[dict[str, Any]]:
    call = {"move": "use", "function": "file/read", "args": {"path": f"docs/{n}.md"}}
    result = {"function": "file/read", "ok": True, "path": f"docs/{n}.md", "lines": ["x" * length]}
    return [{"moves": [call]}, {"results": [result]}]


def _report(n: int, length: int) -> dict[str, Any]:
    text = f"Result {n}. " + "r" * length
    mail = {"from": f"a-{n}", "name": f"part-{n}", "kind": "report", "text": text, "data": {}}
    return {"mail": [{**mail, "channel": "up:a-0"}]}


def test_results_of_functions_go_before_anything_that_was_said() -> None:
    new = [_report(n, 400) for n in range(3)]
    for n in range(6):
        new += _reading(n, 6_000)
    memory = remember(NO_MEMORY, new, 24_000, BUILT_IN)
    entries = [json.loads(entry) for entry in memory.entries]
    assert len(entries) == len(new), "nothing else is left out"
    assert entries[:3] == new[:3]
    assert entries[-1] == new[-1], "what it has just read stays whole"
    (first, *_) = (entry["results"] for entry in entries if "results" in entry)
    assert first[0]["path"] == "docs/0.md"
    assert "call it again" in first[0]["note"]
    assert "lines" not in first[0]


def test_an_executive_does_not_forget_what_its_children_reported() -> None:
    """Three long reports, then readings of its own, at a bound that holds a part of it all."""
    bound, reports = 12_000, [_report(n, 4_700) for n in range(3)]
    memory = remember(NO_MEMORY, reports, bound, BUILT_IN)
    for n in range(8):
        memory = remember(memory, [*_turn(n), *_reading(n, 3_000)], bound, BUILT_IN)
        assert sum(map(len, memory.entries)) <= bound
    told = "".join(p.text for p in exchange_of(list(map(json.loads, memory.entries))))
    for n in range(3):
        assert f"report from part-{n}:\nResult {n}." in told


def _filed(n: int, length: int) -> dict[str, Any]:
    """A report that stands in a file."""
    (mail,) = _report(n, length)["mail"]
    data = {"done": True, "name": f"part-{n}", "files": [f"{REPORTS}part-{n}.md", "work/a.md"]}
    return {**mail, "data": data}


def _told_of(memory: Memory) -> str:
    return "".join(p.text for p in exchange_of(list(map(json.loads, memory.entries))))


def test_of_a_report_that_was_dropped_it_is_said_where_it_stands() -> None:
    memory = remember(NO_MEMORY, [{"mail": [_filed(0, 4_000)]}], MAX, BUILT_IN)
    for n in range(1, 30):
        memory = remember(memory, [*_turn(n, 900)], MAX, BUILT_IN)
    assert "Result 0." + "r" * 4_000 not in _told_of(memory)
    assert f"report of part-0: {REPORTS}part-0.md" in _told_of(memory)
    assert "report of sob" not in _told_of(memory)


def test_of_more_reports_than_can_be_named_the_folder_is() -> None:
    memory = NO_MEMORY
    for n in range(300):
        memory = remember(memory, [{"mail": [_filed(n, 300)]}], MAX, BUILT_IN)
    told = _told_of(memory)
    assert f"older reports: {REPORTS}" in told
    assert f"{REPORTS}part-0.md" not in told
    left_out = json.loads(memory.entries[0])["left_out"]
    assert f"{REPORTS}part-{left_out['turns'] - 1}.md" in told


_HEARD = st.one_of(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 5_000)), min_size=1, max_size=8).map(
        lambda mail: [{"mail": [_filed(n, length) for n, length in mail]}]
    ),
    st.builds(_reading, st.integers(0, 3), st.integers(0, 9_000)),
    st.builds(_turn, st.integers(0, 3), st.integers(0, 2_000)),
)


@given(st.lists(_HEARD, max_size=12), st.sampled_from([8_000, 24_000]))
def test_each_report_is_remembered_whole_or_by_its_file(
    turns: list[list[dict[str, Any]]], bound: int
) -> None:
    memory, heard = NO_MEMORY, dict[str, str]()
    for new in turns:
        memory = remember(memory, new, bound, BUILT_IN)
        assert sum(map(len, memory.entries)) <= bound
        for item in (item for entry in new for item in entry.get("mail", ())):
            heard |= dict.fromkeys(item["data"].get("files", ())[:1], item["text"])
    told = _told_of(memory)
    for path, text in heard.items():
        assert text in told or path in told


def test_what_became_shorter_is_written_anew_under_its_number() -> None:
    bound = 24_000
    before = remember(NO_MEMORY, [*_reading(0, 16_000), *_reading(1, 10)], bound, BUILT_IN)
    after = remember(before, _reading(2, 10_000), bound, BUILT_IN)
    added, forgotten = news_of(before, after)
    assert list(forgotten) == []
    assert set(added) == {1, 4, 5}
    assert len(added[1]) < len(before.entries[1])
