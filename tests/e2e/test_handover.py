"""What a mission delivered is handed over as files: two executives, one of which has a child, on
the embedded server with a scripted mind.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

import pytest
import redis
import yaml

from tests.e2e.swarm_process import (
    ENDED,
    MISSION_SECONDS,
    SwarmProcess,
    child,
    clean_environment,
    short_folder,
    verb,
)

MISSION: Final = "Say how deep it is."
LINE: Final = "It is twelve metres deep at the pier."
REPORTS: Final = ("work/reports/alpha.md", "work/reports/beta.md", "work/reports/dig.md")


def executive(name: str) -> dict[str, str]:
    return {"key": name, "name": name, "role": "executive", "task": f"The part of {name}."}


def report(text: str, *files: str) -> dict[str, object]:
    return {"move": "report", "text": text, "done": True, "files": list(files)}


def write(path: str, text: str) -> dict[str, object]:
    args = {"path": path, "text": text}
    return {"move": "use", "function": "file/write", "args": args}


SPAWN: Final = {
    "move": "spawn",
    "key": "dig",
    "charter": {"role": "writer", "name": "dig", "task": "Dig."},
}
CHARTER: Final = {
    "motion": "charter",
    "reason": "two parts",
    "executives": [executive("alpha"), executive("beta")],
}
MIND: Final = [
    {
        "when": {"phase": "propose"},
        "moves": [{"move": "propose", "motion": CHARTER}],
    },
    {
        "when": {"name": "alpha", "mail_kind": "charter"},
        "moves": [SPAWN, {"move": "wait", "whom": ["dig"]}],
    },
    {
        "when": {"name": "alpha", "mail_kind": "report", "step": 0},
        "moves": [write("depth/pier.md", f"{LINE}\n"), write("scratch.md", "Nobody names me.\n")],
    },
    {
        "when": {"name": "alpha", "mail_kind": "report"},
        # As it was written, and not as it lies.
        "moves": [report(f"Alpha: {LINE}", "depth/pier.md")],
    },
    {"when": {"name": "beta"}, "moves": [report("Beta found nothing else.")]},
    {"when": {"name": "dig", "step": 0}, "moves": [write("dug.md", "Dug.\n")]},
    {"when": {"name": "dig"}, "moves": [report("It was dug.", "work/dug.md")]},
]


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    mind = tmp_path / "mind.yaml"
    mind.write_text(yaml.safe_dump(MIND, sort_keys=False))
    with short_folder() as data:
        yield clean_environment(data, SWARMD_MODEL=f"scripted:{mind}")


def everything(folder: Path) -> dict[str, str]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text() for path in found}


def test_a_run_hands_over_its_result_and_files_and_both_can_be_had_later(
    environment: dict[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = verb(environment, "run", MISSION, "--out", str(out), seconds=MISSION_SECONDS)
    assert done.returncode == 0, done.stderr
    assert LINE in done.stdout
    assert "Beta found nothing else." in done.stdout
    handed = everything(out)
    assert sorted(handed) == sorted(["result.md", *REPORTS, "work/depth/pier.md", "work/dug.md"])
    assert handed["result.md"] == done.stdout
    assert handed["work/depth/pier.md"] == f"{LINE}\n"
    assert "- work/depth/pier.md\n" in handed["work/reports/alpha.md"]
    assert handed["work/reports/dig.md"].endswith("\n\nIt was dug.\n")

    (mission,) = json.loads(verb(environment, "missions", "--json").stdout)["missions"]
    # The supervisor knows what executives report; what their children did is found where it lies.
    assert mission["result_files"][2:] == ["work/depth/pier.md"]
    assert {*mission["result_files"][:2]} == {*REPORTS[:2]}
    later = verb(environment, "result", mission["id"])
    assert (later.returncode, later.stdout) == (0, done.stdout), later.stderr
    assert all(path in later.stderr for path in handed if path != "result.md")
    again = verb(environment, "result", mission["id"][:6], "--out", str(tmp_path / "again"))
    assert again.returncode == 0, again.stderr
    assert everything(tmp_path / "again") == handed
    refused = verb(environment, "result", mission["id"], "--out", str(out))
    assert (refused.returncode, refused.stdout) == (2, ""), refused.stderr
    tail = verb(environment, "tail", "results", "--no-follow", "--json")
    (result,) = [json.loads(line) for line in tail.stdout.splitlines()]
    assert result["data"]["files"] == mission["result_files"]


def _until_ended(swarm: SwarmProcess, mission: str) -> None:
    """In whichever of its lives. Between two of them nobody answers."""
    deadline = time.monotonic() + MISSION_SECONDS
    while time.monotonic() < deadline and swarm.child.process.poll() is None:
        with suppress(redis.RedisError):
            if swarm.mission(mission).get("state") in ENDED:
                return
        time.sleep(0.02)
    raise AssertionError(f"the mission did not end:\n{swarm.child.stderr}")


def test_a_worker_that_is_killed_between_a_report_and_its_commit_leaves_it_whole(
    environment: dict[str, str], tmp_path: Path
) -> None:
    data = Path(environment["SWARMD_DATA"])
    (data / "counting").touch()
    client = redis.Redis(unix_socket_path=str(data / "redis.sock"), decode_responses=True)
    # At the report of the child, of an executive and of the other one: each time before its commit.
    deaths = ["report", "1", "before"] * 3 + ["none", "0", "after"]
    with (
        closing(client),
        child(deaths, environment, module="tests.chaos.dying") as process,
    ):
        swarm = SwarmProcess(data, environment, process, client)
        process.until_said("is up")
        client.xadd("swarm:missions", {"mission": MISSION, "id": "m-cut"})
        _until_ended(swarm, "m-cut")
        assert swarm.mission("m-cut")["state"] == "delivered"
        work = data / "workspace" / "m-cut" / "work" / "work"
        # What a killed writer had not yet given its name stays hidden beside them.
        shown = [name for name in everything(work / "reports") if not name.startswith(".")]
        assert sorted(shown) == ["alpha.md", "beta.md", "dig.md"]
        for name, end in (("alpha", LINE), ("beta", "nothing else."), ("dig", "It was dug.")):
            text = (work / "reports" / f"{name}.md").read_text()
            assert text.startswith(f"# Report of {name} (")
            assert text.endswith(f"{end}\n")
        process.process.kill()
