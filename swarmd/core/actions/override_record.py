"""An override as an object, and in the journal: what each kind of them begins with. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from swarmd.core.model.actions import Actor
from swarmd.core.model.changes import Post
from swarmd.core.model.entries import order_facts
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import Kind
from swarmd.core.model.overruling import Overruling
from swarmd.core.model.posts import host_notice
from swarmd.core.model.records import Override
from swarmd.core.model.state import Draft
from swarmd.core.model.tables import OVERRIDES
from swarmd.core.model.timings import stamp_of

_REVERSAL: Final = {
    "grant": "the right is as it was",
    "spawn": "the agent ends",
    "message": "the original is posted again",
    "task": "its own task is restored and told",
    "motion": "nothing: it was one decision",
}


def begin_override(
    draft: Draft,
    actor: Actor,
    asked: Overruling,
    *,
    target: str,
    mission: str,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    reversal: str = "",
) -> Override:
    """It stands from here on, also for those who read the journal: what it changes comes after
    it, then `record_override`.
    """
    now = draft.now
    override = Override(
        id=draft.moment.new_id("ov"),
        kind=asked.kind,
        target=target,
        by=actor.id,
        authority=actor.authority,
        mission=mission,
        before=before,
        after=after,
        at=now,
        expires=now + asked.seconds,
        reversal=reversal or _REVERSAL[asked.kind],
        reason=asked.reason,
    )
    draft.add(OVERRIDES.put(override))
    return override


def record_override(draft: Draft, actor: Actor, override: Override) -> None:
    """In facts: what people and models wrote stands in the object, and in the journal as its
    digest.
    """
    facts = {name: value for name, value in override.after.items() if name not in ("task", "text")}
    draft.record(
        JournalEvent.OVERRIDE_SET,
        f"{actor.id} overrides {override.kind} {override.target}: {override.reason}"[:2000],
        actor=actor.id,
        mission=override.mission,
        override=override.id,
        kind=override.kind,
        target=override.target,
        sets=facts,
        expires=stamp_of(override.expires),
        reversal=override.reversal,
        more=order_facts(actor.order, "done"),
    )


def leased_anew(draft: Draft, agent: Agent) -> Agent:
    """With a new lease its host reads its record anew."""
    return replace(agent, lease=agent.lease + 1) if agent.host in draft.swarm.hosts else agent


def placement_notice(draft: Draft, agent: Agent) -> list[Post]:
    """Its host is told that it holds the agent, under the lease that it has now."""
    if agent.host not in draft.swarm.hosts:
        return []
    data = {"agents": [agent.id]}
    return [host_notice(draft.moment, agent.host, Kind.PLACED, "changed", data)]
