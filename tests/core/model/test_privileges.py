"""Privileges as paths: what covers what, that the store's lookup agrees with the law's walk, and
what a mark cuts.

The law keeps one mark and compares numbers; `tests.slow_rights` goes through everybody below. After
any sequence both say the same of everybody.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import swarmd
from swarmd.core.actions import registry
from swarmd.core.actions import rights as rights_action
from swarmd.core.control import orphans
from swarmd.core.model.actions import Actor
from swarmd.core.model.charter import KINDS
from swarmd.core.model.lineage import Agent
from swarmd.core.model.names import OPERATOR, SOB, AgentId, Authority
from swarmd.core.model.privileges import (
    AREAS,
    FILE,
    MODEL,
    ROOM,
    SPAWN,
    TOOL,
    Area,
    Right,
    area_of,
    covers,
    is_covered,
    is_path,
    overlaps,
    sufficient,
)
from swarmd.core.model.records import Spawned
from swarmd.core.model.refusals import Denied, Rule
from swarmd.core.tree.rights import may_grant
from swarmd.core.tree.spawn import made
from tests.core.swarm_builder import ROLES, World, act_args, charter, world
from tests.slow_rights import LEAVES, PATHS, Holding, SlowRights, Somebody

_plain = st.lists(st.sampled_from(["tool", "file", "read", "a", "b"]), min_size=1, max_size=4).map(
    "/".join
)
_held = st.one_of(_plain, _plain.map(lambda path: path + "/**"), st.just("**"))


@pytest.mark.parametrize(
    ("holder", "wanted", "is_so"),
    [
        ("tool/read", "tool/read", True),
        ("tool/**", "tool/read", True),
        ("tool/**", "tool", True),
        ("tool/**", "tool/file/**", True),
        ("**", "tool/**", True),
        ("**", "**", True),
        ("tool/file/**", "tool/**", False),
        ("tool/read", "tool/**", False),
        ("tool/**", "toolbox/read", False),
        ("tool/**", "**", False),
        ("tool", "tool/read", False),
    ],
)
def test_a_path_covers_itself_and_a_subtree_what_is_below(
    holder: str, wanted: str, is_so: bool
) -> None:
    assert covers(holder, wanted) is is_so


@given(_held, _held, _held)
def test_covering_is_transitive(top: str, middle: str, low: str) -> None:
    if covers(top, middle) and covers(middle, low):
        assert covers(top, low)


@given(_held, _held)
def test_two_that_cover_each_other_mean_the_same(one: str, other: str) -> None:
    if covers(one, other) and covers(other, one):
        assert one == other


@given(_held, _held, _plain)
def test_whatever_lies_in_both_makes_them_overlap(path: str, forbidden: str, inside: str) -> None:
    assert overlaps(path, forbidden) == overlaps(forbidden, path)
    if covers(path, inside) and covers(forbidden, inside):
        assert overlaps(path, forbidden)


@given(_plain, st.lists(_held, max_size=5))
def test_the_stores_lookup_and_the_laws_walk_agree(wanted: str, held: list[str]) -> None:
    assert is_covered(wanted, held) == (not set(sufficient(wanted)).isdisjoint(held))


@pytest.mark.parametrize("path", ["tool/file/read", "**", "model/openai:gpt-5-mini", "file/kb/**"])
def test_a_path_of_words_is_a_privilege(path: str) -> None:
    assert is_path(path)


@pytest.mark.parametrize(
    "path", ["", "/", "/**", "a//b", "a/", "file/x **", "file/x\n**", "a b", "file/\u00e9"]
)
def test_what_is_no_path_of_words_is_no_privilege(path: str) -> None:
    assert not is_path(path)


# --- use and grant apart ------------------------------------------------------------------------


def _do(
    w: World, actor: Actor, verb: Any, target: str, path: str, right: Right = "both"
) -> Denied | None:
    return registry.do(w.renew(), actor, act_args(verb, target, "r", path, right))


def _by(agent: Agent) -> Actor:
    return Actor(agent.id, Authority.LINEAGE, agent.mission)


BY_OPERATOR: Final = Actor(OPERATOR, Authority.OPERATOR)


def test_who_may_hand_a_path_out_need_not_be_able_to_use_it_and_the_other_way_round() -> None:
    w = world()
    top = w.grow(SOB, "top", privileges=["spawn/**", "model/**"], grants=["tool/**", "model/**"])
    assert not w.swarm.lineage.may(top, "tool/web/search")
    assert w.swarm.lineage.may(top, "tool/web/search", "grant")
    child = w.grow(top.id, "child", privileges=["tool/web/search"], grants=[])
    assert w.swarm.lineage.may(child, "tool/web/search")
    assert not w.swarm.lineage.may(child, "tool/web/search", "grant")
    refused = w.ask(top.id, charter("x", privileges=["spawn/manager"]))
    assert isinstance(refused, Denied)
    assert (refused.rule, refused.detail) == (Rule.PRIVILEGE_SUBSET, "spawn/manager")


def test_a_role_says_what_an_agent_may_hand_out_where_its_charter_does_not() -> None:
    w = world()
    for role, grants in {"manager": None, "worker": ()}.items():
        declared = w.swarm.declared.roles[role].model_copy(update={"grants": grants})
        w.swarm.declared.roles[role] = declared
    top = w.grow(SOB, "top")
    assert top.grants == top.privileges, "what it may use, where its role says nothing else"
    assert w.grow(top.id, "worker", "worker").grants == ()
    named = w.grow(top.id, "named", privileges=["model/**"])
    assert named.grants == ("model/**",), (
        "a charter that names what it may use names what it may hand out"
    )


def test_an_agent_that_lost_the_use_of_a_path_can_still_hand_it_out_and_not_to_itself() -> None:
    w = world()
    top = w.grow(SOB, "top")
    mid = w.grow(top.id, "mid")
    assert _do(w, BY_OPERATOR, "revoke", mid.id, "tool/**", "use") is None
    assert not w.swarm.lineage.may(mid, "tool/file/read")
    assert w.swarm.lineage.may(mid, "tool/file/read", "grant")
    denied = _do(w, _by(mid), "grant", mid.id, "tool/file/read", "use")
    assert denied is not None
    assert denied.rule is Rule.AUTHORITY


def test_the_rule_tells_what_was_taken_from_what_was_never_given() -> None:
    w = world()
    top = w.grow(SOB, "top")
    mid = w.grow(top.id, "mid")
    _do(w, BY_OPERATOR, "revoke", mid.id, "spawn/**")
    for role, agent, rule in (
        ("manager", mid, Rule.PRIVILEGE_REVOKED),
        ("manager", _bare(w, top), Rule.PRIVILEGE_USE),
    ):
        refused = w.ask(agent.id, charter("x", role))
        assert isinstance(refused, Denied)
        assert refused.rule is rule


def _bare(w: World, above: Agent) -> Agent:
    return w.grow(above.id, "bare", privileges=["model/**"])


# --- revocation -----------------------------------------------------------------------------------


def test_one_mark_cuts_the_whole_subtree_also_those_made_later_and_nobody_else() -> None:
    w = world()
    top = w.grow(SOB, "top", budget={"agents": 20})
    mid, beside = w.grow(top.id, "mid", budget={"agents": 8}), w.grow(top.id, "beside")
    low = w.grow(mid.id, "low", budget={"agents": 4})
    assert _do(w, _by(top), "revoke", mid.id, "model/**") is None
    assert len(w.changes) == 2, "one mark and its entry, however many are below"
    later = w.grow(low.id, "later")
    assert "model/**" not in later.privileges
    for agent in (mid, low, later):
        assert not w.swarm.lineage.may(agent, "model/gpt"), agent.name
    for agent in (top, beside):
        assert w.swarm.lineage.may(agent, "model/gpt"), agent.name


def test_what_is_granted_anew_returns_to_that_one_agent_alone_and_to_whom_it_makes_from_then_on() -> (
    None
):
    w = world()
    top = w.grow(SOB, "top", budget={"agents": 20})
    mid = w.grow(top.id, "mid", budget={"agents": 8})
    before = w.grow(mid.id, "before")
    _do(w, _by(top), "revoke", mid.id, "model/**")
    assert _do(w, _by(top), "grant", mid.id, "model/**") is None
    mid = w.agent(mid.id)
    after = w.grow(mid.id, "after")
    assert [w.swarm.lineage.may(a, "model/gpt") for a in (mid, before, after)] == [
        True,
        False,
        True,
    ]
    _do(w, _by(top), "revoke", mid.id, "model/gpt")
    assert not any(w.swarm.lineage.may(a, "model/gpt") for a in (mid, before, after))
    assert [w.swarm.lineage.may(a, "model/other") for a in (mid, before, after)] == [
        True,
        False,
        True,
    ]


def test_a_part_that_was_revoked_does_not_come_back_with_the_whole() -> None:
    w = world()
    top = w.grow(SOB, "top")
    mid = w.grow(top.id, "mid")
    _do(w, BY_OPERATOR, "revoke", top.id, "model/gpt")
    # Handed down at a creation: the whole goes, the part stays cut.
    later = w.grow(top.id, "later", privileges=["model/**"])
    assert [w.swarm.lineage.may(later, f"model/{name}") for name in ("gpt", "other")] == [
        False,
        True,
    ]
    refused = w.ask(top.id, charter("x", privileges=["model/gpt"]))
    assert isinstance(refused, Denied)
    assert refused.rule is Rule.PRIVILEGE_SUBSET
    # Granted anew it would have a number of its own, and the mark would cut it no more.
    denied = _do(w, _by(top), "grant", mid.id, "model/**")
    assert denied is not None
    assert denied.rule in (Rule.PRIVILEGE_GRANT, Rule.PRECEDENCE)
    # Where the mark is a better one's, precedence has said no before. This says no also where it is
    # a lapsed override's.
    alone = may_grant(w.swarm, w.agent(top.id), "model/**")
    assert alone == Denied(Rule.PRIVILEGE_GRANT, "model/**")
    assert _do(w, _by(top), "grant", mid.id, "model/other", "use") is None


def test_a_mark_of_the_use_leaves_the_grant_and_the_other_way_round() -> None:
    w = world()
    top = w.grow(SOB, "top")
    one, other = w.grow(top.id, "one"), w.grow(top.id, "other")
    _do(w, BY_OPERATOR, "revoke", one.id, "model/**", "use")
    _do(w, BY_OPERATOR, "revoke", other.id, "model/**", "grant")
    rights: tuple[Right, ...] = ("use", "grant")
    assert [w.swarm.lineage.may(one, "model/gpt", right) for right in rights] == [False, True]
    assert [w.swarm.lineage.may(other, "model/gpt", right) for right in rights] == [True, False]
    # Whoever is made below the mark of the use has no use of it either, though it was handed down.
    child = w.grow(one.id, "child", privileges=["model/**"])
    assert not w.swarm.lineage.may(child, "model/gpt")


def test_an_operator_can_revoke_of_everybody_at_the_root_and_give_back_to_one() -> None:
    w = world()
    top = w.grow(SOB, "top")
    mid = w.grow(top.id, "mid")
    assert _do(w, BY_OPERATOR, "revoke", SOB, "tool/file/read") is None
    assert not any(w.swarm.lineage.may(a, "tool/file/read") for a in (w.agent(SOB), top, mid))
    new = w.grow(SOB, "new", privileges=["tool/**"])
    assert not w.swarm.lineage.may(new, "tool/file/read")
    assert w.swarm.lineage.may(new, "tool/file/write")
    assert _do(w, BY_OPERATOR, "grant", mid.id, "tool/file/read", "use") is None
    assert [w.swarm.lineage.may(w.agent(a.id), "tool/file/read") for a in (top, mid)] == [
        False,
        True,
    ]


def test_the_marks_of_one_segment_are_bounded_and_a_wider_one_takes_the_others_in() -> None:
    w = world()
    top = w.grow(SOB, "top")
    for number in range(rights_action.REVOCATIONS_MAX):
        assert _do(w, BY_OPERATOR, "revoke", top.id, f"model/m{number}") is None
    denied = _do(w, BY_OPERATOR, "revoke", top.id, "model/more")
    assert denied is not None
    assert denied.rule is Rule.REQUEST_INVALID
    assert _do(w, BY_OPERATOR, "revoke", top.id, "model/**") is None
    assert [mark.path for mark in w.swarm.lineage.revocations[top.id]] == ["model/**"]


# --- any sequence, against the slow way -----------------------------------------------------------

_OPS = st.sampled_from(["spawn", "spawn", "revoke", "revoke", "grant", "hand", "fail"])
_RIGHTS = st.sampled_from(["use", "grant", "both"])
_STEPS = st.lists(
    st.tuples(_OPS, st.integers(0, 11), st.sampled_from(PATHS), st.sampled_from(PATHS), _RIGHTS),
    max_size=25,
)
Step = tuple[str, int, str, str, Literal["use", "grant", "both"]]


@dataclass(slots=True)
class Both:
    """The law and the slow way, told the same."""

    w: World
    slow: SlowRights = field(default_factory=SlowRights)
    count: int = 0

    def living(self) -> list[Agent]:
        return [
            self.w.agent(id)
            for id in self.slow.everybody
            if AgentId(id) in self.w.swarm.lineage.agents
        ]

    def do(self, step: Step) -> None:
        what, which, path, other, right = step
        agents = self.living()
        agent = agents[which % len(agents)]
        rights: tuple[Right, ...] = ("use", "grant") if right == "both" else (right,)
        match what:
            case "spawn":
                self.spawn(agent, {"use": (path,), "grant": (other,)})
            case "revoke":
                by = BY_OPERATOR if which % 2 or agent.id == SOB else self.above(agent)
                assert _do(self.w, by, "revoke", agent.id, path, right) is None
                self.slow.revoke(agent.id, path, rights, by.authority)
            case "grant":
                assert _do(self.w, BY_OPERATOR, "grant", agent.id, path, right) is None
                self.slow.grant(agent.id, path, rights)
            case "hand" if agent.tier > 1:
                self.hand(agent, path, right, rights)
            case "fail" if agent.tier > 1:
                self.fail(agent)

    def above(self, agent: Agent) -> Actor:
        return (
            Actor(SOB, Authority.BOARD, agent.mission)
            if agent.tier == 1
            else _by(self.w.agent(agent.parent or ""))
        )

    def spawn(self, parent: Agent, rights: dict[Right, tuple[str, ...]]) -> None:
        if parent.tier == 4:
            return
        self.count += 1
        self.w.swarm.observed.free = dict.fromkeys(
            ("sob", "m1", parent.id), dict.fromkeys(KINDS, 10**9)
        )
        asked = self.w.ask(
            parent.id, charter(f"n{self.count}", privileges=rights["use"], grants=rights["grant"])
        )
        possible = all(
            self.slow.handed(parent.id, path) for paths in rights.values() for path in paths
        )
        if isinstance(asked, Denied):
            # It may lack the right to create anybody, which is not what is looked at here.
            assert not possible or asked.rule in (Rule.PRIVILEGE_USE, Rule.PRIVILEGE_REVOKED)
            return
        assert isinstance(asked, Spawned)
        assert possible
        self.w.renew().add(*made(self.w.swarm, asked, self.w.moment))
        self.slow.spawn(asked.agent.id, parent.id, rights)

    def hand(self, agent: Agent, path: str, right: Right, rights: tuple[Right, ...]) -> None:
        """Its creator grants it a path anew."""
        parent = agent.parent or ""
        if parent == SOB:
            return
        denied = _do(self.w, _by(self.w.agent(parent)), "grant", agent.id, path, right)
        if denied is None:
            assert self.slow.can_grant_whole(parent, path)
            assert not self.slow.is_outranked(agent.id, path)
            self.slow.grant(agent.id, path, rights)
        elif denied.rule is Rule.PRIVILEGE_GRANT:
            assert not self.slow.can_grant_whole(parent, path)
        else:
            assert denied.rule is Rule.PRECEDENCE

    def fail(self, agent: Agent) -> None:
        """It is given up and gone; its children are its creator's."""
        orphans.give_up(self.w.renew(), agent, "it failed")
        for _ in range(2):
            self.w.reap()
        assert AgentId(agent.id) not in self.w.swarm.lineage.agents
        for somebody in self.slow.everybody.values():
            if somebody.parent == agent.id:
                somebody.parent = agent.parent or ""

    def compare(self) -> None:
        for agent in self.living():
            for leaf in LEAVES:
                for right in ("use", "grant"):
                    law = self.w.swarm.lineage.may(agent, leaf.replace("?", "else"), right)
                    assert law == self.slow.may(agent.id, leaf, right), (agent.id, leaf, right)


