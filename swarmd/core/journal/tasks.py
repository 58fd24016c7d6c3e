"""Tasks, judged again from the journal: what was accepted is what was handed in. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from swarmd.core.journal.replay import Link, State
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.names import SOB

_OF_TASKS: Final = frozenset(
    {JournalEvent.TASK_SUBMITTED, JournalEvent.TASK_DONE, JournalEvent.TASK_RETURNED}
)


@dataclass(slots=True)
class TasksJudged:
    """The digest of what each agent has handed in. Of an agent that is older than the reading
    nothing is known until it hands in again.
    """

    _submitted: dict[str, str] = field(default_factory=dict)
    _older: set[str] = field(default_factory=set)

    def begin(self, agents: set[str]) -> None:
        self._submitted.clear()
        self._older = agents

    def entry(self, state: State, link: Link) -> Iterator[str]:
        """What is wrong with an entry about a task."""
        if link.event not in _OF_TASKS:
            return
        agent, digest = str(link.data.get("agent")), str(link.data.get("digest"))
        if link.event == JournalEvent.TASK_SUBMITTED:
            self._submitted[agent] = digest
            self._older.discard(agent)
            return
        actor = str(link.data.get("actor"))
        record = state.records.values.get(f"agent:{agent}", {})
        if actor not in (SOB, record.get("parent")):
            yield f"{agent}: {actor} judged its task, and is not its assigner"
        if agent not in self._older and self._submitted.get(agent) != digest:
            yield f"{agent}: what was judged of its task is not what it handed in"
