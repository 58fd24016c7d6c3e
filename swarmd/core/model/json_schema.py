"""The part of JSON Schema that a check may use. Pure.

What is not of this part is refused when the charter is read: a keyword that nobody looks at would
promise what is not checked. There are no patterns and no references, so that looking takes time in
proportion to the text.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NoReturn

DEPTH_MAX: Final = 8  # schemas within each other
# Items that a schema may demand, those of lists within lists multiplied: the supervisor tries it
# on a sample of that many.
ITEMS_MAX: Final = 1_000

# Many readers of JSON count in doubles: beyond 2^53 - 1 two whole numbers are the same.
EXACT_MAX: Final = 2**53 - 1

Schema = Mapping[str, Any]

TYPES: Final = ("object", "array", "string", "number", "integer", "boolean", "null")


def schema_of(text: str) -> Schema:
    """Raises `ValueError` with a sentence that names the place where it is none of ours."""
    try:
        found = read_json(text)
    except (ValueError, RecursionError):
        raise ValueError("it is no JSON") from None
    return _checked(found, "$", DEPTH_MAX, ITEMS_MAX)


def read_json(text: str) -> Any:
    """As every reader of JSON understands it. Raises `ValueError`, also for `NaN`, `Infinity`, a
    number that is too large, and a name that stands twice in one object; `RecursionError` where it
    is too deep.
    """
    return json.loads(
        text, parse_constant=_no_number, parse_float=_finite, object_pairs_hook=_once_each
    )


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _no_number(text)


def _once_each(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


def types_of(schema: Schema) -> tuple[str, ...]:
    """Those that a value may have; empty where it may have any."""
    said = schema.get("type", ())
    return (said,) if isinstance(said, str) else tuple(said)


def _checked(schema: object, path: str, depth: int, items: int) -> Schema:
    """`items` are as many as it may demand."""
    if not isinstance(schema, dict):
        raise ValueError(f"{path} is no schema")
    if not depth:
        raise ValueError(f"{path} is more than {DEPTH_MAX} schemas deep")
    for keyword, value in schema.items():
        _check_keyword(keyword, value, path)
    demanded = schema.get("minItems", 0)
    if demanded > items:
        raise ValueError(f"{path}: more than {ITEMS_MAX:,} items are demanded")
    for name, inner in schema.get("properties", {}).items():
        _checked(inner, f"{path}.{name[:40]}", depth - 1, items)
    if "items" in schema:
        _checked(schema["items"], f"{path}[]", depth - 1, items // max(1, demanded))
    return schema


def _check_keyword(keyword: str, value: object, path: str) -> None:
    if keyword not in _KEYWORDS:
        raise ValueError(f"{path}: `{keyword[:40]}` is none of {', '.join(_KEYWORDS)}")
    is_right, what = _KEYWORDS[keyword]
    if not is_right(value):
        raise ValueError(f"{path}: `{keyword}` must be {what}")


def _is_number(value: object) -> bool:
    """Not a whole number that other readers of JSON take for another, nor one of many digits."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return abs(value) <= EXACT_MAX if isinstance(value, int) else math.isfinite(value)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and _is_number(value) and value >= 0


def _is_type(value: object) -> bool:
    if isinstance(value, list):
        return bool(value) and all(isinstance(one, str) and one in TYPES for one in value)
    return isinstance(value, str) and value in TYPES


def _are_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _are_plain(value: object) -> bool:
    return isinstance(value, list) and bool(value) and not any(map(_is_nested, value))


def _is_nested(value: object) -> bool:
    return isinstance(value, dict | list)


_TEXT: Final = (lambda value: isinstance(value, str), "a text")
_NUMBER: Final = (_is_number, "a number")

_KEYWORDS: Final[Mapping[str, tuple[Callable[[Any], bool], str]]] = {
    "type": (_is_type, f"one of {', '.join(TYPES)}, or a list of these"),
    "required": (_are_names, "a list of names"),
    "properties": (lambda value: isinstance(value, dict), "an object"),
    "additionalProperties": (lambda value: isinstance(value, bool), "true or false"),
    "items": (lambda value: isinstance(value, dict), "a schema"),
    "minItems": (_is_count, "a whole number"),
    "enum": (_are_plain, "a list of texts, numbers, true, false or null"),
    "minimum": _NUMBER,
    "maximum": _NUMBER,
    # They say nothing of a value.
    "title": _TEXT,
    "description": _TEXT,
}
