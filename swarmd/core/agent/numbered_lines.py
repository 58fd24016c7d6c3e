"""Results of functions as a model is shown them: what comes from a file with the number of each
line, so that `file:line` can be cited without counting. Pure.

Each result is cut alone, at a line, and says how to go on.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

# In a result: the lines of one file, or passages that have the same fields each. `total` are the
# lines that the file has.
_OF_LINES: Final = ("path", "start", "lines", "total")
_CUT: Final = "[… cut]"
# For the note at a cut, which says how to go on.
_NOTE_CHARS: Final = 200


def result_text(result: Mapping[str, Any], chars_max: int) -> str:
    """In at most so many characters where it has lines of files; else as JSON, whole."""
    if _has_lines(result):
        rest = {name: value for name, value in result.items() if name not in _OF_LINES}
        return _joined(rest, _file_text(result, _room(rest, chars_max)))
    if _has_passages(result):
        rest = {name: value for name, value in result.items() if name != "passages"}
        return _joined(rest, _passages_text(result["passages"], _room(rest, chars_max)))
    return _json(result)


def once_each(results: Sequence[Any], chars_max: int) -> list[Any]:
    """The results of one answer, each with the passages that none before it has shown: of the
    others `shown_above` names the place. What may have been cut was not shown.
    """
    shown, told = set[_Shown](), list[Any]()
    for result in results:
        if not _has_passages(result):
            told.append(result)
            continue
        told.append(_without(result, shown))
        if len(_json(result)) <= chars_max - _NOTE_CHARS:
            shown.update(map(_shown, result["passages"]))
    return told


# Where a passage stands, and its lines: parts of one long line stand at one place.
_Shown = tuple[str, tuple[str, ...]]


def _without(result: Mapping[str, Any], shown: Collection[_Shown]) -> Mapping[str, Any]:
    passages = result["passages"]
    repeated = [_shown(passage)[0] for passage in passages if _shown(passage) in shown]
    if not repeated:
        return result
    fresh = [passage for passage in passages if _shown(passage) not in shown]
    return {**result, "passages": fresh, "shown_above": repeated}


def _has_passages(result: Any) -> bool:
    passages = result.get("passages") if isinstance(result, dict) else None
    return isinstance(passages, list) and bool(passages) and all(map(_has_lines, passages))


def _shown(part: Mapping[str, Any]) -> _Shown:
    start, count = part["start"], len(part["lines"])
    span = f"{start}" if count <= 1 else f"{start}-{start + count - 1}"
    return f"{_shown_path(part['path'])}:{span}", tuple(part["lines"])


def _has_lines(part: Any) -> bool:
    """A function of a user's own may call anything of its result `lines`."""
    match part:
        case {"path": str(), "start": int(), "lines": [*lines]}:
            return all(isinstance(line, str) for line in lines)
        case _:
            return False


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False)


def _joined(rest: Mapping[str, Any], text: str) -> str:
    return f"{_json(rest)}\n{text}"


def _room(rest: Mapping[str, Any], chars_max: int) -> int:
    return max(0, chars_max - len(_json(rest)) - 1 - _NOTE_CHARS)


def _file_text(part: Mapping[str, Any], room: int) -> str:
    path, start, lines = _shown_path(part["path"]), part["start"], part["lines"]
    total = part["total"] if isinstance(part.get("total"), int) else 0
    if not lines:
        return f"{path}, no lines from {start} on" + (f": it has {total}" if total else "")
    shown = list(_numbered(lines, start, room))
    if len(shown) < len(lines):
        next_line = start + len(shown)
        shown.append(f"{_CUT} the lines from {next_line} on: go on with start={next_line}")
        lines = lines[: next_line - start]
    return "\n".join([_head(path, start, len(lines), total), *shown])


def _passages_text(passages: Sequence[Mapping[str, Any]], room: int) -> str:
    """The best first, whole; those that do not fit are counted."""
    texts = list[str]()
    for passage in passages:
        text = _file_text(passage, room)
        if texts and len(text) + 2 > room:
            left = len(passages) - len(texts)
            return "\n\n".join([*texts, f"{_CUT} {left} more do not fit: ask for fewer at once"])
        texts.append(text)
        room -= len(text) + 2
    return "\n\n".join(texts)


def _shown_path(path: str) -> str:
    """A name with a line break in it could pass for lines of the file."""
    return path if path.isprintable() else json.dumps(path)


def _head(path: str, start: int, count: int, total: int) -> str:
    last = start + count - 1
    where = f"line {start}" if count == 1 else f"lines {start} to {last}"
    return f"{path}, {where}" + (f" of {total}:" if total else ":")


def _numbered(lines: Sequence[str], start: int, room: int) -> Iterator[str]:
    """As many as fit, and at least the first, cut where it has to be."""
    for number, line in enumerate(lines, start):
        text = f"{number}| {line}"
        if len(text) + 1 > room:
            if number == start:
                yield f"{text[: max(0, room - len(_CUT))]}{_CUT}"
            return
        yield text
        room -= len(text) + 1
