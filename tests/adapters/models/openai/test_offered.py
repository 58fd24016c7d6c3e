"""What is offered, in bytes, and that a shorter schema says the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pytest

from swarmd.adapters.config.loader import load
from swarmd.adapters.models.openai.compact import SHARED, compact, dump
from swarmd.adapters.models.openai.offered import reply_grammar, told_with_schema, tools_of
from swarmd.core.agent.seat_moves import offer_to_seat
from swarmd.core.model.functions import BUILT_IN, Offer
from swarmd.core.model.moves import MOVE_TYPES

Json = dict[str, Any]

DECLARED: Final = load()
SEAT: Final = "seat"

# In each call of a seat or of an agent of the role. What makes one larger has to be worth it in all
# calls: who adds a field says less elsewhere, or raises the bound.
TOOLS_BYTES_MAX: Final[Mapping[str, int]] = {
    SEAT: 7_600,
    "executive": 7_200,
    "lead": 7_000,
    "analyst": 2_500,
    "researcher": 2_200,
    "writer": 2_500,
}
TOLD_BYTES_MAX: Final[Mapping[str, int]] = {SEAT: 7_500, "executive": 7_300, "researcher": 2_550}


def offer_of(role: str) -> Offer:
    if role == SEAT:
        return offer_to_seat()
    declared = DECLARED.roles[role]
    return Offer((*declared.moves, "use"), tuple(BUILT_IN[name] for name in declared.functions))


@pytest.mark.parametrize("role", TOOLS_BYTES_MAX)
def test_the_tools_of_a_role_are_so_many_bytes_at_most(role: str) -> None:
    assert sum(len(dump(tool)) for tool in tools_of(offer_of(role))) <= TOOLS_BYTES_MAX[role]


@pytest.mark.parametrize("role", TOLD_BYTES_MAX)
def test_a_schema_that_is_told_in_words_is_so_many_bytes_at_most(role: str) -> None:
    assert len(told_with_schema("", offer_of(role))) <= TOLD_BYTES_MAX[role]


@pytest.mark.parametrize("role", TOOLS_BYTES_MAX)
def test_whatever_is_offered_is_the_same_when_it_is_made_again(role: str) -> None:
    assert dump(tools_of(offer_of(role))) == dump(tools_of(offer_of(role)))
    assert dump(reply_grammar(offer_of(role))) == dump(reply_grammar(offer_of(role)))


def test_a_grammar_closes_every_object_and_says_what_each_requires() -> None:
    moves = [name for name in MOVE_TYPES if name != "use"]
    grammar = reply_grammar(Offer((*moves, "use"), tuple(BUILT_IN.values())))
    objects = [node for node in _nodes(grammar) if "properties" in node]
    assert len(objects) > len(moves)
    for node in objects:
        assert node["additionalProperties"] is False
        assert set(node.get("required", ())) <= set(node["properties"])
    charter = next(node for node in objects if "task" in node["properties"])
    assert charter["required"] == ["role", "name", "task"]


def test_a_tool_is_closed_and_requires_what_its_move_requires() -> None:
    for tool in tools_of(offer_to_seat()):
        schema = tool["parameters"]
        required = MOVE_TYPES[tool["name"]].model_json_schema().get("required", [])
        assert schema["additionalProperties"] is False
        assert schema.get("required", []) == [name for name in required if name != "move"]


def test_no_reference_has_anything_beside_it() -> None:
    """There are servers that turn such a schema away, and others that do not read it."""
    for role in TOOLS_BYTES_MAX:
        schemas = [tool["parameters"] for tool in tools_of(offer_of(role))]
        for schema in [*schemas, reply_grammar(offer_of(role))]:
            references = [node for node in _nodes(schema) if "$ref" in node]
            assert all(set(node) == {"$ref"} for node in references)


# --- the same in fewer bytes --------------------------------------------------------------------

_LINE: Final[Json] = {"title": "Line", "type": "string", "description": "at most 2,000 characters"}


def test_what_stands_more_than_once_is_said_once_and_means_the_same() -> None:
    schema = {"type": "object", "properties": dict.fromkeys("abcd", _LINE)}
    shorter = compact(schema)
    assert shorter["properties"]["a"] == {"$ref": "#/$defs/Line"}
    assert len(dump(shorter)) < len(dump(schema))
    assert _resolved(shorter) == _untitled(schema)


def test_what_would_be_longer_as_a_definition_stays_where_it_is() -> None:
    schema = {"properties": {name: {"title": "Line", "type": "string"} for name in "ab"}}
    assert compact(schema) == {"properties": {"a": {"type": "string"}, "b": {"type": "string"}}}


def test_what_is_said_of_one_form_at_several_places_is_all_kept() -> None:
    amounts: Json = {
        "title": "Amounts",
        "type": "object",
        "properties": {"tokens": {}, "calls": {}},
    }
    schema = {
        "properties": {
            name: amounts | {"description": f"for `{name}`"} for name in ("one", "two", "three")
        }
    }
    defined = compact(schema)["$defs"]["Amounts"]
    assert defined["description"] == "for `one`; for `two`; for `three`"


def test_a_definition_that_is_used_once_stands_in_its_place_with_what_is_said_beside_it() -> None:
    used = {"properties": {"at": {"$ref": "#/$defs/At", "description": "where"}}}
    schema = used | {"$defs": {"At": {"type": "string"}}}
    assert compact(schema) == {"properties": {"at": {"type": "string", "description": "where"}}}


def test_a_definition_that_refers_to_itself_stays_one() -> None:
    tree = {"type": "object", "properties": {"below": {"$ref": "#/$defs/Tree"}}}
    schema = {"properties": {"tree": {"$ref": "#/$defs/Tree"}}, "$defs": {"Tree": tree}}
    assert compact(schema) == schema


def test_fields_that_are_named_as_keywords_are_fields() -> None:
    schema = {"properties": {"title": _LINE, "enum": _LINE, "$ref": _LINE, "default": _LINE}}
    assert _resolved(compact(schema)) == _untitled(schema)


def test_values_are_no_schemas() -> None:
    schema = {"enum": [{"title": "Line"}], "default": {"title": "Line"}, "const": {"title": "Line"}}
    assert compact(schema) == schema


def _nodes(schema: Any) -> list[Json]:
    inner = schema if isinstance(schema, list) else []
    if isinstance(schema, dict):
        maps = [schema[key] for key in ("properties", "$defs") if key in schema]
        inner = [one for named in maps for one in named.values()]
        inner += [v for k, v in schema.items() if k in ("items", "anyOf", "oneOf")]
    own = [schema] if isinstance(schema, dict) else []
    return own + [node for one in inner for node in _nodes(one)]


def _resolved(schema: Json) -> Json:
    """With each reference in words."""
    defs = schema.get("$defs", {})
    fields = {
        name: defs[one["$ref"].rpartition("/")[2]] if set(one) == {"$ref"} else one
        for name, one in schema["properties"].items()
    }
    rest = {key: value for key, value in schema.items() if key not in ("properties", "$defs")}
    return rest | {"properties": fields}


def _untitled(schema: Json) -> Json:
    fields = {
        name: {key: value for key, value in one.items() if key != "title"}
        for name, one in schema["properties"].items()
    }
    assert all(one["title"] in SHARED for one in schema["properties"].values())
    return schema | {"properties": fields}
