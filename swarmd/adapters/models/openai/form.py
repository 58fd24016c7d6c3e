"""Which optional fields a request has, and which of them a server has refused. Pure.

Strict servers turn a request away for one field that they do not know, or do not know in this
value. What an answer like that names is left out of all further requests, or replaced by its other
spelling.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, Literal, get_args

from swarmd.core.model.declarations import RequestField

Mode = Literal["tools", "schema"]
_FIELDS: Final = frozenset(get_args(RequestField))

# A server answers these where it does not take a request for what is in it.
ABOUT_THE_REQUEST: Final = frozenset({400, 404, 405, 406, 415, 422, 500, 501})
# Without a field being named, only these say so: the others have many reasons.
STRICT: Final = frozenset({400, 422})

# In this order: the name of one may stand in that of another. Each as servers write of it.
_NAMED: Final[tuple[tuple[RequestField, re.Pattern[str]], ...]] = (
    ("stream_options", re.compile(r"stream[_ ]?options|include[_ ]usage", re.IGNORECASE)),
    (
        "max_tokens",
        re.compile(r"max_?(?:completion|output|new)?_?tokens|in the completion\b", re.IGNORECASE),
    ),
    (
        # A call that must be made is a grammar to some servers, and may be one that they cannot
        # build.
        "tool_choice",
        re.compile(
            r"tool[_ ]?choice|tool_?config\b|function_calling_config|grammar|guided", re.IGNORECASE
        ),
    ),
    (
        "response_format",
        re.compile(
            r"response[_ ]?format|json[_ ]?schema|json[_ ]?object|response_?schema"
            r"|structured[_ ]outputs?|guided|grammar",
            re.IGNORECASE,
        ),
    ),
    (
        "system",
        re.compile(
            r"\bsystem[`'\"]?[_ -]?(?:role|messages?|prompts?|instructions?)\b"
            r"|\broles?\b[^.\n]{0,60}\bsystem\b"
            r"|\bsystem\b[^.\n]{0,30}\bnot support|developer instruction",
            re.IGNORECASE,
        ),
    ),
    ("stream", re.compile(r"\bstream(?:ing|ed)?\b", re.IGNORECASE)),
)
# Of what only some requests have.
_OF_SOME: Final = {
    # Called so in one API, and a part of `reasoning` in the other.
    "reasoning_effort": re.compile(
        r"reasoning[._ ]?effort|\breasoning\b(?![._ ]?content)", re.IGNORECASE
    ),
    "thoughts": re.compile(r"\binclude\b|encrypted[_ ]content|reasoning[_ ]content", re.IGNORECASE),
    "tool_messages": re.compile(
        r"\broles?\b[^.\n]{0,60}\btool\b|\btool[`'\"]? (?:role|messages?)\b|tool_call_ids?\b"
        r"|messages?\S{0,12}tool_calls|roles must alternate|function_call_output",
        re.IGNORECASE,
    ),
}
# Beside the limit's name these say that its value is wrong, and another name would have the same.
_VALUE: Final = re.compile(
    r"too (?:large|high|big|long)|exceed|at most|less than|maximum|must be|greater than"
    r"|in the completion",
    re.IGNORECASE,
)
# A server failed (5xx) for a field only if it says so; an engine that merely broke may name it too.
_REFUSES: Final = re.compile(
    r"support|unknown|unrecogni[sz]ed|unexpected|invalid|not permitted|unavailable"
    r"|requires?|extra|cannot|can't|not allowed|must|disabled|not enabled",
    re.IGNORECASE,
)
_OUT_OF_CONTEXT: Final = re.compile(
    r"context_length_exceeded|context window|prompt is too long", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request was turned away for one of its fields, or for one that a setting put there.
    `is_value`: for what it said, not for its name.
    """

    field: str
    is_value: bool = False


