"""What agents and hosts request of the supervisor, and operators order: typed, parsed once.

Our own processes write these, so they carry `v` and unknown fields are ignored. The sender is never
part of them: the runtime stamps it on the message.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from swarmd.core.model.charter import Amounts, Charter
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.motions import Act, Overruling, Verb
from swarmd.core.model.names import AgentId, MissionId


class _Ours(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)
    v: int = 1


class SpawnRequest(_Ours):
    """An agent asks for one below it. `directives` are posted by the spawn's commit, or refused
    with it.
    """

    type: Literal["spawn"] = "spawn"
    key: str
    charter: Charter
    directives: tuple[str, ...] = ()
    tier: int | None = None
    parent: str | None = None


class TerminateRequest(_Ours):
    type: Literal["terminate"] = "terminate"
    agent: str
    reason: str


class ActRequest(_Ours):
    """An ancestor acts on a descendant of its own."""

    type: Literal["act"] = "act"
    act: Act


class DeadMail(_Ours):
    """Where a message stood that became a dead letter, and how often its reader tried."""

    channel: str
    id: str
    sender: str
    tries: int


class FailedRequest(_Ours):
    """A runtime gives up on an agent: its model failed for good, or its account is empty.

    With `is_crash` it was not the model's doing: the agent may be started anew.
    """

    type: Literal["failed"] = "failed"
    rule: str = ""
    detail: str
    mission: str = ""
    is_crash: bool = False
    dead: DeadMail | None = None  # on which it failed, once too often


class GoneRequest(_Ours):
    """A host's word that nothing of it runs below a fenced segment any more, but for those
    `stuck`: agent -> in what.
    """

    type: Literal["gone"] = "gone"
    segment: str
    agents: int
    stuck: dict[str, str] = Field(default_factory=dict)
    is_late: bool = False  # the stuck of an earlier word have gone after all


class QuietRequest(_Ours):
    """A host's word that nothing of it runs under a stop any more, but for those `busy`: agent
    -> in what.
    """

    type: Literal["quiet"] = "quiet"
    target: str
    at: float  # of the stop that is answered: a later one on the same target asks again
    agents: int
    busy: dict[str, str] = Field(default_factory=dict)


Request = Annotated[
    SpawnRequest | TerminateRequest | ActRequest | FailedRequest | GoneRequest | QuietRequest,
    Field(discriminator="type"),
]
_REQUEST: Final[TypeAdapter[Request]] = TypeAdapter(Request)


class Original(_Ours):
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


class Refused(_Ours):
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


class Order(_Ours):
    """What an operator orders. `order` is the operator's own id; the journal's answer carries it.

    A target is an agent, a mission, `=AGENT`, `tier:N`, `room:NAME`, `use:PRIVILEGE` or `*`; of
    `ack` the number of the journal's entry, of `repair` what `fsck` has found (`core.mending`), of
    `retry` and `drop` a dead letter's id.
    """

    order: str
    verb: Verb | Literal["cancel", "override", "ack", "repair", "retry", "drop"]
    target: str = Field(min_length=1, max_length=600)
    reason: str = ""
    privilege: str = ""
    right: Literal["use", "grant", "both"] = "both"
    amounts: Amounts = Field(default_factory=dict)
    override: OverrideOrder | None = None
    grace_s: float = Field(
        60, ge=0, le=86_400, description="of drain: then what still runs is ended"
    )


def parse_request(data: Mapping[str, Any]) -> Request | str:
    """The request, or what is wrong with it."""
    try:
        return _REQUEST.validate_python(data)
    except ValidationError as error:
        return _first_fault(error)


def parse_order(data: Mapping[str, Any]) -> Order | str:
    try:
        return Order.model_validate(data)
    except ValidationError as error:
        return _first_fault(error)


def _first_fault(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
