"""The supervisor's changes as the plan of one atomic step (`scripts/supervise.lua`)."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, assert_never

from pydantic_core import PydanticSerializationError, to_json

from swarmd.adapters.redis.codecs import (
    agent_fields,
    approval_text,
    charter_fields,
    mission_fields,
    moving_fields,
    override_text,
    report_text,
    rights_fields,
    trouble_text,
    use_pairs,
)
from swarmd.adapters.redis.keys import Keys, shared_names, type_of
from swarmd.adapters.redis.marks import fence_text, gap_field, revocations_text, stop_text
from swarmd.core.bus.envelope import Sealed, Sealer, followed_since
from swarmd.core.model.changes import (
    AccountCleared,
    AccountClosed,
    AccountFunded,
    AccountMended,
    AccountOpened,
    AgentAdopted,
    AgentMade,
    AgentReaped,
    AgentRestarted,
    AgentRestored,
    AgentSet,
    AgentSwept,
    ApprovalClosed,
    ApprovalSet,
    BoardSet,
    Change,
    ChannelForgotten,
    CharterSet,
    FenceLifted,
    FenceSet,
    GapClosed,
    GapFound,
    HeadSet,
    HostGone,
    KeySwept,
    MessageRecalled,
    MissionClosed,
    MissionSet,
    MissionSwept,
    OverrideEnded,
    OverrideSet,
    PeriodTurned,
    Post,
    ReaderLed,
    RecordSwept,
    ReportSet,
    ReservesSettled,
    RevocationsSet,
    RightsSet,
    SchemaStamped,
    StopLifted,
    StopSet,
    TroubleOver,
    TroubleSet,
)
from swarmd.core.model.channels import down, host_channel, inbox, up
from swarmd.core.model.charter import KINDS
from swarmd.core.model.lineage import Agent
from swarmd.core.model.names import FIRST, AgentId, Channel, MissionId, StreamId
from swarmd.core.model.versions import SCHEMA

_FIXED_KEYS = 5
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


def _add(plan: Plan, change: Change) -> None:  # noqa: C901, PLR0912, PLR0915
    keys = plan.keys
    match change:
        case AgentMade():
            _agent_made(plan, change)
        case AgentSet(agent):
            plan.join("hset", keys.agent(agent.id), moving_fields(agent))
        case RightsSet(agent):
            plan.join("hset", keys.agent(agent.id), [*moving_fields(agent), *rights_fields(agent)])
            plan.do("del", keys.use(agent.id))
            _use(plan, agent)
        case AgentAdopted():
            _agent_adopted(plan, change)
        case AgentRestarted():
            _agent_restarted(plan, change)
        case AgentReaped():
            _agent_reaped(plan, change)
        case AccountOpened():
            _account_opened(plan, change)
        case AccountClosed(account, parent, journals):
            steps = [[plan.number(keys.steps(id)), id] for id in journals]
            plan.do(
                "close",
                keys.ledger(account),
                plan.number(keys.ledger(parent)),
                account,
                parent,
                steps,
            )
        case AccountFunded(id, parent, amounts):
            _carve(plan, "fund", id, parent, amounts)
        case AccountCleared(id):
            plan.do("hdel", keys.ledger(id), ["overdrawn"])
        case PeriodTurned(id, period):
            plan.do("period", keys.ledger(id), id, period)
        case StopSet(stop):
            plan.join("hset", keys.stops, [stop.target, stop_text(stop)])
        case StopLifted(target):
            plan.do("hdel", keys.stops, [target])
        case RevocationsSet(segment, marks) if marks:
            plan.join("hset", keys.revocations, [segment, revocations_text(marks)])
        case RevocationsSet(segment, _):
            plan.do("hdel", keys.revocations, [segment])
        case TroubleSet(id, trouble):
            plan.join("hset", keys.troubles, [id, trouble_text(trouble)])
        case TroubleOver(id):
            plan.do("hdel", keys.troubles, [id])
        case GapFound(n):
            plan.join("hset", keys.meta, [gap_field(n), "open"])
        case GapClosed(n):
            plan.do("hdel", keys.meta, [gap_field(n)])
        case FenceSet(fence):
            plan.join("hset", keys.fences, [fence.segment, fence_text(fence)])
        case FenceLifted(segment):
            plan.do("hdel", keys.fences, [segment])
        case MissionSet(mission):
            plan.join("hset", keys.mission(mission.id), mission_fields(mission))
            plan.join("sadd", keys.missions, [mission.id])
            # One that was turned away may come again: it is not to be forgotten when that one would
            # have been.
            plan.do("zrem", keys.ended, [f"mission:{mission.id}"])
        case MissionClosed(mission, forget_at):
            plan.join("hset", keys.mission(mission.id), mission_fields(mission))
            plan.do("srem", keys.missions, [mission.id])
            plan.do("zadd", keys.ended, forget_at, f"mission:{mission.id}")
            for key in (keys.board(mission.id), keys.reports(mission.id)):
                plan.do("del", key)
        case BoardSet(mission, procedure):
            plan.do("set", keys.board(mission), procedure.to_json())
        case ReportSet(mission, report):
            plan.join("hset", keys.reports(mission), [report.agent, report_text(report)])
        case ApprovalSet(approval):
            plan.join("hset", keys.approvals, [approval.id, approval_text(approval)])
        case ApprovalClosed(id):
            plan.do("hdel", keys.approvals, [id])
        case OverrideSet(override):
            plan.join("hset", keys.overrides, [override.id, override_text(override)])
        case OverrideEnded(id):
            plan.do("hdel", keys.overrides, [id])
        case CharterSet(agent):
            plan.join("hset", keys.agent(agent.id), [*moving_fields(agent), *charter_fields(agent)])
        case MessageRecalled(channel, id):
            plan.do("xdel", keys.channel(channel), id)
        case ReaderLed(agent, channel, until):
            plan.do("lead", keys.state(agent), f"p:{channel}", until)
        case HostGone(host, forget_at):
            plan.do("srem", keys.hosts, [host])
            if forget_at:
                plan.do("zadd", keys.ended, forget_at, f"host:{host}")
            else:
                _delete_channels(plan, [host_channel(host)])
        case AgentRestored(agent):
            _agent_restored(plan, agent)
        case AgentSwept(id):
            _agent_swept(plan, id)
        case MissionSwept(id):
            plan.do("srem", keys.missions, [id])
            for key in (keys.board(id), keys.reports(id)):
                plan.do("del", key)
        case RecordSwept(id):
            made_up = [
                keys.agent(AgentId(id)),
                keys.children(AgentId(id)),
                keys.mission(MissionId(id)),
                keys.ledger(id),
            ]
            plan.do(
                "disown",
                keys.ended,
                [f"agent:{id}", f"mission:{id}"],
                [plan.number(key) for key in made_up],
            )
        case KeySwept(name):
            if type_of(name):
                aside = plan.number(keys.set_aside(f"{plan.since}:{name}"))
                plan.do("retype", keys.channel(Channel(name)), type_of(name), aside)
        case AccountMended(id, off):
            plan.do("mend", keys.ledger(id), [[name, n] for name, n in off.items()])
        case ReservesSettled(id, journals):
            steps = [[plan.number(keys.steps(agent)), agent] for agent in journals]
            plan.do("assume", keys.ledger(id), id, steps)
        case ChannelForgotten(channel):
            plan.do("unhead", keys.heads, plan.number(keys.channel(channel)), channel)
        case SchemaStamped():
            plan.join("hset", keys.meta, ["schema", SCHEMA])
        case HeadSet(head):
            plan.join("hset", keys.head, ["n", str(head.n), "hash", head.hash, "after", head.after])
        case Post(channel, message, line):
            _post(plan, channel, plan.sealer(channel, message, line))
        case _:
            assert_never(change)


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
        plan.number(keys.heads),
        keys.prefix,
        agent.ended,
    ]
    step = ["reap", *same, change.forget_at]
    if not plan.steps or plan.steps[-1][:-1] != step:
        plan.steps.append([*step, []])
    plan.steps[-1][-1].append([agent.id, change.account_above, agent.reason])


def _delete_channels(plan: Plan, channels: list[Channel]) -> None:
    for channel in channels:
        plan.do("del", plan.keys.channel(channel))
    plan.do("zrem", plan.keys.heads, list(channels))


def _account_opened(plan: Plan, change: AccountOpened) -> None:
    _carve(
        plan,
        "open",
        change.id,
        change.parent,
        {k: change.caps.get(k, 0) for k in KINDS},
        change.own_slot,
    )


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
