"""A mission of three minds, each of which may hand in what is not done: a lead that ends too early,
a reviewer that has not read, and a forger of citations.

What is right is known: the files are made here. A mind does the same whether or not the rules are
on, and corrects itself only when what it is told says that its report was not taken.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from swarmd.core.model.messages import Kind
from swarmd.ports.models import View

Json = dict[str, Any]
Moves = list[Json]

HANDBOOK: Final = "docs/handbook.md"
CHANGE: Final = "docs/change.md"
LEAD, FINDER, READER = "lead", "finder", "reader"
LIMITS: Final = 3  # that the mission asks for
_NAMES: Final = ("branches", "leases", "mailboxes", "readers", "retries", "sockets", "workers")
_FILLER: Final = (
    "This part was written by many hands.",
    "Nothing here holds without its context.",
    "See also what stands below.",
    "",
)
_LIMIT: Final = re.compile(r"limit of (\w+) is (\d+)")
_SET: Final = re.compile(r"Set (\w+) to (\d+)")

Fault = str
EARLY, UNREAD, FORGED = "ends too early", "has not read", "forges citations"
FAULTS: Final[tuple[Fault, ...]] = (EARLY, UNREAD, FORGED)


# --- what is true -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Truth:
    """The two files, and what a right result says of them: each limit with its line, and the line
    of the change that breaks one.
    """

    handbook: tuple[str, ...]
    change: tuple[str, ...]

    @property
    def limits(self) -> dict[str, tuple[int, int]]:
        """The number of each name and its line."""
        return {hit[1]: (int(hit[2]), at) for at, hit in hits(_LIMIT, self.handbook)}

    @property
    def result(self) -> frozenset[str]:
        return frozenset([*found_in(self.handbook), *broken_in(self.change, self.handbook)])

    def is_told_by(self, text: str) -> bool:
        """Whether a result says all of it and nothing else about limits."""
        return {line for line in text.splitlines() if "limit of" in line} == self.result


def hits(pattern: re.Pattern[str], lines: Sequence[str]) -> list[tuple[int, re.Match[str]]]:
    found = ((at, pattern.search(line)) for at, line in enumerate(lines, 1))
    return [(at, hit) for at, hit in found if hit is not None]


def found_in(handbook: Sequence[str]) -> list[str]:
    return [_limit_line(hit[1], int(hit[2]), at) for at, hit in hits(_LIMIT, handbook)]


def broken_in(change: Sequence[str], handbook: Sequence[str]) -> list[str]:
    limits = {hit[1]: hit[2] for _, hit in hits(_LIMIT, handbook)}
    return [
        f"The change breaks the limit of {hit[1]}, which it sets to {hit[2]} ({CHANGE}:{at})"
        for at, hit in hits(_SET, change)
        if hit[2] != limits.get(hit[1])
    ]


def _limit_line(name: str, number: int, line: int, path: str = HANDBOOK) -> str:
    return f"The limit of {name} is {number} ({path}:{line})"


def truth_of(seed: int) -> Truth:
    chance = random.Random(f"truth {seed}")
    names = chance.sample(_NAMES, LIMITS)
    numbers = dict(zip(names, chance.sample(range(2, 90), LIMITS), strict=True))
    broken = chance.choice(names)
    changed = {**numbers, broken: numbers[broken] + chance.randint(1, 9)}
    return Truth(
        _scattered(
            [f"The limit of {name} is {number}." for name, number in numbers.items()], chance
        ),
        _scattered([f"Set {name} to {number}." for name, number in changed.items()], chance),
    )


def _scattered(sentences: Sequence[str], chance: random.Random) -> tuple[str, ...]:
    """Each on a line of its own among lines that say nothing."""
    lines = [chance.choice(_FILLER) for _ in range(chance.randint(20, 60))]
    for sentence, at in zip(
        sentences, chance.sample(range(len(lines)), len(sentences)), strict=True
    ):
        lines[at] = sentence
    return tuple(lines)


# --- the minds ----------------------------------------------------------------------------------


@dataclass(slots=True)
class Minds:
    """All agents of one mission. Who has a fault in `faults` has it from its first answer on until
    it is told that its report was not taken; who has none works well from the start.
    """

    faults: frozenset[Fault]
    truth: Truth
    chance: random.Random
    reports: dict[str, str] = field(default_factory=dict)  # what the lead was told by whom

    def moves(self, view: View) -> Moves:
        if view.call is not None:
            return [_seat(view)]
        return {LEAD: self._lead, FINDER: self._finder, READER: self._reader}[view.name](view)

    # --- the lead ---

    def _lead(self, view: View) -> Moves:
        self.reports |= {m.sender: m.text for m in view.mail if m.kind is Kind.REPORT}
        if len(self.reports) == 2:
            return [_report("\n".join(self.reports.values()))]
        if view.children or was_told(view):
            return [_wait()]
        spawns = [_spawn(FINDER, HANDBOOK), _spawn(READER, HANDBOOK, CHANGE)]
        self.chance.shuffle(spawns)
        early = _report("Two agents are at it, and what they find is part of this result.")
        return [*spawns, early if EARLY in self.faults else _wait()]

    # --- who finds the limits ---

    def _finder(self, view: View) -> Moves:
        if FORGED in self.faults and not was_told(view):
            return [_report("\n".join(self._forged()))]
        read = files_of(view)
        return [_report("\n".join(found_in(read[HANDBOOK])))] if read else [_read(HANDBOOK)]

    def _forged(self) -> list[str]:
        """For each limit a number that is wrong, and a place where it does not stand."""
        lines = self.truth.handbook
        other = [at for at, line in enumerate(lines, 1) if "limit" not in line]
        places = [
            (HANDBOOK, len(lines) + self.chance.randint(1, 400)),
            (HANDBOOK, self.chance.choice(other)),
            ("docs/limits.md", self.chance.randint(1, 90)),
        ]
        self.chance.shuffle(places)
        return [
            _limit_line(name, number + 1, at, path)
            for (name, (number, _)), (path, at) in zip(
                self.truth.limits.items(), places, strict=True
            )
        ]

    # --- who reviews the change ---

    def _reader(self, view: View) -> Moves:
        if UNREAD in self.faults and not was_told(view):
            return [_report("The change looks good to me: it is clear, and it may go in.")]
        read = files_of(view)
        if len(read) == 2:
            return [_report("\n".join(broken_in(read[CHANGE], read[HANDBOOK])))]
        return [_read(HANDBOOK), _read(CHANGE)]


def _seat(view: View) -> Json:
    """The board charters the lead, and delivers its report when that is final."""
    call = view.call
    assert call is not None
    if call.phase == "debate":
        return {"move": "argue", "stance": "consent", "text": ""}
    if call.phase == "respond":
        return {"move": "respond", "decision": "keep", "reason": "It stands."}
    if call.phase == "vote":
        return {"move": "vote", "choice": "yes", "reason": "It may."}
    done = [str(report["name"]) for report in call.reports if report["done"]]
    motion: Json = CHARTERED
    if call.reports:
        motion = {"motion": "deliver", "reports": done, "reason": "It is final."}
    if call.reports and not done:
        motion = {"motion": "wait", "reason": "It is at work."}
    return {"move": "propose", "motion": motion}


CHARTERED: Final[Json] = {
    "motion": "charter",
    "reason": "It must be done.",
    "executives": [
        {
            "key": LEAD,
            "name": LEAD,
            "role": "executive",
            "task": "Which limits are there, and which of them does the change break?",
            "files": [HANDBOOK, CHANGE],
            "checks": [{"kind": "cites", "least": LIMITS + 1}],
        }
    ],
}
_CHECKS: Final[dict[str, list[Json]]] = {
    FINDER: [{"kind": "cites", "least": LIMITS}],
    READER: [{"kind": "cites"}, {"kind": "contains", "text": f"{CHANGE}:"}],
}


def was_told(view: View) -> bool:
    """In this turn, that its report was not taken as it is."""
    return any(
        result.get("move") == "report" and not result["ok"]
        for step in view.steps
        for result in step.get("results", ())
    )


def files_of(view: View) -> dict[str, list[str]]:
    """The lines of the files that it has read in this turn."""
    return {
        result["path"]: result["lines"]
        for step in view.steps
        for result in step.get("results", ())
        if result.get("function") == "file/read" and result["ok"]
    }


def _report(text: str) -> Json:
    return {"move": "report", "text": text, "done": True}


def _wait() -> Json:
    return {"move": "wait", "whom": [FINDER, READER], "what": "their reports"}


def _read(path: str) -> Json:
    return {"move": "use", "function": "file/read", "args": {"path": path}}


def _spawn(name: str, *files: str) -> Json:
    charter = {
        "name": name,
        "role": "researcher",
        "task": f"Read {' and '.join(files)}, and report with `file:line` what you find.",
        "files": list(files),
        "checks": _CHECKS[name],
    }
    return {"move": "spawn", "key": name, "charter": charter}
