"""Moves as models write them: slips that can only mean one thing are put right, and of what is
left all faults are said, in our words and with the form that would be right. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from swarmd.core.model.charter import Charter
from swarmd.core.model.moves import MOVE_TYPES

Json = dict[str, Any]
Place = tuple[int | str, ...]

# Of one move: a model mends them all at once, and a list without an end teaches it nothing.
FAULTS_MAX: Final = 8
_NAME_CHARS_MAX: Final = 80
_DEPTH_SHOWN: Final = 2  # of a form: what lies deeper is `{…}`


# --- slips ----------------------------------------------------------------------------------------


def written_anew(raw: Any) -> list[Any]:
    """What was written as one move, as the moves that it can only mean."""
    if not isinstance(raw, Mapping):
        return [raw]
    if inner := _moves_inside(raw):
        return [fixed for one in inner for fixed in written_anew(one)]
    fix = _FIXES.get(str(raw.get("move")))
    return [fix(raw) if fix is not None else raw]


def _moves_inside(raw: Mapping[str, Any]) -> list[Json]:
    """The moves of an answer that was written whole into one of its moves."""
    inner = raw.get("moves")
    if not isinstance(inner, list) or not set(raw) <= {"move", "moves"}:
        return []
    named = [{"move": raw.get("move"), **one} for one in inner if isinstance(one, Mapping)]
    return named if len(named) == len(inner) else []


def _motion_lifted(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """`{"motion": "charter", "executives": …}`: the motion's own fields stand beside its kind, or
    its reason outside of it.
    """
    motion = _decoded(raw.get("motion"))
    beside = {key: value for key, value in raw.items() if key not in ("move", "motion")}
    if isinstance(motion, str):
        return {"move": raw["move"], "motion": {"motion": motion, **beside}}
    if isinstance(motion, Mapping) and not set(beside) & set(motion):
        return {"move": raw["move"], "motion": {**motion, **beside}}
    return raw


def _charter_lifted(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """A spawn whose charter's fields stand beside its key, or whose charter is text."""
    charter = _decoded(raw.get("charter"))
    if isinstance(charter, Mapping):
        return {**raw, "charter": charter}
    fields = {key: value for key, value in raw.items() if key in Charter.model_fields}
    if "charter" in raw or not {"role", "name", "task"} <= set(fields):
        return raw
    rest = {key: value for key, value in raw.items() if key not in fields}
    return {**rest, "charter": fields}


def _decoded(value: Any) -> Any:
    """An object that was written as JSON within a text."""
    if not isinstance(value, str) or not value.lstrip().startswith("{"):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


_FIXES: Final[Mapping[str, Callable[[Mapping[str, Any]], Mapping[str, Any]]]] = {
    "propose": _motion_lifted,
    "spawn": _charter_lifted,
}


# --- faults ---------------------------------------------------------------------------------------


def faults_of(error: ValidationError, schema: Json) -> str:
    """All that is wrong with a move or with a function's arguments. `schema` is what they should
    have fitted.
    """
    faults = _without_what_follows(error.errors(include_url=False))
    said = list(dict.fromkeys(_said(fault, schema) for fault in faults))
    more = f"; and {len(said) - FAULTS_MAX} more faults" if len(said) > FAULTS_MAX else ""
    return "; ".join(said[:FAULTS_MAX]) + more


