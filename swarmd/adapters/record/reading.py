"""The record read back: the calls of a mission, with the texts that they name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from swarmd.adapters.files.faults import translated
from swarmd.adapters.files.paths import check_mission
from swarmd.adapters.record import lines
from swarmd.adapters.record.folder import REMOVED, SUFFIX
from swarmd.core.model.names import MissionId

Call = Mapping[str, Any]

_NUMBERS: Final = ("incarnation", "seconds", "mail", "cached")


@dataclass(slots=True)
class MissionRecord:
    """What is kept of one mission. `calls` are in the order in which they began."""

    calls: list[Call] = field(default_factory=list)
    files: list[list[Call]] = field(default_factory=list)  # the same, by their ends in each file
    texts: dict[str, str] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)  # calls, by why
    unreadable: int = 0  # lines that are cut short or no line of ours
    newer: list[str] = field(default_factory=list)  # files of another format

    def find(self, agent: str, incarnation: int, turn: int, step: int) -> Call | None:
        """What was answered to a call of an agent's turn, so that the turn can be made again."""
        key = (agent, incarnation, turn, step)
        return next((call for call in self.calls if _place_of(call) == key), None)

    def whole(self, call: Call) -> dict[str, Any]:
        """A call with the texts that it names put in."""
        return {name: lines.unpack(value, self.texts) for name, value in call.items()}


@dataclass(frozen=True, slots=True)
class Kept:
    """A mission of which there is a record."""

    mission: str
    size: int
    began: float
    written: float


def read_mission(root: Path, mission: MissionId) -> MissionRecord | None:
    """`None` where nothing is kept of it. Raises `WorkspaceError`."""
    check_mission(mission)
    with translated(str(root / mission)):
        if not (root / mission).is_dir():
            return None
        record = MissionRecord()
        for path in sorted((root / mission).glob(f"*{SUFFIX}")):
            begun = len(record.calls)
            _read_file(record, path)
            record.files.append(record.calls[begun:])
    record.calls = _each_once(record.calls)
    kept = set(map(id, record.calls))
    record.files = [[call for call in calls if id(call) in kept] for calls in record.files]
    return record


def kept_missions(root: Path) -> list[Kept]:
    """All of which there is a record, by their beginnings. Raises `WorkspaceError`."""
    with translated(str(root)):
        if not root.is_dir():
            return []
        return sorted(_kept_in(root), key=lambda one: one.began)


def removed_records(root: Path) -> list[Mapping[str, Any]]:
    """The records that were removed to keep the bounds, the latest last."""
    with translated(str(root / REMOVED)):
        if not (root / REMOVED).exists():
            return []
        found = map(lines.read_line, (root / REMOVED).read_bytes().split(b"\n"))
        return [one for one in found if one is not None and "removed" in one]


def _kept_in(root: Path) -> Iterator[Kept]:
    for folder in root.iterdir():
        if not folder.is_dir():
            continue
        files = [path.stat() for path in folder.glob(f"*{SUFFIX}")]
        if files:
            began = min(map(_began_at, folder.glob(f"*{SUFFIX}")))
            size, written = sum(f.st_size for f in files), max(f.st_mtime for f in files)
            yield Kept(folder.name, size, began, written)


def _began_at(path: Path) -> float:
    with path.open("rb") as file:
        head = lines.read_line(file.readline(10_000)) or {}
    try:
        return lines.began(head)
    except ValueError:
        return path.stat().st_mtime


def _read_file(record: MissionRecord, path: Path) -> None:
    if not path.is_file():
        record.unreadable += 1  # a pipe or a device, which would be waited for
        return
    with path.open("rb") as file:
        head = lines.read_line(file.readline())
        if head is not None and head.get("record") != lines.FORMAT:
            record.newer.append(path.name)
            return
        record.unreadable += head is None
        for raw in file:
            if raw.strip():
                _take_line(record, lines.read_line(raw) or {})


def _take_line(record: MissionRecord, line: Call) -> None:
    match line:
        case {"text": str(digest), "is": str(text)}:
            record.texts[digest] = text
        case {"left_out": int(count), "why": str(why)}:
            record.left_out[why] += count
        case {"call": str(), "at": str(), "kind": str(), "turn": int(), "step": int()} if (
            _has_its_types(line)
        ):
            record.calls.append(line)
        case _:
            record.unreadable += 1


def _has_its_types(call: Call) -> bool:
    """Where a line has these fields: one that a hand has changed is as unreadable as a cut one."""
    try:
        has_moment = datetime.fromisoformat(call["at"]).tzinfo is not None
    except ValueError:
        return False
    has_numbers = all(isinstance(call.get(name, 0), int | float) for name in _NUMBERS)
    is_answer = isinstance(call.get("text"), str | dict | None)
    return has_moment and has_numbers and is_answer and isinstance(call.get("used", {}), dict)


def _each_once(calls: list[Call]) -> list[Call]:
    """By their beginnings. Of a call that a successor met again there are two: who made it wrote
    how long it took and what it used.
    """
    first: dict[Any, Call] = {}
    for call in sorted(calls, key=lambda one: (bool(one.get("repeated")), one["at"])):
        # Of people's words a turn may take up several, and take them up again when it is repeated.
        word = (call["at"], call.get("input"), call.get("text")) if call["kind"] == "person" else ()
        first.setdefault((*_place_of(call), *word), call)
    return sorted(first.values(), key=lambda one: (one["at"], one["turn"], one["step"]))


def _place_of(call: Call) -> tuple[Any, Any, Any, Any]:
    return call.get("agent"), call.get("incarnation"), call["turn"], call["step"]
