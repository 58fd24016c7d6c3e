"""Checks on what is handed in: what each takes, what it says of the rest, and sets that take all."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from swarmd.core.model.checks import Check
from swarmd.core.model.records import NO_CITATIONS, Citations
from swarmd.core.model.words import words_of
from swarmd.core.tasks.checking import (
    UNEQUAL_SHOWN,
    Artefact,
    Evidence,
    are_green,
    results_of,
    vacuous,
)

RIGHT, WRONG = Citations(3), Citations(2, ("a.md:7: the file has 5 lines",))


def fault_of(check: Check, evidence: Evidence) -> str:
    [result] = results_of([check], evidence)
    assert result.check == check.text_form
    return result.fault


def of_report(text: str, citations: Citations = NO_CITATIONS) -> Evidence:
    return Evidence(Artefact(text, citations))


@pytest.mark.parametrize(
    ("check", "good", "bad", "fault"),
    [
        (Check(kind="words", least=2, most=3), "one two three", "one", "found 1 words, 1 too few"),
        (Check(kind="words", most=2), "one two", "one two three", "found 3 words, 1 too many"),
        (Check(kind="contains", text="a  Quorum"), "it is A\nquorum", "quorums", "found 0 times"),
        (Check(kind="contains", text="x", most=0), "clean", "an x", "found 1 times"),
        (Check(kind="metric", text="rate", most=5), "Rate: **4.5** ms", "rate 6", "found 6"),
        (Check(kind="metric", text="rate", least=1000), "rate = 1,200", "no", "no such number"),
    ],
)
def test_a_check_of_the_report_takes_one_and_says_what_is_wrong_with_the_other(
    check: Check, good: str, bad: str, fault: str
) -> None:
    assert fault_of(check, of_report(good)) == ""
    assert fault in fault_of(check, of_report(bad))


def test_words_are_counted_without_citations_and_as_a_reports_head_counts_them() -> None:
    text = "Leases last ten seconds (docs/redis.md:54, docs/a.md:3-5) – then they end. [x.md:9]"
    assert words_of(text) == 7
    assert fault_of(Check(kind="words", most=7), of_report(text)) == ""
    assert fault_of(Check(kind="words", most=6), of_report(text)) == "found 7 words, 1 too many"


def test_citations_are_enough_and_none_is_wrong() -> None:
    check = Check(kind="cites", least=2)
    assert fault_of(check, of_report("x", RIGHT)) == ""
    assert fault_of(check, of_report("x", WRONG)) == "a.md:7: the file has 5 lines"
    assert fault_of(check, of_report("x", Citations(1))) == "found 1 citations"
    assert fault_of(Check(kind="cites"), of_report("x")) == "found 0 citations"


def test_a_file_is_looked_at_in_place_of_the_report() -> None:
    evidence = Evidence(
        Artefact("quorum"),
        {"work/a.md": Artefact("text"), "work/b.md": Artefact(fault="no such file")},
    )
    assert fault_of(Check(kind="file", file="work/a.md"), evidence) == ""
    assert fault_of(Check(kind="file", file="work/b.md"), evidence) == "no such file"
    assert fault_of(Check(kind="contains", text="quorum", file="work/a.md"), evidence)


def test_independent_answers_agree_or_are_named() -> None:
    check = Check(kind="equal_across", file="work/reports", text="total", least=3)
    texts = {f"work/reports/{n}.md": "total: 12.0" for n in "abc"}
    assert fault_of(check, Evidence(Artefact(""), folders={"work/reports": texts})) == ""
    other = {**texts, "work/reports/c.md": "total: 13", "work/reports/d.md": "none"}
    fault = fault_of(check, Evidence(Artefact(""), folders={"work/reports": other}))
    assert "c.md: 13" in fault
    assert "d.md: none" in fault
    two = dict(list(texts.items())[:2])
    assert fault_of(check, Evidence(Artefact(""), folders={"work/reports": two})) == "2 files there"


ROWS = '{"type": "array", "minItems": 2, "items": {"type": "object", "required": ["price"]}}'


def test_json_has_the_form_that_a_charter_gives_it() -> None:
    check = Check(kind="schema", file="work/rows.json", text=ROWS)
    assert check.text_form == f"schema in work/rows.json {ROWS}"
    good = Artefact('[{"price": 1}, {"price": 2}]')
    assert fault_of(check, Evidence(Artefact(), {"work/rows.json": good})) == ""
    bad = Artefact('[{"price": 1}, {"cost": 2}]')
    told = fault_of(check, Evidence(Artefact(), {"work/rows.json": bad}))
    assert told == "$[1].price is missing"
    gone = Artefact(fault="no such file")
    assert fault_of(check, Evidence(Artefact(), {"work/rows.json": gone})) == "no such file"


@pytest.mark.parametrize(
    "bad",
    [
        {"kind": "words"},
        {"kind": "contains"},
        {"kind": "contains", "text": " "},
        {"kind": "metric", "text": "rate"},
        {"kind": "file"},
        {"kind": "equal_across", "text": "total"},
        {"kind": "words", "least": 3, "most": 2},
        {"kind": "judge", "text": "is it good?"},
        {"kind": "words", "least": 1, "more": 2},
        {"kind": "person"},
        {"kind": "schema"},
        {"kind": "schema", "text": "array"},
    ],
)
def test_a_check_that_says_too_little_is_none(bad: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Check.model_validate(bad)


def test_what_is_checked_has_another_digest_when_any_of_it_changes() -> None:
    base = Evidence(Artefact("a"), {"f": Artefact("b")}, {"d": {"d/x": "c"}})
    others = [
        Evidence(Artefact("A"), {"f": Artefact("b")}, {"d": {"d/x": "c"}}),
        Evidence(Artefact("a"), {"f": Artefact("B")}, {"d": {"d/x": "c"}}),
        Evidence(Artefact("a"), {"f": Artefact("b")}, {"d": {"d/x": "C"}}),
        Evidence(Artefact("a"), {"g": Artefact("b")}, {"d": {"d/x": "c"}}),
    ]
    assert len({one.digest for one in [base, *others]}) == 5


# --- sets that take anything ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("checks", "taken"),
    [
        ([], ""),
        ([Check(kind="words", least=200, most=300)], "a text of another task"),
        ([Check(kind="words", most=20)], "an empty text"),
        ([Check(kind="file", file="work/a.md")], "a text of another task"),
        ([Check(kind="contains", text="the")], "a text of another task"),
        ([Check(kind="cites", least=0)], "an empty text"),
        ([Check(kind="contains", text="Valkey")], ""),
        ([Check(kind="words", least=200), Check(kind="cites", least=1)], ""),
        ([Check(kind="metric", text="hit rate", least=0)], ""),
        ([Check(kind="equal_across", file="work/r", text="total")], ""),
        ([Check(kind="person", text="Is it good?")], ""),
        ([Check(kind="words", least=9), Check(kind="person", text="Is it good?")], ""),
    ],
)
def test_a_set_that_takes_what_nobody_has_worked_on_is_named(
    checks: list[Check], taken: str
) -> None:
    assert vacuous(checks) == taken


CHECKS = st.lists(
    st.one_of(
        st.builds(
            lambda least, more: Check(kind="words", least=least, most=least + more),
            st.integers(0, 900),
            st.integers(0, 900),
        ),
        st.builds(lambda text: Check(kind="contains", text=text), st.sampled_from(["the", "x7"])),
        st.just(Check(kind="file", file="work/a.md")),
        st.builds(lambda least: Check(kind="cites", least=least), st.integers(0, 3)),
    ),
    min_size=1,
    max_size=4,
)


def json_form(schema: object, file: str = "") -> Check:
    return Check(kind="schema", file=file, text=json.dumps(schema))


@pytest.mark.parametrize(
    ("schema", "taken"),
    [
        ({}, "an empty JSON"),
        ({"type": "object"}, "an empty JSON"),
        ({"type": "object", "properties": {"price": {"type": "number"}}}, "an empty JSON"),
        ({"type": "array", "items": {"required": ["price"]}}, "an empty JSON"),
        ({"type": ["array", "null"], "minItems": 2}, "an empty JSON"),
        ({"type": "array", "minItems": 900}, "a JSON of another task"),
        ({"type": "array", "minItems": 9, "items": {"type": "string"}}, "a JSON of another task"),
        ({"type": "array", "minItems": 9, "items": {"type": "object"}}, "a JSON of another task"),
        ({"type": "integer", "minimum": 7}, "a JSON of another task"),
        ({"type": "object", "required": ["status"]}, "a JSON of another task"),
        ({"type": "object", "required": ["price"]}, ""),
        ({"type": "array", "minItems": 1, "items": {"required": ["price"]}}, ""),
        ({"enum": ["approve", "refuse"]}, ""),
    ],
)
def test_a_form_that_takes_what_nobody_has_worked_on_is_named(schema: object, taken: str) -> None:
    assert vacuous([json_form(schema)]) == taken
    assert vacuous([json_form(schema), Check(kind="contains", text="quorum")]) == ""


def test_each_place_is_tried_by_itself() -> None:
    """No text passes both, and yet neither asks for anything."""
    together = [Check(kind="words", least=100), json_form({"type": "object"}, "work/a.json")]
    assert vacuous(together) == "a text of another task and an empty JSON"
    assert vacuous([*together, Check(kind="cites")]) == ""
    assert vacuous([*together, Check(kind="contains", text="x7", file="work/b.md")]) == ""


@given(CHECKS)
def test_a_set_that_is_let_pass_never_takes_an_empty_text(checks: list[Check]) -> None:
    empty = Evidence(Artefact(""), {"work/a.md": Artefact("")})
    if not vacuous(checks):
        assert not are_green(results_of(checks, empty))


# --- numbers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize("bound", ["least", "most"])
def test_a_bound_is_a_number(number: str, bound: str) -> None:
    with pytest.raises(ValidationError, match="finite"):
        Check.model_validate(json.loads(f'{{"kind": "words", "{bound}": {number}}}'))


@pytest.mark.parametrize("least", [1e9, 1e308])
def test_checks_of_any_length_are_tried_on_short_samples(least: float) -> None:
    words = Check(kind="words", least=least)
    assert vacuous([words]) == "a text of another task"
    assert vacuous([words, Check(kind="contains", text="quorum")]) == ""


@pytest.mark.parametrize(
    ("text", "number"), [("loss: 1e-5", 1e-5), ("loss: 2.5E+3", 2500), ("loss: 3 each", 3)]
)
def test_a_number_is_read_with_its_exponent(text: str, number: float) -> None:
    check = Check(kind="metric", text="loss", least=number, most=number)
    assert fault_of(check, of_report(text)) == ""


def test_numbers_that_differ_are_told_apart() -> None:
    check = Check(kind="equal_across", file="work", text="rows")
    evidence = Evidence(
        Artefact(), folders={"work": {"a.md": "rows: 1234567", "b.md": "rows: 1234568"}}
    )
    assert fault_of(check, evidence) == "not the same: a.md: 1234567, b.md: 1234568"
    assert Check(kind="words", least=1234567).text_form == "words at least 1234567"


def test_of_many_files_that_differ_a_few_are_told() -> None:
    check = Check(kind="equal_across", file="work", text="rows")
    texts = {f"{'x' * 500}{n}": f"rows: {n}" for n in range(64)}
    fault = fault_of(check, Evidence(Artefact(), folders={"work": texts}))
    assert fault.endswith(f"and {64 - UNEQUAL_SHOWN} more")
    assert len(fault) < 5_000


def test_what_is_said_last_is_the_number() -> None:
    check = Check(kind="metric", text="rate", least=5)
    assert fault_of(check, of_report("rate: 3 at first, then rate: 5")) == ""
    assert fault_of(check, of_report("rate: 5 at first, then rate: 3")) == "found 3"


def test_a_name_is_a_whole_word() -> None:
    check = Check(kind="metric", text="rate", least=5)
    assert fault_of(check, of_report("rate: 6, the accurate: 3")) == ""


def test_what_takes_a_beginning_of_another_text_is_named() -> None:
    short = [Check(kind="words", most=20), Check(kind="contains", text="result")]
    assert vacuous(short) == "a text that breaks off"
