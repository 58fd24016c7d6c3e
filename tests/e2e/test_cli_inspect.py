"""The verbs that look, over a real server that holds what the contract says, written by hand."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from swarmd.adapters import halt_file
from swarmd.adapters.redis.connection.requirements import connect_sync
from swarmd.adapters.redis.connection.sync_client import Wire
from swarmd.adapters.server.embedded import EmbeddedServer
from swarmd.cli import completion
from swarmd.cli.main import main
from tests.conftest import SECRET
from tests.e2e.swarm_process import VERB_SECONDS
from tests.streams import line_saying

AT = "2026-03-01T10:00:00.000Z"
Cli = Callable[..., tuple[int, str, str]]


class Swarm:
    """Writes the contract's keys of one namespace."""

    def __init__(self, wire: Wire, namespace: str) -> None:
        self.wire = wire
        self.namespace = namespace

    def key(self, name: str) -> str:
        return f"{self.namespace}:{name}"

    def agent(self, id: str, *, parent: str = "", state: str = "live", **fields: str) -> None:
        ended = state == "terminated"
        record = {
            "id": id,
            "name": id,
            "role": "seat",
            "tier": "0",
            "parent": parent,
            "path": id,
            "mission": "",
            "state": state,
            "reason": "",
            "incarnation": "1",
            "host": "",
            "lease": "0",
            "created": AT,
            "ended": AT if ended else "",
        } | fields
        self._hash(f"agent:{id}", record)
        if ended:
            self.wire.command("ZADD", self.key("_ended"), 1, f"agent:{id}")
        else:
            self.wire.command("SADD", self.key("_agents"), id)
        if parent:
            self.wire.command("SADD", self.key(f"children:{parent}"), id)

    def mission(self, id: str, *, state: str = "working", **fields: str) -> None:
        record = {
            "id": id,
            "mission": "Find the answer",
            "state": state,
            "reason": "",
            "result": "",
            "budget": '{"tokens": 1000}',
            "created": AT,
            "ended": "",
        } | fields
        self._hash(f"mission:{id}", record)
        self.wire.command("SADD", self.key("_missions"), id)

    def ledger(self, id: str, spent: int) -> None:
        self._hash(
            f"ledger:{id}", {"tokens.cap": "1000", "tokens.spent": str(spent), "calls.spent": "1"}
        )

    def post(self, channel: str, **fields: str) -> str:
        facts = fields | ({"data": json.loads(fields["data"])} if fields.get("data") else {})
        id_ = self.wire.command("XADD", self.key(channel), "*", "m", line_saying(facts))
        assert isinstance(id_, bytes)
        self.wire.command("ZADD", self.key("_heads"), 1, channel)
        self.wire.command("PUBLISH", self.key(channel), f'{{"id":"{id_.decode()}","cut":true}}')
        return id_.decode()

    def _hash(self, name: str, record: dict[str, str]) -> None:
        self.wire.command(
            "HSET", self.key(name), *(word for pair in record.items() for word in pair)
        )


@pytest.fixture
def swarm(server: EmbeddedServer, namespace: str) -> Iterator[Swarm]:
    with closing(connect_sync(server.socket)) as wire:
        yield Swarm(wire, namespace)


@pytest.fixture
def peopled(swarm: Swarm) -> Swarm:
    """A board with a seat, a mission with two executives, one of which has ended, and a
    sub-agent.
    """
    swarm.agent("sob", role="board", path="sob")
    swarm.agent("picard")
    swarm.mission("m-one")
    inner = {"mission": "m-one", "role": "researcher"}
    charter = json.dumps({"role": "researcher", "name": "atlas", "task": "Chart it"})
    swarm.agent(
        "a-exec1",
        parent="sob",
        tier="1",
        name="atlas",
        path="sob/@owner/m-one/a-exec1",
        charter=charter,
        **inner,
    )
    swarm.agent(
        "a-exec2",
        parent="sob",
        tier="1",
        name="gone",
        path="sob/@owner/m-one/a-exec2",
        state="terminated",
        **inner,
    )
    swarm.agent(
        "a-sub1",
        parent="a-exec1",
        tier="2",
        name="scout",
        path="sob/@owner/m-one/a-exec1/a-sub1",
        **inner,
    )
    for account, spent in (("m-one", 300), ("a-exec1", 40), ("a-exec2", 200), ("a-sub1", 7)):
        swarm.ledger(account, spent)
    return swarm


