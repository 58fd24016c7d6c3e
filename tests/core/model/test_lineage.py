"""The tree: paths name ancestors, one mark ends what lies below it, and lookups find the living."""

from __future__ import annotations

from swarmd.core.model.declarations import Room
from swarmd.core.model.lineage import Agent, Fence, Lineage, ended, follows
from swarmd.core.model.names import SOB, AgentId, AgentState, MissionId

ROOMS = {
    "sob": Room(name="sob", purpose="the board", tiers=(0,)),
    "hall": Room(name="hall", purpose="executives", tiers=(1,), scope="mission"),
    "den": Room(name="den", purpose="writers", tiers=(1, 2), roles=("writer",)),
}


def _parent_of(above: tuple[str, ...]) -> AgentId | None:
    if not above:
        return None
    return SOB if above == ("sob", "@owner", "m1") else AgentId(above[-1])


def _agent(id: str, *above: str, role: str = "worker", name: str = "", key: str = "") -> Agent:
    path = (*above, id)
    return Agent(
        id=AgentId(id),
        name=name or id,
        role=role,
        tier=max(0, len(path) - 3),
        parent=_parent_of(above),
        path=path,
        mission=MissionId("m1") if above else MissionId(""),
        key=key,
    )


def _tree(*agents: Agent) -> Lineage:
    lineage = Lineage()
    for agent in agents:
        lineage.put(agent)
    return lineage


def test_what_lies_below_a_segment_comes_deepest_first() -> None:
    top, left, leaf = (
        _agent("a", "sob", "@owner", "m1"),
        _agent("b", "sob", "@owner", "m1", "a"),
        _agent("c", "sob", "@owner", "m1", "a", "b"),
    )
    lineage = _tree(top, left, leaf, _agent("d", "sob", "@owner", "m2"))
    assert [agent.id for agent in lineage.below("m1")] == ["c", "b", "a"]
    assert [agent.id for agent in lineage.below("b")] == ["c", "b"]


def test_a_fence_on_any_segment_marks_the_whole_path_and_no_sibling() -> None:
    lineage = _tree(_agent("a", "sob", "@owner", "m1"))
    lineage.fences["a"] = Fence("a", "why", "operator", 0.0)
    assert lineage.is_fenced(("sob", "@owner", "m1", "a", "b", "c"))
    assert not lineage.is_fenced(("sob", "@owner", "m1", "ab"))


def test_nobody_is_its_own_ancestor() -> None:
    agent = _agent("b", "sob", "@owner", "m1", "a")
    lineage = _tree(agent)
    assert lineage.is_ancestor(AgentId("a"), agent)
    assert lineage.is_ancestor(SOB, agent)
    assert not lineage.is_ancestor(AgentId("b"), agent)


def test_a_terminated_agent_is_no_child_and_no_agent_any_more() -> None:
    agent = _agent("b", "sob", "@owner", "m1", "a")
    lineage = _tree(_agent("a", "sob", "@owner", "m1"), agent)
    lineage.put(ended(agent, reason="done", at="now"))
    assert lineage.get("b") is None
    assert lineage.children(AgentId("a")) == ()
    assert lineage.child_count(AgentId("a")) == 0


def test_a_child_is_found_by_id_before_key_before_name() -> None:
    by_name = _agent("b", "sob", "@owner", "m1", "a", name="x")
    by_key = _agent("c", "sob", "@owner", "m1", "a", key="x")
    by_id = _agent("x", "sob", "@owner", "m1", "a")
    for children, found in (
        ((by_name, by_key, by_id), "x"),
        ((by_name, by_key), "c"),
        ((by_name,), "b"),
    ):
        child = _tree(*children).find_child(AgentId("a"), "x")
        assert child is not None
        assert child.id == found
    assert _tree(by_name).find_child(AgentId("z"), "x") is None


def test_an_agent_follows_its_inbox_its_superior_its_reports_and_its_rooms() -> None:
    assert follows(_agent("a", "sob", "@owner", "m1"), ROOMS) == (
        "inbox:a",
        "down:sob",
        "up:a",
        "room:hall-m1",
    )
    writer = _agent("b", "sob", "@owner", "m1", "a", role="writer")
    assert follows(writer, ROOMS) == ("inbox:b", "down:a", "up:b", "room:den")


def test_a_seat_follows_its_inbox_and_the_boards_room_only() -> None:
    assert follows(_agent("picard", role="seat"), ROOMS) == ("inbox:picard", "room:sob")


def test_a_mission_room_is_not_followed_without_a_mission() -> None:
    rooms = {"hall": ROOMS["hall"].model_copy(update={"tiers": (0,)})}
    assert follows(_agent("picard", role="seat"), rooms) == ("inbox:picard",)


def test_an_ended_record_names_no_host() -> None:
    record = ended(_agent("a", "sob", "@owner", "m1"), reason="why", at="then")
    assert (record.state, record.reason, record.ended, record.host) == (
        AgentState.TERMINATED,
        "why",
        "then",
        "",
    )
