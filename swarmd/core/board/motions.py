"""What a carried motion does, or the rule that refuses it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, assert_never

from swarmd.core.actions import approvals, authority, registry
from swarmd.core.actions.approvals import Need
from swarmd.core.actions.verbs.override import OverrideArgs
from swarmd.core.board.events import Announce, Executed, Refused
from swarmd.core.board.room import announce
from swarmd.core.missions import queue
from swarmd.core.model.actions import Actor, Args
from swarmd.core.model.changes import Post
from swarmd.core.model.channels import down
from swarmd.core.model.charter import Charter
from swarmd.core.model.entries import Cause
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.motions import (
    ActMotion,
    CharterMotion,
    DeliverMotion,
    DirectMotion,
    Executive,
    Motion,
    OverrideMotion,
    RejectMotion,
)
from swarmd.core.model.names import SOB, Authority, MissionId, MissionState, StreamId
from swarmd.core.model.overruling import OverrideOrder
from swarmd.core.model.provenance import stamped
from swarmd.core.model.records import ExecutiveReport, Mission, Spawned
from swarmd.core.model.refusals import Denied, Rule
from swarmd.core.model.requests import SpawnRequest
from swarmd.core.model.state import Draft, Swarm
from swarmd.core.model.tables import REPORTS, Put
from swarmd.core.tree.spawn import decide_spawn, made


def execute_motion(
    draft: Draft,
    id: MissionId,
    number: int,
    motion: Motion,
    taint: tuple[str, ...],
    *,
    has_permission: bool = False,
) -> Executed | Refused | None:
    """Do a carried motion, or say which rule refuses it. Nothing is done of what is refused.

    `None` where it waits for an operator's permission and the mission has nothing else to do
    meanwhile.
    """
    first = len(draft.changes)
    found = _tried(draft, id, number, motion, taint, has_permission=has_permission)
    cause = Cause.of({"motion": motion.model_dump(mode="json")}, StreamId(""))
    draft.changes[first:] = map(cause.stamped, draft.changes[first:])
    return found


def _tried(
    draft: Draft,
    id: MissionId,
    number: int,
    motion: Motion,
    taint: tuple[str, ...],
    *,
    has_permission: bool,
) -> Executed | Refused | None:
    mission = draft.swarm.missions[id]
    vetoed = _vetoed(draft, id, motion)
    outcome = vetoed or _done(draft, mission, motion, taint, has_permission=has_permission)
    if outcome is None:
        text = f"motion {number}: {motion.motion}"
        draft.record(JournalEvent.MOTION_EXECUTED, text, actor=SOB, mission=id)
        return Executed(number)
    if isinstance(outcome, _Asks):
        outcome = _ask_permission(draft, mission, number, motion, taint, outcome)
        if not draft.swarm.boards[id].in_review:
            _announce_waiting(draft, id, number, outcome)
            return None
    _record_refusal(draft, id, number, motion, outcome)
    return Refused(number, outcome.rule, outcome.detail)


def _announce_waiting(draft: Draft, id: MissionId, number: int, waits: Denied) -> None:
    text = f"Motion {number} waits for an operator's permission: {waits.detail}."
    announce(draft, id, Announce(text, {"motion_number": number, "waits": waits.detail}))


def _record_refusal(
    draft: Draft, id: MissionId, number: int, motion: Motion, denied: Denied
) -> None:
    draft.record(
        JournalEvent.MOTION_REFUSED,
        f"motion {number}: {denied}",
        actor=SOB,
        mission=id,
        rule=denied.rule,
        detail=denied.detail,
        motion=motion.model_dump(mode="json"),
    )


@dataclass(frozen=True, slots=True)
class _Asks:
    """The law allows it, and an operator's permission is needed."""

    need: Need
    facts: Mapping[str, Any]


def board_taint(draft: Draft, id: MissionId) -> tuple[str, ...]:
    """What the seats had before them when they proposed and voted: the proposer's own stamp, and
    all reports.
    """
    reports = draft.swarm.reports.get(id, {}).values()
    return tuple(
        sorted({*draft.swarm.boards[id].taint, *(s for report in reports for s in report.taint)})
    )


def _done(
    draft: Draft, mission: Mission, motion: Motion, taint: tuple[str, ...], *, has_permission: bool
) -> Denied | _Asks | None:
    match motion:
        case CharterMotion():
            return _charter(draft, mission, motion, taint, has_permission=has_permission)
        case DirectMotion():
            return _direct(draft, mission, motion, taint)
        case ActMotion():
            return _act(draft, mission, motion.args(), taint, has_permission=has_permission)
        case OverrideMotion():
            args = _override_args(motion)
            return _act(draft, mission, args, taint, has_permission=has_permission)
        case DeliverMotion():
            return _deliver(draft, mission, motion)
        case RejectMotion(reason=reason):
            queue.end(draft, mission, MissionState.REJECTED, reason)
            return None
        case _:
            assert_never(motion)


def _override_args(motion: OverrideMotion) -> OverrideArgs:
    asked = OverrideOrder.model_validate(motion.model_dump())
    return OverrideArgs(verb="override", target=motion.target, reason=motion.reason, override=asked)


def _ask_permission(
    draft: Draft, mission: Mission, number: int, motion: Motion, taint: tuple[str, ...], asks: _Asks
) -> Denied:
    """A motion falls by the rule that asks for permission, and names the approval: given in time,
    it is executed after all.
    """
    action = {
        "requester": SOB,
        "incarnation": draft.lineage.agents[SOB].incarnation,
        "hops": 0,
        "mission": mission.id,
        "taint": list(taint),
        "request": {"type": "motion", "number": number, "motion": motion.model_dump(mode="json")},
    }
    asked = approvals.ask(draft, action, asks.need, asks.facts)
    if isinstance(asked, Denied):
        return asked
    return Denied(
        asks.need.rule, f"{asks.need.detail}; {asked.id} waits for an operator's permission"
    )


