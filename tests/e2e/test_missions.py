"""Missions on a running `swarmd up`, handed in and read back as anybody can: with a plain
redis-cli.

What is read here is the contract (docs/contract.md): names of channels and keys, fields, states,
rings.
"""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal

from swarmd.core.model.charter import KINDS
from tests.e2e.swarm_process import (
    AMOUNTS,
    END_SECONDS,
    SwarmProcess,
    data_of,
    plain_redis_cli,
    short_folder,
    swarm_up,
    unbalanced,
    ungranted,
)
from tests.openai_server import MissionBrain, OpenAIServer

AT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
ENTRY_FIELDS = ("from", "to", "kind", "mission", "at", "text")
AGENT_FIELDS = (
    "id",
    "name",
    "role",
    "tier",
    "parent",
    "path",
    "mission",
    "state",
    "reason",
    "incarnation",
    "host",
    "lease",
    "created",
    "ended",
)
MISSION_FIELDS = ("id", "mission", "state", "reason", "result", "budget", "created", "ended")
SEATS = ("captain-picard", "socrates", "king-solomon", "gandhi", "marcus-aurelius", "tony-stark")

SWANS = (
    "# Swans\n\nThe swan sings before it dies.\nSwans mate for life and nest beside still water.\n"
)
GEESE = "# Geese\n\nGeese fly in a wedge. A goose that falls ill is joined by two others.\n"


@pytest.fixture(scope="module")
def knowledge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("knowledge")
    (folder / "birds").mkdir()
    (folder / "birds" / "swans.md").write_text(SWANS)
    (folder / "birds" / "geese.md").write_text(GEESE)
    return folder


@pytest.fixture(scope="module")
def swarm(knowledge: Path) -> Iterator[SwarmProcess]:
    with short_folder() as data, swarm_up(data, SWARMD_KNOWLEDGE=str(knowledge)) as swarm:
        yield swarm


def mission_of_text(swarm: SwarmProcess, text: str) -> str:
    def found() -> str | None:
        keys: Any = swarm.redis.keys("swarm:mission:*")
        ids = [
            key.removeprefix("swarm:mission:") for key in keys if swarm.hash(key)["mission"] == text
        ]
        return ids[0] if ids else None

    return swarm.until(found, f"a mission {text!r}")


# --- handed in ----------------------------------------------------------------------------------


def test_a_bare_text_published_with_a_plain_redis_cli_is_delivered(swarm: SwarmProcess) -> None:
    text = "Which budgets stop a runaway swarm that was published?"
    assert int(swarm.redis_cli("PUBLISH", "swarm:missions", text)) >= 1
    mission = swarm.ended_mission(mission_of_text(swarm, text))
    assert (mission["state"], mission["reason"] != "") == ("delivered", True)
    assert "[policies/" in mission["result"]
    assert [
        fields["mission"] for _, fields in swarm.entries("missions") if fields["mission"] == text
    ] == [text]


def test_json_published_is_a_mission_of_its_fields(swarm: SwarmProcess) -> None:
    said = {
        "mission": "When does the swan sing?",
        "id": "json-1",
        "files": ["birds/swans.md"],
        "deadline_s": 90,
    }
    assert int(swarm.redis_cli("PUBLISH", "swarm:missions", json.dumps(said))) >= 1
    swarm.until(lambda: swarm.mission("json-1"), "the mission is docketed")
    mission = swarm.ended_mission("json-1")
    assert mission["state"] == "delivered"
    assert "The swan sings before it dies. [birds/swans.md:3]" in mission["result"]
    assert json.loads(mission["files"]) == ["birds/swans.md"]


def test_the_same_id_and_content_is_the_same_mission_and_other_content_is_refused(
    swarm: SwarmProcess,
) -> None:
    words = ("XADD", "swarm:missions", "*", "id", "same-1", "mission")
    swarm.redis_cli(*words, "What is a fence of a subtree?")
    first = swarm.ended_mission("same-1")
    swarm.redis_cli(*words, "What is a fence of a subtree?")
    swarm.redis_cli(*words, "Something else.")
    conflict = swarm.until(
        lambda: next((f for _, f in swarm.entries("results") if "same-1" in f["text"]), None),
        "the refusal",
    )
    assert data_of(conflict)["state"] == "rejected"
    assert data_of(conflict)["reason"].startswith("mission.conflict")
    assert swarm.mission("same-1") == first
    assert len(swarm.results_of("same-1")) == 1


