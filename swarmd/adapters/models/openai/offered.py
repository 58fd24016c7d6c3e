"""What may be answered, as tools and as one JSON schema: the same for every wire. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, cast

from swarmd.adapters.models.openai.compact import SHARED, compact, dump, map_inside
from swarmd.adapters.models.openai.reading import USE
from swarmd.core.model.charter import AMOUNT_MAX
from swarmd.core.model.functions import Function, Offer
from swarmd.core.model.moves import MOVE_TYPES

Json = dict[str, Any]

# A grammar-constrained server (llama.cpp, Ollama) spells a repetition out and refuses, or crawls
# under, one as large as a file list may be. What is not offered is still checked when it is read.
REPETITION_MAX: Final = 8
_DROPPED: Final = frozenset({"discriminator", "maxLength", "minLength"})
_HOW: Final = (
    'Answer with one JSON object and nothing else: {"moves": [...]}, your moves in order.'
    " Each move is an object that fits one of these schemas and has no other fields:\n"
)


def tools_of(offer: Offer) -> list[Json]:
    """Each move a tool, and each function one of its own in the place of `use`."""
    tools = [(name, _move_schema(name)) for name in offer.moves if name != USE]
    if "propose" in offer.moves:
        tools = [(name, _without_forms(schema)) for name, schema in tools]
    tools += [(f.call_name, _function_schema(f)) for f in offer.functions]
    return [_tool_of(name, schema) for name, schema in tools]


def tool_names(offer: Offer) -> tuple[str, ...]:
    return (
        *(name for name in offer.moves if name != USE),
        *(function.call_name for function in offer.functions),
    )


def told_with_schema(shared: str, offer: Offer) -> str:
    """What is said first where an answer is JSON text.

    Most local servers hold the model to the schema without ever showing it to the model: one that
    was not told what the fields mean fills them with valid nonsense. Where the server takes no
    schema, this is all that the model has of it.
    """
    return f"{shared}\n\n{_told_schema(offer)}"


# Each mission has other words before it, and the same offers: to make it takes longer than a turn's
# other work.
@lru_cache(maxsize=64)
def _told_schema(offer: Offer) -> str:
    schema = compact(_drop_keywords(_reply_schema(offer), _as_told))
    told = f"{_HOW}{dump(schema['properties']['moves']['items'])}"
    return f"{told}\nwith $defs {dump(schema['$defs'])}" if "$defs" in schema else told


def reply_grammar(offer: Offer) -> Json:
    """The schema that a server is to hold an answer to."""
    return compact(_drop_keywords(_reply_schema(offer), _as_grammar))


def _tool_of(name: str, schema: Json) -> Json:
    description = schema.pop("description", "")
    told = map_inside(schema, lambda inner: _drop_keywords(inner, _as_implied))
    return {"name": name, "description": description, "parameters": compact(told)}


def _move_schema(name: str) -> Json:
    schema = _make_portable(MOVE_TYPES[name].model_json_schema())
    # The function's name says which move it is. Tier and parent are minted by the supervisor: a
    # model that isn't offered them seldom claims them, and if it does, the law answers.
    hidden = {"move", "tier", "parent"} if name == "spawn" else {"move"}
    schema["properties"] = {k: v for k, v in schema["properties"].items() if k not in hidden}
    # What is said of a form as a whole is for who reads the code. What each motion is for is told
    # by the procedures, and what a charter is by its fields.
    for form in schema.get("$defs", {}).values():
        form.pop("description", None)
    return _require(schema, [k for k in schema.get("required", []) if k not in hidden])


def _require(schema: Json, names: list[str]) -> Json:
    """With `required` where anything is."""
    others = {key: value for key, value in schema.items() if key != "required"}
    return others | ({"required": names} if names else {})


def _without_forms(schema: Json) -> Json:
    """A changed motion has the forms that `propose` has: they are a third of a seat's prompt, and
    are told once. What is written is checked against them as ever.
    """
    motion = schema["properties"].get("motion", {})
    if "motion" in schema.get("required", ()) or "oneOf" not in motion:
        return schema
    told = f"{motion['description']}, in the form that `propose` takes"
    schema["properties"]["motion"] = {"type": "object", "description": told}
    return {key: value for key, value in schema.items() if key != "$defs"}


def _function_schema(function: Function) -> Json:
    schema = _make_portable(function.args.model_json_schema())
    return {"properties": {}, **schema, "description": function.summary}


def _reply_schema(offer: Offer) -> Json:
    union, defs = _union_of(offer)
    moves = {"type": "array", "minItems": 1, "maxItems": offer.moves_max, "items": {"anyOf": union}}
    schema: Json = {
        "type": "object",
        "properties": {"moves": moves},
        "required": ["moves"],
        "additionalProperties": False,
    }
    return schema | ({"$defs": defs} if defs else {})


def _union_of(offer: Offer) -> tuple[list[Json], Json]:
    """The schemas of which each move has to fit one, and what they refer to."""
    defs: Json = {}
    union: list[Json] = []
    for name in offer.moves:
        if name != USE:
            move = _move_schema(name)
            defs |= move.pop("$defs", {})
            union.append(_tag_schema(move, move=name))
    for function in offer.functions:
        args = _with_own_names(_function_schema(function), function.call_name)
        defs |= args.pop("$defs", {})
        union.append(_use_schema(function, args))
    return union, defs


def _as_implied(keywords: Json) -> tuple[str, ...]:
    """What stands at the top of a tool and is taken to hold for all of it: servers that make a
    grammar of a tool close each object in it.
    """
    return ("additionalProperties",) if keywords.get("additionalProperties") is False else ()


def _as_told(keywords: Json) -> tuple[str, ...]:
    """What of a schema only a grammar needs: a model takes it for granted."""
    return (*_as_implied(keywords), *(("type",) if "const" in keywords else ()))


def _as_grammar(_: Json) -> tuple[str, ...]:
    """What of a schema only a model needs: it is told so already."""
    return ("description", "default")


def _drop_keywords(schema: Json, needless: Callable[[Json], tuple[str, ...]]) -> Json:
    """A schema without the keywords that `needless` names, at every depth."""
    gone = needless(schema)
    kept = {key: value for key, value in schema.items() if key not in gone}
    return map_inside(kept, lambda inner: _drop_keywords(inner, needless))


def _tag_schema(schema: Json, **constants: str) -> Json:
    """An object's schema, with fields before all others that say which of the union it is."""
    tags = {key: {"const": value, "type": "string"} for key, value in constants.items()}
    schema["properties"] = {**tags, **schema["properties"]}
    schema["required"] = [*tags, *schema.get("required", [])]
    return schema


