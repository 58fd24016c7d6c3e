"""The verbs that run something themselves, as processes: `run`, `up`, `check`, `init`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from swarmd.cli.main import main
from tests.e2e.swarm_process import VERB_SECONDS
from tests.e2e.test_cli_inspect import swarmd


@pytest.fixture
def env(short_path: Path, tmp_path: Path) -> dict[str, str]:
    """A swarm of its own, on the embedded server and without a language model."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SWARMD_", "OPENAI_", "REDIS_"))
    }
    (tmp_path / "swans.md").write_text("Swans are birds. The swan sings before it dies.\n")
    return kept | {
        "SWARMD_DATA": str(short_path),
        "SWARMD_MODEL": "builtin",
        "PYTHONUNBUFFERED": "1",
    }


@pytest.fixture
def started(env: dict[str, str], tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        swarmd("up"),
        env=env,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        while "is up" not in (line := process.stderr.readline()):
            assert line, "it ended before it was up"
        yield process
    finally:
        process.kill()
        process.communicate(timeout=VERB_SECONDS)


def test_run_prints_the_result_alone_and_its_progress_beside_it(
    env: dict[str, str], tmp_path: Path
) -> None:
    done = subprocess.run(
        swarmd("run", "When does the swan sing?", "--files", "swans.md"),
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=VERB_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "The swan sings before it dies." in done.stdout
    assert "swans.md:1" in done.stdout
    assert "proposes:" not in done.stdout
    for shown in ("proposes:", "+ sob created", "delivered (spent"):
        assert shown in done.stderr
    folded = [line for line in done.stderr.split("\n") if " consent (" in line]
    assert len(folded) == 2, "each debate of the built-in mind is one line"
    assert all("rules and retrieval, no language model" in line for line in folded)
    assert "consents:" not in done.stderr
    assert "\x1b" not in done.stderr


def test_the_mission_comes_first_and_files_must_exist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.md").write_text("a")
    assert main(["run", "a.md", "Find it", "--files", "a.md"]) == 2
    assert "comes before the files" in capsys.readouterr().err
    assert main(["run", "Find it", "--files", "nowhere.md"]) == 3
    assert "nowhere.md" in capsys.readouterr().err
    assert main(["run", ""]) == 2
    assert list(tmp_path.iterdir()) == [tmp_path / "a.md"]


def test_an_interrupted_run_ends_its_mission_and_exits_with_130(
    env: dict[str, str], tmp_path: Path
) -> None:
    running = subprocess.Popen(
        swarmd("run", "When does the swan sing?", "--files", "swans.md"),
        env=env,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stderr is not None
    while "clerk: Mission" not in (line := running.stderr.readline()):
        assert line, "it ended before the board took the mission up"
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=VERB_SECONDS)
    assert (running.returncode, out) == (130, ""), err
    assert "0 unconfirmed, 0 unreachable" in err
    assert "cancelled" in err


def test_up_is_healthy_serves_a_mission_and_drains_at_sigterm(
    started: subprocess.Popen[str], env: dict[str, str]
) -> None:
    def ask(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            swarmd(*words),
            env=env,
            capture_output=True,
            text=True,
            timeout=VERB_SECONDS,
            check=False,
        )

    deadline = time.monotonic() + VERB_SECONDS
    while ask("health").returncode != 0:
        assert time.monotonic() < deadline, "a started swarm was never healthy"
    done = ask("submit", "What does the constitution say of suffering?", "--wait", "--json")
    assert done.returncode in (0, 4), done.stderr
    mission = json.loads(done.stdout)
    assert mission["state"] in ("delivered", "rejected")
    assert ask("cancel", mission["id"]).returncode == 4
    assert ask("terminate", "picard-nobody").returncode == 3
    refused = ask("terminate", "socrates")
    assert (refused.returncode, "terminate.descendant" in refused.stderr) == (4, True)
    started.send_signal(signal.SIGTERM)
    assert started.wait(timeout=VERB_SECONDS) == 143


def test_check_names_every_fault_and_init_writes_what_check_accepts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", str(tmp_path)]) == 0
    written = capsys.readouterr().out.split()
    folders = ["--policies", str(tmp_path / "policies"), "--channels", str(tmp_path / "channels")]
    assert str(tmp_path / "policies" / "board.yaml") in written
    assert main(["check", *folders]) == 0
    assert main(["check", "--policies", str(tmp_path / "nowhere")]) == 3
    board = tmp_path / "policies" / "board.yaml"
    board.write_text(board.read_text() + "\nquorums: 4\n")
    capsys.readouterr()
    assert main(["check", *folders, "--json"]) == 7
    faults = json.loads(capsys.readouterr().out)["faults"]
    assert len(faults) == 1
    assert faults[0].startswith(f"{board}:")
    assert main(["init", str(tmp_path)]) == 2
