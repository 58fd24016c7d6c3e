"""Reads the living swarm for `core.journal.fsck`: each part together with the journal's entries of
the same moment.

The journal is committed with what it tells of, and the facts with the amounts. So one transaction
that reads both, and a replay that follows the journal to just there, compare exactly, however busy
the swarm is. What no entry tells of (streams, leases, left keys) is read beside it, and counts as
found only where it is found again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from swarmd.adapters.archive.history import at as past_at
from swarmd.adapters.archive.moment import (
    Questions,
    all_accounts,
    all_marks,
    all_missions,
    ask_agent,
    ask_mission,
    ask_swarm,
    begun_calls,
    end_in,
    end_of,
    found_agent,
    hosts_of,
    is_seat,
    parent_of,
    with_facts,
)
from swarmd.adapters.redis.keys import Keys, type_of
from swarmd.adapters.redis.reader import View, names_from
from swarmd.core.bus.foreign import is_counted
from swarmd.core.journal import fsck
from swarmd.core.journal.fsck import Flaw, Found, FoundWhole, Loose
from swarmd.core.journal.replay import State, first_state, link_of
from swarmd.core.ledger.accounts import Fault
from swarmd.core.model.channels import JOURNAL
from swarmd.core.model.messages import line_of
from swarmd.core.model.names import FIRST, AgentId, Channel, StreamId
from swarmd.core.model.tables import GAPS, MARKS, TROUBLES
from swarmd.errors import ArchiveError, WrongKeyError

# Agents of one transaction: the server's one thread is held for some milliseconds at most.
AGENTS_AT_ONCE: Final = 200
LOOKS: Final = 3
LOOK_SECONDS: Final = 0.4
_WITH_THE_LIVING: Final = ("_state:", "_steps:", "_use:", "inbox:", "down:", "up:")
_AS_LONG_AS_KEPT: Final = ("agent:", "mission:", "ledger:", "children:", "task:")


def check(view: View, folder: Path, swarm: str, *, looks: int = LOOKS) -> list[Flaw]:
    """All faults, each looked at more than once where it may have been in passing."""
    found = _look_once(view, folder, swarm)
    for _ in range(looks - 1):
        if not found:
            break
        time.sleep(LOOK_SECONDS)
        again = _look_once(view, folder, swarm)
        found = [flaw for flaw in found if flaw in again]
    return found


def _look_once(view: View, folder: Path, swarm: str) -> list[Flaw]:
    wrong = wrong_keys(view)
    try:
        found = list(Look(view, _replay_journal(view, folder, swarm)).flaws())
    except (ArchiveError, Fault, WrongKeyError) as error:
        found = [Flaw("journal.broken", "journal", str(error))]
    told = {flaw.subject for flaw in wrong}
    return wrong + [flaw for flaw in found if flaw.name != "key.type" or flaw.subject not in told]


def wrong_keys(view: View) -> list[Flaw]:
    """What the whole swarm stands on and holds something else: told also where nothing else can
    be looked at.
    """
    return [_of_another_type(one) for one in view.wrong_keys()]


def _of_another_type(wrong: str) -> Flaw:
    name, _, what = wrong.partition(" ")
    return Flaw(
        "key.type", name, f"it {what}: what should be there is read as missing", f"key:{name}"
    )


@dataclass(slots=True)
class Now:
    """The journal followed to the last entry that was read; `until` is that entry's id."""

    state: State = field(default_factory=State)
    until: StreamId = FIRST


def _replay_journal(view: View, folder: Path, swarm: str) -> Now:
    past = past_at(folder, swarm, view.journal(), lambda link: False)
    if past is not None:
        return Now(past.state, past.link.id)
    head = view.journal_head()
    if head.n:
        raise Fault(f"none of it is there, and the store says that it ends at entry {head.n}")
    return Now()