@dataclass(frozen=True, slots=True)
class Form:
    """`limits`, `formats` and `choices` are what is sent, and behind it what is tried next; none:
    the field is left out.

    A choice is `exact` where it says which of the tools are open now. `dropped` are settings that
    the server refused.
    """

    limits: tuple[str, ...] = ("max_tokens", "max_completion_tokens")
    formats: tuple[str, ...] = ("json_schema", "json_object")
    streams: bool = True
    asks_usage: bool = True
    choices: tuple[str, ...] = ("exact", "required")
    has_system: bool = True
    has_tool_messages: bool = True
    has_thoughts: bool = True
    has_settings: bool = True
    dropped: frozenset[str] = frozenset()

    def has(self, field: str, mode: Mode) -> bool:
        """Whether a request in this mode has the field."""
        match field:
            case "max_tokens":
                return bool(self.limits)
            case "response_format":
                return mode == "schema" and bool(self.formats)
            case "tool_choice":
                return mode == "tools" and bool(self.choices)
            case "stream_options":
                return self.streams and self.asks_usage
            case "stream":
                return self.streams
            case "system":
                return self.has_system
            case _:  # not in every request: who sent it knows
                return False

    def after(self, refusal: Refusal, *, was_exact: bool = False) -> Form:
        """Without what was refused, or with its next spelling. `was_exact`: the choice among tools
        that was sent.
        """
        match refusal.field:
            case "max_tokens":
                return replace(self, limits=() if refusal.is_value else self.limits[1:])
            case "response_format":
                return replace(self, formats=self.formats[1:])
            case "tool_choice":
                return replace(self, choices=self.choices[1:] if was_exact else ())
            case field if field in _FIELDS:
                return self.without(field)
            case setting:
                return replace(self, dropped=self.dropped | {setting})

    def without(self, *fields: str) -> Form:
        return replace(
            self,
            limits=() if "max_tokens" in fields else self.limits,
            formats=() if "response_format" in fields else self.formats,
            streams=self.streams and "stream" not in fields,
            asks_usage=self.asks_usage and "stream_options" not in fields,
            choices=() if "tool_choice" in fields else self.choices,
            has_system=self.has_system and "system" not in fields,
            has_tool_messages=self.has_tool_messages and "tool_messages" not in fields,
            has_thoughts=self.has_thoughts and "thoughts" not in fields,
        )

    def bare(self) -> Form:
        """What every server takes: a model, messages, a limit, and tools where they are offered."""
        bare = self.without(
            "stream_options", "tool_choice", "response_format", "tool_messages", "thoughts"
        )
        return replace(bare, has_settings=False)


def refused(
    form: Form,
    mode: Mode,
    status: int,
    said: str,
    parameter: str = "",
    beside: Collection[str] = (),
) -> Refusal | None:
    """The field that an error names, of those that the request had; `None` where it names none.

    `parameter` is what the error says it is about, where it has a field for that. `beside` are the
    settings that the request had, and whatever else not every request has.
    """
    if not _is_about_request(status, said):
        return None
    named = _fields_named(said, parameter, beside)
    field = next((name for name in named if name in beside or form.has(name, mode)), None)
    is_full = _OUT_OF_CONTEXT.search(said) is not None
    if field is None or (is_full and field != "max_tokens"):
        return None
    return Refusal(field, is_value=field == "max_tokens" and _VALUE.search(said) is not None)


def _is_about_request(status: int, said: str) -> bool:
    if status >= 500 and not _REFUSES.search(said):
        return False
    return status in ABOUT_THE_REQUEST


def _fields_named(said: str, parameter: str, beside: Collection[str]) -> list[str]:
    """What the error says that it is about; where it has no field for that, what its text names."""
    if known := _names_in(parameter, beside):
        return known
    if parameter and not parameter.startswith(("messages", "input")):
        return []
    return _names_in(said, beside)


def _names_in(text: str, beside: Collection[str]) -> list[str]:
    found = [name for name in beside if _pattern_of(name).search(text)]
    return found + [name for name, pattern in _NAMED if pattern.search(text)]


@lru_cache(maxsize=64)
def _pattern_of(name: str) -> re.Pattern[str]:
    """As servers write of it: a further field by its name."""
    return _OF_SOME.get(name) or re.compile(rf"\b{re.escape(name)}\b", re.IGNORECASE)
