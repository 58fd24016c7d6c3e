"""Every row of the table has its place and its tests, and a few of the mutants are put in and
seen.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from typing import Final

import lupa.lua51
import pytest

from tests.mutants import run
from tests.mutants.__main__ import LIVES, UNTRIED
from tests.mutants.__main__ import run as run_command
from tests.mutants.table import ROOT, MisplacedError, Mutant, load, mutated, named_by_law, node_ids

MUTANTS: Final = load()
_BY_NAME: Final = {mutant.name: mutant for mutant in MUTANTS}
_NAMED: Final = named_by_law()
# A run of the suite takes the same ones each time; `python -m tests.mutants` takes all.
_SAMPLE_SEED: Final = 1


def _sample() -> list[Mutant]:
    """A script's, and some whose tests are calls of pure functions: they take seconds."""
    scripts = [mutant for mutant in MUTANTS if mutant.file.endswith(".lua")]
    pure = [
        m for m in MUTANTS if all(test.startswith("tests/core/") for test in node_ids(m, _NAMED))
    ]
    dice = random.Random(_SAMPLE_SEED)
    return [dice.choice(scripts), *dice.sample(pure, 2)]


TIER: Final = _BY_NAME["1-tier-of-a-child"]


# --- the table ----------------------------------------------------------------------------------


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_mutant_has_its_place_once_can_be_compiled_and_names_tests_of_its_law(
    mutant: Mutant,
) -> None:
    changed = mutated(mutant)
    if mutant.file.endswith(".lua"):
        # With what it includes put before it a script is one chunk; by itself it must be one too.
        lupa.lua51.LuaRuntime().compile(changed)
    else:
        compile(changed, mutant.file, "exec")
    assert node_ids(mutant, _NAMED)


def test_the_mutants_are_many_have_names_of_their_own_and_leave_out_no_law() -> None:
    assert len(MUTANTS) >= 40
    assert len(_BY_NAME) == len(MUTANTS)
    per_law = Counter(mutant.law for mutant in MUTANTS)
    assert set(per_law) == set(_NAMED)
    assert {mutant.file.rpartition(".")[2] for mutant in MUTANTS} == {"lua", "py"}


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"pattern": "tier=parent.tier + 7"}, "stands 0 times"),
        ({"pattern": "parent"}, "times in _mint, not once"),
        ({"replacement": TIER.pattern}, "is what stands there already"),
        ({"where": "_mint.inner"}, "there is no _mint.inner"),
        ({"file": "swarmd/core/gone.py"}, "there is no file"),
        (
            {"file": "swarmd/adapters/redis/scripts/_hold.lua", "where": "_mint"},
            "there is no _mint",
        ),
    ],
)
def test_a_row_that_has_lost_its_place_says_so(changed: dict[str, str], why: str) -> None:
    with pytest.raises(MisplacedError, match=why):
        mutated(replace(TIER, **changed))  # type: ignore[arg-type]  # all of these fields are text


@pytest.mark.parametrize(
    "tests", [(), ("test_that_nobody_wrote",), ("test_what_is_uncovered_keeps_its_order",)]
)
def test_a_row_may_only_name_tests_that_the_page_names_for_its_law(tests: tuple[str, ...]) -> None:
    with pytest.raises(MisplacedError, match="does not name"):
        node_ids(replace(TIER, tests=tests), _NAMED)


def test_lines_broken_elsewhere_are_the_same_place() -> None:
    text = mutated(replace(TIER, pattern="tier=parent.tier\n      +   1"))
    assert text == mutated(TIER)


# --- running ------------------------------------------------------------------------------------


@pytest.mark.parametrize("mutant", _sample(), ids=lambda mutant: mutant.name)
def test_a_mutant_is_killed_by_a_test_named_for_its_law(mutant: Mutant) -> None:
    before = (ROOT / mutant.file).read_bytes()
    with run.Runner() as runner:
        verdict = run.judge(mutant, runner)
    assert verdict.killed_by in mutant.tests, verdict.detail
    assert (ROOT / mutant.file).read_bytes() == before, "the tree itself is never touched"


def test_a_mutant_that_its_tests_do_not_see_lives_and_the_command_ends_with_7(
    capsys: pytest.CaptureFixture[str],
) -> None:
    harmless = replace(TIER, replacement="tier=1 + parent.tier")
    assert run_command([harmless], jobs=1) == LIVES
    shown = capsys.readouterr().out
    assert "LIVES: all its tests passed" in shown
    assert "law  1: 0 of 1 killed" in shown


def test_tests_that_cannot_even_be_collected_have_killed_nothing() -> None:
    broken = replace(TIER, replacement="tier=(")
    with run.Runner() as runner:
        verdict = run.judge(broken, runner)
    assert verdict.lives
    assert "pytest ended with" in verdict.detail


def test_what_fails_without_a_mutant_is_said_and_tries_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        run,
        "named_by_law",
        lambda: {1: {TIER.tests[0]: "tests/core/tree/test_spawn.py::test_gone"}},
    )
    assert run_command([TIER], jobs=1) == UNTRIED
    assert "the tests fail on the unchanged tree" in capsys.readouterr().out
