"""`python -m tests.bench.vector`: what it costs a turn to keep its agent's progress vector.

Counts bytecode instructions that swarmd's own code executes in whole turns of a worker, and how many
of them are the vector's: the same on every machine with the same Python. What C does within one
instruction (digests, JSON, regular expressions) is not in it, so the vector's time is told, too,
which moves with the machine.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Final
from unittest.mock import patch

import structlog

import swarmd
from swarmd.core.agent import output_limits, progress_vector
from swarmd.core.agent.progress_vector import TakenTurn
from swarmd.runtime.turn import turn
from tests.zoo.healthy import (
    checks_files_with_one_verdict,
    debates_with_new_references,
    searches_long,
    writes_part_by_part,
)
from tests.zoo.stage import chance_of, live

_OURS: Final = str(Path(swarmd.__file__).parent)
_CAGES: Final = (
    checks_files_with_one_verdict,
    debates_with_new_references,
    searches_long,
    writes_part_by_part,
)
SEED: Final = 7


def _counted(do: Callable[[], Any]) -> Counter[str]:
    """Instructions of turns and, among them, of the vector; and how many turns there were.

    A turn's are those that are executed while it is on the stack. What other tasks do for it, such
    as sending its commit, is not among them.
    """
    found, depth = Counter[str](), Counter[str]()

    def part_of(frame: FrameType) -> str:
        if frame.f_code is turn.take_turn.__code__:
            return "turn"
        return "vector" if frame.f_code.co_filename == progress_vector.__file__ else "other"

    def in_frame(frame: FrameType, event: str, _: Any) -> Any:
        if event == "opcode":
            found["turn"] += depth["turn"] > 0
            found["vector"] += depth["turn"] > 0 and depth["vector"] > 0
        elif event == "return":
            depth[part_of(frame)] -= 1
        return in_frame

    def on_call(frame: FrameType, _event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.startswith(_OURS):
            return None
        depth[part_of(frame)] += 1
        found["turns"] += frame.f_code is progress_vector.moved.__code__
        frame.f_trace_opcodes = True
        return in_frame

    sys.settrace(on_call)
    try:
        do()
    finally:
        sys.settrace(None)
    return found


def _seconds(do: Callable[[], Any]) -> tuple[float, int]:
    """Of the vector's moves, and how many they were."""
    spent, turns, moved = 0.0, 0, progress_vector.moved

    def timed(vector: Any, taken: TakenTurn) -> Any:
        nonlocal spent, turns
        begun = time.perf_counter()
        after = moved(vector, taken)
        spent += time.perf_counter() - begun
        turns += 1
        return after

    with patch.object(output_limits, "moved", timed):
        do()
    return spent, turns


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    row = "{:32} {:>6} {:>12} {:>10} {:>7} {:>14}\n"
    heads = ("agent", "turns", "instructions", "vector's", "share", "vector's µs")
    sys.stdout.write(row.format(*heads))
    for make in _CAGES:
        name = make.__name__
        found = _counted(lambda: live(make(chance_of(name, SEED))))  # noqa: B023  # called at once
        turns = max(1, found["turns"])
        spent, judged = _seconds(lambda: live(make(chance_of(name, SEED))))  # noqa: B023
        share = 100 * found["vector"] / found["turn"]
        figures = (turns, found["turn"] // turns, found["vector"] // turns, f"{share:.1f} %")
        sys.stdout.write(row.format(name, *figures, f"{1e6 * spent / max(1, judged):.0f}"))


if __name__ == "__main__":
    main()
