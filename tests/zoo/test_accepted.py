"""A part of `python -m tests.zoo.accepted` in each run of the tests: one seed, which it does not have."""

from __future__ import annotations

import pytest

from tests.zoo.accepted import ROWS, Outcome, mission, table
from tests.zoo.liars import EARLY, FAULTS, FORGED, UNREAD, Fault, truth_of

SEED = 1_000


@pytest.mark.parametrize("rules", [False, True], ids=["off", "on"])
@pytest.mark.parametrize("faults", ROWS, ids=lambda faults: " and ".join(sorted(faults)) or "none")
def test_what_is_handed_in_undone_is_delivered_wrong_without_the_rules_and_right_with_them(
    faults: frozenset[Fault], *, rules: bool
) -> None:
    outcome = mission(faults, SEED, rules=rules)
    assert outcome.is_right is (rules or not faults), outcome.text
    assert outcome.text, "a mission that delivers nothing is no proof of either"


def test_right_is_all_that_the_files_say_and_nothing_else() -> None:
    truth = truth_of(SEED)
    whole = sorted(truth.result)
    assert len(whole) == 4
    assert truth.is_told_by("Found:\n" + "\n".join(whole))
    assert not truth.is_told_by("\n".join(whole[1:]))
    assert not truth.is_told_by("\n".join([*whole, "The limit of x is 1 (docs/handbook.md:1)"]))


def test_the_table_counts_each_arm_by_itself() -> None:
    every = frozenset(FAULTS)
    lines = table(
        [
            Outcome(every, 0, rules=False, is_right=False, calls=10, tokens=2_000),
            Outcome(every, 1, rules=False, is_right=True, calls=20, tokens=4_000),
            Outcome(every, 0, rules=True, is_right=True, calls=30, tokens=5_000),
        ]
    )
    assert " ".join(lines[1].split()) == "all three 1 of 2 15.0 3,000 1 of 1 30.0 5,000"
    assert {EARLY, UNREAD, FORGED} == every
