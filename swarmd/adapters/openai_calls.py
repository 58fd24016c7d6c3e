"""The function calls of an answer, put together from the pieces in which they came. Pure.

A piece names its call by an index, an id, or both, and servers get either wrong: one index for all
calls, a new index or id with each piece, none at all. So each way to tell calls apart is tried, the
likeliest first, and the first under which every call is whole is the right one: pieces that were
put together wrongly are no JSON. Where index and id both give whole calls, and different ones, the
answer is ambiguous, and nothing of it is done.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

Json = dict[str, Any]

_ARGUMENTS: Final = ("arguments", "parameters", "args", "input")
# How often arguments may be encoded as text of themselves.
_ENCODED_MAX: Final = 2
_BLANKS: Final = re.compile(r"\s*")
_DECODER: Final = json.JSONDecoder()
_dump: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Fragment:
    """One piece of one call. `delta` numbers the message that brought it."""

    index: int | None
    id: str
    name: str
    arguments: str
    delta: int


@dataclass(frozen=True, slots=True)
class WrittenCall:
    """A call as the model wrote it: nothing of it is checked yet."""

    name: str
    arguments: str


@dataclass(slots=True)
class _Group:
    """The fragments that belong to one call."""

    fragments: list[Fragment] = field(default_factory=list)

    @property
    def id(self) -> str:
        return next((fragment.id for fragment in self.fragments if fragment.id), "")

    @property
    def named_in(self) -> int | None:
        return next((fragment.delta for fragment in self.fragments if fragment.name), None)

    @property
    def has_arguments(self) -> bool:
        return any(fragment.arguments for fragment in self.fragments)

    @property
    def name(self) -> str:
        """Written once, repeated in each piece, or itself in pieces."""
        names = [fragment.name for fragment in self.fragments if fragment.name]
        return names[0] if len(set(names)) == 1 else "".join(names)

    @property
    def is_consistent(self) -> bool:
        """A name in pieces comes before the arguments, under one index."""
        named = [fragment for fragment in self.fragments if fragment.name]
        return len({fragment.name for fragment in named}) < 2 or len({f.index for f in named}) == 1

    def written(self) -> WrittenCall:
        return WrittenCall(self.name, "".join(f.arguments for f in self.fragments))

    def repaired(self) -> WrittenCall:
        """Where arguments came twice, or each piece repeats the ones before it: once."""
        written = self.written()
        pieces = [fragment.arguments for fragment in self.fragments if fragment.arguments]
        if all(b.startswith(a) for a, b in pairwise(pieces)) and pieces:
            return WrittenCall(written.name, pieces[-1])
        return WrittenCall(written.name, _said_once(written.arguments))


@dataclass(frozen=True, slots=True)
class Calls:
    """All calls of an answer. `is_ambiguous`: its pieces can be put together in two ways."""

    calls: tuple[WrittenCall, ...] = ()
    is_whole: bool = False
    is_ambiguous: bool = False


def fragments_of(raw: object, delta: int, *, is_message: bool = False) -> list[Fragment]:
    """The fragments in `tool_calls`; raises `ValueError` where one is no object.

    In a whole message each entry is a call of its own, whatever its numbers say.
    """
    entries = list(raw.values()) if isinstance(raw, dict) and "function" not in raw else raw
    if isinstance(entries, dict):
        entries = [entries]
    found = []
    for position, entry in enumerate(entries if isinstance(entries, list) else []):
        if not isinstance(entry, dict):
            raise ValueError("a tool call of the answer is not an object")
        fragment = fragment_of(entry, delta)
        found.append(_numbered(fragment, position) if is_message else fragment)
    return found


def fragment_of(entry: Mapping[str, Any], delta: int) -> Fragment:
    function = entry.get("function")
    if function is not None and not isinstance(function, dict | str):
        raise ValueError("the function of a tool call is not an object")
    inner: Mapping[str, Any] = function if isinstance(function, dict) else entry
    name = function if isinstance(function, str) else inner.get("name")
    given = next((inner[key] for key in _ARGUMENTS if inner.get(key) is not None), "")
    # Some servers hand the arguments over as the object that they stand for.
    arguments = given if isinstance(given, str) else _dump(given)
    return Fragment(_index(entry.get("index")), _id(entry.get("id")), _text(name), arguments, delta)


def put_together(fragments: Sequence[Fragment]) -> Calls:
    """The calls that these pieces are; those of the likeliest reading where no reading is whole."""
    by_index = _by_index(fragments)
    if not fragments:
        return Calls()
    for form in (_Group.written, _Group.repaired):
        standard, by_id = _whole(by_index, form), _whole(_by_id(fragments), form)
        if standard and by_id and set(standard) != set(by_id):
            return Calls(standard, is_whole=True, is_ambiguous=True)
        found = (
            standard
            or by_id
            or _whole(_by_index_alone(fragments), form)
            or _whole(_in_order(fragments), form)
        )
        if found:
            return Calls(found, is_whole=True)
    return Calls(tuple(group.written() for group in by_index))


def read_arguments(text: str) -> Json | None:
    """The object that arguments stand for, `None` where they are none; encoded twice is decoded twice."""
    value: Any = text
    for _ in range(1 + _ENCODED_MAX):
        if not isinstance(value, str):
            break
        if value.strip() in ("", "null"):
            return {}
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, dict) else None


# --- ways to tell calls apart -----------------------------------------------------------------


def _by_index(fragments: Iterable[Fragment]) -> list[_Group]:
    """By index, and a name with another id or after arguments begins the next call."""
    groups: list[_Group] = []
    current: dict[int, _Group] = {}
    group: _Group | None = None
    for fragment in fragments:
        if fragment.index is not None:
            group = current.get(fragment.index)
        if group is None or _begins_another(group, fragment):
            group = _Group()
            groups.append(group)
        if fragment.index is not None:
            current[fragment.index] = group
        group.fragments.append(fragment)
    return groups


def _begins_another(group: _Group, fragment: Fragment) -> bool:
    if not fragment.name:
        return False
    if fragment.id and group.id:
        return fragment.id != group.id
    return group.has_arguments or group.named_in == fragment.delta


def _by_index_alone(fragments: Iterable[Fragment]) -> list[_Group]:
    groups: dict[int | None, _Group] = {}
    for fragment in fragments:
        groups.setdefault(fragment.index, _Group()).fragments.append(fragment)
    return list(groups.values())


def _by_id(fragments: Iterable[Fragment]) -> list[_Group]:
    """By id; a piece without one belongs to the call that its index had last, else to the newest."""
    groups: dict[str, _Group] = {}
    current: dict[int, _Group] = {}
    newest: _Group | None = None
    for fragment in fragments:
        if fragment.id:
            newest = groups.setdefault(fragment.id, _Group())
        elif fragment.index is not None and fragment.index in current:
            newest = current[fragment.index]
        elif newest is None:
            newest = groups.setdefault("", _Group())
        if fragment.index is not None:
            current[fragment.index] = newest
        newest.fragments.append(fragment)
    return list(groups.values())


def _in_order(fragments: Iterable[Fragment]) -> list[_Group]:
    """Neither is believed: a name begins the next call once the one before it is complete."""
    groups: list[_Group] = []
    depth = _Depth()
    for fragment in fragments:
        if not groups or (fragment.name and groups[-1].name and depth.is_complete):
            groups.append(_Group())
            depth = _Depth()
        groups[-1].fragments.append(fragment)
        depth.add(fragment.arguments)
    return groups


class _Depth:
    """How many brackets of a JSON text are open, piece by piece: decoding it anew each time is quadratic."""

    def __init__(self) -> None:
        self._open = 0
        self._has_begun = False
        self._in_text = False
        self._is_escaped = False

    @property
    def is_complete(self) -> bool:
        return self._has_begun and self._open == 0

    @property
    def is_open(self) -> bool:
        return self._open > 0

    def add(self, text: str) -> None:
        for character in text:
            if self._is_escaped:
                self._is_escaped = False
            elif self._in_text:
                self._is_escaped = character == "\\"
                self._in_text = character != '"'
            elif character == '"' and self._open:
                self._in_text = True
            elif character in "{[":
                self._has_begun = True
                self._open += 1
            elif character in "}]":
                self._open -= 1


def is_unfinished(text: str) -> bool:
    """Whether a text ends inside of a JSON object or list that it began."""
    depth = _Depth()
    depth.add(text)
    return depth.is_open


# --- what a fragment is -----------------------------------------------------------------------


def _whole(groups: Sequence[_Group], form: Callable[[_Group], WrittenCall]) -> tuple[WrittenCall, ...]:
    """The calls, where each of them has a name and an object of arguments; else nothing."""
    calls = tuple(form(group) for group in groups)
    is_whole = all(call.name and read_arguments(call.arguments) is not None for call in calls)
    return calls if is_whole and all(group.is_consistent for group in groups) else ()


def _said_once(arguments: str) -> str:
    """The one object that several JSON documents are, beside empty ones; else the text as it was."""
    said, position = "", 0
    text = arguments.strip()
    first: Any = {}
    try:
        while position < len(text):
            start = position
            document, position = _DECODER.raw_decode(text, start)
            if document not in (first, {}) and first != {}:
                return arguments
            if first == {}:
                first, said = document, text[start:position]
            position = _BLANKS.match(text, position).end()  # type: ignore[union-attr]  # always matches
    except (ValueError, RecursionError):
        return arguments
    return said


def _numbered(fragment: Fragment, position: int) -> Fragment:
    return Fragment(position, f"#{position}", fragment.name, fragment.arguments, fragment.delta)


def _index(value: object) -> int | None:
    match value:
        case bool():
            return None
        case int():
            return value
        case float() if value.is_integer():
            return int(value)
        case str() if value.strip().isdecimal() and len(value) < 10:
            return int(value)
        case _:
            return None


def _id(value: object) -> str:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else _text(value)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
