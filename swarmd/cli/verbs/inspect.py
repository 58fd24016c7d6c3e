"""`swarmd inspect`: all of one agent or mission; and whom a person means by a reference."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from swarmd.cli.exit_codes import Exit
from swarmd.cli.render import values
from swarmd.cli.render.rights import revocation_line
from swarmd.cli.render.tables import account_lines, exact_amount, stop_words
from swarmd.cli.render.text import Ink, plain
from swarmd.cli.session import Sight, now
from swarmd.cli.verbs.overview import read_spending
from swarmd.core.model.kpis import KpiResult, kpi_rows, kpis_of
from swarmd.core.model.names import SOB, AgentId, MissionId
from swarmd.core.model.privileges import Revocation, Right, live_holding
from swarmd.core.queries.snapshot import NO_ACCOUNT, AccountView, AgentView, MissionView
from swarmd.core.queries.spending import totals_of
from swarmd.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from swarmd.core.model.lineage import Agent, Stop
    from swarmd.core.queries.snapshot import Marks
    from swarmd.ports.reader import Inner, Reader

AMBIGUOUS_SHOWN: Final = 8


@dataclass(frozen=True, slots=True)
class Named:
    """What an id, a name or the unique beginning of one stands for."""

    id: str
    is_mission: bool


def named(reader: Reader, reference: str) -> Named:
    """Raises `NotFoundError`, or `UsageError` where several are meant."""
    # The whole id, as programs give it, costs two look-ups and not a walk through the swarm.
    if reader.agent(AgentId(reference)):
        return Named(reference, False)
    if reader.mission(MissionId(reference)):
        return Named(reference, True)
    agents = reader.agents(ended=True)
    called = [Named(a.id, False) for a in agents if a.name == reference and not a.ended]
    found = called or _begun(reader, agents, reference)
    if found:
        return _only(found, reference)
    raise NotFoundError(
        f"no agent or mission {reference!r}",
        hint="`swarmd ps --all` and `swarmd missions` list what there is",
    )


def _begun(reader: Reader, agents: Sequence[AgentView], beginning: str) -> list[Named]:
    """All whose ids begin so."""
    ids = [Named(agent.id, False) for agent in agents]
    ids += [Named(id, True) for id in reader.mission_ids()]
    return [one for one in ids if beginning and one.id.startswith(beginning)]


def _only(candidates: Sequence[Named], reference: str) -> Named:
    if len(candidates) == 1:
        return candidates[0]
    several = ", ".join(one.id for one in candidates[:AMBIGUOUS_SHOWN])
    left = len(candidates) - AMBIGUOUS_SHOWN
    more = f" and {left} more" if left > 0 else ""
    raise UsageError(f"{reference!r} may be any of: {several}{more}", hint="give more of the id")


def inspect(sight: Sight, reference: str) -> Exit:
    found = named(sight.reader, reference)
    if found.is_mission:
        return _inspect_mission(sight, MissionId(found.id))
    return _inspect_agent(sight, AgentId(found.id))


# --- an agent ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Whole:
    """All of an agent that is shown."""

    agent: AgentView
    marks: Marks
    inner: Inner
    children: Sequence[str]
    account: AccountView
    total: Mapping[str, int]
    rights: Mapping[str, Sequence[str]]
    revocations: Sequence[Revocation]


def _inspect_agent(sight: Sight, id: AgentId) -> Exit:
    whole = _whole_of(sight.reader, id)
    if sight.as_json:
        sight.give({"agent": _agent_value(whole)})
    else:
        sight.say(_agent_lines(whole, sight.ink))
    return Exit.DONE


def _whole_of(reader: Reader, id: AgentId) -> _Whole:
    agent, marks = reader.agent(id) or AgentView(id=id), reader.marks()
    revocations, itself = marks.revocations_on(agent), reader.chain(id)[-1:]
    rights = {name: _held(itself, right, revocations) for name, right in _RIGHTS.items()}
    account = reader.accounts([id]).get(id, NO_ACCOUNT)
    inner, children = reader.inner(id), reader.children(id)
    total = _total_of(reader, id)
    return _Whole(agent, marks, inner, children, account, total, rights, revocations)


def _total_of(reader: Reader, id: str) -> Mapping[str, int]:
    """What is spent with all below. Of the board's account the missions are below it."""
    below = [agent for agent in reader.agents() if id in agent.path or agent.id == id]
    known = read_spending(reader, reader.missions() if id == SOB else (), below)
    own = reader.accounts([id])
    totals = totals_of(replace(known, accounts={**known.accounts, **own}))
    return totals.get(id, {})


def _agent_value(whole: _Whole) -> dict[str, Any]:
    inner = whole.inner
    return values.agent_value(whole.agent, whole.account) | {
        **values.total_value({whole.agent.id: whole.total}, whole.agent.id),
        "children": whole.children,
        **whole.rights,
        "revoked": [values.revocation_value(mark) for mark in whole.revocations],
        "positions": dict(inner.positions),
        "turn": inner.turn,
        "steps": {"begun": inner.steps_begun, "ended": inner.steps_ended},
        "task": _task_value(inner.task) if inner.task else {},
    }


def _agent_lines(whole: _Whole, ink: Ink) -> list[str]:
    lists = {
        "children": whole.children,
        **whole.rights,
        "revoked": [revocation_line(mark, now()) for mark in whole.revocations],
        "stopped by": stop_words(whole.marks.stops_on(whole.agent), now()),
        "positions": [f"{name}  {at}" for name, at in whole.inner.positions.items()],
    }
    return [
        *_fields("agent", values.agent_fields(whole.agent), ink),
        *(line for title, items in lists.items() for line in _list(title, items, ink)),
        *_task_lines(whole.inner.task),
        *_turn_lines(whole.inner),
        *_account(whole.account, whole.total, ink),
    ]


