"""`python -m tests.zoo.accepted`: one mission with agents that hand in what is not done, with the
rules of law 13 and without them, over the same seeds.

A real supervisor and a real worker over the real store, in a world whose time jumps. Ends with 0
where each mission with the rules on is right and none with a fault and the rules off is, and with 7
where not.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final
from unittest import mock

import anyio
import structlog

from swarmd.adapters.files.workspace import Workspace
from swarmd.core.agent.final_report import Findings
from swarmd.core.model.moves import MOVE, Report
from swarmd.core.tasks.checking import Artefact, Evidence
from swarmd.ports.models import Answered, Failed, Prompt, Usage
from tests.runtime.test_worker import jumping, result_of, stored, supervised, worker_of
from tests.zoo.liars import CHANGE, FAULTS, HANDBOOK, Fault, Minds, truth_of

WRONG: Final = 7
SEEDS: Final = 20
# Who has which fault: nobody, each alone, and all of them.
ROWS: Final[tuple[frozenset[Fault], ...]] = (
    frozenset(),
    *(frozenset([fault]) for fault in FAULTS),
    frozenset(FAULTS),
)
_MISSION: Final = "m-accepted"
_MISSION_SECONDS: Final = 3_600.0  # of virtual time
_ANSWER_TOKENS: Final = 2_000
_CHARS_OF_TOKEN: Final = 4


# --- the rules off ------------------------------------------------------------------------------


async def _nothing_looked_up(_files: Any, _acting: Any, report: Report) -> Findings:
    return Findings(digest=Evidence(Artefact(report.text)).digest if report.done else "")


# Law 13 is these four: with them replaced a final report is believed as it is given.
RULES_OFF: Final[dict[str, Callable[..., Any]]] = {
    # The runtime looks up no citation and no check of the charter.
    "swarmd.runtime.turn.steps.check_report": _nothing_looked_up,
    # No child is at work, and nothing is unread.
    "swarmd.runtime.turn.steps.at_work": lambda *_: [],
    "swarmd.runtime.turn.steps.to_be_heard": lambda _: 0,
    # The supervisor takes what is handed in.
    "swarmd.core.tasks.law._why_not_final": lambda *_: None,
}


async def _in_loop(function: Callable[..., Any], *args: Any, **_: Any) -> Any:
    """Time jumps while a thread works, so files are read in the loop."""
    return function(*args)


@contextmanager
def _world(*, rules: bool) -> Iterator[None]:
    replaced = {"anyio.to_thread.run_sync": _in_loop, **({} if rules else RULES_OFF)}
    with ExitStack() as stack:
        for name, function in replaced.items():
            stack.enter_context(mock.patch(name, function))
        yield


# --- one mission --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one mission. `tokens` are a fourth of the characters asked and answered."""

    faults: frozenset[Fault]
    seed: int
    rules: bool
    is_right: bool
    calls: int
    tokens: int
    text: str = ""

    @property
    def is_as_promised(self) -> bool:
        """Right with the rules on, and without them only where nobody has a fault."""
        return self.is_right == (self.rules or not self.faults)


@dataclass(slots=True)
class Model:
    """The port `Model` for everybody. It thinks for a time that the seed draws."""

    minds: Minds
    chance: random.Random
    calls: int = 0
    tokens: int = 0
    name: str = field(default="scripted:accepted", init=False)
    is_language_model: bool = field(default=False, init=False)

    def bound(self, prompt: Prompt) -> Usage:
        return Usage(_tokens_of(prompt), _ANSWER_TOKENS)

    def expected(self, prompt: Prompt) -> Usage:
        return self.bound(prompt)

    async def aclose(self) -> None:
        """Nothing is open."""

    async def attempt(
        self, prompt: Prompt, sending: Callable[[], None] = lambda: None
    ) -> Answered | Failed:
        sending()
        await anyio.sleep(self.chance.uniform(0.1, 8.0))
        moves = self.minds.moves(prompt.view)
        used = Usage(_tokens_of(prompt), len(str(moves)) // _CHARS_OF_TOKEN)
        self.calls += 1
        self.tokens += used.tokens
        return Answered(tuple(MOVE.validate_python(move) for move in moves), used)


def _tokens_of(prompt: Prompt) -> int:
    said = (prompt.shared, prompt.persona, prompt.reminder, *(one.text for one in prompt.pieces))
    return sum(map(len, said)) // _CHARS_OF_TOKEN


def mission(faults: frozenset[Fault], seed: int, *, rules: bool) -> Outcome:
    truth = truth_of(seed)
    minds = Minds(faults, truth, random.Random(f"minds {seed}"))
    model = Model(minds, random.Random(f"times {seed}"))

    async def run(folder: Path) -> str:
        for path, lines in ((HANDBOOK, truth.handbook), (CHANGE, truth.change)):
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_text("\n".join(lines), encoding="utf-8")
        files = Workspace(folder / "missions", folder)
        worker = partial(worker_of, model=model, files=files)
        async with stored() as store, supervised(store, worker(store)):
            asked = {"mission": "Review it.", "id": _MISSION}
            await store.keep_mission({**asked, "files": f'["{HANDBOOK}", "{CHANGE}"]'})
            told = await result_of(store, _MISSION, _MISSION_SECONDS)
            return told.text if told.data["state"] == "delivered" else ""

    with _world(rules=rules), tempfile.TemporaryDirectory() as folder:
        text = jumping(lambda: run(Path(folder)))
    right = truth.is_told_by(text)
    return Outcome(faults, seed, rules, right, model.calls, model.tokens, text)


# --- all of them --------------------------------------------------------------------------------


def table(outcomes: Sequence[Outcome]) -> list[str]:
    """A line for each fault: how many missions were right, and what one took on average."""
    head = f"{'who hands in what is not done':30}" + "".join(
        f"  {f'rules {arm}: right':>16} {'calls':>6} {'tokens':>7}" for arm in ("off", "on")
    )
    rows = dict.fromkeys(one.faults for one in outcomes)
    return [head, *(_row(row, [one for one in outcomes if one.faults == row]) for row in rows)]


def _row(faults: frozenset[Fault], outcomes: Sequence[Outcome]) -> str:
    named = "nobody" if not faults else "all three" if len(faults) > 1 else f"one {min(faults)}"
    cells = [f"{named:30}"]
    for rules in (False, True):
        arm = [one for one in outcomes if one.rules is rules]
        right = f"{sum(one.is_right for one in arm)} of {len(arm)}"
        calls = sum(one.calls for one in arm) / len(arm)
        tokens = sum(one.tokens for one in arm) / len(arm)
        cells.append(f"{right:>16} {calls:6.1f} {tokens:7,.0f}")
    return "  ".join(cells)


def _watched(faults: frozenset[Fault], seed: int, rules: bool) -> Outcome:
    """One run, in a process of its own kind: what the daemon logs is not shown."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    return mission(faults, seed, rules=rules)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.zoo.accepted")
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"of each mission; {SEEDS}")
    parser.add_argument("--jobs", type=int, default=1, help="processes side by side; 1")
    args = parser.parse_args()
    runs = [(row, seed, on) for row in ROWS for seed in range(args.seeds) for on in (False, True)]
    with ProcessPoolExecutor(args.jobs) as pool:
        outcomes = list(pool.map(_watched, *zip(*runs, strict=True)))
    wrong = [one for one in outcomes if not one.is_as_promised]
    for line in [*table(outcomes), *(f"WRONG {one}" for one in wrong)]:
        sys.stdout.write(line + "\n")
    return WRONG if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
