"""What superiors do to those below: each verb by each authority on each kind of target, and what
outranks what.

What is refused names its rule and changes nothing; what is done is answered once, when it was seen.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import pytest

from swarmd.core.actions import authority as authorities
from swarmd.core.actions import registry
from swarmd.core.actions import stop as stop_action
from swarmd.core.control import stops, termination
from swarmd.core.control.placement import place
from swarmd.core.control.sightings import WORD_SECONDS
from swarmd.core.missions import queue
from swarmd.core.missions.intake import MissionRequest
from swarmd.core.model.actions import Actor, verbs_of
from swarmd.core.model.changes import (
    AccountFunded,
    AgentReaped,
    AgentSet,
    Change,
    Post,
    RightsSet,
)
from swarmd.core.model.channels import BOARD_ROOM, JOURNAL, host_channel, inbox
from swarmd.core.model.charter import KINDS
from swarmd.core.model.lineage import Agent, Stop, StopKind
from swarmd.core.model.messages import Kind
from swarmd.core.model.names import (
    OPERATOR,
    SOB,
    SUPERVISOR,
    AgentState,
    Authority,
    HostId,
    MissionId,
)
from swarmd.core.model.records import Spawned
from swarmd.core.model.refusals import Denied, Rule
from swarmd.core.model.requests import QuietRequest
from swarmd.core.model.tables import FENCES, REVOCATIONS, STOPS, Drop, Put, Table
from swarmd.core.tree.spawn import made
from tests.core.swarm_builder import MISSION, World, act_args, charter, journal, posts, puts, world

H1, H2 = HostId("h1"), HostId("h2")
OTHER_MISSION: Final = MissionId("m2")
GRACE: Final = 30.0
FREE: Final = 10_000_000  # of each account, in each kind


@dataclass(slots=True)
class Cast:
    """Two missions: `top` leads `mid`, who leads `low`; `other` stands beside `top`, `far`
    serves the other mission.
    """

    w: World
    top: Agent
    mid: Agent
    low: Agent
    other: Agent
    far: Agent

    def actor(self, authority: Authority, *, order: str = "") -> Actor:
        """Of each authority one; of the lineage's it is `top`."""
        match authority:
            case Authority.OPERATOR:
                return Actor(OPERATOR, authority, order=order)
            case Authority.BOARD:
                return Actor(SOB, authority, MISSION)
            case Authority.LINEAGE:
                return Actor(self.top.id, authority, MISSION)

    def do(self, actor: Actor, verb: Any, target: str, **rest: Any) -> Denied | None:
        return registry.do(
            self.w.renew(), actor, act_args(verb, target, "because", grace_s=GRACE, **rest)
        )

    def target(self, name: str) -> str:
        agent = getattr(self, name.removeprefix("="), None)
        return name if agent is None else name.replace(name.removeprefix("="), agent.id)


def cast(hosts: Sequence[str] = ("h1",)) -> Cast:
    w = world(hosts=hosts)
    queue.admit(w.renew(), MissionRequest(mission="Another.", id=OTHER_MISSION), files=("docs",))
    w.tick()
    top = w.grow(SOB, "top")
    mid = w.grow(top.id, "mid")
    low, other = w.grow(mid.id, "low"), w.grow(SOB, "other")
    asked = w.ask(SOB, charter("far"), mission=OTHER_MISSION)
    assert isinstance(asked, Spawned)
    w.renew().add(*made(w.swarm, asked, w.moment))
    far = w.place(asked.agent.id)
    for account in (top.id, mid.id, low.id, other.id, far.id, MISSION, OTHER_MISSION, SOB):
        w.swarm.observed.free[account] = dict.fromkeys(KINDS, FREE)
    return Cast(w, top, mid, low, other, far)


def memory(w: World) -> Any:
    """All that the supervisor knows, as a value to compare with later."""
    return copy.deepcopy(w.swarm)


# --- each verb, by each authority, on each kind of target -------------------------------------

# All that name an agent: an answer to a request for permission has tests of its own.
ANSWERS: Final = ("approve", "deny")
VERBS: Final = tuple(verb for verb in verbs_of(Authority.LINEAGE) if verb not in ANSWERS)
AGENTS: Final = ("top", "mid", "low", "other", "far")
BOARDS: Final = ("sob", "picard")
SEVERAL: Final = ("m1", "m2", "tier:2", "*")
SINGLE: Final = ("=mid", "room:hall", "use:tool/file/read")
TARGETS: Final = (*AGENTS, *BOARDS, *SEVERAL, *SINGLE, "nobody")

