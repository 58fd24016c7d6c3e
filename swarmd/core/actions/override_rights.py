"""An override of a right: given to one agent, or taken from it and those below it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from swarmd.core.actions import authority, rights
from swarmd.core.actions.override_record import (
    begin_override,
    leased_anew,
    placement_notice,
    record_override,
)
from swarmd.core.model.actions import Actor
from swarmd.core.model.changes import RightsSet
from swarmd.core.model.lineage import Agent
from swarmd.core.model.names import Authority
from swarmd.core.model.overruling import Overruling
from swarmd.core.model.privileges import Held, Revocation, is_path
from swarmd.core.model.records import Override
from swarmd.core.model.refusals import Denied, Rule
from swarmd.core.model.state import Draft, Swarm
from swarmd.core.model.tables import REVOCATIONS


def override_right(draft: Draft, actor: Actor, asked: Overruling) -> Denied | None:
    agent = _whose_right(draft.swarm, actor, asked)
    if isinstance(agent, Denied):
        return agent
    override = begin_override(
        draft,
        actor,
        asked,
        target=agent.id,
        mission=agent.mission,
        before=_rights_before(agent),
        after=_rights_after(asked, draft.swarm.number + 1),
    )
    if asked.take:
        _take_right(draft, agent, asked, override)
    else:
        _give_right(draft, agent, asked, override)
    record_override(draft, actor, override)
    return None


def _whose_right(swarm: Swarm, actor: Actor, asked: Overruling) -> Agent | Denied:
    """The agent whose right this actor may override."""
    path = asked.privilege
    found = authority.find(swarm, actor, asked.target)
    if isinstance(found, Denied):
        return found
    if not is_path(path):
        return Denied(Rule.REQUEST_INVALID, f"{path!r} is no privilege path")
    denied = authority.is_over(swarm, found) or authority.overruled(
        swarm, actor.authority, "grant", found, path
    )
    if denied is None and not asked.take:
        denied = rights.may_be_granted(swarm, actor, found, path)
    return denied or found


def _rights_before(agent: Agent) -> dict[str, Any]:
    return {
        "privileges": list(agent.privileges),
        "grants": list(agent.grants),
        "later": [[held.path, held.right, held.number, held.by, held.at] for held in agent.later],
    }


def _rights_after(asked: Overruling, number: int) -> dict[str, Any]:
    path, right = asked.privilege, asked.right
    return {"privilege": path, "right": right, "taken": asked.take, "number": number}


def _take_right(draft: Draft, agent: Agent, asked: Overruling, override: Override) -> None:
    mark = Revocation(
        agent.id,
        asked.privilege,
        asked.right,
        override.after["number"],
        override.id,
        draft.stamp,
        asked.reason,
        override.authority,
    )
    # Beside those that stand, whatever they cover: taken back, it leaves them as they were.
    standing = draft.lineage.revocations.get(agent.id, ())
    draft.add(REVOCATIONS.set(agent.id, (*standing, mark)))


def _give_right(draft: Draft, agent: Agent, asked: Overruling, override: Override) -> None:
    number, at = override.after["number"], draft.stamp
    path, right = asked.privilege, asked.right
    _refresh(draft, rights.with_right(agent, path, right, number, override.id, at))


def _refresh(draft: Draft, agent: Agent) -> None:
    agent = leased_anew(draft, agent)
    draft.add(RightsSet(agent), *placement_notice(draft, agent))


# --- its end ----------------------------------------------------------------------------------


def restore_right(draft: Draft, agent: Agent, override: Override) -> None:
    if override.after["taken"]:
        _lift_mark(draft, agent, int(override.after["number"]))
        return
    _refresh(draft, _as_before(agent, override))
    if _is_handed_down(draft.swarm, agent, override):
        _cut_below(draft, agent, override)


def _lift_mark(draft: Draft, agent: Agent, number: int) -> None:
    marks = draft.lineage.revocations.get(agent.id, ())
    kept = tuple(mark for mark in marks if mark.number != number)
    if kept != marks:
        draft.add(REVOCATIONS.set(agent.id, kept))


def _as_before(agent: Agent, override: Override) -> Agent:
    """Without what the override gave, and with what that had replaced."""
    path, number = str(override.after["privilege"]), int(override.after["number"])
    for right in ("use", "grant"):
        given = next(
            (h for h in agent.later if (h.path, h.right, h.number) == (path, right, number)), None
        )
        if given is not None:
            agent = _without_given(agent, given, override.before)
    return agent


def _without_given(agent: Agent, given: Held, before: Mapping[str, Any]) -> Agent:
    if given.path not in before["privileges" if given.right == "use" else "grants"]:
        return agent.without(given)
    old = [Held(*held) for held in before["later"] if held[:2] == [given.path, given.right]]
    return replace(agent, later=(*(held for held in agent.later if held != given), *old))


def _is_handed_down(swarm: Swarm, agent: Agent, override: Override) -> bool:
    """What was handed down of it while it stood carries its number."""
    path, number = override.after["privilege"], int(override.after["number"])
    return any(
        held.path == path and held.number == number
        for below in swarm.lineage.below(agent.id)
        for held in below.later
    )


def _cut_below(draft: Draft, agent: Agent, override: Override) -> None:
    """This mark cuts what was handed down, and nobody's later grant."""
    cut = Revocation(
        agent.id,
        str(override.after["privilege"]),
        override.after["right"],
        draft.swarm.number + 1,
        override.by,
        draft.stamp,
        f"{override.id} is over",
        Authority.LINEAGE,
    )
    marks = draft.lineage.revocations.get(agent.id, ())
    draft.add(REVOCATIONS.set(agent.id, (*marks, cut)))
