"""What an operator orders about the record of a mission that has ended: it is deleted. Pure.

The deletion is outside the store, so the order is kept until it has surely been done: the
supervisor that leads deletes what these orders name, again where its predecessor may not have come
to it (`runtime.supervisor.forgetting`).
"""

from __future__ import annotations

from typing import Final

from swarmd.core.model.events import JournalEvent
from swarmd.core.model.names import ID_PATTERN, OPERATOR, MissionId
from swarmd.core.model.records import Forgetting
from swarmd.core.model.refusals import Denied, Rule
from swarmd.core.model.state import Draft
from swarmd.core.model.tables import FORGETTINGS, Drop

# A day: longer than any supervisor is away whose successor still has to delete something.
STANDS_SECONDS: Final = 86_400.0


def forget(draft: Draft, order: str, target: str, reason: str) -> Denied | None:
    """Whether there is a record of it nobody asks: it may be older than all that the swarm knows
    of the mission.
    """
    if not ID_PATTERN.fullmatch(target):
        return Denied(Rule.REQUEST_INVALID, f"{target[:64]!r} is no mission's id")
    mission = draft.swarm.missions.get(MissionId(target))
    if mission is not None:
        return Denied(Rule.MISSION_OPEN, f"{mission.id} has not ended: it is {mission.state}")
    draft.add(FORGETTINGS.put(Forgetting(MissionId(target), draft.now)))
    draft.record(
        JournalEvent.RECORD_FORGOTTEN,
        f"the record of mission {target} is deleted: {reason}"[:2000],
        actor=OPERATOR,
        mission=MissionId(target),
        reason=reason[:2000],
        order=order,
        outcome="done",
    )
    return None


def tick(draft: Draft) -> None:
    """An order that was carried out long ago stands no longer."""
    for one in list(draft.swarm.rows(FORGETTINGS).values()):
        if one.at + STANDS_SECONDS <= draft.now:
            draft.add(Drop(FORGETTINGS, one.mission))
