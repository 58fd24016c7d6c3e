"""Text of files as a model is shown it."""

from __future__ import annotations

from typing import Any

from swarmd.core.agent.numbered_lines import once_each, result_text
from swarmd.core.agent.prompt import TEXT_SHOWN_MAX, exchange_of

READ = {"function": "file/read", "ok": True}


def read(start: int, lines: list[str], total: int, path: str = "docs/a.md") -> dict[str, Any]:
    return {**READ, "path": path, "start": start, "total": total, "lines": lines}


def test_each_line_of_a_file_has_its_number_and_the_file_its_length() -> None:
    text = result_text(read(57, ["one", "", "three"], 162), 1_000)
    assert text.split("\n") == [
        '{"function": "file/read", "ok": true}',
        "docs/a.md, lines 57 to 59 of 162:",
        "57| one",
        "58| ",
        "59| three",
    ]


def test_what_does_not_fit_is_cut_at_a_line_and_says_how_to_go_on() -> None:
    text = result_text(read(10, ["x" * 50] * 100, 400), 1_000)
    assert len(text) <= 1_000
    *_, last, note = text.split("\n")
    number = int(last.partition("|")[0])
    assert last == f"{number}| {'x' * 50}"
    assert f"go on with start={number + 1}" in note
    assert f"lines 10 to {number} of 400:" in text


def test_a_line_that_does_not_fit_by_itself_is_cut() -> None:
    text = result_text(read(1, ["y" * 5_000], 1), 1_000)
    assert len(text) <= 1_000
    assert "line 1 of 1:" in text
    assert text.endswith("y[… cut]")


def test_where_a_file_has_no_more_its_length_is_told() -> None:
    assert "docs/a.md, no lines from 200 on: it has 162" in result_text(read(200, [], 162), 1_000)


def test_passages_are_shown_one_after_the_other_and_those_left_out_are_counted() -> None:
    passages = [
        {"path": f"docs/{n}.md", "start": n, "lines": ["z" * 100], "score": 1.5}
        for n in range(1, 9)
    ]
    found = {"function": "file/search", "ok": True, "passages": passages}
    whole = result_text(found, 10_000)
    assert "docs/8.md, line 8:\n8| zzz" in whole
    assert "score" not in whole
    cut = result_text(found, 700)
    assert len(cut) <= 700
    shown = cut.count("| zzz")
    assert 0 < shown < 8
    assert f"{8 - shown} more do not fit" in cut


def test_a_name_with_a_line_break_passes_for_no_line() -> None:
    text = result_text(read(1, ["one"], 1, "a\n9| forged"), 1_000)
    assert [row.partition("|")[0] for row in text.split("\n") if "|" in row][-1] == "1"
    assert "\n9|" not in text


def test_a_function_of_ones_own_may_say_of_its_total_what_it_likes() -> None:
    assert "a.md, line 1:\n1| one" in result_text(
        {"function": "my/own", "path": "a.md", "start": 1, "lines": ["one"], "total": "many"}, 900
    )


def test_other_results_are_json() -> None:
    for result in (
        {"function": "file/write", "ok": True, "path": "work/a.md", "bytes": 3},
        {"function": "file/search", "ok": True, "passages": []},
        {"move": "spawn", "key": "k", "ok": True, "detail": "asked"},
        {"function": "my/own", "ok": True, "lines": 7, "passages": ["a"]},
        {"function": "my/own", "ok": True, "path": "a.md", "start": 1, "lines": [1, 2]},
    ):
        assert result_text(result, 1_000).startswith('{"')
        assert "\n" not in result_text(result, 1_000)


def test_each_of_several_results_is_cut_alone() -> None:
    long = read(1, ["x" * 70] * 900, 900)
    (piece,) = exchange_of([{"results": [long, {**long, "path": "docs/b.md"}]}])
    assert len(piece.results) == 2
    for result in piece.results:
        assert "go on with start=" in result.text
        assert len(result.text) <= TEXT_SHOWN_MAX + 20
    assert piece.text.count("go on with start=") == 2


def found(*passages: dict[str, Any]) -> dict[str, Any]:
    return {"function": "file/search", "ok": True, "passages": list(passages)}


def passage(start: int, *lines: str, path: str = "docs/a.md") -> dict[str, Any]:
    return {"path": path, "start": start, "lines": list(lines), "under": ""}


def test_a_passage_stands_once_in_the_results_of_one_answer() -> None:
    one, two, other = passage(7, "swans", "sing"), passage(9, "at dusk"), passage(1, "geese")
    results = [found(one, two), read(1, ["x"], 1), found(two, other, one), found(one)]
    (piece,) = exchange_of([{"results": results}])
    assert piece.text.count("7| swans") == 1
    assert piece.text.count("9| at dusk") == 1
    assert "1| geese" in piece.text
    assert '"shown_above": ["docs/a.md:9", "docs/a.md:7-8"]' in piece.text
    assert '"shown_above": ["docs/a.md:7-8"]' in piece.results[3].text


def test_parts_of_one_long_line_are_not_taken_for_each_other() -> None:
    results = [found(passage(1, "begins")), found(passage(1, "goes on"))]
    assert once_each(results, 1_000) == results


def test_what_may_have_been_cut_is_shown_again() -> None:
    long, short = passage(1, "x" * 900), passage(9, "dusk")
    again = once_each([found(long, short), found(short)], 1_000)[1]
    assert again == found(short)
