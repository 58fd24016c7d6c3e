"""An answer of the Responses API, read as the pieces of Chat Completions that say the same. Pure.

So each bound, each fault and each oddity of servers is met in one place for both (`answer.py`,
`exchange.py`, `faults.py`). What an event says of the life of a response, and not of its content,
is no piece: a model that thinks for minutes has not begun to answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from swarmd.adapters.models.openai.answer import THREAD_BYTES_MAX, Received, as_list

Json = dict[str, Any]

_ENDS: Final = frozenset(
    {"response.completed", "response.incomplete", "response.failed", "response.cancelled"}
)
_DELTAS: Final = {
    "response.output_text.delta": "content",
    "response.refusal.delta": "refusal",
    "response.reasoning_text.delta": "reasoning_content",
    "response.reasoning_summary_text.delta": "reasoning_content",
}
# What of an item goes back with the next request. Servers turn away fields that are only theirs.
_KEPT: Final[Mapping[str, tuple[str, ...]]] = {
    "reasoning": ("id", "summary", "content", "encrypted_content"),
    "function_call": ("id", "call_id", "name", "arguments"),
    "message": ("id", "role", "status", "phase", "content"),
}
# What a place takes of which something was heard.
PLACE_BYTES: Final = 64
_COMPACT: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(slots=True)
class ReceivedResponse(Received):
    """`_said` are the items, by their places, of which something came before they were done."""

    _items: dict[int, Json] = field(default_factory=dict)
    _named: set[int] = field(default_factory=set)
    _said: set[int] = field(default_factory=set)

    def pieces(self, raw: Any) -> Iterable[Any]:
        if not isinstance(raw, dict):
            return (raw,)
        if raw.get("object") == "response":
            return self._ended(raw)
        kind = _kind_of(raw)
        if kind in _ENDS:
            response = raw.get("response")
            return self._ended(response if isinstance(response, dict) else {})
        if kind.startswith("response."):
            return self._of_event(kind, raw)
        return (raw,)

    def thread(self, moves: int) -> str:
        """The items of the answer, where there are encrypted thoughts among them and each move is
        a call of its own.
        """
        items = [self._items[place] for place in sorted(self._items)]
        # Each with an identifier, under which its result goes back.
        calls = sum(map(_is_named_call, items))
        if calls != moves or not any(map(_is_encrypted, items)):
            return ""
        text = _COMPACT([_kept(item) for item in items if _kind_of(item) in _KEPT])
        return text if len(text.encode("utf-8", "replace")) <= THREAD_BYTES_MAX else ""

    def _of_event(self, kind: str, event: Json) -> Iterator[Json]:
        place = event.get("output_index")
        place = place if isinstance(place, int) else 0
        if kind in _DELTAS:
            self._note(place)
            yield _piece({_DELTAS[kind]: event.get("delta")})
        elif kind == "response.function_call_arguments.delta":
            self._note(place)
            yield _call_piece(place, {"arguments": event.get("delta")})
        elif kind in ("response.output_item.added", "response.output_item.done"):
            item = event.get("item")
            yield from self._of_item(place, item if isinstance(item, dict) else {}, kind)

    def _of_item(self, place: int, item: Json, kind: str) -> Iterator[Json]:
        if item.get("type") == "function_call" and place not in self._named:
            self._named.add(place)
            yield _call_piece(place, {"name": item.get("name")}, item.get("call_id"))
        if kind.endswith("added"):
            return
        self._items[place] = item
        self.kept_bytes += len(_COMPACT(item).encode("utf-8", "replace"))
        if place not in self._said:
            self._note(place)
            yield from _content_of(place, item)

    def _note(self, place: int) -> None:
        if place not in self._said:
            self._said.add(place)
            self.kept_bytes += PLACE_BYTES

    def _ended(self, response: Json) -> Iterator[Json]:
        """The end of a response, with whatever of its items has not come before."""
        self.is_over = True
        output = response.get("output")
        for place, item in enumerate(output if isinstance(output, list) else ()):
            if isinstance(item, dict) and place not in self._items:
                yield from self._of_item(place, item, "done")
        usage = response.get("usage")
        counted = {"usage": usage} if isinstance(usage, dict) else {}
        if response.get("status") == "failed" or response.get("error"):
            yield _piece({}, "failed") | counted
            yield {"error": response.get("error") or "the response failed"}
            return
        yield _piece({}, _finish_of(response)) | counted


def _finish_of(response: Json) -> str:
    """Why it ended, in the words of the other API."""
    details = response.get("incomplete_details")
    reason = details.get("reason") if isinstance(details, dict) else None
    if isinstance(reason, str) and reason:
        return reason
    match response.get("status"):
        case "completed" | None:
            return "stop"
        case "incomplete":  # and not said why: it is not whole
            return "interrupted"
        case status:
            return str(status)


def _content_of(place: int, item: Json) -> Iterator[Json]:
    """What an item says that came whole and not in pieces."""
    match item.get("type"):
        case "function_call":
            yield _call_piece(place, {"arguments": item.get("arguments")})
        case "message":
            parts = item.get("content")
            yield _piece({"content": parts if isinstance(parts, list) else str(parts or "")})
        case "reasoning":
            told = [*as_list(item.get("content")), *as_list(item.get("summary"))]
            texts = (str(part.get("text") or "") for part in told if isinstance(part, dict))
            yield _piece({"reasoning_content": "".join(texts)})


def _piece(delta: Json, finish: str | None = None) -> Json:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def _call_piece(place: int, function: Json, id: object = None) -> Json:
    call = {"index": place, "function": function}
    return _piece({"tool_calls": [call | ({"id": id} if id else {})]})


def _kind_of(event_or_item: Json) -> str:
    """What it says that it is; a server can say there whatever JSON can."""
    kind = event_or_item.get("type")
    return kind if isinstance(kind, str) else ""


def _is_named_call(item: Json) -> bool:
    return _kind_of(item) == "function_call" and isinstance(item.get("call_id"), str)


def _is_encrypted(item: Json) -> bool:
    content = item.get("encrypted_content")
    return isinstance(content, str) and content != ""


def _kept(item: Json) -> Json:
    kept = {name: item[name] for name in _KEPT[item["type"]] if item.get(name) is not None}
    return {"type": item["type"], **kept}
