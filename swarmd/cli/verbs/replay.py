"""`swarmd replay`: a recorded mission runs again with no model, network or key, on a server of its
own, and is held against its record.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from swarmd.adapters.archive.entries import links
from swarmd.adapters.record import reading
from swarmd.adapters.record.reading import MissionRecord
from swarmd.cli import connection
from swarmd.cli.exit_codes import Exit
from swarmd.cli.render.text import Ink, counted, plain
from swarmd.cli.render.tree import tree_lines
from swarmd.cli.session import Sight, note, print_json
from swarmd.cli.verbs import record as record_verb
from swarmd.cli.verbs.journal import folder_of as journal_folder
from swarmd.cli.verbs.journal import swarm_of
from swarmd.cli.verbs.past import later_than
from swarmd.core.journal.replay import Link
from swarmd.core.journal.sameness import Difference
from swarmd.core.journal.script import Script, script_of
from swarmd.core.model.channels import BOARD_ROOM
from swarmd.core.model.names import MissionId
from swarmd.core.queries.snapshot import MissionView
from swarmd.core.queries.spending import tree_of
from swarmd.errors import NotFoundError, UsageError
from swarmd.settings import Settings

if TYPE_CHECKING:
    from swarmd.app.replaying import Replayed

STEP: Final = "step"
_SPEEDS: Final[Mapping[str, float | None]] = {"0": None, "1": 1.0, "10": 10.0, STEP: None}
_HINT_WHOLE: Final = (
    "replay needs `record: all` or `answers` in policies/limits.yaml while a mission runs, and "
    "room for it (record_megabytes)"
)


@dataclass(frozen=True, slots=True)
class Source:
    """A recorded mission as it was found: its script, its texts as they were handed in, and the
    last entry that is to be played, none for all.
    """

    script: Script
    fields: Mapping[str, str]
    until: int | None


@dataclass(slots=True)
class _Seen:
    """What a look at the replay's own swarm showed, before it went."""

    tree: list[str] = field(default_factory=list)
    motion: str = ""


def replay(settings: Settings, mission: str, speed: str, until: str, *, as_json: bool) -> Exit:
    """0 where the replay is the same, 7 where it differs."""
    if speed not in _SPEEDS:
        raise UsageError(f"--speed {plain(speed)}: there are {', '.join(_SPEEDS)}")
    source, seen = source_of(settings, mission, until), _Seen()
    found = _play(settings, source, speed, seen)
    differences = _each_once(found.differences)
    is_same = all(one.kind == "question" for one in differences)
    told = _Told(source, found, differences, seen, is_same)
    if as_json:
        print_json(told.value())
    else:
        print("\n".join(told.lines()))
    return Exit.DONE if is_same else Exit.FINDINGS


def _play(settings: Settings, source: Source, speed: str, seen: _Seen) -> Replayed:
    from swarmd import logs
    from swarmd.app.replaying import Asked, replay
    from swarmd.cli.verbs.run import run_loop

    # What the parts log is of no interest here but where something fails.
    logs.configure(level="error", form=settings.log_format, secrets=settings.secrets)
    step = _step if speed == STEP else None
    asked = Asked(source.script, source.fields, _SPEEDS[speed], source.until, step)
    return run_loop(partial(replay, settings, asked, partial(_look, settings, source, seen)))


async def _step(what: str) -> None:
    """Waits for a line of standard input; where that has ended, for nothing."""
    import anyio.to_thread

    note(f"next: the answer to call {plain(what)}; Enter gives it")
    await anyio.to_thread.run_sync(sys.stdin.readline)


def _look(settings: Settings, source: Source, seen: _Seen, target: Path, namespace: str) -> None:
    with closing(connection.reader_of(settings, target)) as reader:
        snapshot = reader.snapshot(source.script.mission)
        seen.tree = tree_lines(tree_of(snapshot), Ink.of(sys.stdout, {}), ended=True)
        said = [entry.said.get("text", "") for entry in reader.last_entries(BOARD_ROOM, 100)]
        seen.motion = next((text for text in reversed(said) if text.startswith("Motion ")), "")


# --- what is played ---------------------------------------------------------------------------


def source_of(settings: Settings, reference: str, until: str) -> Source:
    root = record_verb.folder_of(settings)
    id = record_verb.mission_named(root, reference)
    found = reading.read_mission(root, id)
    if found is None:
        raise record_verb.nothing_of(id, root)
    _refuse_partial(id, found)
    with (
        connection.looked_at(settings) as (target, _),
        connection.sight_of(settings, target, as_json=False) as sight,
    ):
        known, journal = sight.reader.mission(id), _links(settings, sight)
    if known is None or not known.text:
        raise NotFoundError(
            f"the text of {plain(id)} is not kept any more",
            hint="an ended mission is kept for retention_seconds (policies/limits.yaml)",
        )
    script = _script(id, found, journal)
    return Source(script, _fields_of(known, script), _entry_of(journal, id, until))


