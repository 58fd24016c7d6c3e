"""A client writes another type over the swarm's keys: the daemon stays, says so, and goes on
when they are set aside.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
from pathlib import Path
from typing import Final

import pytest

from swarmd.cli.exit_codes import Exit
from tests.e2e.swarm_process import (
    SwarmProcess,
    child,
    clean_environment,
    short_folder,
    swarm_up,
    verb,
)

# Each in the way of another part: an input, the record, the lease, the host's sweep, the start.
KEYS: Final = ("missions", "up:sob", "_positions", "_hosts", "_posts", "_meta", "journal")
# What was lost with them is told by one entry, which an operator acknowledges.
BEGUN_ANEW: Final = ("_positions", "journal")


def overwrite(up: SwarmProcess, *keys: str) -> None:
    for key in keys:
        with up.redis.pipeline(transaction=True) as together:
            together.delete(f"swarm:{key}")
            together.rpush(f"swarm:{key}", "x")
            together.execute()


def findings(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [str(one) for one in json.loads(done.stdout)["findings"]]


@pytest.mark.parametrize("key", KEYS)
def test_the_daemon_stays_says_it_and_goes_on_when_the_key_is_set_aside(key: str) -> None:
    with short_folder() as data, swarm_up(data) as up:
        overwrite(up, key)
        up.until(lambda: any(key in one for one in findings(up.verb("health", "--json"))), "health")
        assert up.child.process.poll() is None, up.child.stderr
        done = up.verb("fsck", "--repair", "--json")
        mended = json.loads(done.stdout)["repaired"]
        assert key in [flaw["subject"] for flaw in mended], done.stdout + done.stderr
        kept = up.redis.keys("swarm:_quarantine:*")
        assert [up.redis.lrange(name, 0, -1) for name in kept] == [["x"]]
        up.until(lambda: up.verb("health").returncode == Exit.DONE, "healthy again")
        assert (
            up.verb("submit", "What is a fence?", "--wait", "--timeout", "50").returncode
            == Exit.DONE
        )
        assert up.verb("fsck").returncode == Exit.DONE
        verified = json.loads(up.verb("journal", "verify", "--json").stdout)["findings"]
        assert verified == [] or (
            key in BEGUN_ANEW and [one["kind"] for one in verified] == ["restated"]
        )
        for one in verified:
            acknowledged = up.verb("journal", "ack", str(one["entry"]), "--reason", "seen")
            assert acknowledged.returncode == Exit.DONE, acknowledged.stderr
        assert up.verb("journal", "verify").returncode == Exit.DONE


def with_another_secret(environment: dict[str, str], data: Path) -> dict[str, str]:
    other = data / "another-secret"
    other.write_text(secrets.token_hex(32))
    other.chmod(0o600)
    return environment | {"SWARMD_SECRET_FILE": str(other)}


@pytest.mark.parametrize("is_gone", [True, False], ids=["deleted", "another type"])
def test_who_holds_another_secret_cannot_put_it_in_the_place_of_the_swarms(is_gone: bool) -> None:
    with short_folder() as data, swarm_up(data) as up:
        mission = up.verb("submit", "What is a fence?", "--wait", "--timeout", "50")
        assert mission.returncode == Exit.DONE
        seal = up.redis.hget("swarm:_meta", "seal")
        stranger = with_another_secret(clean_environment(data), data)
        os.kill(up.child.process.pid, signal.SIGSTOP)
        try:
            if is_gone:
                up.redis.delete("swarm:_meta")
            else:
                overwrite(up, "_meta")
            kind = up.redis.type("swarm:_meta")
            for words in (
                ("fsck", "--repair"),
                ("say", "sob", "hello"),
                ("freeze", "socrates", "--timeout", "5"),
                ("terminate", "socrates", "--timeout", "5"),
            ):
                done = verb(stranger, *words)
                assert done.returncode == Exit.NO_SERVER, done.stdout + done.stderr
                assert up.redis.type("swarm:_meta") == kind
        finally:
            os.kill(up.child.process.pid, signal.SIGCONT)
        assert up.verb("fsck", "--repair").returncode == Exit.DONE or is_gone
        up.until(lambda: up.redis.hget("swarm:_meta", "seal") == seal, "its own seal again")


def test_a_stopped_swarm_is_mended_without_a_daemon_and_starts() -> None:
    with short_folder() as data:
        with swarm_up(data) as up:
            overwrite(up, *KEYS)
            up.child.process.terminate()
            assert up.child.ended() == Exit.TERMINATED
        environment = clean_environment(data)
        assert verb(environment, "fsck").returncode == Exit.FINDINGS
        with child(["up"], environment) as waiting:
            waiting.until_said("fsck --repair")
            assert waiting.process.poll() is None
        done = verb(environment, "fsck", "--repair", "--json")
        assert done.stdout, done.stderr
        assert {flaw["subject"] for flaw in json.loads(done.stdout)["repaired"]} >= set(KEYS), (
            done.stderr
        )
        with swarm_up(data) as up:
            assert (
                up.verb("submit", "What is a fence?", "--wait", "--timeout", "50").returncode
                == Exit.DONE
            )
