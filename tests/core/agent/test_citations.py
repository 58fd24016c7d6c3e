"""Citations of a report, and whether what is cited stands there."""

from __future__ import annotations

import time

import pytest

from swarmd.core.agent.citations import (
    CITATIONS_MAX,
    SPAN_MAX,
    Citation,
    Window,
    checked,
    citations_in,
    common_in,
    fault_of,
)

FILE = [
    "# Leases",
    "",
    "A host renews its lease every 3 seconds.",
    "It expires after ten, by the server's clock.",
    "",
    "Whoever could not renew starts no new call.",
]


ORDERS = [
    "| verb | target | does |",
    "| --- | --- | --- |",
    "| `thaw` | what was stopped | lifts that stop |",
    "| `terminate` | an agent, a mission, `tier:N` | ends it and all below it |",
    "| `cancel` | a mission | as `terminate` |",
    "| `forget` | the id of a mission that has ended | its record is deleted |",
    "| `fund` | an agent, a mission | tokens of what is free in the account above |",
]
WRAPPED = [
    "The operator outranks the board, and the board outranks the agents: while an",
    "override stands, nobody of a lower rank can change its right, task or spawn.",
    "",
    "- A privilege is a path.",
]


def fault(text: str, file: list[str] = FILE) -> str:
    (cited,) = citations_in(text)
    start, count = cited.window
    lines = file[start - 1 : start - 1 + count]
    return fault_of(cited, Window(start, lines, len(file), common_in(file)))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("Leases last ten seconds (docs/redis.md:54).", ["docs/redis.md:54"]),
        ("| 900 s | `limits.yaml:83` |", ["limits.yaml:83"]),
        ("see docs/a.md:3-5 and docs/b.md:7–9", ["docs/a.md:3-5", "docs/b.md:7-9"]),
        ("twice a.md:3 and a.md:3", ["a.md:3"]),
        ("http://example.com:8080/x and localhost:6379 and 10:30 and redis://a.b:1", []),
        ("user@host.org:22", []),
        (f"a.md:1-{SPAN_MAX + 2}", []),
    ],
)
def test_what_is_a_citation(text: str, named: list[str]) -> None:
    assert [cited.text for cited in citations_in(text)] == named


def test_a_report_with_very_many_is_looked_up_in_part() -> None:
    assert len(citations_in("\n".join(f"a.md:{n}" for n in range(1, 999)))) == CITATIONS_MAX


@pytest.mark.parametrize(
    "text",
    [
        "A host renews every few seconds (redis.md:3).",
        "Who cannot renew starts nothing: redis.md:6",
        "After three missed renewals it expires (redis.md:3-4).",
        "redis.md:4",  # nothing is claimed
        "| every 3 s | redis.md:3 |",
    ],
)
def test_a_citation_that_stands_there_is_right(text: str) -> None:
    assert fault(text) == ""


def test_a_line_that_is_off_is_named_with_the_line_that_was_meant() -> None:
    said = fault("It expires after ten (redis.md:5).")
    assert said == "redis.md:5: no word of the claim stands there, but in line 4"


def test_a_line_that_shares_one_word_is_wrong_where_another_near_it_has_the_claim() -> None:
    said = fault("`forget` the record of a mission that has ended (a.md:4).", ORDERS)
    assert said == "a.md:4: little of the claim stands there, and more of it in line 6"
    assert fault("`forget` the record of a mission that has ended (a.md:6).", ORDERS) == ""
    assert fault("`cancel` a mission (a.md:5).", ORDERS) == ""


def test_words_of_many_lines_are_worth_less_than_the_others() -> None:
    """`agent`, `mission` and `spent` are everywhere; what is claimed stands three lines below."""
    file = [f"The agent of mission {n} has spent." for n in range(100, 140)]
    file[20] = "Tokens for reserves expire at midnight."
    claim = "Tokens for reserves expire at midnight, whatever an agent of a mission has spent"
    said = fault(f"{claim} (a.md:18).", file)
    assert said == "a.md:18: little of the claim stands there, and more of it in line 21"
    assert fault(f"{claim} (a.md:21).", file) == ""


def test_a_line_of_the_sentence_that_was_meant_is_right() -> None:
    claim = "Nobody of a lower rank can change a task while an override stands"
    assert fault(f"{claim} (a.md:1).", WRAPPED) == ""
    assert fault(f"{claim} (a.md:2).", WRAPPED) == ""
    table = [f"| {line.split(' ', 1)[0]} | {line}" for line in WRAPPED]
    assert fault(f"{claim} (a.md:1).", table).endswith("more of it in line 2"), "rows are apart"


def test_a_long_claim_of_which_little_stands_anywhere_near_is_not_judged() -> None:
    claim = (
        "With every file tried, nothing was lost but one key, which only the journal kept, of "
        "sixty that were verified again after a restart of the same server (a.md:1)."
    )
    rows = ["| Redis 7.0 | verified |", "", "Only the last key of the journal is lost."]
    assert fault(claim, rows) == ""


def test_a_line_that_is_not_there_a_file_that_is_not_and_words_that_are_nowhere() -> None:
    assert fault("renews (redis.md:60)") == "redis.md:60: the file has 6 lines"
    assert fault("renews (redis.md:0)") == "redis.md:0: the file has 6 lines"
    assert fault("Whales migrate (redis.md:3)") == "redis.md:3: no word of the claim stands there"
    assert fault_of(Citation("x.md", 1, 1), None) == "x.md:1: no such file of yours"


def test_each_citation_of_a_line_has_the_claim_before_it() -> None:
    first, second = citations_in("Hosts renew (a.md:1), and whales migrate (a.md:2).")
    assert "renew" in first.stems
    assert "renew" not in second.stems
    assert "whale" in second.stems


def test_the_count_is_told_and_what_is_wrong_with_each_of_the_others() -> None:
    assert checked([]).text == ""
    assert (
        checked([(Citation("a.md", 1, 1), ""), (Citation("a.md", 2, 2), "")]).text
        == "2 of 2 citations have words of their claim in the cited lines"
    )
    assert checked(
        [(Citation("a.md", 1, 1), ""), (Citation("a.md", 9, 9), "a.md:9: the file has 6 lines")]
    ).text.endswith("not so: a.md:9: the file has 6 lines")


@pytest.mark.parametrize("unit", ["a.b", "a.b:1", "-a.b:1-", "a.md:9 ", ":", "a/", "é", "1.a:"])
def test_a_report_made_to_be_slow_is_read_in_time_that_grows_with_it(unit: str) -> None:
    started = time.process_time()
    citations_in(unit * 20_000)
    assert time.process_time() - started < 1.0


def test_a_place_that_is_cited_for_two_claims_is_looked_up_for_both() -> None:
    whales, hosts = citations_in("Whales migrate (a.md:2). Hosts renew their lease (a.md:2).")
    window = Window(1, ["# Notes", "Hosts renew their lease.", "Whales migrate."], 3)
    found = checked([(one, fault_of(one, window)) for one in (whales, hosts)])
    assert (found.right, len(found.wrong)) == (0, 1)
    assert "but in line 3" in found.wrong[0]
