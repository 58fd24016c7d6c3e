"""The motions that the board can carry."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, TypeAdapter, model_validator

from swarmd.core.model.charter import (
    LIST_MAX,
    TEXT_CHARS_MAX,
    Charter,
    Line,
    Reference,
    Text,
    Word,
    Written,
)
from swarmd.core.model.overruling import Overruling
from swarmd.core.model.written_acts import BoardsAct


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


class ActMotion(BoardsAct):
    """Stop, thaw or end an agent of this mission, change its privileges, fund it, or answer its
    request for permission.
    """

    motion: Literal["act"]


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
    CharterMotion | DirectMotion | ActMotion | OverrideMotion | DeliverMotion | RejectMotion,
    Field(discriminator="motion"),
]


MOTION: Final[TypeAdapter[Motion]] = TypeAdapter(Motion)
