"""How often agents that have read untrusted text replace one another, until the board is asked.
Pure.

As shipped a tainted turn ends its children and creates others in their place without permission. A
planted text could so have one task done anew without end, each time with what is left of the
budget. What is one task is told by its creator, its role and its files: names and texts change from
one to the next.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from swarmd.core.actions.approvals import Need
from swarmd.core.board.agenda import keep_watch
from swarmd.core.model.chain import canonical, sha256
from swarmd.core.model.lineage import Agent, Fence
from swarmd.core.model.names import Authority, MissionId
from swarmd.core.model.refusals import Rule
from swarmd.core.model.state import Draft, Swarm
from swarmd.core.model.watch import Watch


def task_of(agent: Agent) -> str:
    """The same for all who are created in each other's place."""
    files = sorted(agent.charter.files) if agent.charter is not None else []
    return sha256(canonical([agent.parent, agent.role, files]))[:16]


def note_ended(draft: Draft, agent: Agent, mark: Fence) -> None:
    """Its creator has ended it: whoever is created for this task from now on replaces it."""
    procedure = draft.swarm.boards.get(agent.mission)
    if procedure is None or mark.by != agent.parent:
        return
    ended = dict(procedure.watch.ended)
    ended[task_of(agent)] = ended.get(task_of(agent), 0) + 1
    keep_watch(draft, agent.mission, ended=ended)


def need(swarm: Swarm, agent: Agent, taint: Iterable[str]) -> Need | None:
    """The board's permission for a wished-for agent, where its creator has replaced often enough by
    itself.
    """
    limits, watch = swarm.declared.limits, _watch(swarm, agent.mission)
    counted = set(taint) & set(limits.taint.sources)
    often = watch.ended.get(task_of(agent), 0)
    if not counted or not often:
        return None
    if often > limits.replacements_max:
        detail = f"this task was given anew {limits.replacements_max} times (replacements_max)"
    elif corrective_calls_left(swarm, agent.mission) <= 0:
        percent = limits.corrections_percent
        detail = f"corrections have used {percent} % of the mission's calls (corrections_percent)"
    else:
        return None
    return Need(Authority.BOARD, Rule.TAINT_PERMISSION, detail)


def corrective_calls_left(swarm: Swarm, mission: MissionId) -> int:
    """How many calls a mission may still use for replacements and for steps of a ladder."""
    percent = swarm.declared.limits.corrections_percent
    most = swarm.missions[mission].budget["calls"] * percent // 100
    return most - _watch(swarm, mission).corrective_calls


def note_made(draft: Draft, agent: Agent) -> None:
    watch = _watch(draft.swarm, agent.mission)
    if watch.ended.get(task_of(agent)):
        keep_watch(draft, agent.mission, replacements=(*watch.replacements, agent.id))


def note_calls(draft: Draft, agents: Iterable[Agent]) -> None:
    """A call of each was settled: those of replacements, and of who lives below them, count."""
    calls: Counter[MissionId] = Counter()
    for agent in agents:
        replaced = _watch(draft.swarm, agent.mission).replacements
        calls[agent.mission] += any(id in agent.path for id in replaced)
    for mission, count in calls.items():
        if count:
            before = _watch(draft.swarm, mission).corrective_calls
            keep_watch(draft, mission, corrective_calls=before + count)


def _watch(swarm: Swarm, mission: MissionId) -> Watch:
    procedure = swarm.boards.get(mission)
    return Watch() if procedure is None else procedure.watch
