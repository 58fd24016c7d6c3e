"""The short version of `python -m tests.chaos aof`, which see."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.aof import trial


def test_a_disk_that_ends_anywhere_or_is_damaged_keeps_every_law_or_is_refused_by_name(
    short_path: Path,
) -> None:
    tally = trial(short_path, cuts=20, damages=12, points=10, resumes=1, seed=4)
    assert tally.faults == []
    assert (tally.cuts, tally.damages, tally.strict) == (20, 12, 10)
