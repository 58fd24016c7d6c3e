"""Drawing what was read: agents, missions, the tree and messages, as lines of text. Pure.

Records are the contract's hashes as they were read; a field that is absent reads as empty, so that
a face of one version can look at a swarm of another.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
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
from swarmd.core.model.names import AgentState
from swarmd.core.model.privileges import Revocation
from swarmd.core.queries.snapshot import NO_ACCOUNT, AccountView, AgentView, Marks, MissionView
from swarmd.core.queries.spending import Branch, Tree, percent_left, spent_of, used

if TYPE_CHECKING:
    from swarmd.adapters.halt_file import Brake
    from swarmd.core.queries.explain import Hindrance, Link, Trace
    from swarmd.ports.reader import Trimmed

TASK_COLUMNS: Final = 60
WHY_COLUMNS: Final = 40
_NUMBERS: Final = ("tier", "incarnation", "lease")
_LISTS: Final = ("privileges", "grants", "stopped")  # parted by spaces
_OPTIONAL: Final = ("TOOLS", "ACCOUNT", "DUE")  # columns that are left out where they are empty
_OBJECTS: Final = ("data", "budget", "charter", "files", "asked_files", "spent", "later", "crashes")


# --- values for programs ----------------------------------------------------------------------


def agent_value(agent: AgentView, account: AccountView | None = None) -> dict[str, Any]:
    """An agent for `--json`: ids are strings, counts numbers, JSON within the hash is unpacked."""
    value = _value(agent_fields(agent), account)
    value |= {name: value[name].split() for name in _LISTS if name in value}
    if (doing := agent.activity) is not None:
        value |= {
            "call": doing.call or None,
            "activity_seconds": None if doing.seconds is None else round(doing.seconds, 1),
            "waits": doing.waits or None,
        }
    return value


def agent_fields(agent: AgentView) -> dict[str, str]:
    """All that is stored of an agent, with its state as it is now and what it does, as texts."""
    fields = dict(agent.fields)
    doing = agent.activity
    if doing is None:
        return fields
    fields |= {"state": agent.state, "reason": agent.reason}
    if not agent.is_terminated:
        fields["stopped"] = " ".join(agent.stopped)
    seconds = "" if doing.seconds is None else f"{doing.seconds:.1f}"
    return fields | {
        "activity": str(doing.word),
        "call": doing.call,
        "activity_seconds": seconds,
        "waits": doing.waits,
    }


def mission_value(mission: MissionView, account: AccountView | None = None) -> dict[str, Any]:
    return _value(mission.fields, account) | {"stopped": list(mission.stopped)}


def _value(fields: Mapping[str, str], account: AccountView | None) -> dict[str, Any]:
    value: dict[str, Any] = {name: unpacked(name, text) for name, text in fields.items()}
    if account is not None:
        value["ledger"] = account_value(account)
    return value


def account_value(account: AccountView) -> dict[str, Any]:
    """An account for `--json`: its kinds, and beside them its marks."""
    return {**account.kinds, **account.marks}


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


# --- spend ------------------------------------------------------------------------------------


def branch_value(branch: Branch) -> dict[str, Any]:
    """A branch for `--json`."""
    record = branch.record
    is_mission = isinstance(record, MissionView)
    value = mission_value(record) if isinstance(record, MissionView) else agent_value(record)
    return value | {
        "spent": {"own": dict(branch.own), "subtree": dict(branch.whole)},
        **branch.account.marks,
        "executives" if is_mission else "children": [branch_value(child) for child in branch.below],
    }


def spender_value(branch: Branch) -> dict[str, Any]:
    """A living agent for `--json`, with what it has spent by itself."""
    assert isinstance(branch.record, AgentView)
    return agent_value(branch.record, branch.account) | {"spent": dict(branch.own)}


# --- the tree ---------------------------------------------------------------------------------


def tree_lines(
    tree: Tree, ink: Ink, *, ended: bool, now: datetime | None = None, with_seats: bool = True
) -> list[str]:
    """The lineage, one line an agent; without `ended` only what lives, and missions that are
    open.
    """
    lines = [_label(tree.board, ink, now)]
    if tree.seats and with_seats:
        said = " · ".join(
            _seat(seat.record) for seat in tree.seats if isinstance(seat.record, AgentView)
        )
        lines.append(ink.branches()[2] + ink.paint(f"seats: {said}", "dim"))
    return lines + list(_below(tree.board, ink, "", ended=ended, now=now))


def _seat(seat: AgentView) -> str:
    name, state = plain(seat.name or seat.id), seat.state
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
    if isinstance(branch.record, MissionView):
        return _mission_label(branch.record, _spend(branch), ink, columns)
    agent = branch.record
    spend = _spend(branch)
    name = plain(agent.name or agent.id)
    shown_id = "" if name == agent.id else " " + plain(agent.id)
    place = f"tier {_tier(agent) or '?'} {plain(agent.role)}".rstrip()
    doing = _doing(agent)
    said = (_why_stopped(agent), _due(agent, now), _warning(branch.account))
    more = "  ".join(word for word in said if word)
    taken = 14 + sum(map(len, (agent.state, doing, name, shown_id, place, spend, more)))
    task = _quoted(agent.task, columns - taken)
    parts = [
        ink.state(agent.state or "live"),
        ink.paint(name, "bold") + shown_id,
        doing and ink.word(agent.activity.word if agent.activity else "", doing),
        place,
        spend,
        more,
        task,
    ]
    return "  ".join(part for part in parts if part)


def _mission_label(mission: MissionView, spend: str, ink: Ink, columns: int) -> str:
    head, is_stopped = f"mission {plain(mission.id)}  ", " (stopped)" if mission.stopped else ""
    room = columns - len(head) - len(mission.state) - len(is_stopped) - len(spend) - 4
    state = ink.word(mission.state) + is_stopped
    return f"{ink.paint(head, 'bold')}{state}  {spend}  {_quoted(mission.text, room)}"


def _tier(agent: AgentView) -> str:
    return "" if agent.tier is None else str(agent.tier)


def _why_stopped(agent: AgentView) -> str:
    """What holds an agent, in short; how one that is well came to be so is told by `inspect`."""
    if agent.state not in (AgentState.FROZEN, AgentState.DRAINING) or not agent.reason:
        return ""
    return f"({excerpt(agent.reason, WHY_COLUMNS)})"


def _due(agent: AgentView, now: datetime | None) -> str:
    """When its deadline is, where it has one of its own and lives."""
    if now is None or agent.is_terminated:
        return ""
    left = until(agent.deadline, now)
    return f"due {left}" if left else ""


def _warning(account: AccountView) -> str:
    """An account's state that asks for a person, if any: the graver one alone."""
    marks = account.marks
    if "overdrawn" in marks:
        return f"overdrawn ({excerpt(marks['overdrawn'], WHY_COLUMNS)})"
    return f"little {plain(marks['warned'])} left" if "warned" in marks else ""


