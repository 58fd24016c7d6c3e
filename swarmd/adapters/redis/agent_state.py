"""What an agent's state and step journal hold of its turns, read from their fields."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from swarmd.adapters.redis.session import number_of
from swarmd.core.agent.kept_turns import TurnsSoFar
from swarmd.core.agent.memory import NO_MEMORY, Memory
from swarmd.core.model.names import Channel, StreamId
from swarmd.ports.stores import LOST


def memory_of(state: Mapping[str, str]) -> Memory:
    numbers = sorted(int(field[2:]) for field in state if field.startswith("m:"))
    return Memory(numbers[0], tuple(state[f"m:{n}"] for n in numbers)) if numbers else NO_MEMORY


def positions_of(state: Mapping[str, str]) -> dict[Channel, StreamId]:
    return {Channel(f[2:]): StreamId(v) for f, v in state.items() if f.startswith("p:")}


def turns_so_far_of(state: Mapping[str, str], steps: Mapping[str, str]) -> TurnsSoFar:
    """Of what somebody wrote into the step journal by hand nothing is told."""
    turn = str(number_of(state.get("turn")) + 1)
    return TurnsSoFar(
        memory_of(state),
        positions_of(state),
        _object_of(steps.get(f"{turn}:batch")),
        _ended_steps(turn, steps),
        bool(state.get("done")),
        tuple(state.get("taint", "").split()),
    )


def _ended_steps(turn: str, steps: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """In their order, without those that were given up."""
    numbers = sorted(
        int(number)
        for of, number, what in (f.split(":") for f in steps if f.count(":") == 2)
        if of == turn and what == "e" and number.isdecimal()
    )
    found = (
        (str(_object_of(steps.get(f"{turn}:{n}:b")).get("kind", "")), steps[f"{turn}:{n}:e"])
        for n in numbers
    )
    return tuple(step for step in found if step[1] != LOST)


def _object_of(text: str | None) -> dict[Any, Any]:
    with suppress(ValueError):
        found = json.loads(text or "{}")
        return found if isinstance(found, dict) else {}
    return {}
