"""What people declare in `channels/` and `policies/`, as values. `swarmd.declared` reads the files.

Every bound of the law stands here once, with its default and its reason.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field, field_validator

from swarmd.core.model.board_rules import BoardRules
from swarmd.core.model.charter import AMOUNT_MAX, Amount, Amounts, Line, Seconds, Word, Written
from swarmd.core.model.consequences import Consequence
from swarmd.core.model.corrections import Corrections
from swarmd.core.model.functions import BUILT_IN, Functions
from swarmd.core.model.generation import Generation
from swarmd.core.model.moves import ROLE_MOVES
from swarmd.core.model.privileges import PATH_PATTERN
from swarmd.core.model.providers import PRICED_PATTERN
from swarmd.core.model.redis_users import Acl

PrivilegePath = Annotated[str, Field(pattern=f"^{PATH_PATTERN}$", max_length=512)]


class Budget(Written):
    """Caps by kind, all integers: `tokens`, `cost` (micro-dollars), `calls` (attempts at a model),
    `tools` (uses of functions), `agents` (live at once)."""

    tokens: Amount
    cost: Amount
    calls: Amount
    tools: Amount
    agents: Amount


class Taint(Written):
    """What untrusted text does to the turn that reads it."""

    sources: tuple[Literal["file", "tool", "outside", "agent"], ...] = Field(
        ("file", "tool", "outside", "agent"),
        description="reading which taints; `agent`: mail of a tainted turn",
    )
    actions: tuple[Consequence, ...] = Field(
        ("widening", "outward"),
        description="what a tainted turn may not do without permission, by its consequence",
    )
    permission: Literal["superior", "operator"] = Field(
        "superior", description="who gives permission; operators always may"
    )
    permitted: tuple[PrivilegePath, ...] = Field(
        (),
        description="what a tainted turn may call though it is outward: permission given "
        "beforehand, by the privilege of the call",
    )


class Keep(Written):
    """What stays of a channel for people once all its readers have read it; what is beyond either
    bound goes.

    The least number is more than a node of a stream holds, for nodes go whole.
    """

    messages: int = Field(10_000, ge=128, le=10_000_000, description="the newest of them")
    seconds: float = Field(
        604_800, ge=1, le=31_536_000, description="no older than this, in steps of a node"
    )


class Retention(Written):
    """How much of each channel that is no room is kept; rooms say it themselves."""

    missions: Keep = Keep()
    results: Keep = Keep()
    orders: Keep = Keep()
    # An override allows by its entry what was refused: a day in which to think of it.
    requests: Keep = Keep(messages=10_000, seconds=86_400)
    dead: Keep = Keep(messages=10_000, seconds=2_592_000)
    # Thousands of agents have three channels each, and who reads them has read them.
    mail: Keep = Keep(messages=256, seconds=3_600)


class Limits(Written):
    """`policies/limits.yaml`: what no vote can lift."""

    root: Budget = Field(description="all that the swarm may spend and host at once")
    mission: Budget = Field(
        description="a mission's default; a submitter may ask for another within root"
    )
    share_percent: int = Field(
        40, ge=1, le=100, description="default share of the creator's free for a child"
    )
    together_percent: int = Field(
        90,
        ge=1,
        le=100,
        description="of what may be given, what those made at once get together, in equal shares",
    )
    board_percent: int = Field(
        20, ge=0, le=90, description="of a mission's budget that stays the board's"
    )
    depth_max: int = Field(
        4, ge=2, le=16, description="deepest tier; 2 is the least for three tiers of work"
    )
    children_max: int = Field(16, ge=1, le=1_000, description="living children of one agent")
    agents_max: int = Field(1_000, ge=8, le=1_000_000, description="living agents of the swarm")
    spawns_per_minute: int = Field(
        120, ge=1, description="of one mission: a runaway is cut before its budget"
    )
    hops_max: int = Field(
        64, ge=4, le=1_000, description="turns since an operator, a timer or the clerk"
    )
    thoughts_max: int = Field(12, ge=1, le=200, description="answers of a model in one turn")
    functions_max: int = Field(60, ge=1, le=1_000, description="uses of functions in one turn")
    deadline_seconds: Seconds = Field(3_600, description="a mission's default deadline")
    turns_at_once: int = Field(64, ge=1, le=10_000, description="turns under way in one worker")
    root_period: Literal["", "hour", "day", "week", "month"] = Field(
        "",
        description=(
            "what root may be spent in, by UTC; empty: for as long as the swarm's data lives"
        ),
    )
    warn_percent: int = Field(
        80, ge=1, le=99, description="of its own budget spent: its superior is told"
    )
    hold_seconds: float = Field(
        120,
        ge=0,
        le=86_400,
        description="so long an agent with an empty account, or one that crashes, waits for help",
    )
    restarts_max: int = Field(
        3,
        ge=0,
        le=100,
        description="crashes of an agent in restart_seconds; one more quarantines it",
    )
    restart_seconds: Seconds = 600
    stall_seconds: Seconds = Field(
        900, description="without progress: reported; twice that: to the board"
    )
    messages_per_minute: int = Field(120, ge=1, le=100_000, description="of one sender")
    unchanged_max: int = Field(
        3, ge=1, le=1_000, description="turns of an agent in a row that change nothing"
    )
    approval_seconds: Seconds = Field(
        600, description="a request for permission that nobody answers lapses"
    )
    approvals: dict[PrivilegePath, Literal["board", "operator"]] = Field(
        default_factory=dict,
        description="privileges whose grant needs an approval, also in a charter",
    )
    taint: Taint = Field(default_factory=Taint)
    replacements_max: int = Field(
        3,
        ge=0,
        le=100,
        description="of who does one task, by a creator that has read untrusted text; then the "
        "board is asked",
    )
    corrections_percent: int = Field(
        20,
        ge=0,
        le=100,
        description="of a mission's calls that such replacements may use; then the board is asked",
    )
    retention_seconds: float = Field(
        86_400, ge=60, le=31_536_000, description="how long records of the ended stay"
    )
    keep: Retention = Field(
        default_factory=Retention, description="what channels keep for people to read"
    )
    record: Literal["all", "answers", "none"] = Field(
        "all",
        description=(
            "of calls and people's words, kept beside the missions' files: prompts and answers, "
            "answers alone, or nothing"
        ),
    )
    record_megabytes: int = Field(
        1_024,
        ge=4,
        le=1_000_000,
        description="of all records together; those of the longest past missions go first",
    )
    record_seconds: float = Field(
        2_592_000, ge=60, le=315_360_000, description="how long a record stays after its last call"
    )
    tries_max: int = Field(
        3,
        ge=1,
        le=20,
        description="attempts of a turn that ends in a crash; then its mail is a dead letter",
    )
    memory_chars: int = Field(
        96_000,
        ge=4_000,
        le=2_000_000,
        description="of earlier turns that an agent remembers, as JSON",
    )
    forbidden: tuple[PrivilegePath, ...] = Field((), description="privileges nobody can be given")


class Role(Generation):
    """`policies/roles/NAME.yaml`: what an agent of this role starts from; a charter makes it
    concrete.
    """

    name: Word
    summary: Line
    tiers: tuple[int, ...] = Field(min_length=1, description="where it may stand; 1 is executive")
    moves: tuple[str, ...] = Field(min_length=1, description="what it may answer with")
    functions: tuple[str, ...] = Field((), description="what it may call, of those that there are")
    privileges: tuple[PrivilegePath, ...] = Field((), description="what it may use")
    grants: tuple[PrivilegePath, ...] | None = Field(
        None, description="what it may hand out; absent: what it may use"
    )
    orphans: Literal["cascade", "adopt", "hold"] = Field(
        "cascade", description="what becomes of its children when it ends and nobody ordered it"
    )
    approval: Literal["", "board", "operator"] = Field(
        "", description="whose permission its creation needs"
    )
    stall_seconds: Seconds | None = Field(None, description="its own measure; absent: the swarm's")
    methodology: str = Field(max_length=8_000)
    goals: tuple[Line, ...] = ()
    done: str = Field("", max_length=8_000)
    kpis: tuple[Line, ...] = ()
    model: str = Field("", description="PROVIDER:NAME; empty: the swarm's")
    output_tokens_max: int = Field(2_000, ge=16, le=200_000)

    @field_validator("moves")
    @classmethod
    def _are_an_agents(cls, moves: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [move for move in moves if move not in ROLE_MOVES]
        if unknown:
            raise ValueError(
                f"no move of an agent: {', '.join(unknown)}; there are {', '.join(ROLE_MOVES)}"
            )
        return moves

    @field_validator("tiers")
    @classmethod
    def _are_below_the_board(cls, tiers: tuple[int, ...]) -> tuple[int, ...]:
        if min(tiers) < 1:
            raise ValueError("0 is the board's own")
        return tiers


class Room(Written):
    """`channels/NAME.yaml`: a flat group room. With scope `mission` each mission has its own
    `NAME-<mission>`.
    """

    name: Word
    purpose: Line
    scope: Literal["swarm", "mission"] = "swarm"
    tiers: tuple[int, ...] = Field(min_length=1, description="whose agents are members")
    roles: tuple[Word, ...] = Field((), description="only these roles of those tiers; empty: all")
    wakes: Literal["mention", "all"] = "mention"
    text_max: int = Field(8_000, ge=100, le=64_000, description="characters of one post")
    keep: Keep = Field(
        default_factory=Keep, description="of what its members have read, for people"
    )


RequestField = Literal[
    "thoughts",
    "max_tokens",
    "response_format",
    "stream",
    "stream_options",
    "system",
    "tool_choice",
    "tool_messages",
]
"""An optional part of a request to a model. `max_tokens` is the output limit under either name,
`system` the leading message in a role of its own, `tool_messages` a history in calls of tools and
their results, and `thoughts` what asks for thoughts and gives them back."""


class Provider(Generation):
    """`policies/models.yaml`: one provider's settings."""

    api: Literal["chat", "responses"] = Field(
        "chat", description="which of OpenAI's APIs is spoken"
    )
    actions: Literal["tools", "schema", "probe"] = "probe"
    leave_out: tuple[RequestField, ...] = Field(
        (), description="of each request, where the server fails on it without saying so"
    )
    calls_per_minute: int = Field(
        600, ge=1, le=AMOUNT_MAX, description="of all workers together; no 60 seconds hold more"
    )
    tokens_per_minute: int = Field(
        0,
        ge=0,
        le=AMOUNT_MAX,
        description="likewise, as providers reckon before they count; 0: any number",
    )
    calls_at_once: int = Field(8, ge=1, le=10_000)
    connect_seconds: Seconds = 10
    first_token_seconds: Seconds = Field(300, description="until the first byte of the answer")
    idle_seconds: Seconds = Field(60, description="between two pieces of a stream")
    total_seconds: Seconds = Field(600, description="one attempt, whole")
    attempts_max: int = Field(5, ge=1, le=20, description="of one call, where the world failed")
    corrections_max: int = Field(
        3, ge=0, le=20, description="of one call, where the answer was not usable"
    )


