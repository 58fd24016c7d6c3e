"""`swarmd doctor`: what went wrong in a mission, after the fact, from the journal and the record.

Findings end with `Exit.FINDINGS`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from swarmd.adapters.archive.entries import Said, entries
from swarmd.adapters.record import reading
from swarmd.cli import connection
from swarmd.cli.exit_codes import Exit
from swarmd.cli.render.columns import Column, table_lines
from swarmd.cli.render.text import counted, number, plain
from swarmd.cli.render.wrapping import wrapped
from swarmd.cli.session import Sight
from swarmd.cli.verbs.inspect import AMBIGUOUS_SHOWN
from swarmd.cli.verbs.journal import folder_of, swarm_of
from swarmd.cli.verbs.record import folder_of as record_of
from swarmd.core.doctor.findings import Finding
from swarmd.core.doctor.history import History, Reading
from swarmd.core.doctor.modes import MODES, Mode, Step, examined, steps_taken
from swarmd.core.model.channels import FACTS
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.names import MissionId, StreamId
from swarmd.errors import NotFoundError, UsageError
from swarmd.ports.reader import Reader
from swarmd.settings import Settings

# Entries that a line for people names; `--json` has all.
EVIDENCE_SHOWN: Final = 4
_WHAT_COLUMNS: Final = 24


def doctor(settings: Settings, reference: str, *, as_json: bool) -> Exit:
    """Raises `NotFoundError` for a mission that the journal does not know."""
    return connection.look(settings, as_json, partial(see, settings, reference))


def see(settings: Settings, reference: str, sight: Sight) -> Exit:
    """As `doctor`, of a swarm that is looked at."""
    folder, swarm = folder_of(settings), swarm_of(sight.reader)
    mission = _mission_of(folder, swarm, sight.reader, reference)
    history = _history_of(settings, folder, swarm, sight.reader, mission)
    found = examined(history)
    if sight.as_json:
        sight.give(_value(history, found))
    else:
        sight.say([*_lines(sight, history, found, _end_of(sight.reader, mission))])
    return Exit.FINDINGS if any(found.values()) else Exit.DONE


# --- reading ----------------------------------------------------------------------------------


def _mission_of(folder: Path, swarm: str, reader: Reader, reference: str) -> MissionId:
    """By its id or the beginning of it. One that is forgotten elsewhere stands in the journal."""
    if reader.mission(MissionId(reference)):
        return MissionId(reference)
    known = set(_missions_in(entries(folder, swarm, reader.journal())))
    begun = sorted(id for id in known if reference and id.startswith(reference))
    if len(begun) > 1 and reference not in known:
        several = ", ".join(begun[:AMBIGUOUS_SHOWN])
        raise UsageError(f"{reference!r} may be any of: {several}", hint="give more of the id")
    if not begun:
        hint = "`swarmd missions` lists what there is"
        raise NotFoundError(f"the journal has no mission {reference!r}", hint=hint)
    return MissionId(reference if reference in known else begun[0])


def _missions_in(journal: Iterable[tuple[StreamId, Said]]) -> Iterator[str]:
    for _, said in journal:
        if said["data"].get("event") == JournalEvent.MISSION_DOCKETED:
            yield str(said.get("mission", ""))


def _history_of(
    settings: Settings, folder: Path, swarm: str, reader: Reader, mission: MissionId
) -> History:
    history = History(mission)
    taken = Reading(history, _results_of(record_of(settings), mission))
    for id, said in entries(folder, swarm, reader.journal()):
        taken.entry(id, said)
    taken.rest(_facts_after(reader, taken.until))
    return history


def _facts_after(reader: Reader, until: StreamId) -> list[dict[str, str]]:
    """Those that no entry of the journal has yet: a second's, or the last of a swarm that has
    stopped.
    """
    facts, page = list[dict[str, str]](), reader.page(FACTS, until)
    while page.entries:
        facts += ({**entry.said, "id": entry.id} for entry in page.entries)
        page = reader.page(FACTS, page.reached)
    return facts


def _results_of(root: Path, mission: MissionId) -> dict[tuple[str, int, int], str]:
    """Digests of what functions answered, where there is a record."""
    record = reading.read_mission(root, mission)
    return {
        (str(call.get("agent", "")), call["turn"], call["step"]): str(call.get("answer", ""))
        for call in (record.calls if record is not None else ())
        if call["kind"] == "function"
    }


# --- showing ----------------------------------------------------------------------------------


Row = tuple[Mode, Finding]


def _end_of(reader: Reader, mission: MissionId) -> str:
    """Of one that ended without a delivery; what is no mode here has its reason there."""
    known = reader.mission(mission)
    if known is None or known.state in ("", "delivered") or not known.reason:
        return ""
    return f"; it is {known.state}: {plain(known.reason)}"


def _lines(
    sight: Sight, history: History, found: Mapping[str, Sequence[Finding]], end: str
) -> Iterator[str]:
    rows = [(mode, one) for mode in MODES for one in found[mode.name]]
    yield from (_step_line(history, step) for step in steps_taken(history))
    if not rows:
        calls = f"{counted(len(history.calls), 'call')} of models and functions"
        seen = f"{counted(len(history.members), 'agent')}, {calls}"
        yield f"none of {len(MODES)} modes was found in {plain(history.mission)} ({seen}){end}"
        return
    yield from table_lines(_columns(history, rows), sight.ink)
    for mode in dict.fromkeys(mode for mode, _ in rows):
        told = f"{mode.name}: {mode.title}. What to do: {mode.remedy}."
        yield wrapped(told, sight.ink.columns) if sight.ink.columns else told


def _step_line(history: History, step: Step) -> str:
    name, entries = plain(history.name_of(step.agent)), ", ".join(step.evidence)
    outcome = plain(step.outcome) or "not known"
    return f"corrected: {name}, {step.detector} ({step.rule}): {step.step}: {outcome} ({entries})"


def _columns(history: History, rows: Sequence[Row]) -> list[Column]:
    findings = [one for _, one in rows]
    return [
        Column("MODE", [mode.name for mode, _ in rows]),
        Column("MAST", [mode.number for mode, _ in rows], rank=3, is_optional=True),
        Column("AGENT", [plain(history.name_of(one.agent)) for one in findings]),
        Column("TIMES", [number(one.times) for one in findings]),
        Column("CALLS", [_amount(one, "calls") for one in findings], rank=1),
        Column("TOKENS", [_amount(one, "tokens") for one in findings], rank=2),
        Column("ENTRIES", [_evidence(one) for one in findings]),
        Column("WHAT", [plain(one.what) for one in findings], least=_WHAT_COLUMNS),
    ]


def _amount(finding: Finding, kind: str) -> str:
    return number(finding.used[kind]) if kind in finding.used else ""


def _evidence(finding: Finding) -> str:
    more = len(finding.evidence) - EVIDENCE_SHOWN
    shown = ", ".join(finding.evidence[:EVIDENCE_SHOWN])
    return f"{shown} and {more} more" if more > 0 else shown


def _value(history: History, found: Mapping[str, Sequence[Finding]]) -> dict[str, Any]:
    return {
        "mission": history.mission,
        "agents": len(history.members),
        "calls": len(history.calls),
        "modes": [_mode_value(history, mode, found[mode.name]) for mode in MODES],
        "corrections": [_step_value(history, step) for step in steps_taken(history)],
    }


def _mode_value(history: History, mode: Mode, found: Sequence[Finding]) -> dict[str, Any]:
    return {
        "mode": mode.name,
        "mast": mode.number,
        "title": mode.title,
        "count": len(found),
        "findings": [_finding_value(history, one) for one in found],
        "remedy": mode.remedy,
    }


def _step_value(history: History, step: Step) -> dict[str, Any]:
    return {
        "agent": step.agent,
        "name": history.name_of(step.agent),
        "detector": step.detector,
        "step": step.step,
        "rule": step.rule,
        "entries": list(step.evidence),
        "outcome": step.outcome or None,
    }


def _finding_value(history: History, one: Finding) -> dict[str, Any]:
    return {
        "agent": one.agent,
        "name": history.name_of(one.agent),
        "what": one.what,
        "times": one.times,
        "entries": list(one.evidence),
        "used": dict(one.used),
    }
