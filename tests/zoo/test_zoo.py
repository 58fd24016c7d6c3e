"""A part of the zoo in each run of the tests: one seed of each mind. `python -m tests.zoo` has fifty."""

from __future__ import annotations

import pytest

from tests.zoo.healthy import HEALTHY
from tests.zoo.keeper import ALL, Seen, table
from tests.zoo.sick import SICK
from tests.zoo.stage import Finding
from tests.zoo.wedged import STALLED

# Another one than `python -m tests.zoo` begins with, so that a change is met by both.
SEED = 1_000


@pytest.mark.parametrize("name", ALL)
def test_a_fault_is_found_by_its_detector_within_three_turns_and_health_by_none(name: str) -> None:
    seen = ALL[name](SEED)
    assert seen.is_right, str(seen)


def test_the_zoo_has_twenty_healthy_minds_and_a_fault_for_each_detector() -> None:
    assert len(HEALTHY) >= 20
    faults = {*SICK.values(), STALLED}
    assert faults == {"bus.no-progress", "bus.rate", "dead letter", "agent.stalled"}


def test_the_table_counts_what_was_missed_and_what_was_found_in_vain() -> None:
    loop, late = Finding("bus.no-progress", "a-one", 4), Finding("bus.no-progress", "a-one", 9)
    named = frozenset({"repetition"})
    seen = [
        Seen("loops", 0, "bus.no-progress", [loop], 3, named),
        Seen("loops", 1, "bus.no-progress", []),
        Seen("loops", 2, "bus.no-progress", [late], 8, named),
        Seen("works", 0, "", []),
        Seen("works", 1, "", [loop]),
        Seen("works", 2, "", [], modes=named),
        Seen("loops", 3, "bus.no-progress", [loop], 3, frozenset({"flood"})),
    ]
    assert [one.is_right for one in seen] == [True, False, False, True, False, False, False]
    lines = table(seen)
    assert lines[1].split() == ["loops", "bus.no-progress", "4", "1", "3", "to", "8"]
    assert lines[2].split() == ["works", "healthy", "3", "1"]
    assert lines[-2].split() == ["bus.no-progress", "4", "0.750", "3", "1"]
    assert lines[-1].split() == ["swarmd", "doctor", "4", "0.500", "3", "1"]
