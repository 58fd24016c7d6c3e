"""The short versions of `python -m tests.chaos failover` and `slots`, which see."""

from __future__ import annotations

from tests.chaos.failover import failover
from tests.chaos.slots import slots


def test_no_control_message_is_lost_with_its_primary() -> None:
    report = failover(1, seed=4, down_after_ms=500)
    assert report.faults == [], report.text()
    assert report.counts["orders acknowledged"] > 0


def test_nothing_is_lost_while_the_swarms_slot_moves() -> None:
    report = slots(1, seed=4)
    assert report.faults == [], report.text()
    assert report.counts["posts acknowledged"] > 0
