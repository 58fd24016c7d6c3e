"""From a received answer to moves: all of them are valid, or the model gets one correction.
Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from pydantic import ValidationError

from swarmd.adapters.models.openai.answer import TEXT_CHARS_MAX, Received
from swarmd.adapters.models.openai.calls import Calls, TextCall, WrittenCall, call_of
from swarmd.adapters.models.openai.form import Mode
from swarmd.adapters.models.openai.json_text import read_arguments
from swarmd.adapters.models.openai.text import Problem, answer_in, is_json
from swarmd.core.model.functions import MOVES_MAX, Function, Offer
from swarmd.core.model.moves import MOVE_TYPES, Move, Use
from swarmd.core.model.written_moves import faults_of, form_of, schema_of, written_anew

Json = dict[str, Any]

REPLY: Final = "reply"  # as the schema of an answer is called in a request
USE: Final = "use"  # the move that calls a function
PARALLEL: Final = "multi_tool_use.parallel"  # a wrapper that some models were trained to write

# Small models think aloud beside their moves, and answer better for it.
_ALOUD: Final = frozenset({"thought", "thoughts", "thinking", "reasoning", "analysis", "plan"})

_CONTROL: Final = re.compile(r"<[|｜]|</")
_PREFIX: Final = re.compile(r"(?:(?:functions?|tools?|default_api|namespace|assistant|api)[.:/])+")
_SUFFIX: Final = re.compile(r"(?::\d{1,4}|\(\))\Z")


@dataclass(frozen=True, slots=True)
class Correction:
    """Why an answer is no move, in words for the model."""

    text: str


def read_moves(
    received: Received, offer: Offer, mode: Mode = "tools"
) -> tuple[Move, ...] | Correction:
    """All moves of an answer in order, or all that is wrong with it; never some of them."""
    open_now = _Open(offer, mode)
    written = _written_moves(received, open_now)
    if isinstance(written, Correction):
        return written
    if not written:
        return Correction(f"Your answer has no moves. {open_now.ask}")
    meant = _as_meant(written, offer)
    if len(meant) > MOVES_MAX:
        return Correction(offer.why_too_many(len(meant)))
    return _read_each(meant, open_now)


def _as_meant(written: Sequence[Any], offer: Offer) -> list[Any]:
    meant = [move for raw in written for move in written_anew(raw)]
    is_one = offer.moves_max == 1 and all(move == meant[0] for move in meant)
    # Who may answer once and wrote it twice in the same words said it once.
    return meant[:1] if is_one else meant


def _read_each(written: Sequence[Any], open_now: _Open) -> tuple[Move, ...] | Correction:
    """What is wrong is told of all moves at once: each round of corrections is a call."""
    read = [_read_move(raw, open_now, n) for n, raw in enumerate(written)]
    faults = open_now.too_many(len(written))
    faults += [move.text for move in read if isinstance(move, Correction)]
    if not faults:
        return tuple(move for move in read if not isinstance(move, Correction))
    return Correction("\n".join(dict.fromkeys(faults))[:TEXT_CHARS_MAX])


@dataclass(frozen=True, slots=True)
class _Open:
    """What may be answered, and how a correction names it: as functions that are called, or as
    moves in JSON, by how the model was told to answer.
    """

    offer: Offer
    mode: Mode

    @property
    def said(self) -> str:
        named = _written_names(self.offer) if self.mode == "schema" else called_names(self.offer)
        return ", ".join(named)

    @property
    def ask(self) -> str:
        """How to answer."""
        if self.mode == "schema":
            return (
                f'Answer with one JSON object and nothing else: {{"moves": [...]}}, each move one '
                f"of: {self.said}."
            )
        names = called_names(self.offer)
        named = ", ".join(f"`{name}`" for name in names)
        return (
            f"Call the function {named}." if len(names) == 1 else f"Call one or more of: {named}."
        )

    def where(self, position: int, name: str = "") -> str:
        """Which of an answer's moves."""
        if self.mode == "schema":
            return f"moves[{position}]" + (f" ({name})" if name else "")
        return f"call {position + 1}" + (f" (`{name}`)" if name else "")

    def form(self, name: str) -> str:
        """What the move looks like when it is right."""
        form = form_of(name)
        return f"{name}({form})" if self.mode == "tools" else f'{{"move": "{name}", {form[1:]}'

    def too_many(self, number: int) -> list[str]:
        """What is wrong with so many moves of which each could be done, if it is anything."""
        said = self.offer.why_too_many(number)
        return [f"{said} Form: {' or '.join(map(self.form, self.offer.moves))}"] if said else []

    @property
    def names(self) -> tuple[str, ...]:
        """All that a call may be named. Functions go first, for a call is one of them at most."""
        return (*(function.call_name for function in self.offer.functions), *self.offer.moves)

    def function(self, written: str) -> Function | None:
        """The offered function that a name can only mean."""
        functions = {function.call_name: function for function in self.offer.functions}
        return functions.get(offered_name(written, tuple(functions)))


