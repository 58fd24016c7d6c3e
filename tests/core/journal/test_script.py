"""What a replay plays and how two runs of one mission are compared, on entries made by hand."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

import pytest

from swarmd.core.journal.replay import Link
from swarmd.core.journal.sameness import (
    Difference,
    changed_answers,
    first_line,
    outcome_differences,
)
from swarmd.core.journal.script import Decision, Labels, decisions_of, script_of
from swarmd.core.model.chain import sha256
from swarmd.core.model.names import StreamId

M: Final = "m-aaaaaaaaaa"
OTHER: Final = "m-bbbbbbbbbb"
LEAD: Final = "a-1111111111"
CHILD: Final = "a-2222222222"
AGAIN: Final = "a-3333333333"
CALL: Final[Mapping[str, Any]] = {
    "call": f"{LEAD}.1.1.1",
    "at": "2026-12-01T00:00:01.000Z",
    "agent": LEAD,
    "agent_name": "lead",
    "incarnation": 1,
    "turn": 1,
    "step": 1,
    "kind": "model",
    "name": "builtin:rules",
    "ok": True,
    "seconds": 0.5,
    "used": {"tokens": 3},
    "answer": sha256("yes"),
    "text": "yes",
    "mail": 2,
}


def link(n: int, event: str, text: str = "", mission: str = M, **data: Any) -> Link:
    said = {"mission": mission, "text": text}
    return Link(StreamId(f"{1_796_000_000_000 + n}-0"), said, {"n": n, "event": event, **data}, "")


def born(n: int, id: str, name: str, *above: str, mission: str = M) -> Link:
    path = "/".join(("sob", "@owner", mission, *above, id))
    record = {"name": name, "path": path, "role": "writer", "tier": 1 + len(above), "state": "live"}
    effects = [[f"agent:{id}", record]]
    return link(
        n,
        "agent.spawned",
        f"created {id}",
        mission,
        agent=id,
        path=path,
        actor="sob",
        effects=effects,
    )


def labels_of(*links: Link, mission: str = M) -> Labels:
    labels = Labels(mission)
    for one in decisions_of(links, mission):
        labels.take(one)
    return labels


@pytest.fixture
def labels() -> Labels:
    return labels_of(
        born(1, LEAD, "lead"), born(2, CHILD, "dig", LEAD), born(3, AGAIN, "dig", LEAD)
    )


def test_an_agent_is_known_by_the_names_on_its_path_and_a_reused_name_by_its_number(
    labels: Labels,
) -> None:
    assert [labels.of(id) for id in (LEAD, CHILD, AGAIN, "gandhi")] == [
        "lead",
        "lead/dig",
        "lead/dig (2)",
        "gandhi",
    ]


def test_an_answer_is_said_again_with_the_ids_of_the_other_run(labels: Labels) -> None:
    new = labels_of(
        born(1, "a-4444444444", "lead", mission=OTHER),
        born(2, "a-5555555555", "dig", "a-4444444444", mission=OTHER),
        mission=OTHER,
    )
    said = f"end {CHILD} of {M}, not {AGAIN}"
    # One that was never created there means nobody, and is left to the law to refuse.
    assert labels.translated(said, new) == f"end a-5555555555 of {OTHER}, not {AGAIN}"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("at 2026-12-01T02:51:51.309Z", "at 2027-01-01T00:00:00Z"),
        ("done 3 s ago, due in 59 min", "done 1,200 s ago, due in 2 min"),
        ('{"tokens": 5, "key": "x"}', '{"tokens": 7, "key": "x"}'),
        (f"from {LEAD}", "from <lead>"),
        ("1796093511202-1 was read", "1796093511999-0 was read"),
    ],
)
def test_what_no_two_runs_have_in_common_is_not_compared(
    one: str, other: str, labels: Labels
) -> None:
    assert labels.neutral(one) == labels.neutral(other)


@pytest.mark.parametrize(("one", "other"), [("5 yes, 1 no", "4 yes, 2 no"), ("tier 2", "tier 3")])
def test_other_numbers_are(one: str, other: str, labels: Labels) -> None:
    assert labels.neutral(one) != labels.neutral(other)


def test_a_long_row_of_numbers_is_read_in_proportion_to_its_length(labels: Labels) -> None:
    began = time.process_time()
    labels.neutral("1," * 200_000)
    assert time.process_time() - began < 5.0, "80,000 took 47 s where each began a new look"


def test_what_a_call_reserved_is_summed_over_the_accounts_that_gave_it() -> None:
    facts = [
        {"fact": "reserve", "agent": LEAD, "call": "1:1", "amounts": {"tokens": n}} for n in (3, 4)
    ]
    links = [link(1, "mission.docketed"), link(2, "facts.folded", facts=facts, mission="")]
    assert script_of(links, [], M).reserves == {(LEAD, "1:1"): {"tokens": 7}}


def test_answers_end_in_the_order_of_their_lines() -> None:
    second = {**CALL, "call": "x", "step": 2, "seconds": 0.4}
    script = script_of([link(1, "mission.docketed"), born(2, LEAD, "lead")], [[CALL, second]], M)
    first, after = script.calls()
    assert (first.mail, after.ended) == (2, first.ended)


def test_an_answer_with_another_digest_is_named() -> None:
    links = [link(1, "mission.docketed"), born(2, LEAD, "lead")]
    (named,) = changed_answers(script_of(links, [[{**CALL, "text": "no"}]], M))
    assert (named.kind, named.seen) == ("answer", "no")
    assert CALL["call"] in named.where
    assert list(changed_answers(script_of(links, [[CALL]], M))) == []


def test_the_first_line_that_only_one_run_has_is_shown_and_another_order_is_none(
    labels: Labels,
) -> None:
    def given(*pieces: str) -> list[object]:
        return ["m", "shared", "you have 3 left", [["user", piece] for piece in pieces]]

    assert first_line(given("b", "a"), labels, given("a", "b"), labels) is None
    assert first_line(given("a", "b"), labels, given("a", "c"), labels) == ("b", "c")
    # Sums are those of the last facts that were folded in.
    before, now = given("lead: done; spent 3 tokens, 1 call"), given("lead: done; spent 2 tokens")
    assert first_line(before, labels, now, labels) is None


# --- the outcome ------------------------------------------------------------------------------

RUN: Final = (
    link(1, "mission.docketed", actor="operator"),
    link(
        2,
        "board.announced",
        "Motion 1 is carried, 2 yes (gandhi yes, socrates yes).",
        actor="clerk",
    ),
    born(3, LEAD, "lead"),
    link(4, "request.refused", "no", actor=LEAD, rule="spawn.tier"),
    link(9, "mission.ended", "delivered", actor="supervisor", spent={"tokens": 5, "tools": 0}),
)


def differences(*seen: Link, until: int | None = None) -> list[Difference]:
    decisions: list[Decision] = decisions_of(seen, M)
    return outcome_differences(script_of(RUN, [], M), decisions, labels_of(*seen), until)


def test_two_runs_with_other_ids_and_another_order_of_words_are_the_same() -> None:
    announced = "Motion 1 is carried, 2 yes (socrates yes, gandhi yes)."
    voted = link(2, "board.announced", announced, actor="clerk")
    refused = link(4, "request.refused", "other words", actor="a-9999999999", rule="spawn.tier")
    assert differences(RUN[0], voted, born(3, "a-9999999999", "lead"), refused, RUN[-1]) == []


@pytest.mark.parametrize(
    ("place", "instead", "kind", "shown"),
    [
        (1, link(2, "board.announced", "Motion 1 falls.", actor="clerk"), "motion", "falls"),
        (2, born(3, LEAD, "other"), "tree", "nothing"),
        (3, link(4, "request.refused", actor=LEAD, rule="spawn.depth"), "decision", "spawn.depth"),
        (4, link(9, "mission.ended", "delivered", spent={"tokens": 6}), "spent", "tokens 6"),
    ],
)
def test_what_differs_is_named(place: int, instead: Link, kind: str, shown: str) -> None:
    run = [*RUN[:place], instead, *RUN[place + 1 :]]
    found = [one for one in differences(*run) if one.kind == kind]
    assert any(shown in one.seen for one in found), differences(*run)


def test_up_to_an_entry_only_what_the_record_has_by_then_is_compared() -> None:
    assert differences(*RUN[:4], until=4) == []
    assert differences(*RUN, until=2) == []
    assert [one.kind for one in differences(*RUN[:2], until=4)] == ["decision", "tree"]