def _charter(
    draft: Draft,
    mission: Mission,
    motion: CharterMotion,
    taint: tuple[str, ...],
    *,
    has_permission: bool,
) -> Denied | _Asks | None:
    allowed = _allowed(draft, mission, motion.executives)
    if isinstance(allowed, Denied):
        return allowed
    asks = None if has_permission else _asks_for(draft.swarm, allowed, taint)
    if asks is None:
        for spawned in allowed:
            draft.add(*made(draft.swarm, spawned, draft.moment, taint=taint))
    return asks


def _asks_for(swarm: Swarm, allowed: Sequence[Spawned], taint: tuple[str, ...]) -> _Asks | None:
    need = approvals.for_spawn(swarm, allowed, Authority.BOARD, taint)
    if need is None:
        return None
    facts = [approvals.spawn_facts(spawned) for spawned in allowed]
    return _Asks(need, {"action": "charter", "executives": facts})


def _allowed(
    draft: Draft, mission: Mission, executives: Sequence[Executive]
) -> list[Spawned] | Denied:
    """All of them, or why one of them may not be made, and so none."""
    board = draft.lineage.agents[SOB]
    allowed: list[Spawned] = []
    for executive in executives:
        spawned = decide_spawn(
            draft.swarm,
            board,
            SpawnRequest(key=executive.key, charter=_plain(executive)),
            draft.moment,
            mission=mission.id,
            pending=allowed,
            together=len(executives),
        )
        if isinstance(spawned, Denied):
            return Denied(spawned.rule, f"{executive.name}: {spawned.detail}")
        allowed.append(spawned)
    return allowed


def _act(
    draft: Draft, mission: Mission, args: Args, taint: tuple[str, ...], *, has_permission: bool
) -> Denied | _Asks | None:
    actor = Actor(SOB, Authority.BOARD, mission.id, taint=taint)
    need = None if has_permission else registry.permission_needed(draft.swarm, actor, args)
    if need is None:
        return registry.do(draft, actor, args)
    facts = registry.facts_of(draft.swarm, actor, args)
    return facts if isinstance(facts, Denied) else _Asks(need, facts)


def _plain(executive: Executive) -> Charter:
    return Charter.model_validate(executive.model_dump(exclude={"key"}))


def override_changes(draft: Draft, id: MissionId) -> list[tuple[str, object]]:
    standing = [o for o in draft.swarm.overrides.values() if (o.kind, o.target) == ("motion", id)]
    return [pair for override in standing for pair in override.after.items()]


def _vetoed(draft: Draft, id: MissionId, motion: Motion) -> Denied | None:
    asked = motion.model_dump(mode="json", exclude={"reason"})
    for override in draft.swarm.overrides.values():
        if (override.kind, override.target) != ("motion", id) or "vetoed" not in override.after:
            continue
        if {k: v for k, v in override.before["motion"].items() if k != "reason"} == asked:
            return Denied(
                Rule.OVERRIDE_ACTIVE, f"{override.id}, by {override.by}, vetoed this motion"
            )
    return None


def _direct(
    draft: Draft, mission: Mission, motion: DirectMotion, taint: tuple[str, ...]
) -> Denied | None:
    agent = _directed(draft.swarm, mission, motion.to)
    if isinstance(agent, Denied):
        return agent
    report = draft.swarm.reports.get(mission.id, {}).get(agent.id)
    if report is not None:
        draft.add(Put(REPORTS, mission.id, replace(report, is_done=False)))
    directive = _directive(agent, motion.text, draft.stamp)
    draft.add(Post(down(SOB), stamped(directive, taint)))
    return None


def _directive(agent: Agent, text: str, at: str) -> Message:
    return Message(
        sender=SOB, to=agent.id, kind=Kind.DIRECTIVE, mission=agent.mission, at=at, text=text
    )


def _directed(swarm: Swarm, mission: Mission, to: str) -> Agent | Denied:
    """The executive that the board may direct."""
    agent = authority.find_of_mission(swarm, mission.id, to)
    if isinstance(agent, Denied):
        return agent
    if agent.parent != SOB:
        return Denied(Rule.BOARD_MOTION, f"{agent.id} is no executive: direct its executive")
    if swarm.lineage.is_fenced(agent.path):
        return Denied(Rule.ANCESTOR_ENDING, agent.id)
    return agent


def _deliver(draft: Draft, mission: Mission, motion: DeliverMotion) -> Denied | None:
    reports = _chosen_reports(draft.swarm, mission, motion.reports)
    if isinstance(reports, Denied):
        return reports
    parts = [motion.text.strip()] if motion.text.strip() else []
    parts += [report.text.strip() for report in reports]
    queue.end(draft, mission, MissionState.DELIVERED, motion.reason, text="\n\n".join(parts))
    return None


def _chosen_reports(
    swarm: Swarm, mission: Mission, references: Iterable[str]
) -> list[ExecutiveReport] | Denied:
    reports = swarm.reports.get(mission.id, {}).values()
    chosen = []
    for reference in references:
        found = [r for r in reports if reference in (r.agent, r.name)]
        if not found:
            return Denied(Rule.BOARD_MOTION, f"no report of {reference}")
        chosen.append(found[0])
    return chosen
