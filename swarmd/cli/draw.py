"""Drawing what was read: agents, missions, the tree and messages, as lines of text. Pure.

Records are the contract's hashes as they were read; a field that is absent reads as empty, so that a
face of one version can look at a swarm of another.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from swarmd.adapters.redis.view import Amounts, Record, Snapshot
from swarmd.cli.text import Ink, ago, amounts, excerpt, number, plain, table
from swarmd.core.names import SOB, AgentState

TASK_COLUMNS: Final = 60
_NUMBERS: Final = ("tier", "incarnation", "lease")


# --- values for programs ----------------------------------------------------------------------


def agent_value(agent: Record, ledger: Amounts | None = None) -> dict[str, Any]:
    """An agent for `--json`: ids are strings, counts numbers, JSON within the hash is unpacked."""
    value: dict[str, Any] = {name: unpacked(name, text) for name, text in agent.items()}
    if "privileges" in agent:
        value["privileges"] = agent["privileges"].split()
    if ledger is not None:
        value["ledger"] = ledger
    return value


def mission_value(mission: Record, ledger: Amounts | None = None) -> dict[str, Any]:
    return agent_value(mission, ledger)


def entry_value(channel: str, id: str, flat: Mapping[str, str]) -> dict[str, Any]:
    """A stream's entry for `--json`, whoever wrote it."""
    return {"id": id, "channel": channel} | {name: unpacked(name, text) for name, text in flat.items()}


def unpacked(name: str, text: str) -> Any:
    """What the field means, where that is certain; else the text as it is stored."""
    if name == "deadline":
        return _iso(text)
    if name in _NUMBERS and text.lstrip("-").isdecimal():
        return int(text)
    if name in ("data", "budget", "charter", "files", "asked_files", "spent") and text[:1] in ("{", "["):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def _iso(seconds: str) -> str:
    """Seconds since the epoch as ISO-8601 UTC, empty where there is no such time."""
    try:
        at = float(seconds)
        return (
            datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z") if at else ""
        )
    except (ValueError, OverflowError, OSError):
        return ""


def task_of(agent: Record) -> str:
    charter = unpacked("charter", agent.get("charter", ""))
    if isinstance(charter, dict):
        return str(charter.get("task", ""))
    return agent.get("task", "")


# --- spend ------------------------------------------------------------------------------------


@dataclass(slots=True)
class Branch:
    """An agent or a mission with what is below it, and what both have spent."""

    record: Record
    is_mission: bool = False
    below: list[Branch] = field(default_factory=list)
    own: dict[str, int] = field(default_factory=dict)
    whole: dict[str, int] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return self.record.get("id", "")

    @property
    def is_closed(self) -> bool:
        if self.is_mission:
            return bool(self.record.get("ended"))
        return self.record.get("state") == AgentState.TERMINATED


def grown(snapshot: Snapshot) -> tuple[Branch, list[Branch]]:
    """The board's branch, with missions and executives below it, and the seats."""
    agents = {agent["id"]: Branch(agent) for agent in snapshot.agents}
    board = agents.pop(SOB, None) or Branch({"id": SOB, "name": SOB, "role": "board", "tier": "0"})
    under = {mission["id"]: Branch(mission, is_mission=True) for mission in snapshot.missions}
    board.below = list(under.values())
    seats: list[Branch] = []
    for branch in agents.values():
        parent = branch.record.get("parent", "")
        if branch.record.get("tier") == "0" and not parent:
            seats.append(branch)
        elif parent == SOB:
            under.get(branch.record.get("mission", ""), board).below.append(branch)
        else:
            # A parent whose record is forgotten already: its child is shown, not dropped.
            agents.get(parent, board).below.append(branch)
    _reckon(board, snapshot.ledgers)
    return board, seats


def _reckon(branch: Branch, ledgers: Mapping[str, Amounts]) -> None:
    """A closed account was added to its creator's: it counts in that one's spent, an open one beside it."""
    account = {kind: columns.get("spent", 0) for kind, columns in ledgers.get(branch.id, {}).items()}
    branch.own, branch.whole = dict(account), dict(account)
    for child in branch.below:
        _reckon(child, ledgers)
        for kind, spent in child.whole.items():
            if child.is_closed:
                branch.own[kind] = branch.own.get(kind, 0) - spent
            else:
                branch.whole[kind] = branch.whole.get(kind, 0) + spent


def branch_value(branch: Branch) -> dict[str, Any]:
    """A branch for `--json`."""
    return agent_value(branch.record) | {
        "spent": {"own": branch.own, "subtree": branch.whole},
        "executives" if branch.is_mission else "children": [branch_value(child) for child in branch.below],
    }


# --- the tree ---------------------------------------------------------------------------------


def tree_lines(board: Branch, seats: Sequence[Branch], ink: Ink, *, ended: bool) -> list[str]:
    """The lineage, one line an agent; without `ended` only what lives, and missions that are open."""
    lines = [_label(board, ink)]
    if seats:
        said = " · ".join(plain(seat.record.get("name") or seat.id) for seat in seats)
        lines.append(ink.branches()[2] + ink.paint(f"seats: {said}", "dim"))
    return lines + list(_below(board, ink, "", ended=ended))


def _below(branch: Branch, ink: Ink, indent: str, *, ended: bool) -> Iterable[str]:
    tee, corner, bar, gap = ink.branches()
    shown = [child for child in branch.below if ended or not child.is_closed]
    for child in shown:
        is_last = child is shown[-1]
        head = indent + (corner if is_last else tee)
        yield head + _label(child, ink, columns=max(20, ink.columns - len(head)))
        yield from _below(child, ink, indent + (gap if is_last else bar), ended=ended)


