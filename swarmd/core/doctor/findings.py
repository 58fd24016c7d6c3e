"""What a detector finds: whom, how often, on what evidence, and what it cost. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from swarmd.core.doctor.history import History, Refusal


@dataclass(frozen=True, slots=True)
class Finding:
    """One episode. `evidence` names the journal's entries by their numbers; `used` is what the
    turns of the episode used, by kind, and empty where the journal does not say which they were.
    """

    agent: str
    what: str
    evidence: tuple[str, ...]
    times: int = 1
    used: Mapping[str, int] = field(default_factory=dict)


def of_refusals(
    history: History, refusals: Sequence[Refusal], what: str, turns: Collection[int] = ()
) -> Finding:
    """An episode of one agent that rules refused; of these turns, or of those that they name."""
    agent = refusals[0].agent
    taken = turns or {one.turn for one in refusals if one.turn}
    return Finding(
        agent,
        what,
        each_once(one.entry for one in refusals),
        sum(one.count for one in refusals),
        history.used(agent, taken),
    )


def each_once(entries: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(entries))
