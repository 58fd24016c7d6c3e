"""The zoo's histories as the doctor sees them: what the supervisor's own law writes of them into
the journal, read back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from typing import Any

from swarmd.core.control import ledger_events
from swarmd.core.control.dispatch import decide
from swarmd.core.doctor.history import History, Reading
from swarmd.core.doctor.modes import examined
from swarmd.core.journal.entries import chained, folded
from swarmd.core.model.changes import AgentMade, MissionSet, Post
from swarmd.core.model.channels import JOURNAL
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import Message
from swarmd.core.model.names import MissionId, MissionState, StreamId
from swarmd.core.model.records import Mission
from swarmd.core.model.state import Draft, Swarm
from swarmd.core.model.timings import Moment
from tests.runtime.test_worker import AT, DECLARED, MISSION

Fact = tuple[StreamId, Mapping[str, str]]


def modes_of(
    agents: Iterable[Agent], facts: Sequence[Fact], requests: Iterable[Message]
) -> frozenset[str]:
    """The modes that are found where agents lived so, by their names."""
    moment = Moment(0.0, AT, map(str, count()))
    draft = Draft(Swarm(DECLARED), moment)
    state = MissionState.WORKING
    draft.add(
        MissionSet(Mission(id=MISSION, text="Why?", state=state, budget={}, created=AT, deadline=1))
    )
    draft.add(*(AgentMade(agent, ()) for agent in agents))
    for message in requests:
        decide(draft, message)
    if facts:
        draft.add(folded(moment, facts, facts[-1][0]))
        ledger_events.record_refusals(draft, facts)
    entries = [
        change.message
        for change in chained(draft.swarm, draft.changes, moment)
        if isinstance(change, Post) and change.channel == JOURNAL
    ]
    return modes_in(MISSION, entries)


def modes_in(mission: MissionId, entries: Iterable[Message]) -> frozenset[str]:
    """As `modes_of`, of a journal."""
    reading = Reading(History(mission))
    for number, one in enumerate(entries, start=1):
        said: dict[str, Any] = {"mission": one.mission, "data": one.data}
        reading.entry(one.id or StreamId(f"{number}-0"), said)
    return frozenset(name for name, found in examined(reading.history).items() if found)