def _label(branch: Branch, ink: Ink, columns: int = 160) -> str:
    record = branch.record
    spend = _spend(branch)
    if branch.is_mission:
        head = f"mission {plain(branch.id)}  "
        room = columns - len(head) - len(record.get("state", "")) - len(spend) - 4
        state = ink.word(record.get("state", ""))
        return f"{ink.paint(head, 'bold')}{state}  {spend}  {_quoted(record.get('mission', ''), room)}"
    name = plain(record.get("name") or branch.id)
    shown_id = "" if name == branch.id else " " + plain(branch.id)
    place = f"tier {plain(record.get('tier', '?'))} {plain(record.get('role', ''))}".rstrip()
    taken = 2 + len(record.get("state", "")) + len(name) + len(shown_id) + len(place) + len(spend) + 10
    task = _quoted(task_of(record), columns - taken)
    parts = [ink.state(record.get("state", "live")), ink.paint(name, "bold") + shown_id, place, spend, task]
    return "  ".join(part for part in parts if part)


def _quoted(text: str, columns: int) -> str:
    return f"“{excerpt(text, min(TASK_COLUMNS, columns))}”" if text and columns >= 12 else ""


def _spend(branch: Branch) -> str:
    own = amounts(_used(branch.own))
    if not branch.below:
        return own
    return f"{own} own, {amounts(_used(branch.whole))} with all below"


def _used(spent: Mapping[str, int]) -> dict[str, int]:
    """What is used up: places for agents are given back."""
    return {kind: value for kind, value in sorted(spent.items(), reverse=True) if kind != "agents"}


# --- tables -----------------------------------------------------------------------------------


def agent_lines(
    agents: Sequence[Record], ledgers: Mapping[str, Amounts], ink: Ink, now: datetime
) -> list[str]:
    headings = ("ID", "NAME", "TIER", "ROLE", "STATE", "MISSION", "PARENT", "HOST", "TOKENS", "CALLS", "AGE")
    rows = [
        (
            agent.get("id", ""), agent.get("name", ""), agent.get("tier", ""), agent.get("role", ""),
            _state_and_why(agent), agent.get("mission") or "-", agent.get("parent") or "-",
            agent.get("host") or "-", *_spent(ledgers.get(agent.get("id", ""))),
            ago(agent.get("created", ""), now),
        )
        for agent in agents
    ]  # fmt: skip
    return _headed(table(headings, rows), ink)


def _state_and_why(agent: Record) -> str:
    state, reason = agent.get("state", ""), agent.get("reason", "")
    if not reason or state in (AgentState.LIVE, AgentState.STARTING):
        return state
    return f"{state} ({excerpt(reason, 30)})"


def mission_lines(
    missions: Sequence[Record], ledgers: Mapping[str, Amounts], ink: Ink, now: datetime
) -> list[str]:
    headings = ("ID", "STATE", "AGE", "TOKENS", "CALLS", "MISSION", "REASON")
    rows = [
        (
            mission.get("id", ""), mission.get("state", ""), ago(mission.get("created", ""), now),
            *_spent(ledgers.get(mission.get("id", ""))),
            excerpt(mission.get("mission", ""), TASK_COLUMNS), excerpt(mission.get("reason", ""), TASK_COLUMNS),
        )
        for mission in missions
    ]  # fmt: skip
    return _headed(table(headings, rows), ink)


def _spent(ledger: Amounts | None) -> tuple[str, str]:
    tokens, calls = ((ledger or {}).get(kind, {}).get("spent", 0) for kind in ("tokens", "calls"))
    return number(tokens), number(calls)


def _headed(lines: list[str], ink: Ink) -> list[str]:
    return [ink.paint(lines[0], "bold"), *lines[1:]]


def ledger_lines(ledger: Amounts) -> list[str]:
    columns = ("cap", "free", "reserved", "granted", "spent", "overdraft")
    rows = [(kind, *(str(row.get(column, 0)) for column in columns)) for kind, row in sorted(ledger.items())]
    return table(("KIND", *(column.upper() for column in columns)), rows)


# --- messages ---------------------------------------------------------------------------------


def entry_lines(id: str, flat: Mapping[str, str], ink: Ink) -> list[str]:
    """One entry for a person: who to whom, what kind, the text whole, indented where it has more lines."""
    if "from" not in flat:
        said = "  ".join(f"{plain(name)}={plain(text)}" for name, text in flat.items())
        return [f"{ink.paint(id, 'dim')}  {said}"]
    to = f" → {plain(flat['to'])}" if flat.get("to") else ""
    about = " ".join(plain(word) for word in (*_what(flat), flat.get("mission", "")) if word)
    head = f"{ink.paint(clock_of(flat.get('at', '')), 'dim')} {ink.paint(plain(flat['from']), 'bold')}{to} "
    first, *more = plain(flat.get("text", ""), multiline=True).splitlines() or [""]
    lines = [
        f"{head}{ink.paint(f'[{about}]', 'cyan')} {first}".rstrip(),
        *(f"         {line}" for line in more),
    ]
    if flat.get("data") and not flat.get("text"):
        lines.append("         " + ink.paint(plain(flat["data"]), "dim"))
    return lines


def _what(flat: Mapping[str, str]) -> tuple[str, str]:
    """The kind, and the one fact that a kind is read for: how a vote went, what the journal records."""
    kind, data = flat.get("kind", ""), unpacked("data", flat.get("data", ""))
    fact = data.get({"vote": "choice", "entry": "event"}.get(kind, ""), "") if isinstance(data, dict) else ""
    return kind, str(fact)


def clock_of(at: str) -> str:
    """The time of day of an ISO time, in UTC as everything is stored."""
    time = at.partition("T")[2][:8]
    return time if len(time) == 8 else "--:--:--"
