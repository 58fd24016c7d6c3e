"""Seats and agents that answer at random, in short. `python -m tests.sim.random_mind` is the long way."""

from __future__ import annotations

import random

import pytest
from pydantic import ValidationError

from swarmd.core.model.moves import MOVE, MOVE_TYPES
from tests.minds.shapes import Draw, Shape
from tests.sim.random_mind import run, says_why

pytestmark = pytest.mark.timeout(300)

# In which the mind found nothing: each is one more world that has to end well.
SEEDS = (0, 1)


@pytest.mark.parametrize("seed", SEEDS)
def test_missions_of_a_random_mind_end_with_a_reason(seed: int) -> None:
    _, seen, wrong = run("calm", seed)
    assert not wrong, wrong
    assert len(seen.endings) == 2


def test_a_value_that_is_drawn_by_a_schema_fits_it_for_each_move() -> None:
    for name, form in MOVE_TYPES.items():
        if name == "use":
            continue  # it has its arguments from the function that it calls
        shape, fitting = Shape.of(form.model_json_schema()), 0
        for seed in range(40):
            draw = Draw(random.Random(seed), {"": ["plain"]}, noise=0.0)
            try:
                MOVE.validate_python(draw.value(shape) | {"move": name})
                fitting += 1
            except ValidationError:
                continue
        # What a schema cannot say (a check over several fields) may refuse some.
        assert fitting >= 10, name


def test_a_reason_has_to_say_who_was_asked_and_what_was_missing() -> None:
    assert not says_why("deadline")
    assert not says_why("it has taken too long by now")
    assert says_why("the board called socrates three times, and no motion came")