def called_names(offer: Offer) -> list[str]:
    """As tools: each function is one of its own, and `use` is none."""
    moves = [move for move in offer.moves if move != USE]
    return [*moves, *(function.call_name for function in offer.functions)]


def _written_names(offer: Offer) -> list[str]:
    functions = ", ".join(function.name for function in offer.functions)
    return [f"{move} ({functions})" if move == USE and functions else move for move in offer.moves]


def _written_moves(received: Received, open_now: _Open) -> list[Any] | Correction:
    put_together = received.put_together
    if put_together.calls:
        return _called_moves(put_together, open_now)
    if not received.content.strip():
        return _thought_moves(received.thoughts, open_now)
    return _content_moves(received.content, open_now)


# --- calls ------------------------------------------------------------------------------------


def _called_moves(written: Calls, open_now: _Open) -> list[Any] | Correction:
    if written.is_ambiguous:
        return Correction(
            "Your function calls could not be told apart. Call one function at a time."
        )
    calls: list[TextCall] = []
    for call in written.calls:
        arguments = read_arguments(call.arguments)
        if arguments is None:
            return _bad_arguments(call)
        calls.append(TextCall(call.name, arguments))
    return _moves_of(calls, open_now)


def _bad_arguments(call: WrittenCall) -> Correction:
    try:
        json.loads(call.arguments)
    except json.JSONDecodeError as error:
        what = f"not valid JSON: {error.msg} at character {error.pos}."
    except (ValueError, RecursionError):
        what = "JSON that is too deep or too large to read."
    else:
        what = "not a JSON object."
    return Correction(f"The arguments of `{call.name[:80]}` are {what}")


def _moves_of(calls: Iterable[TextCall], open_now: _Open) -> list[Any] | Correction:
    moves: list[Any] = []
    for call in calls:
        name = offered_name(call.name, open_now.names)
        if (
            name not in open_now.names
            and (inner := _unwrap_calls(name, call.arguments, open_now)) is not None
        ):
            moves += inner
            continue
        if call.arguments.get("move", name) != name:
            return Correction(f"`{name[:80]}` has no parameter `move`; leave it out.")
        moves.append({**call.arguments, "move": name})
    return moves


def offered_name(written: str, names: Sequence[str]) -> str:
    """The offered name that a written one can only mean; else the name as it was written."""
    name = _CONTROL.split(written, maxsplit=1)[0].strip().strip("\"'`")
    for candidate in (name, _SUFFIX.sub("", name)):
        plain = _PREFIX.sub("", candidate, count=1) if _PREFIX.match(candidate) else candidate
        for possible in (candidate, plain, candidate.replace("/", "_"), plain.replace("/", "_")):
            if possible in names:
                return possible
    return name or written


def _unwrap_calls(name: str, arguments: Mapping[str, Any], open_now: _Open) -> list[Any] | None:
    """The moves in a call of the reply itself, or in a wrapper for several calls; `None` for
    neither.
    """
    if name == REPLY and set(arguments) == {"moves"} and isinstance(arguments["moves"], list):
        return arguments["moves"]
    uses = arguments.get("tool_uses")
    if name != PARALLEL or not isinstance(uses, list):
        return None
    moves = [_wrapped_move(use, open_now) for use in uses]
    return None if None in moves else moves


def _wrapped_move(use: Any, open_now: _Open) -> Json | None:
    given = use.get("parameters") if isinstance(use, dict) else None
    if not isinstance(given, dict) or "move" in given:
        return None
    name = offered_name(str(use.get("recipient_name")), open_now.names)
    return {**given, "move": name} if name in open_now.names else None


# --- text -------------------------------------------------------------------------------------