# --- one mission read whole -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def delivered(swarm: SwarmProcess) -> str:
    """A mission handed in with XADD and all fields, delivered; the ledger's equation sampled
    while it ran.
    """
    with sampled(swarm) as samples:
        swarm.redis_cli(
            "XADD",
            "swarm:missions",
            "*",
            "mission",
            "When does the swan sing, and how do geese fly?",
            "id",
            "birds-1",
            "files",
            '["birds"]',
            "budget",
            '{"tokens": 500000, "calls": 300, "agents": 20}',
            "deadline_s",
            "120",
        )
        mission = swarm.ended_mission("birds-1")
    assert mission["state"] == "delivered", mission
    assert len(samples) > 3, "the mission was over before it could be looked at"
    assert [fault for sample in samples for fault in sample] == []
    return "birds-1"


@contextmanager
def sampled(swarm: SwarmProcess) -> Iterator[list[list[str]]]:
    """What was wrong with the ledger at each look, from now to the end of the block."""
    samples: list[list[str]] = []
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            moment = swarm.moment()
            samples.append([*unbalanced(moment.accounts), *ungranted(moment)])
            over.wait(0.02)

    watcher = threading.Thread(target=look, name="ledger")
    watcher.start()
    try:
        yield samples
    finally:
        over.set()
        watcher.join(END_SECONDS)


def test_a_mission_reads_as_in_the_contract(swarm: SwarmProcess, delivered: str) -> None:
    mission = swarm.mission(delivered)
    assert set(MISSION_FIELDS) <= set(mission)
    assert mission["id"] == delivered
    assert json.loads(mission["budget"]) == {
        "tokens": 500_000,
        "cost": 20_000_000,
        "calls": 300,
        "tools": 20_000,
        "agents": 20,
    }
    assert "[birds/swans.md:3]" in mission["result"]
    assert "[birds/geese.md:3]" in mission["result"]
    assert AT.fullmatch(mission["created"])
    assert AT.fullmatch(mission["ended"])


def test_its_result_is_a_message_that_a_plain_redis_cli_reads(
    swarm: SwarmProcess, delivered: str
) -> None:
    (result,) = swarm.results_of(delivered)
    assert (result["from"], result["kind"], result["text"]) == (
        "sob",
        "result",
        swarm.mission(delivered)["result"],
    )
    data = data_of(result)
    assert set(data) >= {"state", "reason", "spent", "files"}
    assert data["state"] == "delivered"
    assert data["files"]
    assert all(path.startswith("work/reports/") for path in data["files"])
    assert data["spent"]["calls"] > 0
    lines = swarm.redis_cli("XRANGE", "swarm:results", "-", "+").split("\n")
    (line,) = [line for line in lines if line.startswith("{") and delivered in line]
    assert json.loads(line)["text"] == result["text"]