def _task_lines(task: Mapping[str, str]) -> list[str]:
    """In which state its charter is, and its checks and KPIs when it was last handed in."""
    if not task:
        return []
    state = task.get("state", "").replace("_", " ")
    why = f": {task['reason']}" if task.get("reason") and state == "rejected" else ""
    checks = [
        f"{'red' if fault else 'green'}  {check}  {fault}" for check, fault in read_checks(task)
    ]
    kpis = [f"kpi    {one.text}" for one in read_kpis(task)]
    return [plain(f"task: {state}{why}"), *(plain(f"  {line}".rstrip()) for line in checks + kpis)]


def _task_value(task: Mapping[str, str]) -> dict[str, Any]:
    return {**task, "checks": read_checks(task), "kpis": kpi_rows(read_kpis(task))}


def read_checks(task: Mapping[str, str]) -> list[tuple[str, str]]:
    """Each check and what is wrong; nothing of what is not such a list."""
    try:
        rows = json.loads(task.get("checks") or "[]")
        return [(str(check), str(fault)) for check, fault in rows]
    except (ValueError, TypeError):
        return []


def read_kpis(task: Mapping[str, str]) -> tuple[KpiResult, ...]:
    """As they were measured when it was last handed in; none of what is not such a list."""
    try:
        return kpis_of({"kpis": json.loads(task.get("kpis") or "[]")})
    except ValueError:
        return ()


def _turn_lines(inner: Inner) -> list[str]:
    lines = [f"turn: {plain(inner.turn)}"] if inner.turn else []
    if inner.waits:
        lines.append(plain(inner.waits))
    if inner.steps_begun:
        begun = f"{inner.steps_begun} begun, {inner.steps_ended} ended"
        lines.append(f"steps of the turn under way: {begun}")
    return lines


_RIGHTS: Final[Mapping[str, Right]] = {"privileges": "use", "grants": "grant"}


def _held(agents: Sequence[Agent], right: Right, marks: Sequence[Revocation]) -> list[str]:
    """The paths over which it has the right now: what it was given, but for what was revoked."""
    return [
        held.path
        for agent in agents
        for held in agent.holdings(right)
        if live_holding(held.path, right, [held], marks) is not None
    ]


# --- a mission --------------------------------------------------------------------------------


def _inspect_mission(sight: Sight, id: MissionId) -> Exit:
    reader, marks = sight.reader, sight.reader.marks()
    mission = marks.of_mission(reader.mission(id) or MissionView(id=id))
    account = reader.accounts([id]).get(id, NO_ACCOUNT)
    total = _total_of(reader, id)
    agents = [agent for agent in reader.agents(ended=True) if agent.mission == id]
    if sight.as_json:
        value = values.mission_value(mission, account) | values.total_value({id: total}, id)
        sight.give({"mission": value | {"agents": [agent.id for agent in agents]}})
        return Exit.DONE
    stops = [marks.stops[target] for target in mission.stopped]
    lines = _mission_lines(mission, stops, agents, sight.ink)
    sight.say([*lines, *_account(account, total, sight.ink)])
    return Exit.DONE


def _mission_lines(
    mission: MissionView, stops: Sequence[Stop], agents: Sequence[AgentView], ink: Ink
) -> list[str]:
    rows = [f"{agent.id}  {agent.name}  {agent.state}" for agent in agents]
    return [
        *_fields("mission", _shown_of_mission(mission), ink),
        *_list("stopped by", stop_words(stops, now()), ink),
        *_list("agents", rows, ink),
    ]


# What the supervisor alone needs, or what stands elsewhere in another form. `--json` has it.
_INNER_FIELDS: Final = ("v", "digest", "ending", "asked_files")


def _shown_of_mission(mission: MissionView) -> dict[str, str]:
    """The fields that say something to a person, what people look for first."""
    told = {
        name: text
        for name, text in mission.fields.items()
        if name not in _INNER_FIELDS and text not in ("null", "[]")
    }
    first = ("id", "mission", "state", "reason")
    return {name: told[name] for name in (*first, *told) if name in told}


# --- as lines ---------------------------------------------------------------------------------


def _fields(title: str, record: Mapping[str, str], ink: Ink) -> list[str]:
    lines = [ink.paint(f"{title} {plain(record.get('id', ''))}", "bold")]
    for name, text in record.items():
        value = values.unpacked(name, text)
        # Privileges are shown as lists, those that it has now and not those that were given.
        if name in ("id", "privileges", "grants", "later", "stopped") or value == "":
            continue
        if isinstance(value, dict):
            lines.append(f"{plain(name)}:")
            lines += [
                f"  {plain(str(key))}: {_indented(_said(name, key, inner))}"
                for key, inner in value.items()
                if inner
            ]
        else:
            # A time is stored in seconds, and read as people write it.
            lines.append(f"{plain(name)}: {_indented(value if name == 'deadline' else text)}")
    return lines


def _said(field: str, key: str, value: Any) -> Any:
    """Money of a budget is told as the ledger below tells it."""
    is_amount = field == "budget" and type(value) is int
    return exact_amount(key, value) if is_amount else value


def _indented(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return "\n    ".join(plain(text, multiline=True).splitlines())


def _list(title: str, items: Sequence[str], ink: Ink) -> list[str]:
    return (
        [ink.paint(f"{title}:", "bold"), *(f"  {plain(item)}" for item in items)] if items else []
    )


def _account(account: AccountView, total: Mapping[str, int], ink: Ink) -> list[str]:
    if not account.kinds:
        return []
    return [ink.paint("ledger:", "bold"), *("  " + line for line in account_lines(account, total))]
