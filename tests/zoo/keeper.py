"""Counts over the zoo: what was found of those that are sick, how soon, and of those that are not."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from tests.zoo.healthy import HEALTHY
from tests.zoo.sick import SICK
from tests.zoo.stage import DETECTED_WITHIN, Cage, Finding, chance_of, live
from tests.zoo.wedged import STALLED, never_ends, takes_its_time


@dataclass(frozen=True, slots=True)
class Seen:
    """One mind with one seed. `truth` is the detector that its fault is for; empty where it has
    none. `after`: settled turns from the first that may show the fault; `None` where that has no
    meaning.
    """

    mind: str
    seed: int
    truth: str
    found: Sequence[Finding]
    after: int | None = None

    @property
    def is_right(self) -> bool:
        """Found by its detector and no other, in time; or rightly not found."""
        by = {finding.detector for finding in self.found}
        is_soon = self.after is None or self.after <= DETECTED_WITHIN
        return by == ({self.truth} if self.truth else set()) and is_soon

    def __str__(self) -> str:
        by = ", ".join(sorted({finding.detector for finding in self.found})) or "nothing"
        late = "" if self.after is None else f" after {self.after} turns"
        return f"{self.mind}, seed {self.seed}: {by}{late}, and it is {self.truth or 'healthy'}"


Watched = Callable[[int], Seen]


def _caged(make: Callable[[random.Random], Cage], truth: str) -> Watched:
    def watched(seed: int) -> Seen:
        cage = make(chance_of(make.__name__, seed))
        found = live(cage)
        after = found[0].turn - cage.sick_from if found and cage.sick_from else None
        return Seen(make.__name__, seed, truth, found, after)

    return watched


def _supervised(watch: Callable[[random.Random], list[Finding]], truth: str) -> Watched:
    def watched(seed: int) -> Seen:
        return Seen(watch.__name__, seed, truth, watch(chance_of(watch.__name__, seed)))

    return watched


ALL: Final[dict[str, Watched]] = {
    **{make.__name__: _caged(make, truth) for make, truth in SICK.items()},
    never_ends.__name__: _supervised(never_ends, STALLED),
    **{make.__name__: _caged(make, "") for make in HEALTHY},
    takes_its_time.__name__: _supervised(takes_its_time, ""),
}


def table(seen: Iterable[Seen]) -> list[str]:
    """A line for each mind, then the counts of each detector."""
    by_mind: dict[str, list[Seen]] = {}
    for one in seen:
        by_mind.setdefault(one.mind, []).append(one)
    rows = [f"{'mind':38} {'is':17} {'seeds':>5} {'right':>5}  found after, turns"]
    rows += [_row(mind, found) for mind, found in by_mind.items()]
    everyone = [one for found in by_mind.values() for one in found]
    return [*rows, "", *_counts(everyone)]


def _row(mind: str, found: Sequence[Seen]) -> str:
    right = sum(one.is_right for one in found)
    after = [one.after for one in found if one.after is not None]
    span = f"{min(after)} to {max(after)}" if after else ""
    truth = found[0].truth or "healthy"
    return f"{mind:38} {truth:17} {len(found):5} {right:5}  {span}".rstrip()


def _counts(everyone: Sequence[Seen]) -> list[str]:
    rows = [f"{'detector':17} {'sick':>5} {'recall':>7} {'others':>7} {'false alarms':>13}"]
    for detector in dict.fromkeys(one.truth for one in everyone if one.truth):
        sick = [one for one in everyone if one.truth == detector]
        others = [one for one in everyone if one.truth != detector]
        recall = sum(_is_by(one, detector) for one in sick) / len(sick)
        alarms = sum(_is_by(one, detector) for one in others)
        rows.append(f"{detector:17} {len(sick):5} {recall:7.3f} {len(others):7} {alarms:13}")
    return rows


def _is_by(one: Seen, detector: str) -> bool:
    return any(finding.detector == detector for finding in one.found)
