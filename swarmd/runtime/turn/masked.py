"""Models and functions whose secrets are masked on the way in and out: what a prompt, an answer or
a result held of them reaches neither a provider nor an agent's memory, the store or the record.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from pydantic import ValidationError

from swarmd.core.agent.turn import Acting
from swarmd.core.model.exchange import MoveCall, Piece
from swarmd.core.model.masking import Masking
from swarmd.core.model.moves import MOVE, Move
from swarmd.errors import WorkspaceError
from swarmd.ports.models import Answered, Failed, Model, Prompt, Usage
from swarmd.runtime.turn.functions import Handler, Handlers

# Of a prompt, what no model is sent as text: the moves and functions on offer, which are ours, and
# the facts that the text was made from, which minds without language read.
_NOT_SENT: Final = ("offer", "view")
_IN_THE_WAY: Final = (
    "your answer held a secret (a key, a password) where none can be masked: answer without it"
)


@dataclass(frozen=True, slots=True)
class MaskedModel:
    """The `Model` port, masked."""

    model: Model
    masking: Masking

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def is_language_model(self) -> bool:
        return self.model.is_language_model

    def bound(self, prompt: Prompt) -> Usage:
        return self.model.bound(self._mask_prompt(prompt))

    def expected(self, prompt: Prompt) -> Usage:
        return self.model.expected(self._mask_prompt(prompt))

    async def attempt(
        self, prompt: Prompt, sending: Callable[[], None] = lambda: None
    ) -> Answered | Failed:
        outcome = await self.model.attempt(self._mask_prompt(prompt), sending)
        if isinstance(outcome, Answered):
            return self._mask_answer(outcome)
        calls = tuple(map(self._mask_call, outcome.calls))
        return replace(self.masking.value(outcome), why=outcome.why, calls=calls)

    async def aclose(self) -> None:
        await self.model.aclose()

    def _mask_prompt(self, prompt: Prompt) -> Prompt:
        names = [field.name for field in fields(prompt) if field.name not in _NOT_SENT]
        masked = {name: self.masking.value(getattr(prompt, name)) for name in names}
        masked |= {name: self._mask_pieces(getattr(prompt, name)) for name in ("exchange", "since")}
        found = replace(prompt, **masked)
        # The same object where nothing was masked: it is encoded once for its bound and to be sent.
        return prompt if found == prompt else found

    def _mask_pieces(self, pieces: tuple[Piece, ...]) -> tuple[Piece, ...]:
        """A thread goes back as it came: it is the provider's own, a changed one is refused, and
        none was kept that held a secret.
        """
        return tuple(
            replace(masked, thread=piece.thread)
            for piece, masked in zip(pieces, self.masking.value(pieces), strict=True)
        )

    def _mask_answer(self, outcome: Answered) -> Answered | Failed:
        text = self.masking.text(outcome.text)
        try:
            moves = tuple(map(self._mask_move, outcome.moves))
        except ValidationError:
            # A name or a path with a mask in it is none: the model is told, and nobody else.
            return Failed("malformed", _IN_THE_WAY, outcome.usage, text=text)
        # A thread is given up: a changed one would be refused, and a turn goes on without any.
        is_clean = self.masking.text(outcome.thread) == outcome.thread
        return replace(outcome, moves=moves, text=text, thread=outcome.thread if is_clean else "")

    def _mask_move(self, move: Move) -> Move:
        said = move.model_dump(mode="json")
        masked = self.masking.value(said)
        return move if masked is said else MOVE.validate_python(masked)

    def _mask_call(self, call: MoveCall) -> MoveCall:
        """Its arguments stay JSON: they are masked as the values that they are, and then as the
        text, where some secrets are known by the name before them.
        """
        try:
            said = json.loads(call.arguments)
        except (ValueError, RecursionError):
            return self.masking.value(call)
        masked = self.masking.value(said)
        arguments = call.arguments if masked is said else json.dumps(masked, ensure_ascii=False)
        return self.masking.value(replace(call, arguments=arguments))


def masked_handlers(handlers: Handlers, masking: Masking) -> dict[str, Handler]:
    """Each with its result masked, and with what it says of its failure."""
    return {name: _masked_handler(handler, masking) for name, handler in handlers.items()}


def _masked_handler(handler: Handler, masking: Masking) -> Handler:
    async def masked(acting: Acting, args: Any) -> Mapping[str, Any]:
        try:
            return masking.value(await handler(acting, args))
        except WorkspaceError as error:
            what, hint = masking.text(error.what), masking.text(error.hint)
            raise WorkspaceError(what, hint=hint) from error

    return masked
