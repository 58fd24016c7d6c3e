"""The living swarm, as the store holds it, against the journal's replay and against itself. Pure.

`Found` is what was read at one moment with the journal's state of that moment: every difference is
a fault. `Loose` is what is read beside it, a moment sooner or later: what it shows is a fault where
it stays so.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from swarmd.core.journal.replay import State
from swarmd.core.ledger.accounts import Account, off_by, unbalanced
from swarmd.core.model.chain import Record, Records
from swarmd.core.model.names import SOB, AgentState
from swarmd.core.model.tables import MARKS, OF_MISSIONS

# Every class of fault: its name, and what it means to who finds it.
FAULTS: Final[dict[str, str]] = {
    "agent.missing": "an agent lives and has no record",
    "agent.damaged": "an agent's record cannot be read",
    "agent.other": "an agent's record is not what the journal says",
    "agent.unknown": "the set of living agents names one that the journal does not know",
    "agent.unlisted": "an agent lives and is not in the set of living agents",
    "agent.childless": "an agent is not in the set of its creator's children",
    "agent.rights": "the privileges that the scripts look up are not those of the record",
    "agent.hold": "the hold that the scripts judge by is not that of the record",
    "agent.orphan": "an agent lives below what has ended",
    "agent.leftover": "mailbox, state or rights of an agent that does not live",
    "mission.missing": "a mission is open and has no record",
    "mission.other": "a mission's record, procedure or reports are not what the journal says",
    "mission.unlisted": "a mission is open and is not in the set of open missions",
    "mission.unknown": "the set of open missions names one that the journal does not know",
    "record.invented": "a record, an account or a list of children of somebody whom nobody made",
    "mark.other": "a fence, stop, revocation, approval or override is not what the journal says",
    "account.missing": "an open account is not there",
    "account.other": "an account is not what its facts add up to",
    "account.unbalanced": "cap + overdraft is not free + reserved + granted + spent",
    "account.granted": "granted is not the sum of the children's caps",
    "reserve.stray": "an account reserves for a call that nobody has begun",
    "step.abandoned": "a call was begun by a host that is gone",
    "position.channel": "an agent has read of a channel that is not there",
    "channel.head": "a channel is listed that has no stream",
    "channel.foreign": "a stream has entries that swarmd did not write",
    "channel.end": "what is kept of a channel's end is not what its stream has",
    "host.unlisted": "a host holds a lease and is not in the set of hosts",
    "journal.head": "the journal does not end where the store says",
    "journal.gap": "a gap is marked behind an entry that the journal does not have",
    "journal.broken": "the journal cannot be followed: see `swarmd journal verify`",
    "positions.missing": "where the supervisor stands in its inputs is gone",
    "key.type": "a key holds a value of another type than ours",
    "schema.missing": "the namespace does not say which schema it has",
}


@dataclass(frozen=True, slots=True)
class Flaw:
    """One fault found: its class, whose it is, what is wrong, and the target that `repair`
    mends, if any.
    """

    name: str
    subject: str
    what: str
    repair: str = ""


Hash = Mapping[str, str]
Kinds = Mapping[str, Mapping[str, int]]  # of an account: its amounts by their kind
End = tuple[str, int]
"""The last id of a stream, and how many entries were ever added to it."""

_MARKS: Final = tuple(f"{name}:" for name in MARKS)


@dataclass(frozen=True, slots=True)
class FoundAgent:
    """An agent as the store holds it. `record` is what the law looks at; `None` where the hash
    cannot be read.
    """

    is_there: bool
    is_listed: bool
    record: Record | None
    use: Hash
    use_wanted: Hash  # what `use` should be, by the record
    hold: str
    hold_wanted: str  # what `hold` should be, by the record
    is_child: bool  # listed by its creator, where it has one
    account: Hash
    steps: Sequence[Mapping[str, Any]]  # begun and not ended, as they were begun
    positions: Hash


@dataclass(frozen=True, slots=True)
class Found:
    """Some agents and the accounts of missions, with the journal's state of the same moment."""

    state: State
    agents: Mapping[str, FoundAgent]