@dataclass(slots=True)
class Look:
    """One look, or one after the other: each follows the journal from where the last one left
    it.
    """

    view: View
    now: Now = field(default_factory=Now)
    wrong: set[str] = field(default_factory=set)  # keys of another type, as this look met them

    @property
    def keys(self) -> Keys:
        return self.view.keys

    def flaws(self) -> Iterator[Flaw]:
        self.wrong.clear()
        yield from self._find_flaws()
        for key in sorted(self.wrong):
            name, kind = key.removeprefix(self.keys.prefix), self.view.ask(["TYPE", key])[0]
            mend = f"key:{name}" if type_of(name) else ""
            yield Flaw(
                "key.type", name, f"it is a {kind}: what should be there is read as missing", mend
            )

    def _ask_ours(self, *commands: Sequence[str], is_at_once: bool = False) -> list[Any]:
        answers, wrong = self.view.ask_ours(*commands, is_at_once=is_at_once)
        self.wrong |= wrong
        return answers

    def _find_flaws(self) -> Iterator[Flaw]:
        listed = set(self._ask_ours(["SMEMBERS", self.keys.agents])[0])
        yield from fsck.whole(self._read_whole())
        ids = sorted(listed | set(self._recorded_ids("agent")))
        positions: dict[str, Mapping[str, str]] = {}
        hosts: dict[str, str] = {}
        for start in range(0, len(ids), AGENTS_AT_ONCE):
            part = self._read_agents(ids[start : start + AGENTS_AT_ONCE])
            yield from fsck.agents(part)
            positions |= {id: agent.positions for id, agent in part.agents.items()}
            hosts |= hosts_of(part)
        loose = self._read_loose(positions, hosts)
        yield from fsck.loose(self.now.state, loose)
        yield from self._find_other_ends(sorted(c for c in loose.heads if is_counted(Channel(c))))

    def _recorded_ids(self, kind: str) -> list[str]:
        """The ids of the journal's records of a kind."""
        prefix = f"{kind}:"
        records = self.now.state.records.values
        return [key.removeprefix(prefix) for key in records if key.startswith(prefix)]

    # --- one moment ---

    def _read_moment(self, asked: Questions) -> State:
        """Asks, and the state of just that moment: entries that came since, and facts not yet
        folded.
        """
        start = "-" if self.now.until == FIRST else f"({self.now.until}"
        entries, facts, *answers = self._ask_ours(
            ["XRANGE", self.keys.channel(JOURNAL), start, "+"],
            ["XRANGE", self.keys.facts, "-", "+"],
            *asked.commands,
            is_at_once=True,
        )
        asked.fill(answers)
        for at, words in entries:
            self._follow_entry(StreamId(at), line_of(words))
        return with_facts(self.now.state, facts)

    def _follow_entry(self, at: StreamId, line: str) -> None:
        link = link_of(at, line)
        if link is not None:
            if self.now.state.head.n == 0:
                self.now.state = first_state(link)
            self.now.state.follow(link)
        self.now.until = at

    def _read_whole(self) -> FoundWhole:
        k, asked = self.keys, Questions()
        missions = sorted(
            {*self._recorded_ids("mission"), *self._ask_ours(["SMEMBERS", k.missions])[0]}
        )
        marks = [(table, asked.add("HGETALL", k.rows(table))) for table in MARKS.values()]
        swarm = ask_swarm(asked, k)
        steps = [asked.add("HGETALL", k.steps(AgentId(seat))) for seat in self._seat_ids()]
        steps += [asked.add("HGETALL", k.lent(id)) for id in missions]
        each = {id: ask_mission(asked, k, id) for id in missions}
        state = self._read_moment(asked)
        return FoundWhole(
            state=state,
            asked=missions,
            listed=swarm.agents.value,
            marks=all_marks(marks),
            missions=all_missions(each),
            missions_listed=swarm.missions.value,
            accounts=all_accounts(swarm.root, each),
            seat_steps=[step for begun in steps for step in begun_calls(begun.pairs)],
            head_n=int(swarm.head.value or 0),
            seq=swarm.seq.value or "",
            schema=swarm.meta.pairs.get("schema", ""),
            gaps=GAPS.rows_in(swarm.meta.pairs).keys(),
        )

    def _seat_ids(self) -> list[str]:
        records = self.now.state.records.values
        return [key[6:] for key, record in records.items() if is_seat(key, record)]

    def _read_agents(self, ids: Sequence[str]) -> Found:
        asked = Questions()
        parents = {id: parent_of(self.now.state, id) for id in ids}
        each = {id: ask_agent(asked, self.keys, AgentId(id), parents[id]) for id in ids}
        state = self._read_moment(asked)
        # Who was adopted or reaped between the two readings is looked at the next time.
        same = [id for id in ids if parents[id] == parent_of(state, id)]
        found = {id: found_agent(*(answer.value for answer in each[id])) for id in same}
        return Found(state, found)

    # --- beside it ---

    def _read_loose(
        self, positions: Mapping[str, Mapping[str, str]], hosts: Mapping[str, str]
    ) -> Loose:
        k = self.keys
        heads, listed, leader, ended, held, in_trouble = self._ask_ours(
            ["ZRANGE", k.heads, "0", "-1"],
            ["SMEMBERS", k.hosts],
            ["GET", k.leader],
            ["ZRANGE", k.ended, "0", "-1"],
            ["HKEYS", k.holds],
            ["HKEYS", k.rows(TROUBLES)],
        )
        leftovers = self._all_named(_WITH_THE_LIVING)
        kept = self._all_named(_AS_LONG_AS_KEPT)
        for id in held:
            leftovers.setdefault(id, []).append("hold")
        # Of one whose task ignores its end it is known after that.
        for id in in_trouble:
            kept.setdefault(id, []).append("trouble")
        is_led = bool((leader or "").partition(":")[2])
        channels = sorted({*heads, *(channel for read in positions.values() for channel in read)})
        return Loose(
            heads,
            self._existing_streams(channels),
            positions,
            leftovers,
            kept,
            ended,
            listed,
            self._ids_named("_host:"),
            hosts,
            is_led,
        )

    def _existing_streams(self, channels: Sequence[str]) -> list[str]:
        there = self.view.ask(*(["EXISTS", f"{self.keys.prefix}{name}"] for name in channels))
        return [name for name, is_there in zip(channels, there, strict=True) if is_there]

    def _find_other_ends(self, heads: Sequence[str]) -> Iterator[Flaw]:
        """Of the channels that were posted to, and of those of which an end is kept."""
        [kept] = self._ask_ours(["HKEYS", self.keys.ends])
        channels = [*heads, *sorted(set(kept) - set(heads))]
        for start in range(0, len(channels), AGENTS_AT_ONCE):
            ends, streams = self._ends_at_once(channels[start : start + AGENTS_AT_ONCE])
            # Of a channel that is listed and has no stream it is told that.
            for channel in set(heads) - streams.keys():
                ends.pop(channel, None)
            yield from fsck.ends(ends, streams)

    def _ends_at_once(
        self, channels: Sequence[str]
    ) -> tuple[dict[str, fsck.End], dict[str, fsck.End]]:
        """What is kept of them, and what their streams have, at one moment."""
        k = self.keys
        told, *infos = self._ask_ours(
            ["HMGET", k.ends, *channels],
            *(["XINFO", "STREAM", f"{k.prefix}{channel}"] for channel in channels),
            is_at_once=True,
        )
        kept = zip(channels, map(end_of, told or ()), strict=False)
        streams = zip(channels, infos, strict=True)
        return (
            {channel: end for channel, end in kept if end is not None},
            {channel: end_in(info) for channel, info in streams if info},
        )

    def _all_named(self, kinds: Sequence[str]) -> dict[str, list[str]]:
        """Who has keys of these kinds, and of which."""
        found: dict[str, list[str]] = {}
        for kind in kinds:
            for id in self._ids_named(kind):
                found.setdefault(id, []).append(kind.rstrip(":"))
        return found

    def _ids_named(self, kind: str) -> list[str]:
        """The ids of all keys of a kind."""
        found = names_from(self.view.wire, self.keys, kind)
        return [name.removeprefix(kind) for names in found for name in names]
