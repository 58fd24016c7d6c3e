"""The modes of failure that the journal shows without a judge: one row for each. Pure.

`number` is that of the MAST taxonomy (arXiv 2503.13657); empty where it has none. Modes that need a
judge of sense are not here: whether a text derails, holds back or disobeys its task.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

from swarmd.core.doctor import events, refused
from swarmd.core.doctor.findings import Finding
from swarmd.core.doctor.history import Event, History
from swarmd.core.model.events import JournalEvent

Detector = Callable[[History], Iterable[Finding]]


@dataclass(frozen=True, slots=True)
class Mode:
    """`remedy` says what whoever runs the swarm can do about it."""

    name: str
    number: str
    title: str
    detectors: tuple[Detector, ...]
    remedy: str


MODES: Final[tuple[Mode, ...]] = (
    Mode(
        "repetition",
        "1.3",
        "turns in a row that changed nothing",
        (refused.repetition, events.same_results),
        "give the task to another agent, or more to go by; a role may lack a function",
    ),
    Mode(
        "ping-pong",
        "1.3",
        "agents that answered each other and changed nothing",
        (refused.ping_pong,),
        "let one of them have the task, and the other be asked once",
    ),
    Mode(
        "flood",
        "",
        "more messages in a minute than may be",
        (refused.flood,),
        "let the role write a file instead of many messages",
    ),
    Mode(
        "unaware-of-end",
        "1.5",
        "turns after the work was handed in",
        (events.goes_on_after_the_end,),
        "end an agent whose work is accepted",
    ),
    Mode(
        "premature-end",
        "3.1",
        "final reports that were not taken",
        (refused.premature_end,),
        "see whether the charter says what done means: its checks are told to the agent",
    ),
    Mode(
        "incorrect-verification",
        "3.3",
        "sets of checks that would take anything",
        (refused.vacuous_checks,),
        "let charters name what only the result has: contains, cites or metric",
    ),
    Mode(
        "role-disobeyed",
        "1.2",
        "acts beyond a role, again and again",
        (refused.role_disobeyed,),
        "give the right (`swarmd grant`), or say in the role what it lacks",
    ),
    Mode(
        "overlap",
        "",
        "the same work by agents of different branches",
        (events.overlap,),
        "part the files among the charters",
    ),
    Mode(
        "unanswered",
        "2.5",
        "work that was sent back and not handed in again",
        (events.unanswered,),
        "see whether its budget or its time was over",
    ),
    Mode(
        "stalled",
        "",
        "agents that got nowhere",
        (events.stalled,),
        "see what its model's server did then, and `stall_seconds` in policies/limits.yaml",
    ),
    Mode(
        "poison",
        "",
        "messages on which their reader failed",
        (events.poison,),
        "`swarmd dead ls`",
    ),
    Mode(
        "permission",
        "",
        "requests for permission that nobody answered",
        (events.permission,),
        "`swarmd approvals` lists what waits, `approvals` in policies/limits.yaml what has to",
    ),
    Mode(
        "too-expensive",
        "",
        "many times the calls of the siblings",
        (events.too_expensive,),
        "see what it did: `swarmd record`",
    ),
)


@dataclass(frozen=True, slots=True)
class Step:
    """A step that was taken while the mission went on, and what came of it: empty where the
    journal does not say.
    """

    agent: str
    detector: str
    step: str
    rule: str
    evidence: tuple[str, ...]
    outcome: str = ""


def steps_taken(history: History) -> list[Step]:
    """In order."""
    steps: dict[tuple[str, ...], Step] = {}
    for one in history.of(JournalEvent.INTERVENTION_MADE, JournalEvent.INTERVENTION_ENDED):
        made = _step_of(one)
        key = (made.agent, made.rule, made.step)
        known = steps.get(key)
        steps[key] = replace(made, evidence=known.evidence + made.evidence) if known else made
    return list(steps.values())


def _step_of(one: Event) -> Step:
    names = ("detector", "step", "rule", "outcome")
    detector, step, rule, outcome = (str(one.data.get(name, "")) for name in names)
    return Step(one.agent, detector, step, rule, (one.entry,), outcome)


def examined(history: History) -> dict[str, list[Finding]]:
    """By the mode's name, of each mode, in the order of the table."""
    return {
        mode.name: [finding for detect in mode.detectors for finding in detect(history)]
        for mode in MODES
    }
