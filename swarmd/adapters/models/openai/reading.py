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
from swarmd.adapters.models.openai.json_text import read_arguments
from swarmd.adapters.models.openai.text import Problem, answer_in, is_json
from swarmd.core.model.moves import MOVE_TYPES, MOVES_MAX, Move

Json = dict[str, Any]

ERRORS_MAX: Final = 4  # in one correction: a model mends the first ones, a longer list distracts it
REPLY: Final = "reply"  # as the schema of an answer is called in a request
PARALLEL: Final = "multi_tool_use.parallel"  # a wrapper that some models were trained to write

_CONTROL: Final = re.compile(r"<[|｜]|</")
_PREFIX: Final = re.compile(r"(?:(?:functions?|tools?|default_api|namespace|assistant|api)[.:/])+")
_SUFFIX: Final = re.compile(r"(?::\d{1,4}|\(\))\Z")


@dataclass(frozen=True, slots=True)
class Correction:
    """Why an answer is no move, in words for the model."""

    text: str


def read_moves(received: Received, functions: Sequence[str]) -> tuple[Move, ...] | Correction:
    """All moves of an answer in order, or what is wrong with it; never some of them."""
    written = _written_moves(received, functions)
    if isinstance(written, Correction):
        return written
    if not written:
        return Correction(f"Your answer has no moves. Use one or more of: {', '.join(functions)}.")
    if len(written) > MOVES_MAX:
        return Correction(f"{len(written)} moves in one answer; at most {MOVES_MAX} are allowed.")
    moves: list[Move] = []
    for position, raw in enumerate(written):
        move = _read_move(raw, functions, f"moves[{position}]")
        if isinstance(move, Correction):
            return move
        moves.append(move)
    return tuple(moves)


def _written_moves(received: Received, functions: Sequence[str]) -> list[Any] | Correction:
    put_together = received.put_together
    if put_together.calls:
        return _called_moves(put_together, functions)
    if not received.content.strip():
        return _thought_moves(received.thoughts, functions)
    return _content_moves(received.content, functions)


# --- calls ------------------------------------------------------------------------------------


def _called_moves(written: Calls, functions: Sequence[str]) -> list[Any] | Correction:
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
    return _moves_of(calls, functions)


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


def _moves_of(calls: Iterable[TextCall], functions: Sequence[str]) -> list[Any] | Correction:
    moves: list[Any] = []
    for call in calls:
        name = offered_name(call.name, functions)
        if (
            name not in functions
            and (inner := _wrapped(name, call.arguments, functions)) is not None
        ):
            moves += inner
            continue
        if call.arguments.get("move", name) != name:
            return Correction(f"`{name[:80]}` has no parameter `move`; leave it out.")
        moves.append({**call.arguments, "move": name})
    return moves


def offered_name(written: str, functions: Sequence[str]) -> str:
    """The offered function that a name can only mean; else the name as it was written."""
    name = _CONTROL.split(written, maxsplit=1)[0].strip().strip("\"'`")
    for candidate in (name, _SUFFIX.sub("", name)):
        plain = _PREFIX.sub("", candidate, count=1) if _PREFIX.match(candidate) else candidate
        for possible in (candidate, plain):
            if possible in functions:
                return possible
    return name or written


def _wrapped(name: str, arguments: Mapping[str, Any], functions: Sequence[str]) -> list[Any] | None:
    """The moves in a call of the reply itself, or in a wrapper for several calls; `None` for
    neither.
    """
    if name == REPLY and set(arguments) == {"moves"} and isinstance(arguments["moves"], list):
        return arguments["moves"]
    uses = arguments.get("tool_uses")
    if name != PARALLEL or not isinstance(uses, list):
        return None
    moves: list[Any] = []
    for use in uses:
        given = use.get("parameters") if isinstance(use, dict) else None
        inner = (
            offered_name(str(use.get("recipient_name")), functions)
            if isinstance(given, dict)
            else ""
        )
        if inner not in functions or not isinstance(given, dict) or "move" in given:
            return None
        moves.append({**given, "move": inner})
    return moves


# --- text -------------------------------------------------------------------------------------


def _content_moves(content: str, functions: Sequence[str]) -> list[Any] | Correction:
    """Moves written as JSON text; in tools mode too, for a model may copy the form of its
    history.
    """
    reply = answer_in(content)
    form = f'Answer with moves only ({", ".join(functions)}), as JSON: {{"moves": [...]}}.'
    if isinstance(reply, Problem):
        return Correction(f"Your answer {reply.what} {form}")
    if isinstance(reply, tuple):
        return _moves_of(reply, functions)
    if isinstance(reply, dict) and "move" in reply and "moves" not in reply:
        return [reply]
    if (
        isinstance(reply, list)
        and reply
        and all(isinstance(raw, dict) and "move" in raw for raw in reply)
    ):
        return reply
    if not isinstance(reply, dict) or not isinstance(reply.get("moves"), list):
        return Correction(f"Your answer has no list `moves`. {form}")
    if unknown := sorted(set(reply) - {"moves"}):
        return Correction(f"Unknown field `{unknown[0][:80]}` beside `moves`. {form}")
    return [_unwrapped(raw, functions) for raw in reply["moves"]]


def _thought_moves(thoughts: str, functions: Sequence[str]) -> list[Any] | Correction:
    """An answer that was put among the thoughts: taken where it is all that was thought, and valid.
    What a model only considers is no answer.
    """
    moves = _content_moves(thoughts, functions) if is_json(thoughts) else []
    if isinstance(moves, list) and moves:
        read = [_read_move(raw, functions, "moves") for raw in moves]
        if not any(isinstance(one, Correction) for one in read):
            return moves
    return Correction(f"You called no function. Call one or more of: {', '.join(functions)}.")


def _unwrapped(raw: Any, functions: Sequence[str]) -> Any:
    """A move that was written in the form of a call; else what was written."""
    call = call_of(raw) if isinstance(raw, dict) and "move" not in raw else None
    if call is None or "move" in call.arguments:
        return raw
    return {**call.arguments, "move": offered_name(call.name, functions)}


def _read_move(raw: Any, functions: Sequence[str], where: str) -> Move | Correction:
    name = raw.get("move") if isinstance(raw, dict) else None
    if not isinstance(name, str):
        return Correction(
            f"{where}: expected an object with `move`, one of: {', '.join(functions)}."
        )
    if name not in functions or name not in MOVE_TYPES:
        return Correction(
            f"{where}: `{name[:80]}` is not open to you now. Use one or more of: "
            f"{', '.join(functions)}."
        )
    try:
        return cast(Move, MOVE_TYPES[name].model_validate(raw))
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False, include_context=False)
        said = "; ".join(f"{_place(fault['loc'])}: {fault['msg']}" for fault in faults[:ERRORS_MAX])
        more = f"; and {len(faults) - ERRORS_MAX} more" if len(faults) > ERRORS_MAX else ""
        return Correction(f"{where} ({name}): {said}{more}."[:TEXT_CHARS_MAX])


def _place(loc: tuple[int | str, ...]) -> str:
    """`charter.goals[2]`. A motion's tag is no field of what the model wrote, so it is left out."""
    steps = (loc[0], *loc[2:]) if loc[:1] == ("motion",) else loc
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step[:80]}" for step in steps)
    return path.removeprefix(".") or "the whole"
