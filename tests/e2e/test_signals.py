"""A terminal that goes away ends a process in good order, unless it was started to outlive its
terminal.
"""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

from tests.conftest import SECRET
from tests.e2e.swarm_process import (
    END_SECONDS,
    child,
    clean_environment,
    short_folder,
    swarm_up,
    swarmd,
    verb,
)


def test_a_daemon_that_is_hung_up_gives_back_what_it_holds_and_ends_with_129(
    redis_url: str, namespace: str, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_bytes(SECRET)
    (tmp_path / "secret").chmod(0o600)
    environment = clean_environment(
        tmp_path,
        REDIS_URL=redis_url,
        SWARMD_NAMESPACE=namespace,
        SWARMD_SECRET_FILE=str(tmp_path / "secret"),
    )
    with child(["up"], environment) as up:
        up.until_said("is up")
        up.until_said("leading")
        up.process.send_signal(signal.SIGHUP)
        assert up.ended() == 129
        assert "SIGHUP" in up.until_said("once more to end at once")
    # Had it only died, its leases would be there for seconds.
    state = json.loads(verb(environment, "health", "--json").stdout)
    assert (state["leader"], state["hosts"]) == ("", [])


def test_a_daemon_that_ignores_being_hung_up_goes_on() -> None:
    with short_folder() as data:
        environment = clean_environment(data)
        ignoring = "trap '' HUP; exec " + " ".join(swarmd("up"))
        up = subprocess.Popen(
            ["/bin/sh", "-c", ignoring],
            env=environment,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            for _ in range(100):
                if verb(environment, "health").returncode == 0:
                    break
                assert up.poll() is None
            up.send_signal(signal.SIGHUP)
            assert verb(
                environment, "submit", "What is a fence?", "--wait", "--timeout", "60"
            ).returncode in (0, 4)
            assert up.poll() is None
            up.send_signal(signal.SIGTERM)
            assert up.wait(END_SECONDS) == 143
        finally:
            if up.poll() is None:
                up.kill()
            up.wait(END_SECONDS)


def test_a_run_that_is_hung_up_cancels_its_mission_and_ends_with_129(tmp_path: Path) -> None:
    (tmp_path / "swans.md").write_text("The swan sings before it dies.\n")
    with short_folder() as data:
        running = ["run", "When does the swan sing?", "--files", "swans.md"]
        with child(running, clean_environment(data), cwd=tmp_path) as run:
            run.until_said("clerk: Mission")
            run.process.send_signal(signal.SIGHUP)
            assert run.ended() == 129
            assert "0 unconfirmed, 0 unreachable" in run.stderr


def test_what_only_looks_and_follows_is_ended_by_it_at_once() -> None:
    with (
        short_folder() as data,
        swarm_up(data),
        child(["tail", "journal"], clean_environment(data), keeps_stdout=True) as tail,
    ):
        assert tail.process.stdout is not None
        assert tail.process.stdout.readline()
        tail.process.send_signal(signal.SIGHUP)
        assert tail.ended() == -signal.SIGHUP
