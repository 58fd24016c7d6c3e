"""How the built-in mind presents itself, counts and enumerates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

SPEECH: Final = "built-in mind: rules and retrieval, no language model"
CREATION_IS_LAWFUL: Final = (
    "the agent is of a declared role, and the law has checked what it is given"
)


def counted(count: int, noun: str) -> str:
    return f"{count or 'no'} {noun}{'' if count == 1 else 's'}"


def enumerated(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + (" and " if len(names) > 1 else "") + names[-1] if names else ""
