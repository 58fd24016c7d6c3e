"""The motions that the board can carry."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, TypeAdapter, model_validator

from swarmd.core.model.charter import (
    LIST_MAX,
    TEXT_CHARS_MAX,
    Amounts,
    Charter,
    Line,
    Path,
    Reference,
    Text,
    Word,
    Written,
)

Verb = Literal[
    "freeze", "thaw", "drain", "halt", "terminate", "grant", "revoke", "fund", "approve", "deny"
]


class Act(Written):
    """What a superior does about those below it; the same for an ancestor, the board and an
    operator.
    """

    verb: Verb
    target: Reference = Field(
        description="whom: an id, a child's name or key; of approve and deny: the approval"
    )
    privilege: Path | None = Field(None, description="of grant and revoke: the path")
    right: Literal["use", "grant", "both"] = Field("both", description="of grant and revoke")
    amounts: Amounts = Field(default_factory=dict, description="of fund: what it gets of your own")
    reason: Line


class Executive(Charter):
    """A charter in a motion. Its key names it within the motion."""

    key: Word


class CharterMotion(Written):
    """Create executives with their tasks and budgets, all or none."""

    motion: Literal["charter"]
    executives: tuple[Executive, ...] = Field(min_length=1, max_length=6)
    reason: Line


class DirectMotion(Written):
    """Send work back, or direct an executive of this mission further."""

    motion: Literal["direct"]
    to: Reference
    text: Text
    reason: Line


class TerminateMotion(Written):
    """End an executive (or any agent) of this mission and all below it."""

    motion: Literal["terminate"]
    agent: Reference
    reason: Line


class ActMotion(Act):
    """Stop, thaw or end an agent of this mission, change its privileges, fund it, or answer its
    request for leave.
    """

    motion: Literal["act"]


class Overruling(Written):
    """One decision of somebody else's, replaced for a time; then it is as before."""

    kind: Literal["grant", "task", "spawn", "message", "motion", "reverse"]
    target: Annotated[str, Field(min_length=1, max_length=600)] = Field(
        description="whom or what; of reverse: the override"
    )
    take: bool = Field(
        False, description="of grant: taken, not given; of spawn: undone; of motion: vetoed"
    )
    privilege: str = Field("", max_length=512, description="of grant")
    right: Literal["use", "grant", "both"] = Field("both", description="of grant")
    text: str = Field(
        "", max_length=TEXT_CHARS_MAX, description="of task: the new one; of message: in its place"
    )
    seconds: Annotated[float, Field(gt=0, le=31_536_000)] = Field(600, description="then it lapses")
    reason: Line


class OverrideMotion(Overruling):
    """Give or take a right, replace a task, undo a spawn, for a time; or take such an override
    back.
    """

    motion: Literal["override"]
    kind: Literal["grant", "task", "spawn", "reverse"]


class DeliverMotion(Written):
    """Deliver the mission: `text`, then the final reports of the executives named."""

    motion: Literal["deliver"]
    text: str = Field("", max_length=TEXT_CHARS_MAX)
    reports: tuple[Reference, ...] = Field((), max_length=LIST_MAX)
    reason: Line

    @model_validator(mode="after")
    def _delivers_something(self) -> DeliverMotion:
        if not self.text.strip() and not self.reports:
            raise ValueError("a delivery needs a text or reports")
        return self


class RejectMotion(Written):
    """Reject the mission and say what is missing."""

    motion: Literal["reject"]
    reason: Text


Motion = Annotated[
    CharterMotion
    | DirectMotion
    | TerminateMotion
    | ActMotion
    | OverrideMotion
    | DeliverMotion
    | RejectMotion,
    Field(discriminator="motion"),
]


MOTION: Final[TypeAdapter[Motion]] = TypeAdapter(Motion)
