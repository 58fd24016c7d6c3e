"""Somebody takes a right of the daemon's user away and gives it back: the process stays, says
so, and goes on.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from swarmd.adapters.redis.connection.requirements import connect_sync
from tests.contract.test_rights import served
from tests.e2e.swarm_process import child, clean_environment, verb

GIVEN_BACK = ("+@all", "allkeys", "allchannels")


@pytest.mark.parametrize(
    "taken", [("-evalsha", "-eval"), ("-@all",), ("resetkeys", "resetchannels")]
)
def test_the_daemon_outlives_the_loss_of_its_rights(
    taken: tuple[str, ...], short_path: Path, tmp_path: Path
) -> None:
    with served(short_path, "appendonly yes") as place, connect_sync(place) as operator:
        environment = clean_environment(tmp_path, REDIS_URL=f"unix://own:word@{place}")
        # Who looks has another user than the daemon.
        looking = environment | {"REDIS_URL": f"unix://{place}"}
        with child(["up"], environment) as up:
            up.until_said("leading")
            before = verb(looking, "submit", "What is a fence?", "--wait", "--timeout", "60")
            assert before.returncode in (0, 4), before.stderr
            operator.command("ACL", "SETUSER", "own", *taken)
            up.until_said("may not do what it did before")
            for _ in range(100):
                state = json.loads(verb(looking, "health", "--json").stdout)
                if state["leader"] == "" and any("cannot work" in one for one in state["findings"]):
                    break
            else:
                pytest.fail(f"health does not say it: {state}")
            assert any("NOPERM" in one or "ACL" in one for one in state["findings"]), state
            assert up.process.poll() is None, up.stderr
            waiting = verb(looking, "submit", "What is a fence?", "--id", "m-second")
            assert waiting.returncode == 0
            operator.command("ACL", "SETUSER", "own", *GIVEN_BACK)
            up.until_said("may do what it did before again")
            after = verb(
                looking,
                "submit",
                "What is a fence?",
                "--id",
                "m-second",
                "--wait",
                "--timeout",
                "90",
            )
            assert after.returncode == before.returncode, after.stderr + up.stderr
            assert verb(looking, "health").returncode == 0
            assert "Traceback" not in up.stderr
        assert verb(looking, "journal", "verify").returncode == 0
        assert verb(looking, "fsck").returncode == 0


def test_a_right_that_the_daemon_never_had_ends_it_at_its_start_with_5(
    short_path: Path, tmp_path: Path
) -> None:
    with served(short_path) as place, connect_sync(place) as operator:
        operator.command("ACL", "SETUSER", "own", "-evalsha", "-eval")
        environment = clean_environment(tmp_path, REDIS_URL=f"unix://own:word@{place}")
        with child(["up"], environment) as up:
            assert up.ended() == 5
            assert "may not do this" in up.stderr
            assert "Traceback" not in up.stderr
