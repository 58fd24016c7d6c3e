"""Who has been thinking for long, in a line: nobody who watches is left without a word. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from swarmd.cli.render.text import plain
from swarmd.core.queries.snapshot import AgentView

# A capable model answers within this. From here on a call is worth a word, another one when it has
# taken twice as long, and one each half minute from then on: a longer silence is taken for a fault.
SILENCE_SECONDS: Final = 15.0
AGAIN_SECONDS_MAX: Final = 30.0
NAMES_SHOWN_MAX: Final = 3


class Silence:
    """The calls under way as they were seen, and when each was last spoken of."""

    def __init__(self) -> None:
        self._told: dict[str, float] = {}

    def lines(self, agents: Iterable[AgentView]) -> list[str]:
        under_way = {agent.id: agent for agent in agents if _seconds(agent) >= SILENCE_SECONDS}
        self._told = {id: told for id, told in self._told.items() if id in under_way}
        late = [a for a in under_way.values() if _seconds(a) >= _again(self._told.get(a.id, 0.0))]
        self._told |= {agent.id: _seconds(agent) for agent in late}
        return [_line(call, waiting) for call, waiting in _by_call(late).items()]


def _again(told: float) -> float:
    return min(2 * told, told + AGAIN_SECONDS_MAX)


def _by_call(agents: Iterable[AgentView]) -> dict[str, list[AgentView]]:
    found: dict[str, list[AgentView]] = {}
    for agent in agents:
        found.setdefault(agent.activity.call if agent.activity else "", []).append(agent)
    return found


def _seconds(agent: AgentView) -> float:
    """How long its call is under way; nothing where it makes none."""
    activity = agent.activity
    return (activity.seconds or 0.0) if activity is not None and activity.call else 0.0


def _line(call: str, agents: list[AgentView]) -> str:
    names = [plain(agent.name or agent.id) for agent in agents]
    more = len(names) - NAMES_SHOWN_MAX
    who = ", ".join(names[:NAMES_SHOWN_MAX]) + (f" and {more} more" if more > 0 else "")
    thinks = "thinks" if len(names) == 1 else "think"
    does = thinks if call == "model" else f"in {plain(call)}"
    return f"{who} {does}, {max(map(_seconds, agents)):.0f} s"
