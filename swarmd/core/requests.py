"""What agents and hosts request of the supervisor, and operators order: typed, parsed once.

Our own processes write these, so they carry `v` and unknown fields are ignored. The sender is never
part of them: the runtime stamps it on the message.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from swarmd.core.moves import Charter


class _Ours(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)
    v: int = 1


class SpawnRequest(_Ours):
    """An agent asks for one below it. `directives` are posted by the spawn's commit, or refused with it."""

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


class FailedRequest(_Ours):
    """A runtime gives up on an agent: its model failed for good, or its account is empty."""

    type: Literal["failed"] = "failed"
    rule: str = ""
    detail: str
    mission: str = ""


class GoneRequest(_Ours):
    """A host's word that nothing of it runs below a fenced segment any more."""

    type: Literal["gone"] = "gone"
    segment: str
    agents: int


Request = Annotated[
    SpawnRequest | TerminateRequest | FailedRequest | GoneRequest, Field(discriminator="type")
]
_REQUEST: Final[TypeAdapter[Request]] = TypeAdapter(Request)


class Order(_Ours):
    """What an operator orders. `order` is the operator's own id; the journal's answer carries it."""

    order: str
    verb: Literal["terminate", "cancel"]
    target: str
    reason: str = ""


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
