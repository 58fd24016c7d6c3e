"""JSON in the form of a schema: what is taken, where a fault is, and which schemas there are."""

from __future__ import annotations

import json
from time import perf_counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmd.core.model.json_schema import DEPTH_MAX, ITEMS_MAX, TYPES, schema_of
from swarmd.core.tasks.json_check import FAULTS_SHOWN, json_fault

ROW = {
    "type": "object",
    "required": ["name", "price"],
    "properties": {
        "name": {"type": "string"},
        "price": {"type": "number", "minimum": 0, "maximum": 10},
        "kind": {"enum": ["a", "b", 1, None]},
    },
    "additionalProperties": False,
}
ROWS = {"type": "array", "minItems": 1, "items": ROW}


def fault(value: Any, schema: Any = ROWS) -> str:
    return json_fault(json.dumps(value), schema_of(json.dumps(schema)))


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ([{"name": "x", "price": 0}], ""),
        ([{"name": "x", "price": 10.0, "kind": None}], ""),
        ([{"name": "x", "price": 1, "kind": 1.0}], ""),
        ({}, "$ is object and not array"),
        ([], "$ has 0 items and not 1"),
        ([1], "$[0] is integer and not object"),
        ([{"name": "x"}], "$[0].price is missing"),
        ([{"name": 1, "price": 1}], "$[0].name is integer and not string"),
        ([{"name": "x", "price": True}], "$[0].price is boolean and not number"),
        ([{"name": "x", "price": -0.5}], "$[0].price is less than 0"),
        ([{"name": "x", "price": 11}], "$[0].price is more than 10"),
        ([{"name": "x", "price": 1, "kind": True}], '$[0].kind is none of ["a", "b", 1, null]'),
        ([{"name": "x", "price": 1, "a b": 1}], '$[0]["a b"] has no place there'),
        (
            [{"price": 1, "name": "x"}, {"price": 12}],
            "$[1].name is missing; $[1].price is more than 10",
        ),
    ],
)
def test_a_fault_is_told_with_its_place(value: Any, told: str) -> None:
    assert fault(value) == told


@pytest.mark.parametrize(
    ("types", "values"),
    [
        ("integer", [1, 1.0, -3]),
        ("number", [1, 1.0, -3, 1.5]),
        ("boolean", [True]),
        ("null", [None]),
        (["string", "null"], ["", None]),
    ],
)
def test_a_type_takes_its_own_values_and_no_others(types: Any, values: list[Any]) -> None:
    every: list[Any] = [1, 1.0, -3, 1.5, True, None, "", [], {}]
    taken = [one for one in every if not fault(one, {"type": types})]
    assert list(map(json.dumps, taken)) == list(
        map(json.dumps, [one for one in every if _is_in(one, values)])
    )


def _is_in(one: Any, values: list[Any]) -> bool:
    return any(type(one) is type(value) and one == value for value in values)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "it is no JSON: Expecting value in line 1, column 1"),
        ('[\n{"name": }]', "it is no JSON: Expecting value in line 2, column 10"),
        ("NaN", "it is no JSON that can be read"),
        ("[1e999]", "it is no JSON that can be read"),
        ('{"a": 1, "a": 2}', "it is no JSON that can be read"),
        ("9" * 5_000, "it is no JSON that can be read"),
        ("[" * 100_000, "it is no JSON that can be read"),
        ("words before ```json", "it is no JSON: Expecting value in line 1, column 1"),
    ],
)
def test_what_is_no_json_is_told_as_such(text: str, told: str) -> None:
    assert json_fault(text, schema_of("{}")) == told


def test_what_is_told_can_be_stored() -> None:
    schema = schema_of('{"additionalProperties": false}')
    json_fault('{"\\ud800": 1}', schema).encode()


def test_of_a_report_the_last_block_that_is_marked_is_read() -> None:
    text = "First\n```json\n[]\n```\nthen\n```JSON\n[1]\n```\nand\n```\n[1, 2]\n```"
    schema = schema_of('{"type": "array", "minItems": 2}')
    assert json_fault(text, schema) == "$ has 1 items and not 2"


def test_of_many_faults_a_few_are_told() -> None:
    told = fault([1] * 9)
    assert told.count(";") == FAULTS_SHOWN
    assert told.endswith("; and more")


def test_long_names_of_a_text_are_cut() -> None:
    assert len(fault([{"name": "x", "price": 1, "y" * 500: 1}])) < 100


def test_many_marks_are_read_in_proportion_to_the_text() -> None:
    text, begun = "```json\n" * 100_000, perf_counter()
    json_fault(text, schema_of("{}"))
    assert perf_counter() - begun < 2


# --- schemas --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ("{", "it is no JSON"),
        ('{"minimum": NaN}', "it is no JSON"),
        ('{"minimum": 1e999}', "it is no JSON"),
        ('{"minimum": ' + "9" * 400 + "}", "$: `minimum` must be a number"),
        ('{"minItems": ' + "9" * 400 + "}", "$: `minItems` must be a whole number"),
        ('{"type": "string", "type": "array"}', "it is no JSON"),
        ('{"minimum": true}', "$: `minimum` must be a number"),
        ("[]", "$ is no schema"),
        ('{"pattern": "a"}', "$: `pattern` is none of type, required"),
        ('{"$ref": "#"}', "$: `$ref` is none of type, required"),
        ('{"type": "text"}', "$: `type` must be one of object, array"),
        ('{"type": []}', "$: `type` must be one of object, array"),
        ('{"enum": [[1]]}', "$: `enum` must be a list of texts"),
        ('{"minItems": -1}', "$: `minItems` must be a whole number"),
        ('{"items": true}', "$: `items` must be a schema"),
        ('{"properties": {"a": {"type": 1}}}', "$.a: `type` must be one of"),
        ('{"items": {"items": {"const": 1}}}', "$[][]: `const` is none of type"),
    ],
)
def test_a_schema_of_another_kind_is_refused_with_its_place(schema: str, told: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        schema_of(schema)
    assert str(refused.value).startswith(told)


def test_a_schema_is_bounded_in_depth_and_in_what_it_demands() -> None:
    deep: Any = {}
    for _ in range(DEPTH_MAX - 1):
        deep = {"items": deep}
    schema_of(json.dumps(deep))
    with pytest.raises(ValueError, match="schemas deep"):
        schema_of(json.dumps({"items": deep}))
    many = {"minItems": ITEMS_MAX // 2, "items": {"minItems": 2}}
    schema_of(json.dumps(many))
    with pytest.raises(ValueError, match="items are demanded"):
        schema_of(json.dumps(many | {"items": {"minItems": 3}}))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["a", "b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner),
    max_leaves=8,
)
SCHEMA = st.recursive(
    st.fixed_dictionaries({}, optional={"type": st.sampled_from(TYPES), "minimum": st.just(1)}),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "properties": st.dictionaries(st.sampled_from("ab"), inner),
            "required": st.just(["a"]),
            "additionalProperties": st.booleans(),
            "items": inner,
            "minItems": st.integers(0, 2),
        },
    ),
    max_leaves=4,
)


@given(JSON, SCHEMA, st.data())
def test_a_schema_that_says_less_takes_no_less(
    value: Any, schema: dict[str, Any], data: st.DataObject
) -> None:
    assert fault(value, {}) == ""
    # Without `properties`, `additionalProperties` says more.
    gone = data.draw(st.sampled_from(["type", "minimum", "required", "items", "minItems"]))
    less = {keyword: said for keyword, said in schema.items() if keyword != gone}
    assert not fault(value, less) or fault(value, schema)
