"""Missions as they are handed in and waited for.

How a mission ended is read from its record, never assumed: what a verb reports, the supervisor has
written.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from swarmd.cli.amounts import budget_of, hint_of
from swarmd.cli.order_client import Waiting, new_id
from swarmd.cli.render.text import plain
from swarmd.cli.session import Sight, note
from swarmd.core.model.channels import RESULTS
from swarmd.core.model.lineage import EVERYTHING
from swarmd.core.model.names import AgentId, MissionId
from swarmd.core.model.refusals import Rule
from swarmd.core.queries.snapshot import MissionView, mission_view
from swarmd.errors import NotFoundError, RefusedError, UsageError
from swarmd.ports.reader import Reader
from swarmd.settings import Settings

MISSION_BYTES_MAX: Final = 1_000_000


# One word with an ending, as `notes.md` or `docs/a.txt`: nobody asks for work in such a word.
_FILE_NAME: Final = re.compile(r"(?=[^\s]*[A-Za-z])[\w./~-]+\.[A-Za-z][A-Za-z0-9]{0,4}")


def mission_text(given: str, stdin: Callable[[], bytes]) -> str:
    """The mission: as given, or standard input for `-`. Raises `UsageError` for what would be
    rejected.
    """
    raw = stdin() if given == "-" else given.encode("utf-8", "surrogateescape")
    if len(raw) > MISSION_BYTES_MAX:
        raise UsageError(
            f"the mission is {len(raw):,} bytes long; at most {MISSION_BYTES_MAX:,} are taken",
            hint="put the material into files and name them with --files",
        )
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(
            "the mission is not UTF-8 text", hint="binary material goes into files"
        ) from error
    if not text.strip():
        raise UsageError("the mission is empty", hint='say what is to be done: swarmd run "…"')
    if given != "-" and _FILE_NAME.fullmatch(text.strip()):
        raise UsageError(
            f"the mission is {text.strip()!r}, which is a file's name and not what is to be done",
            hint=f'name it beside the mission: "What is to be done" --files {text.strip()}; `-` '
            "instead of the mission reads it from standard input",
        )
    return text


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a mission may ask for beside its work, as the options say it."""

    budget: str | None = None
    deadline: float | None = None
    board: str | None = None


def entrance_fields(
    text: str, id: str | None, wishes: Wishes, files: Sequence[str]
) -> dict[str, str]:
    """The contract's fields of `XADD swarm:missions`. Raises `UsageError` for what would be
    rejected.

    The id is made here where none was given, so that a repeated write is the same mission.
    """
    from swarmd.core.missions.intake import parse_mission

    if id == "":
        raise UsageError("--id is empty", hint="1 to 64 of A-Z a-z 0-9 _ -")
    fields = {"mission": text, "id": id or new_id("m")}
    if wishes.budget:
        fields["budget"] = json.dumps(budget_of(wishes.budget))
    if wishes.deadline is not None:
        fields["deadline_s"] = f"{wishes.deadline:g}"
    if wishes.board is not None:
        fields["board"] = wishes.board
    if files:
        fields["files"] = json.dumps(list(files))
    fault = parse_mission(fields)
    if isinstance(fault, str):
        hint = hint_of("--budget") if fault.startswith("budget") else ""
        hint = "--board all, or a number of seats" if fault.startswith("board") else hint
        raise UsageError(f"the mission cannot be taken: {fault}", hint=hint)
    return fields


def refuse_missing_files(settings: Settings, id: str, names: Sequence[str]) -> None:
    """Raises `NotFoundError` for a name that stands for nothing, where the swarm's own folders can
    be looked into from here; elsewhere the supervisor tells of it.
    """
    from swarmd.adapters import halt_file

    told = [one.knowledge for one in halt_file.parts(settings.data) if one.is_alive]
    folders = [Path(folder) for folder in told if folder]
    if not folders:
        return
    own = settings.data / "workspace" / id
    places = [*folders, own / "given", own / "work"]
    missing = [name for name in names if not any(_may_be_in(place, name) for place in places)]
    if missing:
        raise NotFoundError(
            f"no such file or folder in the swarm's knowledge folder {folders[0]}: "
            f"{', '.join(missing)}",
            hint="put it there first, or use `swarmd run`, which takes files from anywhere",
        )