@dataclass(frozen=True, slots=True)
class FoundWhole:
    """What belongs to no one agent, with the journal's state of the same moment. Records are by the
    chain's keys.

    `asked` are the missions that were asked for: one that was handed in just then is looked at the
    next time.
    """

    state: State
    asked: Collection[str]
    listed: Collection[str]  # the set of living agents
    marks: Mapping[str, Record | None]  # those of `_MARKS`; `None`: cannot be read
    missions: Mapping[str, Record | None]  # missions, boards, reports
    missions_listed: Collection[str]
    accounts: Mapping[str, Hash]  # the root's and the missions'
    seat_steps: Sequence[Mapping[str, Any]]
    head_n: int  # of the store's own word
    seq: str  # the number of the supervisor's last commit, as it is kept with its positions
    schema: str
    gaps: Collection[str]  # the entries that tell of a gap nobody has acknowledged


@dataclass(frozen=True, slots=True)
class Loose:
    heads: Collection[str] = ()
    streams: Collection[str] = ()  # those of `heads` and of the positions that have a stream
    positions: Mapping[str, Hash] = field(default_factory=dict)
    leftovers: Mapping[str, Sequence[str]] = field(default_factory=dict)  # id -> kinds of key
    kept: Mapping[str, Sequence[str]] = field(
        default_factory=dict
    )  # the same, of what outlives its agent or mission
    ended: Collection[str] = ()  # whose records are kept: `agent:ID`, `mission:ID`
    hosts_listed: Collection[str] = ()
    hosts_leased: Collection[str] = ()
    agent_hosts: Mapping[str, str] = field(
        default_factory=dict
    )  # of living agents that have begun a call
    is_led: bool = False


# --- agents -----------------------------------------------------------------------------------


def agents(found: Found) -> Iterator[Flaw]:
    for id, agent in found.agents.items():
        yield from _agent(found.state, id, agent)


def _agent(state: State, id: str, agent: FoundAgent) -> Iterator[Flaw]:
    mend, known = f"agent:{id}", state.records.values.get(f"agent:{id}")
    if known is None:
        yield from _unknown(id, agent, mend)
        return
    if not agent.is_listed:
        yield Flaw("agent.unlisted", id, "it lives, by the journal", mend)
    if not agent.is_there:
        yield Flaw("agent.missing", id, "it lives, by the journal", mend)
    elif agent.record is None:
        yield Flaw("agent.damaged", id, "a field of it is missing or garbled", mend)
    else:
        yield from _other("agent.other", id, agent.record, known, mend)
        yield from _looked_up(id, agent, mend)
        yield from _created(state, id, agent, known, mend)


def _unknown(id: str, agent: FoundAgent, mend: str) -> Iterator[Flaw]:
    if agent.is_listed:
        yield Flaw("agent.unknown", id, "the journal does not know it as living", mend)


def _created(state: State, id: str, agent: FoundAgent, known: Record, mend: str) -> Iterator[Flaw]:
    """What an agent has that somebody made: a place below its creator, an account, a mission."""
    if "parent" not in known:
        return
    if not agent.is_child:
        yield Flaw("agent.childless", id, f"{known['parent']} does not list it", mend)
    yield from _account(state, id, agent.account, agent.steps)
    yield from _orphan(state, id, known)


def _looked_up(id: str, agent: FoundAgent, mend: str) -> Iterator[Flaw]:
    """What the scripts look up beside the record."""
    if dict(agent.use) != dict(agent.use_wanted):
        strays = sorted(agent.use.items() ^ agent.use_wanted.items())
        yield Flaw("agent.rights", id, f"{strays[0][0]} is not as in its record", mend)
    if agent.hold != agent.hold_wanted:
        yield Flaw("agent.hold", id, f"{agent.hold!r}, by its record {agent.hold_wanted!r}", mend)


def _orphan(state: State, id: str, record: Record) -> Iterator[Flaw]:
    mission, parent = str(record.get("mission", "")), str(record["parent"])
    if parent != SOB and f"agent:{parent}" not in state.records.values:
        yield Flaw("agent.orphan", id, f"its creator {parent} does not live")
    elif f"mission:{mission}" not in state.records.values:
        yield Flaw("agent.orphan", id, f"its mission {mission} is not open")
    elif state.records.values.get(f"fence:{mission}", {}).get("is_settled"):
        yield Flaw("agent.orphan", id, f"the account of its mission {mission} is closed")


def _other(name: str, subject: str, lies: Record, known: Record, mend: str) -> Iterator[Flaw]:
    differ = sorted(key for key in {**lies, **known} if lies.get(key) != known.get(key))
    if differ:
        first = differ[0]
        what = f"{first} is {lies.get(first)!r}, by the journal {known.get(first)!r}"
        yield Flaw(name, subject, what[:300], mend)


