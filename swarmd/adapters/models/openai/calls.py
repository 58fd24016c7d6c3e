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

from swarmd.adapters.models.openai.json_text import Depth, read_arguments, said_once
from swarmd.core.model.exchange import MoveCall

Json = dict[str, Any]

SHOWN_CHARS_MAX: Final = 8_000  # of calls that could not be used: the model wrote them itself
_CALLABLE: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ARGUMENTS: Final = ("arguments", "parameters", "args", "input")
_NAMES: Final = ("name", "function", "tool", "tool_name", "recipient_name")
_BESIDE: Final = frozenset({"type", "id", "index"})
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


@dataclass(frozen=True, slots=True)
class TextCall:
    """A call of a function that was written as text."""

    name: str
    arguments: Json


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
        return WrittenCall(written.name, said_once(written.arguments))


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
        found.append(_number_fragment(fragment, position) if is_message else fragment)
    return found


def fragment_of(entry: Mapping[str, Any], delta: int) -> Fragment:
    function = entry.get("function")
    if function is not None and not isinstance(function, dict | str):
        raise ValueError("the function of a tool call is not an object")
    inner: Mapping[str, Any] = function if isinstance(function, dict) else entry
    name = function if isinstance(function, str) else inner.get("name")
    index, id = _index_of(entry.get("index")), _id_of(entry.get("id"))
    return Fragment(index, id, _as_text(name), _arguments_in(inner), delta)


def _arguments_in(inner: Mapping[str, Any]) -> str:
    given = next((inner[key] for key in _ARGUMENTS if inner.get(key) is not None), "")
    # Some servers hand the arguments over as the object that they stand for.
    return given if isinstance(given, str) else _dump(given)


def put_together(fragments: Sequence[Fragment]) -> Calls:
    """The calls that these pieces are; those of the likeliest reading where no reading is whole."""
    if not fragments:
        return Calls()
    by_index = _by_index(fragments)
    for form in (_Group.written, _Group.repaired):
        calls = _whole_calls(fragments, by_index, form)
        if calls is not None:
            return calls
    return Calls(tuple(group.written() for group in by_index))


def _whole_calls(
    fragments: Sequence[Fragment],
    by_index: Sequence[_Group],
    form: Callable[[_Group], WrittenCall],
) -> Calls | None:
    """The calls of the likeliest reading under which each of them is whole."""
    standard, by_id = _calls_if_whole(by_index, form), _calls_if_whole(_by_id(fragments), form)
    # Without an id, a second reading that is whole is chance, and no server's word.
    has_ids = any(fragment.id for fragment in fragments)
    if has_ids and standard and by_id and set(standard) != set(by_id):
        return Calls(standard, is_whole=True, is_ambiguous=True)
    found = (
        standard
        or by_id
        or _calls_if_whole(_by_index_alone(fragments), form)
        or _calls_if_whole(_in_order(fragments), form)
    )
    return Calls(found, is_whole=True) if found else None


def shown_calls(written: Calls) -> tuple[MoveCall, ...]:
    """Calls that could not be used, as they can be shown to the model again; none where a server
    could not read one of them.
    """
    shown = []
    for call in written.calls:
        arguments = read_arguments(call.arguments)
        if arguments is None or not _CALLABLE.fullmatch(call.name):
            return ()
        shown.append(MoveCall(call.name, _dump(arguments)))
    chars = sum(len(call.arguments) for call in shown)
    return () if written.is_ambiguous or chars > SHOWN_CHARS_MAX else tuple(shown)


def call_of(entry: Any) -> TextCall | None:
    """`{"name": …, "arguments": {…}}` in the spellings that models use; `None` for anything
    else.
    """
    if not isinstance(entry, dict):
        return None
    if isinstance(inner := entry.get("function"), dict) and set(entry) <= _BESIDE | {"function"}:
        return call_of(inner)
    keys = _keys_of_call(entry)
    if keys is None:
        return None
    name, arguments = entry[keys[0]], entry[keys[1]]
    if isinstance(arguments, str):
        arguments = read_arguments(arguments)
    if not isinstance(name, str) or not isinstance(arguments, Mapping):
        return None
    return TextCall(name, dict(arguments))


def _keys_of_call(entry: Mapping[str, Any]) -> tuple[str, str] | None:
    """Under which its name and its arguments stand, where nothing else does."""
    names = [key for key in _NAMES if key in entry]
    given = [key for key in _ARGUMENTS if key in entry]
    if len(names) != 1 or len(given) != 1 or set(entry) - _BESIDE - {names[0], given[0]}:
        return None
    return names[0], given[0]


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
    """By id; a piece without one belongs to the call that its index had last, else to the
    newest.
    """
    groups: dict[str, _Group] = {}
    current: dict[int | None, _Group] = {}
    newest: _Group | None = None
    for fragment in fragments:
        if fragment.id or newest is None:
            newest = groups.setdefault(fragment.id, _Group())
        elif fragment.index in current:
            newest = current[fragment.index]
        if fragment.index is not None:
            current[fragment.index] = newest
        newest.fragments.append(fragment)
    return list(groups.values())


def _in_order(fragments: Iterable[Fragment]) -> list[_Group]:
    """Neither is believed: a name begins the next call once the one before it is complete."""
    groups: list[_Group] = []
    depth = Depth()
    for fragment in fragments:
        if not groups or (fragment.name and groups[-1].name and depth.is_complete):
            groups.append(_Group())
            depth = Depth()
        groups[-1].fragments.append(fragment)
        depth.add(fragment.arguments)
    return groups


# --- what a fragment is -----------------------------------------------------------------------


def _calls_if_whole(
    groups: Sequence[_Group], form: Callable[[_Group], WrittenCall]
) -> tuple[WrittenCall, ...]:
    """The calls, where each of them has a name and an object of arguments; else nothing."""
    calls = tuple(form(group) for group in groups)
    is_whole = all(call.name and read_arguments(call.arguments) is not None for call in calls)
    return calls if is_whole and all(group.is_consistent for group in groups) else ()


def _number_fragment(fragment: Fragment, position: int) -> Fragment:
    return Fragment(position, f"#{position}", fragment.name, fragment.arguments, fragment.delta)


def _index_of(value: object) -> int | None:
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


def _id_of(value: object) -> str:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else _as_text(value)


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else ""
