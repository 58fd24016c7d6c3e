"""The laws as far as state and its changes show them, each said once more and not asked of the code
under test.

`Watch` sees every commit: what a law says of one step (`see`), and what it says of the state after
it (`check`). Both state machines, the one in memory and the one over the store, are held to it
after each step. The functions are named by the law's number in the design.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from swarmd.core.journal.audit import Auditor
from swarmd.core.journal.entries import all_records
from swarmd.core.journal.replay import State, link_of
from swarmd.core.model.chain import GENESIS, Records
from swarmd.core.model.changes import (
    AccountCleared,
    AccountClosed,
    AccountFunded,
    AccountOpened,
    AgentAdopted,
    AgentMade,
    AgentReaped,
    AgentRestarted,
    AgentSet,
    Change,
    PeriodTurned,
    Post,
    RightsSet,
)
from swarmd.core.model.channels import JOURNAL
from swarmd.core.model.charter import KINDS, NEEDED_KINDS
from swarmd.core.model.lineage import Agent, Fence, Stop
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import (
    CLERK,
    SOB,
    SUPERVISOR,
    AgentId,
    AgentState,
    Authority,
    HostId,
    MissionId,
    StreamId,
)
from swarmd.core.model.privileges import Revocation, Right, overlaps
from swarmd.core.model.state import Swarm
from swarmd.core.model.tables import FENCES, REVOCATIONS, Drop, Put
from swarmd.core.tree.spawn import RATE_WINDOW_SECONDS
from tests.slow_ledger import SlowLedger
from tests.slow_rights import LEAVES, Holding, SlowRights, Somebody

FINAL: Final = ("done", "refused")


@dataclass(frozen=True, slots=True)
class Before:
    """The state that a step began with."""

    agents: Mapping[AgentId, Agent]
    fences: Mapping[str, Fence]
    stops: Mapping[str, Stop]
    revocations: Mapping[str, tuple[Revocation, ...]]
    hosts: frozenset[HostId]
    number: int

    @classmethod
    def of(cls, swarm: Swarm) -> Before:
        marks = swarm.lineage
        return cls(
            dict(marks.agents),
            dict(marks.fences),
            dict(marks.stops),
            dict(marks.revocations),
            frozenset(swarm.hosts),
            swarm.number,
        )

    def is_ending(self, agent: Agent) -> bool:
        return any(mark in self.fences for mark in (*agent.path, f"={agent.id}"))

    def is_stopped(self, agent: Agent) -> bool:
        marks = (*agent.path, f"={agent.id}", f"tier:{agent.tier}", "*")
        return any(mark in self.stops for mark in marks)


@dataclass(slots=True)
class Watch:
    """What was seen of a swarm since it was founded, kept in ways of its own."""

    ledger: SlowLedger = field(default_factory=SlowLedger)
    rights: SlowRights = field(default_factory=SlowRights)
    replayed: State = field(default_factory=State)
    auditor: Auditor = field(default_factory=Auditor)
    minted: dict[str, Agent] = field(
        default_factory=dict
    )  # every agent that ever was, as it was made
    adopted: set[str] = field(default_factory=set)
    outcomes: dict[str, list[str]] = field(default_factory=dict)  # of each order
    words: set[tuple[str, HostId]] = field(default_factory=set)  # a host's word on an ending
    stuck: set[AgentId] = field(default_factory=set)
    reaped: Counter[str] = field(default_factory=Counter)  # as each end was seen
    told: Counter[str] = field(default_factory=Counter)  # as the ends were reported
    is_rights_moved: bool = True

    def found(self) -> None:
        """The board holds everything."""
        root = Somebody("")
        for right in root.holdings:
            root.holdings[right].append(
                Holding("**", 0, {"use": set(LEAVES), "grant": set(LEAVES)})
            )
        self.rights.everybody[SOB] = root

    # --- one step ---------------------------------------------------------------------------------

    def see(self, before: Before, changes: Sequence[Change], swarm: Swarm, now: float) -> None:
        for change in changes:
            match change:
                case AgentMade(agent) if agent.tier > 0:
                    self._made(before, agent, swarm)
                case AgentMade(agent):
                    self.minted[agent.id] = agent
                case AgentSet(agent) | RightsSet(agent):
                    self._set(before, agent)
                case AgentRestarted(agent):
                    self._restarted(before, agent)
                case AgentAdopted(agent, former):
                    self._adopted(before, agent, former, swarm)
                case AgentReaped(agent):
                    self._reaped(before, agent, changes)
                case Put() | Drop():
                    self._row(before, change, swarm)
                case Post(channel, message):
                    self._posted(channel == JOURNAL, message, swarm, now)
                case _:
                    pass
            self._book(change)

    def _row(self, before: Before, change: Put | Drop, swarm: Swarm) -> None:
        is_put, key = isinstance(change, Put), change.key
        if change.table is FENCES and is_put:
            assert key, "law 2: a fence ends something"
        elif change.table is FENCES:
            self._lifted(before, key, swarm)
        elif change.table is REVOCATIONS:
            self._marked(before, key, change.value if isinstance(change, Put) else (), swarm)

    def _made(self, before: Before, agent: Agent, swarm: Swarm) -> None:
        """Laws 1 and 7: exactly one tier below a creator that lives and may act, under an id
        that never was.
        """
        assert agent.id not in self.minted, f"law 7: {agent.id} is somebody's already"
        creator = self.minted[agent.parent or ""]
        above = (SOB, "@owner", agent.mission) if creator.id == SOB else creator.path
        assert (agent.tier, agent.path) == (creator.tier + 1, (*above, agent.id)), "law 1"
        assert agent.incarnation == 1, "law 7"
        if creator.id in before.agents:
            assert not before.is_ending(before.agents[creator.id]), (
                "law 2: nothing begins below a fence"
            )
            assert not before.is_stopped(before.agents[creator.id]), "nothing begins under a stop"
        assert agent.mission not in before.fences, "law 2: nothing begins below a fence"
        assert agent.deadline <= (before.agents.get(creator.id, creator).deadline or float("inf"))
        self.minted[agent.id] = agent
        for path in (*agent.privileges, *agent.grants):
            assert self.rights.handed(creator.id, path), (
                f"law 3: {creator.id} could not hand out {path}"
            )
            assert not any(overlaps(path, no) for no in swarm.declared.limits.forbidden), "law 5"
        self.rights.spawn(agent.id, creator.id, {"use": agent.privileges, "grant": agent.grants})
        self.is_rights_moved = True

    def _set(self, before: Before, agent: Agent) -> None:
        was = before.agents.get(agent.id)
        if was is None:
            return
        assert agent.lease >= was.lease, "a lease only grows"
        assert (agent.path, agent.tier) == (was.path, was.tier)
        for held in agent.later:
            if held.number > before.number:
                self.rights.grant(agent.id, held.path, (held.right,))
                self.is_rights_moved = True

    def _restarted(self, before: Before, agent: Agent) -> None:
        was = before.agents[agent.id]
        assert (agent.incarnation, agent.host) == (was.incarnation + 1, ""), "law 7"
        assert not before.is_ending(was), "law 2: what ends is not started anew"

    def _adopted(self, before: Before, agent: Agent, former: AgentId, swarm: Swarm) -> None:
        """Law 11: to its creator's own superior, who lives, in the step that ends its creator
        alone. Whose superior ends in the same step has been adopted itself before, or will be.
        """
        assert agent.parent == self.rights.everybody[former].parent
        assert f"={agent.parent}" not in before.fences
        assert f"={former}" in swarm.lineage.fences
        assert f"={former}" not in before.fences
        self.rights.everybody[agent.id].parent = agent.parent or ""
        self.adopted.add(agent.id)

    def _reaped(self, before: Before, agent: Agent, changes: Sequence[Change]) -> None:
        """Law 2: fenced first, the deepest first, and no success told that was not seen."""
        was = before.agents[agent.id]
        assert before.is_ending(was), f"law 2: {agent.id} was reaped unfenced"
        gone = {change.record.id for change in changes if isinstance(change, AgentReaped)}
        moved = {change.agent.id for change in changes if isinstance(change, AgentAdopted)}
        left = [
            a.id
            for a in before.agents.values()
            if a.parent == agent.id and a.id not in gone | moved
        ]
        assert not left, f"law 11: {left} are left behind by {agent.id}"
        seen = agent.reason.rpartition("(")[2].removesuffix(")")
        marks = [mark for mark in (*was.path, f"={was.id}") if mark in before.fences]
        has_word = any((mark, was.host) in self.words for mark in marks)
        if seen == "confirmed":
            assert not was.host or has_word, f"law 2: nobody confirmed the end of {agent.id}"
            assert not (has_word and was.host and agent.id in self.stuck and len(marks) == 1)
        elif seen == "unreachable":
            assert was.host
        else:
            assert seen == "unconfirmed", agent.reason
        self.reaped[seen] += 1

    def _lifted(self, before: Before, segment: str, swarm: Swarm) -> None:
        left = [a.id for a in swarm.lineage.agents.values() if segment in (*a.path, f"={a.id}")]
        assert not left, f"law 2: the mark on {segment} went before {left}"
        assert segment in before.fences
        self.words -= {word for word in self.words if word[0] == segment}

    def _marked(
        self, before: Before, segment: str, marks: Sequence[Revocation], swarm: Swarm
    ) -> None:
        for mark in marks:
            if mark.number > before.number:
                rights: tuple[Right, ...] = (
                    ("use", "grant") if mark.right == "both" else (mark.right,)
                )
                self.rights.revoke(segment, mark.path, rights, Authority(mark.authority))
        if not marks:
            left = [a.id for a in swarm.lineage.agents.values() if segment in a.path]
            assert not left, f"law 3: the marks on {segment} went before {left}"
        self.is_rights_moved = True

    def _posted(self, is_journal: bool, message: Message, swarm: Swarm, now: float) -> None:
        known = {SUPERVISOR, CLERK, SOB}
        if message.kind in (Kind.CHARTER, Kind.DIRECTIVE):
            known |= swarm.lineage.agents.keys()
        assert message.sender in known, f"law 9: {message.sender} speaks through the supervisor"
        if not is_journal:
            return
        data = message.data
        if data.get("outcome") and data.get("order"):
            self.outcomes.setdefault(data["order"], []).append(data["outcome"])
        if data["event"] == "subtree.ended" and data.get("outcome") != "fenced":
            self.told.update(
                {how: data[how] for how in ("confirmed", "unconfirmed", "unreachable")}
            )

    def _book(self, change: Change) -> None:  # noqa: C901
        match change:
            case AccountOpened(id, parent, caps, own_slot):
                if parent:
                    short = [k for k in KINDS if caps.get(k, 0) > self.ledger.free(parent, k)]
                    assert not short, f"law 4: {id} is carved from what {parent} has not"
                if own_slot:
                    assert all(caps[kind] > 0 for kind in NEEDED_KINDS), (
                        "law 4: nobody lives on nothing"
                    )
                self.ledger.open(id, parent, {k: caps.get(k, 0) for k in KINDS}, own_slot=own_slot)
            case AccountFunded(id, parent, amounts):
                assert self.ledger.accounts[id].parent == parent, "law 4"
                assert not parent or all(
                    self.ledger.free(parent, k) >= n for k, n in amounts.items()
                ), "law 4"
                self.ledger.fund(id, amounts)
            case AccountCleared(id):
                self.ledger.overdrawn.discard(id)
            case AccountClosed(id, parent, _):
                assert self.ledger.accounts[id].parent == parent, "law 4"
                self.ledger.assume_open(id)
                self.ledger.close(id)
            case AgentReaped(agent, _, above):
                assert self.ledger.accounts[agent.id].parent == above, (
                    "law 4: closed into another's account"
                )
                self.ledger.assume_open(agent.id)
                self.ledger.close(agent.id)
            case AgentAdopted(agent, former, _, above):
                assert self.ledger.accounts[agent.id].parent == former, "law 4"
                self.ledger.adopt(agent.id)
                assert self.ledger.accounts[agent.id].parent == above, "law 4"
            case AgentRestarted(_, account):
                self.ledger.assume_open(account)
            case PeriodTurned(id):
                self.ledger.forget_spent(id)
            case _:
                pass

    # --- the state after it -----------------------------------------------------------------------

    def check(self, swarm: Swarm, now: float) -> None:
        law_1(self, swarm, now)
        law_2(self, swarm)
        if self.is_rights_moved:
            law_3(self, swarm)
            self.is_rights_moved = False
        law_4(self, swarm)
        law_5(self, swarm)
        law_7(self, swarm)
        law_8(self)
        law_11(self, swarm)

    # --- the record -------------------------------------------------------------------------------

    def follow(self, chained: Sequence[Change], number: int) -> None:
        """Law 12: the journal alone, followed by whoever reads it, and judged by the auditor."""
        for change in chained:
            if isinstance(change, Post) and change.channel == JOURNAL:
                link = link_of(StreamId(f"{number}-0"), change.line or "")
                assert link is not None, "law 12: an entry without a hash"
                if self.replayed.head.hash == GENESIS:
                    self.auditor.begin(self.replayed)
                self.replayed.follow(link, self.auditor)
        assert self.auditor.faults == [], "law 12: what was done is judged unlawful by its record"


# --- the laws, by number --------------------------------------------------------------------------


def law_1(watch: Watch, swarm: Swarm, now: float) -> None:
    """Spawn: depth, fan-out, live count and rate are bounded; a path names its ancestors."""
    limits, lineage = swarm.declared.limits, swarm.lineage
    assert len(lineage.agents) <= limits.agents_max
    made_by: Counter[tuple[str, MissionId]] = Counter()
    for agent in lineage.agents.values():
        if agent.tier == 0:
            continue
        made = watch.minted[agent.id]
        assert agent.tier <= limits.depth_max
        assert (agent.path, agent.tier, agent.mission) == (made.path, made.tier, made.mission)
        made_by[agent.path[-2], agent.mission] += 1
    assert all(n <= limits.children_max for n in made_by.values())
    for times in swarm.spawned_at.values():
        assert sum(at > now - RATE_WINDOW_SECONDS for at in times) <= limits.spawns_per_minute


def law_2(watch: Watch, swarm: Swarm) -> None:
    """Terminate: every fence is an ending under way; what ends says so; reports are what was
    seen.
    """
    lineage = swarm.lineage
    assert set(swarm.observed.endings) == set(lineage.fences)
    for segment in lineage.fences:
        root = lineage.get(segment.removeprefix("="))
        if root is not None:
            assert root.state is AgentState.DRAINING, f"{segment} is ending and reads {root.state}"
    for how, n in watch.told.items():
        assert n <= watch.reaped[how], f"more ends were told {how} than were seen"


def law_3(watch: Watch, swarm: Swarm) -> None:
    """Privileges: everybody holds exactly what the slow way leaves them; no mark outlives whom
    it is on.
    """
    lineage = swarm.lineage
    rights: tuple[Right, ...] = ("use", "grant")
    for agent in lineage.agents.values():
        if agent.is_seat:
            continue
        for leaf in LEAVES:
            for right in rights:
                may = lineage.may(agent, leaf.replace("?", "else"), right)
                assert may == watch.rights.may(agent.id, leaf, right), (agent.id, leaf, right)
    for segment in lineage.revocations:
        assert any(segment in agent.path for agent in lineage.agents.values()), segment


def law_4(watch: Watch, swarm: Swarm) -> None:
    """Budget: the equation of every account; what is granted is what open children have as caps."""
    watch.ledger.check()
    lived_on = {agent.id for agent in swarm.lineage.agents.values() if agent.tier > 0}
    open_ones = {id for id, account in watch.ledger.accounts.items() if account.is_open}
    assert lived_on <= open_ones, "every agent lives on an account"
    assert open_ones - lived_on <= {SOB, *swarm.missions}, "no account outlives its agent"


def law_5(watch: Watch, swarm: Swarm) -> None:
    """Board: hard limits stand whatever was voted or ordered; every mission taken up has a
    procedure.
    """
    for id in swarm.boards:
        assert id in swarm.missions
    for agent in swarm.lineage.agents.values():
        for path in (*agent.privileges, *agent.grants) if agent.tier > 0 else ():
            assert not any(overlaps(path, no) for no in swarm.declared.limits.forbidden)


def law_6(before: Before, swarm: Swarm, actor: str, authority: Authority) -> None:
    """Precedence: after somebody's act every mark of a better one stands as it was, and whom it
    holds lives on.
    """

    def is_better(by: str, of: int) -> bool:
        own = before.agents.get(AgentId(actor))
        if of != authority or authority is not Authority.LINEAGE or own is None:
            return of > authority
        return by in own.path[:-1]

    for target, stop in before.stops.items():
        if not is_better(stop.by, stop.authority):
            continue
        held = [a for a in before.agents.values() if stop.holds(a) and not before.is_ending(a)]
        left = swarm.lineage.stops.get(target)
        assert left in (stop, replace(stop, is_told=True)), (
            f"{actor} touched the stop of {stop.by} on {target}"
        )
        fenced = [
            a.id for a in held if a.tier and swarm.lineage.is_ending(swarm.lineage.agents[a.id])
        ]
        assert not fenced, f"{actor} ended {fenced}, which {stop.by} holds"
    for segment, marks in before.revocations.items():
        for mark in marks:
            if is_better(mark.by, mark.authority):
                assert mark in swarm.lineage.revocations.get(segment, ()), (
                    f"{actor} lifted a mark of {mark.by}"
                )


def law_7(watch: Watch, swarm: Swarm) -> None:
    """Incarnation: names are unique among the living children that an agent made."""
    names: set[tuple[str, str, str]] = set()
    for agent in swarm.lineage.agents.values():
        if agent.tier == 0 or agent.id in watch.adopted:
            continue
        name = (agent.path[-2], agent.mission, agent.name)
        assert name not in names, f"two children of {agent.path[-2]} are named {agent.name}"
        names.add(name)


def law_8(watch: Watch) -> None:
    """Nothing twice: no order is answered twice, and after its answer nothing more is said of
    it.
    """
    for order, outcomes in watch.outcomes.items():
        final = [n for n, outcome in enumerate(outcomes) if outcome in FINAL]
        assert len(final) <= 1, f"{order} was answered {outcomes}"
        assert not final or final[0] == len(outcomes) - 1, f"{order} was answered {outcomes}"


def law_10(changes: Sequence[Change]) -> None:
    """Zero idle cost: with nothing new, nothing is done."""
    assert changes == [], "the same moment was found wanting twice"


def law_11(watch: Watch, swarm: Swarm) -> None:
    """No orphans: everybody's superior lives, is above it, and knows of it."""
    lineage = swarm.lineage
    for agent in lineage.agents.values():
        if agent.tier == 0:
            continue
        assert agent.parent in lineage.agents, f"{agent.id} is an orphan"
        assert agent.parent in agent.path[:-1]
        assert agent in lineage.children(agent.parent)


def law_12(watch: Watch, swarm: Swarm) -> None:
    """All of it is recorded: the records made from the journal alone are those of the living."""
    assert watch.replayed.head == swarm.chain.head
    assert watch.replayed.records.digest == Records.of(all_records(swarm)).digest


def all_answered(watch: Watch) -> None:
    """Law 8, when everything has had its time: each order was answered, each end that was seen
    was told.
    """
    for order, outcomes in watch.outcomes.items():
        assert outcomes[-1] in FINAL, f"{order} was never answered: {outcomes}"
    assert watch.told == watch.reaped, "law 2: ends were seen and not told"
