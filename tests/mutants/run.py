"""Each mutant in a copy of the tree of its own, and what the tests named for its law say of it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Final, Self

from tests.mutants.table import ROOT, Mutant, mutated, named_by_law, node_ids

# What the tests need of a tree. Nothing is linked: a test that writes beside its module must not
# write to ours.
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
# Longer than the slowest test, and than all of them one after the other, take on a machine that is
# ten times too busy. What hangs is ended, and has killed nothing.
_TEST_SECONDS: Final = 300
RUN_SECONDS: Final = 3_600.0

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
    """The fault into the copy. What was compiled of the file goes with the text it was compiled
    from.
    """
    path = copy / mutant.file
    path.write_text(mutated(mutant, copy), encoding="utf-8")
    for compiled in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):
        compiled.unlink()


class Runner:
    """A process that has imported what never changes, and runs tests of one copy after the other
    (`warm.py`).
    """

    def __enter__(self) -> Self:
        # Without the script's own folder in front of what it imports.
        command = [sys.executable, "-P", str(Path(__file__).with_name("warm.py"))]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def run(
        self, copy: Path, tests: Sequence[str], seconds: float = RUN_SECONDS
    ) -> tuple[int, str]:
        """Pytest's exit code and output, in the copy and of the copy."""
        output = copy / "output.txt"
        words = [
            "-x",
            "-q",
            "-p",
            "no:cacheprovider",
            "--no-header",
            "--tb=line",
            "-rf",
            f"--timeout={_TEST_SECONDS}",
            *tests,
        ]
        asked = {"copy": str(copy), "output": str(output), "words": words, "seconds": seconds}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        return code, output.read_text(encoding="utf-8", errors="replace")


def judge(mutant: Mutant, runner: Runner) -> Verdict:
    """Put in and judged by its tests."""
    tests = node_ids(mutant, named_by_law())
    began = time.monotonic()
    with scratch() as copy:
        put_in(mutant, copy)
        code, output = runner.run(copy, tests)
    took = time.monotonic() - began
    failed = re.search(r"^FAILED \S+::(\w+)", output, re.M)
    if code == FAILED and failed is not None:
        return Verdict(mutant, failed[1], took)
    detail = (
        "all its tests passed"
        if code == PASSED
        else f"pytest ended with {code}:\n{output[-2_000:]}"
    )
    return Verdict(mutant, "", took, detail)


def judge_all(mutants: Iterable[Mutant], jobs: int) -> Iterator[Verdict]:
    """In the order of the table, as each is known."""
    with ExitStack() as opened:
        free = SimpleQueue[Runner]()
        for _ in range(jobs):
            free.put(opened.enter_context(Runner()))

        def judged(mutant: Mutant) -> Verdict:
            runner = free.get()
            try:
                return judge(mutant, runner)
            finally:
                free.put(runner)

        pool = opened.enter_context(ThreadPoolExecutor(jobs))
        yield from pool.map(judged, mutants)


def whole_tree(mutants: Sequence[Mutant]) -> tuple[int, str]:
    """The tests of these mutants on a copy without any: one that fails anyway would kill every
    mutant.
    """
    by_law = named_by_law()
    tests = sorted({test for mutant in mutants for test in node_ids(mutant, by_law)})
    with scratch() as copy, Runner() as runner:
        return runner.run(copy, tests)
