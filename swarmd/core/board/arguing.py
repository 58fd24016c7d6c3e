"""What is said to a motion before the vote: kept with it. Pure."""

from __future__ import annotations

from typing import Any, Final

from swarmd.core.board.events import Argued, Responded
from swarmd.core.model.names import OPERATOR
from swarmd.core.model.procedure import Argument, Procedure
from swarmd.core.model.watch import WORDS_SHOWN_MAX

# Of an argument in the state of the debate, and in a charter that it is handed down with: the whole
# stands in the room.
ARGUMENT_CHARS_MAX: Final = 2_000


def with_argument(procedure: Procedure, said: Argued) -> Procedure:
    return _with(procedure, Argument(seat=said.seat, stance=said.stance, text=_cut(said.text)))


def with_operators_word(procedure: Procedure, text: str) -> Procedure:
    """It counts as an argument, which the proposer may accept; of many the newest are kept."""
    said = [one for one in procedure.arguments if one.seat == OPERATOR]
    dropped = said[: max(0, len(said) + 1 - WORDS_SHOWN_MAX)]
    kept = tuple(one for one in procedure.arguments if one not in dropped)
    word = Argument(seat=OPERATOR, stance="argue", text=_cut(text))
    return _with(procedure.model_copy(update={"arguments": kept}), word)


def _with(procedure: Procedure, argument: Argument) -> Procedure:
    return procedure.model_copy(update={"arguments": (*procedure.arguments, argument)})


def _cut(text: str) -> str:
    return text[:ARGUMENT_CHARS_MAX]


def with_response(procedure: Procedure, answer: Responded) -> Procedure:
    """The motion as its proposer leaves it. What it has accepted before stays accepted."""
    changes: dict[str, Any] = {
        "accepted": tuple(
            argument
            for argument in procedure.arguments
            if argument in procedure.accepted
            or (argument.seat in answer.accepts and argument.text.strip())
        )
    }
    if answer.motion is not None:
        changes["motion"] = answer.motion
        changes["taint"] = tuple(sorted({*procedure.taint, *answer.taint}))
    return procedure.model_copy(update=changes)
