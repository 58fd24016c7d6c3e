"""Masking takes time in proportion to the text, whoever wrote it: a mission's submitter and a file
in the knowledge folder must not hold the supervisor's event loop.
"""

from __future__ import annotations

import time
from typing import Final

import pytest

from swarmd.core.model.masking import MASK, Masking
from tests.core.model.test_masking import KEY, SECRETS

SHORT: Final = 10_000
LONG: Final = 4 * SHORT
BEGIN: Final = "-----BEGIN PRIVATE KEY-----"
# What is repeated. Of each shape: beginnings without an end, beginnings that stand close together,
# and what may be divided in several ways; and secrets that stand right behind one another.
HOSTILE: Final = {
    "beginnings of keys": f"{BEGIN}\n",
    "beginnings of keys in a line": BEGIN,
    "a key's beginnings with a header": f"{BEGIN}\nVersion: ",
    "a key's beginnings with line breaks": f"{BEGIN}\n\\n {'a' * 15}\n",
    "ends of keys": "-----END PRIVATE KEY-----",
    "one beginning, many words": f"{BEGIN[:-5].replace('PRIVATE KEY', '')}A A A ",
    "backslashes": f"{BEGIN}" + "\\" * 50,
    "addresses": "://",
    "addresses with names": "://u:",
    "colons": "://" + ":" * 400,
    "bearers": "bearer ",
    "bearers without a digit": "Bearer " + "a" * 4_000 + "!",
    "blanks behind a bearer": "bearer" + " " * 200,
    "headers": 'authorization": "basic ',
    "blanks in a header": "authorization" + " " * 200 + "basic ",
    "access keys": "secret_access_key=",
    "beginnings of web tokens": "-eyJ",
    "parts of web tokens": "eyJaaaaaaaaaa.",
    "runs of a web token's characters": "eyJ-a_",
    "signs": "sk-",
    "signs within words": "ask-for-",
    "masks": f"{MASK}x",
    "known secrets": KEY,
    **SECRETS,
    "all of them": "".join(SECRETS.values()),
}


def _seconds(text: str) -> float:
    """Of this process, the best of three: others compute beside it."""
    masking, taken = Masking([KEY]), []
    for n in range(3):
        asked = f"{n}{text}"  # an outcome is remembered
        started = time.process_time()
        masking.text(asked)
        taken.append(time.process_time() - started)
        if taken[-1] > 1:
            break
    return min(taken)


@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_text_of_four_times_the_length_takes_four_times_as_long(unit: str) -> None:
    text = (unit * (LONG // len(unit) + 1))[:LONG]
    short, long = _seconds(text[:SHORT]), _seconds(text)
    # Of less than a millisecond the clock says little.
    assert long < 6 * max(short, 0.001), (short, long)
    assert long < 0.1, long


def test_a_long_text_of_beginnings_does_not_hold_the_event_loop() -> None:
    text = f"{BEGIN}\n" * 9_000  # 252 kB, a quarter of a mission's largest size
    # Some 50 ms; where it grew with the square of the length it took minutes.
    assert _seconds(text) < 1
    assert Masking([KEY]).text(text).count(MASK) == 9_000
