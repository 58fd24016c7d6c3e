"""What a run of chaos says at its end: the seed, what was done to the swarm, figures, and what
did not hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Report:
    """`counts` and `figures` in the order in which they are printed. The verdict is that
    `faults` is empty.
    """

    name: str
    seed: int
    counts: dict[str, int] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def must(self, claim: bool, otherwise: str) -> None:
        if not claim:
            self.faults.append(otherwise)

    def text(self) -> str:
        rows = [f"{self.name}  seed {self.seed}"]
        rows += [f"  {name:<34}{count:>12,}" for name, count in self.counts.items()]
        rows += [f"  {name:<34}{value:>12,.3f}" for name, value in self.figures.items()]
        rows += [f"  NOT HELD: {fault}" for fault in self.faults]
        return "\n".join(
            [*rows, f"verdict: {'held' if not self.faults else f'{len(self.faults)} not held'}"]
        )


def spread(seconds: Sequence[float], unit: str = "s") -> Mapping[str, float]:
    """A distribution in four figures."""
    if not seconds:
        return {}
    ordered = sorted(seconds)
    places = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
    found = {
        f"{name} {unit}": ordered[min(int(len(ordered) * p), len(ordered) - 1)]
        for name, p in places.items()
    }
    return {**found, f"max {unit}": ordered[-1]}
