"""Tables of what was read: agents, missions, those that spend, stops, and one account. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from swarmd.cli.render.columns import Column, table_lines
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
from swarmd.cli.render.values import iso
from swarmd.core.model.lineage import Stop
from swarmd.core.model.names import BEGINS_AFTER, AgentState
from swarmd.core.queries.snapshot import NO_ACCOUNT, AccountView, AgentView, MissionView
from swarmd.core.queries.spending import Amounts, Tree, percent_left, used

TEXT_COLUMNS: Final = 60
REASON_COLUMNS: Final = 40
_AMOUNTS: Final = ("cap", "free", "reserved", "granted", "spent", "overdraft", "assumed", "cached")
_WHERE_ANY: Final = ("assumed", "cached")


# --- agents -----------------------------------------------------------------------------------


def agent_lines(
    agents: Sequence[AgentView],
    accounts: Mapping[str, AccountView],
    totals: Mapping[str, Amounts],
    ink: Ink,
    now: datetime,
) -> list[str]:
    held = [accounts.get(agent.id, NO_ACCOUNT) for agent in agents]
    columns = [
        *_who_columns(agents),
        *_place_columns(agents),
        *_spent_columns([totals.get(agent.id, {}) for agent in agents]),
        *_warning_columns(held, agents, now),
        Column("AGE", [ago(agent.created, now) for agent in agents], rank=9),
    ]
    return table_lines(columns, ink)


def top_lines(tree: Tree, ink: Ink, now: datetime) -> list[str]:
    """The living, those first that have spent most by themselves."""
    living = tree.spenders()
    agents = [one.record for one in living if isinstance(one.record, AgentView)]
    columns = [
        *_who_columns(agents),
        *_spent_columns([branch.own for branch in living]),
        Column("LEFT", [_left(branch.account) for branch in living], rank=3),
        *_warning_columns([branch.account for branch in living], agents, now),
    ]
    return table_lines(columns, ink)


def _who_columns(agents: Sequence[AgentView]) -> list[Column]:
    return [
        Column("ID", [agent.id for agent in agents]),
        Column("NAME", [_name_text(agent) for agent in agents], least=7),
        Column("TIER", [tier_text(agent) for agent in agents], rank=8),
        Column("ROLE", [agent.role for agent in agents], rank=5, least=8),
        Column("STATE", [agent.state for agent in agents]),
        Column("ACTIVITY", [activity_text(agent) or "-" for agent in agents], rank=1, least=10),
        Column("REASON", [_why_text(agent) for agent in agents], 3, 12, is_optional=True),
    ]


def _place_columns(agents: Sequence[AgentView]) -> list[Column]:
    return [
        Column("MISSION", [agent.mission or "-" for agent in agents], rank=12),
        Column("PARENT", [agent.parent or "-" for agent in agents], rank=13),
        Column("HOST", [agent.host or "-" for agent in agents], rank=14),
    ]


def _spent_columns(spent: Sequence[Mapping[str, int]]) -> list[Column]:
    """What was used; of tools only where any of them was."""
    tools = [one.get("tools", 0) for one in spent]
    return [
        Column("TOKENS", [number(one.get("tokens", 0)) for one in spent], rank=2),
        Column("CALLS", [number(one.get("calls", 0)) for one in spent], rank=10),
        Column("COST", [money(one) for one in spent], rank=7),
        Column("TOOLS", [number(n) if n else "" for n in tools], rank=11, is_optional=True),
    ]


def _warning_columns(
    held: Sequence[AccountView], agents: Sequence[AgentView], now: datetime
) -> list[Column]:
    due = [due_text(agent, now).removeprefix("due ") for agent in agents]
    return [
        Column("ACCOUNT", [warning_text(one) for one in held], rank=4, least=9, is_optional=True),
        Column("DUE", due, rank=6, is_optional=True),
    ]


def tier_text(agent: AgentView) -> str:
    return "" if agent.tier is None else str(agent.tier)


def _name_text(agent: AgentView) -> str:
    """Of a seat and the board the id is the name."""
    return "-" if agent.name == agent.id else agent.name


def _why_text(agent: AgentView) -> str:
    """Why it stands still, has ended or has yet to begin; how one that is well came to be so is
    told by `inspect`.
    """
    is_well = agent.state in (AgentState.LIVE, AgentState.STARTING)
    is_told = not is_well or agent.reason.startswith(BEGINS_AFTER)
    return excerpt(agent.reason, REASON_COLUMNS) if is_told else ""


def activity_text(agent: AgentView) -> str:
    """What it does now, with what and for how long: `busy model 12s`."""
    doing = agent.activity
    if doing is None:
        return ""
    if doing.waits_for:
        left = "" if doing.left is None else f" ({lasted(doing.left)} left)"
        return f"waits for {excerpt(doing.waits_for, REASON_COLUMNS)}{left}"
    since = "" if doing.seconds is None else lasted(doing.seconds)
    return " ".join(word for word in (doing.word, doing.waits, doing.call, since) if word)


def due_text(agent: AgentView, now: datetime | None) -> str:
    """When its deadline is, where it has one of its own and lives."""
    if now is None or agent.is_terminated:
        return ""
    left = until(agent.deadline, now)
    return f"due {left}" if left else ""


def warning_text(account: AccountView) -> str:
    """An account's state that asks for a person, if any: the graver one alone."""
    marks = account.marks
    if "overdrawn" in marks:
        return f"overdrawn ({excerpt(marks['overdrawn'], REASON_COLUMNS)})"
    return f"little {plain(marks['warned'])} left" if "warned" in marks else ""


