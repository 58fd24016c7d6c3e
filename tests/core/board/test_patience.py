"""Times of the board and of the models that contradict each other are told by `swarmd check`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from swarmd.adapters.config import loader
from swarmd.core.board.patience import short_times


def test_as_shipped_a_seat_has_the_time_of_an_answer_and_a_motion_that_of_its_steps() -> None:
    assert list(short_times(loader.load(None, None))) == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"seat_seconds": 120}, "seat_seconds is 120, and openai in models.yaml may take 600"),
        ({"motion_seconds": 900}, "motion_seconds is 900, and 3 steps of seat_seconds each take"),
        ({"procedure": "full"}, "motion_seconds is 3600, and 12 steps"),
    ],
)
def test_a_time_that_lets_slow_models_be_absent_is_said(changed: dict[str, Any], said: str) -> None:
    shipped = loader.load(None, None)
    board = shipped.board.model_copy(update=changed)
    assert any(said in one for one in short_times(replace(shipped, board=board)))


def test_a_stall_that_is_shorter_than_an_answer_may_take_is_said() -> None:
    shipped = loader.load(None, None)
    limits = shipped.limits.model_copy(update={"stall_seconds": 300.0})
    said = list(short_times(replace(shipped, limits=limits)))
    assert any("stall_seconds is 300, and openai in models.yaml may take 600" in s for s in said)
