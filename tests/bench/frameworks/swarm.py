"""The mission by a swarm: `swarmd run` of the tree that is checked out, with the shipped policies and a
board of so many seats."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.bench.frameworks.missions import FILES, Mission

TREE: Final = Path(__file__).resolve().parents[3]
ALL_SEATS: Final = 6
# What a mission came to, by the exit code that the contract has for it; the rest is told as it is.
STATES: Final = {
    0: "delivered",
    1: "failed",
    4: "rejected",
    6: "deadline",
    8: "exhausted",
    -1: "no end",
}


@dataclass(frozen=True, slots=True)
class Ran:
    code: int  # of the exit
    text: str  # the result
    said: str  # on standard error


def run(url: str, mission: Mission, seats: int, *, seconds: float, model: str = "mind") -> Ran:
    with settings(seats) as (words, policies, data):
        command = [sys.executable, "-m", "swarmd", "run", mission.text, "--files", str(FILES)]
        command += ["--model", f"openai:{model}", "--policies", str(policies), *words]
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("SWARMD_", "REDIS_"))}
        own = {"SWARMD_DATA": str(data), "OPENAI_BASE_URL": url, "OPENAI_API_KEY": "sk-of-nobody"}
        try:
            done = subprocess.run(
                command,
                env={**kept, **own, "NO_COLOR": "1"},
                capture_output=True,
                text=True,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            return Ran(-1, _said(late.stdout), _said(late.stderr))
    return Ran(done.returncode, done.stdout, done.stderr)


def _said(text: bytes | str | None) -> str:
    return text.decode(errors="replace") if isinstance(text, bytes) else text or ""


@contextmanager
def settings(seats: int) -> Iterator[tuple[list[str], Path, Path]]:
    folder = Path(tempfile.mkdtemp(prefix="sw-"))
    try:
        policies = folder / "policies"
        shutil.copytree(TREE / "policies", policies)
        if _has_board_option():
            words = ["--board", "all" if seats == ALL_SEATS else str(seats)]
        else:
            words = []
            board = policies / "board.yaml"
            board.write_text(narrowed(board.read_text(encoding="utf-8"), seats), encoding="utf-8")
        yield words, policies, folder / "data"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _has_board_option() -> bool:
    helped = subprocess.run(
        [sys.executable, "-m", "swarmd", "run", "--help"],
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return "--board" in helped.stdout


def narrowed(board: str, seats: int) -> str:
    """A board.yaml with its first so many seats, and a quorum of most of them."""
    listed = re.search(r"^seats:\n((?:  - .*\n)+)", board, re.MULTILINE)
    assert listed is not None
    kept = "".join(listed[1].splitlines(keepends=True)[:seats])
    quorum = f"quorum: {min(seats, seats // 2 + 1)}"
    return re.sub(r"^quorum: .*$", quorum, board.replace(listed[1], kept), flags=re.MULTILINE)
