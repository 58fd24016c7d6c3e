"""Requests that were encoded for their bound, until they are sent."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from swarmd.adapters.models.openai.form import Form, Mode
from swarmd.adapters.models.openai.wire import Wire
from swarmd.core.model.generation import Generation
from swarmd.ports.models import Prompt

# Requests whose bound was asked for and that are not yet sent: more than calls wait side by side in
# one process.
ENCODED_MAX: Final = 128


class EncodedRequests:
    """Asked for its bound, a prompt is about to be sent: what was encoded for the one is sent by
    the other.
    """

    def __init__(self, model: str, wire: Wire, defaults: Generation) -> None:
        self._model = model
        self._wire = wire
        self._defaults = defaults
        self._kept: OrderedDict[int, tuple[Prompt, Mode, Form, bytes]] = OrderedDict()

    def encode(self, prompt: Prompt, mode: Mode, form: Form) -> bytes:
        known = self._kept.get(id(prompt))
        if known is not None and known[:3] == (prompt, mode, form):
            return known[3]
        body = self._encoded(prompt, mode, form)
        self._kept[id(prompt)] = prompt, mode, form, body
        if len(self._kept) > ENCODED_MAX:
            self._kept.popitem(last=False)
        return body

    def take(self, prompt: Prompt, mode: Mode, form: Form) -> tuple[Form, bytes]:
        """As it was bounded: in the meantime another call may have learned of a form with longer
        names.
        """
        known = self._kept.pop(id(prompt), None)
        if known is not None and known[:2] == (prompt, mode):
            return known[2:]
        return form, self._encoded(prompt, mode, form)

    def _encoded(self, prompt: Prompt, mode: Mode, form: Form) -> bytes:
        return self._wire.request_body(self._model, prompt, mode, form, self._defaults)
