"""What a carried motion does, or the rule that refuses it. Pure."""

from __future__ import annotations

from swarmd.core.actions import approvals
from swarmd.core.board.events import Announce, Executed, Refused
from swarmd.core.board.room import announce
from swarmd.core.model.entries import Cause
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.motion_kinds import Asks, Carried, kinds
from swarmd.core.model.motions import Motion
from swarmd.core.model.names import SOB, MissionId, StreamId
from swarmd.core.model.refusals import Denied, Rule
from swarmd.core.model.state import Draft


def execute_motion(draft: Draft, number: int, carried: Carried) -> Executed | Refused | None:
    """Do a carried motion, or say which rule refuses it. Nothing is done of what is refused.

    `None` where it waits for an operator's permission and the mission has nothing else to do
    meanwhile.
    """
    first = len(draft.changes)
    found = _tried(draft, number, carried)
    cause = Cause.of({"motion": carried.motion.model_dump(mode="json")}, StreamId(""))
    draft.changes[first:] = map(cause.stamped, draft.changes[first:])
    return found


def _tried(draft: Draft, number: int, carried: Carried) -> Executed | Refused | None:
    id, motion = carried.mission, carried.motion
    outcome = decide_motion(draft, carried)
    if outcome is None:
        text = f"motion {number}: {motion.motion}"
        draft.record(
            JournalEvent.MOTION_EXECUTED, text, actor=SOB, mission=id, motion_number=number
        )
        return Executed(number)
    if isinstance(outcome, Asks):
        waits = _ask_permission(draft, number, carried, outcome)
        if not draft.swarm.boards[id].in_review:
            text = f"Motion {number} waits for an operator's permission: {waits.detail}."
            announce(draft, id, Announce(text, {"motion_number": number, "waits": waits.detail}))
            return None
        outcome = waits
    _record_refusal(draft, id, number, motion, outcome)
    return Refused(number, outcome.rule, outcome.detail)


def decide_motion(draft: Draft, carried: Carried) -> Denied | Asks | None:
    vetoed = _vetoed(draft, carried.mission, carried.motion)
    return vetoed or kinds()[carried.motion.motion].decide(draft, carried)


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


def board_taint(draft: Draft, id: MissionId) -> tuple[str, ...]:
    """What the seats had before them when they proposed and voted: the proposer's own stamp, and
    all reports.
    """
    reports = draft.swarm.reports.get(id, {}).values()
    return tuple(
        sorted({*draft.swarm.boards[id].taint, *(s for report in reports for s in report.taint)})
    )


def _ask_permission(draft: Draft, number: int, carried: Carried, asks: Asks) -> Denied:
    """A motion falls by the rule that asks for permission, and names the approval: given in time,
    it is executed after all.
    """
    action = {
        "requester": SOB,
        "incarnation": draft.lineage.agents[SOB].incarnation,
        "hops": 0,
        "mission": carried.mission,
        "taint": list(carried.taint),
        "request": {
            "type": "motion",
            "number": number,
            "motion": carried.motion.model_dump(mode="json"),
            "minds": list(carried.minds),
        },
    }
    need = approvals.Need(asks.needs, asks.rule, asks.detail)
    asked = approvals.ask(draft, action, need, asks.facts)
    if isinstance(asked, Denied):
        return asked
    return Denied(asks.rule, f"{asks.detail}; {asked.id} waits for an operator's permission")


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
