"""The supervisor's changes as the plan of one atomic step (`scripts/supervise.lua`)."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, assert_never

from pydantic_core import PydanticSerializationError, to_json

from swarmd.adapters.redis.codecs import (
    agent_fields,
    charter_fields,
    mission_fields,
    moving_fields,
    rights_fields,
    use_pairs,
)
from swarmd.adapters.redis.keys import Keys, shared_names, type_of
from swarmd.core.bus.envelope import Sealed, Sealer, followed_since
from swarmd.core.bus.foreign import is_counted
from swarmd.core.model.changes import (
    AccountChange,
    AccountCleared,
    AccountClosed,
    AccountFunded,
    AccountMended,
    AccountOpened,
    AgentAdopted,
    AgentChange,
    AgentMade,
    AgentReaped,
    AgentRestarted,
    AgentRestored,
    AgentSet,
    AgentSwept,
    Change,
    ChannelChange,
    ChannelForgotten,
    CharterSet,
    EntriesCounted,
    HeadSet,
    HostGone,
    KeySwept,
    MessageRecalled,
    MissionChange,
    MissionClosed,
    MissionSet,
    MissionSwept,
    PeriodTurned,
    Post,
    ReaderLed,
    RecordSwept,
    Repair,
    ReservesSettled,
    RightsSet,
    Row,
    SchemaStamped,
)
from swarmd.core.model.channels import down, host_channel, inbox, up
from swarmd.core.model.charter import KINDS
from swarmd.core.model.lineage import Agent
from swarmd.core.model.names import FIRST, AgentId, Channel, MissionId, StreamId
from swarmd.core.model.tables import OF_MISSIONS, Drop
from swarmd.core.model.versions import SCHEMA

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


def plan(keys: Keys, sealer: Sealer, changes: Iterable[Change]) -> Plan:
    made = Plan(keys, sealer, sealer.number())
    for change in changes:
        _add(made, change)
    return made


def _add(plan: Plan, change: Change) -> None:
    if isinstance(change, Row):
        _set_row(plan, change)
    elif isinstance(change, AgentChange):
        _change_agent(plan, change)
    elif isinstance(change, AccountChange):
        _change_account(plan, change)
    elif isinstance(change, MissionChange):
        _change_mission(plan, change)
    elif isinstance(change, ChannelChange):
        _change_channel(plan, change)
    elif isinstance(change, Repair):
        _repair(plan, change)
    else:
        assert_never(change)


def _set_row(plan: Plan, change: Row) -> None:
    table, key = change.table, plan.keys.rows(change.table, change.key)
    if isinstance(change, Drop):
        if table.has_own_keys:
            plan.do("del", key)
        else:
            plan.do("hdel", key, [table.prefix + change.key])
    elif table.has_parts:
        plan.join("hset", key, [change.part, table.encode(change.value)])
    elif table.has_own_keys:
        plan.do("set", key, table.encode(change.value))
    else:
        plan.join("hset", key, [table.prefix + change.key, table.encode(change.value)])


def _change_agent(plan: Plan, change: AgentChange) -> None:
    match change:
        case AgentMade():
            _agent_made(plan, change)
        case AgentSet(agent):
            plan.join("hset", plan.keys.agent(agent.id), moving_fields(agent))
        case RightsSet(agent):
            fields = [*moving_fields(agent), *rights_fields(agent)]
            plan.join("hset", plan.keys.agent(agent.id), fields)
            plan.do("del", plan.keys.use(agent.id))
            _use(plan, agent)
        case CharterSet(agent):
            fields = [*moving_fields(agent), *charter_fields(agent)]
            plan.join("hset", plan.keys.agent(agent.id), fields)
        case AgentAdopted():
            _agent_adopted(plan, change)
        case AgentRestarted():
            _agent_restarted(plan, change)
        case AgentReaped():
            _agent_reaped(plan, change)
        case HostGone():
            _host_gone(plan, change)
        case _:
            assert_never(change)


def _host_gone(plan: Plan, change: HostGone) -> None:
    plan.do("srem", plan.keys.hosts, [change.host])
    if change.forget_at:
        plan.do("zadd", plan.keys.ended, change.forget_at, f"host:{change.host}")
    else:
        _delete_channels(plan, [host_channel(change.host)])


def _change_account(plan: Plan, change: AccountChange) -> None:
    keys = plan.keys
    match change:
        case AccountOpened(id, parent, caps, own_slot):
            _carve(plan, "open", id, parent, {k: caps.get(k, 0) for k in KINDS}, own_slot)
        case AccountClosed(id, parent, journals):
            above, steps = plan.number(keys.ledger(parent)), _journals(plan, journals)
            plan.do("close", keys.ledger(id), above, id, parent, steps)
        case AccountFunded(id, parent, amounts):
            _carve(plan, "fund", id, parent, amounts)
        case AccountCleared(id):
            plan.do("hdel", keys.ledger(id), ["overdrawn"])
        case PeriodTurned(id, period):
            plan.do("period", keys.ledger(id), id, period)
        case _:
            assert_never(change)


def _journals(plan: Plan, agents: Iterable[AgentId]) -> list[list[Any]]:
    """Step journals as the scripts take them: the key's number, and whose it is."""
    return [[plan.number(plan.keys.steps(id)), id] for id in agents]


