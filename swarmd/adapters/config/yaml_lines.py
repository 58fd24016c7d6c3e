"""YAML read with the line of each value, so that a fault can name it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from swarmd.core.model.charter import AMOUNT_MAX

if TYPE_CHECKING:
    from yaml import Node
from swarmd.adapters.config.faults import NoteFault, SourceFile, field_path, shortened

VALUES_MAX: Final = 10_000  # of one file; ours have dozens, and each wrong one is a fault to say


DEPTH_MAX: Final = 16  # ours nest three deep; deeper ones are made to exhaust a parser's stack


_DECIMAL: Final = re.compile(r"[-+]?(?:0|[1-9][0-9_]*)(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Located:
    """A value as JSON would have it, with the lines that it, its keys and its parts stand on."""

    value: Any
    line: int
    parts: Mapping[str | int, Located] = field(default_factory=dict)
    keys: Mapping[str, int] = field(default_factory=dict)

    def part(self, key: str) -> Located:
        """The part of that key; one without a value where there is none."""
        return self.parts.get(key, Located(None, 1))

    def line_of(self, path: Sequence[str | int]) -> int:
        """The line of the deepest part of `path` that exists."""
        at = self
        for part in path:
            if part not in at.parts:
                return at.line
            at = at.parts[part]
        return at.line

    def key_line_of(self, path: Sequence[str | int]) -> int:
        """The line of the key that `path` ends in."""
        at = self
        for part in path[:-1]:
            at = at.parts.get(part, at)
        return at.keys.get(str(path[-1]), self.line_of(path))


@cache
def _loader() -> Any:
    """The C parser where there is one: ten times faster, and its scanner needs no stack."""
    import yaml

    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def parse_lines(text: str, note: NoteFault) -> Located | None:
    """Parse YAML safely; `None` where it is no YAML at all, which was noted."""
    import yaml

    try:
        if not _is_printable(text, note) or not _is_plain(text, note):
            return None
        node = yaml.compose(text, Loader=_loader())
    # The parsers raise their own errors, and plain ones for what only the conversion of an escape
    # finds.
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        note(
            _line_of_mark(mark), "file", f"is not YAML: {getattr(error, 'problem', None) or error}"
        )
        return None
    return _of_node(node, (), note) if node else Located(None, 1)


def _is_printable(text: str, note: NoteFault) -> bool:
    import yaml

    unfit = yaml.reader.Reader.NON_PRINTABLE.search(text) or re.search("\ufeff", text)
    if unfit:
        line = text.count("\n", 0, unfit.start()) + 1
        note(line, "file", f"has the control character {unfit[0]!r}")
    return not unfit


def _line_of_mark(mark: Any) -> int:
    """Counted from 1; some errors of the parsers have no mark."""
    return mark.line + 1 if mark else 1


def _is_plain(text: str, note: NoteFault) -> bool:
    """Refuses what a small file can grow large by, before anything is built from it.

    Aliases are refused altogether: no declaration needs one, and counting what they unfold to would
    be a second parser.
    """
    import yaml

    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=_loader())):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(
            event, yaml.CollectionEndEvent
        )
        if getattr(event, "anchor", None):
            note(
                _line_of_mark(event.start_mark),
                "file",
                "anchors and aliases are not allowed; write it out",
            )
            return False
        if count > VALUES_MAX:
            note(_line_of_mark(event.start_mark), "file", f"has more than {VALUES_MAX} values")
            return False
        if depth > DEPTH_MAX:
            note(_line_of_mark(event.start_mark), "file", f"is nested more than {DEPTH_MAX} deep")
            return False
    return True


def _of_node(node: Node, path: tuple[str | int, ...], note: NoteFault) -> Located:
    import yaml

    match node:
        case yaml.MappingNode(tag="tag:yaml.org,2002:map"):
            return _of_mapping(node, path, note)
        case yaml.SequenceNode(tag="tag:yaml.org,2002:seq"):
            return _of_sequence(node, path, note)
        case yaml.ScalarNode():
            return _of_scalar(node, path, note)
        case _:
            line = _line_of_mark(node.start_mark)
            note(line, field_path(path), f"the tag {shortened(node.tag)} is not allowed")
            return Located(None, line)


def _of_sequence(node: Node, path: tuple[str | int, ...], note: NoteFault) -> Located:
    parts: dict[str | int, Located] = {
        at: _of_node(item, (*path, at), note) for at, item in enumerate(node.value)
    }
    return Located([part.value for part in parts.values()], _line_of_mark(node.start_mark), parts)


def _of_scalar(node: Node, path: tuple[str | int, ...], note: NoteFault) -> Located:
    line = _line_of_mark(node.start_mark)
    try:
        return Located(_value_of_scalar(node), line)
    except ValueError as error:
        note(line, field_path(path), str(error))
        return Located(None, line)


def _of_mapping(node: Node, path: tuple[str | int, ...], note: NoteFault) -> Located:
    parts: dict[str | int, Located] = {}
    keys: dict[str, int] = {}
    for key_node, value_node in node.value:
        key = _new_key(key_node, keys, path, note)
        if key is not None:
            keys[key] = _line_of_mark(key_node.start_mark)
            parts[key] = _of_node(value_node, (*path, key), note)
    value = {key: part.value for key, part in parts.items()}
    return Located(value, _line_of_mark(node.start_mark), parts, keys)


def _new_key(
    node: Node, keys: Mapping[str, int], path: tuple[str | int, ...], note: NoteFault
) -> str | None:
    """As it is written: `on` and `1` are names here, not a truth and a number."""
    import yaml

    line, key = _line_of_mark(node.start_mark), node.value
    if not isinstance(node, yaml.ScalarNode):
        note(line, field_path(path), "a key must be a word")
        return None
    if key in keys:
        note(line, field_path((*path, key)), f"is given twice, first on line {keys[key]}")
        return None
    return str(key)


def _value_of_scalar(node: Node) -> Any:
    """The value of a scalar by YAML's own rules. Raises `ValueError` with what is wrong."""
    kind = node.tag.removeprefix("tag:yaml.org,2002:")
    if kind in ("str", "timestamp", "value", "merge"):
        text: str = node.value
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise ValueError("has half of a surrogate pair")
        return text
    if kind not in ("null", "bool", "int", "float"):
        raise ValueError(f"the tag {shortened(node.tag)} is not allowed")
    # YAML 1.1 takes 010 for 8 and 1:30 for 90, which nobody who writes a limit means.
    if kind in ("int", "float") and not _DECIMAL.fullmatch(node.value):
        raise ValueError(f"must be a decimal number, not {shortened(node.value)}")
    value = _construct_value(node, kind)
    if isinstance(value, int | float):
        _check_amount(value)
    return value


