"""A whole swarm on a cluster, as people run one: parts, verbs and namespace, by nothing but the
address.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path

from tests.e2e.swarm_process import child, clean_environment, verb
from tests.topology import clustered

KNOWLEDGE = (
    "The lighthouse keeper trims the lamp at dusk, so that ships see the reef before they "
    "reach it.\n"
)


def test_a_mission_on_a_cluster_goes_through_every_tier_and_all_keys_share_a_slot(
    short_path: Path,
) -> None:
    data = short_path / "data"
    (data / "knowledge").mkdir(parents=True)
    (data / "knowledge" / "light.md").write_text(KNOWLEDGE)
    with ExitStack() as stack:
        nodes = stack.enter_context(clustered(short_path / "cluster", replicas=3))
        environment = clean_environment(data, REDIS_URL=nodes.url)
        for part in ("supervisor", "worker"):
            stack.enter_context(child([part], environment)).until_said("is up")
        mission = (
            "submit",
            "When does the lighthouse keeper trim the lamp?",
            "--files",
            "light.md",
            "--wait",
        )
        done = verb(environment, *mission, "--timeout", "60")
        assert done.returncode == 0, done.stderr
        assert "at dusk" in done.stdout
        assert verb(environment, "health").returncode == 0
        assert json.loads(verb(environment, "missions", "--json").stdout)
        said = verb(environment, "redis-cli", "--raw", "EXISTS", "{swarm}:_meta")
        assert said.stdout.strip() == "1", said.stderr
        ordered = verb(environment, "freeze", "all")
        assert ordered.returncode == 0, ordered.stderr
        assert verb(environment, "fsck").returncode == 0
        keys = [node.ask("KEYS", "*") for node in nodes.primaries]
        assert sorted(bool(found) for found in keys) == [False, False, True]
