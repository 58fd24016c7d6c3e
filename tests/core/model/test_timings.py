"""Time to decide by: it never goes back, and no wait lasts longer than twice its time after a
clock was set.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from swarmd.core.model.timings import ForwardTime

_STEPS = st.lists(st.tuples(st.floats(0.01, 60.0), st.floats(-100_000.0, 100_000.0)), min_size=1)


@given(_STEPS)
def test_it_never_goes_back_and_is_never_behind_its_clock(steps: list[tuple[float, float]]) -> None:
    time, passed, before = ForwardTime(), 1_800_000_000.0, 0.0
    for seconds, skew in steps:
        passed += seconds
        now = time.read(passed + skew)
        assert now >= before
        assert now >= passed + skew
        before = now


@given(_STEPS, st.floats(1.0, 10_000.0))
def test_whatever_the_clock_did_a_wait_is_over_within_twice_its_time(
    steps: list[tuple[float, float]], wait: float
) -> None:
    time, passed = ForwardTime(), 1_800_000_000.0
    for seconds, skew in steps:
        passed += seconds
        deadline = time.read(passed + skew) + wait
    # From here on the clock is right.
    time.read(passed)
    for n in range(1, 101):
        now = time.read(passed + 2 * wait * n / 100)
    assert now >= deadline - 1e-3


def test_a_clock_that_is_right_is_followed_exactly() -> None:
    time = ForwardTime()
    assert [time.read(100.0 + n / 4) for n in range(9)] == [100.0 + n / 4 for n in range(9)]