def _construct_value(node: Node, kind: str) -> Any:
    import yaml

    try:
        return yaml.constructor.SafeConstructor().construct_object(node)
    except (ValueError, KeyError, yaml.YAMLError):
        raise ValueError(f"{shortened(node.value)} is not a value of type {kind}") from None


def _check_amount(value: float) -> None:
    if not abs(value) < float("inf"):
        raise ValueError("is not a finite number")
    if abs(value) > AMOUNT_MAX:
        raise ValueError(f"is beyond {AMOUNT_MAX:,}, up to which numbers are exact")


@dataclass(frozen=True, slots=True)
class Parsed:
    """A file of fields as it was read, and its model where it has no fault of its own.

    What is compared between files is taken from `located`, so that one fault in a file does not
    hide another until the next run.
    """

    file: SourceFile
    located: Located
    model: Any = None

    def note(self, path: Sequence[str | int], what: str) -> None:
        self.file.note(self.located.line_of(path), field_path(path), what)

    def words(self, key: str) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """The texts at `key`, alone or in a list, each with its path."""
        at = self.located.part(key)
        for path, part in [
            ((key,), at),
            *(((key, index), item) for index, item in at.parts.items()),
        ]:
            if isinstance(part.value, str):
                yield path, part.value

    def number(self, *path: str) -> int | None:
        at: Located | None = self.located
        for part in path:
            at = at and at.parts.get(part)
        return at.value if at and type(at.value) is int else None
