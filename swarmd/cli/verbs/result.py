"""What a mission delivered, handed over: the text, and its files into a folder."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from swarmd.adapters import secret
from swarmd.adapters.files.handover import MissionFiles, Target, Written
from swarmd.cli import connection
from swarmd.cli.exit_codes import Exit, TimedOutError, exit_of_mission
from swarmd.cli.options import HandOver
from swarmd.cli.render import values
from swarmd.cli.render.text import amounts, columns_of, plain
from swarmd.cli.render.wrapping import wrapped
from swarmd.cli.session import Sight, note, note_explain, print_json
from swarmd.cli.verbs.inspect import named
from swarmd.core.model.masking import Masking
from swarmd.core.model.names import MissionId, MissionState
from swarmd.core.queries.refusals import first_code
from swarmd.core.queries.snapshot import NO_ACCOUNT, MissionView
from swarmd.core.queries.spending import spent_of, used
from swarmd.errors import NotFoundError, SwarmError, UsageError, WorkspaceError
from swarmd.ports.files import LeftOut
from swarmd.ports.reader import Reader
from swarmd.settings import Settings

RESULT: Final = "result.md"
# Of a list that is told beside a result.
FILES_SHOWN: Final = 5


def result(settings: Settings, reference: str, out: HandOver, *, as_json: bool) -> Exit:
    """Prints what an ended mission delivered, and hands its files over."""
    refuse_folder(out)
    return connection.look(
        settings, as_json, lambda sight: of_mission(sight, settings, reference, out)
    )


def of_mission(sight: Sight, settings: Settings, reference: str, out: HandOver) -> Exit:
    """As `result`, of a swarm that is looked at. Raises `NotFoundError`, or `TimedOutError` for a
    mission that has not ended.
    """
    mission = _mission_named(sight.reader, reference)
    if not mission.has_ended:
        # It is asked for now, and is not there now: as a wait whose time is up.
        raise TimedOutError(
            f"mission {mission.id} has not ended: it is {plain(mission.state)}",
            hint="`swarmd tree` shows what it does, `swarmd tail results` tells its end",
        )
    return ended(settings, out, sight, mission)


def ended(settings: Settings, out: HandOver, sight: Sight, mission: MissionView) -> Exit:
    """Prints an ended mission's result and hands it over."""
    account = sight.reader.accounts([mission.id]).get(mission.id, NO_ACCOUNT)
    return tell_end(settings, out, mission, used(spent_of(account)), as_json=sight.as_json)


def tell_end(
    settings: Settings,
    out: HandOver,
    mission: MissionView,
    spent: Mapping[str, int],
    *,
    as_json: bool,
) -> Exit:
    """Prints an ended mission's result, hands its files over and says how both went. A mission
    that delivered is done only where its files were handed over, too.
    """
    value, handed = values.mission_value(mission) | {"spent": dict(spent)}, Exit.DONE
    if out.folder is not None:
        came = hand_over(settings, mission, out.folder, is_forced=out.force)
        value, told, handed = value | {"handed_over": came.value()}, came.told(), came.code
    else:
        told = _files_told(settings, mission)
    if as_json:
        print_json(value)
    else:
        _print_end(mission, spent, told)
    return exit_of_mission(mission.state, mission.reason) or handed


def _print_end(mission: MissionView, spent: Mapping[str, int], of_files: Iterable[str]) -> None:
    """The result alone on standard output, or the reports that were finished where the board could
    not deliver them. On standard error what is to be told of files, and last how it ended.
    """
    if mission.result:
        print(_as_read(plain(mission.result, multiline=True)))
    for line in of_files:
        note(line)
    reason = mission.reason if mission.state != MissionState.DELIVERED else ""
    why = f": {plain(reason)}" if reason else ""
    note(f"{mission.id}: {plain(mission.state)}{why} (spent {amounts(spent)})")
    note_explain(first_code(reason))


def _as_read(text: str) -> str:
    """On a terminal in lines that fit it; a pipe gets what was delivered, whatever `COLUMNS` is."""
    columns = columns_of(sys.stdout, os.environ) if sys.stdout.isatty() else None
    return wrapped(text, columns) if columns else text


# --- the folder -------------------------------------------------------------------------------


def refuse_folder(out: HandOver) -> None:
    """Raises `UsageError` for a folder that files cannot be handed over to: before a mission is
    paid for, and not after.
    """
    folder = out.folder
    if folder is None:
        if out.force:
            raise UsageError("--force is said of --out", hint="--out DIR --force")
        return
    above = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    if not above.is_dir():
        raise UsageError(f"--out {folder}: {above} is a file", hint="name a folder")
    if above is folder and not out.force and not _is_empty(folder):
        raise UsageError(
            f"--out {folder} is not empty",
            hint="name another folder, or --force: what is there stays, and files of the same "
            "names are replaced",
        )
    if not os.access(above, os.W_OK | os.X_OK):
        raise UsageError(f"--out {folder}: {above} cannot be written", hint="name another folder")


