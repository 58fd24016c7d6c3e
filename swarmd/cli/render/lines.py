"""Drawing what was read: agents, missions, the tree and messages, as lines of text. Pure.

Records are the contract's hashes as they were read; a field that is absent reads as empty, so that
a face of one version can look at a swarm of another.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from swarmd.cli.render.text import (
    Ink,
    ago,
    amounts,
    excerpt,
    in_order,
    lasted,
    money,
    number,
    plain,
    table,
    until,
)
from swarmd.core.model.lineage import EVERYTHING, Stop
from swarmd.core.model.names import SOB, AgentState
from swarmd.core.model.privileges import Revocation
from swarmd.ports.reader import Ledger, Marks, Record, Snapshot

if TYPE_CHECKING:
    from swarmd.adapters.halt_file import Brake
    from swarmd.core.queries.explain import Hindrance, Link, Trace

TASK_COLUMNS: Final = 60
WHY_COLUMNS: Final = 40
_NUMBERS: Final = ("tier", "incarnation", "lease")
_LISTS: Final = ("privileges", "grants", "stopped")  # parted by spaces
_OPTIONAL: Final = ("TOOLS", "ACCOUNT", "DUE")  # columns that are left out where they are empty
_OBJECTS: Final = ("data", "budget", "charter", "files", "asked_files", "spent", "later", "crashes")


# --- values for programs ----------------------------------------------------------------------


def agent_value(agent: Record, ledger: Ledger | None = None) -> dict[str, Any]:
    """An agent for `--json`: ids are strings, counts numbers, JSON within the hash is unpacked."""
    value = _value(agent, ledger)
    value |= {name: agent[name].split() for name in _LISTS if name in agent}
    if "activity" in agent:
        seconds = agent.get("activity_seconds")
        value |= {
            "call": agent.get("call") or None,
            "activity_seconds": float(seconds) if seconds else None,
            "waits": agent.get("waits") or None,
        }
    return value


def mission_value(mission: Record, ledger: Ledger | None = None) -> dict[str, Any]:
    return _value(mission, ledger) | (
        {"stopped": mission["stopped"].split()} if "stopped" in mission else {}
    )


def _value(record: Record, ledger: Ledger | None) -> dict[str, Any]:
    value: dict[str, Any] = {name: unpacked(name, text) for name, text in record.items()}
    if ledger is not None:
        value["ledger"] = ledger_value(ledger)
    return value


def ledger_value(ledger: Ledger) -> dict[str, Any]:
    """An account for `--json`: its kinds, and beside them its marks."""
    return {**ledger, **ledger.marks}


def entry_value(channel: str, id: str, flat: Mapping[str, str]) -> dict[str, Any]:
    """A stream's entry for `--json`, whoever wrote it."""
    return {"id": id, "channel": channel} | {
        name: unpacked(name, text) for name, text in flat.items()
    }


