"""What swarmd and a model have said to each other, in the form of no provider. Pure.

Each piece is there twice: as plain text, and, where it is an answer or what became of one, as calls
of functions and their results. A provider's adapter writes the one or the other.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

# Of a move that has no result of its own: it was taken up, and what comes of it comes as mail.
TAKEN: Final = '{"ok": true}'

_dump: Final = json.JSONEncoder(ensure_ascii=False).encode


@dataclass(frozen=True, slots=True)
class MoveCall:
    """One move of an answer as the call of a function: each move is one, and so is each function
    that `use` calls. `arguments` are a JSON object.
    """

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one move. `name` is that of its call, and empty where it is of none."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Piece:
    """One part of an exchange.

    `text` is the whole of it. Of an answer, `calls` are its moves, and `thread` is what the
    provider wants back with it within the turn, as only its adapter can read it. Of what follows an
    answer, `results` say what became of its moves.
    """

    side: Literal["user", "assistant"]
    text: str
    calls: tuple[MoveCall, ...] = ()
    results: tuple[Result, ...] = ()
    thread: str = ""

    @property
    def is_plain(self) -> bool:
        """Whether it is text and nothing else."""
        return not (self.calls or self.results or self.thread)


Exchange = list[Piece]


def call_of_move(move: Mapping[str, Any]) -> MoveCall:
    """A move, as memory keeps it, as a call."""
    if move.get("move") == "use" and "function" in move:
        return MoveCall(name_of_function(str(move["function"])), _dump(move.get("args") or {}))
    fields = {name: value for name, value in move.items() if name != "move"}
    return MoveCall(str(move.get("move", "")), _dump(fields))


def name_of_function(name: str) -> str:
    """A function's name as an API of tools takes it: such a name has no slashes."""
    return name.replace("/", "_")


def paired(calls: Sequence[MoveCall], results: Iterable[Result]) -> tuple[str, ...]:
    """One text for each call, whatever the results are: in order where there are as many, else by
    their names. What belongs to no call stands with the last one.
    """
    given = list(results)
    if len(given) == len(calls):
        return tuple(result.text for result in given)
    texts: list[list[str]] = []
    for call in calls:
        own = next((result for result in given if result.name == call.name), None)
        if own is not None:
            given.remove(own)
        texts.append([TAKEN if own is None else own.text])
    texts[-1] += [result.text for result in given]
    return tuple("\n".join(text) for text in texts)
