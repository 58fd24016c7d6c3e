"""What an agent's turns have changed lately, so that a loop is known by this and not by its words.
Pure.

A vector remembers what was new: what its functions did and found, which references it gave, and
what became of its children, its tasks and its requests. A turn that adds nothing to it has changed
nothing, whatever it said. It is part of the agent's own state and bounded: digests of eight
characters, the last `MARKS_MAX` of each kind.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, Final

from swarmd.core.agent.citations import places_in
from swarmd.core.agent.turn import Output, is_final, is_last_word
from swarmd.core.model.corrections import is_of_its_reader
from swarmd.core.model.functions import FunctionCall
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import OPERATOR, TIMER
from swarmd.core.model.provenance import has_text

# Of each kind so many digests are remembered. A cycle through more than these passes for news; hops
# and the budget end it.
MARKS_MAX: Final = 32
_MARK_CHARS: Final = 8
_MARK_BYTES: Final = 6  # as base64 these are the characters above
# On a report of a turn in which its sender changed nothing.
UNCHANGED: Final = "unchanged"
# Of a request, what the runtime adds and not what is asked for.
_OF_THE_RUNTIME: Final = frozenset({"key", "before", "together"})
# A request that was answered so has changed something, or is under way.
_GRANTED: Final = ("created", "done", "waiting")
_QUOTES_MAX: Final = 16  # of one turn: each is looked for in all that the agent has read

_dumped: Final = json.JSONEncoder(ensure_ascii=False, sort_keys=True).encode
# An address, an id as the supervisor mints them, a digest. A plain number is none: loops count.
_NAMED: Final = re.compile(
    r"https?://[^\s<>\"'()\[\]]{4,}"
    r"|\b[a-z]{1,3}-(?=[a-z]*[0-9])[0-9a-z]{10}\b"
    r"|\b(?=[0-9]*[a-f])(?=[a-f]*[0-9])[0-9a-f]{12,64}\b"
)
_NAMED_CHARS_MIN: Final = 12  # of what it finds
_QUOTED: Final = re.compile(r"[\"“«]([^\"“”«»\\\n]{20,400})[\"”»]")


@dataclass(frozen=True, slots=True)
class ProgressVector:
    """Digests of what was new, of each kind the last ones, the oldest first. `unchanged` counts the
    turns in a row that changed nothing.
    """

    calls: str = ""
    references: str = ""
    deeds: str = ""
    unchanged: int = 0


NO_VECTOR: Final = ProgressVector()


@dataclass(frozen=True, slots=True)
class Called:
    """One use of a function. `mark` tells what it did or found from anything else; empty where it
    failed.
    """

    function: str
    mark: str = ""


@dataclass(frozen=True, slots=True)
class TakenTurn:
    """What a turn came to. `read` are texts in which the agent remembers what functions gave it;
    `is_refused` where the law refused one of its moves, `is_waiting` where it ended in a wait.
    """

    mail: Sequence[Message] = ()
    outputs: Sequence[Output] = ()
    calls: Sequence[Called] = ()
    is_refused: bool = False
    is_waiting: bool = False
    read: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Moved:
    """The vector after a turn. `is_own`: by what the agent did, and not only by what it was given
    to do. Of a turn that changed nothing, `is_idle` where it counts as such, `is_left` where it is
    left in peace, and `why`: what it did instead.
    """

    vector: ProgressVector
    is_own: bool
    is_idle: bool = False
    is_left: bool = False
    why: str = ""


def moved(vector: ProgressVector, turn: TakenTurn) -> Moved:
    """The vector after one more turn."""
    is_refused = turn.is_refused or any(map(_refuses, turn.mail))
    did = _marks(map(_heard, turn.mail)) | _said(turn.outputs, is_refused=is_refused)
    calls = _News(vector.calls, _marks(call.mark for call in turn.calls))
    deeds, references = _News(vector.deeds, did), _references_of(vector, turn)
    tasks = _News(deeds.kept, _marks(map(_given, turn.mail)))
    is_own = calls.is_any or deeds.is_any or references.is_any
    is_changed = is_own or tasks.is_any
    is_idle = not is_changed and _is_judged(turn)
    unchanged = 0 if is_changed else vector.unchanged + is_idle
    return Moved(
        ProgressVector(calls.kept, references.kept, tasks.kept, unchanged),
        is_own,
        is_idle,
        not (is_changed or is_idle),
        _why(turn, is_refused=is_refused) if is_idle else "",
    )


def stamped_unchanged(outputs: Iterable[Output]) -> list[Output]:
    """Of a turn in which its agent changed nothing: reports that are not final say so, so that they
    are no progress of its superior either.
    """
    return [
        (channel, replace(message, data={**message.data, UNCHANGED: True}))
        if message.kind is Kind.REPORT and not is_final(message)
        else (channel, message)
        for channel, message in outputs
    ]


def called(call: FunctionCall, given: Any, text: str, result: Mapping[str, Any]) -> Called:
    """One use of a function, from its arguments and its result, which `text` is as JSON.

    A failure changes nothing. Where nothing was found it is the same whatever was asked: otherwise
    another word in each search would be progress.
    """
    function, name = call.function, call.function.name
    if not result.get("ok"):
        return Called(name)
    if function.effect != "reads" or has_text(result, {name: function}):
        return Called(name, _mark(name, _dumped(given), text))
    found = {k: v for k, v in result.items() if k not in function.echoes}
    return Called(name, _mark(name, _dumped(found)))


# --- what is judged -----------------------------------------------------------------------------


def _is_judged(turn: TakenTurn) -> bool:
    """Did it act or speak? A last word is none that goes on. Who ends its turn in a wait is left in
    peace, unless it spoke to those that had just spoken to it: two of them would go on for ever.
    """
    if not (turn.outputs or turn.calls or turn.is_refused):
        return False
    if any(is_last_word(message) for _, message in turn.outputs):
        return False
    return not turn.is_waiting or _answers_back(turn)


def _answers_back(turn: TakenTurn) -> bool:
    sources = {str(m.channel if m.channel.startswith("room:") else m.sender) for m in turn.mail}
    if any(m.kind is Kind.REPORT for m in turn.mail):
        sources.add("*")
    return any((message.to or channel) in sources for channel, message in turn.outputs)


def _why(turn: TakenTurn, *, is_refused: bool) -> str:
    names = sorted({call.function for call in turn.calls})
    if any(call.mark for call in turn.calls):
        return f"the same calls with the same results ({', '.join(names[:4])})"
    if names:
        return f"calls that failed ({', '.join(names[:4])})"
    if is_refused:
        return "what it asked for was refused"
    return "words without a new reference or result"


# --- what is new --------------------------------------------------------------------------------


def _marks(found: Iterable[str]) -> set[str]:
    return {mark for mark in found if mark}


class _News:
    """The marks of a turn against those that are remembered.

    Of more than are kept one mark stands for all: else a part of them would pass for new each time.
    """

    __slots__ = ("is_any", "kept")

    def __init__(self, remembered: str, marks: Collection[str]) -> None:
        if len(marks) > MARKS_MAX:
            marks = (_mark(*sorted(marks)),)
        self.is_any, kept = False, remembered
        for mark in sorted(marks):
            at = _place_of(mark, kept)
            self.is_any = self.is_any or at < 0
            kept = (kept if at < 0 else kept[:at] + kept[at + _MARK_CHARS :]) + mark
        self.kept = kept[-MARKS_MAX * _MARK_CHARS :]


def _place_of(mark: str, marks: str) -> int:
    """Where it stands among them; -1 where it does not."""
    at = marks.find(mark)
    while at > 0 and at % _MARK_CHARS:  # it begins within one and ends within the next
        at = marks.find(mark, at + 1)
    return at


def _heard(message: Message) -> str:
    """What a message says has changed; empty where it says nothing of that kind."""
    match message.kind:
        case Kind.REPORT if is_final(message):
            return _result_of(message)
        case Kind.REPORT if not message.data.get(UNCHANGED):
            return _mark("report", message.sender, message.id or message.text)
        # What it is told of its own turns is none of the work: it would begin the count anew.
        case Kind.NOTICE if message.sender != TIMER and not is_of_its_reader(message):
            return _mark("notice", _words_of(message))
        case Kind.ANSWER if not _refuses(message):
            return _mark("answer", _words_of(message))
    return ""


def _refuses(message: Message) -> bool:
    return message.kind is Kind.ANSWER and message.data.get("outcome") not in _GRANTED


def _given(message: Message) -> str:
    """What a message gives to do. A person's word is always something new. A superior's is where
    it was not said before. A colleague's is the first time: whoever is asked may answer.
    """
    if message.kind not in (Kind.CHARTER, Kind.DIRECTIVE, Kind.SAY):
        return ""
    if message.sender == OPERATOR:
        return _mark("operator", message.id or message.text)
    if message.kind is Kind.SAY:
        return _mark("asked", message.sender)
    return _mark("given", message.sender, message.text)


def _result_of(message: Message) -> str:
    return _mark("result", message.sender, message.text, _dumped(message.data.get("files", ())))


def _words_of(message: Message) -> str:
    """What a notice or an answer says, but for its numbers: those of the next one are others."""
    words = {name: value for name, value in message.data.items() if isinstance(value, str)}
    return _dumped(words) if words else message.text


def _said(outputs: Sequence[Output], *, is_refused: bool) -> set[str]:
    """What a turn does by what it sends: a result, a request, the first word to somebody.

    Where what was asked for before has come back refused, to ask for something else is none yet.
    """
    own = set[str]()
    for channel, message in outputs:
        if is_final(message):
            own.add(_result_of(message))
        elif message.kind is not Kind.REQUEST:
            own.add(_mark("to", channel, message.to))
        elif not is_refused and not is_last_word(message):
            asked = {k: v for k, v in message.data.items() if k not in _OF_THE_RUNTIME}
            own.add(_mark("request", _dumped(asked)))
    return own


def _references_of(vector: ProgressVector, turn: TakenTurn) -> _News:
    """The references that it gives. One that its mail has just given is none of its own."""
    texts = [m.text for _, m in turn.outputs if m.kind is not Kind.REQUEST and m.text]
    given = {*_references_in(texts), *_quotes_in(texts, turn.read)}
    news = _News(vector.references, set(map(_mark, given)))
    if news.is_any and turn.mail:
        given -= _references_in([m.text for m in turn.mail])
        news.is_any = _News(vector.references, set(map(_mark, given))).is_any
    return news


def _references_in(texts: Iterable[str]) -> set[str]:
    # Word by word: of most words it is plain that they are none, and a turn is paid for each time.
    found = set[str]()
    for word in (word for text in texts for word in text.split()):
        if ":" in word:
            found |= places_in(word)
        if len(word) >= _NAMED_CHARS_MIN:
            found.update(_NAMED.findall(word))
    return found


def _quotes_in(texts: Iterable[str], read: Sequence[str]) -> set[str]:
    """Quotations that stand in what it has read; any other is its own words."""
    if not read:
        return set()
    quotes = [quote for text in texts for quote in _QUOTED.findall(text)][:_QUOTES_MAX]
    return {quote for quote in quotes if any(quote in entry for entry in read)}


def _mark(*parts: str) -> str:
    digest = blake2b("\0".join(parts).encode("utf-8", "replace"), digest_size=_MARK_BYTES)
    return b64encode(digest.digest()).decode()
