"""The errors of a model's validation as faults: with their line, in our words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, get_args, get_origin

from pydantic import BaseModel

from swarmd.adapters.config.faults import NoteFault, field_path, shortened, suggestion
from swarmd.adapters.config.yaml_lines import Located


def note_validation_error(
    error: Mapping[str, Any], model: type[BaseModel], located: Located, note: NoteFault
) -> None:
    if not _is_echo(error):
        path = tuple(part for part in error["loc"] if part != "[key]")
        line, what = _located_fault(error, path, model, located)
        note(line, field_path(path), what)


def _is_echo(error: Mapping[str, Any]) -> bool:
    """Of the faults in a list: pydantic counts only the items without one."""
    return error["type"] == "too_short" and not len(error["input"]) < error["ctx"]["min_length"]


def _located_fault(
    error: Mapping[str, Any],
    path: tuple[str | int, ...],
    model: type[BaseModel],
    located: Located,
) -> tuple[int, str]:
    match error["type"]:
        case "missing":
            return located.line_of(path[:-1]), "is required"
        case "extra_forbidden":
            known = _fields_at(model, path[:-1])
            return located.key_line_of(path), f"is unknown{suggestion(str(path[-1]), known)}"
        case "value_error":
            return located.line_of(path), str(error["ctx"]["error"])
        case _ if "[key]" in error["loc"]:
            return located.key_line_of(path), sentence_of(error)
        case _:
            return located.line_of(path), sentence_of(error)


# By pydantic's names of its errors, which are part of its interface: its sentences are not, and
# change.
_SHOULD: Final = {
    "bool_type": "be a valid boolean",
    "dict_type": "be fields",
    "float_type": "be a valid number",
    "greater_than": "be greater than {gt}",
    "greater_than_equal": "be greater than or equal to {ge}",
    "int_from_float": "be a valid integer",
    "int_type": "be a valid integer",
    "less_than": "be less than {lt}",
    "less_than_equal": "be less than or equal to {le}",
    "literal_error": "be {expected}",
    "model_type": "be fields",
    "string_pattern_mismatch": "match pattern '{pattern}'",
    "string_too_long": "have at most {max_length} characters",
    "string_too_short": "have at least {min_length} characters",
    "string_type": "be a valid string",
    "too_long": "have at most {max_length} items",
    "too_short": "have at least {min_length} items",
    "tuple_type": "be a valid array",
}


def _requirement_of(error: Mapping[str, Any]) -> str:
    """What the value should be, in our words; in pydantic's for an error that the table does not
    have.
    """
    known = _SHOULD.get(error["type"])
    if known is None:
        return re.sub(r"^(?:Input|\w+) should ", "should ", error["msg"])
    facts = error.get("ctx", {})
    whole = {
        name: int(fact)
        for name, fact in facts.items()
        if isinstance(fact, float) and fact.is_integer()
    }
    said = "should " + known.format_map({**facts, **whole})
    return re.sub(r" 1 (character|item)s$", r" 1 \1", said)


def sentence_of(error: Mapping[str, Any]) -> str:
    what = _requirement_of(error)
    value = error["input"]
    if isinstance(value, list):
        return what
    # What was meant as a text and read as something else: `no`, `3`, or a sentence with a colon in
    # it.
    quotes = "; write it in quotes" if error["type"] == "string_type" and value is not None else ""
    was = "fields" if isinstance(value, dict) else shortened(value) or "''"
    return f"{what}, not {was}{quotes}"


def _fields_at(model: type[BaseModel], path: Sequence[str | int]) -> tuple[str, ...]:
    """The fields that `model` knows at `path`."""
    at: Any = model
    for part in path:
        at = get_args(at)[1] if get_origin(at) is dict else at.model_fields[str(part)].annotation
    return tuple(at.model_fields)