def _doing(agent: AgentView) -> str:
    """Of most there is nothing to say: the tree shows who is at work, and who is in trouble."""
    word = agent.activity.word if agent.activity else ""
    return "" if word in ("", "idle") or word == agent.state else activity_text(agent)


def _quoted(text: str, columns: int) -> str:
    return f"“{excerpt(text, min(TASK_COLUMNS, columns))}”" if text and columns >= 12 else ""


def _spend(branch: Branch) -> str:
    own = amounts(used(branch.own))
    if not branch.below:
        return own
    return f"{own} own, {amounts(used(branch.whole))} with all below"


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
    agents: Sequence[AgentView], accounts: Mapping[str, AccountView], ink: Ink, now: datetime
) -> list[str]:
    held = [accounts.get(agent.id, NO_ACCOUNT) for agent in agents]
    columns: list[_Column] = [
        *_who_columns(agents),
        ("MISSION", [agent.mission or "-" for agent in agents]),
        ("PARENT", [agent.parent or "-" for agent in agents]),
        ("HOST", [agent.host or "-" for agent in agents]),
        *_spent_columns([spent_of(account) for account in held]),
        ("ACCOUNT", [_warning(account) for account in held]),
        ("DUE", [_due(agent, now).removeprefix("due ") for agent in agents]),
        ("AGE", [ago(agent.created, now) for agent in agents]),
    ]
    return _columns(columns, ink=ink, optional=_OPTIONAL)