EXTRA: Final[Mapping[str, Mapping[str, Any]]] = {
    "grant": {"privilege": "model/**", "right": "both"},
    "revoke": {"privilege": "tool/file/read", "right": "use"},
    "fund": {"amounts": {"tokens": 5}},
}
EFFECT: Final[Mapping[str, tuple[type, Table[Any] | None]]] = {
    "freeze": (Put, STOPS),
    "drain": (Put, STOPS),
    "halt": (Put, STOPS),
    "thaw": (Drop, STOPS),
    "terminate": (Put, FENCES),
    "grant": (RightsSet, None),
    "revoke": (Put, REVOCATIONS),
    "fund": (AccountFunded, None),
}


def _kind(change: Change) -> tuple[type, Table[Any] | None]:
    return type(change), change.table if isinstance(change, Put | Drop) else None


def expected(verb: str, authority: Authority, target: str) -> Rule | None:  # noqa: C901
    """The law in words, once more: whom each may reach at all, then what each verb cannot do to
    whom.
    """
    match authority:
        case Authority.LINEAGE:
            unreachable = _unreachable_for_top(verb, target)
        case Authority.BOARD:
            unreachable = _unreachable_for_the_board(target)
        case Authority.OPERATOR:
            unreachable = Rule.UNKNOWN_AGENT if target == "nobody" else None
    if unreachable is not None:
        return unreachable
    match verb:
        case "drain" if target in BOARDS:
            return Rule.TERMINATE_DESCENDANT
        case "drain" if target in SINGLE:
            return Rule.STOP_TARGET
        case "terminate" if target in BOARDS:
            return Rule.TERMINATE_DESCENDANT
        case "terminate" if target in SINGLE:
            return Rule.STOP_TARGET
        case "freeze" | "halt" | "thaw" | "drain" | "terminate":
            return None
        case "grant" | "revoke":
            return None if target in (*AGENTS, *BOARDS) else Rule.UNKNOWN_AGENT
        case "fund":
            return _fund_expected(authority, target)
        case _:
            raise AssertionError(f"say what the law is for {verb}")


def _unreachable_for_top(verb: str, target: str) -> Rule | None:
    if target in ("mid", "low"):
        return None
    if target in (*AGENTS, *BOARDS):
        return Rule.TERMINATE_DESCENDANT if verb == "terminate" else Rule.AUTHORITY
    return Rule.UNKNOWN_AGENT


def _unreachable_for_the_board(target: str) -> Rule | None:
    if target in ("top", "mid", "low", "other"):
        return None
    return Rule.MISSION_OTHER if target in ("far", *BOARDS) else Rule.UNKNOWN_AGENT


def _fund_expected(authority: Authority, target: str) -> Rule | None:
    if target in ("picard", "tier:2", "*", *SINGLE):
        return Rule.UNKNOWN_AGENT
    payers = {
        Authority.LINEAGE: ("mid",),
        Authority.BOARD: ("top", "other"),
        Authority.OPERATOR: (*AGENTS, "sob", "m1", "m2"),
    }
    return None if target in payers[authority] else Rule.AUTHORITY


@pytest.mark.parametrize("authority", Authority)
@pytest.mark.parametrize(("verb", "name"), list(itertools.product(VERBS, TARGETS)))
def test_each_verb_reaches_whom_the_authority_may_reach_and_what_is_refused_changes_nothing(
    verb: str, name: str, authority: Authority
) -> None:
    c = cast()
    target = c.target(name)
    if verb == "thaw" and name != "nobody":
        _stopped_by_the_supervisor(c, target)
    before = memory(c.w)
    rule = expected(verb, authority, name)
    denied = c.do(c.actor(authority), verb, target, **EXTRA.get(verb, {}))
    assert (denied and denied.rule) == rule, denied
    kinds = [_kind(change) for change in c.w.changes]
    if rule is None:
        assert EFFECT[verb] in kinds
    else:
        assert c.w.changes == []
        assert c.w.swarm == before


def _stopped_by_the_supervisor(c: Cast, target: str) -> None:
    stop = Stop(target, StopKind.FREEZE, Authority.LINEAGE, "r", SUPERVISOR, c.w.now, is_told=True)
    stop_action.set_stop(c.w.renew(), stop)