def _with_own_names(schema: Json, prefix: str) -> Json:
    """The schema with its definitions named for it alone: functions come from everywhere, and two
    may call different things by one name.
    """
    if "$defs" not in schema:
        return schema
    renamed = cast(Json, json.loads(dump(schema).replace('"#/$defs/', f'"#/$defs/{prefix}_')))
    return renamed | {"$defs": {f"{prefix}_{name}": one for name, one in renamed["$defs"].items()}}


def _use_schema(function: Function, args: Json) -> Json:
    description, has_args = args.pop("description"), bool(args["properties"])
    schema: Json = {"additionalProperties": False, "description": description, "type": "object"}
    schema["properties"] = {"args": args} if has_args else {}
    schema["required"] = ["args"] if args.get("required") else []
    return _tag_schema(schema, move=USE, function=function.name)


def _make_portable(schema: Json) -> Json:
    """The part of JSON schema that every server understands; the rest only costs tokens."""
    known = {key: value for key, value in schema.items() if key not in _needless_in(schema)}
    if "description" in known:  # some are docstrings, which have lines
        known["description"] = " ".join(known["description"].split())
    return _with_properties(_without_null(map_inside(known, _make_portable)))


def _needless_in(schema: Json) -> set[str]:
    """The keywords of a schema that its reader does without."""
    default = schema.get("default")
    says_nothing = {
        "title": schema.get("title") not in SHARED,
        "maximum": schema.get("maximum", 0) >= AMOUNT_MAX,  # that of doubles: nothing comes near it
        "maxItems": schema.get("maxItems", 0) > REPETITION_MAX,
        "default": default is False or default in (None, "", [], {}),
    }
    return {*_DROPPED, *(keyword for keyword, is_so in says_nothing.items() if is_so)}


def _without_null(plain: Json) -> Json:
    """What may be null may be absent, and one way to say nothing is enough."""
    match plain.get("anyOf"):
        case [{} as typed, {"type": "null"}]:
            rest = {key: value for key, value in plain.items() if key != "anyOf"}
            return cast(Json, typed | rest)
    return plain


def _with_properties(plain: Json) -> Json:
    """Grammars know no `propertyNames`: a map with a closed set of keys is said as an object."""
    if "propertyNames" in plain:
        names = plain.pop("propertyNames")["enum"]
        plain["properties"] = dict.fromkeys(names, plain["additionalProperties"])
        plain["additionalProperties"] = False
    return plain