def _change_mission(plan: Plan, change: MissionChange) -> None:
    mission, keys = change.mission, plan.keys
    plan.join("hset", keys.mission(mission.id), mission_fields(mission))
    match change:
        case MissionSet():
            plan.join("sadd", keys.missions, [mission.id])
            # One that was turned away may come again: it is not to be forgotten when that one would
            # have been.
            plan.do("zrem", keys.ended, [f"mission:{mission.id}"])
        case MissionClosed(_, forget_at):
            plan.do("srem", keys.missions, [mission.id])
            plan.do("zadd", keys.ended, forget_at, f"mission:{mission.id}")
            _drop_rows_of(plan, mission.id)
        case _:
            assert_never(change)


def _drop_rows_of(plan: Plan, mission: MissionId) -> None:
    for table in OF_MISSIONS:
        _set_row(plan, Drop(table, mission))


def _change_channel(plan: Plan, change: ChannelChange) -> None:
    keys = plan.keys
    match change:
        case Post(channel, message, line):
            _post(plan, channel, plan.sealer(channel, message, line))
        case MessageRecalled(channel, id):
            plan.do("xdel", keys.channel(channel), id)
        case ReaderLed(agent, channel, until):
            plan.do("lead", keys.state(agent), f"p:{channel}", until)
        case EntriesCounted(channel, count):
            plan.steps.append(["count", channel, count])
        case HeadSet(head):
            plan.join("hset", keys.head, ["n", str(head.n), "hash", head.hash, "after", head.after])
        case _:
            assert_never(change)


def _repair(plan: Plan, change: Repair) -> None:
    keys = plan.keys
    match change:
        case AgentRestored(agent):
            _agent_restored(plan, agent)
        case AgentSwept(id):
            _agent_swept(plan, id)
        case MissionSwept(id):
            plan.do("srem", keys.missions, [id])
            _drop_rows_of(plan, id)
        case RecordSwept(id):
            _record_swept(plan, id)
        case KeySwept(name):
            _key_swept(plan, name)
        case AccountMended(id, off):
            plan.do("mend", keys.ledger(id), [[name, n] for name, n in off.items()])
        case ReservesSettled(id, journals):
            plan.do("assume", keys.ledger(id), id, _journals(plan, journals))
        case ChannelForgotten(channel):
            plan.do("forget", keys.channel(channel), channel)
        case SchemaStamped():
            plan.join("hset", keys.meta, ["schema", SCHEMA])
        case _:
            assert_never(change)


def _record_swept(plan: Plan, id: str) -> None:
    keys = plan.keys
    agent, mission = AgentId(id), MissionId(id)
    made_up = [keys.agent(agent), keys.children(agent), keys.mission(mission), keys.ledger(id)]
    ended = [f"agent:{id}", f"mission:{id}"]
    plan.do("disown", keys.ended, ended, [plan.number(key) for key in made_up])


def _key_swept(plan: Plan, name: str) -> None:
    if type_of(name):
        aside = plan.number(plan.keys.set_aside(f"{plan.since}:{name}"))
        channel = Channel(name)
        counted = channel if is_counted(channel) else False
        plan.do("retype", plan.keys.channel(channel), type_of(name), aside, counted)


def _post(plan: Plan, channel: Channel, sealed: Sealed) -> None:
    preview = plan.put(sealed.preview) if sealed.preview else False
    plan.do("post", plan.keys.channel(channel), channel, plan.put(sealed.line), preview)


