"""Whom we ask, and what is said to an OpenAI-compatible server: pure, no I/O, no SDK.

A request offers exactly the moves that the prompt allows, either as function tools or as one JSON
schema. Which optional fields it has is its form (`openai_form`); its answer is read by
`openai_events`, `openai_answer` and `openai_reading`.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, Final, cast

from swarmd.adapters.models.openai.form import Form, Mode
from swarmd.adapters.models.openai.reading import REPLY
from swarmd.core.model.moves import MOVE_TYPES, MOVES_MAX
from swarmd.ports.models import Prompt

Json = dict[str, Any]


PROBE_OUTPUT_TOKENS: Final = 1_000  # room for a reasoning model's thoughts before so small a call


PROBE: Final = "say_ready"


# A grammar-constrained server (llama.cpp, Ollama) spells a repetition out and refuses, or crawls
# under, one as large as a file list may be. What is not offered is still checked when it is read.
REPETITION_MAX: Final = 32


_DROPPED: Final = frozenset({"title", "discriminator", "maxLength", "minLength"})


_HOW: Final = (
    'Answer with one JSON object and nothing else: {"moves": [...]}, your moves in order.'
    " Each move is an object that fits one of these schemas:\n"
)


def request_body(model: str, prompt: Prompt, mode: Mode, form: Form) -> bytes:
    """The whole request as JSON; no tokenizer makes more tokens than bytes of it.

    What every call of a role has in common is encoded once.
    """
    frame = _dump(_frame(model, form, prompt.output_tokens_max))
    told, offered = _offer(prompt.shared, prompt.functions, mode, form)
    if form.has_system:
        messages = ",".join([*_system(told), *map(_dump, _messages(prompt))])
    else:
        messages = ",".join(map(_dump, _messages(prompt, told)))
    # What UTF-8 cannot carry, as the lone surrogates that stand for a file's undecodable bytes, is
    # a question mark.
    return f'{frame[:-1]},"messages":[{messages}]{offered}}}'.encode("utf-8", "replace")


@lru_cache(maxsize=64)
def _offer(shared: str, functions: tuple[str, ...], mode: Mode, form: Form) -> tuple[str, str]:
    """What is said first, and the fields that say how the model is to answer."""
    if mode == "tools":
        choice = ',"tool_choice":"required"' if form.demands_call else ""
        return shared, f',"tools":{_dump(_tools(functions))}{choice}'
    schema = _reply_schema(functions)
    # Most local servers hold the model to the schema without ever showing it to the model: one
    # that was not told what the fields mean fills them with valid nonsense. Where the server takes
    # no schema, this is all that the model has of it.
    told = f"{shared}\n\n{_HOW}{_dump(schema['properties']['moves']['items'])}"
    if "$defs" in schema:
        told += f"\nwith $defs {_dump(schema['$defs'])}"
    return told, _response_format(schema, form)


def _response_format(schema: Json, form: Form) -> str:
    match form.formats[:1]:
        case ("json_schema",):
            reply = {"name": REPLY, "schema": schema, "strict": False}
            return f',"response_format":{_dump({"type": "json_schema", "json_schema": reply})}'
        case ("json_object",):
            return ',"response_format":{"type":"json_object"}'
        case _:
            return ""


@lru_cache(maxsize=64)
def _system(text: str) -> tuple[str, ...]:
    return (_dump({"role": "system", "content": text}),) if text.strip() else ()


def probe_body(model: str, form: Form) -> bytes:
    """Asks for one harmless call, to learn whether the model calls functions at all."""
    body = _frame(model, form, PROBE_OUTPUT_TOKENS)
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


def _frame(model: str, form: Form, output_tokens_max: int) -> Json:
    frame: Json = {"model": model}
    if form.streams:
        frame["stream"] = True
    if form.streams and form.asks_usage:
        frame["stream_options"] = {"include_usage": True}
    if form.limits:
        frame[form.limits[0]] = output_tokens_max
    return frame


def _messages(prompt: Prompt, told: str = "") -> list[Json]:
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


@lru_cache(maxsize=64)
def _tools(functions: tuple[str, ...]) -> list[Json]:
    return [{"type": "function", "function": _function(name)} for name in functions]


def _function(name: str) -> Json:
    parameters = _parameters(name)
    description = parameters.pop("description", "")
    return {"name": name, "description": description, "parameters": parameters}


def _parameters(name: str) -> Json:
    schema = cast(Json, _portable(MOVE_TYPES[name].model_json_schema()))
    # The function's name says which move it is. Tier and parent are minted by the supervisor: a
    # model that isn't offered them seldom claims them, and if it does, the law answers.
    hidden = {"move", "tier", "parent"} if name == "spawn" else {"move"}
    schema["properties"] = {k: v for k, v in schema["properties"].items() if k not in hidden}
    schema["required"] = [k for k in schema.get("required", []) if k not in hidden]
    return schema


@lru_cache(maxsize=64)
def _reply_schema(functions: tuple[str, ...]) -> Json:
    defs: Json = {}
    union: list[Json] = []
    for name in functions:
        move = _parameters(name)
        defs |= move.pop("$defs", {})
        move["properties"] = {"move": {"const": name, "type": "string"}, **move["properties"]}
        move["required"] = ["move", *move["required"]]
        union.append(move)
    moves = {"type": "array", "minItems": 1, "maxItems": MOVES_MAX, "items": {"anyOf": union}}
    schema: Json = {
        "type": "object",
        "properties": {"moves": moves},
        "required": ["moves"],
        "additionalProperties": False,
    }
    return schema | ({"$defs": defs} if defs else {})


def _portable(schema: Any) -> Any:
    """The part of JSON schema that every server understands; `title` and the like only cost
    tokens.
    """
    if isinstance(schema, list):
        return [_portable(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {
        key: _portable_value(key, value) for key, value in schema.items() if key not in _DROPPED
    }
    if plain.get("maxItems", 0) > REPETITION_MAX:
        del plain["maxItems"]
    if "propertyNames" in plain:
        # Grammars know no `propertyNames`: a map with a closed set of keys is said as an object.
        names = plain.pop("propertyNames")["enum"]
        plain["properties"] = dict.fromkeys(names, plain["additionalProperties"])
        plain["additionalProperties"] = False
    return plain


def _portable_value(key: str, value: Any) -> Any:
    if key in (
        "properties",
        "$defs",
    ):  # maps of names, which may be words that are dropped elsewhere
        return {name: _portable(inner) for name, inner in value.items()}
    if key in ("default", "enum", "const", "required"):
        return value
    return _portable(value)


_dump: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