def unpacked(name: str, text: str) -> Any:
    """What the field means, where that is certain; else the text as it is stored."""
    if name == "deadline":
        return iso(text)
    if name in _NUMBERS and text.lstrip("-").isdecimal():
        return int(text)
    if name in _OBJECTS and text[:1] in ("{", "["):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def iso(seconds: str | float) -> str:
    """Seconds since the epoch as ISO-8601 UTC, empty where there is no such time."""
    try:
        at = float(seconds)
        return (
            datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
            if at
            else ""
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
    account: Ledger = field(default_factory=Ledger)

    @property
    def id(self) -> str:
        return self.record.get("id", "")

    @property
    def marks(self) -> Mapping[str, str]:
        return self.account.marks

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


def _reckon(branch: Branch, ledgers: Mapping[str, Ledger]) -> None:
    """A closed account was added to its creator's: it counts in that one's spent, an open one
    beside it.
    """
    branch.account = ledgers.get(branch.id, branch.account)
    branch.own, branch.whole = spent_of(branch.account), spent_of(branch.account)
    for child in branch.below:
        _reckon(child, ledgers)
        for kind, spent in child.whole.items():
            if child.is_closed:
                branch.own[kind] = branch.own.get(kind, 0) - spent
            else:
                branch.whole[kind] = branch.whole.get(kind, 0) + spent


def spent_of(ledger: Ledger) -> dict[str, int]:
    """What an account has spent by kind, and those of its tokens whose price nobody knew."""
    spent = {kind: columns.get("spent", 0) for kind, columns in ledger.items()}
    unpriced = ledger.get("tokens", {}).get("unpriced", 0)
    return spent | ({"unpriced": unpriced} if unpriced else {})


def branch_value(branch: Branch) -> dict[str, Any]:
    """A branch for `--json`."""
    return (mission_value if branch.is_mission else agent_value)(branch.record) | {
        "spent": {"own": branch.own, "subtree": branch.whole},
        **branch.marks,
        "executives" if branch.is_mission else "children": [
            branch_value(child) for child in branch.below
        ],
    }


# --- the tree ---------------------------------------------------------------------------------


def tree_lines(
    board: Branch, seats: Sequence[Branch], ink: Ink, *, ended: bool, now: datetime | None = None
) -> list[str]:
    """The lineage, one line an agent; without `ended` only what lives, and missions that are
    open.
    """
    lines = [_label(board, ink, now)]
    if seats:
        said = " · ".join(_seat(seat) for seat in seats)
        lines.append(ink.branches()[2] + ink.paint(f"seats: {said}", "dim"))
    return lines + list(_below(board, ink, "", ended=ended, now=now))


def _seat(seat: Branch) -> str:
    name, state = plain(seat.record.get("name") or seat.id), seat.record.get("state", "")
    return f"{name} ({plain(state)})" if state == AgentState.FROZEN else name


def _below(
    branch: Branch, ink: Ink, indent: str, *, ended: bool, now: datetime | None
) -> Iterable[str]:
    tee, corner, bar, gap = ink.branches()
    shown = [child for child in branch.below if ended or not child.is_closed]
    for child in shown:
        is_last = child is shown[-1]
        head = indent + (corner if is_last else tee)
        yield head + _label(child, ink, now, columns=max(20, ink.columns - len(head)))
        yield from _below(child, ink, indent + (gap if is_last else bar), ended=ended, now=now)


def _label(branch: Branch, ink: Ink, now: datetime | None, columns: int = 160) -> str:
    record = branch.record
    spend = _spend(branch)
    if branch.is_mission:
        head, is_stopped = (
            f"mission {plain(branch.id)}  ",
            " (stopped)" if record.get("stopped") else "",
        )
        room = columns - len(head) - len(record.get("state", "")) - len(is_stopped) - len(spend) - 4
        state = ink.word(record.get("state", "")) + is_stopped
        return (
            f"{ink.paint(head, 'bold')}{state}  {spend}  {_quoted(record.get('mission', ''), room)}"
        )
    name = plain(record.get("name") or branch.id)
    shown_id = "" if name == branch.id else " " + plain(branch.id)
    place = f"tier {plain(record.get('tier', '?'))} {plain(record.get('role', ''))}".rstrip()
    doing = _doing(record)
    said = (_why_stopped(record), _due(record, now), _warning(branch.marks))
    more = "  ".join(word for word in said if word)
    taken = 14 + sum(map(len, (record.get("state", ""), doing, name, shown_id, place, spend, more)))
    task = _quoted(task_of(record), columns - taken)
    parts = [
        ink.state(record.get("state", "live")),
        ink.paint(name, "bold") + shown_id,
        doing and ink.word(record.get("activity", ""), doing),
        place,
        spend,
        more,
        task,
    ]
    return "  ".join(part for part in parts if part)


def _why_stopped(record: Record) -> str:
    """What holds an agent, in short; how one that is well came to be so is told by `inspect`."""
    if record.get("state") not in (AgentState.FROZEN, AgentState.DRAINING) or not record.get(
        "reason"
    ):
        return ""
    return f"({excerpt(record['reason'], WHY_COLUMNS)})"


def _due(record: Record, now: datetime | None) -> str:
    """When its deadline is, where it has one of its own and lives."""
    if now is None or record.get("state") == AgentState.TERMINATED:
        return ""
    left = until(_seconds(record.get("deadline", "")), now)
    return f"due {left}" if left else ""


def _seconds(text: str) -> float:
    try:
        return float(text or 0)
    except ValueError:
        return 0.0


def _warning(marks: Mapping[str, str]) -> str:
    """An account's state that asks for a person, if any: the graver one alone."""
    if "overdrawn" in marks:
        return f"overdrawn ({excerpt(marks['overdrawn'], WHY_COLUMNS)})"
    return f"little {plain(marks['warned'])} left" if "warned" in marks else ""


def _doing(record: Record) -> str:
    """Of most there is nothing to say: the tree shows who is at work, and who is in trouble."""
    is_said = record.get("activity") in ("", "idle") or record.get("activity") == record.get(
        "state"
    )
    return "" if is_said else activity_text(record)


def _quoted(text: str, columns: int) -> str:
    return f"“{excerpt(text, min(TASK_COLUMNS, columns))}”" if text and columns >= 12 else ""


def _spend(branch: Branch) -> str:
    own = amounts(_used(branch.own))
    if not branch.below:
        return own
    return f"{own} own, {amounts(_used(branch.whole))} with all below"


def _used(spent: Mapping[str, int]) -> dict[str, int]:
    """What is used up: places for agents are given back."""
    return {kind: value for kind, value in spent.items() if kind != "agents"}


# --- tables -----------------------------------------------------------------------------------

_Column = tuple[str, Sequence[str]]


def _columns(always: Sequence[_Column], *, ink: Ink, optional: Collection[str]) -> list[str]:
    """A table without those optional columns that say nothing in any row."""
    shown = [(name, cells) for name, cells in always if name not in optional or any(cells)]
    rows = list(zip(*(cells for _, cells in shown), strict=True))
    return _headed(table([name for name, _ in shown], rows), ink)


def _spent_columns(spent: Sequence[Mapping[str, int]]) -> list[_Column]:
    """What was used; of tools only where any of them was."""
    return [
        ("TOKENS", [number(one.get("tokens", 0)) for one in spent]),
        ("CALLS", [number(one.get("calls", 0)) for one in spent]),
        ("COST", [money(one) for one in spent]),
        ("TOOLS", [number(tools) if (tools := one.get("tools", 0)) else "" for one in spent]),
    ]


def agent_lines(
    agents: Sequence[Record], ledgers: Mapping[str, Ledger], ink: Ink, now: datetime
) -> list[str]:
    accounts = [ledgers.get(agent.get("id", ""), Ledger()) for agent in agents]
    columns: list[_Column] = [
        *(
            (name.upper(), [agent.get(name, "") for agent in agents])
            for name in ("id", "name", "tier", "role")
        ),
        ("STATE", [_state_and_why(agent) for agent in agents]),
        ("ACTIVITY", [activity_text(agent) or "-" for agent in agents]),
        *(
            (name.upper(), [agent.get(name) or "-" for agent in agents])
            for name in ("mission", "parent", "host")
        ),
        *_spent_columns([spent_of(account) for account in accounts]),
        ("ACCOUNT", [_warning(account.marks) for account in accounts]),
        ("DUE", [_due(agent, now).removeprefix("due ") for agent in agents]),
        ("AGE", [ago(agent.get("created", ""), now) for agent in agents]),
    ]
    return _columns(columns, ink=ink, optional=_OPTIONAL)


def _state_and_why(agent: Record) -> str:
    state, reason = agent.get("state", ""), agent.get("reason", "")
    if not reason or state in (AgentState.LIVE, AgentState.STARTING):
        return state
    return f"{state} ({excerpt(reason, 30)})"


def activity_text(agent: Record) -> str:
    """What it does now, with what and for how long: `busy model 12s`."""
    seconds = agent.get("activity_seconds", "")
    since = lasted(float(seconds)) if seconds else ""
    words = (agent.get("activity", ""), agent.get("waits", ""), agent.get("call", ""), since)
    return " ".join(word for word in words if word)


def mission_lines(
    missions: Sequence[Record], ledgers: Mapping[str, Ledger], ink: Ink, now: datetime
) -> list[str]:
    accounts = [ledgers.get(mission.get("id", ""), Ledger()) for mission in missions]
    columns: list[_Column] = [
        ("ID", [mission.get("id", "") for mission in missions]),
        ("STATE", [_mission_state(mission) for mission in missions]),
        ("AGE", [ago(mission.get("created", ""), now) for mission in missions]),
        *_spent_columns([spent_of(account) for account in accounts]),
        ("ACCOUNT", [_warning(account.marks) for account in accounts]),
        ("MISSION", [excerpt(mission.get("mission", ""), TASK_COLUMNS) for mission in missions]),
        ("REASON", [excerpt(mission.get("reason", ""), TASK_COLUMNS) for mission in missions]),
    ]
    return _columns(columns, ink=ink, optional=_OPTIONAL)


def _mission_state(mission: Record) -> str:
    return mission.get("state", "") + (" (stopped)" if mission.get("stopped") else "")


def top_lines(board: Branch, seats: Sequence[Branch], ink: Ink, now: datetime) -> list[str]:
    """The living, those first that have spent most by themselves."""
    living = spenders(board, seats)
    records = [branch.record for branch in living]
    columns: list[_Column] = [
        *(
            (name.upper(), [record.get(name, "") for record in records])
            for name in ("id", "name", "tier", "role")
        ),
        ("STATE", [_state_and_why(record) for record in records]),
        ("ACTIVITY", [activity_text(record) or "-" for record in records]),
        *_spent_columns([branch.own for branch in living]),
        ("LEFT", [_left(branch) for branch in living]),
        ("ACCOUNT", [_warning(branch.marks) for branch in living]),
        ("DUE", [_due(record, now).removeprefix("due ") for record in records]),
    ]
    return _columns(columns, ink=ink, optional=_OPTIONAL)


def spenders(board: Branch, seats: Sequence[Branch]) -> list[Branch]:
    """The living agents but the board, which runs nowhere; those first that have spent most by
    themselves.
    """
    return sorted(
        (branch for branch in (*_agents_below(board), *seats) if not branch.is_closed),
        key=lambda branch: [-branch.own.get(kind, 0) for kind in ("cost", "tokens", "calls")],
    )


def _agents_below(branch: Branch) -> Iterable[Branch]:
    for child in branch.below:
        if not child.is_mission:
            yield child
        yield from _agents_below(child)


def _left(branch: Branch) -> str:
    """How much is left of what runs out first, in percent of what the account may spend itself."""
    shares = []
    for columns in (columns for kind, columns in branch.account.items() if kind != "agents"):
        own = columns.get("cap", 0) - columns.get("granted", 0)
        if own > 0:
            shares.append(100 * columns.get("free", 0) // own)
    return f"{max(0, min(shares))}%" if shares else "-"


def _headed(lines: list[str], ink: Ink) -> list[str]:
    return [ink.paint(lines[0], "bold"), *lines[1:]]


_AMOUNTS: Final = ("cap", "free", "reserved", "granted", "spent", "overdraft", "assumed")


def ledger_lines(ledger: Ledger) -> list[str]:
    """An account by kind, cost in dollars, what was assumed only where something was; then what was
    spent of it in one line that says what is unpriced, and its marks."""
    kinds = [kind for kind in in_order(ledger) if any(ledger[kind].values())]
    shown = [c for c in _AMOUNTS if c != "assumed" or any(ledger[kind].get(c) for kind in kinds)]
    rows = [
        (kind, *(plainly(kind, ledger[kind].get(column, 0)) for column in shown)) for kind in kinds
    ]
    spent = f"spent: {amounts(_used(spent_of(ledger)))}"
    marks = [f"{plain(name)}: {plain(text)}" for name, text in sorted(ledger.marks.items())]
    return [*table(("KIND", *(column.upper() for column in shown)), rows), spent, *marks]


def plainly(kind: str, value: int) -> str:
    """One amount to the last digit, cost in dollars."""
    return money({"cost": value}) if kind == "cost" else str(value)


# --- stops ------------------------------------------------------------------------------------


def stop_value(stop: Stop) -> dict[str, Any]:
    """A stop for `--json`."""
    return {
        "target": stop.target,
        "kind": stop.kind.value,
        "by": stop.by,
        "authority": stop.authority.name.lower(),
        "reason": stop.reason,
        "rule": stop.rule,
        "at": iso(stop.at),
        "until": iso(stop.until),
    }


def stop_values(marks: Marks) -> list[dict[str, Any]]:
    """Every stop in force for `--json`, the oldest first, and the ends under way, whose kind is
    `terminate`.
    """
    found = [(stop.at, stop_value(stop)) for stop in marks.stops.values()]
    found += [
        (
            fence.at,
            {
                "target": fence.segment,
                "kind": "terminate",
                "by": fence.by,
                "authority": "",
                "reason": fence.reason,
                "rule": "",
                "at": iso(fence.at),
                "until": "",
            },
        )
        for fence in marks.fences.values()
    ]
    return [value for _, value in sorted(found, key=lambda one: (one[0], one[1]["target"]))]


def brake_value(brake: Brake) -> dict[str, Any]:
    """The halt that a data folder holds, as a stop for `--json`."""
    return {
        "target": EVERYTHING,
        "kind": "brake",
        "by": brake.by,
        "authority": "operator",
        "reason": brake.reason,
        "rule": "",
        "at": iso(brake.at),
        "until": "",
    }


def stop_words(stops: Sequence[Stop], now: datetime) -> list[str]:
    """Each stop on one line, for lists."""
    return [
        f"{stop.kind.value} {stop.target} by {stop.by or 'nobody known'}"
        + (f", {lasted(now.timestamp() - stop.at)} ago" if stop.at else "")
        + (f", until {iso(stop.until)}" if stop.until else "")
        + (f": {stop.reason}" if stop.reason else "")
        for stop in stops
    ]


def stop_lines(values: Sequence[Mapping[str, Any]], ink: Ink, now: datetime) -> list[str]:
    """The same for a person."""
    columns: list[_Column] = [
        ("TARGET", [value["target"] for value in values]),
        ("KIND", [value["kind"] for value in values]),
        ("BY", [value["by"] or "-" for value in values]),
        ("SINCE", [ago(value["at"], now) or "-" for value in values]),
        ("UNTIL", [value["until"] for value in values]),
        ("WHY", [excerpt(value["reason"], 2 * WHY_COLUMNS) for value in values]),
    ]
    return _columns(columns, ink=ink, optional=("UNTIL",))


# --- rights -----------------------------------------------------------------------------------


def revocation_value(mark: Revocation) -> dict[str, Any]:
    """A revocation for `--json`."""
    return {
        "privilege": mark.path,
        "right": mark.right,
        "at_agent": mark.segment,
        "by": mark.by,
        "at": mark.at,
        "reason": mark.reason,
        "number": mark.number,
    }


def revocation_line(mark: Revocation, now: datetime) -> str:
    when = ago(mark.at, now)
    return (
        f"{mark.path} ({mark.right}) at {mark.segment} by {mark.by}"
        + (f", {when} ago" if when else "")
        + (f": {mark.reason}" if mark.reason else "")
    )


def trace_value(found: Trace, in_the_way: Sequence[Hindrance]) -> dict[str, Any]:
    """What `why` found, for `--json`."""
    broken = found.broken
    return {
        "held": found.is_held,
        "chain": [_link_value(link) for link in found.links],
        "broken": broken.agent.id if broken is not None else None,
        "hindrances": [
            {
                "rule": no.rule.value,
                "target": no.target,
                "by": no.by,
                "reason": no.reason,
                "at": iso(no.at),
                "until": iso(no.until),
            }
            for no in in_the_way
        ],
    }


def _link_value(link: Link) -> dict[str, Any]:
    return {
        "agent": link.agent.id,
        "name": link.agent.name,
        "right": link.right,
        "privilege": link.held.path if link.held else None,
        "number": link.held.number if link.held else None,
        "by": link.given_by,
        "at": link.given_at,
        "revoked": revocation_value(link.cut) if link.cut is not None else None,
    }


def trace_lines(
    found: Trace, in_the_way: Sequence[Hindrance], privilege: str, ink: Ink, now: datetime
) -> list[str]:
    """The answer, what it rests on link by link, and what stands in the way."""
    asked, causes = (
        found.links[-1],
        [*_lost(found, now), *(_hindered(no, now) for no in in_the_way)],
    )
    answer = f"{_who(asked)} {'may not' if causes else 'may'} {asked.right} {plain(privilege)}"
    names: dict[str, str] = {link.agent.id: link.agent.name for link in found.links}
    columns: list[_Column] = [
        ("AGENT", [_who(link) for link in found.links]),
        ("RIGHT", [link.right for link in found.links]),
        ("HOLDS", [link.held.path if link.held else "-" for link in found.links]),
        (
            "NUMBER",
            [
                str(link.held.number) if link.held and link.held.number else ""
                for link in found.links
            ],
        ),
        ("FROM", [names.get(link.given_by, link.given_by) or "-" for link in found.links]),
        ("SINCE", [ago(link.given_at, now) or "-" for link in found.links]),
        ("REVOKED", [_cut(link) for link in found.links]),
    ]
    return [
        ink.paint(answer, "red" if causes else "green"),
        *(f"  {cause}" for cause in causes),
        *_columns(columns, ink=ink, optional=("NUMBER", "REVOKED")),
    ]


def _who(link: Link) -> str:
    name, id = link.agent.name, link.agent.id
    return plain(id if name in ("", id) else f"{name} ({id})")


def _cut(link: Link) -> str:
    return "" if link.cut is None else f"by {link.cut.by} at {link.cut.segment}"


def _lost(found: Trace, now: datetime) -> list[str]:
    """The missing link, in words; and who could mend it, where somebody above it can."""
    broken = found.broken
    if broken is None:
        return []
    if broken.cut is not None:
        return [f"revoked: {plain(revocation_line(broken.cut, now))}"]
    what = "it" if broken.right == "use" else "it to hand out"
    above = found.links[: found.links.index(broken)]
    giver = f"; {_who(above[-1])} can give it" if above else ""
    return [f"{_who(broken)} was never given {what}{giver}"]


def _hindered(no: Hindrance, now: datetime) -> str:
    by = f" by {no.by}" if no.by else ""
    when = f", {lasted(now.timestamp() - no.at)} ago" if no.at else ""
    until = f", until {iso(no.until)}" if no.until else ""
    return plain(
        f"{no.rule.value}: {no.target}{by}{when}{until}" + (f": {no.reason}" if no.reason else "")
    )


# --- messages ---------------------------------------------------------------------------------


def entry_lines(id: str, flat: Mapping[str, str], ink: Ink) -> list[str]:
    """One entry for a person: who to whom, what kind, the text whole, indented where it has more
    lines.
    """
    if "from" not in flat:
        said = "  ".join(f"{plain(name)}={plain(text)}" for name, text in flat.items())
        return [f"{ink.paint(id, 'dim')}  {said}"]
    to = f" → {plain(flat['to'])}" if flat.get("to") else ""
    about = " ".join(plain(word) for word in (*_what(flat), flat.get("mission", "")) if word)
    head = (
        f"{ink.paint(clock_of(flat.get('at', '')), 'dim')} "
        f"{ink.paint(plain(flat['from']), 'bold')}{to} "
    )
    first, *more = plain(flat.get("text", ""), multiline=True).splitlines() or [""]
    lines = [
        f"{head}{ink.paint(f'[{about}]', 'cyan')} {first}".rstrip(),
        *(f"         {line}" for line in more),
    ]
    if flat.get("data") and not flat.get("text"):
        lines.append("         " + ink.paint(plain(flat["data"]), "dim"))
    return lines


def _what(flat: Mapping[str, str]) -> tuple[str, str]:
    """The kind, and the one fact that a kind is read for: how a vote went, what the journal
    records.
    """
    kind, data = flat.get("kind", ""), unpacked("data", flat.get("data", ""))
    fact = (
        data.get({"vote": "choice", "entry": "event"}.get(kind, ""), "")
        if isinstance(data, dict)
        else ""
    )
    return kind, str(fact)


def clock_of(at: str) -> str:
    """The time of day of an ISO time, in UTC as everything is stored."""
    time = at.partition("T")[2][:8]
    return time if len(time) == 8 else "--:--:--"
