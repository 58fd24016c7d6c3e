"""Why: the trace says what the law says, and names the link that is missing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmd.core.actions import authority, registry
from swarmd.core.model.actions import Actor
from swarmd.core.model.lineage import Agent
from swarmd.core.model.names import AgentId, AgentState, Authority
from swarmd.core.model.refusals import Denied, Rule
from swarmd.core.queries.explain import Hindrance, Trace, hindrances, trace
from swarmd.core.tree.rights import may_use
from tests.core.swarm_builder import MISSION, START, World, act_args, world

FULL = {"tokens": {"free": 9}, "calls": {"free": 9}, "tools": {"free": 9}}

_names = st.sampled_from(["lead", "sub", "leaf"])
_plain = st.lists(st.sampled_from(["tool", "file", "read", "web"]), min_size=1, max_size=3).map(
    "/".join
)
_paths = st.one_of(_plain, _plain.map(lambda path: path + "/**"), st.just("**"))
_rights = st.sampled_from(["use", "grant", "both"])
_wishes = st.tuples(
    st.sampled_from(["grant", "revoke"]),
    _names,
    _paths,
    _rights,
    st.sampled_from(["operator", "board", "lead", "sub"]),
)


def _family(**rest: Any) -> tuple[World, dict[str, Agent]]:
    """Three below each other, who by themselves may use and grant `tool/file/**` and nothing
    else but spawn.
    """
    made = world(depth_max=4)
    given_rights = {"privileges": ("spawn/**", "model/**", "tool/file/**")} | rest
    agents, above = {}, "sob"
    for name in ("lead", "sub", "leaf"):
        agents[name] = made.grow(above, name, **given_rights)
        above = agents[name].id
    return made, agents


def _do(
    made: World, agents: dict[str, Agent], verb: Any, name: str, path: str, right: Any, by: str
) -> object:
    actor = {
        "operator": authority.BY_OPERATOR,
        "board": Actor("sob", Authority.BOARD, MISSION),
    }.get(by) or Actor(agents[by].id, Authority.LINEAGE, MISSION)
    return registry.do(made.renew(), actor, act_args(verb, agents[name].id, "why not", path, right))


def _trace(made: World, id: str, path: str, right: Literal["use", "grant"] = "use") -> Trace:
    agent = made.agent(id)
    lineage = made.swarm.lineage
    chain = [found for segment in agent.path if (found := lineage.get(segment)) is not None]
    return trace(chain, lineage.marks_on(agent), path, right)


def _hindrances(made: World, id: str, path: str, **rest: Any) -> tuple[Hindrance, ...]:
    lineage = made.swarm.lineage
    given_facts: dict[str, Any] = {"account": FULL, "overdrawn": ""} | rest
    return hindrances(made.agent(id), path, "use", lineage.fences, lineage.stops, **given_facts)


@given(st.lists(_wishes, max_size=8), _names, _paths, st.sampled_from(["use", "grant"]))
def test_why_says_yes_exactly_when_the_law_does(
    wishes: list[tuple[str, str, str, str, str]],
    name: str,
    path: str,
    right: Literal["use", "grant"],
) -> None:
    made, agents = _family()
    for wish in wishes:
        _do(made, agents, *wish)
    agent = made.agent(agents[name].id)
    found = _trace(made, agent.id, path, right)
    assert found.is_held == made.swarm.lineage.may(agent, path, right)
    assert [link.agent.id for link in found.links] == [
        s for s in agent.path if s not in (MISSION, "@owner")
    ]
    # There is a missing link exactly where the right is missing, and then whoever is above it could
    # mend it.
    assert (found.broken is None) == found.is_held
    if found.broken is not None:
        at = found.links.index(found.broken)
        assert not any(link.is_live for link in found.links[at:])
        assert at == 0 or found.links[at - 1].is_live


def test_a_chain_names_who_gave_what_to_whom_and_when() -> None:
    made, agents = _family()
    lead, sub, leaf = (agents[name] for name in ("lead", "sub", "leaf"))
    links = _trace(made, leaf.id, "tool/file/read").links
    assert [(link.agent.id, link.right, link.given_by) for link in links] == [
        ("sob", "grant", ""),
        (lead.id, "grant", "sob"),
        (sub.id, "grant", lead.id),
        (leaf.id, "use", sub.id),
    ]
    assert [link.held.path for link in links if link.held] == [
        "**",
        "tool/file/**",
        "tool/file/**",
        "tool/file/**",
    ]
    assert links[-1].given_at == leaf.created
    made.now += 60
    assert _do(made, agents, "grant", "leaf", "tool/web", "use", "operator") is None
    last = _trace(made, leaf.id, "tool/web").links[-1]
    assert (last.given_by, last.held and last.held.number) == ("operator", 1)
    assert last.given_at > leaf.created


def test_the_missing_link_is_the_highest_who_never_held_it() -> None:
    made, agents = _family()
    broken = _trace(made, agents["leaf"].id, "tool/web").broken
    assert broken is not None
    assert (broken.agent.id, broken.held, broken.cut) == (agents["lead"].id, None, None)
    assert _do(made, agents, "grant", "sub", "tool/web", "grant", "operator") is None
    broken = _trace(made, agents["leaf"].id, "tool/web").broken
    assert broken is not None
    assert broken.agent.id == agents["leaf"].id


def test_who_is_given_all_that_is_missing_may() -> None:
    made, agents = _family()
    leaf = agents["leaf"].id
    assert _do(made, agents, "revoke", "lead", "tool/file/**", "both", "operator") is None
    missing = _trace(made, leaf, "tool/file/read").missing
    assert [link.agent.name for link in missing] == ["lead", "sub", "leaf"]
    for link in missing:
        given_to = link.agent.name
        assert _do(made, agents, "grant", given_to, "tool/file/read", "both", "operator") is None
    assert _trace(made, leaf, "tool/file/read").missing == ()
    assert made.swarm.lineage.may(made.agent(leaf), "tool/file/read", "use")


def test_a_revocation_is_named_with_who_where_and_why() -> None:
    made, agents = _family()
    assert _do(made, agents, "revoke", "lead", "tool/file/**", "both", "operator") is None
    broken = _trace(made, agents["leaf"].id, "tool/file/read").broken
    assert broken is not None
    assert broken.agent.id == agents["lead"].id
    assert broken.cut is not None
    assert (broken.cut.segment, broken.cut.by, broken.cut.reason) == (
        agents["lead"].id,
        "operator",
        "why not",
    )


def test_of_several_revocations_the_weightiest_is_named() -> None:
    made, agents = _family()
    assert _do(made, agents, "revoke", "sub", "tool/file/**", "both", "operator") is None
    assert _do(made, agents, "revoke", "leaf", "tool/file/read", "both", "lead") is None
    last = _trace(made, agents["leaf"].id, "tool/file/read").links[-1]
    assert last.cut is not None
    assert last.cut.by == "operator"


def test_a_seat_is_its_own_chain() -> None:
    made, _ = _family()
    found = _trace(made, "picard", "room/sob/say")
    assert (len(found.links), found.is_held) == (1, True)
    assert not _trace(made, "picard", "tool/file/read").is_held


# --- what stands in the way -------------------------------------------------------------------


_STOPS = [("freeze", Rule.FROZEN), ("drain", Rule.DRAINING), ("halt", Rule.HALTED)]
_TARGETS = ["LEAD", "=LEAF", "tier:3", "*", MISSION]


@pytest.mark.parametrize(
    ("verb", "rule", "target"),
    # What ends takes all below it along: one agent alone is not drained.
    [
        (*stop, target)
        for stop in _STOPS
        for target in _TARGETS
        if (stop[0], target) != ("drain", "=LEAF")
    ],
)
def test_a_stop_on_the_path_or_the_tier_or_everything_stands_in_the_way(
    verb: Any, rule: Rule, target: str
) -> None:
    made, agents = _family()
    meant = target.replace("LEAD", agents["lead"].id).replace("LEAF", agents["leaf"].id)
    assert registry.do(made.renew(), authority.BY_OPERATOR, act_args(verb, meant, "wait")) is None
    found = _hindrances(made, agents["leaf"].id, "tool/file/read")
    assert [(no.rule, no.target, no.by, no.reason, no.at) for no in found] == [
        (rule, meant, "operator", "wait", START)
    ]


@given(
    st.lists(
        st.sampled_from(["LEAD", "=SUB", "=LEAF", "tier:2", "tier:3", "*", MISSION]), max_size=3
    ),
    _names,
)
def test_an_agent_is_hindered_exactly_when_the_law_has_it_stopped(
    targets: list[str], name: str
) -> None:
    made, agents = _family()
    for target in targets:
        meant = target
        for known, agent in agents.items():
            meant = meant.replace(known.upper(), agent.id)
        registry.do(made.renew(), authority.BY_OPERATOR, act_args("freeze", meant, "wait"))
    agent = made.agent(agents[name].id)
    is_stopped = made.swarm.lineage.stop_on(agent) is not None
    assert bool(_hindrances(made, agent.id, "tool/file/read")) == is_stopped


def test_a_stopped_privilege_stops_what_it_includes_and_nothing_else() -> None:
    made, agents = _family()
    assert (
        registry.do(
            made.renew(), authority.BY_OPERATOR, act_args("freeze", "use:tool/file/**", "wait")
        )
        is None
    )
    leaf = agents["leaf"].id
    assert [no.target for no in _hindrances(made, leaf, "tool/file/read")] == ["use:tool/file/**"]
    assert _hindrances(made, leaf, "tool/web") == ()


def test_a_stopped_room_stops_what_is_said_in_it_also_of_this_mission() -> None:
    made, agents = _family()
    for target in ("room:hall", f"room:hall-{MISSION}", "room:other"):
        assert (
            registry.do(made.renew(), authority.BY_OPERATOR, act_args("freeze", target, "wait"))
            is None
        )
    found = _hindrances(made, agents["leaf"].id, "room/hall/say")
    assert [no.target for no in found] == ["room:hall", f"room:hall-{MISSION}"]


def test_a_fence_above_stands_in_the_way() -> None:
    made, agents = _family()
    assert (
        registry.do(
            made.renew(), authority.BY_OPERATOR, act_args("terminate", agents["lead"].id, "over")
        )
        is None
    )
    assert [(no.rule, no.target) for no in _hindrances(made, agents["leaf"].id, "model/x")] == [
        (Rule.FENCED, agents["lead"].id)
    ]


def test_an_ended_agent_is_told_as_ended() -> None:
    made, agents = _family()
    gone = replace(
        made.agent(agents["leaf"].id),
        state=AgentState.TERMINATED,
        ended="2027-01-15T08:00:01.000Z",
        reason="done",
    )
    (no,) = hindrances(gone, "model/x", "use", {}, {}, {}, "")
    assert (no.rule, no.reason, no.at) == (Rule.FENCED, "done", START + 1)


@pytest.mark.parametrize(
    ("path", "account", "overdrawn", "rule"),
    [
        ("model/x", FULL | {"calls": {"free": 0}}, "", Rule.BUDGET_EXHAUSTED),
        ("tool/file/read", FULL | {"tools": {"free": 0}}, "", Rule.BUDGET_EXHAUSTED),
        ("model/x", FULL | {"cost": {"free": 0, "spent": 5}}, "", Rule.BUDGET_EXHAUSTED),
        ("model/x", FULL, "tokens: 5 beyond the reserve", Rule.BUDGET_OVERDRAFT),
        (
            "model/x",
            FULL | {"cost": {"free": 0, "spent": 0}},
            "",
            None,
        ),  # its model may cost nothing
        ("tool/file/read", FULL | {"calls": {"free": 0}}, "", None),
        ("room/hall/say", FULL | {"tools": {"free": 0}}, "x", None),
        ("model/x", {}, "", None),
    ],
)
def test_an_empty_or_overdrawn_account_stands_in_the_way_of_what_takes_of_it(
    path: str, account: Any, overdrawn: str, rule: Rule | None
) -> None:
    made, agents = _family()
    found = _hindrances(made, agents["leaf"].id, path, account=account, overdrawn=overdrawn)
    assert [no.rule for no in found] == ([] if rule is None else [rule])


def test_who_is_not_hindered_and_holds_it_may_use_it_by_the_law() -> None:
    made, agents = _family()
    agent = made.agent(AgentId(agents["leaf"].id))
    assert _trace(made, agent.id, "tool/file/read").is_held
    assert may_use(made.swarm, agent, "tool/file/read") is None
    assert isinstance(may_use(made.swarm, agent, "tool/web"), Denied)