def _agent_made(plan: Plan, change: AgentMade) -> None:
    agent, keys = change.agent, plan.keys
    plan.join("hset", keys.agent(agent.id), agent_fields(agent))
    plan.join("sadd", keys.agents, [agent.id])
    _use(plan, agent)
    if agent.parent is not None:
        plan.join("sadd", keys.children(agent.parent), [agent.id])
    # Its own from the beginning: nobody could say anything there before.
    own = [channel for channel in change.follows if channel in (inbox(agent.id), up(agent.id))]
    if own:
        plan.join("hset", keys.state(agent.id), [word for c in own for word in (f"p:{c}", FIRST)])
    _follow(plan, agent, [channel for channel in change.follows if channel not in own], is_new=True)


def _agent_restored(plan: Plan, agent: Agent) -> None:
    keys = plan.keys
    plan.join("hset", keys.agent(agent.id), agent_fields(agent))
    plan.join("sadd", keys.agents, [agent.id])
    plan.do("del", keys.use(agent.id))
    _use(plan, agent)
    if agent.parent is not None:
        plan.join("sadd", keys.children(agent.parent), [agent.id])


def _agent_swept(plan: Plan, id: AgentId) -> None:
    keys = plan.keys
    plan.do("srem", keys.agents, [id])
    for key in (keys.state(id), keys.steps(id), keys.use(id)):
        plan.do("del", key)
    _delete_channels(plan, [inbox(id), down(id), up(id)])


def _use(plan: Plan, agent: Agent) -> None:
    pairs = use_pairs(agent)
    if pairs:
        plan.join("hset", plan.keys.use(agent.id), pairs)


def _follow(
    plan: Plan, agent: Agent, channels: Collection[Channel], *, is_new: bool = False
) -> None:
    """From what is said after now; what it followed before goes on from where it was."""
    places = []
    for channel in channels:
        mark, since = followed_since(channel, plan.since)
        places.append([f"p:{channel}", plan.number(plan.keys.channel(channel)), f"h:{mark}", since])
    if places:
        plan.do("follow", plan.keys.state(agent.id), is_new, places)


def _agent_adopted(plan: Plan, change: AgentAdopted) -> None:
    agent, keys = change.agent, plan.keys
    assert agent.parent is not None
    plan.join("hset", keys.agent(agent.id), moving_fields(agent))
    plan.join("sadd", keys.children(agent.parent), [agent.id])
    plan.do("srem", keys.children(change.former), [agent.id])
    plan.do("hdel", keys.state(agent.id), [f"p:{down(change.former)}"])
    former = plan.number(keys.ledger(change.former))
    plan.do("adopt", keys.ledger(agent.id), former, agent.id, change.former, change.account_above)
    _follow(plan, agent, change.follows)


def _agent_restarted(plan: Plan, change: AgentRestarted) -> None:
    agent, keys = change.agent, plan.keys
    plan.join("hset", keys.agent(agent.id), moving_fields(agent))
    steps = plan.number(keys.steps(agent.id))
    plan.do("settle", keys.ledger(change.account), change.account, steps, agent.id)
    plan.do("del", keys.steps(agent.id))
    # What it has heard stays, and how far it has read: a new life is not to be told the old one's
    # mail once more, and what the old one had not come to is not lost with it.
    plan.do("clear", keys.state(agent.id), ["h:", "p:"])
    _follow(plan, agent, change.follows)


def _agent_reaped(plan: Plan, change: AgentReaped) -> None:
    """One step for all that are reaped one after the other."""
    agent, keys = change.record, plan.keys
    same = [
        plan.number(keys.agents),
        plan.number(keys.ended),
        keys.prefix,
        agent.ended,
    ]
    step = ["reap", *same, change.forget_at]
    if not plan.steps or plan.steps[-1][:-1] != step:
        plan.steps.append([*step, []])
    plan.steps[-1][-1].append([agent.id, change.account_above, agent.reason])


def _delete_channels(plan: Plan, channels: list[Channel]) -> None:
    streams = [plan.number(plan.keys.channel(channel)) for channel in channels]
    plan.steps.append(["drop", streams, list(channels)])


def _carve(
    plan: Plan, verb: str, id: str, above: str, amounts: Mapping[str, int], *more: Any
) -> None:
    """An account is opened or funded of another's free, which must still be there when the step
    is done.
    """
    parent = plan.number(plan.keys.ledger(above)) if above else None
    for kind, amount in amounts.items():
        if parent is not None and amount:
            need = (parent, f"{kind}.free")
            plan.needs[need] = plan.needs.get(need, 0) + amount
    caps = [[kind, amount] for kind, amount in amounts.items()]
    plan.do(verb, plan.keys.ledger(id), parent or False, id, above, caps, *more)
