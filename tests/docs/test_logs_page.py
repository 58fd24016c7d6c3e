"""The page on logs has an example that works on what `swarmd up` really writes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from swarmd.log_events import LogEvent

PAGE = (Path(__file__).parents[2] / "docs/logs.md").read_text(encoding="utf-8")


def test_the_example_finds_the_events_of_a_log_that_begins_with_plain_text(tmp_path: Path) -> None:
    if shutil.which("jq") is None and not os.environ.get("CI"):
        pytest.skip("jq: not installed")
    (command,) = re.findall(r"^jq .*$", PAGE, re.M)
    wanted = {"event": LogEvent.SERVER_AWAY.value, "message": "the server is away"}
    lines = [
        "model: builtin, which is rules and retrieval",
        "swarmd is up, on /srv/swarm",
        json.dumps({"message": "a library's line", "logger": "asyncio"}),
        json.dumps(wanted),
        "12",
    ]
    (tmp_path / "swarmd.log").write_text("\n".join(lines) + "\n")
    done = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [json.loads(line) for line in done.stdout.splitlines()] == [wanted]