def _may_be_in(place: Path, name: str) -> bool:
    """What may not be looked at, or is none of the swarm's files, is left to the supervisor, which
    refuses it by its rule. `policies/` is in every swarm.
    """
    path = Path(name)
    if path.is_absolute() or ".." in path.parts or path.parts[:1] == ("policies",):
        return True
    try:
        (place / path).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError):
        return True
    return True


def refuse_conflict(reader: Reader, fields: Mapping[str, str]) -> None:
    """The same id and content is the same mission; other content is told under another id, too
    late for us.
    """
    from swarmd.core.missions.intake import RESERVED_IDS

    if fields["id"] in RESERVED_IDS or reader.is_agent(AgentId(fields["id"])):
        raise RefusedError(
            f"refused by {Rule.MISSION_INVALID.value}: {fields['id']} names somebody of the swarm",
            hint="choose another --id, or none",
            rule=Rule.MISSION_INVALID.value,
        )
    known = reader.mission(MissionId(fields["id"]))
    if known is not None and is_turned_away(known):
        return
    if known is not None and known.text not in ("", fields["mission"]):
        raise RefusedError(
            (
                f"refused by {Rule.MISSION_CONFLICT.value}: {fields['id']} is a mission with other "
                "content"
            ),
            hint=f"swarmd inspect {fields['id']}",
            rule=Rule.MISSION_CONFLICT.value,
        )


def await_mission(
    sight: Sight, waiting: Waiting, id: MissionId, former: MissionView | None = None
) -> MissionView:
    """Follows the mission to its end, and says on the way what it comes to.

    `former` is the record of what was turned away under this id before: it is not this one's end.
    """
    told = ""
    held: tuple[str, ...] = ()
    while True:
        mission = sight.reader.mission(id)
        if mission is None:
            # What never became a mission (invalid, or its id is another's) is told on `results`
            # only.
            if (refused := _result_of(sight.reader, id)) is not None:
                return refused
            if told:
                raise NotFoundError(
                    f"the record of mission {id} is gone",
                    hint="its data was deleted: submit it again",
                )
        elif mission != former:
            told, held = _tell_state(mission, told), _tell_held(mission, held)
            if mission.has_ended:
                return mission
        waiting.pause()


def _tell_state(mission: MissionView, told: str) -> str:
    if mission.state != told:
        note(f"{mission.id}: {plain(mission.state)}")
    return mission.state


def _tell_held(mission: MissionView, told: tuple[str, ...]) -> tuple[str, ...]:
    """What keeps the mission from moving, so that nobody waits without knowing for what."""
    if mission.stopped and mission.stopped != told:
        which = ", ".join("all" if one == EVERYTHING else plain(one) for one in mission.stopped)
        note(
            f"{mission.id}: nothing of it moves while {which} is stopped (`swarmd stops` says by "
            f"whom and why); `swarmd thaw {mission.stopped[0].replace(EVERYTHING, 'all')}` lets it "
            "go on"
        )
    return mission.stopped


def is_turned_away(mission: MissionView) -> bool:
    """Its id is free to be used again, so that this record is of no later mission of that id."""
    from swarmd.core.missions.queue import may_come_again

    return may_come_again(mission.fields)


def _result_of(reader: Reader, id: MissionId) -> MissionView | None:
    for entry in reader.last_entries(RESULTS, 100):
        data = _object(entry.said.get("data", ""))
        if id in (entry.said.get("mission"), data.get("asked")):
            return mission_view(_record_of(id, entry.said, data))
    return None


def _record_of(id: str, said: Mapping[str, str], data: Mapping[str, Any]) -> dict[str, str]:
    """The record that the mission would have, of its result."""
    return {
        "id": id,
        "state": str(data.get("state", "")),
        "reason": str(data.get("reason", "")),
        "result": said.get("text", ""),
        "ended": said.get("at", ""),
    }


def _object(text: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def standard_input() -> bytes:
    """Bounded: a mission that is too long need not be read whole to be refused."""
    if sys.stdin.isatty():
        note("reading the mission from standard input; end it with Ctrl-D")
    try:
        return sys.stdin.buffer.read(MISSION_BYTES_MAX + 1)
    except OSError as error:
        raise UsageError(
            f"standard input cannot be read: {error.strerror or error}",
            hint="give the text itself, or a file to read it from: swarmd submit - < FILE",
        ) from error
