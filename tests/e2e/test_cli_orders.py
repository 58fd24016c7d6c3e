"""The verbs that govern, on a real `swarmd up` whose researchers never get an answer from their
model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal

from swarmd.adapters import halt_file
from tests.e2e.swarm_process import SwarmProcess, short_folder, swarm_up, unbalanced, verb
from tests.openai_server import Json, MissionBrain, OpenAIServer, ServerReply

NOWHERE = "redis://127.0.0.1:1"


class Stuck(MissionBrain):
    """Executives create one researcher each, whose calls hang until they are cut."""

    def __call__(self, request: Json) -> ServerReply:
        text = json.dumps(request)
        return (
            ServerReply(fault="hang")
            if re.search(r"role: researcher", text)
            else super().__call__(request)
        )


@dataclass(frozen=True, slots=True)
class Crew:
    """A mission at work: its executive, which waits, and its researcher, whose call is under
    way.
    """

    swarm: SwarmProcess
    mission: str
    lead: str
    digger: str

    def act(self, *words: str, code: int = 0) -> dict[str, Any]:
        done = self.swarm.verb(*words, "--json")
        assert done.returncode == code, (words, done.stdout, done.stderr)
        value: dict[str, Any] = json.loads(done.stdout or done.stderr)
        return value

    def states(self) -> dict[str, str]:
        return {agent["id"]: agent["state"] for agent in self.act("ps")["agents"]}


@pytest.fixture(scope="module")
def swarm() -> Iterator[SwarmProcess]:
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(OpenAIServer(Stuck())) as mind,
        short_folder() as data,
        swarm_up(data, SWARMD_MODEL="openai:test-model", OPENAI_BASE_URL=mind.base_url) as swarm,
    ):
        yield swarm


@pytest.fixture
def crew(swarm: SwarmProcess) -> Iterator[Crew]:
    id = swarm.submit("Let it be governed.")

    def is_busy() -> bool:
        agents = swarm.agents_of(id)
        return len(agents) == 2 and any(
            name.endswith(":b") for name in swarm.hash(f"swarm:_steps:{agents[1]['id']}")
        )

    swarm.until(is_busy, "an executive and its researcher are at work")
    lead, digger = (agent["id"] for agent in swarm.agents_of(id))
    yield Crew(swarm, id, lead, digger)
    if not swarm.mission(id)["ended"]:
        assert swarm.verb("cancel", id).returncode == 0
    assert unbalanced(swarm.accounts()) == []


def test_a_halt_cuts_the_call_that_a_freeze_waits_for_and_a_thaw_lets_it_go_on(crew: Crew) -> None:
    frozen = crew.act("freeze", crew.digger, "--reason", "a closer look", code=1)
    assert (frozen["confirmed"], frozen["unconfirmed"]) == (0, 1)
    assert list(frozen["busy"]) == [crew.digger]
    halted = crew.act("halt", crew.digger, "--reason", "at once")
    assert (halted["confirmed"], halted["unconfirmed"], halted["busy"]) == (1, 0, {})
    assert (crew.states()[crew.digger], crew.states()[crew.lead]) == ("frozen", "live")
    (stop,) = crew.act("stops")["stops"]
    assert (stop["target"], stop["kind"], stop["by"], stop["reason"]) == (
        crew.digger,
        "halt",
        "operator",
        "at once",
    )
    assert crew.act("thaw", crew.digger)["remaining"] == []
    assert crew.states()[crew.digger] == "live"
    assert crew.act("stops")["stops"] == []


def test_a_descendant_reads_frozen_and_a_thaw_tells_what_still_holds_it(crew: Crew) -> None:
    crew.act("halt", crew.mission)
    crew.act("halt", crew.digger)
    agents = {agent["id"]: agent for agent in crew.act("ps")["agents"]}
    assert [agents[id]["state"] for id in (crew.lead, crew.digger)] == ["frozen", "frozen"]
    assert agents[crew.lead]["stopped"] == [crew.mission]
    assert "frozen" in crew.swarm.verb("tree").stdout
    assert [left["target"] for left in crew.act("thaw", crew.digger)["remaining"]] == [crew.mission]
    assert crew.mission in crew.act("thaw", crew.digger, code=4)["error"]["hint"]
    assert crew.states()[crew.digger] == "frozen"
    crew.act("thaw", crew.mission)
    assert crew.states()[crew.digger] == "live"


def test_only_means_the_agent_itself(crew: Crew) -> None:
    assert crew.act("halt", crew.lead, "--only")["confirmed"] == 1
    states = crew.states()
    assert (states[crew.lead], states[crew.digger]) == ("frozen", "live")
    crew.act("thaw", crew.lead, "--only")
    assert crew.states()[crew.lead] == "live"


def test_a_tier_and_a_tool_and_a_room_can_be_stopped(crew: Crew) -> None:
    assert crew.act("halt", "tier:2")["confirmed"] >= 1
    assert crew.states()[crew.digger] == "frozen"
    crew.act("freeze", "tool:tool/file/**")
    crew.act("freeze", "room:sob")
    stopped = {stop["target"] for stop in crew.act("stops")["stops"]}
    assert stopped == {"tier:2", "use:tool/file/**", "room:sob"}
    no = crew.act("why", crew.lead, "tool/file/read", code=4)
    assert [(one["rule"], one["target"]) for one in no["hindrances"]] == [
        ("stop.frozen", "use:tool/file/**")
    ]
    for target in ("tier:2", "tool:tool/file/**", "room:sob"):
        crew.act("thaw", target)
    assert crew.act("stops")["stops"] == []


def test_why_follows_grants_and_revocations(crew: Crew) -> None:
    found = crew.act("why", crew.digger, "tool/file/read")
    assert [link["agent"] for link in found["chain"]] == ["sob", crew.lead, crew.digger]
    assert (found["may"], found["broken"]) == (True, None)
    crew.act("revoke", crew.lead, "tool/file/**", "--reason", "no files today")
    lost = crew.act("why", crew.digger, "tool/file/read", code=4)
    assert (lost["broken"], lost["held"]) == (crew.lead, False)
    assert lost["chain"][1]["revoked"]["reason"] == "no files today"
    text = crew.swarm.verb("why", crew.digger, "tool/file/read").stdout
    assert f"revoked: tool/file/** (both) at {crew.lead} by operator" in text
    granted = crew.act("grant", crew.digger, "tool/file/read", "--right", "use")
    assert granted["number"] > lost["chain"][1]["revoked"]["number"]
    assert crew.act("why", crew.digger, "tool/file/read")["chain"][-1]["by"] == "operator"
    assert crew.act("why", crew.lead, "tool/file/read", code=4)["may"] is False
    assert crew.act("inspect", crew.digger)["agent"]["privileges"].count("tool/file/read") == 1


def test_funding_moves_what_is_free_above_and_tells_before_and_after(crew: Crew) -> None:
    funded = crew.act("fund", crew.digger, "calls=3,usd=0.25")
    assert funded["amounts"] == {"calls": 3, "cost": 250_000}
    assert funded["after"]["calls"]["cap"] == funded["before"]["calls"]["cap"] + 3
    root = crew.act("fund", "sob", "calls=1")
    assert root["after"]["calls"]["cap"] == root["before"]["calls"]["cap"] + 1
    text = crew.swarm.verb("fund", crew.digger, "usd=0.01").stdout
    assert text.startswith(f"{crew.digger}: $0.0100 added")
    assert re.search(r"cost: cap \$[\d.]+ → \$[\d.]+, free \$[\d.]+ → \$[\d.]+", text)


def test_a_refused_order_names_its_rule_and_ends_with_four(crew: Crew) -> None:
    for words, rule in (
        (("thaw", crew.digger), "stop.target"),
        (("fund", crew.digger, "tokens=999999999"), "budget.share"),
        (("drain", "tool:model/**"), "stop.target"),
        (("terminate", "tier:4"), "stop.target"),
        (("terminate", "sob"), "terminate.descendant"),
    ):
        assert rule in crew.act(*words, code=4)["error"]["message"], words


def test_a_drain_waits_for_its_grace_and_ends_what_is_still_at_work(crew: Crew) -> None:
    done = crew.act("drain", crew.digger, "--grace", "1")
    assert (done["confirmed"], done["unconfirmed"]) == (1, 0)
    assert crew.swarm.hash(f"swarm:agent:{crew.digger}")["state"] == "terminated"
    ended = crew.act("why", crew.digger, "tool/file/read", code=4)
    assert (ended["held"], ended["hindrances"][0]["rule"]) == (True, "fence.path")


def test_terminating_a_mission_is_cancelling_it(crew: Crew) -> None:
    done = crew.act("terminate", crew.mission, "--reason", "enough")
    assert (done["state"], done["confirmed"]) == ("cancelled", 2)


def test_everything_is_halted_by_order_and_by_the_brake_and_goes_on(crew: Crew) -> None:
    data = crew.swarm.data
    done = crew.act("halt", "--reason", "stop it all")
    assert done["confirmed"] >= 2 + 6
    held = halt_file.pulled(data)
    assert held is not None
    assert held.reason == "stop it all"
    assert set(crew.states().values()) == {"frozen", "live"}  # the board itself runs nowhere
    assert crew.act("stops")["stops"][0]["target"] == "*"
    crew.act("thaw", "all")
    assert halt_file.pulled(data) is None
    assert crew.act("stops")["stops"] == []
    assert crew.states()[crew.digger] == "live"


def test_the_brake_works_while_no_server_answers(crew: Crew) -> None:
    environment = crew.swarm.environment | {"REDIS_URL": NOWHERE}
    done = verb(environment, "halt", "--reason", "the network is gone", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["server"], [host["halted"] for host in said["hosts"]], said["busy"]) == (
        "away",
        [True],
        {},
    )
    assert said["hosts"][0]["agents"] >= 2
    crew.swarm.until(
        lambda: crew.states()[crew.digger] == "frozen", "the supervisor writes it down"
    )
    # The server is still away: what can be undone is, and what can't be known is told.
    back = verb(environment, "thaw", "all")
    assert (back.returncode, "brake of the data folder is released" in back.stderr) == (5, True)
    crew.swarm.until(lambda: crew.states()[crew.digger] == "live", "the supervisor lifts it")


def test_top_and_ps_show_what_was_spent(crew: Crew) -> None:
    listed = crew.swarm.verb("top").stdout.splitlines()
    assert listed[0].split()[:5] == ["ID", "NAME", "TIER", "ROLE", "STATE"]
    assert any(line.startswith(crew.lead) for line in listed)
    spent = [agent["spent"].get("tokens", 0) for agent in crew.act("top")["agents"]]
    assert spent == sorted(spent, reverse=True)
