"""What was spent, by oneself and with all that is below, from a snapshot alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from swarmd.core.model.names import AgentId, MissionId
from swarmd.core.queries.snapshot import (
    AccountView,
    AgentView,
    MissionView,
    Snapshot,
    account_view,
    agent_view,
    mission_view,
)
from swarmd.core.queries.spending import (
    Branch,
    percent_left,
    spent_of,
    totals_of,
    tree_of,
    used,
)


def agent(id: str, parent: str = "sob", tier: int = 1, state: str = "live") -> AgentView:
    mission = MissionId("m-1")
    return AgentView(id=AgentId(id), parent=parent, tier=tier, state=state, mission=mission)


def spent(tokens: int) -> AccountView:
    return AccountView({"tokens": {"spent": tokens}})


MISSION = MissionView(id=MissionId("m-1"), state="working")


def branches(branch: Branch) -> Mapping[str, Branch]:
    found = {branch.id: branch}
    for child in branch.below:
        found |= branches(child)
    return found


def test_an_open_account_counts_beside_its_creators_and_a_closed_one_within_it() -> None:
    snapshot = Snapshot(
        (agent("a-1"), agent("a-2", "a-1", 2), agent("a-3", "a-1", 2, "terminated")),
        (MISSION,),
        {"m-1": spent(100), "a-1": spent(50), "a-2": spent(5), "a-3": spent(20)},
    )
    found = branches(tree_of(snapshot).board)
    sums = {id: (one.own.get("tokens"), one.whole.get("tokens")) for id, one in found.items()}
    assert sums == {
        "sob": (None, 155),
        "m-1": (100, 155),
        "a-1": (30, 55),
        "a-2": (5, 5),
        "a-3": (20, 20),
    }


def test_every_view_has_one_figure_for_each_account_whether_it_is_open_or_closed() -> None:
    """Of the tree, of lists that know the living alone, and of the board in a new period."""
    path = ("sob", "@owner", "m-1", "a-1")
    top = replace(agent("a-1"), path=path)
    low = replace(agent("a-2", "a-1", 2), path=(*path, "a-2"))
    gone = agent("a-3", "a-1", 2, "terminated")
    over = MissionView(id=MissionId("m-0"), state="delivered", ended="2027-01-15T08:00:00Z")
    accounts = {
        "sob": spent(70),
        "m-0": spent(70),
        "m-1": spent(100),
        "a-1": spent(50),
        "a-2": spent(5),
        "a-3": spent(20),
    }
    everything = Snapshot((top, low, gone), (over, MISSION), accounts)
    board = branches(tree_of(everything).board)
    living = {id: account for id, account in accounts.items() if id != "a-3"}
    totals = totals_of(Snapshot((top, low), (over, MISSION), living))
    assert totals == {id: board[id].whole for id in living}
    assert totals["sob"]["tokens"] == 225
    assert board["sob"].own == {}
    anew = tree_of(Snapshot((), (over,), accounts | {"sob": spent(0)})).board
    assert (anew.own, anew.whole["tokens"]) == ({}, 0)


def test_a_missions_account_is_within_the_boards_from_when_it_is_closed() -> None:
    """That is one step before its record says that it has ended."""
    root = account_view({"tokens.cap": "1000", "tokens.free": "900", "tokens.spent": "100"})
    closed = account_view({"tokens.cap": "100", "tokens.spent": "100", "agents.cap": "0"})
    found = branches(tree_of(Snapshot((), (MISSION,), {"sob": root, "m-1": closed})).board)
    assert found["sob"].whole["tokens"] == 100
    # All of its tokens are spent, and it has room for agents: it may still be funded.
    spent_all = account_view({"tokens.cap": "100", "tokens.spent": "100", "agents.cap": "4"})
    found = branches(tree_of(Snapshot((), (MISSION,), {"sob": root, "m-1": spent_all})).board)
    assert found["sob"].whole["tokens"] == 200


@given(st.lists(st.integers(min_value=0, max_value=1_000), min_size=1, max_size=6))
def test_the_whole_is_the_sum_of_what_each_of_a_living_chain_has_spent(amounts: list[int]) -> None:
    ids = [f"a-{n}" for n in range(len(amounts))]
    chain = tuple(
        agent(id, parent, n + 1)
        for n, (id, parent) in enumerate(zip(ids, ["sob", *ids], strict=False))
    )
    accounts = {id: spent(amount) for id, amount in zip(ids, amounts, strict=True)}
    tree = tree_of(Snapshot(chain, (MISSION,), accounts))
    assert tree.spent() == {"tokens": sum(amounts)}
    assert tree.missions[0].agents_living == len(ids)


def test_seats_and_the_board_are_none_of_a_mission() -> None:
    snapshot = Snapshot((agent("sob", "", 0), agent("picard", "", 0), agent("a-1")), (MISSION,))
    tree = tree_of(snapshot)
    assert [seat.id for seat in tree.seats] == ["picard"]
    assert set(branches(tree.board)) == {"sob", "m-1", "a-1"}


def test_the_living_are_ranked_by_money_then_tokens_then_calls() -> None:
    accounts = {
        "a-1": AccountView({"tokens": {"spent": 9}, "cost": {"spent": 1}}),
        "a-2": AccountView({"tokens": {"spent": 5}, "cost": {"spent": 2}}),
        "a-3": AccountView({"tokens": {"spent": 7}, "cost": {"spent": 2}}),
    }
    crowd = (*map(agent, accounts), agent("a-4", state="terminated"))
    tree = tree_of(Snapshot(crowd, (MISSION,), accounts))
    assert [one.id for one in tree.spenders()] == ["a-3", "a-2", "a-1"]


def test_an_agent_that_names_itself_as_its_parent_is_nowhere_and_ends_nothing() -> None:
    tree = tree_of(Snapshot((agent("a-1", "a-1"), agent("a-2")), (MISSION,)))
    assert set(branches(tree.board)) == {"sob", "m-1", "a-2"}


def test_what_is_left_is_told_of_what_runs_out_first() -> None:
    account = account_view(
        {
            "tokens.cap": "100",
            "tokens.granted": "50",
            "tokens.free": "25",
            "calls.cap": "10",
            "calls.free": "9",
            "agents.cap": "5",
            "agents.free": "0",
            "warned": "tokens",
        }
    )
    assert percent_left(account) == 50
    assert account.marks == {"warned": "tokens"}
    assert percent_left(AccountView()) is None


def test_places_are_no_spend_and_what_has_no_price_is_said() -> None:
    account = AccountView({"tokens": {"spent": 5, "unpriced": 2}, "agents": {"spent": 3}})
    assert spent_of(account) == {"tokens": 5, "agents": 3, "unpriced": 2}
    assert used(spent_of(account)) == {"tokens": 5, "unpriced": 2}
    account = AccountView({"tokens": {"spent": 5, "unpriced": 0, "cached": 3}})
    assert spent_of(account) == {"tokens": 5, "cached": 3}


# --- records ----------------------------------------------------------------------------------


@given(st.dictionaries(st.sampled_from(["id", "tier", "path", "deadline", "charter"]), st.text()))
def test_a_record_of_whatever_is_stored_can_be_made_and_keeps_it(fields: dict[str, str]) -> None:
    found = agent_view(fields)
    assert found.fields == fields
    assert isinstance(found.task, str)
    assert mission_view(fields).id == fields.get("id", "")


def test_what_is_no_number_of_ours_is_left_out() -> None:
    odd = {"tier": "--5", "deadline": "soon", "charter": "{" * 100_000}
    found = agent_view(odd)
    assert (found.tier, found.deadline, found.task) == (None, 0.0, "")
    assert account_view({"tokens.cap": "--5", "tokens.free": "9" * 5_000}).kinds == {}


def test_the_state_of_a_later_version_is_no_end() -> None:
    assert mission_view({"id": "m-1", "state": "delivered"}).has_ended
    assert not mission_view({"id": "m-1", "state": "pondering"}).has_ended