def _both() -> Both:
    w = world(hosts=(), spawns_per_minute=10_000, children_max=1_000)
    roles = w.swarm.declared.roles
    roles["manager"] = next(r for r in ROLES if r.name == "manager").model_copy(
        update={"orphans": "adopt"}
    )
    both = Both(w)
    root = Somebody("")
    for right in root.holdings:
        root.holdings[right].append(Holding("**", 0, {"use": set(LEAVES), "grant": set(LEAVES)}))
    both.slow.everybody[SOB] = root
    for _ in range(2):
        both.spawn(w.agent(SOB), {"use": ("**",), "grant": ("**",)})
    return both


@settings(max_examples=200, deadline=None)
@given(_STEPS)
def test_after_any_sequence_everybody_holds_exactly_what_the_slow_way_leaves_them(
    steps: list[Step],
) -> None:
    both = _both()
    for step in steps:
        both.do(step)
        both.compare()


# --- the areas --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "area"),
    [
        (SPAWN.path("lead"), SPAWN),
        (ROOM.path("sob", "say"), ROOM),
        (TOOL.path("file", "read"), TOOL),
        (FILE.path("docs/law.md", "read"), FILE),
        (MODEL.path("openai:org/name"), MODEL),
    ],
    ids=str,
)
def test_what_an_area_builds_is_a_path_of_that_area_and_is_covered_by_its_whole(
    path: str, area: Area
) -> None:
    assert is_path(path)
    assert area_of(path) is area
    assert area.pattern.fullmatch(path.removeprefix(area.path("")))
    assert covers(area.whole, path)
    assert not any(covers(other.whole, path) for other in AREAS.values() if other is not area)


@pytest.mark.parametrize("path", ["**", "tools/file/read", "spawnlead", "", "/spawn/lead"])
def test_what_begins_with_no_area_is_of_none(path: str) -> None:
    assert area_of(path) is None


def test_no_other_module_spells_a_privilege_path_out() -> None:
    """A second place that builds paths would grant, or ask for, something that no check knows."""
    package = Path(swarmd.__file__).parent
    # A function has a name of the same form, such as `file/read`, and that is no privilege.
    spelled = re.compile(rf"""(?<!name=)[\"'](?:{"|".join(AREAS)})/[\w{{*]""")
    assert spelled.search('f"spawn/{role}"')
    found = [
        str(file.relative_to(package))
        for file in sorted(package.rglob("*.py"))
        if spelled.search(file.read_text(encoding="utf-8"))
    ]
    assert found == ["core/model/privileges.py"]
