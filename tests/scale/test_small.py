"""The commands of this folder with few agents: what has to hold at any size. Times are the
commands' own business.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.scale.cascade import cascade
from tests.scale.divisions import divisions
from tests.scale.races import mark, spawns
from tests.scale.tasks import tasks

_OF_TIME = ("within", "after the fence", "took over", "waited over")


def _holds(said: tuple[dict[str, Any], dict[str, bool]]) -> None:
    figures, verdicts = said
    laws = {
        claim: holds
        for claim, holds in verdicts.items()
        if not any(word in claim for word in _OF_TIME)
    }
    assert laws, "a run without a claim proves nothing"
    assert all(laws.values()), (laws, figures)


async def test_a_tree_that_is_ended_gives_back_all_that_was_granted() -> None:
    _holds(await cascade(300))


async def test_agents_in_mid_turn_on_two_workers_are_seen_to_end() -> None:
    _holds(await tasks(40, 2))


async def test_whoever_is_asked_for_during_a_cascade_is_refused_or_ended_with_it() -> None:
    _holds(await spawns(300, 60))


@pytest.mark.parametrize("verb", ["cancel", "revoke"])
async def test_the_last_call_below_a_mark_began_before_it(verb: str) -> None:
    _holds(await mark(verb, 40))


async def test_what_one_division_says_to_another_arrives_once_and_in_order_whoever_dies_between() -> (
    None
):
    _holds(await divisions(500, 1))