def _who_columns(agents: Sequence[AgentView]) -> list[_Column]:
    return [
        ("ID", [agent.id for agent in agents]),
        ("NAME", [agent.name for agent in agents]),
        ("TIER", [_tier(agent) for agent in agents]),
        ("ROLE", [agent.role for agent in agents]),
        ("STATE", [_state_and_why(agent) for agent in agents]),
        ("ACTIVITY", [activity_text(agent) or "-" for agent in agents]),
    ]


def _state_and_why(agent: AgentView) -> str:
    if not agent.reason or agent.state in (AgentState.LIVE, AgentState.STARTING):
        return agent.state
    return f"{agent.state} ({excerpt(agent.reason, 30)})"


def activity_text(agent: AgentView) -> str:
    """What it does now, with what and for how long: `busy model 12s`."""
    doing = agent.activity
    if doing is None:
        return ""
    since = "" if doing.seconds is None else lasted(doing.seconds)
    return " ".join(word for word in (doing.word, doing.waits, doing.call, since) if word)


def mission_lines(
    missions: Sequence[MissionView], accounts: Mapping[str, AccountView], ink: Ink, now: datetime
) -> list[str]:
    held = [accounts.get(mission.id, NO_ACCOUNT) for mission in missions]
    columns: list[_Column] = [
        ("ID", [mission.id for mission in missions]),
        ("STATE", [_mission_state(mission) for mission in missions]),
        ("AGE", [ago(mission.created, now) for mission in missions]),
        *_spent_columns([spent_of(account) for account in held]),
        ("ACCOUNT", [_warning(account) for account in held]),
        ("MISSION", [excerpt(mission.text, TASK_COLUMNS) for mission in missions]),
        ("REASON", [excerpt(mission.reason, TASK_COLUMNS) for mission in missions]),
    ]
    return _columns(columns, ink=ink, optional=_OPTIONAL)


def _mission_state(mission: MissionView) -> str:
    return mission.state + (" (stopped)" if mission.stopped else "")


def top_lines(tree: Tree, ink: Ink, now: datetime) -> list[str]:
    """The living, those first that have spent most by themselves."""
    living = tree.spenders()
    agents = [one.record for one in living if isinstance(one.record, AgentView)]
    columns: list[_Column] = [
        *_who_columns(agents),
        *_spent_columns([branch.own for branch in living]),
        ("LEFT", [_left(branch.account) for branch in living]),
        ("ACCOUNT", [_warning(branch.account) for branch in living]),
        ("DUE", [_due(agent, now).removeprefix("due ") for agent in agents]),
    ]
    return _columns(columns, ink=ink, optional=_OPTIONAL)


def _left(account: AccountView) -> str:
    percent = percent_left(account)
    return "-" if percent is None else f"{percent}%"


def _headed(lines: list[str], ink: Ink) -> list[str]:
    return [ink.paint(lines[0], "bold"), *lines[1:]]


_AMOUNTS: Final = ("cap", "free", "reserved", "granted", "spent", "overdraft", "assumed")


def account_lines(account: AccountView) -> list[str]:
    """An account by kind, cost in dollars, what was assumed only where something was; then what was
    spent of it in one line that says what is unpriced, and its marks."""
    held = account.kinds
    kinds = [kind for kind in in_order(held) if any(held[kind].values())]
    shown = [c for c in _AMOUNTS if c != "assumed" or any(held[kind].get(c) for kind in kinds)]
    rows = [
        (kind, *(plainly(kind, held[kind].get(column, 0)) for column in shown)) for kind in kinds
    ]
    spent = f"spent: {amounts(used(spent_of(account)))}"
    marks = [f"{plain(name)}: {plain(text)}" for name, text in sorted(account.marks.items())]
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


def trimmed_line(trimmed: Trimmed) -> str:
    """What a reader that goes on from a position has missed."""
    count = "entries" if trimmed.entries is None else f"{trimmed.entries:,} entries of the channel"
    where = f"what is kept begins at {trimmed.first}" if trimmed.first else "nothing else is kept"
    return f"not shown: after {trimmed.after}, {count} may be missing, for {where}"


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
