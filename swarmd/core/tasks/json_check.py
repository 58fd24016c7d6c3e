"""Whether a text is JSON in the form that a schema gives. Pure and deterministic."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final

from swarmd.core.model.checks import number_text
from swarmd.core.model.json_schema import Schema, read_json, types_of

# Faults of one text that are told: who mends these looks at the others, too.
FAULTS_SHOWN: Final = 5
# Of a name or value of the text that is told.
SHOWN_CHARS_MAX: Final = 40


def json_fault(text: str, schema: Schema) -> str:
    """What is wrong, each with its place (`$.rows[3].price`); empty where nothing is. Of a text
    with blocks marked as `json` it is the last of these.
    """
    try:
        value = read_json(_json_in(text))
    except json.JSONDecodeError as error:
        return f"it is no JSON: {error.msg} in line {error.lineno}, column {error.colno}"
    except (ValueError, RecursionError):
        return "it is no JSON that can be read"
    found = list(islice(_faults(value, schema, "$"), FAULTS_SHOWN + 1))
    return "; ".join([*found[:FAULTS_SHOWN], *(["and more"] if len(found) > FAULTS_SHOWN else [])])


def _json_in(text: str) -> str:
    lines = text.split("\n")
    begun, found = None, lines
    for number, line in enumerate(lines):
        mark = line.strip().casefold()
        if begun is None and mark == "```json":
            begun = number + 1
        elif begun is not None and mark == "```":
            begun, found = None, lines[begun:number]
    return "\n".join(found)


def _faults(value: Any, schema: Schema, path: str) -> Iterator[str]:
    kind, types = _type_of(value), types_of(schema)
    if types and not _is_of(kind, types):
        yield f"{path} is {kind} and not {' or '.join(types)}"
        return
    if "enum" in schema and not any(_is_same(value, one) for one in schema["enum"]):
        yield f"{path} is none of {_shown(schema['enum'])}"
    match value:
        case dict():
            yield from _faults_of_object(value, schema, path)
        case list():
            yield from _faults_of_list(value, schema, path)
        case int() | float() if kind != "boolean":
            yield from _faults_of_number(value, schema, path)


def _faults_of_object(value: dict[str, Any], schema: Schema, path: str) -> Iterator[str]:
    known = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{_at(path, name)} is missing"
    for name, inner in value.items():
        if name in known:
            yield from _faults(inner, known[name], _at(path, name))
        elif not schema.get("additionalProperties", True):
            yield f"{_at(path, name)} has no place there"


def _faults_of_list(value: list[Any], schema: Schema, path: str) -> Iterator[str]:
    if len(value) < schema.get("minItems", 0):
        yield f"{path} has {len(value)} items and not {schema['minItems']}"
    for number, inner in enumerate(value if "items" in schema else ()):
        yield from _faults(inner, schema["items"], f"{path}[{number}]")


def _faults_of_number(value: float, schema: Schema, path: str) -> Iterator[str]:
    if "minimum" in schema and value < schema["minimum"]:
        yield f"{path} is less than {number_text(schema['minimum'])}"
    if "maximum" in schema and value > schema["maximum"]:
        yield f"{path} is more than {number_text(schema['maximum'])}"


def _type_of(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case str():
            return "string"
        case int() | float():
            return "integer" if value == value // 1 else "number"
        case list():
            return "array"
        case _:
            return "object"


def _is_of(kind: str, types: Sequence[str]) -> bool:
    return kind in types or (kind == "integer" and "number" in types)


def _is_same(value: Any, other: Any) -> bool:
    """As JSON has it: `1` and `1.0` are the same, `1` and `true` are not."""
    return bool(value == other) and isinstance(value, bool) == isinstance(other, bool)


def _at(path: str, name: str) -> str:
    return (
        f"{path}.{name}"
        if name.isidentifier() and len(name) <= SHOWN_CHARS_MAX
        else (f"{path}[{_shown(name)}]")
    )


def _shown(value: Any) -> str:
    # Half of a pair of surrogates is JSON, and no text that could be stored.
    text = json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= SHOWN_CHARS_MAX else f"{text[:SHOWN_CHARS_MAX]}…"
