"""The models that a server lists, and which of them can chat. Pure.

What a server says of a model goes before what its name suggests: the kind, the task, what it can
put out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

# As servers name the kinds of models that answer a chat, and those that don't.
_CHATS: Final = frozenset(
    {
        "chat",
        "llm",
        "vlm",
        "language",
        "text-generation",
        "completion",
        "image-text-to-text",
        "generate",
    }
)
_OTHERS: Final = re.compile(
    r"embed|rerank|feature-extraction|sentence-similarity|speech|audio|transcri|text-to-image|image|video"
    r"|moderation|tts|stt|asr|ocr|classif|score|reward",
    re.IGNORECASE,
)
_KINDS: Final = ("type", "task", "mode", "model_type", "pipeline_tag")
_CAPABILITIES: Final = (
    "completion_chat",
    "chat",
    "chat_completion",
    "completion",
    "text_generation",
)

# Names of models that embed, rank, hear, speak, paint or judge, each a word of the name.
_NAMED: Final = re.compile(
    r"embed|rerank|(?:^|[^a-z])(?:bge|e5|gte|minilm|mpnet|colbert|splade|labse|sbert|simcse|instructor-(?:x?l|large|base)"
    r"|mxbai|whisper|parakeet|canary|tts|stt|asr|kokoro|bark|piper|xtts|wav2vec2?|dall-?e|stable-?diffusion"
    r"|sdxl|sd[23x](?:\.\d)?|flux|imagen|veo|sora|midjourney|clip|siglip|moderation|transcribe|gpt-image"
    r"|kontext|paraphrase|sentence-transformers?|babbage-002|davinci-002)(?:[^a-z]|$)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Listed:
    """By name, in the server's order: those to think with, and the others."""

    names: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


def listed_in(document: Any) -> Listed:
    """Out of `{"data": […]}`, `{"models": […]}` or a bare list, of objects or of names."""
    names: list[str] = []
    others: list[str] = []
    for row in _rows_of(document):
        name = _name_of(row)
        if name:
            (names if can_chat(row, name) else others).append(name)
    return Listed(tuple(names), tuple(others))


def can_chat(row: object, name: str) -> bool:
    if isinstance(row, dict) and (said := _says_chats(row)) is not None:
        return said
    return _NAMED.search(name) is None


def _rows_of(document: Any) -> list[Any]:
    if isinstance(document, list):
        return document
    if isinstance(document, dict):
        return next(
            (rows for key in ("data", "models") if isinstance(rows := document.get(key), list)), []
        )
    return []


def _name_of(row: object) -> str:
    if isinstance(row, str):
        return row.strip()
    if not isinstance(row, dict):
        return ""
    name = next(
        (value for key in ("id", "name", "model") if isinstance(value := row.get(key), str)), ""
    )
    return name.strip()


def _says_chats(row: Mapping[str, Any]) -> bool | None:
    """What the server says of it; `None` where it says nothing."""
    said = (_says_by_kind(row), _says_by_capabilities(row), _says_by_output(row))
    return next((can for can in said if can is not None), None)


def _says_by_kind(row: Mapping[str, Any]) -> bool | None:
    for kind in (row.get(key) for key in _KINDS):
        if isinstance(kind, str) and kind.lower() in _CHATS:
            return True
        if isinstance(kind, str) and _OTHERS.search(kind):
            return False
    return None


def _says_by_capabilities(row: Mapping[str, Any]) -> bool | None:
    capabilities = row.get("capabilities")
    if not isinstance(capabilities, dict):
        return None
    known = [can for key in _CAPABILITIES if isinstance(can := capabilities.get(key), bool)]
    return any(known) if known else None


def _says_by_output(row: Mapping[str, Any]) -> bool | None:
    architecture = row.get("architecture")
    out = architecture.get("output_modalities") if isinstance(architecture, dict) else None
    return "text" in out if isinstance(out, list) and out else None
