"""`swarmd record` and `swarmd forget`: what a mission's models, functions and people answered, as
it is kept in the data folder, and its deletion.

What is read was written by models and strangers: it is shown as such, and obeyed by no terminal.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from swarmd.adapters.record import reading
from swarmd.adapters.record.reading import Call, MissionRecord
from swarmd.cli import order_client
from swarmd.cli.exit_codes import Exit
from swarmd.cli.options import Ordered
from swarmd.cli.render.columns import Column, table_lines
from swarmd.cli.render.text import Ink, counted, excerpt, number, plain
from swarmd.cli.session import Sight, note
from swarmd.cli.verbs import orders, remote
from swarmd.cli.verbs.inspect import AMBIGUOUS_SHOWN
from swarmd.cli.verbs.targets import Meant, Wish
from swarmd.core.model.names import MissionId
from swarmd.errors import NotFoundError, UsageError
from swarmd.settings import Settings

_ANSWER_COLUMNS: Final = 72


def record(settings: Settings, mission: str, call: str, *, as_json: bool) -> Exit:
    """All missions, the calls of one, or one call with its prompt and its answer."""
    root = folder_of(settings)
    if not mission:
        return _list_missions(root, as_json=as_json)
    id = _mission_of(root, mission)
    found = reading.read_mission(root, id)
    if found is None:
        raise _nothing_of(id, root)
    if call:
        return _show_call(found, _call_of(found, call), as_json=as_json)
    return _list_calls(id, found, as_json=as_json)


def folder_of(settings: Settings) -> Path:
    return settings.data / "record"


def _mission_of(root: Path, reference: str) -> MissionId:
    """By its id or the beginning of it."""
    ids = [one.mission for one in reading.kept(root)]
    begun = [id for id in ids if id.startswith(reference)]
    if reference in ids or not begun:
        return MissionId(reference)
    if len(begun) > 1:
        several = ", ".join(begun[:AMBIGUOUS_SHOWN])
        raise UsageError(f"{reference!r} may be any of: {several}", hint="give more of the id")
    return MissionId(begun[0])


def _nothing_of(id: str, root: Path) -> NotFoundError:
    gone = next((one for one in reversed(reading.removed(root)) if one["removed"] == id), None)
    if gone is not None:
        why = f"{gone.get('why')} at {gone.get('at')}"
        return NotFoundError(
            f"the record of {plain(id)} was removed for its {plain(why)}",
            hint="record_megabytes and record_seconds in policies/limits.yaml bound it",
        )
    return NotFoundError(
        f"there is no record of {plain(id)!r} in {root}",
        hint="`swarmd record` lists the missions that have one; a worker keeps it in its own data "
        "folder, and `record: none` in policies/limits.yaml keeps none",
    )


# --- the missions -----------------------------------------------------------------------------


def _list_missions(root: Path, *, as_json: bool) -> Exit:
    kept, removed = reading.kept(root), reading.removed(root)
    if as_json:
        missions = [
            {
                "mission": one.mission,
                "bytes": one.size,
                "began": _moment(one.began),
                "written": _moment(one.written),
            }
            for one in kept
        ]
        _give({"missions": missions, "removed": removed})
        return Exit.DONE
    if kept:
        columns = [
            Column("MISSION", [one.mission for one in kept]),
            Column("BEGAN", [_moment(one.began) for one in kept], rank=1),
            Column("LAST CALL", [_moment(one.written) for one in kept], rank=2),
            Column("KILOBYTES", [number(-(-one.size // 1_000)) for one in kept], rank=3),
        ]
        _say(table_lines(columns, _ink()))
    else:
        note(f"there is no record of any mission in {root}")
    for why in ("age", "size"):
        count = sum(one.get("why") == why for one in removed)
        if count:
            note(f"{counted(count, 'record')} removed for {why} (policies/limits.yaml)")
    return Exit.DONE


# --- the calls of one -------------------------------------------------------------------------


def _list_calls(id: MissionId, found: MissionRecord, *, as_json: bool) -> Exit:
    if as_json:
        # Without the prompts: each holds most of the one before it.
        calls = [
            {name: value for name, value in found.whole(call).items() if name != "given"}
            for call in found.calls
        ]
        unread = {"unreadable": found.unreadable, "newer": found.newer}
        _give({"mission": id, "calls": calls, "left_out": dict(found.left_out), **unread})
        return Exit.DONE
    if found.calls:
        _say(table_lines(_columns(found.calls), _ink()))
    _note_rest(found)
    return Exit.DONE


def _columns(calls: Sequence[Call]) -> list[Column]:
    return [
        Column("CALL", [str(call["call"]) for call in calls]),
        Column("AT", [str(call["at"])[11:19] for call in calls], rank=2),
        Column("AGENT", [str(call.get("agent_name", "")) for call in calls], least=8, rank=4),
        Column("KIND", [str(call["kind"]) for call in calls], rank=5),
        Column("NAME", [str(call.get("name", "")) for call in calls], least=8, rank=6),
        Column("IN", [_counted_of(call, "tokens_in") for call in calls], rank=7, is_optional=True),
        Column(
            "OUT", [_counted_of(call, "tokens_out") for call in calls], rank=7, is_optional=True
        ),
        Column("SECONDS", [_seconds_of(call) for call in calls], rank=3),
        Column("ANSWER", [excerpt(_answer_of(call), _ANSWER_COLUMNS) for call in calls], least=16),
    ]


def _counted_of(call: Call, name: str) -> str:
    count = call.get(f"tokens_{name}")
    return f"{'~' * bool(call.get('assumed'))}{number(count)}" if isinstance(count, int) else ""


def _seconds_of(call: Call) -> str:
    seconds = call.get("seconds")
    is_timed = isinstance(seconds, int | float) and call["kind"] != "person"
    return f"{seconds:.1f}" if is_timed else ""


def _answer_of(call: Call) -> str:
    """An answer in a line: which moves, what a function found, what a person said."""
    text = call.get("text")
    if text is None:
        return "cut off: no answer"
    said = _json_of(str(text))
    failed = "" if call.get("ok", True) else "failed: "
    if call["kind"] == "person" or not isinstance(said, dict):
        return failed + str(text)
    if isinstance(said.get("moves"), list):
        return ", ".join(map(_move_in_words, said["moves"]))
    return failed + (str(said.get("detail") or said.get("why") or "") or str(text))


def _move_in_words(move: Any) -> str:
    if not isinstance(move, dict):
        return str(move)
    what = next((move[name] for name in _TELLING if isinstance(move.get(name), str)), "")
    return f"{move.get('move', '?')} {what}".strip()


_TELLING: Final = ("function", "choice", "key", "to", "room", "target", "text", "reason")


def _note_rest(found: MissionRecord) -> None:
    tokens = sum(int(call.get("used", {}).get("tokens", 0)) for call in found.calls)
    note(f"{counted(len(found.calls), 'call')}, {number(tokens)} tokens")
    for why, count in found.left_out.items():
        note(f"{counted(count, 'call')} left out: {plain(why)}")
    if found.unreadable:
        note(f"{counted(found.unreadable, 'line')} unreadable: cut short when a process was killed")
    for name in found.newer:
        note(f"{plain(name)} was written by another release and is not read")


# --- one call ---------------------------------------------------------------------------------


def _call_of(found: MissionRecord, reference: str) -> Call:
    """By its name, as it is listed."""
    calls = [call for call in found.calls if call["call"] == reference]
    if calls:
        return calls[-1]
    raise NotFoundError(
        f"the record has no call {plain(reference)!r}",
        hint="`swarmd record MISSION` lists them in the column CALL",
    )


def _show_call(found: MissionRecord, call: Call, *, as_json: bool) -> Exit:
    whole = found.whole(call)
    if as_json:
        _give(whole)
        return Exit.DONE
    ink = _ink()
    facts = {name: value for name, value in whole.items() if name not in ("given", "text", "wrote")}
    lines = [
        f"{plain(name)}: {plain(value if isinstance(value, str) else _text_of(value))}"
        for name, value in facts.items()
        if value not in ("", None)
    ]
    if "given" in whole:
        lines += [ink.paint("--- given", "bold"), *_shown(whole["given"], ink)]
    else:
        lines += [ink.paint("--- given: not kept (record: answers)", "bold")]
    if whole.get("wrote"):
        lines += [ink.paint("--- wrote", "bold"), *_shown(whole["wrote"], ink)]
    lines += [ink.paint("--- answered", "bold"), *_shown(_json_of(whole.get("text")), ink)]
    _say(lines)
    return Exit.DONE


def _shown(value: Any, ink: Ink) -> Iterator[str]:
    """Texts as they are read, with whose they are before them; the rest as JSON."""
    if isinstance(value, str):
        yield from (plain(line) for line in value.split("\n"))
    elif isinstance(value, list) and value and all(isinstance(one, str | list) for one in value):
        if len(value) == 2 and value[0] in ("user", "assistant", "system", "tool"):
            yield ink.paint(f"[{value[0]}]", "bold")
            value = value[1:]
        for one in value:
            yield from _shown(one, ink)
    else:
        yield from (plain(line) for line in _text_of(value, indent=2).split("\n"))


def _json_of(text: Any) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return text


def _text_of(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


# --- to forget --------------------------------------------------------------------------------


def forget(settings: Settings, asked: Ordered, mission: str) -> Exit:
    """Done when the supervisor has written it; the files go within a second."""
    id = _mission_of(folder_of(settings), mission)
    return remote.ordered(settings, partial(_order, id), Wish("forget", id, asked.reason), asked)


def _order(
    id: MissionId,
    sight: Sight,
    post: order_client.Post,
    waiting: order_client.Waiting,
    wish: Wish,
    /,
    *,
    is_awaited: bool,
) -> Exit:
    found = Meant(id, "mission")
    order_id, data = orders.give(sight, post, waiting, wish, found, is_awaited=is_awaited)
    outcome = "ordered" if data is None else "done"
    if sight.as_json:
        sight.give(orders.value_of(wish, found, {"order": order_id, "outcome": outcome}))
        return Exit.DONE
    print(plain(f"{id}: {'ordered' if data is None else 'its record is deleted'}"))
    note(
        "not deleted: the journal's digests of it, what streams in Redis still keep, and its files"
    )
    return Exit.DONE


# --- as lines ---------------------------------------------------------------------------------


def _moment(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}Z"


def _ink() -> Ink:
    return Ink.of(sys.stdout, os.environ)


def _say(lines: Sequence[str]) -> None:
    print("\n".join(lines))


def _give(value: Mapping[str, Any]) -> None:
    print(_text_of(value))
