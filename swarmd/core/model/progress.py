"""When each agent last got on, in that order: who has waited longest is found without a look at the
others.

In memory only: after a restart everybody's patience begins anew.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from swarmd.core.model.names import AgentId


@dataclass(slots=True)
class Progress:
    """A line for each patience that roles declare, which are few; in a line whoever waits
    longest stands first.
    """

    _lines: dict[float, dict[AgentId, float]] = field(default_factory=dict)

    def note(self, id: AgentId, at: float, patience: float) -> None:
        """To the end of its line. An agent's patience is its role's, and stays the same."""
        line = self._lines.setdefault(patience, {})
        line.pop(id, None)
        line[id] = at

    def forget(self, id: AgentId) -> None:
        """Nothing is expected of it, until something is noted again."""
        for line in self._lines.values():
            line.pop(id, None)

    def knows(self, id: AgentId) -> bool:
        return any(id in line for line in self._lines.values())

    def noted_at(self, id: AgentId) -> float:
        """When something was noted of it last; 0 where nothing is expected of it."""
        return next((line[id] for line in self._lines.values() if id in line), 0.0)

    def due(self, now: float, count: int) -> list[tuple[AgentId, float]]:
        """At most so many whose patience is over, and since when they wait. Costs what it finds."""
        found: list[tuple[AgentId, float]] = []
        for patience, line in self._lines.items():
            for id, at in line.items():
                if len(found) == count or at + patience > now:
                    break
                found.append((id, at))
        return found
