"""A swarm in the hands of everybody at once: agents, board, operators, hosts, time, and supervisors
that die.

Each rule is one input to the supervisor or one call of a worker. After each, all laws are checked
(`tests.laws`). The machine runs in memory as it stands; over a store `keep`, `reload` and the
worker's calls go there as well and must agree with what is known here.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Literal

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from swarmd.core.actions import registry
from swarmd.core.control import placement, termination, tick
from swarmd.core.control import stops as control_stops
from swarmd.core.control.dispatch import decide
from swarmd.core.control.sightings import WORD_SECONDS
from swarmd.core.journal.entries import chained
from swarmd.core.missions import queue
from swarmd.core.missions.intake import MissionRequest
from swarmd.core.model.actions import Actor, Args, verbs_of
from swarmd.core.model.changes import Change, Post
from swarmd.core.model.channels import ORDERS, REQUESTS, inbox
from swarmd.core.model.charter import Charter
from swarmd.core.model.declarations import Budget, Limits, Role
from swarmd.core.model.lineage import Agent, StopKind, stop_fields
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import (
    SOB,
    AgentId,
    AgentState,
    Authority,
    Channel,
    HostId,
    MissionId,
    StreamId,
)
from swarmd.core.model.privileges import covers, sufficient
from swarmd.core.model.records import Host
from swarmd.core.model.refusals import Denied, Rule
from swarmd.core.model.requests import SpawnRequest
from swarmd.core.model.state import Draft, Swarm
from swarmd.core.model.tables import TABLES
from swarmd.core.model.timings import LEASE_SECONDS
from swarmd.core.tree.spawn import decide_spawn, made
from swarmd.ports.stores import Begin
from tests.core.swarm_builder import World, act_args, charter, declarations
from tests.laws import Before, Watch, all_answered, law_6, law_10, law_12
from tests.slow_ledger import OpenCall
from tests.slow_rights import PATHS

# So many steps in all; one test divides them over its runs. `LAW_STEPS=200000` is the nightly
# measure.
STEPS: Final = int(os.environ.get("LAW_STEPS", "0"))
STEPS_OF_ONE_RUN: Final = 50

HOSTS: Final = ("h1", "h2", "h3")
MISSIONS: Final = ("m1", "m2")
HOLD_SECONDS: Final = 30.0
GRACE: Final = 20.0

_POWERS: Final = ("spawn/**", "t/**", "m/**")
ROLES: Final = {
    name: Role(
        name=name,
        summary="s",
        tiers=(1, 2, 3, 4),
        moves=("spawn", "report"),
        methodology="m",
        privileges=_POWERS,
        orphans=orphans,
    )
    for name, orphans in (("cascader", "cascade"), ("adopter", "adopt"), ("holder", "hold"))
}
_LIMITS: Final[Mapping[str, Any]] = {
    "root": Budget(tokens=100_000, cost=100_000, calls=4_000, tools=4_000, agents=60),
    "mission": Budget(tokens=40_000, cost=40_000, calls=1_000, tools=1_000, agents=24),
    "children_max": 4,
    "agents_max": 30,
    "spawns_per_minute": 12,
    "hold_seconds": HOLD_SECONDS,
    "restarts_max": 1,
    "restart_seconds": 60.0,
    "deadline_seconds": 80_000.0,
    "forbidden": ("t/never",),
    "root_period": "hour",
    "stall_seconds": 86_400.0,
}
_BOARD: Final = {"seat_seconds": 86_400.0, "motion_seconds": 86_400.0}

WHO: Final = st.integers(0, 23)
# All but the answers to requests for permission; some are drawn twice as often.
VERBS: Final = (
    *(verb for verb in verbs_of(Authority.LINEAGE) if verb not in ("approve", "deny")),
    *("freeze", "thaw", "revoke"),
)
SPECIAL: Final = (
    "*",
    "tier:1",
    "tier:2",
    "tier:3",
    "room:hall",
    "use:m/g",
    "use:m/**",
    "m1",
    "m2",
    "sob",
    "nobody",
)
_RIGHT = st.sampled_from(["use", "grant", "both"])
_AMOUNTS = st.dictionaries(
    st.sampled_from(["tokens", "cost", "calls", "agents"]), st.integers(1, 40), max_size=2
)

Act = Callable[[Draft], Any]
By = tuple[str, Authority]


def law_settings(share: float, *, usual: int) -> settings:
    """So many examples of a machine that `share` of all steps are its; `usual` steps where
    nobody asks for more.
    """
    steps = int(STEPS * share) if STEPS else usual
    return settings(
        max_examples=max(1, steps // STEPS_OF_ONE_RUN),
        stateful_step_count=STEPS_OF_ONE_RUN,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        # Not shrunk: on a store that takes longer than all of the tests. The walk that failed is
        # printed as it was.
        phases=[Phase.reuse, Phase.generate],
    )


class LawMachine(RuleBasedStateMachine):
    """See the module. `holds` are what hosts believe to hold, the former ones too."""

    def __init__(self) -> None:
        super().__init__()
        limits = Limits.model_validate(_LIMITS)
        declared = declarations(_BOARD, **{name: getattr(limits, name) for name in _LIMITS})
        self.w = World(Swarm(replace(declared, roles=dict(ROLES))))
        self.watch = Watch()
        self.alive: dict[HostId, Host] = {}
        self.known: set[HostId] = set()
        self.former: list[Agent] = []
        self.turns: dict[str, int] = {}
        self.steps: dict[str, int] = {}
        self.begun: set[str] = set()
        self.ended: list[OpenCall] = []
        self.numbers = self._numbers()
        self.is_whole = False

    @staticmethod
    def _numbers() -> Iterator[int]:
        n = 0
        while True:
            n += 1
            yield n

    # --- what a store adds ------------------------------------------------------------------------

    def keep(self, changes: Sequence[Change]) -> bool:
        """Writes a commit. False: an account had less than was decided on, and nothing was
        written.
        """
        return True

    def reloaded(self) -> Swarm:
        """The memory that a successor begins with."""
        return reborn(self.swarm)

    def store_begin(
        self, holder: Agent, call: Begin, expected: Rule | Literal["begun", "ended"]
    ) -> None: ...

    def store_end(self, holder: Agent, call: Begin, amounts: Mapping[str, int]) -> None: ...

    def store_commit(self, holder: Agent, number: int, expected: Rule | None) -> None: ...

    def host_came(self, host: Host) -> None: ...

    def host_died(self, host: HostId) -> None: ...

    def compare(self) -> None:
        """What lies in the store is what is known here."""

    # --- one step of the supervisor ---------------------------------------------------------------

    @property
    def swarm(self) -> Swarm:
        return self.w.swarm

    def step(
        self, act: Act | None = None, seconds: float = 0.01, by: By | None = None
    ) -> list[Change]:
        """Read, decide, commit; what the act itself changed. `by` is held to precedence."""
        self.is_whole = False
        self.w.now += seconds
        while (acted := self._commit(act, by)) is None:
            pass
        self._second_look()
        self.watch.check(self.swarm, self.w.now)
        law_12(self.watch, self.swarm)
        self.compare()
        self.is_whole = True
        return acted

    def _commit(self, act: Act | None, by: By | None) -> list[Change] | None:
        """`None`: an account moved while it was decided on, and the step is to be done anew."""
        w, before = self.w, Before.of(self.swarm)
        self.swarm.observed.free = {
            id: dict(a.amounts["free"]) for id, a in self.watch.ledger.accounts.items() if a.is_open
        }
        ending = tuple(self.swarm.observed.endings)
        draft = w.renew()
        alive = {id: replace(host, lease_left=LEASE_SECONDS) for id, host in self.alive.items()}
        placement.admit_hosts(draft, alive, frozenset(self.known), may_declare_dead=True)
        known = len(draft.changes)
        if act is not None:
            act(draft)
        if by is not None:
            law_6(before, self.swarm, *by)
        acted = draft.changes[known:]
        self._reconcile(draft, ending)
        changes = chained(self.swarm, draft.changes, draft.moment)
        if not self.keep(changes):
            return None
        self.watch.see(before, draft.changes, self.swarm, w.now)
        self.watch.follow(changes, next(self.numbers))
        self._notice(before)
        return acted

    def _reconcile(self, draft: Draft, ending: Sequence[str]) -> None:
        tick.tick(draft)
        placement.place(draft)
        termination.reap(draft, {id: {} for id in self.swarm.missions}, ending)

    def _second_look(self) -> None:
        """Law 10: where nothing is on its way, the same moment leaves nothing more to do."""
        if not (self.swarm.observed.endings or self.swarm.observed.stoppings):
            draft = self.w.renew()
            self._reconcile(draft, ())
            law_10(draft.changes)

    def _notice(self, before: Before) -> None:
        for id, was in before.agents.items():
            now = self.swarm.lineage.agents.get(id)
            if now is None or now.lease != was.lease or now.incarnation != was.incarnation:
                self.former = [*self.former[-20:], was]
            if now is not None and now.incarnation != was.incarnation:
                self.turns[id] = self.steps[id] = 0
                self.begun.discard(id)

    def hear(
        self,
        channel: Channel,
        sender: str,
        kind: Kind,
        data: Mapping[str, Any],
        incarnation: int = 1,
        by: By | None = None,
    ) -> list[Change]:
        n = next(self.numbers)
        message = Message(
            sender=AgentId(sender),
            kind=kind,
            at=self.w.moment.stamp,
            data=data,
            incarnation=incarnation,
            channel=channel,
            id=StreamId(f"{n}-0"),
        )
        return self.step(lambda draft: decide(draft, message), by=by)

    def request(
        self, agent: Agent, type: str, *, incarnation: int = 0, **data: Any
    ) -> list[Change]:
        by = (agent.id, Authority.LINEAGE) if type == "act" else None
        what = {"type": type, **data}
        return self.hear(
            REQUESTS, agent.id, Kind.REQUEST, what, incarnation or agent.incarnation, by
        )

    # --- whom -------------------------------------------------------------------------------------

    def agents(self) -> list[Agent]:
        return [a for a in self.swarm.lineage.agents.values() if a.tier > 0]

    def pick(self, which: int) -> Agent | None:
        found = self.agents()
        return found[which % len(found)] if found else None

    # --- the founding -----------------------------------------------------------------------------

    @initialize()
    def found(self) -> None:
        self.watch.found()
        self._come("h1")
        self._come("h2")
        self.step(tick.found)
        for id in MISSIONS:
            self._submit(id)
        for n, role in enumerate(("adopter", "cascader")):
            self.charter(n, role, n)
        for n, role in enumerate(("adopter", "cascader", "holder", "adopter")):
            self.spawn(n, role, n)

    def _come(self, id: str) -> None:
        host = Host(HostId(id), 100, "w")
        self.alive[host.id] = host
        self.known.add(host.id)
        self.host_came(host)

    def _submit(self, id: str) -> None:
        self.step(
            lambda draft: queue.admit(
                draft, MissionRequest(mission="Find out.", id=id), files=("docs",)
            )
        )

    # --- agents are made --------------------------------------------------------------------------

    @rule(which=WHO, role=st.sampled_from(list(ROLES)), name=st.integers(0, 3))
    def charter(self, which: int, role: str, name: int) -> None:
        """The board makes an executive."""
        if not self.swarm.boards:
            return
        mission = sorted(self.swarm.boards)[which % len(self.swarm.boards)]
        request = SpawnRequest(key=f"k{next(self.numbers)}", charter=charter(f"e{name}", role))

        def act(draft: Draft) -> None:
            board = self.swarm.lineage.agents[SOB]
            spawned = decide_spawn(self.swarm, board, request, draft.moment, mission=mission)
            if not isinstance(spawned, Denied):
                draft.add(*made(self.swarm, spawned, draft.moment))

        self.step(act)

    @rule(which=WHO, role=st.sampled_from(list(ROLES)), name=st.integers(0, 9))
    def spawn(self, which: int, role: str, name: int) -> None:
        self._spawn(which, charter(f"n{name}", role))

    @rule(
        which=WHO,
        role=st.sampled_from(list(ROLES)),
        name=st.integers(0, 9),
        rights=st.none() | st.tuples(st.sampled_from(PATHS), st.sampled_from(PATHS)),
        deadline=st.sampled_from([None, None, 5.0, 60.0]),
        budget=_AMOUNTS,
        claims=st.sampled_from([False] * 7 + [True]),
    )
    def spawn_in_detail(
        self,
        which: int,
        role: str,
        name: int,
        rights: tuple[str, str] | None,
        deadline: float | None,
        budget: dict[str, int],
        claims: bool,
    ) -> None:
        asked = charter(
            f"n{name}",
            role,
            deadline_s=deadline,
            budget=budget,
            privileges=None if rights is None else ("spawn/**", rights[0]),
            grants=None if rights is None else ("spawn/**", rights[1]),
        )
        self._spawn(which, asked, claims=claims)

    def _spawn(self, which: int, asked: Charter, *, claims: bool = False) -> None:
        parent = self.pick(which)
        if parent is None:
            return
        key = f"k{next(self.numbers)}"
        claim: dict[str, Any] = {"tier": parent.tier, "parent": SOB} if claims else {}
        changes = self.request(
            parent, "spawn", key=key, charter=asked.model_dump(mode="json"), **claim
        )
        answers = [
            change.message.data
            for change in changes
            if isinstance(change, Post)
            and change.channel == inbox(parent.id)
            and change.message.data.get("key") == key
        ]
        assert len(answers) == 1, "law 8: every request is answered once"
        if claims:
            assert answers[0]["rule"] == Rule.SPAWN_TIER, "law 1: what a request claims is refused"

    # --- superiors act ----------------------------------------------------------------------------

    @rule(
        verb=st.sampled_from(VERBS),
        which=WHO,
        special=st.sampled_from([None] * 24 + list(SPECIAL)),
        alone=st.booleans(),
        path=st.sampled_from(PATHS),
        right=_RIGHT,
        amounts=_AMOUNTS,
    )
    def an_operator_orders(
        self,
        verb: Any,
        which: int,
        special: str | None,
        alone: bool,
        path: str,
        right: Any,
        amounts: dict[str, int],
    ) -> None:
        chosen = self.pick(which)
        if chosen is not None:
            target = special or (f"={chosen.id}" if alone and which % 3 == 0 else chosen.id)
            self._order(act_args(verb, target, "because", path, right, amounts, GRACE))

    @rule(
        verb=st.sampled_from(VERBS),
        which=WHO,
        path=st.sampled_from(PATHS),
        right=_RIGHT,
        amounts=_AMOUNTS,
    )
    def the_board_acts(
        self, verb: Any, which: int, path: str, right: Any, amounts: dict[str, int]
    ) -> None:
        chosen = self.pick(which)
        if chosen is not None:
            actor = Actor(SOB, Authority.BOARD, chosen.mission if which % 6 else MissionId("m1"))
            args = act_args(verb, chosen.id, "because", path, right, amounts, GRACE)
            self._act(lambda draft: registry.do(draft, actor, args), (SOB, Authority.BOARD))

    @rule(
        verb=st.sampled_from(VERBS),
        who=WHO,
        which=WHO,
        path=st.sampled_from(PATHS),
        right=_RIGHT,
        amounts=_AMOUNTS,
    )
    def an_ancestor_acts(
        self, verb: Any, who: int, which: int, path: str, right: Any, amounts: dict[str, int]
    ) -> None:
        leaders = [
            a for a in self.agents() if self.swarm.lineage.child_count(a.id)
        ] or self.agents()
        if not leaders:
            return
        by = leaders[who % len(leaders)]
        # Now and then one that is none of its own.
        below = [a for a in self.agents() if by.id in a.path[:-1]] if which % 5 else self.agents()
        chosen = (below or [by])[which % len(below or [by])]
        act = {
            "verb": verb,
            "target": chosen.id,
            "reason": "because",
            "privilege": path,
            "right": right,
            "amounts": amounts,
        }
        changes = self.request(by, "act", act=act)
        if any(isinstance(c, Post) and c.message.data.get("outcome") == "refused" for c in changes):
            _changes_nothing(changes)

    def _order(self, args: Args) -> None:
        order = f"o{next(self.numbers)}"
        data = {"order": order, **args.model_dump(mode="json")}
        changes = self.hear(
            ORDERS, "operator", Kind.ORDER, data, by=("operator", Authority.OPERATOR)
        )
        outcomes = self.watch.outcomes.get(order, [])
        assert outcomes, f"{order} was not even noticed"
        if outcomes[0] == "refused":
            _changes_nothing(changes)

    def _act(self, act: Callable[[Draft], Denied | None], by: By) -> None:
        denied: list[Denied | None] = []
        changes = self.step(lambda draft: denied.append(act(draft)), by=by)
        if denied[-1] is not None:
            assert changes == [], "what is refused changes nothing"

    @rule(which=WHO)
    def end_or_begin_a_mission(self, which: int) -> None:
        if which < 2:
            self._order(act_args("cancel", MISSIONS[which], "enough", amounts={}))
            return
        gone = [id for id in MISSIONS if MissionId(id) not in self.swarm.missions]
        if gone:
            self._submit(gone[0])
            for n, role in enumerate(("holder", "adopter")):
                self.charter(which + n, role, n)

    # --- what goes wrong --------------------------------------------------------------------------

    @rule(
        which=WHO,
        how=st.sampled_from(
            ["crash", "crash", "fail", Rule.BUDGET_EXHAUSTED, Rule.BUDGET_OVERDRAFT]
        ),
    )
    def fail(self, which: int, how: str) -> None:
        agent = self.pick(which)
        if agent is not None:
            rule = how if isinstance(how, Rule) else ""
            self.request(
                agent,
                "failed",
                rule=rule,
                detail="it broke",
                mission=agent.mission,
                is_crash=how == "crash",
            )

    @precondition(lambda self: any(agent.incarnation > 1 for agent in self.agents()))
    @rule(which=WHO)
    def speak_as_before(self, which: int) -> None:
        """Law 7: what a former incarnation still asks for is refused, and changes nothing."""
        restarted = [agent for agent in self.agents() if agent.incarnation > 1]
        agent = restarted[which % len(restarted)]
        act = {"verb": "terminate", "target": agent.id, "reason": "r"}
        _changes_nothing(self.request(agent, "act", incarnation=agent.incarnation - 1, act=act))

    @rule(host=st.sampled_from(HOSTS))
    def lose_a_host(self, host: str) -> None:
        id = HostId(host)
        if id in self.alive:
            del self.alive[id]
            self.host_died(id)
        else:
            self._come(host)
        self.step()

    @rule(seconds=st.sampled_from([0.5, 1.0, WORD_SECONDS + 1, WORD_SECONDS + 1, 40.0, 3_600.0]))
    def wait(self, seconds: float) -> None:
        self.step(seconds=seconds)

    @rule()
    def change_supervisors(self) -> None:
        """Whoever takes over begins with what is stored, and brings it to the same end."""
        found = self.reloaded()
        same_memory(self.swarm, found)
        assert dict(found.chain.records.values) == dict(self.swarm.chain.records.values)
        self.w.swarm = found
        self.watch.words.clear()
        self.watch.stuck.clear()
        self.watch.is_rights_moved = True

        def take_up(draft: Draft) -> None:
            tick.found(draft)
            termination.resume_endings(draft)
            control_stops.resume_stops(draft)

        self.step(take_up)

    # --- hosts give their word --------------------------------------------------------------------

    @precondition(lambda self: self.swarm.observed.endings)
    @rule(which=WHO, host=st.sampled_from(HOSTS), is_stuck=st.booleans())
    def gone(self, which: int, host: str, is_stuck: bool) -> None:
        endings = list(self.swarm.observed.endings)
        if endings and HostId(host) in self.alive:
            self._gone(
                endings[which % len(endings)], HostId(host), is_stuck=is_stuck and which % 2 == 0
            )

    def _gone(self, segment: str, host: HostId, *, is_stuck: bool = False) -> None:
        there = [a.id for a in self.swarm.lineage.below(segment) if a.host == host]
        stuck = there[:1] if is_stuck else []
        self.watch.words.add((segment, host))
        self.watch.stuck.update(stuck)
        data = {
            "type": "gone",
            "segment": segment,
            "agents": len(there),
            "stuck": dict.fromkeys(stuck, "tool"),
        }
        self.hear(REQUESTS, host, Kind.REQUEST, data)

    @precondition(lambda self: self.swarm.observed.stoppings)
    @rule(which=WHO, host=st.sampled_from(HOSTS), is_busy=st.booleans())
    def quiet(self, which: int, host: str, is_busy: bool) -> None:
        stops = [stop for stop in self.swarm.lineage.stops.values() if not stop.is_told]
        if stops and HostId(host) in self.alive:
            self._quiet(
                stops[which % len(stops)].target, HostId(host), is_busy=is_busy and which % 2 == 0
            )

    def _quiet(self, target: str, host: HostId, *, is_busy: bool = False) -> None:
        stop = self.swarm.lineage.stops[target]
        there = [a.id for a in self.swarm.lineage.stopped_by(target) if a.host == host]
        busy = dict.fromkeys(there[:1] if is_busy else [], "model")
        data = {
            "type": "quiet",
            "target": target,
            "at": stop.at,
            "agents": len(there),
            "busy": busy,
        }
        self.hear(REQUESTS, host, Kind.REQUEST, data)

    # --- workers ----------------------------------------------------------------------------------

    def holder(self, which: int) -> Agent | None:
        """Mostly whom a host holds; now and then whom it held before it was moved, restarted or
        ended.
        """
        if which >= 20 and self.former:
            return self.former[which % len(self.former)]
        return self.pick(which)

    def refusal_of(self, holder: Agent, *, is_begun: bool, is_commit: bool = False) -> Rule | None:
        """May this hold still act? The law in the store's order."""
        lineage, now = self.swarm.lineage, self.swarm.lineage.get(holder.id)
        if any(mark in lineage.fences for mark in (*holder.path, f"={holder.id}")):
            return Rule.FENCED
        if now is None:
            return Rule.UNKNOWN_AGENT
        if lineage.is_ending(now):
            return Rule.FENCED
        if holder.incarnation != now.incarnation:
            return Rule.INCARNATION
        if (holder.lease, holder.host) != (now.lease, now.host) or now.host not in self.alive:
            return Rule.LEASE
        stops = [lineage.stops[t] for t in (*now.path, *stop_fields(now)) if t in lineage.stops]
        firm = next((stop for stop in stops if stop.kind is not StopKind.DRAIN), None)
        if firm is not None:
            return Rule.FROZEN if firm.kind is StopKind.FREEZE else Rule.HALTED
        if stops:
            return None if is_begun or is_commit else Rule.DRAINING
        return None if now.state is AgentState.LIVE else Rule.FENCED

    @rule(which=WHO, tokens=st.integers(0, 600), calls=st.integers(0, 6), asks=st.booleans())
    def begin(self, which: int, tokens: int, calls: int, asks: bool) -> None:
        holder = self.holder(which)
        if holder is None:
            return
        number = self.turns.get(holder.id, 0) + 1
        step = self.steps.get(holder.id, 0) + 1
        call = Begin(
            number,
            step,
            "model",
            holder.id,
            holder.path,
            stop_fields(holder),
            (sufficient("m/g"),) if asks else (),
            {"tokens": tokens, "cost": tokens, "calls": calls, "tools": 0},
            "{}",
        )
        self._begin(OpenCall(holder, call, holder.id), is_asking=asks)

    def _begin(self, asked: OpenCall, *, is_asking: bool) -> None:
        holder, call, ledger = asked.holder, asked.call, self.watch.ledger
        rule = self.refusal_of(holder, is_begun=holder.id in self.begun)
        if rule is None and is_asking:
            rule = self._refusal_of_privilege(self.swarm.lineage.agents[holder.id])
        if rule is None and holder.id in ledger.overdrawn:
            rule = Rule.BUDGET_OVERDRAFT
        if rule is None and not ledger.affords(holder.id, call.amounts):
            rule = Rule.BUDGET_EXHAUSTED
        self.store_begin(holder, call, rule or "begun")
        if rule is None:
            ledger.begin(asked)
            self.begun.add(holder.id)
            self.steps[holder.id] = call.step
        self._after_a_call()

    def _refusal_of_privilege(self, agent: Agent) -> Rule | None:
        if not self.swarm.lineage.may(agent, "m/g"):
            held = any(covers(path, "m/g") for path in agent.privileges)
            return Rule.PRIVILEGE_REVOKED if held else Rule.PRIVILEGE_USE
        stops = [self.swarm.lineage.stops.get(f"use:{path}") for path in sufficient("m/g")]
        kinds = [stop.kind for stop in stops if stop is not None]
        if not kinds:
            return None
        return Rule.FROZEN if kinds[0] is StopKind.FREEZE else Rule.HALTED

    def _after_a_call(self) -> None:
        self.watch.ledger.check()
        self.compare()

    @precondition(lambda self: self.watch.ledger.open_calls)
    @rule(which=WHO, percent=st.integers(0, 130))
    def end(self, which: int, percent: int) -> None:
        """By whoever began it, whatever befell the agent meanwhile."""
        ledger = self.watch.ledger
        known = ledger.open_calls.pop(which % len(ledger.open_calls))
        amounts = {kind: n * percent // 100 for kind, n in known.call.amounts.items()}
        self.store_end(known.holder, known.call, amounts)
        ledger.settle(known.account, known.call, amounts)
        self.ended = [*self.ended[-10:], known]
        self._after_a_call()

    @precondition(lambda self: self.watch.ledger.former or self.ended)
    @rule(which=WHO)
    def end_late_or_again(self, which: int) -> None:
        calls = [*self.watch.ledger.former[-10:], *self.ended]
        known = calls[which % len(calls)]
        if known not in self.watch.ledger.open_calls:
            self.store_end(known.holder, known.call, dict(known.call.amounts))
            self._after_a_call()

    @rule(which=WHO)
    def finish_a_turn(self, which: int) -> None:
        holder = self.holder(which)
        if holder is None:
            return
        number = self.turns.get(holder.id, 0) + 1
        rule = self.refusal_of(holder, is_begun=holder.id in self.begun, is_commit=True)
        self.store_commit(holder, number, rule)
        if rule is None:
            self.turns[holder.id], self.steps[holder.id] = number, 0
            self.begun.discard(holder.id)

    # --- the end ----------------------------------------------------------------------------------

    def teardown(self) -> None:
        if self.is_whole:
            self._settle()

    def _settle(self) -> None:
        """Everybody gives their word and time passes: what was ordered has then been answered."""
        for _ in range(4):
            for segment in list(self.swarm.observed.endings):
                for host in list(self.alive):
                    if segment in self.swarm.observed.endings:
                        self._gone(segment, host)
            for target in list(self.swarm.observed.stoppings):
                for host in list(self.alive):
                    if target in self.swarm.observed.stoppings:
                        self._quiet(target, host)
            for seconds in (GRACE + 1, 0.01, 0.01, 0.01, 0.01, 0.01):
                self.step(seconds=seconds)
        all_answered(self.watch)


def _changes_nothing(changes: Sequence[Change]) -> None:
    done = [change for change in changes if not isinstance(change, Post)]
    assert done == [], "what is refused changes nothing"


def reborn(swarm: Swarm) -> Swarm:
    """What would be read back of this memory: all that is stored, and nothing else."""
    found = Swarm(swarm.declared)
    for agent in sorted(swarm.lineage.agents.values(), key=lambda a: (a.tier, a.created, a.id)):
        found.put(agent)
    for table in TABLES:
        found.load_rows(table, copy.deepcopy(swarm.rows(table)))
    found.number = swarm.number
    found.missions = dict(swarm.missions)
    found.spawned_at = dict(swarm.spawned_at)
    found.period, found.chain = swarm.period, swarm.chain
    found.hosts.update({id: Host(id, 0, "") for id in swarm.hosts})
    return found


def same_memory(known: Swarm, found: Swarm) -> None:
    """A supervisor that takes over knows what the one before it knew."""
    one, other = known.lineage, found.lineage
    assert other.agents == one.agents
    assert (other.fences, other.stops, other.revocations) == (
        one.fences,
        one.stops,
        one.revocations,
    )
    for id in one.agents:
        assert {a.id for a in other.children(id)} == {a.id for a in one.children(id)}
    assert (found.missions, found.boards) == (known.missions, known.boards)
    assert (found.deadlines, found.period) == (known.deadlines, known.period)
    assert found.number <= known.number
    assert set(found.hosts) == set(known.hosts)
