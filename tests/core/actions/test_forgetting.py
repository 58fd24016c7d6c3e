"""The order to forget a mission's record: refused while it runs, journaled, and no order for ever."""

from __future__ import annotations

from swarmd.core.actions.forgetting import STANDS_SECONDS
from swarmd.core.model.records import Forgetting
from swarmd.core.model.refusals import Rule
from swarmd.core.model.tables import FORGETTINGS
from tests.core.swarm_builder import MISSION, journal, world


def test_a_mission_that_runs_is_not_forgotten_and_the_answer_says_why() -> None:
    w = world()
    (entry,) = journal(w.order("forget", MISSION), "order.refused")
    assert entry.data["rule"] == Rule.MISSION_OPEN
    assert "has not ended: it is" in entry.data["detail"]
    assert not w.swarm.rows(FORGETTINGS)


def test_of_a_mission_that_has_ended_long_ago_the_order_is_kept_and_journaled() -> None:
    w = world()
    (entry,) = journal(w.order("forget", "m-long-ago", reason="asked for"), "record.forgotten")
    facts = ("order", "outcome", "reason")
    assert [entry.data[name] for name in facts] == ["o1", "done", "asked for"]
    assert entry.mission == "m-long-ago"
    order = Forgetting(entry.mission, w.now)
    assert w.swarm.rows(FORGETTINGS) == {"m-long-ago": order}
    assert FORGETTINGS.read("m-long-ago", FORGETTINGS.encode(order)) == order


def test_what_is_no_missions_id_is_refused() -> None:
    w = world()
    (entry,) = journal(w.order("forget", "../m-1"), "order.refused")
    assert entry.data["rule"] == Rule.REQUEST_INVALID


def test_an_order_to_forget_stands_for_a_day() -> None:
    w = world()
    w.order("forget", "m-0")
    w.tick(STANDS_SECONDS - 10)
    assert w.swarm.rows(FORGETTINGS)
    w.tick(11)
    assert not w.swarm.rows(FORGETTINGS)