@pytest.mark.parametrize(
    ("verb", "target", "rule"),
    [
        ("terminate", "tier:0", Rule.STOP_TARGET),
        ("terminate", "tier:9", Rule.STOP_TARGET),
        ("drain", "tier:0", Rule.STOP_TARGET),
        ("freeze", "use:tool//x", Rule.STOP_TARGET),
        ("freeze", "use:a b", Rule.STOP_TARGET),
        ("freeze", "=nobody", Rule.UNKNOWN_AGENT),
        ("freeze", "tier:x", Rule.UNKNOWN_AGENT),
        ("thaw", "*", Rule.STOP_TARGET),
        ("thaw", "top", Rule.STOP_TARGET),
        ("cancel", "top", Rule.UNKNOWN_MISSION),
        ("cancel", "m9", Rule.UNKNOWN_MISSION),
        ("terminate", "m9", Rule.UNKNOWN_AGENT),
    ],
)
def test_what_an_operator_names_has_to_be_there(verb: str, target: str, rule: Rule) -> None:
    c = cast()
    before = memory(c.w)
    denied = c.do(c.actor(Authority.OPERATOR), verb, c.target(target))
    assert denied is not None
    assert denied.rule is rule
    assert (c.w.changes, c.w.swarm) == ([], before)


@pytest.mark.parametrize(
    ("verb", "extra", "rule"),
    [
        ("grant", {"privilege": ""}, Rule.REQUEST_INVALID),
        ("grant", {"privilege": "a//b"}, Rule.REQUEST_INVALID),
        ("revoke", {"privilege": "model/x **"}, Rule.REQUEST_INVALID),
        ("fund", {}, Rule.REQUEST_INVALID),
        ("fund", {"amounts": {"tokens": 0}}, Rule.REQUEST_INVALID),
        ("fund", {"amounts": {"tokens": FREE + 1}}, Rule.BUDGET_SHARE),
    ],
)
@pytest.mark.parametrize("authority", Authority)
def test_what_cannot_be_meant_is_refused_and_changes_nothing(
    verb: str, extra: Mapping[str, Any], rule: Rule, authority: Authority
) -> None:
    c = cast()
    before = memory(c.w)
    # The board funds its executives, an ancestor its own children.
    target = c.mid.id if authority is Authority.LINEAGE else c.top.id
    denied = c.do(c.actor(authority), verb, target, **extra)
    assert denied is not None
    assert denied.rule is rule
    assert (c.w.changes, c.w.swarm) == ([], before)


def test_a_name_or_a_key_means_ones_own_child_and_the_boards_executive() -> None:
    c = cast()
    assert c.do(c.actor(Authority.LINEAGE), "freeze", "mid") is None
    assert set(c.w.swarm.lineage.stops) == {c.mid.id}
    denied = c.do(c.actor(Authority.LINEAGE), "freeze", "low")
    assert denied is not None, "a grandchild's name may be another's too"
    assert denied.rule is Rule.UNKNOWN_AGENT
    assert c.do(c.actor(Authority.BOARD), "freeze", "other") is None
    assert c.other.id in c.w.swarm.lineage.stops


def test_a_seat_acts_on_nobody() -> None:
    c = cast()
    before = memory(c.w)
    changes = c.w.request(
        "picard", "act", act={"verb": "freeze", "target": c.top.id, "reason": "r"}
    )
    (answer,) = posts(changes, inbox(c.w.agent("picard").id))
    assert answer.data["rule"] == Rule.BOARD_MOTION
    assert c.w.swarm == before


def test_a_former_incarnation_acts_on_nobody() -> None:
    c = cast()
    before = memory(c.w)
    act = {"verb": "freeze", "target": c.mid.id, "reason": "r"}
    (refused,) = journal(c.w.request(c.top.id, "act", incarnation=7, act=act), "request.refused")
    assert refused.data["rule"] == Rule.INCARNATION
    assert c.w.swarm == before


def test_a_carried_motion_acts_in_the_same_commit() -> None:
    c = cast()
    c.w.carry(
        {
            "motion": "charter",
            "reason": "r",
            "executives": [{"key": "k", "role": "manager", "name": "new", "task": "t"}],
        }
    )
    for executive in c.w.swarm.executives(MISSION):
        c.w.report(executive, "done")
    changes = c.w.carry({"motion": "act", "verb": "halt", "target": "new", "reason": "it loops"})
    (stop,) = puts(changes, STOPS)
    assert (stop.kind, stop.authority, stop.by) == (StopKind.HALT, Authority.BOARD, SOB)


# --- precedence: operator over board over lineage ----------------------------------------------

PAIRS: Final = list(itertools.product(Authority, Authority))


