"""What the runtime needs of the world, in our words. Adapters implement these; core never sees them.

The store's port is in `swarmd.runtime.store`: its methods are the atomic steps of the design (§3, §4).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from swarmd.core.messages import Message
from swarmd.core.moves import Charter, Move
from swarmd.core.names import AgentId, MissionId

# --- models -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Call:
    """The clerk's call to a seat: what it must answer now."""

    phase: Literal["propose", "debate", "vote", "review"]
    motion_number: int
    motion: Mapping[str, Any] | None  # the motion before the board, as it was proposed
    reports: tuple[Mapping[str, Any], ...] = ()  # {"agent","name","text","files","done"} of executives
    refusal: str = ""  # why the last motion was not carried or not executed: rule and detail
    sent_back: int = 0  # how often work was sent back already
    send_backs_max: int = 0


@dataclass(frozen=True, slots=True)
class Child:
    """A living or ended child as its creator sees it."""

    id: AgentId
    name: str
    role: str
    key: str
    state: str


@dataclass(frozen=True, slots=True)
class View:
    """The facts that a prompt's text was rendered from. Minds without language read this."""

    agent: AgentId
    name: str
    role: str
    tier: int
    mission: MissionId
    mission_text: str
    files: tuple[str, ...]  # names of the mission's files that this agent may read
    charter: Charter | None = None  # none for a seat
    call: Call | None = None  # only for a seat
    mail: tuple[Message, ...] = ()  # what this turn answers, oldest first
    room: tuple[Message, ...] = ()  # a seat's: this mission's part of the board's room
    memory: tuple[Mapping[str, Any], ...] = ()  # earlier turns: {"mail":[…]} {"moves":[…]} {"results":[…]}
    steps: tuple[
        Mapping[str, Any], ...
    ] = ()  # this turn so far: {"moves":[…]} {"results":[…]} {"correction":…}
    children: tuple[Child, ...] = ()
    free: Mapping[str, int] = field(default_factory=dict)  # what its account has left, by kind


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model is asked. `shared` is the same for many calls and comes first (prompt caches)."""

    shared: str
    persona: str
    exchange: tuple[tuple[Literal["user", "assistant"], str], ...]
    functions: tuple[str, ...]  # keys of `MOVE_TYPES` that may be answered now
    output_tokens_max: int
    view: View


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the server counted them, or an upper bound where it did not say (`is_assumed`)."""

    tokens_in: int
    tokens_out: int
    is_assumed: bool = False

    @property
    def tokens(self) -> int:
        return self.tokens_in + self.tokens_out


@dataclass(frozen=True, slots=True)
class Answered:
    """A good answer: one attempt's moves."""

    moves: tuple[Move, ...]
    usage: Usage
    text: str = ""  # what the model wrote, for the record


@dataclass(frozen=True, slots=True)
class Failed:
    """One attempt that gave no moves. It is charged like any other.

    `malformed` and `refused` came from the model: `detail` is the correction it is given. The others
    came from the world and are repeated as they were after `retry_after` seconds (`None`: our choice).
    """

    why: Literal["malformed", "refused", "rate_limited", "timeout", "server", "cut", "rejected"]
    detail: str
    usage: Usage
    retry_after: float | None = None
    text: str = ""


class Model(Protocol):
    """One model behind one provider. An attempt never raises for what a provider does."""

    @property
    def name(self) -> str:
        """`PROVIDER:NAME`, as in the contract and in privileges `model/PROVIDER:NAME`."""

    @property
    def is_language_model(self) -> bool: ...

    def bound(self, prompt: Prompt) -> int:
        """Upper bound of the tokens that one attempt can use: bytes of the prompt + output limit."""

    async def attempt(self, prompt: Prompt) -> Answered | Failed:
        """One attempt, no retry inside, bounded by the adapter's own time-outs."""

    async def aclose(self) -> None: ...


# --- files ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Passage:
    """Consecutive lines of a file that answer a query. `start` counts from 1."""

    path: str
    start: int
    lines: tuple[str, ...]
    score: float


class Files(Protocol):
    """A mission's files. Every path is a name relative to the mission; errors are `WorkspaceError`.

    Reading looks in the mission's own folder first (`given/` then `work/`), then in the knowledge
    folder; writing goes to `work/` only, whole file by rename, so it may be repeated.
    """

    def names(self, mission: MissionId, wanted: Sequence[str]) -> tuple[str, ...]:
        """The readable files that `wanted` stands for (a folder stands for all files below it), sorted.

        Raises `WorkspaceError` naming what does not exist.
        """

    def read(self, mission: MissionId, path: str, start: int, lines: int) -> tuple[str, ...]: ...

    def write(self, mission: MissionId, path: str, text: str) -> int:
        """Returns the bytes written."""

    def search(self, mission: MissionId, query: str, names: Sequence[str], top: int) -> tuple[Passage, ...]:
        """Best first; deterministic; empty where nothing shares a word with the query."""


# --- time -------------------------------------------------------------------------------------


class Clock(Protocol):
    """Time, passed in."""

    def now(self) -> float:
        """Seconds since the epoch, UTC."""

    def new_id(self, prefix: str) -> str:
        """`prefix-` and 10 characters of `[0-9a-z]`, never the same twice."""
