"""Each mutant in a copy of the tree of its own, and what the tests named for its law say of it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.mutants.table import ROOT, Mutant, mutated, node_ids, named_by_law

# What the tests need of a tree. Nothing is linked: a test that writes beside its module must not write to ours.
_COPIED: Final = (
    "swarmd",
    "tests",
    "channels",
    "policies",
    "knowledge",
    "docs",
    "pyproject.toml",
    "README.md",
)
# Longer than the slowest named test takes on a busy machine. What hangs is ended, and has killed nothing.
RUN_SECONDS: Final = 600.0
_TEST_SECONDS: Final = 120

PASSED, FAILED = 0, 1  # pytest's exit codes; any other means that it did not get so far as to judge


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one mutant. `killed_by` is the test that failed, empty where none did."""

    mutant: Mutant
    killed_by: str
    seconds: float
    detail: str = ""

    @property
    def lives(self) -> bool:
        return not self.killed_by


@contextmanager
def scratch() -> Iterator[Path]:
    """A copy of the tree, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="swarmd-mutant-") as folder:
        copy = Path(folder)
        for name in _COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, copy / name)
            elif source.exists():
                shutil.copy2(source, copy / name)
        yield copy


def put_in(mutant: Mutant, copy: Path) -> None:
    """The fault into the copy. What was compiled of the file goes with the text it was compiled from."""
    path = copy / mutant.file
    path.write_text(mutated(mutant, copy), encoding="utf-8")
    for compiled in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):
        compiled.unlink()


def judge(mutant: Mutant, seconds: float = RUN_SECONDS) -> Verdict:
    """Put in and judged by its tests."""
    tests = node_ids(mutant, named_by_law())
    began = time.monotonic()
    with scratch() as copy:
        put_in(mutant, copy)
        code, output = run_tests(copy, tests, seconds)
    took = time.monotonic() - began
    failed = re.search(r"^FAILED \S+::(\w+)", output, re.M)
    if code == FAILED and failed is not None:
        return Verdict(mutant, failed[1], took)
    detail = "all its tests passed" if code == PASSED else f"pytest ended with {code}:\n{output[-2_000:]}"
    return Verdict(mutant, "", took, detail)


def judge_all(mutants: Iterable[Mutant], jobs: int) -> Iterator[Verdict]:
    """In the order of the table, as each is known."""
    with ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(judge, mutants)


def whole_tree(mutants: Sequence[Mutant], seconds: float = RUN_SECONDS) -> tuple[int, str]:
    """The tests of these mutants on a copy without any: one that fails anyway would kill every mutant."""
    by_law = named_by_law()
    tests = sorted({test for mutant in mutants for test in node_ids(mutant, by_law)})
    with scratch() as copy:
        return run_tests(copy, tests, seconds)


def run_tests(copy: Path, tests: Sequence[str], seconds: float) -> tuple[int, str]:
    """Pytest's exit code and output, in the copy and of the copy."""
    command = [
        sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--no-header", "--tb=line", "-rf",
        "--timeout", str(_TEST_SECONDS), *tests,
    ]  # fmt: skip
    # In front of what is installed, also for the processes that tests start.
    environment = os.environ | {"PYTHONPATH": str(copy)}
    try:
        done = subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        return -1, f"not over after {seconds:.0f} s"
    return done.returncode, done.stdout + done.stderr
