"""A request of Chat Completions: pure, no I/O, no SDK.

A request offers all that the prompt offers, either as function tools or as one JSON schema, and
says which of it is open now. Which optional fields it has is its form (`form.py`); its answer is
read by `events.py`, `answer.py` and `reading.py`.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, Final

from swarmd.adapters.models.openai import history
from swarmd.adapters.models.openai.compact import dump
from swarmd.adapters.models.openai.form import Form, Mode
from swarmd.adapters.models.openai.generation import output_limit, settings_of
from swarmd.adapters.models.openai.history import Calls, Item, Text
from swarmd.adapters.models.openai.offered import (
    reply_grammar,
    told_with_schema,
    tool_names,
    tools_of,
)
from swarmd.adapters.models.openai.reading import REPLY
from swarmd.core.model.functions import Offer
from swarmd.core.model.generation import Generation
from swarmd.ports.models import UNSET, Prompt

Json = dict[str, Any]

PROBE_OUTPUT_TOKENS: Final = 1_000  # room for a reasoning model's thoughts before so small a call
PROBE: Final = "say_ready"
PROBE_ASKS: Final = f"Call the function {PROBE} now."
PROBE_TOOL: Final[Json] = {
    "name": PROBE,
    "description": "Say that you are ready.",
    "parameters": {"type": "object", "properties": {"ready": {"type": "boolean"}}},
}


def request_body(
    model: str, prompt: Prompt, mode: Mode, form: Form, defaults: Generation = UNSET
) -> bytes:
    """The whole request as JSON; no tokenizer makes more tokens than bytes of it.

    What every call of a role has in common is encoded once.
    """
    limit = output_limit(prompt, defaults)
    frame = dump(_frame_of(model, form, limit) | settings_of(prompt, defaults, form))
    told = first_words(prompt.shared, prompt.offer, mode)
    offered = _offer_fields(prompt.offer, prompt.open_offer, mode, form)
    items = items_of(prompt, mode, form, "" if form.has_system else told)
    messages = [*(_system_message(told) if form.has_system else ()), *map(_encoded, items)]
    return in_utf8(f'{frame[:-1]},"messages":[{",".join(messages)}]{offered}}}')


def in_utf8(body: str) -> bytes:
    """What UTF-8 cannot carry, as the lone surrogates that stand for a file's undecodable bytes,
    is a question mark.
    """
    return body.encode("utf-8", "replace")


def items_of(prompt: Prompt, mode: Mode, form: Form, told: str) -> list[Item]:
    """The conversation; its answers are calls where the server takes these."""
    if mode == "tools" and form.has_tool_messages:
        return history.as_calls(prompt, told, has_thoughts=form.has_thoughts)
    return history.as_text(prompt, told)


@lru_cache(maxsize=64)
def first_words(shared: str, offer: Offer, mode: Mode) -> str:
    """What is said before all else."""
    return shared if mode == "tools" else told_with_schema(shared, offer)


@lru_cache(maxsize=64)
def _offer_fields(offer: Offer, open_now: Offer, mode: Mode, form: Form) -> str:
    """The fields that say how the model is to answer."""
    if mode == "schema":
        return _response_format(open_now, form)
    tools = [{"type": "function", "function": tool} for tool in tools_of(offer)]
    return f',"tools":{dump(tools)}{_choice_field(offer, open_now, form)}'


def _choice_field(offer: Offer, open_now: Offer, form: Form) -> str:
    if not form.choices:
        return ""
    if offer == open_now or form.choices[0] != "exact":
        return ',"tool_choice":"required"'
    names = [{"type": "function", "function": {"name": name}} for name in tool_names(open_now)]
    if len(names) == 1:
        return f',"tool_choice":{dump(names[0])}'
    allowed = {"mode": "required", "tools": names}
    return f',"tool_choice":{dump({"type": "allowed_tools", "allowed_tools": allowed})}'


def _response_format(open_now: Offer, form: Form) -> str:
    match form.formats[:1]:
        case ("json_schema",):
            reply = {"name": REPLY, "schema": reply_grammar(open_now), "strict": False}
            return f',"response_format":{dump({"type": "json_schema", "json_schema": reply})}'
        case ("json_object",):
            return ',"response_format":{"type":"json_object"}'
        case _:
            return ""


@lru_cache(maxsize=64)
def _system_message(text: str) -> tuple[str, ...]:
    return (dump({"role": "system", "content": text}),) if text.strip() else ()


def probe_body(model: str, form: Form) -> bytes:
    """Asks for one harmless call, to learn whether the model calls functions at all."""
    body = _frame_of(model, form, PROBE_OUTPUT_TOKENS)
    body["messages"] = [{"role": "user", "content": PROBE_ASKS}]
    body["tools"] = [{"type": "function", "function": PROBE_TOOL}]
    if form.choices:
        body["tool_choice"] = "required"
    return in_utf8(dump(body))


def _frame_of(model: str, form: Form, output_tokens_max: int) -> Json:
    frame: Json = {"model": model}
    if form.streams:
        frame["stream"] = True
    if form.streams and form.asks_usage:
        frame["stream_options"] = {"include_usage": True}
    if form.limits:
        frame[form.limits[0]] = output_tokens_max
    return frame


def _encoded(item: Item) -> str:
    match item:
        case Text(side, text):
            return dump({"role": side, "content": text})
        case Calls():
            return dump(_called(item))
        case _:
            return dump({"role": "tool", "tool_call_id": item.id, "content": item.text})


def _called(item: Calls) -> Json:
    """An answer in calls. The thoughts of the turn go back under the name by which they came: some
    servers turn the next request away without them.
    """
    calls = [
        {"id": id, "type": "function", "function": {"name": c.name, "arguments": c.arguments}}
        for id, c in item.calls
    ]
    # No null where text may stand: there are chat templates that cannot read one.
    message: Json = {"role": "assistant", "content": "", "tool_calls": calls}
    for thoughts in json.loads(item.thread) if item.thread else ():
        message |= thoughts
    return message