@pytest.fixture
def cli(
    redis_url: str,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Cli:
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("SWARMD_SECRET_FILE", str(tmp_path / "secret"))
    (tmp_path / "secret").write_bytes(SECRET)
    (tmp_path / "secret").chmod(0o600)
    monkeypatch.setenv("SWARMD_NAMESPACE", namespace)

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(list(arguments))
        out, err = capsys.readouterr()
        return code, out, err

    return run


def environment(redis_url: str, namespace: str) -> dict[str, str]:
    return dict(os.environ) | {
        "REDIS_URL": redis_url,
        "SWARMD_NAMESPACE": namespace,
        "PYTHONUNBUFFERED": "1",
    }


def swarmd(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "swarmd", *arguments]


# --- ps, tree, missions -----------------------------------------------------------------------


def test_ps_lists_the_living_and_with_all_those_that_ended(cli: Cli, peopled: Swarm) -> None:
    assert cli("ps", "-q")[1].split() == ["a-exec1", "a-sub1", "picard", "sob"]
    assert "a-exec2" in cli("ps", "-q", "--all")[1].split()


def test_ps_in_json_is_one_object_with_numbers_as_numbers_and_the_ledger(
    cli: Cli, peopled: Swarm
) -> None:
    code, out, err = cli("ps", "--json")
    agents = {agent["id"]: agent for agent in json.loads(out)["agents"]}
    assert (code, err) == (0, "")
    assert agents["a-exec1"]["tier"] == 1
    assert agents["a-exec1"]["charter"]["task"] == "Chart it"
    assert agents["a-exec1"]["ledger"]["tokens"]["spent"] == 40


def test_an_empty_swarm_says_the_next_command_on_standard_error(cli: Cli, swarm: Swarm) -> None:
    code, out, err = cli("ps")
    assert (code, out) == (0, "")
    assert "swarmd up" in err
    assert "swarmd submit" in cli("missions")[2]


def test_a_descendant_of_a_fenced_agent_reads_draining_before_it_is_reaped(
    cli: Cli, peopled: Swarm
) -> None:
    peopled.wire.command("HSET", peopled.key("_fences"), "a-exec1", "{}")
    states = {
        agent["id"]: agent["state"] for agent in json.loads(cli("ps", "--json", "-a")[1])["agents"]
    }
    assert states["a-sub1"] == "draining"
    assert (states["picard"], states["a-exec2"]) == ("live", "terminated")


def stop(swarm: Swarm, target: str, kind: str = "freeze", **facts: Any) -> None:
    why = {
        "authority": 3,
        "reason": "a closer look",
        "by": "operator",
        "at": 1_764_000_000.0,
    } | facts
    swarm.wire.command("HSET", swarm.key("_stops"), target, f"{kind} {json.dumps(why)}")


@pytest.mark.parametrize(
    ("target", "kind", "state", "held"),
    [
        ("a-exec1", "freeze", "frozen", {"a-exec1", "a-sub1"}),
        ("a-exec1", "halt", "frozen", {"a-exec1", "a-sub1"}),
        ("=a-exec1", "freeze", "frozen", {"a-exec1"}),
        ("m-one", "drain", "draining", {"a-exec1", "a-sub1"}),
        ("tier:2", "freeze", "frozen", {"a-sub1"}),
        ("*", "halt", "frozen", {"a-exec1", "a-sub1", "picard"}),
        ("room:sob", "freeze", "frozen", set()),
        ("use:model/**", "freeze", "frozen", set()),
    ],
)
def test_whom_a_stop_holds_reads_so_and_says_why(
    target: str, kind: str, state: str, held: set[str], cli: Cli, peopled: Swarm
) -> None:
    stop(peopled, target, kind)
    agents = {agent["id"]: agent for agent in json.loads(cli("ps", "--json", "-a")[1])["agents"]}
    assert {id for id, agent in agents.items() if agent["state"] == state} == held
    for id in held:
        assert agents[id]["stopped"] == [target]
        whose = "" if target in (id, f"={id}") else f" {target}"
        assert agents[id]["reason"] == f"{kind}{whose}: a closer look"
    assert (agents["sob"]["state"], agents["a-exec2"]["state"]) == ("live", "terminated")
    mission = json.loads(cli("missions", "--json")[1])["missions"][0]
    assert (mission["state"], mission["stopped"]) == (
        "working",
        [target] if target in ("m-one", "*") else [],
    )


def test_a_fence_of_one_agent_alone_is_not_its_childrens(cli: Cli, peopled: Swarm) -> None:
    peopled.wire.command("HSET", peopled.key("_fences"), "=a-exec1", "{}")
    states = {agent["id"]: agent["state"] for agent in json.loads(cli("ps", "--json")[1])["agents"]}
    assert (states["a-exec1"], states["a-sub1"]) == ("draining", "live")


def test_a_stop_of_another_version_holds_all_the_same(cli: Cli, peopled: Swarm) -> None:
    for target, text in (("a-exec1", "thwart {}"), ("tier:0", 'halt {"authority": 9, "new": 1}')):
        peopled.wire.command("HSET", peopled.key("_stops"), target, text)
    states = {agent["id"]: agent["state"] for agent in json.loads(cli("ps", "--json")[1])["agents"]}
    assert (states["a-sub1"], states["picard"]) == ("frozen", "frozen")
    assert cli("stops")[0] == 0


def test_stops_tell_who_why_and_since_when_and_ends_under_way(
    cli: Cli, peopled: Swarm, tmp_path: Path
) -> None:
    data = ("--data", str(tmp_path))
    assert cli("stops", *data)[1:] == ("", "nothing is stopped\n")
    stop(
        peopled,
        "=a-sub1",
        by="supervisor",
        rule="budget.exhausted",
        until=1_764_000_120.0,
        authority=1,
    )
    peopled.wire.command(
        "HSET",
        peopled.key("_fences"),
        "a-exec1",
        '{"reason": "over", "by": "operator", "at": 1764000001, "order": ""}',
    )
    halt_file.pull(tmp_path, "no server", "ada", at=1_764_000_002.0)
    found = json.loads(cli("stops", "--json", *data)[1])["stops"]
    assert found[0] == {
        "target": "=a-sub1",
        "kind": "freeze",
        "by": "supervisor",
        "authority": "lineage",
        "reason": "a closer look",
        "rule": "budget.exhausted",
        "at": "2025-11-24T16:00:00Z",
        "until": "2025-11-24T16:02:00Z",
    }
    assert [(one["target"], one["kind"], one["by"]) for one in found[1:]] == [
        ("a-exec1", "terminate", "operator"),
        ("*", "brake", "ada"),
    ]
    heading, *rows = cli("stops", *data)[1].splitlines()
    assert heading.split() == ["TARGET", "KIND", "BY", "SINCE", "UNTIL", "WHY"]
    assert len(rows) == 3


def test_marks_of_an_account_are_shown_where_they_ask_for_somebody(
    cli: Cli, peopled: Swarm
) -> None:
    wire, key = peopled.wire, peopled.key("ledger:a-sub1")
    wire.command("HSET", key, "overdrawn", "tokens: 5 beyond the reserve", "tokens.overdraft", "5")
    wire.command("HSET", key, "cost.spent", "12345", "tokens.assumed", "3")
    ledger = json.loads(cli("ps", "--json")[1])["agents"][1]["ledger"]
    assert (ledger["overdrawn"], ledger["tokens"]["overdraft"]) == (
        "tokens: 5 beyond the reserve",
        5,
    )
    heading, *_ = cli("ps")[1].splitlines()
    assert {"COST", "ACCOUNT"} <= set(heading.split())
    assert "TOOLS" not in heading.split()
    assert "overdrawn (tokens: 5 beyond the reserve)" in cli("tree")[1]
    shown = cli("inspect", "scout")[1]
    assert "$0.0124" in shown
    assert {"OVERDRAFT", "ASSUMED"} <= set(shown.split())
    assert "overdrawn: tokens: 5 beyond the reserve" in shown


def test_top_puts_those_first_that_spent_most_by_themselves(cli: Cli, peopled: Swarm) -> None:
    found = json.loads(cli("top", "--json")[1])["agents"]
    assert [(agent["id"], agent["spent"].get("tokens")) for agent in found] == [
        ("a-exec1", 40),
        ("a-sub1", 7),
        ("picard", None),
    ]
    heading, first, *_ = cli("top", "--once")[1].splitlines()
    assert heading.split()[:5] == ["ID", "NAME", "TIER", "ROLE", "STATE"]
    assert first.startswith("a-exec1")


def test_a_deadline_of_its_own_is_shown(cli: Cli, peopled: Swarm) -> None:
    due = time.time() + 3_605
    peopled.wire.command("HSET", peopled.key("agent:a-sub1"), "deadline", repr(due))
    assert "due 1h" in cli("tree")[1]
    assert "DUE" in cli("ps")[1].splitlines()[0].split()
    peopled.wire.command("HSET", peopled.key("agent:a-sub1"), "deadline", "0.0")
    assert "DUE" not in cli("ps")[1].splitlines()[0].split()


# --- why --------------------------------------------------------------------------------------


def rights(swarm: Swarm, id: str, privileges: str, grants: str = "", later: str = "") -> None:
    swarm.wire.command(
        "HSET",
        swarm.key(f"agent:{id}"),
        "privileges",
        privileges,
        "grants",
        grants,
        "later",
        later,
        "charter",
        "",
    )


def test_why_says_yes_with_the_chain_and_no_with_the_missing_link(cli: Cli, peopled: Swarm) -> None:
    rights(peopled, "sob", "**", "**")
    rights(peopled, "a-exec1", "model/**", "tool/web/**")
    rights(peopled, "a-sub1", "tool/web/search")
    peopled.wire.command("HSET", peopled.key("ledger:a-sub1"), "tools.free", "1")
    code, out, _ = cli("why", "scout", "tool/web/search")
    lines = out.splitlines()
    assert (code, lines[0]) == (0, "scout (a-sub1) may use tool/web/search")
    assert [line.split()[0] for line in lines[2:]] == ["sob", "atlas", "scout"]
    code, out, _ = cli("why", "scout", "tool/file/read")
    assert (code, out.splitlines()[1]) == (
        4,
        "  atlas (a-exec1) was never given it to hand out; sob can give it",
    )
    assert cli("why", "scout", "tool/web/search", "--right", "grant")[0] == 4
    assert cli("why", "nobody", "tool/web/search")[0] == 3
    assert cli("why", "scout", "no path")[0] == 2
    assert cli("why", "m-one", "tool/web/search")[0] == 2
    assert cli("why", "scout", "tool/web/search", "--right", "both")[0] == 2


def test_why_names_the_revocation_the_stop_and_the_account(cli: Cli, peopled: Swarm) -> None:
    rights(peopled, "sob", "**", "**")
    rights(peopled, "a-exec1", "", "model/**")
    rights(peopled, "a-sub1", "model/**")
    peopled.wire.command(
        "HSET", peopled.key("ledger:a-sub1"), "tokens.free", "0", "calls.free", "5"
    )
    stop(peopled, "tier:2")
    marks = json.dumps([["model/big", 3, "use", "operator", AT, "too dear", 3]])
    peopled.wire.command("HSET", peopled.key("_revocations"), "a-exec1", marks)
    found = json.loads(cli("why", "scout", "model/big", "--json")[1])
    assert (found["may"], found["held"], found["broken"]) == (False, False, "a-sub1")
    assert found["chain"][-1]["revoked"]["at_agent"] == "a-exec1"
    assert [no["rule"] for no in found["hindrances"]] == ["stop.frozen", "budget.exhausted"]
    text = cli("why", "scout", "model/big")[1]
    for said in (
        "revoked: model/big (use) at a-exec1 by operator",
        "stop.frozen: tier:2",
        "tokens: 0 free",
    ):
        assert said in text
    agent = json.loads(cli("inspect", "scout", "--json")[1])["agent"]
    assert (agent["privileges"], agent["revoked"][0]["privilege"]) == (["model/**"], "model/big")


def test_a_seats_and_an_ended_agents_rights_are_told_too(cli: Cli, peopled: Swarm) -> None:
    rights(peopled, "picard", "model/** room/sob/say")
    assert cli("why", "picard", "room/sob/say")[0] == 0
    rights(peopled, "sob", "**", "**")
    rights(peopled, "a-exec2", "model/**")
    found = json.loads(cli("why", "a-exec2", "model/x", "--json")[1])
    assert (found["held"], found["may"]) == (True, False)
    assert found["hindrances"][0]["rule"] == "fence.path"


# --- completion -------------------------------------------------------------------------------


def test_a_shell_is_offered_what_there_is(cli: Cli, peopled: Swarm) -> None:
    assert completion.targets("a") == ["all", "a-exec1", "a-sub1", "atlas"]
    assert completion.targets("t") == ["tier:", "tool:"]
    assert completion.agents("sc") == ["scout"]
    assert completion.missions("") == ["m-one"]
    assert completion.references("m") == ["m-one"]
    assert completion.targets("room:") == ["room:sob"]
    assert "journal" in completion.channels("")
    assert completion.refusals("spawn.f") == ["spawn.fanout", "spawn.files"]


def test_completion_is_silent_where_there_is_no_server(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1")
    assert completion.agents("") == []
    monkeypatch.setenv("REDIS_URL", "nonsense")
    assert completion.agents("") == []
    assert completion.refusals("time.") == ["time.deadline"]
    assert capsys.readouterr() == ("", "")


def test_the_tree_counts_a_closed_account_once(cli: Cli, peopled: Swarm) -> None:
    board = json.loads(cli("tree", "--json")[1])["board"]
    mission = board["children"][0]
    assert mission["id"] == "m-one"
    # 300 are spent on the mission's own account, of which 200 came from the executive that ended.
    assert mission["spent"]["own"]["tokens"] == 100
    assert mission["spent"]["subtree"]["tokens"] == 300 + 40 + 7
    assert board["spent"]["subtree"]["tokens"] == 347


def test_the_tree_shows_the_living_lineage_and_all_of_it_when_asked(
    cli: Cli, peopled: Swarm
) -> None:
    lines = cli("tree")[1].splitlines()
    assert [line for line in lines if "gone" in line] == []
    scout = next(line for line in lines if "scout" in line)
    atlas = next(line for line in lines if "atlas" in line)
    assert scout.index("scout") > atlas.index("atlas")
    assert "Chart it" in atlas
    assert "picard" in lines[1]
    assert "gone" in cli("tree", "--all")[1]


def test_missions_lists_state_and_spend(cli: Cli, peopled: Swarm) -> None:
    code, out, _ = cli("missions")
    heading, row = out.splitlines()
    assert code == 0
    assert heading.split()[:4] == ["ID", "STATE", "AGE", "TOKENS"]
    assert row.split()[:2] == ["m-one", "working"]
    assert json.loads(cli("missions", "--json")[1])["missions"][0]["budget"] == {"tokens": 1000}


# --- inspect ----------------------------------------------------------------------------------


def test_inspect_takes_an_id_a_name_or_the_beginning_of_an_id(cli: Cli, peopled: Swarm) -> None:
    for reference in ("a-sub1", "scout", "a-s"):
        assert json.loads(cli("inspect", "--json", reference)[1])["agent"]["id"] == "a-sub1"
    assert json.loads(cli("inspect", "--json", "m-")[1])["mission"]["agents"] == [
        "a-exec1",
        "a-exec2",
        "a-sub1",
    ]


def test_inspect_shows_positions_privileges_and_children(cli: Cli, peopled: Swarm) -> None:
    peopled.wire.command(
        "HSET", peopled.key("_state:a-exec1"), "turn", "4", "p:inbox:a-exec1", "5-1"
    )
    peopled.wire.command("HSET", peopled.key("agent:a-exec1"), "privileges", "tool/web/search")
    agent = json.loads(cli("inspect", "--json", "a-exec1")[1])["agent"]
    assert agent["positions"] == {"inbox:a-exec1": "5-1"}
    assert (agent["privileges"], agent["children"], agent["turn"]) == (
        ["tool/web/search"],
        ["a-sub1"],
        "4",
    )
    assert "inbox:a-exec1  5-1" in cli("inspect", "a-exec1")[1]


def test_an_ambiguous_beginning_is_a_usage_error_that_lists_what_it_may_be(
    cli: Cli, peopled: Swarm
) -> None:
    code, out, err = cli("inspect", "a-exec")
    assert (code, out) == (2, "")
    assert "a-exec1, a-exec2" in err


def test_an_unknown_id_is_not_found_and_says_what_to_ask_next(cli: Cli, peopled: Swarm) -> None:
    code, _, err = cli("inspect", "nobody")
    assert code == 3
    assert "swarmd ps" in err
    code, out, err = cli("inspect", "nobody", "--json")
    assert (code, out) == (3, "")
    assert json.loads(err)["error"]["code"] == "NOT_FOUND"


# --- tail -------------------------------------------------------------------------------------


def said(text: str) -> dict[str, str]:
    return {"from": "picard", "to": "", "kind": "say", "mission": "m-one", "at": AT, "text": text}


def test_tail_reads_the_last_lines_or_all_since_an_id(cli: Cli, swarm: Swarm) -> None:
    ids = [swarm.post("room:sob", **said(f"word {number}")) for number in range(5)]
    _, out, _ = cli("tail", "room:sob", "-n", "2", "--no-follow")
    assert [line.rpartition("] ")[2] for line in out.splitlines()] == ["word 3", "word 4"]
    _, out, _ = cli("tail", "room:sob", "--since", ids[1], "--no-follow", "--json")
    read = [json.loads(line) for line in out.splitlines()]
    assert [entry["id"] for entry in read] == ids[2:]
    assert (read[0]["channel"], read[0]["text"]) == ("room:sob", "word 2")


def test_tail_reads_more_than_one_batch_of_the_stream(cli: Cli, swarm: Swarm) -> None:
    ids = [swarm.post("room:sob", **said("x")) for _ in range(1201)]
    _, out, _ = cli("tail", "room:sob", "--since", "0", "--no-follow", "--json")
    assert [json.loads(line)["id"] for line in out.splitlines()] == ids


def test_tail_shows_what_is_no_message_of_ours_too(cli: Cli, swarm: Swarm) -> None:
    swarm.post("missions", mission="Do \x1b[31mthis", id="m-1")
    assert "mission=Do \\x1b[31mthis" in cli("tail", "missions", "--no-follow")[1]


def test_tail_of_an_unknown_channel_is_not_found_and_of_a_silent_known_one_is_empty(
    cli: Cli, peopled: Swarm
) -> None:
    assert cli("tail", "room:nowhere", "--no-follow")[0] == 3
    assert cli("tail", "results", "--no-follow")[:2] == (0, "")
    assert cli("tail", "inbox:a-exec1", "--no-follow")[:2] == (0, "")
    assert cli("tail", "room:sob", "--since", "yesterday")[0] == 2


def test_tail_follows_across_a_cut_connection_and_ends_with_130(
    swarm: Swarm, redis_url: str, namespace: str
) -> None:
    first = swarm.post("room:sob", **said("before"))
    following = subprocess.Popen(
        swarmd("tail", "room:sob", "--json"),
        env=environment(redis_url, namespace),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert following.stdout is not None
    assert json.loads(following.stdout.readline())["id"] == first
    second = swarm.post("room:sob", **said("live"))
    assert json.loads(following.stdout.readline())["id"] == second
    swarm.wire.command("CLIENT", "KILL", "TYPE", "pubsub")
    third = swarm.post("room:sob", **said("after"))
    assert json.loads(following.stdout.readline())["id"] == third
    following.send_signal(signal.SIGINT)
    out, err = following.communicate(timeout=VERB_SECONDS)
    assert following.returncode == 130
    assert (out, "Traceback" in err) == ("", False)


def test_a_reader_that_goes_away_ends_tail_without_a_word(
    swarm: Swarm, redis_url: str, namespace: str
) -> None:
    for _ in range(3000):
        swarm.post("room:sob", **said("x" * 100))
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m swarmd tail room:sob --since 0 --no-follow | head -1"],
        env=environment(redis_url, namespace),
        capture_output=True,
        text=True,
        timeout=VERB_SECONDS,
        check=False,
    )
    assert done.returncode == 0
    assert done.stderr == ""


# --- health -----------------------------------------------------------------------------------


@contextmanager
def leading(swarm: Swarm) -> Iterator[None]:
    """What a leader is seen by: its lease, and that somebody listens at the entrance."""
    swarm.wire.command("SET", swarm.key("_supervisor"), "3:host-1", "PX", 60_000)
    with closing(Wire(swarm.wire.address)) as ear:
        ear.command("SUBSCRIBE", swarm.key("missions"))
        yield


def wait_until_nobody_listens(swarm: Swarm) -> None:
    """A closed subscriber is counted until the server has noticed."""
    deadline = time.monotonic() + VERB_SECONDS
    while True:
        reply = swarm.wire.command("PUBSUB", "NUMSUB", swarm.key("missions"))
        assert isinstance(reply, list)
        if not reply[1]:
            return
        assert time.monotonic() < deadline
        time.sleep(0.01)


def host(swarm: Swarm, id: str, **facts: Any) -> None:
    swarm.wire.command("SADD", swarm.key("_hosts"), id)
    swarm.wire.command("SET", swarm.key(f"_host:{id}"), json.dumps({"id": id, **facts}))


def test_health_is_well_with_a_leader_and_a_host(cli: Cli, peopled: Swarm) -> None:
    host(peopled, "h-1")
    with leading(peopled):
        code, out, err = cli("health", "--json")
    assert (code, err) == (0, "")
    state = json.loads(out)
    assert (state["healthy"], state["leader"], state["missions_open"]) == (True, "host-1", 1)


def test_health_names_what_is_missing_and_asks_only_for_its_part(cli: Cli, swarm: Swarm) -> None:
    with leading(swarm):
        code, _, err = cli("health")
        assert code == 7
        assert "no worker" in err
        assert cli("health", "--part", "supervisor")[0] == 0
    wait_until_nobody_listens(swarm)
    # A leader that was killed holds its lease for a while.
    code, _, err = cli("health", "--part", "supervisor")
    assert (code, "nobody listens" in err) == (7, True)
    assert cli("health", "--part", "worker")[0] == 7
    assert cli("health", "--part", "cook")[0] == 2


def test_a_workers_health_is_that_of_its_own_machine(cli: Cli, swarm: Swarm) -> None:
    host(swarm, "h-1", hostname="another-machine")
    assert cli("health", "--part", "worker")[0] == 7
    host(swarm, "h-2", hostname=os.uname().nodename)
    assert cli("health", "--part", "worker")[0] == 0


# --- errors, start ----------------------------------------------------------------------------


def test_no_server_is_five_for_every_verb_and_the_password_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://me:hush@127.0.0.1:1/0")
    for arguments in (
        ["ps"],
        ["health"],
        ["tail", "journal"],
        ["submit", "x"],
        ["terminate", "a"],
        ["cancel", "m"],
        ["freeze", "a"],
        ["thaw", "a"],
        ["drain", "a"],
        ["halt", "a"],
        ["grant", "a", "tool/x/**"],
        ["revoke", "a", "tool/x/**"],
        ["fund", "a", "calls=1"],
        ["why", "a", "tool/x"],
        ["stops"],
        ["top"],
    ):
        assert main(arguments) == 5, arguments
        assert "hush" not in capsys.readouterr().err


def test_without_a_swarm_acting_has_no_server_to_act_on(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.setenv("SWARMD_DATA", str(tmp_path / "none"))
    for arguments in (
        ["submit", "x"],
        ["say", "room:sob", "x"],
        ["health"],
        ["freeze", "x"],
        ["fund", "x", "calls=1"],
    ):
        assert main(arguments) == 5, arguments
        assert "swarmd up" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["version", "ps", "tree", "missions", "health"])
def test_a_verb_that_only_looks_imports_nothing_heavy(
    verb: str, swarm: Swarm, redis_url: str, namespace: str
) -> None:
    program = (
        "import sys; from swarmd.cli.main import main; main(sys.argv[1:]);heavy = {'openai', "
        "'httpx2', 'bm25s', 'numpy', 'rich', 'redis', 'asyncio', 'pydantic', 'structlog', 'yaml'};"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, verb, "--json"],
        env=environment(redis_url, namespace),
        capture_output=True,
        text=True,
        timeout=VERB_SECONDS,
        check=True,
    )
    assert done.stderr.strip() == "[]"


def test_a_momentary_server_shows_what_a_stopped_swarm_holds(
    short_path: Any, namespace: str
) -> None:
    import asyncio

    async def write() -> None:
        async with EmbeddedServer(short_path) as embedded:
            with closing(connect_sync(embedded.socket)) as wire:
                Swarm(wire, namespace).agent("sob", role="board")

    asyncio.run(write())
    env = {name: value for name, value in os.environ.items() if name != "REDIS_URL"}
    env |= {"SWARMD_DATA": str(short_path), "SWARMD_NAMESPACE": namespace}
    done = subprocess.run(
        swarmd("ps", "-q"),
        env=env,
        capture_output=True,
        text=True,
        timeout=VERB_SECONDS,
        check=False,
    )
    assert (done.returncode, done.stdout.split()) == (0, ["sob"]), done.stderr
    done = subprocess.run(
        swarmd("tail", "journal"),
        env=env,
        capture_output=True,
        text=True,
        timeout=VERB_SECONDS,
        check=False,
    )
    assert (done.returncode, "no swarm is running" in done.stderr) == (0, True)
