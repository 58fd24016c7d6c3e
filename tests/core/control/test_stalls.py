"""Who is stalled, who is not, who is told of it, and that the others cost nothing."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmd.core.actions import authority, ending
from swarmd.core.control import ledger_events, placement, stalls, termination
from swarmd.core.control.stalls import Standing
from swarmd.core.model.changes import Change
from swarmd.core.model.channels import BOARD_ROOM, inbox
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import Kind
from swarmd.core.model.names import SOB, AgentId, AgentState, HostId, StreamId
from swarmd.core.model.progress import Progress
from swarmd.core.model.records import Trouble
from swarmd.core.model.refusals import Rule
from swarmd.core.model.requests import GoneRequest
from tests.core.swarm_builder import START, World, journal, posts, world

DONE, BUSY, OPEN = Standing(True, False), Standing(False, True), Standing(False, False)
AGAIN = Standing(is_done=True, is_busy=True)  # done once, and at work anew


def _cast() -> tuple[World, Agent, Agent]:
    w = world(stall_seconds=100.0)
    top = w.grow(SOB, "top")
    return w, top, w.grow(top.id, "child")


def look(w: World, seconds: float = 0.0, **standings: Standing) -> list[Change]:
    """What the supervisor does once a second, after so many. Agents are named by name; others
    are open.
    """
    w.now += seconds
    draft = w.renew()
    idlers = stalls.due(w.swarm, w.now)
    by_name = {a.name: a.id for a in w.swarm.lineage.agents.values()}
    stalls.judge(draft, idlers, {by_name[name]: standing for name, standing in standings.items()})
    return w.changes


def settle(w: World, agent: Agent, fact: str = "settle") -> list[Change]:
    ledger_events.act(
        w.renew(), [(StreamId("1-0"), {"fact": fact, "agent": agent.id, "account": agent.id})]
    )
    return w.changes


def stalled(changes: list[Change]) -> list[str]:
    return [entry.data["agent"] for entry in journal(changes, "agent.stalled")]


# --- telling ----------------------------------------------------------------------------------


def test_an_agent_without_progress_is_told_of_once_to_its_superior_and_later_to_the_board() -> None:
    w, top, child = _cast()
    assert look(w, 99, top=DONE) == []
    changes = look(w, 2, top=DONE)
    (told,) = posts(changes, inbox(top.id))
    assert told.kind is Kind.NOTICE
    assert "no progress for 101 s" in told.text
    assert (told.data["agent"], told.data["stalled"]) == (child.id, Rule.STALLED)
    assert stalled(changes) == [child.id]
    assert w.swarm.troubles[child.id].kind == "stalled"
    assert look(w, 60) == []
    changes = look(w, 41)
    (told,) = posts(changes, BOARD_ROOM)
    assert "no progress for 202 s" in told.text
    assert posts(changes, inbox(top.id)) == []
    assert journal(changes, "agent.stalled")[0].data["told"] == "board"
    assert look(w, 10_000) == []


def test_of_an_executive_the_boards_room_hears_both_times() -> None:
    w, top, _ = _cast()
    texts = [m.text for n in (101, 101) for m in posts(look(w, n, child=DONE), BOARD_ROOM)]
    assert [f"top ({top.id})" in text for text in texts] == [True, True]


def test_a_turn_that_hangs_is_a_stall_and_said_to_be_under_way() -> None:
    w, top, child = _cast()
    (told,) = posts(look(w, 101, top=BUSY, child=BUSY), inbox(top.id))
    assert "a turn of it is under way" in told.text
    assert set(w.swarm.troubles) == {top.id, child.id}


def test_progress_ends_it_and_the_patience_begins_anew() -> None:
    w, _, child = _cast()
    look(w, 101, top=DONE)
    changes = settle(w, child)
    assert child.id not in w.swarm.troubles
    (entry,) = journal(changes, "agent.resumed")
    assert entry.data["seconds"] == pytest.approx(101, abs=0.1)
    assert look(w, 99, top=DONE) == []
    assert stalled(look(w, 2)) == [child.id]


def test_a_role_has_its_own_measure() -> None:
    w, _, child = _cast()
    roles = w.swarm.declared.roles
    hasty = roles["worker"].model_copy(update={"stall_seconds": 10.0})
    w.swarm.declared = replace(w.swarm.declared, roles={**roles, "worker": hasty})
    quick = w.grow(child.id, "quick", "worker")
    assert stalled(look(w, 11)) == [quick.id]


# --- who is not -------------------------------------------------------------------------------


def test_who_is_done_is_not_stalled_until_it_is_at_work_anew() -> None:
    w, top, child = _cast()
    assert look(w, 101, top=DONE, child=DONE) == []
    assert look(w, 10_000) == []
    settle(w, child, "reserve")
    assert stalled(look(w, 101, child=AGAIN)) == [child.id]
    assert not w.swarm.observed.progress.knows(top.id)


def test_a_call_that_has_begun_is_no_progress() -> None:
    w, _, child = _cast()
    look(w, 60)
    settle(w, child, "reserve")
    assert child.id in stalled(look(w, 41))


@pytest.mark.parametrize(
    ("child", "is_stalled"), [(OPEN, False), (BUSY, False), (AGAIN, False), (DONE, True)]
)
def test_who_waits_for_a_child_that_is_not_done_is_not_stalled(
    child: Standing, is_stalled: bool
) -> None:
    w, top, _ = _cast()
    assert (top.id in stalled(look(w, 101, child=child))) is is_stalled


def test_a_stall_goes_up_the_tree_where_nobody_acts_on_it() -> None:
    w, top, child = _cast()
    assert stalled(look(w, 101)) == [child.id], "its superior waits for it"
    assert top.id in stalled(look(w, 101)), "it was told, and has done nothing"


def test_whoever_waits_is_asked_about_together_with_its_children() -> None:
    w, top, child = _cast()
    grandchild = w.grow(child.id, "grandchild")
    w.now += 101
    idlers = [i for i in stalls.due(w.swarm, w.now) if i.agent.id == child.id]
    assert stalls.asked_about(w.swarm, idlers) == [child.id, grandchild.id]
    assert top.id not in stalls.asked_about(w.swarm, idlers)


@pytest.mark.parametrize("how", ["frozen", "halted all", "host away", "fenced", "starting"])
def test_who_cannot_get_on_is_not_stalled(how: str) -> None:
    w, top, child = _cast()
    match how:
        case "frozen":
            w.order("freeze", top.id)
        case "halted all":
            w.order("halt", "*")
        case "host away":
            w.swarm.hosts.clear()
        case "fenced":
            w.order("terminate", top.id)
        case _:
            for agent in (top, child):
                w.swarm.lineage.put(replace(agent, state=AgentState.STARTING))
    assert look(w, 101) == []
    assert look(w, 101) == []


def test_after_a_thaw_the_patience_begins_anew() -> None:
    w, top, child = _cast()
    w.order("freeze", top.id)
    look(w, 150)
    w.order("thaw", top.id)
    assert look(w, 99, top=DONE) == []
    assert stalled(look(w, 2, top=DONE)) == [child.id]


def test_seats_the_board_and_whom_nobody_charged_are_never_stalled() -> None:
    w, _, _ = _cast()
    bare = replace(w.agent(SOB), id=AgentId("a-bare"), tier=1, parent=SOB)
    w.swarm.lineage.put(bare)
    stalls.resume(w.swarm, w.now)
    tracked = {
        w.swarm.lineage.agents[id].name
        for id, _ in w.swarm.observed.progress.due(w.now + 1e9, 1_000)
    }
    assert tracked == {"top", "child"}


def test_an_agent_that_is_moved_to_another_host_is_given_the_whole_time_there() -> None:
    w, top, child = _cast()
    w.now += 99
    for agent in (top, child):
        w.swarm.lineage.put(replace(agent, host=HostId("h-gone")))
    placement.place(w.renew())
    assert look(w, 50) == []
    assert set(stalled(look(w, 51))) == {child.id}


# --- restarts ---------------------------------------------------------------------------------


def test_after_a_restart_everybody_has_the_whole_time_and_nothing_is_told_twice() -> None:
    w, top, child = _cast()
    look(w, 101, top=DONE)
    w.swarm.observed.progress = Progress()
    stalls.resume(w.swarm, w.now)
    assert look(w, 99) == []
    changes = look(w, 2, top=DONE)
    assert posts(changes, inbox(top.id)) == [], "its superior knows"
    assert journal(changes, "agent.stalled")[0].data["told"] == "board"
    w.swarm.observed.progress = Progress()
    stalls.resume(w.swarm, w.now)
    assert look(w, 101, top=DONE) == []
    assert w.swarm.troubles[child.id].is_told_above


# --- stuck ------------------------------------------------------------------------------------


def test_what_ignores_its_end_is_in_trouble_until_it_has_gone_or_its_host_has() -> None:
    for way in ("late word", "host gone"):
        w, _, child = _cast()
        w.order("terminate", child.id)
        host = HostId("h1")
        word = GoneRequest(segment=child.id, agents=1, stuck={child.id: "model"})
        termination.word_of(w.renew(), host, word)
        told = w.now
        w.now += 1
        w.reap()
        assert w.swarm.lineage.get(child.id) is None
        assert w.swarm.troubles[child.id] == Trouble("stuck", told, "model", host, child.id)
        if way == "late word":
            termination.word_of(
                w.renew(), host, GoneRequest(segment=child.id, agents=1, is_late=True)
            )
        else:
            placement.admit_hosts(w.renew(), {}, frozenset(), may_declare_dead=True)
        assert w.swarm.troubles == {}


def test_a_stall_ends_with_the_agent() -> None:
    w, _, child = _cast()
    look(w, 101, top=DONE)
    ending.end_agent(w.renew(), child, authority.BY_OPERATOR, "enough")
    w.swarm.observed.endings[child.id].words.add(HostId("h1"))
    w.now += 1
    w.reap()
    assert w.swarm.troubles == {}
    assert not w.swarm.observed.progress.knows(child.id)


# --- what it costs ----------------------------------------------------------------------------

_IDS = [AgentId(f"a-{n}") for n in range(6)]
_PATIENCE = {id: 10.0 if n % 2 else 25.0 for n, id in enumerate(_IDS)}


@given(
    st.lists(
        st.tuples(st.sampled_from(_IDS), st.sampled_from(["note", "forget"]), st.floats(0, 12)),
        max_size=40,
    )
)
def test_who_is_due_is_whoever_waited_long_enough(steps: list[tuple[AgentId, str, float]]) -> None:
    progress, since, now = Progress(), dict[AgentId, float](), START
    for id, what, wait in steps:
        now += wait
        if what == "note":
            progress.note(id, now, _PATIENCE[id])
            since[id] = now
        else:
            progress.forget(id)
            since.pop(id, None)
        due: Mapping[AgentId, float] = dict(progress.due(now, 100))
        assert due == {id: at for id, at in since.items() if at + _PATIENCE[id] <= now}
        assert len(progress.due(now, 2)) == min(2, len(due))


def test_a_hundred_thousand_that_do_nothing_cost_no_more_than_a_hundred() -> None:
    def cost_with(agents: int) -> float:
        progress = Progress()
        for n in range(agents):
            progress.note(AgentId(f"a-{n}"), START + n / 1_000, 900.0)
        started = time.process_time()
        for _ in range(10_000):
            assert progress.due(START + 100, 100) == []
        return time.process_time() - started

    few = cost_with(100)
    assert cost_with(100_000) < 20 * few, "it looks at the first of each line, and at no other"