def _is_empty(folder: Path) -> bool:
    try:
        return not any(folder.iterdir())
    except OSError as error:
        raise UsageError(f"--out {folder}: {error.strerror}", hint="name another folder") from error


@dataclass(frozen=True, slots=True)
class Handed:
    """What came of it. `elsewhere` are files that are not on this machine."""

    mission: str
    folder: Path
    files: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    absent: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()

    @property
    def code(self) -> Exit:
        """A name that a model made up is told, and is no failure."""
        if self.elsewhere:
            return Exit.NOT_FOUND
        return Exit.FAILED if self.left_out else Exit.DONE

    def value(self) -> dict[str, Any]:
        return {
            "folder": str(self.folder),
            "files": list(self.files),
            "left_out": [{"path": one.path, "why": one.why} for one in self.left_out],
            "absent": list(self.absent),
            "elsewhere": list(self.elsewhere),
        }

    def told(self) -> Iterator[str]:
        """For people, a line each."""
        count = len(self.files)
        yield f"{count} {'file' if count == 1 else 'files'} in {self.folder}"
        for one in self.left_out[:FILES_SHOWN]:
            yield f"not handed over: {plain(one.path)}: {plain(one.why)}"
        for path in self.absent[:FILES_SHOWN]:
            yield f"named by a report and never written: {plain(path)}"
        if self.elsewhere:
            yield (
                f"{len(self.elsewhere)} more are not on this machine: they are on the volume of "
                "the swarm's workers. Run `swarmd result` where that is mounted; with compose: "
                f"docker compose cp worker:/data/workspace/{self.mission}/work/work "
                f"{self.folder}/work"
            )


def hand_over(settings: Settings, mission: MissionView, folder: Path, *, is_forced: bool) -> Handed:
    """Puts the result and the files of an ended mission into the folder, which is made where there
    is none. What cannot be is told: the result is printed all the same.
    """
    target, source = Target(folder, is_forced), _source(settings, mission.id)
    recorded = _recorded(mission)
    try:
        target.make()
    except WorkspaceError as error:
        return Handed(mission.id, folder, left_out=(LeftOut(str(folder), error.what),))
    if mission.result:
        target.put(RESULT, plain(mission.result, multiline=True) + "\n")
    if not source.is_here():
        return _handed(mission, target, Written(()), elsewhere=recorded)
    written = source.written(recorded)
    target.copy(source, written.files)
    return _handed(mission, target, written)


def _handed(
    mission: MissionView, target: Target, written: Written, *, elsewhere: tuple[str, ...] = ()
) -> Handed:
    return Handed(
        mission.id,
        target.folder,
        tuple(target.files),
        (*written.left_out, *target.left_out),
        written.absent,
        elsewhere,
    )


def _source(settings: Settings, id: MissionId) -> MissionFiles:
    known = settings.secrets
    # Where this machine has the swarm's own secret, it stands in no file either.
    with suppress(SwarmError):
        own = secret.read(
            settings.data, settings.secret_file, is_elsewhere=settings.redis_url is not None
        )
        known = (*known, own)
    return MissionFiles(settings.data / "workspace", id, Masking(known))


def _recorded(mission: MissionView) -> tuple[str, ...]:
    """The files of the result, as the supervisor has noted them."""
    try:
        names = json.loads(mission.fields.get("result_files") or "[]")
    except ValueError:
        return ()
    return tuple(map(str, names)) if isinstance(names, list) else ()


# --- without a folder -------------------------------------------------------------------------


def _files_told(settings: Settings, mission: MissionView) -> Iterator[str]:
    """Those that there are here; of a swarm elsewhere, those that its supervisor has noted."""
    source, files = _source(settings, mission.id), _recorded(mission)
    if source.is_here():
        files = source.written(files).files
    if not files:
        return
    shown = ", ".join(plain(path) for path in files[:FILES_SHOWN])
    more = f" and {len(files) - FILES_SHOWN} more" if len(files) > FILES_SHOWN else ""
    yield f"its files (`swarmd result {mission.id} --out DIR` copies them): {shown}{more}"


def _mission_named(reader: Reader, reference: str) -> MissionView:
    found = named(reader, reference)
    mission = reader.mission(MissionId(found.id)) if found.is_mission else None
    if mission is None:
        raise NotFoundError(
            f"{reference!r} is no mission", hint="`swarmd missions` lists what there is"
        )
    return mission