def _refuse_partial(id: MissionId, found: MissionRecord) -> None:
    """Raises `NotFoundError` where answers are missing: what follows from them cannot be played."""
    if found.newer:
        what = f"the record of {plain(id)} was written by another release: {found.newer[0]}"
        raise NotFoundError(what, hint="replay it with the release that recorded it")
    if found.left_out:
        why, count = next(iter(found.left_out.items()))
        what = f"the record of {plain(id)} lacks {counted(count, 'call')}: {plain(why)}"
        raise NotFoundError(what, hint=_HINT_WHOLE)
    if found.unreadable:
        lines = counted(found.unreadable, "line")
        note(f"{lines} of the record cannot be read: what stood there is missing in the replay")
    if not found.calls:
        raise NotFoundError(f"the record of {plain(id)} has no calls", hint=_HINT_WHOLE)


def _links(settings: Settings, sight: Sight) -> list[Link]:
    return [*links(journal_folder(settings), swarm_of(sight.reader), sight.reader.journal())]


def _script(id: MissionId, found: MissionRecord, journal: Sequence[Link]) -> Script:
    try:
        script = script_of(journal, [map(found.whole, calls) for calls in found.files], id)
    except (KeyError, TypeError, ValueError) as error:
        what = f"a line of the record of {plain(id)} cannot be read: {error}"
        raise NotFoundError(what, hint="`swarmd record` shows what can be") from error
    if not script.decisions:
        raise NotFoundError(
            f"the journal tells nothing of {plain(id)}",
            hint="its sealed segments belong into SWARMD_DATA/journal",
        )
    _refuse_unsayable(id, script)
    return script


def _refuse_unsayable(id: MissionId, script: Script) -> None:
    """Raises `NotFoundError` where it is not known what a person ordered."""
    unknown = [word for word in script.words if word.given is None]
    if unknown:
        at = datetime.fromtimestamp(unknown[0].began, UTC)
        raise NotFoundError(
            f"the record of {plain(id)} does not say what the operator ordered at "
            f"{at:%Y-%m-%d %H:%M:%S}Z, for it has answers alone",
            hint="`record: all` in policies/limits.yaml keeps what people order",
        )


def _fields_of(known: MissionView, script: Script) -> dict[str, str]:
    """As the mission was handed in. What it left to the limits of that time is said here, for they
    may be others now.
    """
    stored = known.fields
    fields = {"id": str(known.id), "mission": known.text}
    budget = script.decisions[0].data.get("budget")
    fields |= {"budget": json.dumps(budget)} if budget else {}
    files, board = stored.get("asked_files", "[]"), json.loads(stored.get("board") or "null")
    fields |= {"files": files} if json.loads(files) else {}
    return fields | ({"board": str(board)} if board else {}) | _deadline_of(known, script)


def _deadline_of(known: MissionView, script: Script) -> dict[str, str]:
    deadline = float(known.fields.get("deadline") or 0)
    return {"deadline_s": f"{deadline - script.began:.0f}"} if deadline > script.began else {}


def _entry_of(journal: Sequence[Link], id: MissionId, until: str) -> int | None:
    """The number of the last entry that is not later. Raises `UsageError` or `NotFoundError`."""
    if not until:
        return None
    is_later = later_than(until)
    ours = [link.n for link in journal if link.said.get("mission") == id]
    entry = max((link.n for link in journal if not is_later(link)), default=0)
    is_past_end = until.isdecimal() and int(until) > ours[-1]
    if entry < ours[0] or is_past_end:
        raise NotFoundError(
            f"{plain(until)} is not within {plain(id)}: its entries are {ours[0]} to {ours[-1]}"
        )
    return min(entry, ours[-1])


# --- what is told -----------------------------------------------------------------------------


def _each_once(differences: Sequence[Difference]) -> list[Difference]:
    return list(dict.fromkeys(differences))


@dataclass(frozen=True, slots=True)
class _Told:
    source: Source
    found: Replayed
    differences: Sequence[Difference]
    seen: _Seen
    is_same: bool

    def value(self) -> dict[str, Any]:
        return {
            "mission": self.source.script.mission,
            "until": self.source.until,
            "same": self.is_same,
            "ended": self.found.has_ended,
            "calls": self.found.calls,
            "motion": self.seen.motion,
            "differences": [asdict(one) for one in self.differences],
        }

    def lines(self) -> Iterator[str]:
        if self.source.until is not None:
            yield f"as it was after entry {self.source.until}:"
            yield from self.seen.tree
            yield plain(self.seen.motion or "no motion was before the board yet")
        yield f"{plain(self.source.script.mission)}: {self._verdict()}"
        if self.is_same and self.differences:
            prompts = counted(len(self.differences), "prompt")
            yield f"{prompts} read otherwise than then, and nothing came of it (`--json` has them)"
            return
        for one in self.differences:
            yield f"{one.kind}: {plain(one.where)}"
            yield f"  recorded: {plain(one.recorded)}"
            yield f"  replayed: {plain(one.seen)}"

    def _verdict(self) -> str:
        same = "the same motions, tree, decisions and spending"
        told = same if self.is_same else counted(len(self.differences), "difference")
        if self.source.until is not None:
            told += f" up to entry {self.source.until}"
        return f"{told} ({counted(self.found.calls, 'recorded call')}, no model asked)"
