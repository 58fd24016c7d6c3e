"""Direct: work is sent back, or an executive is directed further."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from swarmd.core.model.charter import LIST_MAX, Line, Path, Reference, Text
from swarmd.core.model.motion_kinds import BaseMotion, Carried, MotionKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swarmd.core.model.changes import Change
    from swarmd.core.model.lineage import Agent
    from swarmd.core.model.names import MissionId
    from swarmd.core.model.refusals import Denied
    from swarmd.core.model.state import Draft, Swarm


class DirectMotion(BaseMotion):
    """Send work back, or direct an executive of this mission further."""

    motion: Literal["direct"]
    to: Reference = Field(description="an executive, by name or id")
    text: Text
    files: tuple[Path, ...] = Field(
        (),
        max_length=LIST_MAX,
        description="further files of the mission that it may read from then on",
    )
    reason: Line


def decide_direct(draft: Draft, carried: Carried) -> Denied | None:
    from swarmd.core.board import agenda
    from swarmd.core.model.changes import Post
    from swarmd.core.model.channels import down
    from swarmd.core.model.messages import Kind, Message
    from swarmd.core.model.names import SOB
    from swarmd.core.model.provenance import stamped
    from swarmd.core.model.refusals import Denied
    from swarmd.core.model.requests import RESULT_SHOWN_MAX
    from swarmd.core.tasks.law import reject, report_is_interim

    mission = carried.mission
    agent = _directed(draft.swarm, mission, carried.motion.to)
    if isinstance(agent, Denied):
        return agent
    files = carried.motion.files
    changes = _handed_over(draft, agent, files) if files else ()
    if isinstance(changes, Denied):
        return changes
    # Where it has handed in, that is not accepted; where it is at work, it is only directed.
    reject(draft, agent, SOB, carried.motion.text[:RESULT_SHOWN_MAX])
    report_is_interim(draft, agent)
    message = Message(
        sender=SOB,
        to=agent.id,
        kind=Kind.DIRECTIVE,
        mission=mission,
        at=draft.stamp,
        text=carried.motion.text,
        data={"files": list(files)} if files else {},
    )
    draft.add(*changes, Post(down(SOB), stamped(message, carried.taint)))
    agenda.note_directed(draft, agent, carried.motion.text)
    return None


def _handed_over(draft: Draft, agent: Agent, files: Sequence[str]) -> tuple[Change, ...] | Denied:
    """The files are the executive's from then on, as if its charter had named them."""
    from swarmd.core.tree.spawn import covers_file

    assert agent.charter is not None
    held = agent.charter.files
    fresh = [name for name in files if not any(covers_file(holder, name) for holder in held)]
    denied = _check_files(draft, agent, files, (*held, *fresh)) or _why_unreadable(agent, files)
    if denied is not None or not fresh:
        return denied or ()
    return _with_files(draft, agent, (*held, *fresh))


def _with_files(draft: Draft, agent: Agent, files: tuple[str, ...]) -> tuple[Change, ...]:
    from swarmd.core.actions.override_record import leased_anew, placement_notice
    from swarmd.core.model.changes import CharterSet

    assert agent.charter is not None
    charter = agent.charter.model_copy(update={"files": files})
    changed = leased_anew(draft, replace(agent, charter=charter))
    return CharterSet(changed), *placement_notice(draft, changed)


def _why_unreadable(agent: Agent, files: Sequence[str]) -> Denied | None:
    """A file that it has no right to read would be of no use to it."""
    from swarmd.core.model.privileges import FILE, is_covered
    from swarmd.core.model.refusals import Denied, Rule

    for name in files:
        if not is_covered(FILE.path(name, "read"), agent.privileges):
            return Denied(Rule.PRIVILEGE_USE, f"{agent.name} may not read {name}")
    return None


def _check_files(
    draft: Draft, agent: Agent, files: Sequence[str], in_all: Sequence[str]
) -> Denied | None:
    """The board gives those of its mission, as many in all as a charter has."""
    from swarmd.core.model.charter import FILES_MAX
    from swarmd.core.model.names import SOB
    from swarmd.core.model.refusals import Denied, Rule
    from swarmd.core.tree.spawn import foreign_file

    if len(in_all) > FILES_MAX:
        why = f"{agent.name} would have {len(in_all)} files: name a folder"
        return Denied(Rule.BOARD_MOTION, why)
    return foreign_file(draft.swarm, draft.lineage.agents[SOB], files, agent.mission)


def _directed(swarm: Swarm, mission: MissionId, to: str) -> Agent | Denied:
    """The executive that the board may direct."""
    from swarmd.core.actions import authority
    from swarmd.core.model.refusals import Denied

    agent = authority.find_of_mission(swarm, mission, to)
    if isinstance(agent, Denied):
        return agent
    return _why_undirected(swarm, agent) or agent


def _why_undirected(swarm: Swarm, agent: Agent) -> Denied | None:
    from swarmd.core.board.standstill import is_held_back
    from swarmd.core.model.names import SOB
    from swarmd.core.model.refusals import Denied, Rule

    if agent.parent != SOB:
        return Denied(Rule.BOARD_MOTION, f"{agent.id} is no executive: direct its executive")
    if swarm.lineage.is_fenced(agent.path):
        return Denied(Rule.ANCESTOR_ENDING, agent.id)
    if is_held_back(swarm, agent):
        return Denied(Rule.BOARD_MOTION, f"{agent.id} {agent.reason}: it has yet to begin")
    return None


KIND = MotionKind(DirectMotion, decide_direct, sends_back=True)
