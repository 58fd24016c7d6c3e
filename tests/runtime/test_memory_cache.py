"""What agents remember, read once."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmd.core.agent.memory import NO_MEMORY, Memory, remember
from swarmd.core.agent.prompt import exchange_of
from swarmd.core.model.functions import BUILT_IN
from swarmd.core.model.names import AgentId
from swarmd.runtime.turn.memory_cache import Recollection

ANN, BEN = AgentId("a-ann"), AgentId("a-ben")
ENTRIES = st.integers(1, 30_000).map(lambda size: {"results": [{"ok": True, "text": "x" * size}]})


@given(
    st.lists(
        st.tuples(st.sampled_from([ANN, BEN]), st.lists(ENTRIES, max_size=3), st.booleans()),
        max_size=12,
    ),
    st.sampled_from([0, 50_000, 10_000_000]),
)
def test_what_is_recalled_is_what_is_remembered_through_turns_lives_and_take_overs(
    turns: list[tuple[AgentId, list[dict[str, Any]], bool]], chars_max: int
) -> None:
    recollection, memories = Recollection(chars_max), {ANN: NO_MEMORY, BEN: NO_MEMORY}
    for agent, news, is_new_life in turns:
        memory = remember(NO_MEMORY if is_new_life else memories[agent], news, 96_000, BUILT_IN)
        memories[agent] = memory
        recalled = recollection.of(agent, memory)
        items = [json.loads(entry) for entry in memory.entries]
        assert recalled == [(item, exchange_of([item])) for item in items]


@pytest.mark.parametrize(("chars_max", "is_kept"), [(1_000, True), (40, False)])
def test_an_entry_is_read_once_unless_others_were_asked_for_since(
    *, chars_max: int, is_kept: bool
) -> None:
    recollection, memory = (
        Recollection(chars_max),
        remember(NO_MEMORY, [{"results": [1]}], 96_000, BUILT_IN),
    )
    first = recollection.of(ANN, memory)
    recollection.of(
        BEN, remember(NO_MEMORY, [{"results": [2]}, {"results": [3]}], 96_000, BUILT_IN)
    )
    further = recollection.of(ANN, remember(memory, [{"results": [4]}], 96_000, BUILT_IN))
    assert (further[0] is first[0]) is is_kept
    assert [item for item, _ in further] == [{"results": [1]}, {"results": [4]}]


def test_a_memory_read_back_under_the_same_numbers_is_read_again() -> None:
    recollection = Recollection()
    recollection.of(ANN, Memory(3, ('{"results":[1]}',)))
    assert recollection.of(ANN, Memory(3, ('{"results":[2]}',)))[0][0] == {"results": [2]}
