"""What is announced of a motion is cut after a word, and is seen to be cut."""

from __future__ import annotations

import pytest

from swarmd.core.board.announcing import EXCERPT_CHARS, excerpt, opened_line
from swarmd.core.board.events import Proposed
from swarmd.core.model.motions import MOTION

WORDS = "swans sing of it " * EXCERPT_CHARS


@pytest.mark.parametrize("reason", [WORDS, "x" * 2 * EXCERPT_CHARS, "a short one"])
def test_a_long_reason_ends_after_a_word_and_says_that_it_goes_on(reason: str) -> None:
    told = excerpt(reason)
    assert len(told) <= EXCERPT_CHARS
    if reason == "a short one":
        assert told == reason
        return
    assert told.endswith("…")
    assert reason.startswith(told[:-1])
    assert " " not in reason or reason[len(told) - 1] == " ", "no word is cut"


def test_a_motion_is_announced_without_the_reason_that_its_proposer_has_just_said() -> None:
    motion = MOTION.validate_python({"motion": "reject", "reason": "too vague"})
    line = opened_line(Proposed("gandhi", 1, motion))
    assert line.text == "Motion 1, proposed by gandhi: reject."
    assert line.data["motion"]["reason"] == "too vague"
