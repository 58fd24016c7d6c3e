"""Who is given a host: each agent that lives and has none, and each that is starting."""

from __future__ import annotations

from swarmd.core.control.placement import place
from swarmd.core.model.changes import HostGone
from swarmd.core.model.names import SOB, AgentState, HostId
from swarmd.core.model.records import Host
from tests.core.swarm_builder import world


def test_one_let_go_on_while_its_host_was_gone_is_placed_also_when_that_host_is_back() -> None:
    w = world()
    agent = w.grow(SOB, "lead")
    assert (agent.state, agent.host) == (AgentState.LIVE, "h1")
    w.order("freeze", agent.id)
    w.swarm.apply([HostGone(HostId("h1"), 0.0)])
    w.order("thaw", agent.id)
    assert w.agent(agent.id).state is AgentState.STARTING
    w.swarm.hosts[HostId("h1")] = Host(HostId("h1"), 1_000, "shared")
    place(w.renew())
    placed = w.agent(agent.id)
    assert (placed.state, placed.host) == (AgentState.LIVE, "h1")
    assert placed.lease == agent.lease + 1