Dollars = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]
Priced = Annotated[str, Field(pattern=PRICED_PATTERN, max_length=512)]


class NamedPrice(Written):
    """`policies/models.yaml`: one model's price, in dollars for a million tokens."""

    input: Dollars
    output: Dollars
    cached: Dollars | None = Field(
        None, description="input that the server read from its cache; absent: as input"
    )


class Models(Written):
    """`policies/models.yaml`."""

    default: str = Field(
        "", description="PROVIDER:NAME; empty: environment, localhost, built-in, in this order"
    )
    providers: dict[Word, Provider] = Field(default_factory=dict)
    prices: dict[Priced, NamedPrice] = Field(
        default_factory=dict,
        description="by PROVIDER:NAME; they go before the price table that is installed",
    )
    unknown_price: Literal["tokens", "forbid"] = Field(
        "tokens",
        description="a model whose price is not known: bounded by tokens alone, or refused",
    )

    def provider(self, name: str) -> Provider:
        return self.providers.get(name, Provider())


@dataclass(frozen=True, slots=True)
class Persona:
    """`policies/personas/NAME.md`: front matter `name`, `title`; the body is its instruction."""

    name: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Declarations:
    """All that is declared, read and checked. `digest` changes when any file does."""

    constitution: str  # policies/constitution.md
    procedures: str  # policies/procedures.md: the board's shared knowledge
    handbook: str  # policies/handbook.md: given to every agent
    personas: dict[str, Persona]
    board: BoardRules
    limits: Limits
    roles: dict[str, Role]
    models: Models
    rooms: dict[str, Room]
    digest: str
    corrections: Corrections = Corrections()  # frozen, and so shared without harm
    acl: Acl = Acl(commands={}, roles={})  # as above
    # Those that there are, and not only those that somebody declared.
    functions: Functions = field(default_factory=lambda: BUILT_IN)


__all__ = [
    "Amounts",
    "Budget",
    "Declarations",
    "Keep",
    "Limits",
    "Models",
    "Persona",
    "Provider",
    "Retention",
    "Role",
    "Room",
    "Taint",
]
