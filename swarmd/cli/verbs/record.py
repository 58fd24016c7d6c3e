"""`swarmd record` and `swarmd forget`: what a mission's models, functions and people answered, as
it is kept in the data folder, and its deletion.

What is read was written by models and strangers: it is shown as such, and obeyed by no terminal.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
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
from swarmd.cli.session import Sight, note, print_json
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
    id = mission_named(root, mission)
    found = reading.read_mission(root, id)
    if found is None:
        raise nothing_of(id, root)
    if call:
        return _show_call(found, _call_of(found, call), as_json=as_json)
    return _list_calls(id, found, as_json=as_json)


def folder_of(settings: Settings) -> Path:
    return settings.data / "record"


def mission_named(root: Path, reference: str) -> MissionId:
    """By its id or the beginning of it."""
    ids = [one.mission for one in reading.kept_missions(root)]
    begun = [id for id in ids if id.startswith(reference)]
    if reference in ids or not begun:
        return MissionId(reference)
    if len(begun) > 1:
        several = ", ".join(begun[:AMBIGUOUS_SHOWN])
        raise UsageError(f"{reference!r} may be any of: {several}", hint="give more of the id")
    return MissionId(begun[0])


def nothing_of(id: str, root: Path) -> NotFoundError:
    gone = next(
        (one for one in reversed(reading.removed_records(root)) if one["removed"] == id), None
    )
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
    kept, removed = reading.kept_missions(root), reading.removed_records(root)
    if as_json:
        print_json({"missions": [_kept_value(one) for one in kept], "removed": removed})
        return Exit.DONE
    if kept:
        _print_lines(table_lines(_kept_columns([_kept_value(one) for one in kept]), _ink()))
    else:
        note(f"there is no record of any mission in {root}")
    for why, count in Counter(str(one.get("why")) for one in removed).items():
        note(f"{counted(count, 'record')} removed for {plain(why)} (policies/limits.yaml)")
    return Exit.DONE


def _kept_value(one: reading.Kept) -> dict[str, Any]:
    began, written = _moment_of(one.began), _moment_of(one.written)
    return {"mission": one.mission, "began": began, "written": written, "bytes": one.size}


def _kept_columns(kept: Sequence[Mapping[str, Any]]) -> list[Column]:
    return [
        Column("MISSION", [one["mission"] for one in kept]),
        Column("BEGAN", [one["began"] for one in kept], rank=1),
        Column("LAST CALL", [one["written"] for one in kept], rank=2),
        Column("BYTES", [number(one["bytes"]) for one in kept], rank=3),
    ]


# --- the calls of one -------------------------------------------------------------------------


def _list_calls(id: MissionId, found: MissionRecord, *, as_json: bool) -> Exit:
    if as_json:
        # Without the prompts: each holds most of the one before it.
        calls = [
            {name: value for name, value in found.whole(call).items() if name != "given"}
            for call in found.calls
        ]
        unread = {"unreadable": found.unreadable, "newer": found.newer}
        print_json({"mission": id, "calls": calls, "left_out": dict(found.left_out), **unread})
        return Exit.DONE
    if found.calls:
        _print_lines(table_lines(_call_columns(found.calls), _ink()))
    _note_rest(found)
    return Exit.DONE


def _call_columns(calls: Sequence[Call]) -> list[Column]:
    return [
        Column("CALL", [str(call["call"]) for call in calls]),
        Column("AT", [str(call["at"])[11:19] for call in calls], rank=7),
        Column("AGENT", [str(call.get("agent_name", "")) for call in calls], least=8, rank=4),
        Column("KIND", [str(call["kind"]) for call in calls], rank=3),
        Column("NAME", [str(call.get("name", "")) for call in calls], least=8, rank=5),
        Column("IN", [_counted_of(call, "in") for call in calls], rank=2, is_optional=True),
        Column("OUT", [_counted_of(call, "out") for call in calls], rank=2, is_optional=True),
        Column("SECONDS", [_seconds_of(call) for call in calls], rank=6),
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
        print_json(whole)
        return Exit.DONE
    ink, lines = _ink(), _fact_lines(whole)
    if "given" in whole:
        lines += [ink.paint("--- given", "bold"), *_shown_lines(whole["given"], ink)]
    else:
        lines += [ink.paint("--- given: not kept (record: answers)", "bold")]
    if whole.get("wrote"):
        lines += [ink.paint("--- wrote", "bold"), *_shown_lines(whole["wrote"], ink)]
    lines += [ink.paint("--- answered", "bold"), *_shown_lines(_json_of(whole.get("text")), ink)]
    _print_lines(lines)
    return Exit.DONE


def _fact_lines(whole: Mapping[str, Any]) -> list[str]:
    """All of a call but its texts."""
    return [
        f"{plain(name)}: {plain(value if isinstance(value, str) else _text_of(value))}"
        for name, value in whole.items()
        if name not in ("given", "text", "wrote") and value not in ("", None)
    ]


def _shown_lines(value: Any, ink: Ink) -> Iterator[str]:
    """Texts as they are read, with whose they are before them; the rest as JSON."""
    match value:
        case ["user" | "assistant" | "system" | "tool" as whose, said]:
            yield ink.paint(f"[{whose}]", "bold")
            yield from _shown_lines(said, ink)
        case [str() | list(), *_]:
            for one in value:
                yield from _shown_lines(one, ink)
        case _:
            text = value if isinstance(value, str) else _text_of(value, indent=2)
            yield from map(plain, text.split("\n"))


def _json_of(text: Any) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return text


def _text_of(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


# --- to forget --------------------------------------------------------------------------------


def forget(settings: Settings, asked: Ordered, mission: str) -> Exit:
    """Done when the supervisor has written it; the files go within a second. Raises `NotFoundError`
    where there is surely nothing to delete.
    """
    root = folder_of(settings)
    wish = Wish("forget", mission_named(root, mission), asked.reason)
    # The server of a data folder works on that folder alone; with another the record may be
    # elsewhere.
    holds_all = settings.redis_url is None
    return remote.ordered(settings, partial(order_forgetting, root, holds_all), wish, asked)


def order_forgetting(
    root: Path,
    holds_all: bool,
    sight: Sight,
    post: order_client.Post,
    waiting: order_client.Waiting,
    wish: Wish,
    /,
    *,
    is_awaited: bool,
) -> Exit:
    id, found = MissionId(wish.reference), Meant(wish.reference, "mission")
    is_here = any(one.mission == id for one in reading.kept_missions(root))
    known = sight.reader.mission(id)
    # One that has not ended is refused by the supervisor, which says why.
    if not is_here and (known is None or (holds_all and known.has_ended)):
        raise nothing_of(id, root)
    order_id, data = orders.give(sight, post, waiting, wish, found, is_awaited=is_awaited)
    outcome = "ordered" if data is None else "done"
    if sight.as_json:
        sight.give(orders.value_of(wish, found, {"order": order_id, "outcome": outcome}))
        return Exit.DONE
    print(plain(f"{id}: {'ordered' if data is None else 'its record is deleted'}"))
    if not is_here:
        note(f"there is none in {root}: what the supervisor's data folder has of it goes")
    note(
        "not deleted: the journal's digests of it, what streams in Redis still keep, and its files"
    )
    return Exit.DONE


# --- as lines ---------------------------------------------------------------------------------


def _moment_of(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}Z"


def _ink() -> Ink:
    return Ink.of(sys.stdout, os.environ)


def _print_lines(lines: Sequence[str]) -> None:
    print("\n".join(lines))
