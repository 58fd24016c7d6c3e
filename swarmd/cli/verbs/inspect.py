"""The verbs that look: missions, tree, ps, top, stops, inspect, tail, health. They read and print,
and hold no rule.

Data goes to standard output; that there is none, and what to do about it, to standard error.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from swarmd.cli.exit_codes import Exit
from swarmd.cli.render import lines as render_lines
from swarmd.cli.render.text import Ink, plain
from swarmd.core.model.channels import BOARD_ROOM, JOURNAL, MISSIONS, ORDERS, REQUESTS, RESULTS
from swarmd.core.model.messages import is_stream_id
from swarmd.core.model.names import FIRST, AgentId, Channel, MissionId, StreamId
from swarmd.core.model.privileges import Revocation, Right, live_holding
from swarmd.core.queries.snapshot import NO_ACCOUNT, AccountView, AgentView, MissionView
from swarmd.core.queries.spending import tree_of
from swarmd.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from swarmd.adapters.halt_file import Brake, Part
    from swarmd.core.model.lineage import Agent
    from swarmd.ports.reader import Entry, Health, Notifications, Page, Reader
    from swarmd.settings import Settings
from swarmd.cli.session import Sight, note, now

NO_CALLS: Final = (
    "no supervisor has led for longer than its lease, and before one does no call "
    "of a model or a tool begins (lead.none)"
)


AMBIGUOUS_SHOWN: Final = 8


_ALWAYS: Final = frozenset({MISSIONS, RESULTS, ORDERS, REQUESTS, JOURNAL, BOARD_ROOM})


def missions(sight: Sight) -> Exit:
    found = sight.reader.missions()
    accounts = sight.reader.accounts([mission.id for mission in found])
    if sight.as_json:
        sight.give(
            {
                "missions": [
                    render_lines.mission_value(m, accounts.get(m.id, NO_ACCOUNT)) for m in found
                ]
            }
        )
    elif found:
        sight.say(render_lines.mission_lines(found, accounts, sight.ink, now()))
    else:
        note('no missions yet; give one with `swarmd submit "…"` or `swarmd run "…"`')
    return Exit.DONE


def ps(sight: Sight, *, ended: bool, only_ids: bool) -> Exit:
    agents = sight.reader.agents(ended=ended)
    if only_ids and not sight.as_json:
        sight.say([plain(agent.id) for agent in agents])
        return Exit.DONE
    accounts = sight.reader.accounts([agent.id for agent in agents])
    if sight.as_json:
        sight.give(
            {
                "agents": [
                    render_lines.agent_value(agent, accounts.get(agent.id, NO_ACCOUNT))
                    for agent in agents
                ]
            }
        )
    elif agents:
        sight.say(render_lines.agent_lines(agents, accounts, sight.ink, now()))
        if any(agent.activity and agent.activity.waits for agent in agents):
            note(f"agents wait: {NO_CALLS}; `swarmd up` or `swarmd supervisor` starts one")
    else:
        note(
            "no agents live; `swarmd up` starts the swarm, `swarmd ps --all` shows those that ended"
        )
    return Exit.DONE


def tree(sight: Sight, *, ended: bool) -> Exit:
    snapshot = sight.reader.snapshot()
    found = tree_of(snapshot)
    if sight.as_json:
        sight.give(
            {
                "board": render_lines.branch_value(found.board),
                "seats": [render_lines.branch_value(seat) for seat in found.seats],
            }
        )
        return Exit.DONE
    if not found.seats and not snapshot.missions:
        note("no swarm has run here yet; `swarmd up` starts one")
        return Exit.DONE
    sight.say(render_lines.tree_lines(found, sight.ink, ended=ended, now=now()))
    if not ended and not any(not branch.is_closed for branch in found.board.below):
        what = (
            "every mission has ended; `swarmd tree --all` shows them"
            if snapshot.missions
            else "no missions yet"
        )
        note(f'{what}; give one with `swarmd submit "…"`')
    return Exit.DONE


def top(sight: Sight, *, seconds: float, is_once: bool) -> Exit:
    """The living by what they spent; on a terminal drawn anew every so often, until interrupted."""
    while True:
        found = tree_of(sight.reader.snapshot())
        if sight.as_json:
            sight.give({"agents": [render_lines.spender_value(one) for one in found.spenders()]})
            return Exit.DONE
        lines = render_lines.top_lines(found, sight.ink, now())
        if is_once or not sys.stdout.isatty():
            sight.say(lines)
            return Exit.DONE
        rows = os.get_terminal_size(sys.stdout.fileno()).lines - 1
        # Home, and each line's rest cleared, then what is below: nothing flickers as it would on a
        # cleared screen.
        print(
            "\x1b[H" + "".join(f"{line}\x1b[K\n" for line in lines[:rows]) + "\x1b[J",
            end="",
            flush=True,
        )
        time.sleep(seconds)


def stops(sight: Sight, brake: Brake | None) -> Exit:
    """All that is stopped, by whom and why; `brake` is the halt that the data folder itself
    holds.
    """
    values = render_lines.stop_values(sight.reader.marks())
    if brake is not None:
        values.append(render_lines.brake_value(brake))
    if sight.as_json:
        sight.give({"stops": values})
    elif values:
        sight.say(render_lines.stop_lines(values, sight.ink, now()))
    else:
        note("nothing is stopped")
    return Exit.DONE


def halt_of(settings: Settings) -> Brake | None:
    """The halt that the data folder itself holds, which is known without a server."""
    from swarmd.adapters import halt_file

    return halt_file.pulled(settings.data)


def note_halt(settings: Settings, brake: Brake | None) -> None:
    if brake is not None:
        reason = plain(brake.reason or "no reason given")
        note(f"halted by {settings.data / 'halt'}: {reason} ({plain(brake.by)})")


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
    ids = [Named(agent.id, False) for agent in agents] + [
        Named(one, True) for one in reader.mission_ids()
    ]
    names = [Named(a.id, False) for a in agents if a.name == reference and not a.ended]
    for candidates in (names, [one for one in ids if reference and one.id.startswith(reference)]):
        if len(candidates) == 1:
            return candidates[0]
        if candidates:
            several = ", ".join(one.id for one in candidates[:AMBIGUOUS_SHOWN])
            more = (
                f" and {len(candidates) - AMBIGUOUS_SHOWN} more"
                if len(candidates) > AMBIGUOUS_SHOWN
                else ""
            )
            raise UsageError(
                f"{reference!r} may be any of: {several}{more}", hint="give more of the id"
            )
    raise NotFoundError(
        f"no agent or mission {reference!r}",
        hint="`swarmd ps --all` and `swarmd missions` list what there is",
    )


def inspect(sight: Sight, reference: str) -> Exit:
    found = named(sight.reader, reference)
    return (
        _inspect_mission(sight, found.id) if found.is_mission else _inspect_agent(sight, found.id)
    )


def _inspect_agent(sight: Sight, id: str) -> Exit:
    reader, agent_id = sight.reader, AgentId(id)
    agent, marks = reader.agent(agent_id) or AgentView(id=agent_id), reader.marks()
    inner, children = reader.inner(agent_id), reader.children(agent_id)
    account = reader.accounts([id]).get(id, NO_ACCOUNT)
    chain = reader.chain(agent_id)
    revocations = marks.revocations_on(agent)
    rights = {name: _held(chain[-1:], right, revocations) for name, right in _RIGHTS.items()}
    if sight.as_json:
        value = render_lines.agent_value(agent, account) | {
            "children": children,
            **rights,
            "revoked": [render_lines.revocation_value(mark) for mark in revocations],
            "positions": dict(inner.positions),
            "turn": inner.turn,
            "steps": {"begun": inner.steps_begun, "ended": inner.steps_ended},
        }
        sight.give({"agent": value})
        return Exit.DONE
    lines = _fields("agent", render_lines.agent_fields(agent), sight.ink)
    lines += _list("children", children, sight.ink)
    for name, paths in rights.items():
        lines += _list(name, paths, sight.ink)
    lines += _list(
        "revoked", [render_lines.revocation_line(mark, now()) for mark in revocations], sight.ink
    )
    lines += _list("stopped by", render_lines.stop_words(marks.stops_on(agent), now()), sight.ink)
    lines += _list(
        "positions", [f"{name}  {at}" for name, at in inner.positions.items()], sight.ink
    )
    if inner.turn:
        lines.append(f"turn: {plain(inner.turn)}")
    if inner.steps_begun:
        lines.append(
            f"steps of the turn under way: {inner.steps_begun} begun, {inner.steps_ended} ended"
        )
    sight.say(lines + _account(account, sight.ink))
    return Exit.DONE


_RIGHTS: Final[Mapping[str, Right]] = {"privileges": "use", "grants": "grant"}


def _held(agents: Sequence[Agent], right: Right, marks: Sequence[Revocation]) -> list[str]:
    """The paths over which it has the right now: what it was given, but for what was revoked."""
    return [
        held.path
        for agent in agents
        for held in agent.holdings(right)
        if live_holding(held.path, right, [held], marks) is not None
    ]


def _inspect_mission(sight: Sight, id: str) -> Exit:
    marks = sight.reader.marks()
    mission_id = MissionId(id)
    mission = marks.of_mission(sight.reader.mission(mission_id) or MissionView(id=mission_id))
    account = sight.reader.accounts([id]).get(id, NO_ACCOUNT)
    agents = [agent for agent in sight.reader.agents(ended=True) if agent.mission == id]
    if sight.as_json:
        value = render_lines.mission_value(mission, account) | {
            "agents": [agent.id for agent in agents]
        }
        sight.give({"mission": value})
        return Exit.DONE
    lines = _fields("mission", mission.fields, sight.ink)
    stops = [marks.stops[target] for target in mission.stopped]
    lines += _list("stopped by", render_lines.stop_words(stops, now()), sight.ink)
    rows = [f"{agent.id}  {agent.name}  {agent.state}" for agent in agents]
    sight.say(lines + _list("agents", rows, sight.ink) + _account(account, sight.ink))
    return Exit.DONE


def _fields(title: str, record: Mapping[str, str], ink: Ink) -> list[str]:
    lines = [ink.paint(f"{title} {plain(record.get('id', ''))}", "bold")]
    for name, text in record.items():
        value = render_lines.unpacked(name, text)
        # Privileges are shown as lists, those that it has now and not those that were given.
        if name in ("id", "privileges", "grants", "later", "stopped") or value == "":
            continue
        if isinstance(value, dict):
            lines.append(f"{plain(name)}:")
            lines += [
                f"  {plain(str(key))}: {_indented(inner)}" for key, inner in value.items() if inner
            ]
        else:
            # A time is stored in seconds, and read as people write it.
            lines.append(f"{plain(name)}: {_indented(value if name == 'deadline' else text)}")
    return lines


def _indented(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return "\n    ".join(plain(text, multiline=True).splitlines())


def _list(title: str, items: Sequence[str], ink: Ink) -> list[str]:
    return (
        [ink.paint(f"{title}:", "bold"), *(f"  {plain(item)}" for item in items)] if items else []
    )


def _account(account: AccountView, ink: Ink) -> list[str]:
    return (
        [
            ink.paint("ledger:", "bold"),
            *("  " + line for line in render_lines.account_lines(account)),
        ]
        if account.kinds
        else []
    )


def channel_named(reader: Reader, name: str) -> Channel:
    """The channel that a person means: with or without the namespace. Raises `NotFoundError`."""
    channel = reader.channel_of(name)
    if channel in _ALWAYS or reader.has_channel(channel) or reader.is_heard(channel):
        return channel
    known = ", ".join(reader.channels()[:12]) or "none yet"
    raise NotFoundError(f"no channel {name!r}", hint=f"channels with messages: {known}")


def tail(sight: Sight, channel: Channel, *, since: StreamId | None, count: int) -> StreamId:
    """Prints what is stored, and returns how far that was."""
    at = since if since is not None else FIRST
    if since is None:
        stored = sight.reader.last_entries(channel, count) if count else []
        _print_entries(sight, stored)
        return stored[-1].id if stored else sight.reader.last_id(channel)
    return _catch_up(sight, channel, at)


def follow(sight: Sight, channel: Channel, reached: StreamId, notifications: Notifications) -> None:
    """Prints what comes, until interrupted. The notification says when, the stream says what.

    What was stored before the notifications began is read first, so nothing falls between, and
    reading on from `reached` is all that there is to deduplicating.
    """
    for page in sight.reader.follow(channel, reached, notifications):
        _print_page(sight, page)


def _catch_up(sight: Sight, channel: Channel, reached: StreamId) -> StreamId:
    while True:
        page = sight.reader.page(channel, reached)
        _print_page(sight, page)
        reached = page.reached
        if not page.is_full:
            return reached


def _print_page(sight: Sight, page: Page) -> None:
    if page.trimmed is not None:
        note(render_lines.trimmed_line(page.trimmed))
    _print_entries(sight, page.entries)


def _print_entries(sight: Sight, entries: Sequence[Entry]) -> None:
    for entry in entries:
        if sight.as_json:
            sight.give(render_lines.entry_value(entry.channel, entry.id, entry.said))
        else:
            sight.say(render_lines.entry_lines(entry.id, entry.said, sight.ink))
    if entries:
        # A reader at the other end of a pipe follows too.
        sys.stdout.flush()


def since_of(text: str | None) -> StreamId | None:
    """Raises `UsageError` for what is no id of a stream."""
    if text is None:
        return None
    if not is_stream_id(text):
        raise UsageError(
            f"--since {text!r} is not the id of an entry",
            hint="an id looks like 1764000000000-0; 0 is the beginning",
        )
    return StreamId(text)


def health(
    sight: Sight, *, part: str | None, host_name: str, in_trouble: Sequence[Part] = ()
) -> Exit:
    """Done, or findings: what is asked of is not there. A server that is away ends with its own
    code.
    """
    started = time.monotonic()
    # Whether the server keeps the swarm is no worker's business, and no worker's user may ask it.
    state = sight.reader.health(asks_restart=part != "worker", part=part)
    took = time.monotonic() - started
    findings = health_findings(state, part=part, host_name=host_name)
    findings += _troubles(in_trouble, part=part)
    if sight.as_json:
        sight.give(_health_value(state, findings, took))
    else:
        sight.say(_health_lines(state, is_healthy=not findings, part=part))
        for finding in findings:
            note(f"finding: {finding}")
        if state.unasked and part != "worker":
            note(
                f"not asked, as this user of the server may not: {', '.join(sorted(state.unasked))}"
            )
        if part != "worker" and state.restart == "not checked":
            note(
                "not checked: whether the server keeps the swarm when it restarts; the "
                "supervisor's user may ask that"
            )
    return Exit.FINDINGS if findings else Exit.DONE


def _health_lines(state: Health, *, is_healthy: bool, part: str | None) -> list[str]:
    leader = state.leader or ("unknown" if "leader" in state.unasked else "none")
    told = [f"leader {plain(leader)}", f"{len(state.hosts)} hosts"]
    if part != "worker":
        told += [f"{state.agents_living} agents", f"{state.missions_open} missions open"]
    lines = [f"{'healthy' if is_healthy else 'unhealthy'}: {', '.join(told)}"]
    return lines if part == "worker" else [*lines, f"restart: {state.restart}"]


def _troubles(parts: Sequence[Part], *, part: str | None) -> list[str]:
    """What processes of this data folder say themselves of why they cannot work."""
    return [
        (
            f"{' and '.join(one.parts) or 'a process'} (pid {one.pid} on {plain(one.hostname)}) "
            f"cannot work: {plain(one.trouble)}"
        )
        for one in parts
        if part is None or part in one.parts
    ]


def health_findings(state: Health, *, part: str | None, host_name: str) -> list[str]:  # noqa: C901
    """What is wrong, of the part that was asked for, or of the whole."""
    findings = []
    if not state.schema_fits:
        findings.append(f"the server holds schema {state.schema}, of another version of swarmd")
    if not state.writes:
        findings.append("the server cannot write to its disk: free some space")
    for wrong in state.wrong_keys:
        findings.append(f"{wrong}: `swarmd fsck --repair` sets it aside under another name")
    if part in (None, "supervisor") and "leader" in state.unasked:
        findings.append("this user of the server may not know who leads")
    elif part in (None, "supervisor") and not state.leader:
        findings.append("no supervisor leads; `swarmd up` or `swarmd supervisor` starts one")
        if not state.may_begin:
            findings.append(f"agents wait: {NO_CALLS}")
    elif part in (None, "supervisor") and not state.is_heard:
        # A leader that was killed holds its lease for some seconds; a new one hears the entrance a
        # moment later.
        findings.append(
            "nobody listens at swarm:missions; a supervisor is starting, or has just gone"
        )
    if part in (None, "supervisor"):
        findings += _lasting_findings(state)
    if part is None and not state.hosts:
        findings.append("no worker lives; `swarmd up` or `swarmd worker` starts one")
    # Several workers share a server: the container that asks wants to know of its own.
    if part == "worker" and not _hosts_named(state, host_name):
        findings.append(f"no worker on {host_name} holds a lease")
    return findings


def _lasting_findings(state: Health) -> Iterator[str]:
    """What a restart of the server would lose, or a former one has lost."""
    if state.restart == "lost":
        yield state.restart_advice
    for n in state.gaps:
        yield (
            f"the server lost a part of the journal, told of by entry {n}: look into it (`swarmd "
            "journal verify`), "
            f"then `swarmd journal ack {n} --reason TEXT`"
        )


def _hosts_named(state: Health, host_name: str) -> list[str]:
    told = {id_: str(facts.get("hostname", "")) for id_, facts in state.hosts.items()}
    # A host that does not say its machine's name can't be told apart: any living one will do.
    return [id_ for id_, name in told.items() if name in ("", host_name)]


def _health_value(state: Health, findings: Sequence[str], took: float) -> dict[str, Any]:
    return {
        "healthy": not findings,
        "findings": list(findings),
        "leader": state.leader,
        "may_begin": state.may_begin,
        "hosts": [{"id": id_, **facts} for id_, facts in state.hosts.items()],
        "hosts_lost": list(state.hosts_lost),
        "unasked": sorted(state.unasked),
        "gaps": list(state.gaps),
        "restart": state.restart,
        "agents": state.agents_living,
        "missions_open": state.missions_open,
        "server_seconds": round(took, 4),
    }
