"""The record of a mission: what its models, functions and people answered.

It is no part of what the swarm stands on: no decision reads it, and what cannot be recorded is
counted and lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from swarmd.core.model.names import MissionId

AnsweredBy = Literal["model", "function", "person"]


@dataclass(frozen=True, slots=True)
class Answer:
    """One call with what was answered, or a person's word. Its secrets are masked already.

    Agent, incarnation, turn and step name a call; of a word that no turn took up, turn and step
    are 0. `given` is what was called with, as JSON, and `input` its digest as the step journal and
    the journal have it. `text` is what was answered, as the step journal has it; `None` where a
    call was cut off. `used` is what was settled, and empty where a successor met the answer of a
    former holder, which was paid before.
    """

    mission: MissionId
    agent: str
    agent_name: str
    incarnation: int
    turn: int
    step: int
    kind: AnsweredBy
    name: str  # of the model, the function or the person
    given: Any
    input: str
    text: str | None
    at: str
    seconds: float = 0.0
    is_ok: bool = True
    used: Mapping[str, int] = field(default_factory=dict)
    is_assumed: bool = False
    is_repeated: bool = False  # a successor met it
    more: Mapping[str, Any] = field(default_factory=dict)  # what only the record keeps of it


class Record(Protocol):
    """Where answers are noted."""

    @property
    def trouble(self) -> str:
        """Why nothing can be written at the moment, for people; empty where all is well."""

    def note(self, answer: Answer) -> None:
        """Returns at once and never raises: it is written soon, or counted as lost."""

    async def forget(self, mission: MissionId, until: float) -> None:
        """Deletes what was recorded of a mission up to a moment, in seconds since the epoch. May be
        repeated. Raises `WorkspaceError` where something is left.
        """


class NoRecord:
    """Nothing is kept."""

    trouble = ""

    def note(self, answer: Answer) -> None:
        pass

    async def forget(self, mission: MissionId, until: float) -> None:
        pass