# --- accounts ---------------------------------------------------------------------------------


def _account(
    state: State, id: str, row: Hash, steps: Sequence[Mapping[str, Any]]
) -> Iterator[Flaw]:
    account, mend = state.ledger.accounts.get(id), f"account:{id}"
    if account is None:
        return
    if not row:
        yield Flaw("account.missing", id, "it is open, by the journal", mend)
        return
    kinds = _kinds(row)
    yield from _off(id, account, row, mend)
    yield from _unbalanced(id, kinds, mend)
    yield from _granted(state, id, kinds, mend)
    yield from _reserved(id, kinds, steps)


def _off(id: str, account: Account, row: Hash, mend: str) -> Iterator[Flaw]:
    off = off_by(account, row)
    if off:
        name, n = sorted(off.items())[0]
        yield Flaw("account.other", id, f"{name} is off by {-n}", mend)


def _unbalanced(id: str, kinds: Kinds, mend: str) -> Iterator[Flaw]:
    for kind, amounts in kinds.items():
        wrong = unbalanced(amounts)
        if wrong:
            yield Flaw("account.unbalanced", id, f"{kind}: {wrong}", mend)
            return


def _granted(state: State, id: str, kinds: Kinds, mend: str) -> Iterator[Flaw]:
    children = [state.ledger.accounts[child] for child in state.ledger.children.get(id, ())]
    for kind, amounts in kinds.items():
        caps = sum(child.get(kind, "cap") for child in children)
        if amounts.get("granted", 0) != caps:
            yield Flaw(
                "account.granted",
                id,
                f"{kind}: granted {amounts.get('granted', 0)}, children {caps}",
                mend,
            )
            return


def _reserved(id: str, kinds: Kinds, steps: Sequence[Mapping[str, Any]]) -> Iterator[Flaw]:
    for kind, amounts in kinds.items():
        if kind == "agents":
            continue
        begun = sum(
            int(step.get("amounts", {}).get(kind, 0)) for step in steps if step.get("account") == id
        )
        if amounts.get("reserved", 0) > begun:
            what = f"{kind}: {amounts['reserved']} reserved, {begun} by calls under way"
            yield Flaw("reserve.stray", id, what, f"reserve:{id}")
            return


def _kinds(row: Hash) -> dict[str, dict[str, int]]:
    kinds: dict[str, dict[str, int]] = {}
    for name, value in row.items():
        kind, dot, amount = name.partition(".")
        if dot and value.removeprefix("-").isdecimal():
            kinds.setdefault(kind, {})[amount] = int(value)
    return kinds


# --- the whole --------------------------------------------------------------------------------


def whole(found: FoundWhole) -> Iterator[Flaw]:
    yield from _schema_and_journal(found)
    yield from _marks(found)
    yield from _missions(found)
    for id, row in found.accounts.items():
        yield from _account(found.state, id, row, found.seat_steps)


def _schema_and_journal(found: FoundWhole) -> Iterator[Flaw]:
    if not found.schema:
        yield Flaw("schema.missing", "_meta", "the field schema is empty", "schema:")
    if found.head_n != found.state.head.n:
        what = f"it ends at entry {found.state.head.n}, the store says {found.head_n}"
        yield Flaw("journal.head", "journal", what)
    for n in sorted(found.gaps):
        if not n.isdecimal() or not 0 < int(n) <= found.state.head.n:
            what = f"the journal ends at entry {found.state.head.n}"
            yield Flaw("journal.gap", n, what, f"gap:{n}")
    if found.head_n and not found.seq.isdecimal():
        what = "its next step goes on at the inputs' ends, and says so: look what came in meanwhile"
        yield Flaw("positions.missing", "_positions", what)


def _marks(found: FoundWhole) -> Iterator[Flaw]:
    records = found.state.records.values
    known = {key for key in records if key.startswith(_MARKS)}
    for key in sorted(known | found.marks.keys()):
        if key in found.marks and found.marks[key] is None and key not in records:
            yield Flaw(
                "mark.other", key, "it cannot be read, and the journal does not know it", key
            )
        yield from _compared("mark.other", key, found.marks.get(key), records.get(key), key)


