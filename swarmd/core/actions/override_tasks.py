"""An override of a task: another one for a time, then the agent's own again. Pure."""

from __future__ import annotations

from dataclasses import replace

from swarmd.core.actions import authority
from swarmd.core.actions.approvals import WORD
from swarmd.core.actions.override_record import (
    begin_override,
    leased_anew,
    placement_notice,
    record_override,
)
from swarmd.core.model.actions import Actor
from swarmd.core.model.changes import (
    CharterSet,
    Post,
)
from swarmd.core.model.channels import inbox
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import (
    OPERATOR,
    SOB,
)
from swarmd.core.model.overruling import Overruling
from swarmd.core.model.provenance import stamped
from swarmd.core.model.records import Override
from swarmd.core.model.refusals import Denied, Rule
from swarmd.core.model.requests import RESULT_SHOWN_MAX
from swarmd.core.model.state import Draft, Swarm
from swarmd.core.model.timings import stamp_of
from swarmd.core.tasks.law import reject, report_is_interim


def task_target(swarm: Swarm, actor: Actor, asked: Overruling) -> Agent | Denied:
    """The agent whose task this actor may replace."""
    found = authority.find(swarm, actor, asked.target)
    if isinstance(found, Denied):
        return found
    if found.charter is None:
        return Denied(Rule.OVERRIDE_INVALID, f"{found.id} has no task")
    if not asked.text.strip():
        return Denied(Rule.OVERRIDE_INVALID, "say what the task is")
    for other in standing_tasks(swarm, found):
        if other.authority > actor.authority:
            return Denied(Rule.OVERRIDE_ACTIVE, f"{other.id} is the {WORD[other.authority]}'s")
    return found


def standing_tasks(swarm: Swarm, agent: Agent) -> list[Override]:
    """Overrides of its task that stand."""
    return [o for o in swarm.overrides.values() if (o.kind, o.target) == ("task", agent.id)]


def replace_task(draft: Draft, actor: Actor, asked: Overruling, agent: Agent) -> None:
    assert agent.charter is not None
    override = begin_override(
        draft,
        actor,
        asked,
        target=agent.id,
        mission=agent.mission,
        before={"task": agent.charter.task},
        after={"task": asked.text},
    )
    text = (
        f"Until {stamp_of(override.expires)} your task is, by {actor.id} "
        f"({override.id}):\n{asked.text}"
    )
    _set_task(draft, agent, asked.text, actor.id, text, actor.taint)
    record_override(draft, actor, override)


def restore_task(draft: Draft, agent: Agent, override: Override) -> None:
    task = str(override.before["task"])
    text = f"What replaced your task is over ({override.id}). Your task is again:\n{task}"
    _set_task(draft, agent, task, override.by, text)


def _set_task(
    draft: Draft, agent: Agent, task: str, by: str, text: str, taint: tuple[str, ...] = ()
) -> None:
    changed = leased_anew(draft, _with_task(agent, task, taint))
    directive = Message(
        sender=SOB if by == SOB else OPERATOR,
        to=agent.id,
        kind=Kind.DIRECTIVE,
        mission=agent.mission,
        at=draft.stamp,
        text=text,
    )
    draft.add(
        CharterSet(changed),
        Post(inbox(agent.id), stamped(directive, taint)),
        *placement_notice(draft, changed),
    )
    # What it has handed in is no work on this task.
    reject(draft, agent, by, text[:RESULT_SHOWN_MAX])
    report_is_interim(draft, agent)


def _with_task(agent: Agent, task: str, taint: tuple[str, ...]) -> Agent:
    assert agent.charter is not None
    charter = agent.charter.model_copy(update={"task": task})
    return replace(agent, charter=charter, taint=tuple(sorted({*agent.taint, *taint})))