@pytest.mark.parametrize(("setter", "actor"), PAIRS)
@pytest.mark.parametrize("verb", ["thaw", "freeze", "halt", "drain", "terminate"])
def test_what_one_stopped_only_its_equal_or_better_touches(
    verb: str, setter: Authority, actor: Authority
) -> None:
    c = cast()
    assert c.do(c.actor(setter), "freeze", c.mid.id) is None
    before = memory(c.w)
    denied = c.do(c.actor(actor), verb, c.mid.id)
    if actor >= setter:
        assert denied is None
    else:
        assert denied is not None
        assert denied.rule is Rule.PRECEDENCE
        assert (c.w.changes, c.w.swarm) == ([], before)


@pytest.mark.parametrize(("setter", "actor"), PAIRS)
@pytest.mark.parametrize("stopped", ["top", "low", "=low", "m1", "tier:2", "tier:3", "*"])
def test_what_is_held_is_not_ended_with_what_is_above_it_nor_from_within(
    stopped: str, setter: Authority, actor: Authority
) -> None:
    c = cast()
    # Set as it is: not every authority may name each of these.
    by = {Authority.LINEAGE: SUPERVISOR, Authority.BOARD: SOB, Authority.OPERATOR: OPERATOR}[setter]
    stop = Stop(c.target(stopped), StopKind.FREEZE, setter, "r", by, c.w.now)
    stop_action.set_stop(c.w.renew(), stop)
    before = memory(c.w)
    denied = c.do(c.actor(actor), "terminate", c.mid.id)
    assert (denied is None) == (actor >= setter)
    if denied is not None:
        assert denied.rule is Rule.PRECEDENCE
        assert (c.w.changes, c.w.swarm) == ([], before)


@pytest.mark.parametrize(("setter", "actor"), PAIRS)
@pytest.mark.parametrize("at", ["mid", "low"])
def test_what_one_revoked_only_its_equal_or_better_gives_back(
    at: str, setter: Authority, actor: Authority
) -> None:
    c = cast()
    assert c.do(c.actor(setter), "revoke", c.target(at), privilege="model/**") is None
    before = memory(c.w)
    denied = c.do(c.actor(actor), "grant", c.low.id, privilege="model/gpt", right="use")
    assert (denied is None) == (actor >= setter)
    if denied is not None:
        assert denied.rule is Rule.PRECEDENCE
        assert (c.w.changes, c.w.swarm) == ([], before)
    else:
        assert c.w.swarm.lineage.may(c.w.agent(c.low.id), "model/gpt")


def test_of_two_ancestors_the_one_above_outranks_the_other() -> None:
    c = cast()
    top, mid = c.actor(Authority.LINEAGE), Actor(c.mid.id, Authority.LINEAGE, MISSION)
    assert c.do(top, "halt", c.low.id) is None
    assert c.do(top, "revoke", c.low.id, privilege="model/**") is None
    before = memory(c.w)
    for verb, extra in {
        "thaw": {},
        "freeze": {},
        "drain": {},
        "terminate": {},
        "grant": {"privilege": "model/gpt", "right": "use"},
    }.items():
        denied = c.do(mid, verb, c.low.id, **extra)
        assert denied is not None, verb
        assert denied.rule is Rule.PRECEDENCE
        assert (c.w.changes, c.w.swarm) == ([], before)
    # A wider mark of its own does not take the better one's in, to be given back later.
    assert c.do(mid, "revoke", c.low.id, privilege="**") is None
    denied = c.do(mid, "grant", c.low.id, privilege="model/gpt", right="use")
    assert denied is not None
    assert denied.rule is Rule.PRECEDENCE
    assert c.do(top, "thaw", c.low.id) is None
    assert c.do(top, "grant", c.low.id, privilege="model/gpt", right="use") is None


def test_a_better_ones_mark_of_the_same_path_is_kept_beside_a_lesser_ones() -> None:
    c = cast()
    assert c.do(c.actor(Authority.OPERATOR), "revoke", c.mid.id, privilege="model/**") is None
    assert c.do(c.actor(Authority.LINEAGE), "revoke", c.mid.id, privilege="**") is None
    assert [mark.authority for mark in c.w.swarm.lineage.revocations[c.mid.id]] == [3, 1]
    assert c.do(c.actor(Authority.OPERATOR), "revoke", c.mid.id, privilege="**") is None
    assert [mark.path for mark in c.w.swarm.lineage.revocations[c.mid.id]] == ["**"], (
        "this takes both in"
    )


