"""What agents and hosts request of the supervisor, and operators order: typed, parsed once.

Our own processes write these, so they carry `v` and unknown fields are ignored. The sender is never
part of them: the runtime stamps it on the message.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializeAsAny,
    TypeAdapter,
    ValidationError,
)

from swarmd.core.model.actions import Args, args_of, unknown_verb
from swarmd.core.model.charter import LIST_MAX, Charter
from swarmd.core.model.checks import CHECKS_MAX
from swarmd.core.model.names import Authority

# Of a report in the record of its task; the whole is in the mail and among the reports.
RESULT_SHOWN_MAX: Final = 2_000


def _agents_act(value: object) -> Args:
    if isinstance(value, Args):
        return value
    if not isinstance(value, Mapping):
        raise ValueError("is no action")
    denied = unknown_verb(Authority.LINEAGE, value.get("verb"))
    if denied is not None:
        raise ValueError(denied.detail)
    return args_of(value)


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
    # Of how many that are asked for at once, and the keys of those that are decided before it: they
    # get equal shares.
    together: int = Field(1, ge=1)
    before: tuple[str, ...] = ()
    tier: int | None = None
    parent: str | None = None


class ActRequest(_Ours):
    """An ancestor acts on a descendant of its own."""

    type: Literal["act"] = "act"
    act: Annotated[SerializeAsAny[Args], BeforeValidator(_agents_act)]


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


class SentRequest(_Ours):
    """A seat's request to its model has gone out: from now on its time runs."""

    type: Literal["sent"] = "sent"
    mission: str
    motion_number: int
    attempt: int


class HandInRequest(_Ours):
    """An agent's final report, as its runtime has checked it: the digest of all that was looked
    at, and each check of its charter with what is wrong, in the charter's order.
    """

    type: Literal["hand_in"] = "hand_in"
    result: str = Field(max_length=RESULT_SHOWN_MAX)
    digest: str = Field(max_length=64)  # SHA-256 in hexadecimal digits
    # Of the report as it was sent (`report_digest`): a person's yes is to it and no other.
    report: str = Field("", max_length=64)
    checks: tuple[tuple[str, str], ...] = Field((), max_length=CHECKS_MAX)
    # Each KPI that could be measured, its value, and whether that meets it.
    kpis: tuple[tuple[str, int, bool], ...] = Field((), max_length=LIST_MAX)


class SendBackRequest(_Ours):
    """An agent directs a child that has handed in: its result is not accepted as it is."""

    type: Literal["send_back"] = "send_back"
    agent: str
    reason: str = Field(max_length=RESULT_SHOWN_MAX)


Request = Annotated[
    SpawnRequest
    | ActRequest
    | FailedRequest
    | GoneRequest
    | QuietRequest
    | SentRequest
    | HandInRequest
    | SendBackRequest,
    Field(discriminator="type"),
]
_REQUEST: Final[TypeAdapter[Request]] = TypeAdapter(Request)


class Order(_Ours):
    """What an operator orders. `order` is the operator's own id; the journal's answer carries it.
    On the stream the action's arguments stand beside it.
    """

    order: str
    act: SerializeAsAny[Args]


def parse_request(data: Mapping[str, Any]) -> Request | str:
    """The request, or what is wrong with it."""
    try:
        return _REQUEST.validate_python(data)
    except ValidationError as error:
        return _first_fault(error)


def parse_order(data: Mapping[str, Any]) -> Order | str:
    denied = unknown_verb(Authority.OPERATOR, data.get("verb"))
    if denied is not None:
        return denied.detail
    try:
        return Order.model_validate({**data, "act": args_of(data)})
    except ValidationError as error:
        return _first_fault(error)


def _first_fault(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