def test_the_record_tells_which_agent_read_which_file(swarm: SwarmProcess) -> None:
    """By the query of docs/journal.md, as it stands there."""
    page = (Path(__file__).parents[2] / "docs" / "journal.md").read_text(encoding="utf-8")
    (query,) = re.findall(r"redis-cli (XRANGE swarm:journal - \+ \| .*)", page)
    plain_redis_cli()
    asked = ("--id", "read-1", "--files", "birds")
    swarm.submit("When does the swan sing, and how do geese fly?", *asked)
    assert swarm.ended_mission("read-1")["state"] == "delivered"

    def read() -> dict[str, set[str]]:
        done = subprocess.run(
            ["bash", "-c", f"redis-cli -s {swarm.socket} {query}"],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        rows = [line.split(" ") for line in done.stdout.splitlines()]
        found: dict[str, set[str]] = {}
        for agent, _, *files in rows:
            found.setdefault(agent, set()).update(files)
        return found

    members = {agent["id"] for agent in swarm.agents_of("read-1")}
    files = swarm.until(
        lambda: {file for id, own in read().items() if id in members for file in own} or None,
        "what was read is in the record",
    )
    assert {"birds/geese.md", "birds/swans.md"} <= files


def test_its_tree_has_all_three_tiers_each_below_the_one_above(
    swarm: SwarmProcess, delivered: str
) -> None:
    agents = {agent["id"]: agent for agent in swarm.agents_of(delivered)}
    assert {agent["tier"] for agent in agents.values()} >= {"1", "2"}
    for agent in agents.values():
        assert set(AGENT_FIELDS) <= set(agent)
        assert (agent["state"], agent["host"]) == ("terminated", "")
        assert "confirmed" in agent["reason"]
        assert AT.fullmatch(agent["created"])
        assert AT.fullmatch(agent["ended"])
        above = agents.get(agent["parent"]) or swarm.hash(f"swarm:agent:{agent['parent']}")
        assert int(agent["tier"]) == int(above["tier"]) + 1
        way = [
            *above["path"].split("/"),
            *(["@owner", delivered] if agent["parent"] == "sob" else []),
            agent["id"],
        ]
        assert agent["path"].split("/") == way
        assert swarm.redis.sismember(f"swarm:children:{agent['parent']}", agent["id"])


def test_the_board_and_its_seats_are_agents_of_tier_0(swarm: SwarmProcess, delivered: str) -> None:
    sob = swarm.hash("swarm:agent:sob")
    assert set(AGENT_FIELDS) <= set(sob)
    assert (sob["tier"], sob["parent"], sob["host"], sob["state"]) == ("0", "", "", "live")
    for id in SEATS:
        seat = swarm.hash(f"swarm:agent:{id}")
        assert (seat["tier"], seat["parent"], seat["mission"], seat["state"]) == (
            "0",
            "",
            "",
            "live",
        )
        assert seat["host"].startswith("h-")
        assert swarm.redis.scard(f"swarm:children:{id}") == 0


def test_the_room_shows_the_whole_debate_in_order(swarm: SwarmProcess, delivered: str) -> None:
    said = [fields for _, fields in swarm.entries("room:sob") if fields["mission"] == delivered]
    for fields in said:
        assert set(ENTRY_FIELDS) <= set(fields)
        assert AT.fullmatch(fields["at"])
    spoken = [(fields["kind"], fields["from"]) for fields in said]
    assert spoken[0] == ("notice", "clerk")
    assert [who for kind, who in spoken if kind == "proposal"] == list(SEATS[:2])
    consented = [who for kind, who in spoken if kind == "argument"]
    # By its budget it has a bench of three; the others are called at once, and answer in any order.
    assert set(consented[:2]) == {SEATS[1], SEATS[2]}
    assert set(consented[2:]) == {SEATS[0], SEATS[2]}
    motions = [
        data_of(fields)["motion"]["motion"] for fields in said if fields["kind"] == "proposal"
    ]
    assert motions == ["charter", "deliver"]
    # How many agents there are is told by the clock, and may be told last.
    texts = [fields["text"] for fields in said if fields["from"] == "clerk"]
    assert "is carried" in [text for text in texts if not text.startswith("agents: ")][-1]


def test_at_the_end_every_account_balances_and_all_is_given_back(
    swarm: SwarmProcess, delivered: str
) -> None:
    swarm.until(lambda: not swarm.redis.smembers("swarm:_missions"), "all missions ended")
    moment = swarm.moment()
    assert unbalanced(moment.accounts) == []
    assert ungranted(moment) == []
    names = {f"{kind}.{name}" for kind in KINDS for name in AMOUNTS}
    assert all(names <= set(account) for account in moment.accounts.values())
    mission, sob = moment.accounts[delivered], moment.accounts["sob"]
    assert mission["calls.spent"] == data_of(swarm.results_of(delivered)[0])["spent"]["calls"]
    for kind in KINDS:
        assert [mission[f"{kind}.{name}"] for name in ("free", "reserved", "granted")] == [0, 0, 0]
        assert [sob[f"{kind}.{name}"] for name in ("reserved", "granted")] == [0, 0]
    assert sob["agents.free"] == sob["agents.cap"]


def test_each_of_its_decisions_is_in_the_journal(swarm: SwarmProcess, delivered: str) -> None:
    said = [fields for _, fields in swarm.entries("journal") if fields["mission"] == delivered]
    assert all(set(ENTRY_FIELDS) <= set(fields) and fields["kind"] == "entry" for fields in said)
    events = [data_of(fields).get("event") for fields in said]
    assert {"mission.docketed", "mission.opened", "agent.spawned", "mission.ended"} <= set(
        events
    ), events
    made = {
        data_of(fields).get("agent")
        for fields in said
        if data_of(fields).get("event") == "agent.spawned"
    }
    assert made == {agent["id"] for agent in swarm.agents_of(delivered)}


# --- live -----------------------------------------------------------------------------------------


@contextmanager
def subscribed(swarm: SwarmProcess, *channels: str) -> Iterator[list[dict[str, Any]]]:
    """What a plain `redis-cli SUBSCRIBE` prints, each ring read as a line of JSON."""
    process = subprocess.Popen(
        [plain_redis_cli(), "-s", str(swarm.socket), "SUBSCRIBE", *channels],
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    assert process.stdout is not None
    rings: list[dict[str, Any]] = []

    def read() -> None:
        assert process.stdout is not None
        while kind := process.stdout.readline().strip():
            channel, payload = process.stdout.readline().strip(), process.stdout.readline()
            if kind == "message":
                rings.append(json.loads(payload) | {"heard on": channel})

    reader = threading.Thread(target=read, name="subscriber")
    reader.start()
    try:
        swarm.until(
            lambda: all(swarm.redis.pubsub_numsub(c)[0][1] >= 1 for c in channels),
            "redis-cli subscribed",
        )
        yield rings
    finally:
        process.terminate()
        process.wait(END_SECONDS)
        reader.join(END_SECONDS)
        process.stdout.close()


def test_subscribe_with_a_plain_redis_cli_shows_the_debate_live(swarm: SwarmProcess) -> None:
    # Swarmd's own processes listen to the journal's and the room's names too: only what we hear is
    # looked at.
    with subscribed(swarm, "swarm:results", "swarm:room:sob") as rings:
        swarm.redis_cli(
            "XADD", "swarm:missions", "*", "mission", "What is thrift of the board?", "id", "live-1"
        )
        swarm.until(
            lambda: any(ring["kind"] == "result" for ring in list(rings)), "the result rang"
        )
    stored = {
        channel: dict(swarm.entries(channel)) for channel in ("room:sob", "results")
    }  # what the streams say of the same
    room = [ring for ring in rings if ring["heard on"] == "swarm:room:sob"]
    assert {"proposal", "argument", "notice"} <= {ring["kind"] for ring in room}
    for ring in rings:
        assert {*ENTRY_FIELDS, "id", "prev", "channel"} <= set(ring)
        assert ring["heard on"] == f"swarm:{ring['channel']}"
        entry = stored[ring["channel"]][ring["id"]]
        assert {name: ring[name] for name in ENTRY_FIELDS if name != "text"} == {
            name: entry[name] for name in ENTRY_FIELDS if name != "text"
        }
        assert entry["text"] == ring["text"] or (
            ring["cut"] and entry["text"].startswith(ring["text"])
        )
    for before, ring in pairwise(room):
        assert ring["prev"] == before["id"]


# --- several at once, on a swarm whose models take their time -------------------------------------


@pytest.fixture(scope="module")
def mind() -> Iterator[OpenAIServer]:
    """Answers slowly enough for a mission to be looked at while it runs."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(OpenAIServer(MissionBrain(), delay=0.12)) as server,
    ):
        yield server


@pytest.fixture(scope="module")
def slow(mind: OpenAIServer) -> Iterator[SwarmProcess]:
    with (
        short_folder() as data,
        swarm_up(data, SWARMD_MODEL="openai:test-model", OPENAI_BASE_URL=mind.base_url) as swarm,
    ):
        yield swarm


def test_two_missions_at_once_the_third_waits_and_takes_the_place_of_a_cancelled_one(
    slow: SwarmProcess, mind: OpenAIServer
) -> None:
    with mind.holding():
        ids = [
            slow.submit(f"Mission number {number}.", "--id", f"at-once-{number}")
            for number in (1, 2, 3)
        ]
        slow.until(lambda: slow.mission(ids[2]), "the third is docketed")
        slow.until(lambda: slow.mission(ids[1])["state"] == "debating", "the second is taken up")
        assert [slow.mission(id)["state"] for id in ids[::2]] == ["debating", "docketed"]
    slow.until(lambda: slow.agents_of(ids[0]), "the first has an executive")
    with mind.holding():
        cancelled = slow.verb("cancel", ids[0], "--reason", "changed my mind", "--json")
    assert cancelled.returncode == 0, cancelled.stderr
    counts = json.loads(cancelled.stdout)
    living = len(slow.agents_of(ids[0]))
    assert (counts["state"], counts["confirmed"]) == ("cancelled", living)
    assert (counts["unconfirmed"], counts["unreachable"]) == (0, 0)
    assert [slow.ended_mission(id)["state"] for id in ids] == [
        "cancelled",
        "delivered",
        "delivered",
    ]
    assert slow.mission(ids[0])["reason"] == "changed my mind"
    assert {agent["state"] for agent in slow.agents_of(ids[0])} == {"terminated"}
    assert slow.verb("cancel", ids[0]).returncode == 4
    assert unbalanced(slow.accounts()) == []


def test_a_mission_waits_for_the_budget_that_those_in_hand_will_give_back(
    slow: SwarmProcess, mind: OpenAIServer
) -> None:
    ids = ["large-1", "large-2"]
    with mind.holding():
        for id in ids:
            slow.submit(f"A large mission, {id}.", "--id", id, "--budget", "tokens=15000000")
        slow.until(lambda: slow.mission(ids[0])["state"] == "debating", "the first is taken up")
        beyond = slow.submit("Larger than the swarm.", "--budget", "tokens=30000000")
        assert slow.mission(ids[1])["state"] == "docketed"
    assert [slow.ended_mission(id)["state"] for id in (*ids, beyond)] == [
        "delivered",
        "delivered",
        "delivered",
    ]
    # It got what was left of the root when nothing else was in hand.
    assert 15_000_000 < json.loads(slow.mission(beyond)["budget"])["tokens"] < 20_000_000
    assert unbalanced(slow.accounts()) == []


def test_a_docketed_mission_can_be_cancelled_before_it_costs_anything(
    slow: SwarmProcess, mind: OpenAIServer
) -> None:
    with mind.holding():
        ids = [
            slow.submit(f"Queue number {number}.", "--id", f"queue-{number}")
            for number in (1, 2, 3)
        ]
        slow.until(lambda: slow.mission(ids[2]), "the third is docketed")
        assert slow.verb("cancel", ids[2]).returncode == 0
        assert slow.mission(ids[2])["state"] == "cancelled"
        assert data_of(slow.results_of(ids[2])[0])["spent"].get("calls", 0) == 0
        for id in ids[:2]:
            assert slow.verb("cancel", id).returncode == 0
    assert [slow.mission(id)["state"] for id in ids] == ["cancelled"] * 3


def test_terminate_ends_a_whole_subtree_and_counts_what_it_saw(
    slow: SwarmProcess, mind: OpenAIServer
) -> None:
    id = slow.submit("Let the subtree be ended.", "--id", "ended-1")
    slow.until(lambda: len(slow.agents_of(id)) == 2, "an executive and its researcher live")
    executive, researcher = slow.agents_of(id)
    with mind.holding():
        done = slow.verb("terminate", executive["id"], "--reason", "it wandered off", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) | {"order": ""} == {
        "verb": "terminate",
        "target": executive["id"],
        "agent": executive["id"],
        "order": "",
        "outcome": "done",
        "busy": {},
        "confirmed": 2,
        "unconfirmed": 0,
        "unreachable": 0,
    }
    for agent in (executive, researcher):
        ended = slow.hash(f"swarm:agent:{agent['id']}")
        assert (ended["state"], ended["reason"]) == ("terminated", "it wandered off (confirmed)")
    # The board is told why its executive is gone, reviews, and the mission has an end.
    assert slow.ended_mission(id)["state"] == "delivered"
    asked = [fields["text"] for _, fields in slow.entries("room:sob") if fields["mission"] == id]
    assert any("deliver" in text for text in asked)
    assert slow.verb("terminate", executive["id"]).returncode == 0


def test_what_an_operator_says_reaches_the_agent_and_the_room(
    slow: SwarmProcess, mind: OpenAIServer
) -> None:
    id = slow.submit("Let us be talked to.", "--id", "talk-1")
    slow.until(lambda: slow.agents_of(id), "an executive lives")
    (executive, *_) = slow.agents_of(id)
    words = f"The answer is needed by noon {time.monotonic_ns()}."
    with mind.holding():
        assert slow.verb("say", f"inbox:{executive['id']}", words).returncode == 0
        assert slow.verb("say", "room:sob", "The operator greets the board.").returncode == 0
    heard = slow.until(
        lambda: [call for call in mind.calls if words in json.dumps(call.body)],
        "the executive was told",
    )
    assert "role: executive" in json.dumps(heard[0].body)
    greeting = [
        fields
        for _, fields in slow.entries("room:sob")
        if fields["text"].startswith("The operator")
    ]
    assert [(fields["from"], fields["kind"]) for fields in greeting] == [("operator", "say")]
    assert slow.ended_mission(id)["state"] == "delivered"


def test_an_idle_swarm_calls_no_model(slow: SwarmProcess, mind: OpenAIServer) -> None:
    slow.until(lambda: not slow.redis.smembers("swarm:_missions"), "all missions ended")
    before = len(mind.calls)
    # Idleness can only be shown by letting time pass: two sweeps, and a post that wakes nobody.
    slow.verb("say", "room:sob", "Is anybody there?")
    time.sleep(2)
    assert len(mind.calls) == before


def test_sigterm_ends_the_daemon_with_its_server(slow: SwarmProcess) -> None:
    slow.child.process.terminate()
    assert slow.child.ended() == 143
    assert not slow.socket_exists(), "the embedded server outlived its owner"
    assert "Traceback" not in slow.child.stderr
