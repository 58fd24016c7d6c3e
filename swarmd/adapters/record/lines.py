"""The lines of a record's files, which have a format number of their own.

A file begins with a line that says what it is, and each further line is a text, a call or a count
of what was left out. A long text stands once in its file, before the first call that has it, and a
call names it by its digest: the constant part of a hundred prompts takes the room of one. Whoever
finds a line that is cut short or unknown passes over it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from swarmd.core.model.chain import sha256
from swarmd.ports.record import Answer

FORMAT: Final = 1
# A shorter text costs less where it stands than its digest would.
NAMED_CHARS_MIN: Final = 256
_TEXT: Final = "$text"  # {"$text": DIGEST} stands for a text
_JSON: Final = "$json"  # {"$json": TEXT}: an object that would be taken for one of these two

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def line_of(value: Mapping[str, Any]) -> bytes:
    return _encode(value).encode("utf-8", "replace") + b"\n"


def head_line(mission: str, writer: str, at: str) -> bytes:
    return line_of({"record": FORMAT, "mission": mission, "writer": writer, "at": at})


def left_out_line(count: int, why: str, at: str) -> bytes:
    return line_of({"left_out": count, "why": why, "at": at})


@dataclass(slots=True)
class Packing:
    """The texts of a file by digest: those that it has, and those that a call adds."""

    known: frozenset[str] | set[str]
    added: dict[str, str] = field(default_factory=dict)

    def pack(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._name_text(value) if len(value) >= NAMED_CHARS_MIN else value
        if isinstance(value, Mapping):
            if _TEXT in value or _JSON in value:
                return {_JSON: _encode(value)}
            return {key: self.pack(one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [self.pack(one) for one in value]
        return value

    def _name_text(self, text: str) -> dict[str, str]:
        digest = sha256(text)
        if digest not in self.known:
            self.added[digest] = text
        return {_TEXT: digest}

    def text_lines(self) -> bytes:
        return b"".join(
            line_of({"text": digest, "is": text}) for digest, text in self.added.items()
        )


def unpack(value: Any, texts: Mapping[str, str]) -> Any:
    """As it was packed. A text that is missing stays named by its digest."""
    if isinstance(value, list):
        return [unpack(one, texts) for one in value]
    if not isinstance(value, dict):
        return value
    if _TEXT in value:
        return texts.get(str(value[_TEXT]), value)
    if _JSON in value:
        return json.loads(value[_JSON])
    return {key: unpack(one, texts) for key, one in value.items()}


def key_of(answer: Answer) -> str:
    """The name of a call within its mission."""
    return f"{answer.agent}.{answer.incarnation}.{answer.turn}.{answer.step}"


def call_line(answer: Answer, packing: Packing, *, has_prompts: bool) -> bytes:
    """The line of a call. What it names and the file does not have is added to `packing`."""
    facts: dict[str, Any] = {
        "call": key_of(answer),
        "at": answer.at,
        "agent": answer.agent,
        "agent_name": answer.agent_name,
        "incarnation": answer.incarnation,
        "turn": answer.turn,
        "step": answer.step,
        "kind": answer.kind,
        "name": answer.name,
        "ok": answer.is_ok,
        "seconds": round(answer.seconds, 3),
        "used": dict(answer.used),
        **{name: packing.pack(one) for name, one in answer.more.items()},
        "input": answer.input,
        "answer": None if answer.text is None else sha256(answer.text),
        "text": answer.text,
    }
    facts |= {"assumed": True} if answer.is_assumed else {}
    facts |= {"repeated": True} if answer.is_repeated else {}
    facts |= {"given": packing.pack(answer.given)} if has_prompts else {}
    return line_of(facts)


def read_line(raw: bytes) -> dict[str, Any] | None:
    """`None` for what is no whole line of ours."""
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def began(head: Mapping[str, Any]) -> float:
    """When a file was begun, by its first line, in seconds since the epoch. Raises `ValueError`."""
    return datetime.fromisoformat(str(head.get("at", ""))).timestamp()
