"""An exchange as the items of a conversation, which each wire spells in its own way. Pure.

Where the server takes them, answers are calls of tools, and what became of them are the results of
those calls, one for each: models are trained on that form, and it keeps the thread of one that
reasons. Otherwise both are text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from swarmd.core.model.exchange import MoveCall, Piece, Result, paired
from swarmd.ports.models import Prompt

Json = dict[str, Any]

# Nine letters and digits: there are servers that take no other identifier of a call. It counts the
# calls from the first one on, so that the same exchange is the same bytes in each request.
CALL_ID: Final = "call{:05d}"


@dataclass(frozen=True, slots=True)
class Text:
    side: str
    text: str


@dataclass(frozen=True, slots=True)
class Calls:
    """An answer: its calls with an identifier each, and what the provider wants back with it."""

    calls: tuple[tuple[str, MoveCall], ...]
    thread: str = ""


@dataclass(frozen=True, slots=True)
class CallResult:
    id: str
    text: str


Item = Text | Calls | CallResult


def as_text(prompt: Prompt, told: str = "") -> list[Item]:
    """All of it as text, the persona at the very end; `told` goes first where no system message
    may.

    The persona is the tail of the last user message and no message of its own: many chat templates
    allow one leading system message and then strictly take turns. At its tail, not its head, for a
    prompt cache reuses the longest common prefix, and this way that reaches through the exchange.
    """
    items: list[Item] = []
    texts = [(piece.side, piece.text) for piece in prompt.pieces]
    last = (("user", prompt.persona), ("user", prompt.reminder))
    for side, text in (("user", told), *texts, *last):
        _add_text(items, side, text)
    return items


def as_calls(prompt: Prompt, told: str = "", *, has_thoughts: bool = True) -> list[Item]:
    """With the answers as calls, and behind all who is asked and the reminder.

    An agent's situation is another in each turn: before the turn's own answers it would part them,
    in all later turns, from what a prompt cache holds. A model that reasons drops its thoughts
    where somebody speaks behind its answers: so there both are a part of the last result.
    """
    built = _Built(has_thoughts=has_thoughts)
    built.say("user", told)
    built.add(prompt.exchange)
    built.close()
    asked = len(built.items)
    built.add(prompt.since)
    built.close()
    for text in filter(str.strip, (prompt.persona, prompt.reminder)):
        _say_last(built.items, text, is_answered=len(built.items) > asked)
    return built.items


def _say_last(items: list[Item], text: str, *, is_answered: bool) -> None:
    """`is_answered`: in this turn. With the results of an earlier one it has nothing to do."""
    match items[-1:]:
        case [CallResult(id, said)] if is_answered:
            items[-1] = CallResult(id, f"{said}\n\n{text}")
        case _:
            _add_text(items, "user", text)


def ids_in(thread: str, count: int) -> tuple[str, ...]:
    """The identifiers that the provider gave to the calls of an answer; none where it did not."""
    items = json.loads(thread) if thread else ()
    ids = tuple(item["call_id"] for item in items if "call_id" in item)
    return ids if len(ids) == count else ()


class _Built:
    """Items so far, with the calls whose results are still to come."""

    def __init__(self, *, has_thoughts: bool) -> None:
        self.items: list[Item] = []
        self._has_thoughts = has_thoughts
        self._count = 0
        self._open: tuple[tuple[str, MoveCall], ...] = ()
        self._results: list[Result] = []

    def add(self, pieces: Iterable[Piece]) -> None:
        for piece in pieces:
            if piece.calls:
                self.close()
                self._call(piece)
            elif piece.results and self._open:
                self._results += piece.results
            else:
                self.say(piece.side, piece.text)

    def say(self, side: str, text: str) -> None:
        if text.strip():
            self.close()
            _add_text(self.items, side, text)

    def close(self) -> None:
        """Each call has its result before anything else is said: servers insist on it."""
        if self._open:
            texts = paired([call for _, call in self._open], self._results)
            ids = (id for id, _ in self._open)
            self.items += [CallResult(id, text) for id, text in zip(ids, texts, strict=True)]
        self._open, self._results = (), []

    def _call(self, piece: Piece) -> None:
        thread = piece.thread if self._has_thoughts else ""
        ids: Sequence[str] = ids_in(thread, len(piece.calls))
        if not ids:
            ids = [CALL_ID.format(self._count + place) for place in range(len(piece.calls))]
        self._count += len(piece.calls)
        self._open = tuple(zip(ids, piece.calls, strict=True))
        self.items.append(Calls(self._open, thread))


def _add_text(items: list[Item], side: str, text: str) -> None:
    """Text at the end; neighbours of one side are one message."""
    if not text.strip():
        return
    match items[-1:]:
        case [Text(last, said)] if last == side:
            items[-1] = Text(side, f"{said}\n\n{text}")
        case _:
            items.append(Text(side, text))
