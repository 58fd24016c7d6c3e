"""The closed union of what an agent can do, as a model must write it. Functions are not part of
it: one move, `use`, calls them all.

What people and models write forbids unknown fields: a move that is not understood whole is given
back as a correction, never half done. Field descriptions are part of every prompt: short, exact.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import Field, TypeAdapter, field_validator, model_validator

from swarmd.core.model.charter import (
    LIST_MAX,
    TEXT_CHARS_MAX,
    Charter,
    KnownWord,
    Line,
    Path,
    Reference,
    Text,
    Written,
)
from swarmd.core.model.functions import FunctionName
from swarmd.core.model.motions import Motion
from swarmd.core.model.written_acts import AgentsAct

# Less is a loop that pays for a call each few seconds; more than a day is no wait but an end.
WAIT_SECONDS_MIN: Final = 10
WAIT_SECONDS_MAX: Final = 86_400

# Of a function's arguments. What serialises a move gives up at 255 levels, and no function has ten.
ARGS_DEPTH_MAX: Final = 32
_HALF_PAIR: Final = re.compile("[\ud800-\udfff]")


class Say(Written):
    """Say something in a room that you are a member of."""

    move: Literal["say"]
    room: KnownWord
    text: Text


class Direct(Written):
    """Give a directive to a child, by its id, its name or the key of its spawn; '*' is all."""

    move: Literal["direct"]
    to: Reference
    text: Text


class Report(Written):
    """Report one level up. `done` true ends your task: the text is your result."""

    move: Literal["report"]
    text: Text
    done: bool = False
    files: tuple[Path, ...] = Field((), max_length=LIST_MAX)


class Spawn(Written):
    """Ask for a new agent one tier below you; the answer comes by mail. Direct it at once by its
    name, if you have more to say than its charter.
    """

    move: Literal["spawn"]
    charter: Charter
    key: KnownWord = Field("", description="another word for this request; absent: the name")
    # Never needed: the supervisor mints both. Claiming what is not so is refused by name.
    tier: int | None = None
    parent: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _is_known_by_its_name(cls, raw: Any) -> Any:
        if not isinstance(raw, Mapping) or raw.get("key"):
            return raw
        charter = raw.get("charter")
        name = charter.get("name") if isinstance(charter, Mapping) else getattr(charter, "name", "")
        return {**raw, "key": name} if isinstance(name, str) and name else raw


class Govern(AgentsAct):
    """Stop, thaw or end a descendant, change its privileges, fund it, or answer its request for
    permission.
    """

    move: Literal["govern"]


class Use(Written):
    """Call a function. Which there are, and what arguments fit them, their registry says."""

    move: Literal["use"]
    function: FunctionName
    args: dict[str, Any] = Field(default_factory=dict)

    @field_validator("args")
    @classmethod
    def _can_be_kept(cls, args: dict[str, Any]) -> dict[str, Any]:
        """A move is kept as JSON in UTF-8, also where its function is none of the agent's and
        nothing else looks at its arguments.
        """
        if not _is_plain_json(args, ARGS_DEPTH_MAX):
            raise ValueError(
                "must be JSON of whole characters (no half of a surrogate pair) and finite "
                f"numbers, at most {ARGS_DEPTH_MAX} levels deep"
            )
        return args


def _is_plain_json(value: Any, depth: int) -> bool:
    parts = _parts_of(value)
    if parts is not None:
        return depth > 0 and all(_is_plain_json(part, depth - 1) for part in parts)
    if isinstance(value, str):
        return value.isascii() or _HALF_PAIR.search(value) is None
    return not isinstance(value, float) or math.isfinite(value)


def _parts_of(value: Any) -> Sequence[Any] | None:
    if isinstance(value, Mapping):
        return [*value, *value.values()]
    return value if isinstance(value, list | tuple) else None


class Wait(Written):
    """End your turn and rest until what you wait for has come. Waiting costs nothing."""

    move: Literal["wait"]
    whom: tuple[Reference, ...] = Field(
        (),
        max_length=LIST_MAX,
        description="children, by id, name or key: you are woken once all have reported, or when "
        "one needs you; '*' is all that work; absent: the next message wakes you",
    )
    what: str = Field("", max_length=200, description="what you wait for, in a few words")
    seconds: int | None = Field(
        None,
        ge=WAIT_SECONDS_MIN,
        le=WAIT_SECONDS_MAX,
        description="after so many you are woken in any case; absent: no such time",
    )


class Think(Written):
    """Note a thought and be asked once more. It costs a call: act or `wait` instead."""

    move: Literal["think"]
    thought: Text


class Propose(Written):
    """Put a motion before the board."""

    move: Literal["propose"]
    motion: Motion


class Argue(Written):
    """Answer the motion before the board, before any vote."""

    move: Literal["argue"]
    stance: Literal["argue", "object", "consent"] = "argue"  # the call says what each means
    text: str = Field("", max_length=TEXT_CHARS_MAX, description="may be empty with `consent`")

    @model_validator(mode="after")
    def _says_something(self) -> Argue:
        if self.stance != "consent" and not self.text.strip():
            raise ValueError(f"`{self.stance}` needs a text")
        return self


class Respond(Written):
    """Answer the arguments on your own motion."""

    move: Literal["respond"]
    decision: Literal["keep", "amend", "withdraw"]  # the call says what each means
    motion: Motion | None = Field(None, description="with `amend`: the changed motion, whole")
    accepts: tuple[KnownWord, ...] = Field(
        (),
        max_length=12,
        description="seats whose arguments go into each charter word for word; of no use for what "
        "the changed motion says itself",
    )
    reason: Line

    @model_validator(mode="after")
    def _has_a_motion_to_amend(self) -> Respond:
        if (self.decision == "amend") != (self.motion is not None):
            raise ValueError("`motion` goes with `amend`, and with nothing else")
        return self


class Vote(Written):
    """Vote on the motion before the board."""

    move: Literal["vote"]
    choice: Literal["yes", "no", "abstain"]
    reason: Line


Move = Annotated[
    Say | Direct | Report | Spawn | Govern | Use | Wait | Think | Propose | Argue | Respond | Vote,
    Field(discriminator="move"),
]


MOVE_TYPES: Final[dict[str, type[Written]]] = {
    "say": Say,
    "direct": Direct,
    "report": Report,
    "spawn": Spawn,
    "govern": Govern,
    "use": Use,
    "wait": Wait,
    "think": Think,
    "propose": Propose,
    "argue": Argue,
    "respond": Respond,
    "vote": Vote,
}


# All of them in each call of a seat, whatever its phase: a list that changed from call to call
# would be new to a provider's prompt cache each time.
SEAT_MOVES: Final = ("propose", "argue", "respond", "vote")


# `use` comes with the functions that a role declares, and the others are a seat's.
ROLE_MOVES: Final = tuple(name for name in MOVE_TYPES if name not in ("use", *SEAT_MOVES))


MOVE: Final[TypeAdapter[Move]] = TypeAdapter(Move)
