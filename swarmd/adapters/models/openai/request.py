"""Whom we ask, and what is said to an OpenAI-compatible server: pure, no I/O, no SDK.

A request offers exactly the moves that the prompt allows, either as function tools or as one JSON
schema. Which optional fields it has is its form (`form.py`); its answer is read by `events.py`,
`answer.py` and `reading.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, cast

from swarmd.adapters.models.openai.form import Form, Mode
from swarmd.adapters.models.openai.reading import REPLY, USE
from swarmd.core.model.functions import Function, Offer
from swarmd.core.model.moves import MOVE_TYPES, MOVES_MAX
from swarmd.ports.models import Prompt

Json = dict[str, Any]

PROBE_OUTPUT_TOKENS: Final = 1_000  # room for a reasoning model's thoughts before so small a call
PROBE: Final = "say_ready"
# A grammar-constrained server (llama.cpp, Ollama) spells a repetition out and refuses, or crawls
# under, one as large as a file list may be. What is not offered is still checked when it is read.
REPETITION_MAX: Final = 32
_DROPPED: Final = frozenset({"title", "discriminator", "maxLength", "minLength"})
_WORTH_SAYING: Final = object()
_HOW: Final = (
    'Answer with one JSON object and nothing else: {"moves": [...]}, your moves in order.'
    " Each move is an object that fits one of these schemas and has no other fields:\n"
)


def request_body(model: str, prompt: Prompt, mode: Mode, form: Form) -> bytes:
    """The whole request as JSON; no tokenizer makes more tokens than bytes of it.

    What every call of a role has in common is encoded once.
    """
    frame = _dump(_frame_of(model, form, prompt.output_tokens_max))
    told, offered = _offer_fields(prompt.shared, prompt.offer, prompt.allowed, mode, form)
    if form.has_system:
        messages = ",".join([*_system_message(told), *map(_dump, _messages_of(prompt))])
    else:
        messages = ",".join(map(_dump, _messages_of(prompt, told)))
    # What UTF-8 cannot carry, as the lone surrogates that stand for a file's undecodable bytes, is
    # a question mark.
    return f'{frame[:-1]},"messages":[{messages}]{offered}}}'.encode("utf-8", "replace")


@lru_cache(maxsize=64)
def _offer_fields(
    shared: str, offer: Offer, allowed: tuple[str, ...], mode: Mode, form: Form
) -> tuple[str, str]:
    """What is said first, and the fields that say how the model is to answer.

    Where one move is allowed, all that are offered are told all the same: a prompt cache holds
    what is the same bytes in each call.
    """
    if mode == "tools":
        choice = f',"tool_choice":{_dump(_choice_of(allowed))}' if form.demands_call else ""
        return shared, f',"tools":{_dump(_tools_of(offer))}{choice}'
    schema = _reply_schema(offer)
    # Most local servers hold the model to the schema without ever showing it to the model: one
    # that was not told what the fields mean fills them with valid nonsense. Where the server takes
    # no schema, this is all that the model has of it.
    union = _drop_keywords(schema["properties"]["moves"]["items"], _as_told)
    told = f"{shared}\n\n{_HOW}{_dump(union)}"
    if "$defs" in schema:
        told += f"\nwith $defs {_dump(_drop_keywords(schema['$defs'], _as_told))}"
    if len(allowed) == 1:
        schema = _reply_schema(Offer(allowed), moves_max=1)
    return told, _response_format(schema, form)


def _choice_of(allowed: tuple[str, ...]) -> str | Json:
    if len(allowed) != 1:
        return "required"
    return {"type": "function", "function": {"name": allowed[0]}}


def _response_format(schema: Json, form: Form) -> str:
    match form.formats[:1]:
        case ("json_schema",):
            reply = {"name": REPLY, "schema": _drop_keywords(schema, _as_grammar), "strict": False}
            return f',"response_format":{_dump({"type": "json_schema", "json_schema": reply})}'
        case ("json_object",):
            return ',"response_format":{"type":"json_object"}'
        case _:
            return ""


@lru_cache(maxsize=64)
def _system_message(text: str) -> tuple[str, ...]:
    return (_dump({"role": "system", "content": text}),) if text.strip() else ()


def probe_body(model: str, form: Form) -> bytes:
    """Asks for one harmless call, to learn whether the model calls functions at all."""
    body = _frame_of(model, form, PROBE_OUTPUT_TOKENS)
    body["messages"] = [{"role": "user", "content": f"Call the function {PROBE} now."}]
    function = {
        "name": PROBE,
        "description": "Say that you are ready.",
        "parameters": {"type": "object", "properties": {"ready": {"type": "boolean"}}},
    }
    body["tools"] = [{"type": "function", "function": function}]
    if form.demands_call:
        body["tool_choice"] = "required"
    return _dump(body).encode("utf-8", "replace")


def _frame_of(model: str, form: Form, output_tokens_max: int) -> Json:
    frame: Json = {"model": model}
    if form.streams:
        frame["stream"] = True
    if form.streams and form.asks_usage:
        frame["stream_options"] = {"include_usage": True}
    if form.limits:
        frame[form.limits[0]] = output_tokens_max
    return frame


def _messages_of(prompt: Prompt, told: str = "") -> list[Json]:
    """The exchange, and the persona at the very end; `told` goes first where no system message may.

    The persona is the tail of the last user message and no message of its own: many chat templates
    allow one leading system message and then strictly take turns. At its tail, not its head, for a
    prompt cache reuses the longest common prefix, and this way that reaches through the exchange.
    """
    turns: list[tuple[str, str]] = []
    for role, text in (("user", told), *prompt.exchange, ("user", prompt.persona)):
        if not text.strip():
            continue
        if turns and turns[-1][0] == role:
            turns[-1] = (role, f"{turns[-1][1]}\n\n{text}")
        else:
            turns.append((role, text))
    return [{"role": role, "content": text} for role, text in turns]


def _tools_of(offer: Offer) -> list[Json]:
    """Each move a tool, and each function one of its own in the place of `use`."""
    tools = [(name, _move_schema(name)) for name in offer.moves if name != USE]
    tools += [(f.call_name, _function_schema(f)) for f in offer.functions]
    return [{"type": "function", "function": _tool_of(name, schema)} for name, schema in tools]


def _tool_of(name: str, schema: Json) -> Json:
    return {"name": name, "description": schema.pop("description", ""), "parameters": schema}


def _move_schema(name: str) -> Json:
    schema = cast(Json, _make_portable(MOVE_TYPES[name].model_json_schema()))
    # The function's name says which move it is. Tier and parent are minted by the supervisor: a
    # model that isn't offered them seldom claims them, and if it does, the law answers.
    hidden = {"move", "tier", "parent"} if name == "spawn" else {"move"}
    schema["properties"] = {k: v for k, v in schema["properties"].items() if k not in hidden}
    schema["required"] = [k for k in schema.get("required", []) if k not in hidden]
    return schema


def _function_schema(function: Function) -> Json:
    schema = cast(Json, _make_portable(function.args.model_json_schema()))
    return {"properties": {}, **schema, "description": function.summary}


def _reply_schema(offer: Offer, moves_max: int = MOVES_MAX) -> Json:
    union, defs = _union_of(offer)
    moves = {"type": "array", "minItems": 1, "maxItems": moves_max, "items": {"anyOf": union}}
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


def _as_told(keywords: Json) -> tuple[str, ...]:
    """What of a schema only a grammar needs: a model takes it for granted."""
    is_closed, is_constant = keywords.get("additionalProperties") is False, "const" in keywords
    return ("additionalProperties",) * is_closed + ("type",) * is_constant


def _as_grammar(_: Json) -> tuple[str, ...]:
    """What of a schema only a model needs: it is told so already."""
    return ("description", "default")


def _drop_keywords(schema: Any, needless: Callable[[Json], tuple[str, ...]]) -> Any:
    """A schema without the keywords that `needless` names, at every depth."""
    if isinstance(schema, list):
        return [_drop_keywords(item, needless) for item in schema]
    if not isinstance(schema, dict):
        return schema
    gone = needless(schema)
    return {
        key: _change_inside(key, value, lambda inner: _drop_keywords(inner, needless))
        for key, value in schema.items()
        if key not in gone
    }


def _change_inside(key: str, value: Any, change: Callable[[Any], Any]) -> Any:
    """The value of one keyword, with the schemas in it changed."""
    if key in ("properties", "$defs"):  # maps of names, which may be words that are keywords, too
        return {name: change(inner) for name, inner in value.items()}
    return value if key in ("default", "enum", "const", "required") else change(value)


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
    renamed = cast(Json, json.loads(_dump(schema).replace('"#/$defs/', f'"#/$defs/{prefix}_')))
    return renamed | {"$defs": {f"{prefix}_{name}": one for name, one in renamed["$defs"].items()}}


def _use_schema(function: Function, args: Json) -> Json:
    description, has_args = args.pop("description"), bool(args["properties"])
    schema: Json = {"additionalProperties": False, "description": description, "type": "object"}
    schema["properties"] = {"args": args} if has_args else {}
    schema["required"] = ["args"] if args.get("required") else []
    return _tag_schema(schema, move=USE, function=function.name)


def _make_portable(schema: Any) -> Any:
    """The part of JSON schema that every server understands; `title` and the like only cost
    tokens.
    """
    if isinstance(schema, list):
        return [_make_portable(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {
        key: _change_inside(key, value, _make_portable)
        for key, value in schema.items()
        if key not in _DROPPED
    }
    if plain.get("maxItems", 0) > REPETITION_MAX:
        del plain["maxItems"]
    if plain.get("default", _WORTH_SAYING) in (None, "", [], {}):
        del plain["default"]
    return _with_properties(_without_null(plain))


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


_dump: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
