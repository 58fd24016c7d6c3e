"""What is done where an agent goes wrong while it works: which refusals show what, what
`policies/corrections.yaml` declares, and the episodes that a mission's record keeps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from swarmd.core.model.charter import Written
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import SUPERVISOR
from swarmd.core.model.refusals import Rule

Detector = Literal["no_progress", "premature_end", "repeated_refusals"]
StepName = Literal["note", "replan", "superior", "board"]

# On a notice that is a step.
CORRECTION: Final = "correction"
NOTE: Final = "note"
REPLAN: Final = "replan"

# Final reports that are not taken.
NOT_FINISHED: Final = frozenset({Rule.TASK_OPEN, Rule.TASK_CHECKS})
# What is beyond an agent's role. To wait for permission is no disobedience, to be stopped is
# another's doing, and to name somebody who has just ended is a slip.
ROLE_RULES: Final = frozenset(
    {
        Rule.PRIVILEGE_SUBSET,
        Rule.PRIVILEGE_FORBIDDEN,
        Rule.PRIVILEGE_USE,
        Rule.PRIVILEGE_GRANT,
        Rule.PRIVILEGE_REVOKED,
        Rule.FUNCTION_UNKNOWN,
        Rule.SPAWN_TIER,
        Rule.SPAWN_PARENT,
        Rule.SPAWN_DEPTH,
        Rule.SPAWN_FANOUT,
        Rule.SPAWN_ROLE,
        Rule.SPAWN_FILES,
        Rule.AUTHORITY,
        Rule.TERMINATE_DESCENDANT,
        Rule.CHANNEL,
    }
)


def step_of(message: Message) -> str:
    """Which step a message is; empty where it is none. The supervisor alone takes steps: what
    anybody else writes into the data of a message is no step.
    """
    is_notice = message.sender == SUPERVISOR and message.kind is Kind.NOTICE
    return str(message.data.get(CORRECTION, "")) if is_notice else ""


def is_of_its_reader(message: Message) -> bool:
    """Does it tell its reader of his own turns? That is nothing new of the work, and wakes
    nobody.
    """
    return step_of(message) in (NOTE, REPLAN)


def detector_of(rule: Rule) -> Detector | None:
    """What a refusal by this rule counts for; `None` where it counts for nothing."""
    if rule is Rule.NO_PROGRESS:
        return "no_progress"
    if rule in NOT_FINISHED:
        return "premature_end"
    return "repeated_refusals" if rule in ROLE_RULES else None


class Ladder(Written):
    """What is done of one detector. No steps: nothing."""

    after: int = Field(
        ge=1, le=100, description="so many of its refusals; each further step takes as many more"
    )
    steps: tuple[StepName, ...] = Field(
        ("note", "superior", "board"), max_length=4, description="in this order, each once"
    )

    @field_validator("steps")
    @classmethod
    def _each_once(cls, steps: tuple[StepName, ...]) -> tuple[StepName, ...]:
        if len(set(steps)) < len(steps):
            raise ValueError("a step may stand there once")
        return steps


class Corrections(Written):
    """`policies/corrections.yaml`."""

    no_progress: Ladder = Ladder(after=1, steps=("note", "replan", "superior", "board"))
    premature_end: Ladder = Ladder(after=2)
    repeated_refusals: Ladder = Ladder(after=3)
    spare_percent: int = Field(
        10, ge=0, le=100, description="of a mission's calls, the last: no step is taken in these"
    )

    def ladder(self, detector: Detector) -> Ladder:
        """Of this detector."""
        ladders: Mapping[Detector, Ladder] = {
            "no_progress": self.no_progress,
            "premature_end": self.premature_end,
            "repeated_refusals": self.repeated_refusals,
        }
        return ladders[detector]


class Episode(BaseModel):
    """One agent and one rule that refuses it. `counted` are the refusals since the last step,
    `taken` the steps so far, `turns` the last that were refused, `at` when the last step was taken
    (seconds since the epoch). `is_open`: whether the last step has helped is still to be seen.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")
    agent: str
    rule: str
    detector: Detector
    counted: int = 0
    taken: tuple[StepName, ...] = ()
    turns: tuple[int, ...] = ()
    at: float = 0.0
    is_open: bool = False

    def after(self, step: StepName, at: float) -> Episode:
        """With one more step, which is to be seen to help."""
        taken = {"counted": 0, "taken": (*self.taken, step), "at": at, "is_open": True}
        return self.model_copy(update=taken)

    @property
    def facts(self) -> str:
        """What is known of it: numbers and the rule's own words. What the agent said is not in it,
        for it may have been misled by what it has read.
        """
        rule, number = Rule(self.rule), len(self.turns)
        turns = f"turn {self.turns[-1]}"
        if number > 1:
            turns = f"{number} turns, the last of them {self.turns[-1]}"
        return f"{rule.value} in {turns}. {rule.meaning}"
