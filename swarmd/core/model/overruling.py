"""An override as the board or an operator asks for it: one decision, replaced for a time."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from swarmd.core.model.charter import TEXT_CHARS_MAX, Line, LongSeconds, Written
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import AgentId, MissionId


class _Found(BaseModel):
    """Read by our own processes: unknown fields of another version are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    v: int = 1


class Overruling(Written):
    """One decision of somebody else's, replaced for a time; then it is as before."""

    kind: Literal["grant", "task", "spawn", "message", "motion", "reverse"]
    target: Annotated[str, Field(min_length=1, max_length=600)] = Field(
        description="the agent; for `reverse`: the override's id"
    )
    take: bool = Field(
        False,
        description="for `grant`: take the right; for `spawn`: undo it; for `motion`: veto it",
    )
    privilege: str = Field("", max_length=512, description="for `grant`: the path")
    right: Literal["use", "grant", "both"] = Field("both", description="for `grant`")
    text: str = Field(
        "",
        max_length=TEXT_CHARS_MAX,
        description="for `task`: the new task; for `message`: the text in its place",
    )
    seconds: LongSeconds = Field(600, description="after so many seconds it ends by itself")
    reason: Line


class Original(_Found):
    """A message as it stood on its stream."""

    channel: str
    id: str
    sender: str
    kind: Kind
    to: str = ""
    mission: str = ""
    text: str = ""
    data: dict[str, Any] = Field(default_factory=dict)
    incarnation: int = 0
    hops: int = 0
    at: str = ""

    @classmethod
    def of(cls, message: Message) -> Original:
        return cls(
            channel=message.channel,
            id=message.id,
            sender=message.sender,
            kind=message.kind,
            to=message.to,
            mission=message.mission,
            text=message.text,
            data=dict(message.data),
            incarnation=message.incarnation,
            hops=message.hops,
            at=message.at,
        )

    def message(self) -> Message:
        return Message(
            sender=AgentId(self.sender),
            to=self.to,
            kind=self.kind,
            mission=MissionId(self.mission),
            at=self.at,
            text=self.text,
            data=self.data,
            hops=self.hops,
            incarnation=self.incarnation,
        )


class Refused(_Found):
    """A spawn as it was refused: who asked, for what, and by which rule not."""

    requester: str
    request: dict[str, Any]
    rule: str = ""
    taint: tuple[str, ...] = ()


class OverrideOrder(Overruling):
    """An operator's, with what it is about as the operator found it: the law has no eyes of its
    own.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)
    original: Original | None = None
    refused: Refused | None = None