def _missions(found: FoundWhole) -> Iterator[Flaw]:
    records, listed = found.state.records.values, set(found.missions_listed)
    open_ones = {key[8:] for key in records if key.startswith("mission:")}
    for id in sorted(open_ones - listed):
        yield Flaw("mission.unlisted", id, "it is open, by the journal", f"mission:{id}")
    for id in sorted(listed - open_ones):
        yield Flaw("mission.unknown", id, "the journal does not know it as open", f"mission:{id}")
    for id in sorted(open_ones & set(found.asked)):
        yield from _mission(found, id)


def _mission(found: FoundWhole, id: str) -> Iterator[Flaw]:
    """The record of an open mission, and those that stand beside it."""
    mend, records = f"mission:{id}", found.state.records.values
    if mend not in found.missions:
        yield Flaw("mission.missing", id, "it is open, by the journal", mend)
        return
    for kind in ("mission", *(table.name for table in OF_MISSIONS if table.digest)):
        key = f"{kind}:{id}"
        yield from _compared("mission.other", key, found.missions.get(key), records.get(key), mend)


def _compared(
    name: str, key: str, lies: Record | None, known: Record | None, mend: str
) -> Iterator[Flaw]:
    if lies is None and known is None:
        return
    if lies is None:
        yield Flaw(name, key, "it is missing or cannot be read", mend)
    elif known is None:
        yield Flaw(name, key, "the journal does not know it", mend)
    else:
        yield from _other(name, key, cleaned(lies), known, mend)


def cleaned(record: Record) -> Record:
    """As the chain keeps records: without what is empty."""
    return Records.of([("x", record)]).values["x"]


# --- beside it --------------------------------------------------------------------------------


def loose(state: State, read: Loose) -> Iterator[Flaw]:
    yield from _channels(read)
    yield from _leftovers(state, read)
    # Where nobody leads, hosts that are gone left in no order, and who leads next sees to it.
    if read.is_led:
        yield from _hosts(state, read)


def _channels(read: Loose) -> Iterator[Flaw]:
    for channel in sorted(set(read.heads) - set(read.streams)):
        yield Flaw("channel.head", channel, "it has no stream", f"channel:{channel}")
    for id, positions in sorted(read.positions.items()):
        for channel, at in positions.items():
            if at not in ("", "0-0", "0") and channel not in read.streams:
                yield Flaw("position.channel", id, f"{channel} read up to {at}")


def _leftovers(state: State, read: Loose) -> Iterator[Flaw]:
    """Keys of agents and missions that do not live, or never did."""
    living = state.records.values
    for id, kinds in sorted(read.leftovers.items()):
        if f"agent:{id}" not in living:
            yield Flaw("agent.leftover", id, ", ".join(sorted(kinds)), f"agent:{id}")
    for id, kinds in sorted(read.kept.items()):
        known = (f"agent:{id}", f"mission:{id}")
        if not any(key in living or key in read.ended for key in known):
            yield Flaw("record.invented", id, ", ".join(sorted(kinds)), f"record:{id}")


def _hosts(state: State, read: Loose) -> Iterator[Flaw]:
    for host in sorted(set(read.hosts_leased) - set(read.hosts_listed)):
        yield Flaw("host.unlisted", host, "its next renewal lists it")
    for id, host in sorted(read.agent_hosts.items()):
        record = state.records.values.get(f"agent:{id}", {})
        if host and host not in read.hosts_leased and record.get("state") == AgentState.LIVE:
            yield Flaw("step.abandoned", id, f"by {host}, which is gone; a successor settles it")


def ends(kept: Mapping[str, End], streams: Mapping[str, End]) -> Iterator[Flaw]:
    """What was counted of the channels beside what their streams have."""
    for channel in sorted({*kept, *streams}):
        mend = f"channel:{channel}"
        last, count = kept.get(channel, ("", 0))
        if channel not in streams:
            yield Flaw("channel.end", channel, f"{count} entries are counted, and no stream", mend)
            continue
        at, added = streams[channel]
        if not last:
            continue  # a count that is lost is made anew
        if added > count:
            what = f"{added - count} of {added} entries were written by somebody else"
            yield Flaw("channel.foreign", channel, what, mend)
        elif (at, added) != (last, count):
            what = f"{added} entries up to {at}, counted were {count} up to {last}"
            yield Flaw("channel.end", channel, what, mend)