def _left(account: AccountView) -> str:
    percent = percent_left(account)
    return "-" if percent is None else f"{percent}%"


# --- missions ---------------------------------------------------------------------------------


def mission_lines(
    missions: Sequence[MissionView],
    accounts: Mapping[str, AccountView],
    totals: Mapping[str, Amounts],
    ink: Ink,
    now: datetime,
) -> list[str]:
    held = [accounts.get(mission.id, NO_ACCOUNT) for mission in missions]
    columns = [
        Column("ID", [mission.id for mission in missions]),
        Column("STATE", [_mission_state(mission) for mission in missions]),
        Column("AGE", [ago(mission.created, now) for mission in missions], rank=9),
        *_spent_columns([totals.get(mission.id, {}) for mission in missions]),
        Column("ACCOUNT", [warning_text(one) for one in held], rank=4, least=9, is_optional=True),
        *_mission_texts(missions),
    ]
    return table_lines(columns, ink)


def _mission_texts(missions: Sequence[MissionView]) -> list[Column]:
    texts = [excerpt(mission.text, TEXT_COLUMNS) for mission in missions]
    reasons = [excerpt(mission.reason, TEXT_COLUMNS) for mission in missions]
    return [
        Column("MISSION", texts, rank=1, least=16),
        Column("REASON", reasons, rank=3, least=16, is_optional=True),
    ]


def _mission_state(mission: MissionView) -> str:
    return mission.state + (" (stopped)" if mission.stopped else "")


# --- one account ------------------------------------------------------------------------------


def account_lines(account: AccountView, total: Amounts) -> list[str]:
    """An account by kind, cost in dollars, what was assumed or cached only where something was;
    then what was spent with all below in one line that says what is unpriced, and its marks.
    """
    held = account.kinds
    spent = f"spent, with all below: {amounts(used(total))}"
    marks = [f"{plain(name)}: {plain(text)}" for name, text in sorted(account.marks.items())]
    return [*_kind_lines(held), spent, *marks]


def _kind_lines(held: Mapping[str, Mapping[str, int]]) -> list[str]:
    kinds = [kind for kind in in_order(held) if any(held[kind].values())]
    shown = [c for c in _AMOUNTS if c not in _WHERE_ANY or any(held[k].get(c) for k in kinds)]
    rows = [
        (kind, *(exact_amount(kind, held[kind].get(column, 0)) for column in shown))
        for kind in kinds
    ]
    return table(("KIND", *(column.upper() for column in shown)), rows)


def exact_amount(kind: str, value: int) -> str:
    """One amount to the last digit, cost in dollars."""
    return money({"cost": value}) if kind == "cost" else str(value)


# --- stops ------------------------------------------------------------------------------------


def stop_lines(values: Sequence[Mapping[str, Any]], ink: Ink, now: datetime) -> list[str]:
    """The stops that `values.stop_values` gives, for a person."""
    reasons = [excerpt(value["reason"], 2 * REASON_COLUMNS) for value in values]
    columns = [
        Column("TARGET", [value["target"] for value in values]),
        Column("KIND", [value["kind"] for value in values]),
        Column("BY", [value["by"] or "-" for value in values], rank=1, least=8),
        Column("SINCE", [ago(value["at"], now) or "-" for value in values], rank=2),
        Column("UNTIL", [value["until"] for value in values], rank=3, is_optional=True),
        Column("WHY", reasons, least=12),
    ]
    return table_lines(columns, ink)


def stop_words(stops: Sequence[Stop], now: datetime) -> list[str]:
    """Each stop on one line, for lists."""
    return [
        f"{stop.kind.value} {stop.target} by {stop.by or 'nobody known'}"
        + (f", {lasted(now.timestamp() - stop.at)} ago" if stop.at else "")
        + (f", until {iso(stop.until)}" if stop.until else "")
        + (f": {stop.reason}" if stop.reason else "")
        for stop in stops
    ]
