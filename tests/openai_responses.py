"""The Responses API of the test server: its requests as those of Chat Completions, so that one brain
answers both, and its answers as events.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

Json = dict[str, Any]

THOUGHTS: Final = "reasoning.encrypted_content"


def as_chat(body: Json) -> Json:
    """The request of Chat Completions that says the same."""
    messages: list[Json] = []
    if told := body.get("instructions"):
        messages.append({"role": "system", "content": told})
    for item in body["input"]:
        messages += _messages_of(item, messages)
    chat: Json = {"model": body["model"], "messages": messages, "stream": body.get("stream", False)}
    if tools := body.get("tools"):
        chat["tools"] = [{"type": "function", "function": tool} for tool in tools]
    format = body.get("text", {}).get("format", {})
    if format.get("type") == "json_schema":
        chat["response_format"] = {"type": "json_schema", "json_schema": format}
    return chat


def _messages_of(item: Json, messages: list[Json]) -> list[Json]:
    match item.get("type"):
        case "function_call":
            function = {"name": item["name"], "arguments": item["arguments"]}
            call = {"id": item["call_id"], "type": "function", "function": function}
            if messages and messages[-1].get("tool_calls"):
                messages[-1]["tool_calls"].append(call)
                return []
            return [{"role": "assistant", "content": "", "tool_calls": [call]}]
        case "function_call_output":
            content = item["output"]
            return [{"role": "tool", "tool_call_id": item["call_id"], "content": content}]
        case "reasoning":
            return []
        case _:
            return [{"role": item["role"], "content": item["content"]}]


def response_of(chat: Json, body: Json, number: int, fault: str | None) -> Json:
    """A whole response that says what an answer of Chat Completions says."""
    choice = chat["choices"][0]
    message, finish = choice["message"], choice["finish_reason"]
    output: list[Json] = []
    if THOUGHTS in body.get("include", ()):
        output.append(
            {
                "type": "reasoning",
                "id": f"rs_{number}",
                "summary": [],
                "encrypted_content": f"thoughts-{number}",
                "status": None,
            }
        )
    if message["content"]:
        part = {"type": "output_text", "text": message["content"], "annotations": []}
        output.append(_message(number, part))
    if message["refusal"]:
        output.append(_message(number, {"type": "refusal", "refusal": message["refusal"]}))
    for place, call in enumerate(message.get("tool_calls", ())):
        output.append(
            {
                "type": "function_call",
                "id": f"fc_{number}_{place}",
                "call_id": f"theirs_{number}_{place}",
                "status": "completed",
                **call["function"],
            }
        )
    reasons = {"length": "max_output_tokens", "content_filter": "content_filter"}
    response: Json = {
        "id": f"resp_{number}",
        "object": "response",
        "status": "incomplete" if finish in reasons else "completed",
        "incomplete_details": {"reason": reasons[finish]} if finish in reasons else None,
        "error": None,
        "output": output,
    }
    if fault == "no_usage" or "usage" not in chat:
        return response
    counted = chat["usage"]
    response["usage"] = {
        "input_tokens": counted["prompt_tokens"],
        "output_tokens": counted["completion_tokens"],
        "total_tokens": counted["total_tokens"],
        "input_tokens_details": counted.get("prompt_tokens_details", {"cached_tokens": 0}),
        "output_tokens_details": {"reasoning_tokens": 0},
    }
    return response


def _message(number: int, part: Json) -> Json:
    return {
        "type": "message",
        "id": f"msg_{number}",
        "role": "assistant",
        "status": "completed",
        "content": [part],
    }


def events_of(response: Json, fault: str | None, endless: Json) -> Iterator[bytes]:
    """As a server streams it, with the faults that concern the stream itself."""
    begun = {**response, "status": "in_progress", "output": []}
    begun.pop("usage", None)
    yield _event("response.created", response=begun)
    if fault == "endless":
        yield from (_endless(endless) for _ in range(100_000))
    content = list(_content(response["output"]))
    if fault in ("cut", "hang_midway"):
        yield from content[: len(content) // 2 + 1]
        return
    yield b": keep-alive\n\n"
    yield from content
    if fault == "bad_piece":
        yield b"data: {oops\n\n"
    if fault == "error_in_stream":
        yield _event("error", code="server_error", message="the engine stopped", param=None)
    yield _event(f"response.{response['status']}", response=response)


def _endless(piece: Mapping[str, Any]) -> bytes:
    if text := piece.get("reasoning_content"):
        return _event("response.reasoning_text.delta", output_index=0, delta=text)
    if calls := piece.get("tool_calls"):
        delta = calls[0]["function"]["arguments"]
        return _event("response.function_call_arguments.delta", output_index=0, delta=delta)
    return _event("response.output_text.delta", output_index=0, delta=piece["content"])


def _content(output: list[Json]) -> Iterator[bytes]:
    for place, item in enumerate(output):
        started = {**item, "status": "in_progress"}
        if item["type"] == "function_call":
            started["arguments"] = ""
        yield _event("response.output_item.added", output_index=place, item=started)
        for kind, text in _texts(item):
            for start in range(0, len(text), 24):
                delta = text[start : start + 24]
                yield _event(kind, output_index=place, item_id=item["id"], delta=delta)
        yield _event("response.output_item.done", output_index=place, item=item)


def _texts(item: Json) -> Iterator[tuple[str, str]]:
    if item["type"] == "function_call":
        yield "response.function_call_arguments.delta", item["arguments"]
    for part in item.get("content", ()):
        if part["type"] == "refusal":
            yield "response.refusal.delta", part["refusal"]
        else:
            yield "response.output_text.delta", part["text"]


def _event(kind: str, **fields: Any) -> bytes:
    data = json.dumps({"type": kind, "sequence_number": 0, **fields}, ensure_ascii=False)
    return f"event: {kind}\ndata: {data}\n\n".encode()