def test_what_a_carrier_of_one_role_hands_out_is_bounded_by_what_is_forbidden_for_all() -> None:
    w = world(forbidden=("tool/file/write",))
    top = w.grow(SOB, "top")
    for path in ("tool/file/write", "tool/**", "**"):
        denied = registry.do(
            w.renew(), authorities.BY_OPERATOR, act_args("grant", top.id, "r", path)
        )
        assert denied is not None
        assert denied.rule is Rule.PRIVILEGE_FORBIDDEN, (
            "not even an operator's grant lifts a hard limit"
        )


# --- marks and records ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "state"), [("freeze", "frozen"), ("halt", "frozen"), ("drain", "draining")]
)
def test_a_stop_is_one_mark_the_record_shows_it_and_each_host_is_told_once(
    verb: str, state: str
) -> None:
    c = cast(hosts=("h1", "h2"))
    low = c.w.swarm.lineage
    low.put(_on(c.w.agent(c.low.id), H2))
    assert c.do(c.actor(Authority.OPERATOR), verb, c.mid.id) is None
    assert [_kind(change) for change in c.w.changes if not isinstance(change, Post)] == [
        (Put, STOPS),
        (AgentSet, None),
    ]
    assert c.w.agent(c.mid.id).state == state
    assert c.w.agent(c.low.id).state is AgentState.LIVE
    for host in (H1, H2):
        (told,) = posts(c.w.changes, host_channel(host))
        assert (told.kind, told.text, told.data["kind"]) == (Kind.STOPPED, c.mid.id, verb)
    (notice,) = posts(c.w.changes, inbox(c.top.id))
    assert notice.data["stopped"] == verb
    assert {a.id for a in low.agents.values() if low.stop_on(a)} == {c.mid.id, c.low.id}


def _on(agent: Agent, host: HostId) -> Agent:
    return replace(agent, host=host)


def test_an_executive_that_is_stopped_is_told_of_in_the_boards_room() -> None:
    c = cast()
    c.do(c.actor(Authority.OPERATOR), "freeze", c.top.id)
    (notice,) = posts(c.w.changes, BOARD_ROOM)
    assert notice.data["agent"] == c.top.id


def test_a_thaw_lifts_both_marks_of_an_agent_or_none() -> None:
    c = cast()
    stop_action.set_stop(
        c.w.renew(),
        Stop(f"={c.mid.id}", StopKind.FREEZE, Authority.LINEAGE, "r", SUPERVISOR, c.w.now),
    )
    assert c.do(c.actor(Authority.OPERATOR), "freeze", c.mid.id) is None
    before = memory(c.w)
    denied = c.do(c.actor(Authority.LINEAGE), "thaw", c.mid.id)
    assert denied is not None
    assert denied.rule is Rule.PRECEDENCE
    assert c.w.swarm == before
    assert c.do(c.actor(Authority.OPERATOR), "thaw", c.mid.id) is None
    assert c.w.swarm.lineage.stops == {}
    assert c.w.agent(c.mid.id).state is AgentState.LIVE
    (thawed, _) = posts(c.w.changes, host_channel(H1))
    assert thawed.kind is Kind.THAWED


def test_a_stop_that_replaces_another_says_so_with_its_reason() -> None:
    c = cast()
    for reason in ("a closer look", "at once"):
        registry.do(c.w.renew(), c.actor(Authority.OPERATOR), act_args("freeze", c.mid.id, reason))
    (told,) = journal(c.w.changes, "stop.set")
    assert told.data["replaced"] == "a closer look"
    assert "replaces the freeze by operator: a closer look" in told.text


def test_while_one_of_two_marks_is_left_the_record_says_so() -> None:
    c = cast()
    for target in (c.mid.id, f"={c.mid.id}"):
        assert c.do(c.actor(Authority.OPERATOR), "halt", target) is None
    assert c.do(c.actor(Authority.OPERATOR), "thaw", f"={c.mid.id}") is None
    assert c.w.agent(c.mid.id).state is AgentState.FROZEN
    assert c.do(c.actor(Authority.OPERATOR), "thaw", c.mid.id) is None
    assert c.w.agent(c.mid.id).state is AgentState.LIVE


def test_who_was_thawed_after_its_host_had_gone_is_placed_anew_and_not_before() -> None:
    c = cast(hosts=("h1", "h2"))
    c.w.swarm.lineage.put(_on(c.w.agent(c.mid.id), H2))
    c.do(c.actor(Authority.OPERATOR), "freeze", c.mid.id)
    c.w.swarm.hosts.pop(H2)
    place(c.w.renew())
    assert c.w.agent(c.mid.id).host == H2
    c.do(c.actor(Authority.OPERATOR), "thaw", c.mid.id)
    assert c.w.agent(c.mid.id).state is AgentState.STARTING
    place(c.w.renew())
    assert (c.w.agent(c.mid.id).host, c.w.agent(c.mid.id).state) == (H1, AgentState.LIVE)


