"""An override: one decision of somebody else's, replaced for a time by a stronger authority. Pure.

It is an object: who, what, before and after, until when, and how it is taken back. While it stands,
a weaker authority cannot change what it set; an equal or a stronger one can take it back. It lapses
by itself. Hard limits stay.
"""

from __future__ import annotations

from swarmd.core.actions.approvals import WORD
from swarmd.core.actions.override_messages import recall_message, restore_message
from swarmd.core.actions.override_rights import override_right, restore_right
from swarmd.core.actions.override_spawns import allow_spawn, end_allowed, undo_spawn
from swarmd.core.actions.override_tasks import (
    replace_task,
    restore_task,
    standing_tasks,
    task_target,
)
from swarmd.core.model.actions import Actor
from swarmd.core.model.entries import order_facts
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.names import (
    SUPERVISOR,
    Authority,
    MissionId,
)
from swarmd.core.model.overruling import Overruling
from swarmd.core.model.records import Override
from swarmd.core.model.refusals import Denied, Rule
from swarmd.core.model.state import Draft
from swarmd.core.model.tables import OVERRIDES, Drop


def override(draft: Draft, actor: Actor, asked: Overruling) -> Denied | None:
    """Set it or take it back whole, or the rule that refuses it. A motion before the board is
    the clerk's to replace.
    """
    match asked.kind:
        case "reverse":
            return reverse(draft, actor, asked)
        case "grant":
            return override_right(draft, actor, asked)
        case "task":
            return _override_task(draft, actor, asked)
        case "spawn":
            return (undo_spawn if asked.take else allow_spawn)(draft, actor, asked)
        case "message":
            return recall_message(draft, actor, asked)
        case _:
            return Denied(Rule.OVERRIDE_INVALID, f"nobody but an operator overrides a {asked.kind}")


def _override_task(draft: Draft, actor: Actor, asked: Overruling) -> Denied | None:
    found = task_target(draft.swarm, actor, asked)
    if isinstance(found, Denied):
        return found
    for other in standing_tasks(draft.swarm, found):
        # One replaces the other: taken back, the last of them leads to the agent's own task.
        _end(draft, other, by=actor.id, how="reversed", reason="another takes its place")
    replace_task(draft, actor, asked, draft.lineage.agents[found.id])
    return None


# --- its end ----------------------------------------------------------------------------------


def reverse(draft: Draft, actor: Actor, asked: Overruling) -> Denied | None:
    override = draft.swarm.overrides.get(asked.target)
    if override is None:
        return Denied(Rule.OVERRIDE_INVALID, f"no override {asked.target[:64]} stands")
    if override.authority > actor.authority:
        return Denied(Rule.OVERRIDE_ACTIVE, f"{override.id} is the {WORD[override.authority]}'s")
    if actor.authority is Authority.BOARD and override.mission != actor.mission:
        return Denied(Rule.MISSION_OTHER, override.id)
    _end(draft, override, by=actor.id, how="reversed", reason=asked.reason, order=actor.order)
    return None


def tick(draft: Draft) -> None:
    """What has lapsed is taken back; what it was about may have gone before it."""
    swarm = draft.swarm
    for override in list(swarm.overrides.values()):
        if override.expires <= draft.now:
            _end(draft, override, by=SUPERVISOR, how="lapsed", reason="its time is over")
        elif override.mission and MissionId(override.mission) not in swarm.missions:
            _end(draft, override, by=SUPERVISOR, how="void", reason="its mission has ended")


def _end(
    draft: Draft, override: Override, *, by: str, how: str, reason: str, order: str = ""
) -> None:
    if how != "void":
        _take_back(draft, override, by)
    draft.add(Drop(OVERRIDES, override.id))
    draft.record(
        JournalEvent.OVERRIDE_ENDED,
        f"{override.id} ({override.kind} {override.target}) {how}: {reason}"[:2000],
        actor=by,
        mission=override.mission,
        override=override.id,
        how=how,
        more=order_facts(order, "done"),
    )


def _take_back(draft: Draft, override: Override, by: str) -> None:
    agent = draft.lineage.get(override.target)
    match override.kind:
        case "message":
            restore_message(draft, override)
        case "grant" if agent is not None:
            restore_right(draft, agent, override)
        case "task" if agent is not None and agent.charter is not None:
            restore_task(draft, agent, override)
        case "spawn" if agent is not None:
            end_allowed(draft, agent, override, by)
