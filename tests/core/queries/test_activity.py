"""What an agent is said to be doing, from what is stored of it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmd.core.model.lineage import EVERYTHING, Agent, Stop, StopKind
from swarmd.core.model.names import SOB, AgentId, Authority, MissionId
from swarmd.core.model.timings import SETTLE_SECONDS
from swarmd.core.queries.activity import (
    Activity,
    Awaited,
    Call,
    Surroundings,
    activity_of,
    call_of,
    is_held,
    open_call,
    turns_under_way,
)

NOW = 1_000.0
AROUND = Surroundings(frozenset({"h1"}), {}, {}, NOW)
CALL = Call("model", NOW - 12, 600)


def record(**fields: str) -> Mapping[str, str]:
    return {
        "id": "a-1",
        "tier": "1",
        "path": "sob/@owner/m1/a-1",
        "state": "live",
        "host": "h1",
        "lease": "2",
    } | fields


def doing(
    call: Call | None = None, *, is_busy: bool | None = None, around: Any = None, **fields: str
) -> Activity:
    known = replace(AROUND, **(around or {}))
    return activity_of(
        record(**fields), call, known, is_busy=call is not None if is_busy is None else is_busy
    )


def trouble(kind: str, since: float = NOW - 950) -> Mapping[str, Any]:
    return {"troubles": {"a-1": json.dumps({"kind": kind, "since": since})}}


def test_dead_stuck_and_busy_are_told_apart() -> None:
    assert doing() == Activity("idle")
    assert doing(CALL) == Activity("busy", "model", 12)
    assert doing(is_busy=True) == Activity("busy")
    assert doing(CALL, host="h2") == Activity("dead")
    assert doing(host="", state="starting") == Activity("unplaced")
    assert doing(id=SOB, tier="0", host="") == Activity("")


def test_at_rest_it_is_told_for_whom_an_agent_waits_and_for_how_long() -> None:
    def waiting(until: float, *, is_busy: bool = False) -> Activity:
        awaited = Awaited("ann, bob", until)
        return activity_of(record(), None, AROUND, is_busy=is_busy, awaited=awaited)

    assert waiting(NOW + 90) == Activity("idle", waits_for="ann, bob", left=90)
    assert waiting(NOW - 1) == Activity("idle", waits_for="ann, bob", left=0)
    assert waiting(0.0) == Activity("idle", waits_for="ann, bob")
    assert waiting(NOW + 90, is_busy=True) == Activity("busy"), "any further turn ends it"


def test_a_call_is_stuck_when_it_outlives_its_own_bounds_and_the_time_to_settle() -> None:
    for over, word in ((-1.0, "busy"), (1.0, "stuck")):
        since = NOW - 600 - SETTLE_SECONDS - over
        assert doing(Call("model", since, 600)) == Activity(word, "model", NOW - since)  # type: ignore[arg-type]  # of two words
    assert doing(Call("model", 0.0, 0.0)).word == "busy", (
        "of a call without a bound it is not known"
    )


def test_what_ignored_its_end_is_stuck_though_its_record_has_ended() -> None:
    assert doing(state="terminated", host="") == Activity("")
    assert doing(state="terminated", host="", around=trouble("stuck", NOW - 3)) == Activity(
        "stuck", seconds=3
    )
    assert doing(state="terminated", host="", around=trouble("stalled")) == Activity("")


def test_a_stalled_agent_is_told_as_such_unless_worse_is_true() -> None:
    assert doing(around=trouble("stalled")) == Activity("stalled", "", 950)
    assert doing(CALL, around=trouble("stalled")) == Activity("stalled", "model", 950)
    assert doing(host="h9", around=trouble("stalled")).word == "dead"
    assert doing(around={**trouble("stalled"), "stops": {"*": "halt {}"}}).word == "frozen"


@pytest.mark.parametrize("text", ["{", "[]", '{"since":"x"}', "3"])
def test_a_trouble_that_cannot_be_read_is_none(text: str) -> None:
    assert doing(around={"troubles": {"a-1": text}}) == Activity("idle")


# --- stops ------------------------------------------------------------------------------------

_TARGETS = st.sampled_from(
    ["a-1", "=a-1", "a-2", "=a-2", "m1", "m2", "tier:1", "tier:2", EVERYTHING, "room:hall", "sob"]
)


@given(st.dictionaries(_TARGETS, st.sampled_from(list(StopKind)), max_size=4))
def test_an_agent_is_frozen_exactly_where_a_freeze_or_halt_holds_it(
    stops: Mapping[str, StopKind],
) -> None:
    agent = Agent(
        id=AgentId("a-1"),
        name="x",
        role="r",
        tier=1,
        parent=SOB,
        path=("sob", "m1", "a-1"),
        mission=MissionId("m1"),
    )
    marks = [
        Stop(target, kind, Authority.OPERATOR, "", "operator", 0.0)
        for target, kind in stops.items()
    ]
    holds = any(mark.holds(agent) for mark in marks if mark.kind is not StopKind.DRAIN)
    assert is_held(record(), {target: f"{kind} {{}}" for target, kind in stops.items()}) is holds


# --- the step journal -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "busy", "begun"),
    [
        ([], False, None),
        (["3:batch"], True, None),
        (["3:batch", "3:1:b"], True, "3:1:b"),
        (["3:batch", "3:1:b", "3:1:e"], True, None),
        (["3:1:b", "3:1:e", "3:2:b", "3:batch"], True, "3:2:b"),
        (["2:4:b"], False, None),
        (["2:4:b", "3:batch"], True, None),
    ],
)
def test_the_call_under_way_is_the_open_one_of_the_turn_under_way(
    steps: Collection[str], busy: bool, begun: str | None
) -> None:
    assert bool(turns_under_way(steps)) is busy
    assert open_call(steps) == begun


def test_a_call_that_a_former_holder_began_is_nobodys() -> None:
    text = json.dumps({"kind": "read", "lease": 2, "at": "1970-01-01T00:16:40.000Z", "within": 60})
    assert call_of(text, "2") == Call("read", 1_000.0, 60.0)
    assert call_of(text, "3") is None
    for broken in (
        None,
        "{",
        "[]",
        "{}",
        '{"lease":2,"kind":"x","at":"y"}',
        '{"lease":2,"kind":"x","at":4}',
    ):
        assert call_of(broken, "2") is None
