"""Requests and orders: typed, parsed once; what cannot be read is said in one sentence."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from swarmd.core.actions.registry import ACTIONS
from swarmd.core.model.requests import (
    ActRequest,
    FailedRequest,
    GoneRequest,
    Order,
    SpawnRequest,
    parse_order,
    parse_request,
)
from tests.core.swarm_builder import act_args, charter


@pytest.mark.parametrize(
    "request_",
    [
        SpawnRequest(
            key="k", charter=charter("x", goals=["a"]), directives=("go",), tier=2, parent="a-1"
        ),
        ActRequest(act=act_args("terminate", "a-1", "it loops")),
        FailedRequest(rule="budget.exhausted", detail="d", mission="m"),
        GoneRequest(segment="m1", agents=3),
    ],
)
def test_what_the_runtime_writes_is_what_the_supervisor_reads(request_: Any) -> None:
    assert parse_request(request_.model_dump(mode="json")) == request_


def test_a_newer_versions_fields_are_ignored_but_a_charters_are_not() -> None:
    whole = SpawnRequest(key="k", charter=charter("x")).model_dump(mode="json")
    assert isinstance(parse_request(whole | {"v": 2, "colour": "red"}), SpawnRequest)
    whole["charter"]["colour"] = "red"
    fault = parse_request(whole)
    assert isinstance(fault, str)
    assert "charter.colour" in fault


def test_a_sender_is_no_part_of_a_request() -> None:
    models: list[type[BaseModel]] = [SpawnRequest, ActRequest, FailedRequest, Order]
    models += [action.args for action in ACTIONS.values()]
    fields = {name for model in models for name in model.model_fields}
    assert fields.isdisjoint({"sender", "requester", "by", "incarnation", "path"})


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"name": "a/b"}, "charter.name"),
        ({"name": ""}, "charter.name"),
        ({"role": ".."}, "charter.role"),
        ({"task": ""}, "charter.task"),
        ({"budget": {"dollars": 1}}, "charter.budget"),
        ({"budget": {"tokens": -1}}, "charter.budget"),
        ({"privileges": [""]}, "charter.privileges"),
        ({"files": ["x"] * 513}, "charter.files"),
    ],
)
def test_a_charter_that_cannot_be_meant_names_its_field(
    changed: dict[str, Any], named: str
) -> None:
    data = {
        "type": "spawn",
        "key": "k",
        "charter": {"role": "r", "name": "n", "task": "t", **changed},
    }
    fault = parse_request(data)
    assert isinstance(fault, str)
    assert named in fault


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(
    st.sampled_from(["spawn", "act", "failed", "gone", "dance"]),
    st.dictionaries(st.text(max_size=9), _json),
)
def test_no_data_breaks_the_reading(type: str, data: dict[str, Any]) -> None:
    for found in (
        parse_request(data),
        parse_request(data | {"type": type, "charter": data, "act": data}),
    ):
        assert found
    assert isinstance(parse_order(data), str | Order)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"order": "o"},
        {"order": "o", "verb": "dance", "target": "x"},
        {"order": "o", "verb": "fund", "target": "sob", "amounts": {"gold": 5}},
        {"order": "o", "verb": "freeze"},
        {"verb": "freeze", "target": "x"},
        {"order": "o", "verb": ["freeze"], "target": "x"},
    ],
)
def test_an_order_that_cannot_be_read_is_a_sentence(data: dict[str, Any]) -> None:
    assert isinstance(parse_order(data), str)