def _without_what_follows(faults: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """A list whose entries are at fault is not too short as well."""
    above = {fault["loc"][:depth] for fault in faults for depth in range(len(fault["loc"]))}
    return [fault for fault in faults if fault["type"] != "too_short" or fault["loc"] not in above]


def form_of(name: str) -> str:
    """What a move may look like, with its fields that must be there."""
    return json.dumps(_form(schema_of(name), _DEPTH_SHOWN, schema_of(name)), ensure_ascii=False)


@cache
def schema_of(name: str) -> Json:
    """The JSON schema of a move without its tag, which a call of it does not have."""
    schema = MOVE_TYPES[name].model_json_schema()
    properties = {key: value for key, value in schema["properties"].items() if key != "move"}
    required = [key for key in schema.get("required", ()) if key != "move"]
    return {**schema, "properties": properties, "required": required}


def _said(fault: ErrorDetails, schema: Json) -> str:
    kind, place = fault["type"], fault["loc"]
    where, given = _shown(place, schema), fault.get("ctx", {})
    if kind == "missing":
        return f"`{where}` is missing"
    if kind == "extra_forbidden":
        return f"`{where}` is no field here{_there_are(place[:-1], schema)}"
    if kind in _OBJECT_TYPES:
        form = json.dumps(_form(_at(place, schema), 1, schema), ensure_ascii=False)
        return f"`{where}` must be an object: {form}"
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        tag = str(given["discriminator"]).strip("'")
        return f"`{where}.{tag}` must be one of {_tags_at(place, schema)}"
    return f"`{where}` {_SAID.get(kind, _as_it_is)({**given, **fault})}"


_OBJECT_TYPES: Final = frozenset(
    {"model_type", "dict_type", "model_attributes_type", "dataclass_type", "mapping_type"}
)


def _as_it_is(fault: Mapping[str, Any]) -> str:
    return f"does not fit: {fault['msg']}"


def _length_of(fault: Mapping[str, Any]) -> int:
    value = fault.get("input")
    return len(value) if isinstance(value, str | list | tuple | dict) else 0


_SAID: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "literal_error": lambda f: f"must be {str(f['expected']).replace(chr(39), chr(96))}",
    "enum": lambda f: f"must be {str(f['expected']).replace(chr(39), chr(96))}",
    "string_type": lambda _: "must be a text",
    "string_too_long": lambda f: (
        f"has {_length_of(f):,} characters, and at most {f['max_length']:,} are taken"
    ),
    "string_too_short": lambda _: "must not be empty",
    "string_pattern_mismatch": lambda _: (
        "must be one word of letters, digits, `_`, `-` and `.`, at most 64 characters long"
    ),
    "list_type": lambda _: "must be a list",
    "tuple_type": lambda _: "must be a list",
    "too_long": lambda f: (
        f"has {f['actual_length']:,} entries, and at most {f['max_length']:,} are taken"
    ),
    "too_short": lambda f: f"needs at least {f['min_length']} entry",
    "int_type": lambda _: "must be a whole number",
    "int_parsing": lambda _: "must be a whole number",
    "int_from_float": lambda _: "must be a whole number",
    "float_type": lambda _: "must be a number",
    "float_parsing": lambda _: "must be a number",
    "bool_type": lambda _: "must be true or false",
    "bool_parsing": lambda _: "must be true or false",
    "greater_than_equal": lambda f: f"must be at least {f['ge']:g}",
    "greater_than": lambda f: f"must be more than {f['gt']:g}",
    "less_than_equal": lambda f: f"must be at most {f['le']:g}",
    "value_error": lambda f: str(f["error"]),
}


def _there_are(place: Place, schema: Json) -> str:
    fields = _at(place, schema).get("properties", {})
    hidden = ("tier", "parent")  # minted by the supervisor: they are never offered
    named = ", ".join(f"`{name}`" for name in fields if name not in hidden)
    return f"; there are {named}" if named else ""


# --- places ---------------------------------------------------------------------------------------


def _at(place: Place, schema: Json) -> Json:
    """The schema of what stands at that place; empty where there is none."""
    *_, last = _along(place, schema)
    return last


def _along(place: Place, schema: Json) -> Iterator[Json]:
    at = _resolved(schema, schema)
    yield at
    for step in place:
        at = _resolved(_below(at, step), schema)
        yield at


def _below(at: Json, step: int | str) -> Json:
    if isinstance(step, int):
        return at.get("items", {}) or {}
    found = at.get("properties", {}).get(step)
    if found is None:
        # The tag of a union stands among the steps, and is no field of what was written.
        tagged = at.get("discriminator", {}).get("mapping", {}).get(step)
        found = {"$ref": tagged} if tagged else {}
    return dict(found)


def _resolved(schema: Json, root: Json) -> Json:
    while True:
        if "$ref" in schema:
            schema = root.get("$defs", {}).get(str(schema["$ref"]).rpartition("/")[2], {})
        elif len(typed := [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]) == 1:
            schema = typed[0]
        else:
            return schema


def _tags_at(place: Place, schema: Json) -> str:
    tags = _at(place, schema).get("discriminator", {}).get("mapping", {})
    return ", ".join(f"`{tag}`" for tag in tags)


def _shown(place: Place, schema: Json) -> str:
    """`charter.goals[2]`, without the tags of unions, which the model did not write."""
    shown = ""
    for step, at in zip(place, _along(place, schema), strict=False):
        is_tag = isinstance(step, str) and step in at.get("discriminator", {}).get("mapping", {})
        if isinstance(step, int):
            shown += f"[{step}]"
        elif not is_tag:
            shown += f".{step[:_NAME_CHARS_MAX]}"
    return shown.removeprefix(".") or "the whole"


def _form(schema: Json, depth: int, root: Json) -> Any:
    """An example that has all that must be there."""
    at = _resolved(schema, root)
    if "const" in at:
        return at["const"]
    if "enum" in at:
        return " | ".join(map(str, at["enum"]))
    if "discriminator" in at:
        first = next(iter(at["discriminator"]["mapping"].values()))
        return _form({"$ref": first}, depth, root)
    if at.get("type") == "object":
        return _object_form(at, depth, root)
    return _EXAMPLES.get(str(at.get("type")), "…")


def _object_form(at: Json, depth: int, root: Json) -> Json:
    required = at.get("required", ())
    if depth == 0 or not required:
        return {"…": "…"}
    properties = at.get("properties", {})
    return {key: _form(properties[key], depth - 1, root) for key in required}


_EXAMPLES: Final[Mapping[str, Any]] = {
    "array": ["…"],
    "integer": 1,
    "number": 1.5,
    "boolean": True,
}