@pytest.mark.parametrize(
    "verb", ["freeze", "halt", "drain", "thaw", "terminate", "grant", "revoke"]
)
@pytest.mark.parametrize("at", ["mid", "top", "m1"])
def test_what_is_ending_is_neither_stopped_nor_thawed_nor_ended_again_nor_are_its_rights_changed(
    verb: str, at: str
) -> None:
    c = cast()
    if verb == "thaw":
        c.do(c.actor(Authority.OPERATOR), "freeze", c.mid.id)
    assert c.do(c.actor(Authority.OPERATOR), "terminate", c.target(at)) is None
    before = memory(c.w)
    denied = c.do(c.actor(Authority.OPERATOR), verb, c.mid.id, privilege="model/**")
    assert denied is not None
    assert denied.rule is Rule.FENCED
    assert (c.w.changes, c.w.swarm) == ([], before)


def test_a_stopped_agent_creates_nobody_and_names_the_stop() -> None:
    for verb, rule in {"freeze": Rule.FROZEN, "halt": Rule.HALTED, "drain": Rule.DRAINING}.items():
        for target in ("mid", "top", "m1", "=mid", "tier:2", "*"):
            c = cast()
            if verb == "drain" and target == "=mid":
                continue
            assert c.do(c.actor(Authority.OPERATOR), verb, c.target(target)) is None
            asked = c.w.ask(c.mid.id, charter("new"))
            assert isinstance(asked, Denied)
            # Who drains itself is on its way out already.
            assert asked.rule in (rule, Rule.ANCESTOR_ENDING), (verb, target)


# --- orders are answered once -------------------------------------------------------------------


def answers(changes: Sequence[Change], order: str = "o1") -> list[str]:
    """What the journal answers an order with, in its order; of what is under way nothing is
    final.
    """
    return [m.data["outcome"] for m in posts(changes, JOURNAL) if m.data.get("order") == order]


FINAL: Final = ("done", "refused")


@dataclass(slots=True)
class Run:
    """All that was changed since, and the hosts' words in the test's hand."""

    c: Cast
    changes: list[Change]

    def order(self, id: str, verb: str, target: str, **rest: Any) -> None:
        actor = self.c.actor(Authority.OPERATOR, order=id)
        denied = self.c.do(actor, verb, target, **rest)
        assert denied is None, denied
        self.changes += self.c.w.changes

    def tick(self, seconds: float = 0.0) -> None:
        self.c.w.now += seconds
        self.c.w.swarm.observed.renewed |= dict.fromkeys(self.c.w.swarm.hosts, self.c.w.now)
        self.changes += self.c.w.tick()
        self.changes += self.c.w.reap()

    def quiet(self, target: str, host: HostId = H1, *, busy: Sequence[str] = ()) -> None:
        stop = self.c.w.swarm.lineage.stops[target]
        word = QuietRequest(target=target, at=stop.at, agents=1, busy=dict.fromkeys(busy, "model"))
        stops.quiet_of(self.c.w.renew(), host, word)

    def to_the_end(self) -> None:
        for _ in range(8):
            self.tick(WORD_SECONDS + 1)

    def finals(self, order: str) -> list[str]:
        return [outcome for outcome in answers(self.changes, order) if outcome in FINAL]

    def final(self, order: str) -> Mapping[str, Any]:
        (found,) = [
            m.data
            for m in posts(self.changes, JOURNAL)
            if m.data.get("order") == order and m.data["outcome"] in FINAL
        ]
        return found


def run(hosts: Sequence[str] = ("h1",)) -> Run:
    return Run(cast(hosts), [])


@pytest.mark.parametrize("verb", ["grant", "revoke", "fund", "thaw"])
def test_what_is_done_at_once_is_answered_at_once(verb: str) -> None:
    r = run()
    if verb == "thaw":
        _stopped_by_the_supervisor(r.c, r.c.mid.id)
    r.order("o1", verb, r.c.mid.id, **EXTRA.get(verb, {}))
    assert answers(r.changes) == ["done"]
    r.to_the_end()
    assert answers(r.changes) == ["done"]


def test_a_refused_order_is_answered_with_its_rule() -> None:
    c = cast()
    changes = c.w.order("freeze", "nobody")
    (answer,) = journal(changes, "order.refused")
    assert (answer.data["order"], answer.data["outcome"], answer.data["rule"]) == (
        "o1",
        "refused",
        "agent.unknown",
    )


