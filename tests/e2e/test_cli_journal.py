"""The verbs that prove, on a real swarm: verified while it lives, after it stopped, and after a
hand was in it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from swarmd.cli.exit_codes import Exit
from tests.e2e.swarm_process import (
    END_SECONDS,
    SwarmProcess,
    clean_environment,
    data_of,
    short_folder,
    swarm_up,
    verb,
)

PIECE = (
    "# Swans\n\nThe swan sings before it dies.\nSwans mate for life and nest beside still water.\n"
)


@pytest.fixture
def swarm(tmp_path: Path) -> Iterator[SwarmProcess]:
    (tmp_path / "swans.md").write_text(PIECE)
    with short_folder() as data, swarm_up(data, SWARMD_KNOWLEDGE=str(tmp_path)) as up:
        yield up


def worked(swarm: SwarmProcess) -> str:
    """A mission from its text to its result; its id."""
    id = swarm.submit("What do swans do before they die?", "--files", "swans.md")
    assert swarm.ended_mission(id)["state"] == "delivered"
    return id


def said(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(done.stdout)
    return value


def test_a_swarm_that_lives_is_verified_and_looked_back_at(swarm: SwarmProcess) -> None:
    mission = worked(swarm)
    found = said(done := swarm.verb("journal", "verify", "--json"))
    assert (done.returncode, found["verdict"], found["findings"]) == (Exit.DONE, "verified", [])
    assert found["entries"] == found["last"] > 20
    assert found["anchors"] >= 1
    assert found["key"].startswith("SHA256:")
    assert found["key"] in swarm.verb("journal", "verify").stdout
    assert swarm.verb("fsck").returncode == Exit.DONE

    spawned = next(
        data_of(fields) for _, fields in swarm.entries("journal") if "spawned" in fields["data"]
    )
    then = said(swarm.verb("journal", "at", str(spawned["n"]), "--json"))
    (branch,) = then["board"]["executives" if "executives" in then["board"] else "children"]
    assert branch["id"] == mission
    assert spawned["agent"] in {child["id"] for child in branch["executives"]}
    assert then["privileges"][spawned["agent"]]["use"] == spawned["privileges"]
    assert then["ledger"]["sob"]["tokens"]["cap"] > 0
    before = said(swarm.verb("journal", "at", str(spawned["n"] - 1), "--json"))
    assert spawned["agent"] not in before["privileges"]
    beyond = swarm.verb("journal", "at", "999999999")
    assert (beyond.returncode, "no entry 999999999 yet: its last is" in beyond.stderr) == (3, True)
    bare = swarm.verb("journal")
    assert (bare.returncode, "verify" in bare.stdout + bare.stderr, "rror" in bare.stderr) == (
        2,
        True,
        False,
    )
    shown = swarm.verb("journal", "at", str(spawned["n"])).stdout
    assert f"after entry {spawned['n']}" in shown
    assert spawned["agent"] in shown


def test_a_mission_that_went_well_is_healthy_and_one_that_nobody_knows_is_not_found(
    swarm: SwarmProcess,
) -> None:
    mission = worked(swarm)
    found = said(done := swarm.verb("doctor", mission[:6], "--json"))
    assert (done.returncode, found["mission"]) == (Exit.DONE, mission)
    assert found["agents"] >= 1
    assert found["calls"] >= 3
    assert {mode["count"] for mode in found["modes"]} == {0}
    assert " modes was found in " in swarm.verb("doctor", mission).stdout
    assert swarm.verb("doctor", "m-nobody").returncode == Exit.NOT_FOUND


def test_a_swarm_that_has_stopped_is_diagnosed_from_its_data_folder(tmp_path: Path) -> None:
    (tmp_path / "swans.md").write_text(PIECE)
    with short_folder() as data:
        with swarm_up(data, SWARMD_KNOWLEDGE=str(tmp_path)) as up:
            mission = worked(up)
        found = said(done := verb(clean_environment(data), "doctor", mission, "--json"))
        assert (done.returncode, found["mission"]) == (Exit.DONE, mission)
        assert found["calls"] >= 3, "also those that no entry has yet"


@pytest.mark.parametrize("when", ["yesterday", "2027-13-01", ""])
def test_a_moment_that_cannot_be_meant_is_refused(swarm: SwarmProcess, when: str) -> None:
    assert swarm.verb("journal", "at", when).returncode == Exit.USAGE


def test_a_moment_before_all_is_not_found_and_no_gap_is_nothing_to_acknowledge(
    swarm: SwarmProcess,
) -> None:
    assert swarm.verb("journal", "at", "2001-01-01T00:00:00Z").returncode == Exit.NOT_FOUND
    assert swarm.verb("journal", "ack", "1", "--reason", "r").returncode == Exit.NOT_FOUND
    assert swarm.verb("journal", "ack", "1").returncode == Exit.USAGE
    # A mark that a hand made stays in `health` until somebody has looked into it.
    swarm.redis.hset("swarm:_meta", "gap:1", "open")
    assert swarm.verb("journal", "ack", "1", "--reason", "r").returncode == Exit.DONE
    assert not swarm.redis.hexists("swarm:_meta", "gap:1")


def test_what_a_hand_did_to_the_store_is_found_mended_and_the_entry_named(
    swarm: SwarmProcess,
) -> None:
    worked(swarm)
    swarm.redis.hset("swarm:_use:socrates", "**", "0")
    done = swarm.verb("fsck")
    assert done.returncode == Exit.FINDINGS
    assert "agent.rights: socrates" in done.stdout
    mended = said(done := swarm.verb("fsck", "--repair", "--json"))
    assert (done.returncode, mended["findings"]) == (Exit.DONE, [])
    assert [flaw["fault"] for flaw in mended["repaired"]] == ["agent.rights"]
    assert not swarm.redis.hexists("swarm:_use:socrates", "**")

    id, fields = swarm.entries("journal")[10]
    stored: Any = swarm.redis.xrange("swarm:journal")
    swarm.redis.delete("swarm:journal")
    for at, flat in stored:
        forged = flat["m"].replace(fields["text"], fields["text"] + "!")
        swarm.redis.xadd("swarm:journal", {"m": forged if at == id else flat["m"]}, id=at)
    found = said(done := swarm.verb("journal", "verify", "--json"))
    assert done.returncode == Exit.FINDINGS
    assert (found["findings"][0]["kind"], found["findings"][0]["entry"]) == ("tampered", 11)
    assert id in found["findings"][0]["where"]


def test_a_stopped_swarms_folder_is_verified_without_it(tmp_path: Path) -> None:
    (tmp_path / "swans.md").write_text(PIECE)
    with short_folder() as data:
        with swarm_up(data, SWARMD_KNOWLEDGE=str(tmp_path)) as up:
            worked(up)
            up.child.process.terminate()
            assert up.child.ended() == Exit.TERMINATED
        environment = clean_environment(data)
        found = said(done := verb(environment, "journal", "verify", "--json"))
        assert (done.returncode, found["findings"]) == (Exit.DONE, [])
        (anchors,) = data.glob("journal/*/anchors.jsonl")
        last = json.loads(anchors.read_text().splitlines()[-1])
        assert (last["kind"], last["n"], last["hash"]) == ("stopped", found["last"], found["hash"])
        assert verb(environment, "journal", "verify", "--files-only").returncode == Exit.DONE
        assert verb(environment, "fsck").returncode == Exit.DONE
        done = verb(environment, "fsck", "--repair")
        assert (done.returncode, done.stderr) == (Exit.DONE, "")
        assert "nothing is wrong" in done.stdout
        mended = verb(environment, "fsck", "--repair", "--json")
        assert said(mended) == {"findings": [], "repaired": []}


def test_where_there_is_no_entry_nothing_was_checked_and_that_is_said() -> None:
    with short_folder() as data:
        with swarm_up(data) as up:
            up.verb("health")
        environment = clean_environment(data)
        done = verb(environment, "journal", "verify", "--files-only")
        assert done.returncode == Exit.DONE, done.stderr
        assert "nothing to check" in done.stdout
        assert "laws checked" not in done.stdout
        told = said(verb(environment, "journal", "verify", "--files-only", "--json"))
        assert (told["entries"], told["laws"]) == (0, [])
        assert told["verdict"] == "nothing to check"
        assert "laws checked" in verb(environment, "journal", "verify").stdout


def test_what_only_a_supervisor_mends_is_said_at_once_where_none_can_come() -> None:
    with short_folder() as data:
        with swarm_up(data) as up:
            up.redis.zadd("swarm:_heads", {"room:ghost": 1})
            # Killed: who led still has its lease when the folder is looked at.
            up.child.process.kill()
            up.child.process.wait(10)
        started = time.monotonic()
        done = verb(clean_environment(data), "fsck", "--repair", "--timeout", "20")
        assert done.returncode == Exit.REFUSED, done.stdout + done.stderr
        assert "no supervisor leads" in done.stderr
        assert "swarmd up" in done.stderr
        assert time.monotonic() - started < 20


def test_a_repair_waits_no_longer_than_it_may_for_a_supervisor_that_does_not_answer() -> None:
    with short_folder() as data, swarm_up(data) as up:
        for n in range(3):
            up.redis.zadd("swarm:_heads", {f"room:ghost{n}": 1})
        os.kill(up.child.process.pid, signal.SIGSTOP)
        try:
            started = time.monotonic()
            done = up.verb("fsck", "--repair", "--timeout", "4")
            assert done.returncode in (Exit.TIMED_OUT, Exit.REFUSED), done.stdout + done.stderr
            assert time.monotonic() - started < 30
        finally:
            os.kill(up.child.process.pid, signal.SIGCONT)
        assert up.verb("fsck", "--repair").returncode == Exit.DONE


def test_a_killed_swarm_is_verified_when_it_is_up_again(tmp_path: Path) -> None:
    (tmp_path / "swans.md").write_text(PIECE)
    with short_folder() as data:
        with swarm_up(data, SWARMD_KNOWLEDGE=str(tmp_path)) as up:
            worked(up)
            # Longer than the append-only file is behind, so that nothing is lost with it.
            time.sleep(1.5)
            up.child.process.kill()
            up.child.process.wait(END_SECONDS)
        with swarm_up(data, SWARMD_KNOWLEDGE=str(tmp_path)) as up:
            found = said(up.verb("journal", "verify", "--json"))
            assert found["findings"] == []
            assert up.verb("fsck").returncode == Exit.DONE


def test_without_a_folder_that_can_be_written_no_supervisor_starts() -> None:
    with short_folder() as data:
        data.mkdir(exist_ok=True)
        (data / "journal").write_text("in the way")
        done = verb(clean_environment(data), "up")
        assert done.returncode == Exit.FAILED
        assert "journal" in done.stderr
        assert "SWARMD_DATA" in done.stderr
