"""Counts over the zoo: what was found of those that are sick, how soon, and of those that are not."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from tests.zoo.healthy import HEALTHY
from tests.zoo.sick import DEAD_LETTER, FLOOD, NO_CHANGE, SICK
from tests.zoo.stage import DETECTED_WITHIN, Cage, Finding, Life, chance_of, live
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
    modes: frozenset[str] = frozenset()  # that the doctor finds afterwards

    @property
    def is_right(self) -> bool:
        """Found by its detector and no other, in time, and by the doctor; or rightly not found."""
        return self.is_rightly_detected and self.is_rightly_diagnosed

    @property
    def is_rightly_diagnosed(self) -> bool:
        """The doctor names its mode. Two that loop together may be named as such as well."""
        wanted = {MODE_OF[self.truth]} if self.truth else set()
        return wanted <= self.modes and self.modes <= wanted | MAY_BE_NAMED.get(self.truth, set())

    @property
    def is_rightly_detected(self) -> bool:
        by = {finding.detector for finding in self.found}
        is_soon = self.after is None or self.after <= DETECTED_WITHIN
        return by == ({self.truth} if self.truth else set()) and is_soon

    def __str__(self) -> str:
        by = ", ".join(sorted({finding.detector for finding in self.found})) or "nothing"
        late = "" if self.after is None else f" after {self.after} turns"
        named = ", ".join(sorted(self.modes)) or "nothing"
        is_so = f"and it is {self.truth or 'healthy'}; the doctor says {named}"
        return f"{self.mind}, seed {self.seed}: {by}{late}, {is_so}"


Watched = Callable[[int], Seen]

# What the doctor calls a fault, by the detector that it is for.
MODE_OF: Final = {
    NO_CHANGE: "repetition",
    FLOOD: "flood",
    DEAD_LETTER: "poison",
    STALLED: "stalled",
}
MAY_BE_NAMED: Final[dict[str, set[str]]] = {NO_CHANGE: {"ping-pong"}}


def _caged(make: Callable[[random.Random], Cage], truth: str) -> Watched:
    def watched(seed: int) -> Seen:
        cage = make(chance_of(make.__name__, seed))
        life = live(cage)
        found = life.found
        after = found[0].turn - cage.sick_from if found and cage.sick_from else None
        return Seen(make.__name__, seed, truth, found, after, life.modes)

    return watched


def _supervised(watch: Callable[[random.Random], Life], truth: str) -> Watched:
    def watched(seed: int) -> Seen:
        life = watch(chance_of(watch.__name__, seed))
        return Seen(watch.__name__, seed, truth, life.found, modes=life.modes)

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
    ill = [one for one in everyone if one.truth]
    named = sum(one.is_rightly_diagnosed for one in ill) / max(1, len(ill))
    well = [one for one in everyone if not one.truth]
    alarms = sum(bool(one.modes) for one in well)
    return [*rows, f"{'swarmd doctor':17} {len(ill):5} {named:7.3f} {len(well):7} {alarms:13}"]


def _is_by(one: Seen, detector: str) -> bool:
    return any(finding.detector == detector for finding in one.found)
