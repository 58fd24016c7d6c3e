"""A privilege that nothing asks for is told from one that something may come to ask for."""

from __future__ import annotations

import pytest

from swarmd.core.model.functions import BUILT_IN
from swarmd.core.queries.privilege_use import why_never_used

FUNCTIONS = [one.privilege for one in BUILT_IN.values() if one.privilege]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_what_a_function_asks_for_is_used(function: str) -> None:
    assert why_never_used(function, FUNCTIONS) == ""


@pytest.mark.parametrize(
    "path",
    [
        "**",
        "tool/**",
        "tool/web/**",
        "model/**",
        "model/openai:gpt-5",
        "file/notes.md/read",
        "file/docs/**",
        "room/plans/say",
        "spawn/researcher",
    ],
)
def test_areas_and_what_there_may_come_to_be_are_used(path: str) -> None:
    assert why_never_used(path, FUNCTIONS) == ""


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("file/wrte", "neither a function nor file/NAME/read"),
        ("tool/file/wrte", "no function is used under 'tool/file/wrte'"),
        ("tool", "no function"),
        ("nix", "begins with spawn, room, tool, file, model"),
        ("room/plans", "room/NAME/say"),
        ("spawn/a/b", "spawn/ROLE"),
        ("tool/*/read", "last `/**`"),
    ],
)
def test_a_slip_of_the_pen_is_told_with_what_it_is_not(path: str, said: str) -> None:
    assert said in why_never_used(path, FUNCTIONS)