def _content_moves(content: str, open_now: _Open) -> list[Any] | Correction:
    """Moves written as JSON text; in tools mode too, for a model may copy the form of its
    history.
    """
    reply = answer_in(content)
    if isinstance(reply, Problem):
        is_text = open_now.mode == "tools"
        what = "is text and calls no function." if is_text else reply.what
        return Correction(f"Your answer {what} {open_now.ask}")
    if isinstance(reply, tuple):
        return _moves_of(reply, open_now)
    if bare := _bare_moves(reply):
        return bare
    if not isinstance(reply, dict) or not isinstance(reply.get("moves"), list):
        lacks = "calls no function" if open_now.mode == "tools" else "has no list `moves`"
        return Correction(f"Your answer {lacks}. {open_now.ask}")
    if unknown := sorted(set(reply) - {"moves"} - _ALOUD):
        return Correction(f"Unknown field `{unknown[0][:80]}` beside `moves`. {open_now.ask}")
    return [_unwrap_move(raw, open_now) for raw in reply["moves"]]


def _bare_moves(reply: Any) -> list[Any]:
    """A move, or a list of moves, without the object around them; nothing for anything else."""
    if isinstance(reply, dict):
        return [reply] if "move" in reply and "moves" not in reply else []
    if not isinstance(reply, list):
        return []
    are_moves = all(isinstance(raw, dict) and "move" in raw for raw in reply)
    return reply if are_moves else []


def _thought_moves(thoughts: str, open_now: _Open) -> list[Any] | Correction:
    """An answer that was put among the thoughts: taken where it is all that was thought, and valid.
    What a model only considers is no answer.
    """
    moves = _content_moves(thoughts, open_now) if is_json(thoughts) else []
    if isinstance(moves, list) and moves:
        read = [_read_move(raw, open_now, n) for n, raw in enumerate(moves)]
        if not any(isinstance(one, Correction) for one in read):
            return moves
    return Correction(f"You called no function. {open_now.ask}")


def _unwrap_move(raw: Any, open_now: _Open) -> Any:
    """A move that was written in the form of a call; else what was written."""
    call = call_of(raw) if isinstance(raw, dict) and "move" not in raw else None
    if call is None or "move" in call.arguments:
        return raw
    return {**call.arguments, "move": offered_name(call.name, open_now.names)}


# --- one move ---------------------------------------------------------------------------------


def _read_move(raw: Any, open_now: _Open, position: int) -> Move | Correction:
    name = raw.get("move") if isinstance(raw, dict) else None
    if not isinstance(name, str):
        where = open_now.where(position)
        return Correction(f"{where}: expected an object with `move`, one of: {open_now.said}.")
    try:
        move = _validate_move(name, raw, open_now)
    except ValidationError as error:
        return _correction_of(error, name, raw, open_now, position)
    if move is None:
        where = open_now.where(position)
        return Correction(f"{where}: `{name[:80]}` is not open to you now. {open_now.ask}")
    return move


def _validate_move(name: str, raw: Mapping[str, Any], open_now: _Open) -> Move | None:
    """`None` for a move that is not offered. Raises `ValidationError`."""
    if name == USE and USE in open_now.offer.moves:
        return _read_use(raw, open_now)
    if (function := open_now.function(name)) is not None:
        # Called by its name: all that stands beside it are its arguments.
        return _use_of(function, {key: raw[key] for key in raw if key != "move"})
    if name not in open_now.offer.moves:
        return None
    return cast(Move, MOVE_TYPES[name].model_validate(raw))


def _correction_of(
    error: ValidationError, name: str, raw: Mapping[str, Any], open_now: _Open, position: int
) -> Correction:
    """All faults of a move, and the form that it should have; of a function, its faults."""
    where = open_now.where(position, name)
    function = open_now.function(str(raw.get("function")) if name == USE else name)
    if function is not None:
        return Correction(f"{where}: {faults_of(error, function.args.model_json_schema())}.")
    if name == USE:
        return Correction(f"{where}: {faults_of(error, schema_of(USE))}.")
    return Correction(f"{where}: {faults_of(error, schema_of(name))}. Form: {open_now.form(name)}")


def _read_use(raw: Mapping[str, Any], open_now: _Open) -> Use:
    """A `use`. Of a function that is not offered nothing is checked here: the law refuses it by its
    rule, and the journal has it.
    """
    function = open_now.function(str(raw.get("function")))
    if function is None:
        return Use.model_validate(raw)
    use = Use.model_validate({**raw, "function": function.name})
    return _use_of(function, use.args)


def _use_of(function: Function, args: dict[str, Any]) -> Use:
    """Raises `ValidationError` where the arguments do not fit the function's."""
    function.args.model_validate(args)
    return Use(move=USE, function=function.name, args=args)
