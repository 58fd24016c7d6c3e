"""A plan of one atomic step (`scripts/supervise.lua`): its keys, its steps in order, its texts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import PydanticSerializationError, to_json

from swarmd.adapters.redis.codecs import hold_text, use_pairs
from swarmd.adapters.redis.keys import Keys, shared_names, type_of
from swarmd.core.bus.envelope import Sealer
from swarmd.core.model.changes import Row
from swarmd.core.model.lineage import Agent
from swarmd.core.model.names import AgentId, Channel, MissionId, StreamId
from swarmd.core.model.tables import OF_MISSIONS, Drop

_FIXED_KEYS = 6
_FIXED_ARGS = 3
# What several changes of one commit put on one key goes in one step: an agent's record and its
# placement, the names of all that were made.
_JOINED = ("hset", "sadd")
# Words of one command of a script: Lua takes no more than some 8,000.
_WORDS_MAX = 4_000
# Of a word that goes as an argument of its own. A step's verb and key are never so long.
_LONG_CHARS = 16_384
_WORDS_FROM = 2
# Without these the whole swarm is deaf or without a record: a commit waits for them, and passes no
# message over.
_SHARED_STREAMS = tuple(name for name in shared_names() if type_of(name) == "stream")


@dataclass(slots=True)
class Plan:
    """Keys by number, steps in order, and what accounts must have free for it."""

    keys: Keys
    sealer: Sealer
    since: int  # a serial's number of this commit's own
    names: list[str] = field(default_factory=list)
    steps: list[list[Any]] = field(default_factory=list)
    # Long texts, beside the plan: JSON within JSON is dear to read, and so would be an argument for
    # every word.
    texts: list[str] = field(default_factory=list)
    needs: dict[tuple[int, str], int] = field(default_factory=dict)
    _numbers: dict[str, int] = field(default_factory=dict)
    # Of each key the fields or members that its last step writes, as long as that step is the last
    # of the key.
    _open: dict[tuple[str, int], list[Any]] = field(default_factory=dict)

    def number(self, key: str) -> int:
        """The key's place in KEYS, from 1."""
        if key not in self._numbers:
            self.names.append(key)
            self._numbers[key] = _FIXED_KEYS + len(self.names)
        return self._numbers[key]

    def do(self, verb: str, key: str, *rest: Any) -> None:
        number = self.number(key)
        for joined in _JOINED:
            self._open.pop((joined, number), None)
        self.steps.append([verb, number, *rest])

    def join(self, verb: str, key: str, words: list[Any]) -> None:
        """As `do`, in one step with what the same verb has put on the key before, where nothing
        came between.
        """
        number = self.number(key)
        known = self._open.get((verb, number))
        if known is not None and len(known) + len(words) <= _WORDS_MAX:
            known += words
            return
        self.do(verb, key, words)
        self._open[verb, number] = words

    def put(self, text: str) -> int:
        """The text's place in ARGV, from 1."""
        self.texts.append(text)
        return _FIXED_ARGS + len(self.texts)

    def _long_words(self) -> list[tuple[int, int, int, int]]:
        """Takes long words out of the steps, each to an argument of its own, as large as it was
        when it came in: within the plan, escaped and beside others, it could be larger than the
        server takes."""
        found = []
        for number, step in enumerate(self.steps, start=1):
            for part, words in enumerate(step, start=1):
                if part > _WORDS_FROM and isinstance(words, str) and len(words) > _LONG_CHARS:
                    found.append((number, part, 0, self.put(words)))
                    step[part - 1] = ""
                elif isinstance(words, list):
                    for place, word in enumerate(words, start=1):
                        if isinstance(word, str) and len(word) > _LONG_CHARS:
                            found.append((number, part, place, self.put(word)))
                            words[place - 1] = ""
        return found

    def args(self, positions: Mapping[Channel, StreamId]) -> list[str | int]:
        """The plan, and the texts that it names by their places."""
        needs = [[key, name, amount] for (key, name), amount in self.needs.items()]
        # An empty Lua table is an array to cjson either way.
        shared = (self.keys.channel(Channel(name)) for name in _SHARED_STREAMS)
        streams = [self._numbers[key] for key in shared if key in self._numbers]
        long = self._long_words()
        plan = {
            "positions": positions,
            "needs": needs,
            "streams": streams,
            "long": long,
            "steps": self.steps,
        }
        try:
            # Three times as fast as `json`, and a plan is long.
            return [to_json(plan).decode(), *self.texts]
        except PydanticSerializationError:
            # Half of a surrogate pair, which it does not write.
            return [json.dumps(plan, ensure_ascii=False, separators=(",", ":")), *self.texts]


def set_agent(plan: Plan, agent: Agent, fields: list[str]) -> None:
    """These fields of its record, and its hold with them: the scripts judge by that alone."""
    plan.join("hset", plan.keys.agent(agent.id), fields)
    plan.join("hset", plan.keys.holds, [agent.id, hold_text(agent)])


def delete_channels(plan: Plan, channels: list[Channel]) -> None:
    streams = [plan.number(plan.keys.channel(channel)) for channel in channels]
    plan.steps.append(["drop", streams, list(channels)])


def set_row(plan: Plan, change: Row) -> None:
    table, key = change.table, plan.keys.rows(change.table, change.key)
    if isinstance(change, Drop):
        if table.has_own_keys:
            plan.do("del", key)
        else:
            plan.do("hdel", key, [table.prefix + change.key])
    elif table.has_parts:
        plan.join("hset", key, [change.part, table.encode(change.value)])
        if table.shown is not None:
            show_task(plan, AgentId(change.part), table.shown(change.value))
    elif table.has_own_keys:
        plan.do("set", key, table.encode(change.value))
    else:
        plan.join("hset", key, [table.prefix + change.key, table.encode(change.value)])


def show_task(plan: Plan, id: AgentId, shown: Mapping[str, str]) -> None:
    words = [word for field in shown.items() for word in field]
    plan.join("hset", plan.keys.task(id), words)


def drop_rows_of(plan: Plan, mission: MissionId) -> None:
    for table in OF_MISSIONS:
        set_row(plan, Drop(table, mission))


def journals_of(plan: Plan, agents: Iterable[AgentId]) -> list[list[Any]]:
    """Step journals as the scripts take them: the key's number, and whose it is."""
    return [[plan.number(plan.keys.steps(id)), id] for id in agents]


def set_use(plan: Plan, agent: Agent) -> None:
    pairs = use_pairs(agent)
    if pairs:
        plan.join("hset", plan.keys.use(agent.id), pairs)
