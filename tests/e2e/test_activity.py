"""What `swarmd ps` says that agents are doing, of real processes: at a call, and without their
host.
"""

from __future__ import annotations

import json
import subprocess
from typing import Any

from tests.e2e.parts import LEASE_SECONDS, Models, Parts, parts, server_of_ours
from tests.e2e.swarm_process import VERB_SECONDS, swarmd
from tests.e2e.test_faults import models

__all__ = ["models"]  # the fixture


def _agents(swarm: Parts) -> dict[str, dict[str, Any]]:
    said = subprocess.run(
        swarmd("ps", "--json"),
        env=swarm.environment,
        capture_output=True,
        text=True,
        timeout=VERB_SECONDS,
        check=True,
    )
    return {agent["id"]: agent for agent in json.loads(said.stdout)["agents"]}


def test_an_agent_at_a_call_reads_busy_and_when_its_host_was_killed_dead(models: Models) -> None:
    with server_of_ours() as server, parts(models, server) as swarm:
        swarm.start("supervisor")
        worker = swarm.start("worker")
        swarm.submit("m-seen", "What is six by seven, when somebody looks?")

        def at_a_call() -> list[str]:
            return [
                id
                for id, a in _agents(swarm).items()
                if (a["activity"], a["call"]) == ("busy", "model")
            ]

        swarm.until(at_a_call, "an agent is at a call")
        worker.process.kill()
        swarm.until(
            lambda: (
                {a["activity"] for a in _agents(swarm).values() if a["tier"] == 0} == {"", "dead"}
            ),
            "the seats' host is gone",
            LEASE_SECONDS + 10,
        )
