"""The verbs that show the swarm as a whole: missions, ps, tree, top, stops. They read and print,
and hold no rule.

Data goes to standard output; that there is none, and what to do about it, to standard error.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Final

from swarmd.cli.exit_codes import Exit
from swarmd.cli.render import tables, values
from swarmd.cli.render.text import plain
from swarmd.cli.render.tree import tree_lines
from swarmd.cli.session import Sight, note, now
from swarmd.core.model.names import Authority
from swarmd.core.queries.snapshot import NO_ACCOUNT, Snapshot
from swarmd.core.queries.spending import Tree, totals_of, tree_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from swarmd.adapters.halt_file import Brake
    from swarmd.core.queries.snapshot import AgentView, MissionView
    from swarmd.ports.reader import Reader
    from swarmd.settings import Settings

NO_CALLS: Final = (
    "no supervisor has led for longer than its lease, and before one does no call "
    "of a model or a tool begins (lead.none)"
)


def read_spending(
    reader: Reader, missions: Sequence[MissionView], agents: Sequence[AgentView]
) -> Snapshot:
    """These, with all of their accounts: by them it is told what is spent with all below."""
    accounts = reader.accounts([*(one.id for one in missions), *(one.id for one in agents)])
    return Snapshot(tuple(agents), tuple(missions), accounts)


def missions(sight: Sight) -> Exit:
    found = sight.reader.missions()
    # What lives below them is needed only where one goes on: of the others it was added up.
    is_any_open = any(not mission.ended for mission in found)
    known = read_spending(sight.reader, found, sight.reader.agents() if is_any_open else ())
    totals = totals_of(known)
    if sight.as_json:
        told = [
            values.mission_value(one, known.accounts.get(one.id, NO_ACCOUNT))
            | values.total_value(totals, one.id)
            for one in found
        ]
        sight.give({"missions": told})
    elif found:
        sight.say(tables.mission_lines(found, known.accounts, totals, sight.ink, now()))
        _note_who_is_asked(sight, {mission.id for mission in found if not mission.has_ended})
    else:
        note('no missions yet; give one with `swarmd submit "…"` or `swarmd run "…"`')
    return Exit.DONE


def _note_who_is_asked(sight: Sight, open_ones: Collection[str]) -> None:
    """What only a person can answer, with what to type."""
    for id, facts in sight.reader.approvals().items():
        mission = str((facts.get("action") or {}).get("mission", ""))
        if mission in open_ones and facts.get("needs") == Authority.OPERATOR.value:
            note(f"{mission} waits for a person: swarmd approve {plain(id)} (or: deny {plain(id)})")


def ps(sight: Sight, *, ended: bool, only_ids: bool) -> Exit:
    agents = sight.reader.agents(ended=ended)
    if only_ids and not sight.as_json:
        sight.say([plain(agent.id) for agent in agents])
    elif sight.as_json or agents:
        _show_agents(sight, agents)
    else:
        note(
            "no agents live; `swarmd up` starts the swarm, `swarmd ps --all` shows those that ended"
        )
    return Exit.DONE


def _show_agents(sight: Sight, agents: Sequence[AgentView]) -> None:
    known = read_spending(sight.reader, sight.reader.missions(), agents)
    totals = totals_of(known)
    if sight.as_json:
        told = [
            values.agent_value(one, known.accounts.get(one.id, NO_ACCOUNT))
            | values.total_value(totals, one.id)
            for one in agents
        ]
        sight.give({"agents": told})
        return
    sight.say(tables.agent_lines(agents, known.accounts, totals, sight.ink, now()))
    if any(agent.activity and agent.activity.waits for agent in agents):
        note(f"agents wait: {NO_CALLS}; `swarmd up` or `swarmd supervisor` starts one")


def tree(sight: Sight, *, ended: bool) -> Exit:
    snapshot = sight.reader.snapshot()
    found = tree_of(snapshot)
    if sight.as_json:
        seats = [values.branch_value(seat) for seat in found.seats]
        sight.give({"board": values.branch_value(found.board), "seats": seats})
    elif not found.seats and not snapshot.missions:
        note("no swarm has run here yet; `swarmd up` starts one")
    else:
        sight.say(tree_lines(found, sight.ink, ended=ended, now=now()))
        if not ended and all(branch.is_closed for branch in found.board.below):
            _note_nothing_open(has_ended=bool(snapshot.missions))
    return Exit.DONE


def _note_nothing_open(*, has_ended: bool) -> None:
    what = "no missions yet"
    if has_ended:
        what = "every mission has ended; `swarmd tree --all` shows them"
    note(f'{what}; give one with `swarmd submit "…"`')


def top(sight: Sight, *, seconds: float, is_once: bool) -> Exit:
    """The living by what they spent; on a terminal drawn anew every so often, until interrupted."""
    while True:
        found = tree_of(sight.reader.snapshot())
        if sight.as_json:
            sight.give({"agents": [values.spender_value(one) for one in found.spenders()]})
            return Exit.DONE
        if is_once or not sys.stdout.isatty():
            sight.say(tables.top_lines(found, sight.ink, now()))
            return Exit.DONE
        _draw(sight, found)
        time.sleep(seconds)


def _draw(sight: Sight, found: Tree) -> None:
    """Home, and each line's rest cleared, then what is below: nothing flickers as it would on a
    cleared screen.
    """
    rows = os.get_terminal_size(sys.stdout.fileno()).lines - 1
    lines = tables.top_lines(found, sight.ink, now())[:rows]
    print("\x1b[H" + "".join(f"{line}\x1b[K\n" for line in lines) + "\x1b[J", end="", flush=True)


def stops(sight: Sight, brake: Brake | None) -> Exit:
    """All that is stopped, by whom and why; `brake` is the halt that the data folder itself
    holds.
    """
    told = values.stop_values(sight.reader.marks())
    if brake is not None:
        told.append(values.brake_value(brake))
    if sight.as_json:
        sight.give({"stops": told})
    elif told:
        sight.say(tables.stop_lines(told, sight.ink, now()))
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
