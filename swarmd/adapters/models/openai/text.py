"""The answer in a text that a model wrote: thoughts, fences, marks and prose around it are left
out. Pure.

What is taken is unmistakable: the whole of what is left, one JSON object with `moves`, or calls
that stand behind a mark for calls. Two different objects are a question and no answer. An object
that cannot be read is never looked into: what is quoted inside of it would be done in the model's
name.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from swarmd.adapters.models.openai.calls import TextCall, call_of
from swarmd.adapters.models.openai.json_text import decoded_at, is_unfinished

Json = dict[str, Any]

# Of braces that begin nothing: a text with more of them is a program, and reading it is quadratic.
STARTS_MAX: Final = 200

_WORDS: Final = "think|thinking|thought|thoughts|reasoning|reflection|scratchpad|analysis"
_OPENING: Final = (
    rf"<(?:\w+:)?(?:{_WORDS})>|\[THINK\]|◁think▷|<\|begin_of_thought\|>|<\|START_THINKING\|>"
    r"|<\|channel\|>(?:analysis|commentary)<\|message\|>"
)
_CLOSING: Final = (
    rf"</(?:\w+:)?(?:{_WORDS})>|\[/THINK\]|◁/think▷|<\|end_of_thought\|>|<\|END_THINKING\|>"
    r"|<\|channel\|>final(?:\s*<\|constrain\|>\s*\w+)?<\|message\|>"
)
# Ends a turn, and a thought where one is open.
_THOUGHTS: Final = re.compile(
    rf"(?P<opening>{_OPENING})|(?P<closing>{_CLOSING})|(?P<end><\|end\|>)", re.IGNORECASE
)
# What tokenizers put before and behind a turn.
_CONTROL: Final = (
    r"<\|[^|<>\n]{1,40}\|>|</?s>|</?(?:end_of_turn|start_of_turn|eos|bos|pad)>|\[/?INST\]"
)
_LEADING: Final = re.compile(_CONTROL)
_TRAILING: Final = re.compile(rf"(?:{_CONTROL})\Z")
_CONTROL_CHARS_MAX: Final = 50
_BOM: Final = "\ufeff"

# Marks behind which a call stands, as chat templates spell them. The function's name stands in the
# mark, or before it, or in the JSON behind it.
_MARK: Final = re.compile(
    r"<tool_call(?:>\s{0,4}| name=\")(?P<tagged>[\w./-]{1,64})(?:\">)?(?=\s{0,4}\{)"
    r"|<tool_calls?>|<\|tool_calls?\|>|<function_?calls?>|<\|python_tag\|>"
    r"|\[TOOL_CALLS\](?:\s{0,4}(?P<mistral>[\w/-]{1,64})\s{0,4}(?:\[ARGS\])?(?=\s{0,4}\{))?"
    r"|<function=(?P<llama>[\w./-]{1,64})>"
    r"|to=(?P<harmony>[\w./-]{1,64})[^{}\n]{0,80}<\|message\|>"
    r"|<｜tool▁sep｜>(?P<deepseek>[\w./-]{1,64})"
    r"|(?P<before><\|tool_call_argument_begin\|>|<｜tool▁sep｜>)",
    re.IGNORECASE,
)
_NAME_BEFORE: Final = re.compile(r"([\w./-]{1,64}(?::\d{1,4})?)\s{0,4}\Z")
_FENCE_AHEAD: Final = re.compile(r"\s*(?:```\w{0,10}\s*)?")
# A brace that begins an object in the way of JSON, Python or YAML, and none of a sentence.
_OBJECT: Final = re.compile(r"\{\s*(?:[\"'“]|\w+\s*:)")
_BETWEEN: Final = re.compile(r"[\s,;]*")


@dataclass(frozen=True, slots=True)
class Problem:
    """Why there is no answer in a text, in words that follow `Your answer`."""

    what: str


def answer_in(text: str) -> Any:
    """The JSON value that a text holds as its answer, a tuple of `TextCall`, or a `Problem`."""
    whole = _read_json(_without_edges(text))
    if not isinstance(whole, Problem):
        return _as_calls(whole)
    said = core(text)
    if not said and text.strip():
        return Problem("is thoughts only, or has no end of them.")
    whole = _read_json(said)
    if not isinstance(whole, Problem):
        return _as_calls(whole)
    found = _found_within(said)
    return whole if found is None else found


def is_json(text: str) -> bool:
    """Whether a text is one JSON value, and nothing else but a fence or marks around it."""
    return not isinstance(_read_json(core(text)), Problem)


def core(text: str) -> str:
    """The text without thoughts, control tokens and a fence around all of it."""
    said = _without_edges(_without_thoughts(text))
    fence = said[:3]
    if fence in ("```", "~~~") and said.endswith(fence) and len(said) > 2 * len(fence):
        info, _, rest = said[3:-3].partition("\n")
        # The word behind an opening fence names the language, unless the answer begins on its line.
        return (rest if info.strip().isalnum() or not info.strip() else said[3:-3]).strip()
    return said


def is_cut_off(text: str) -> bool:
    """Whether a text ends before its answer does: inside of thoughts, or of JSON, or before
    anything.
    """
    said = core(text)
    return not said or is_unfinished(said)


# --- thoughts ---------------------------------------------------------------------------------


def _without_thoughts(text: str) -> str:
    """All behind the last closing mark that opens nowhere, without the thoughts between two marks.

    A mark inside of a JSON object is a word of the answer, and no mark.
    """
    if not _THOUGHTS.search(text):
        return text
    kept: list[str] = []
    position, opened = 0, -1
    for mark in _thought_marks(text):
        if mark["end"] is not None and opened < 0:
            continue
        if mark["opening"] is None:
            if opened < 0:
                kept.clear()
            opened, position = -1, mark.end()
        elif opened < 0:
            kept.append(text[position : mark.start()])
            opened = mark.start()
    if opened < 0:
        kept.append(text[position:])
    return "".join(kept)


def _thought_marks(text: str) -> Iterator[re.Match[str]]:
    """Those outside of JSON objects."""
    # Both go from left to right, so that each is looked at once.
    spans = _find_objects(text)
    start = end = -1
    for mark in _THOUGHTS.finditer(text):
        while end <= mark.start():
            start, end, _ = next(spans, (len(text), len(text) + 1, {}))
        if not start < mark.start():
            yield mark


def _without_edges(text: str) -> str:
    text = text.strip().strip(_BOM).strip()
    start, end = 0, len(text)
    while leading := _LEADING.match(text, start):
        start = _blanks_after(text, leading.end())
    while trailing := _TRAILING.search(text, max(start, end - _CONTROL_CHARS_MAX), end):
        end = trailing.start()
        while end > start and text[end - 1].isspace():
            end -= 1
    return text[start:end]


def _blanks_after(text: str, position: int) -> int:
    while position < len(text) and text[position].isspace():
        position += 1
    return position


# --- what stands in a text --------------------------------------------------------------------


def _find_objects(text: str) -> Iterator[tuple[int, int, Json]]:
    """The JSON objects of a text from left to right, with where they begin and end."""
    position = starts = 0
    while (position := text.find("{", position)) >= 0 and starts < STARTS_MAX:
        decoded = decoded_at(text, position)
        if decoded is None:
            starts += 1
            position += 1
            continue
        value, end = decoded
        yield position, end, value
        position = end


@dataclass(slots=True)
class _Findings:
    """What was found in a text from left to right, and what stands between."""

    replies: list[Json] = field(default_factory=list)
    calls: list[TextCall] = field(default_factory=list)
    others: list[Any] = field(default_factory=list)
    between: list[str] = field(default_factory=list)

    def add(self, value: Any, name: str | None) -> bool:
        """Whether the value can be what it stands there as."""
        if name is not None and not (name == "" and _is_reply(value)):
            calls = _calls_of(value, name)
            self.calls += calls or []
            return bool(calls)
        if _is_reply(value):
            self.replies += [value] if value not in self.replies else []
        else:
            self.others.append(value)
        return True


def _is_reply(value: Any) -> bool:
    return isinstance(value, dict) and "moves" in value


def _found_within(text: str) -> Any:
    """One object with `moves`, calls behind marks, or nothing but calls; `None` where there is
    none.
    """
    found, marks = _Findings(), _find_marks(text)
    position = starts = 0
    while (start := _next_start(text, position, marks)) is not None and len(found.replies) < 2:
        at, name = start
        found.between.append(text[position:at])
        decoded = decoded_at(text, at)
        if decoded is None:
            if name is not None or _OBJECT.match(text, at) or starts >= STARTS_MAX:
                return None
            starts += 1
            found.between.append(text[at])
            position = at + 1
            continue
        value, position = decoded
        if not found.add(value, name):
            return Problem("has a call that is none: give it `name` and `arguments`.")
    found.between.append(text[position:])
    return _decide_answer(found)


def _decide_answer(found: _Findings) -> Any:
    if len(found.replies) + bool(found.calls) > 1:
        return Problem(
            "has several different answers in it: give one JSON object with all your moves."
        )
    if found.replies:
        return found.replies[0]
    if found.calls:
        return tuple(found.calls)
    if found.others and _BETWEEN.fullmatch("".join(found.between)):
        return _as_calls(found.others)
    return None


def _find_marks(text: str) -> deque[tuple[int, int, str]]:
    """Each mark that has JSON behind it: where it begins, where the JSON does, and the
    function's name.
    """
    marks: deque[tuple[int, int, str]] = deque()
    for mark in _MARK.finditer(text):
        ahead = _FENCE_AHEAD.match(text, mark.end())
        begin = ahead.end() if ahead else mark.end()
        if text[begin : begin + 1] in ("{", "["):
            marks.append((mark.start(), begin, _named_by(mark, text)))
    return marks


def _named_by(mark: re.Match[str], text: str) -> str:
    if mark["before"]:
        before = _NAME_BEFORE.search(text[max(0, mark.start() - 80) : mark.start()])
        return before[1] if before else "?"
    named = (word for key, word in mark.groupdict().items() if word and key != "before")
    return next(named, "")


def _next_start(
    text: str, position: int, marks: deque[tuple[int, int, str]]
) -> tuple[int, str | None] | None:
    """Where the next object begins, and the name that a mark before it gives, if there is a
    mark.
    """
    while marks and marks[0][0] < position:
        marks.popleft()
    brace = text.find("{", position)
    if marks and (brace < 0 or marks[0][0] < brace):
        _, begin, name = marks.popleft()
        return begin, name
    return (brace, None) if brace >= 0 else None


# --- calls in a text --------------------------------------------------------------------------


def _as_calls(value: Any) -> Any:
    """A value as calls, where it has their form and nothing else; else the value."""
    entries = value if isinstance(value, list) else [value]
    calls = [call_of(entry) for entry in entries]
    if calls and all(call is not None for call in calls):
        return tuple(call for call in calls if call is not None)
    return value


def _calls_of(value: Any, name: str) -> list[TextCall] | None:
    if name:
        return [TextCall(name, value)] if isinstance(value, dict) else None
    entries = value if isinstance(value, list) else [value]
    calls = [call_of(entry) or _move_as_call(entry) for entry in entries]
    return None if None in calls else [call for call in calls if call is not None]


def _move_as_call(entry: Any) -> TextCall | None:
    """A move behind a mark for calls is the call of its function."""
    name = entry.get("move") if isinstance(entry, dict) else None
    if not isinstance(name, str):
        return None
    return TextCall(name, {key: value for key, value in entry.items() if key != "move"})


def _read_json(text: str) -> Any:
    """A whole text as JSON, encoded once more if need be; or what is wrong with it."""
    try:
        value = json.loads(text)
        return (
            json.loads(value)
            if isinstance(value, str) and value.lstrip()[:1] in ("{", "[")
            else value
        )
    except json.JSONDecodeError as error:
        return Problem(f"is not valid JSON: {error.msg} at character {error.pos}.")
    except (ValueError, RecursionError):  # a number of thousands of digits, a thousand brackets
        return Problem("is JSON that is too deep or too large to read.")
