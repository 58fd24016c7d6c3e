"""A chat request as a scripted mind reads it: who said what, which tools are offered, and what the
results of looking into files hold.

Nothing here knows the daemon's prompts: only the protocol, ids and how files are shown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from tests.minds.shapes import Json, Shape

_PASSAGE: Final = re.compile(r'\{\s*"path"\s*:')
_SHOWN_FILE: Final = re.compile(r"^[^\w\n]*(?P<path>[\w./-]+\.\w+)\b[^|]*$")
_SHOWN_LINE: Final = re.compile(r"^\s*(?P<number>\d+)\s?[|│]\s?(?P<text>.*)$")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file as a result showed it."""

    path: str
    number: int
    text: str


class Asked:
    """One request. `told` is what the mind was told and `said` what it answered before."""

    def __init__(self, body: Json) -> None:
        self.body = body
        self.messages: list[tuple[str, str]] = [
            (str(m["role"]), _text_of(m)) for m in body.get("messages", ())
        ]

    @cached_property
    def tools(self) -> dict[str, Shape]:
        functions = [tool["function"] for tool in self.body.get("tools", ())]
        return {f["name"]: Shape.of(f.get("parameters", {})) for f in functions}

    @cached_property
    def allowed(self) -> tuple[str, ...]:
        """The tools of which one has to be called, where the request names some."""
        choice = self.body.get("tool_choice")
        if not isinstance(choice, dict):
            return ()
        named = choice["allowed_tools"]["tools"] if "allowed_tools" in choice else [choice]
        return tuple(str(tool["function"]["name"]) for tool in named)

    @property
    def required(self) -> str:
        """The one tool that has to be called, where the request names one."""
        return self.allowed[0] if len(self.allowed) == 1 else ""

    @cached_property
    def told(self) -> str:
        return "\n".join(text for role, text in self.messages if role != "assistant")

    @cached_property
    def said(self) -> str:
        return "\n".join(text for role, text in self.messages if role == "assistant")

    @property
    def all(self) -> str:
        return "\n".join(text for _, text in self.messages)

    @property
    def asked_now(self) -> str:
        """What was told after the last answer."""
        latest: list[str] = []
        for role, text in reversed(self.messages):
            if role == "assistant":
                break
            latest.append(text)
        return "\n".join(reversed(latest))

    def tool(self, *names: str) -> str:
        """The first of these that is offered, whatever stands for a slash in its name."""
        plain = {name.replace("/", "_"): name for name in self.tools}
        return next((plain[name] for name in names if name in plain), "")

    @cached_property
    def lines(self) -> list[Line]:
        """All lines of files that it was shown."""
        return [line for role, text in self.messages if role != "assistant" for line in shown(text)]


def _text_of(message: Json) -> str:
    content = message.get("content") or ""
    parts = content if isinstance(content, list) else [{"text": content}]
    said = [str(part.get("text", "")) for part in parts if isinstance(part, dict)]
    said += [call["function"]["arguments"] for call in message.get("tool_calls") or ()]
    return "\n".join(part for part in said if part)


def shown(text: str) -> Iterator[Line]:
    """Lines of files in a result: passages as JSON objects, or numbered lines below a name."""
    for start in _PASSAGE.finditer(text):
        try:
            found, _ = json.JSONDecoder().raw_decode(text, start.start())
        except ValueError:
            continue
        yield from _of_passage(found)
    path = ""
    for row in text.split("\n"):
        if (line := _SHOWN_LINE.match(row)) and path:
            yield Line(path, int(line["number"]), line["text"])
        elif named := _SHOWN_FILE.match(row):
            path = named["path"]


def _of_passage(found: Json) -> Iterator[Line]:
    lines = found.get("lines", ())
    for number, text in enumerate(lines, int(found.get("start", 1))):
        yield Line(str(found["path"]), number, str(text))


def words(text: str) -> set[str]:
    return {word for word in re.findall(r"[a-z]{3,}", text.lower()) if word not in _COMMON}


def telling(lines: Sequence[Line], question: str, most: int) -> list[Line]:
    """Those that have the most words of a question, in the order of their files."""
    wanted = words(question)
    prose = {
        (line.path, line.number): line
        for line in lines
        if 40 <= len(line.text.strip()) <= 400 and line.text.lstrip()[:1] not in "#|`<"
    }
    ranked = sorted(prose.values(), key=lambda one: -len(wanted & words(one.text)))
    return sorted(ranked[:most], key=lambda one: (one.path, one.number))


def marked(pattern: str, text: str) -> list[Any]:
    return re.findall(pattern, text, re.MULTILINE | re.DOTALL)


_COMMON: Final = frozenset(
    [
        "the",
        "and",
        "that",
        "this",
        "what",
        "with",
        "from",
        "when",
        "which",
        "who",
        "how",
        "are",
        "not",
        "for",
        "its",
        "has",
        "have",
        "may",
        "can",
        "does",
        "it",
        "a",
        "of",
        "to",
        "in",
        "is",
    ]
)
