"""What is done where an agent goes wrong while it works: which refusals show what, what
`policies/corrections.yaml` declares, and the episodes that a mission's record keeps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from swarmd.core.model.charter import Written
from swarmd.core.model.refusals import Rule

Detector = Literal["no_progress", "premature_end", "repeated_refusals"]
StepName = Literal["note", "superior"]

# On a notice that is a step: it brings its reader nothing new of the work, and wakes nobody whom it
# only tells of himself.
CORRECTION: Final = "correction"
NOTE: Final = "note"

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
        ("note", "superior"), max_length=2, description="in this order, each once"
    )

    @field_validator("steps")
    @classmethod
    def _each_once(cls, steps: tuple[StepName, ...]) -> tuple[StepName, ...]:
        if len(set(steps)) < len(steps):
            raise ValueError("a step may stand there once")
        return steps


class Corrections(Written):
    """`policies/corrections.yaml`."""

    no_progress: Ladder = Ladder(after=1)
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
    `taken` the steps so far, `turns` the last that were refused. `is_open`: whether the last step
    has helped is still to be seen.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")
    agent: str
    rule: str
    detector: Detector
    counted: int = 0
    taken: tuple[StepName, ...] = ()
    turns: tuple[int, ...] = ()
    is_open: bool = False
