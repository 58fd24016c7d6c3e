"""A request of the Responses API: pure, no I/O, no SDK.

Each request holds all that the model is to know, and the server is told to store nothing. The
encrypted thoughts of an answer come back with it and go into the further requests of its turn, so
that the model goes on where it was.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, Final

from swarmd.adapters.models.openai.compact import dump
from swarmd.adapters.models.openai.form import Form, Mode
from swarmd.adapters.models.openai.generation import output_limit, settings_of
from swarmd.adapters.models.openai.history import Calls, Item, Text
from swarmd.adapters.models.openai.offered import reply_grammar, tool_names, tools_of
from swarmd.adapters.models.openai.reading import REPLY
from swarmd.adapters.models.openai.request import (
    PROBE_ASKS,
    PROBE_OUTPUT_TOKENS,
    PROBE_TOOL,
    first_words,
    in_utf8,
    items_of,
)
from swarmd.core.model.functions import Offer
from swarmd.core.model.generation import Generation
from swarmd.ports.models import UNSET, Prompt

Json = dict[str, Any]

THOUGHTS: Final = "reasoning.encrypted_content"


def request_body(
    model: str, prompt: Prompt, mode: Mode, form: Form, defaults: Generation = UNSET
) -> bytes:
    """The whole request as JSON; no tokenizer makes more tokens than bytes of it."""
    frame = _frame_of(model, form, output_limit(prompt, defaults))
    frame |= _spelled(settings_of(prompt, defaults, form))
    told = first_words(prompt.shared, prompt.offer, mode)
    if form.has_system and told.strip():
        frame["instructions"] = told
    items = items_of(prompt, mode, form, "" if form.has_system else told)
    spelled = ",".join(one for item in items for one in _encoded(item))
    offered = _offer_fields(prompt.offer, prompt.open_offer, mode, form)
    return in_utf8(f'{dump(frame)[:-1]},"input":[{spelled}]{offered}}}')


def probe_body(model: str, form: Form) -> bytes:
    """Asks for one harmless call, to learn whether the model calls functions at all."""
    body = _frame_of(model, form, PROBE_OUTPUT_TOKENS)
    body["input"] = [{"role": "user", "content": PROBE_ASKS}]
    body["tools"] = [{"type": "function", **PROBE_TOOL, "strict": False}]
    if form.choices:
        body["tool_choice"] = "required"
    return in_utf8(dump(body))


def _frame_of(model: str, form: Form, output_tokens_max: int) -> Json:
    frame: Json = {"model": model, "store": False}
    if form.streams:
        frame["stream"] = True
    if form.limits:
        frame["max_output_tokens"] = output_tokens_max
    if form.has_thoughts:
        frame["include"] = [THOUGHTS]
    return frame


def _spelled(settings: Json) -> Json:
    """The effort is a part of `reasoning` here, beside whatever else was set of that."""
    effort = settings.pop("reasoning_effort", None)
    if effort is not None:
        settings["reasoning"] = {**settings.get("reasoning", {}), "effort": effort}
    return settings


@lru_cache(maxsize=64)
def _offer_fields(offer: Offer, open_now: Offer, mode: Mode, form: Form) -> str:
    """The fields that say how the model is to answer."""
    if mode == "schema":
        return _text_field(open_now, form)
    # Not strict: a strict schema has no optional field, and moves have some.
    tools = [{"type": "function", **tool, "strict": False} for tool in tools_of(offer)]
    return f',"tools":{dump(tools)}{_choice_field(offer, open_now, form)}'


def _choice_field(offer: Offer, open_now: Offer, form: Form) -> str:
    if not form.choices:
        return ""
    if offer == open_now or form.choices[0] != "exact":
        return ',"tool_choice":"required"'
    names = [{"type": "function", "name": name} for name in tool_names(open_now)]
    allowed = {"type": "allowed_tools", "mode": "required", "tools": names}
    return f',"tool_choice":{dump(names[0] if len(names) == 1 else allowed)}'


def _text_field(open_now: Offer, form: Form) -> str:
    match form.formats[:1]:
        case ("json_schema",):
            grammar = reply_grammar(open_now)
            format = {"type": "json_schema", "name": REPLY, "schema": grammar, "strict": False}
            return f',"text":{dump({"format": format})}'
        case ("json_object",):
            return ',"text":{"format":{"type":"json_object"}}'
        case _:
            return ""


def _encoded(item: Item) -> list[str]:
    match item:
        case Text(side, text):
            return [dump({"role": side, "content": text})]
        case Calls(_, thread) if thread:
            return [dump(one) for one in json.loads(thread)]
        case Calls():
            return [
                dump(
                    {
                        "type": "function_call",
                        "call_id": id,
                        "name": call.name,
                        "arguments": call.arguments,
                    }
                )
                for id, call in item.calls
            ]
        case _:
            output = {"type": "function_call_output", "call_id": item.id, "output": item.text}
            return [dump(output)]
