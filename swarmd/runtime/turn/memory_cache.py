"""What agents of this process remember, read and put into words: each entry once, however many
turns see it.

A memo of a pure function and nothing else: what is not here is made anew. Bounded by what the
entries hold in all, so that thousands of agents that fell idle do not keep theirs twice.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from swarmd.core.agent.memory import Memory
from swarmd.core.agent.prompt import exchange_of
from swarmd.core.model.exchange import Exchange
from swarmd.core.model.names import AgentId

# Of entries, as JSON: the whole memory of eighty agents at least. Read and in words they take about
# three times that.
CHARS_MAX: Final = 8_000_000

Recalled = tuple[Mapping[str, Any], Exchange]


class _Known(NamedTuple):
    memory: Memory
    recalled: list[Recalled]
    chars: int


@dataclass(slots=True)
class Recollection:
    """The memories that were asked for last."""

    chars_max: int = CHARS_MAX
    _chars: int = 0
    _known: OrderedDict[AgentId, _Known] = field(default_factory=OrderedDict)

    def of(self, agent: AgentId, memory: Memory) -> list[Recalled]:
        """Each entry and what it is in a prompt, oldest first. Nobody may change what is
        returned.
        """
        known = self._known.pop(agent, None)
        past: list[tuple[str, Recalled]] = []
        if known is not None:
            self._chars -= known.chars
            gone = memory.first - known.memory.first
            past = (
                list(zip(known.memory.entries, known.recalled, strict=True))[gone:]
                if gone >= 0
                else []
            )
        # A memory goes on from the one before with the very same texts, but for what sums up. One
        # that was read back from the store has others, and that of a new life, whose numbers begin
        # anew.
        recalled = [
            before if text is entry else _read(entry)
            for entry, (text, before) in zip(memory.entries, past, strict=False)
        ]
        recalled += map(_read, memory.entries[len(recalled) :])
        chars = sum(map(len, memory.entries))
        self._known[agent] = _Known(memory, recalled, chars)
        self._chars += chars
        while self._chars > self.chars_max:
            self._chars -= self._known.popitem(last=False)[1].chars
        return recalled


def _read(entry: str) -> Recalled:
    item = json.loads(entry)
    return item, exchange_of([item])