@pytest.mark.parametrize("verb", ["freeze", "halt"])
def test_a_stop_is_answered_when_every_host_has_said_what_it_sees(verb: str) -> None:
    r = run(hosts=("h1", "h2"))
    r.c.w.swarm.lineage.put(_on(r.c.w.agent(r.c.low.id), H2))
    r.order("o1", verb, r.c.mid.id)
    assert answers(r.changes) == ["marked"]
    r.quiet(r.c.mid.id, H1)
    r.tick()
    assert r.finals("o1") == []
    r.quiet(r.c.mid.id, H2, busy=[r.c.low.id])
    r.tick()
    told = r.final("o1")
    assert (told["confirmed"], told["unconfirmed"], told["unreachable"]) == (1, 1, 0)
    assert told["busy"] == {r.c.low.id: "model"}
    r.to_the_end()
    assert r.finals("o1") == ["done"]


@pytest.mark.parametrize(
    ("how", "counts"), [("silent", (0, 2, 0)), ("dead", (0, 0, 2)), ("nowhere", (2, 0, 0))]
)
def test_a_stop_never_reports_what_was_not_seen(how: str, counts: tuple[int, int, int]) -> None:
    r = run(hosts=() if how == "nowhere" else ("h1",))
    r.order("o1", "halt", r.c.mid.id)
    if how == "dead":
        r.c.w.swarm.hosts.clear()
    r.tick(WORD_SECONDS - 0.1)
    assert (r.finals("o1") == []) == (how == "silent")
    r.tick(0.2)
    told = r.final("o1")
    assert (told["confirmed"], told["unconfirmed"], told["unreachable"]) == counts


def test_a_word_on_an_earlier_stop_is_no_word_on_this_one() -> None:
    r = run(hosts=("h1", "h2"))
    r.c.w.swarm.lineage.put(_on(r.c.w.agent(r.c.low.id), H2))
    r.order("o1", "freeze", r.c.mid.id)
    r.quiet(r.c.mid.id, H1, busy=[r.c.mid.id])
    late = QuietRequest(target=r.c.mid.id, at=r.c.w.swarm.lineage.stops[r.c.mid.id].at, agents=1)
    r.c.w.now += 1
    r.order("o2", "halt", r.c.mid.id)
    stops.quiet_of(r.c.w.renew(), H2, late)
    r.quiet(r.c.mid.id, H1)
    r.tick()
    assert r.finals("o2") == []
    r.quiet(r.c.mid.id, H2)
    r.tick()
    assert r.final("o2")["confirmed"] == 2


@pytest.mark.parametrize("then", ["freeze", "halt", "drain", "thaw"])
def test_a_stop_that_goes_before_it_was_seen_is_not_told_as_done(then: str) -> None:
    r = run()
    r.order("o1", "freeze", r.c.mid.id)
    r.order("o2", then, r.c.mid.id)
    assert r.finals("o1") == ["refused"]
    r.c.w.now += GRACE
    r.to_the_end()
    assert (r.finals("o1"), r.finals("o2")) == (["refused"], ["done"])


@pytest.mark.parametrize("stop", ["freeze", "halt", "drain"])
@pytest.mark.parametrize("end", ["mid", "top", "m1"])
def test_a_stop_that_its_targets_end_overtakes_is_answered_by_that_end(stop: str, end: str) -> None:
    r = run()
    r.order("o1", stop, r.c.mid.id)
    r.order("o2", "terminate", r.c.target(end))
    r.to_the_end()
    assert r.finals("o1") == ["done"]
    assert r.finals("o2") == ["done"]
    assert r.c.w.swarm.lineage.stops == {}, "no mark outlives whom it held"


@pytest.mark.parametrize("stop", ["freeze", "drain"])
def test_a_missions_stop_goes_with_the_mission(stop: str) -> None:
    r = run()
    r.order("o1", stop, MISSION)
    r.order("o2", "cancel", MISSION)
    r.to_the_end()
    assert (r.finals("o1"), r.finals("o2")) == (["done"], ["done"])
    assert r.c.w.swarm.lineage.stops == {}
    assert MISSION not in r.c.w.swarm.missions


def test_an_ancestors_stop_is_answered_to_it_with_what_was_seen() -> None:
    r = run()
    act = {"verb": "halt", "target": "mid", "reason": "it loops"}
    assert posts(r.c.w.request(r.c.top.id, "act", act=act), inbox(r.c.top.id)) == []
    r.quiet(r.c.mid.id)
    r.tick()
    (answer,) = posts(r.changes, inbox(r.c.top.id))
    assert (answer.kind, answer.data["confirmed"], answer.data["outcome"]) == (
        Kind.ANSWER,
        2,
        "done",
    )


@pytest.mark.parametrize("verb", ["thaw", "grant", "revoke", "fund"])
def test_what_an_ancestor_does_at_once_is_answered_at_once(verb: str) -> None:
    c = cast()
    if verb == "thaw":
        _stopped_by_the_supervisor(c, c.mid.id)
    act = {"verb": verb, "target": "mid", "reason": "r", **EXTRA.get(verb, {})}
    (answer,) = posts(c.w.request(c.top.id, "act", act=act), inbox(c.top.id))
    assert answer.data == {"outcome": "done", "verb": verb, "target": "mid"}


# --- drains -------------------------------------------------------------------------------------


def test_a_drain_ends_its_subtree_as_soon_as_nothing_runs_there_and_answers_then() -> None:
    r = run()
    r.order("o1", "drain", r.c.mid.id)
    r.tick(WORD_SECONDS + 1)
    assert r.c.w.swarm.lineage.fences == {}, "a turn may take its time"
    r.quiet(r.c.mid.id)
    r.tick()
    assert set(r.c.w.swarm.lineage.fences) == {r.c.mid.id}
    assert r.c.w.agent(r.c.mid.id).state is AgentState.DRAINING
    r.to_the_end()
    assert answers(r.changes) == ["marked", "fenced", "done"]
    assert {c.record.id for c in r.changes if isinstance(c, AgentReaped)} == {
        r.c.mid.id,
        r.c.low.id,
    }


@pytest.mark.parametrize("is_busy", [True, False])
def test_a_drain_ends_what_still_runs_when_its_grace_is_over(is_busy: bool) -> None:
    r = run()
    r.order("o1", "drain", r.c.mid.id)
    if is_busy:
        r.quiet(r.c.mid.id, busy=[r.c.mid.id])
    r.tick(GRACE - 1)
    assert r.c.w.swarm.lineage.fences == {}
    r.tick(1)
    assert set(r.c.w.swarm.lineage.fences) == {r.c.mid.id}
    r.to_the_end()
    assert r.finals("o1") == ["done"]


@pytest.mark.parametrize("target", ["m1", "tier:2", "*"])
def test_a_drain_of_several_ends_them_all_and_is_answered_once(target: str) -> None:
    r = run()
    r.order("o1", "drain", r.c.target(target))
    r.quiet(target)
    r.to_the_end()
    assert r.finals("o1") == ["done"]
    left = {agent.id for agent in r.c.w.swarm.lineage.agents.values() if agent.tier > 0}
    assert (
        left
        == {
            "m1": {r.c.far.id},
            "tier:2": {r.c.top.id, r.c.other.id, r.c.far.id},
            "*": set(),
        }[target]
    )
    assert r.c.w.swarm.lineage.stops == {}


# --- one order that ends several ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "target", "ended"),
    [
        ("terminate", "mid", 2),
        ("terminate", "tier:1", 5),
        ("terminate", "m1", 4),
        ("cancel", "m1", 4),
        ("cancel", "*", 5),
    ],
)
def test_one_order_is_answered_once_with_the_counts_of_all_that_it_ended(
    verb: str, target: str, ended: int
) -> None:
    r = run(hosts=("h1", "h2"))
    # The two hosts end what they have at different times: the last one's end answers.
    for agent in (r.c.other, r.c.far):
        r.c.w.swarm.lineage.put(_on(r.c.w.agent(agent.id), H2))
    r.order("o1", verb, r.c.target(target))
    for ending in r.c.w.swarm.observed.endings.values():
        ending.words.add(H1)
    for _ in range(4):
        r.tick()
    for ending in r.c.w.swarm.observed.endings.values():
        ending.words.add(H2)
    for _ in range(4):
        r.tick()
    told = r.final("o1")
    assert (told["confirmed"], told["unconfirmed"], told["unreachable"]) == (ended, 0, 0)
    assert r.finals("o1") == ["done"]


def test_the_counts_of_one_order_outlive_the_supervisor() -> None:
    r = run(hosts=())
    r.order("o1", "terminate", "tier:1")
    r.tick()
    # What is left in memory alone is lost; the marks are not.
    r.c.w.swarm.observed.endings.clear()
    termination.resume_endings(r.c.w.renew())
    for _ in range(4):
        r.tick()
    assert r.final("o1")["confirmed"] == 5
    assert r.finals("o1") == ["done"]
