"""The two ways to ask an OpenAI-compatible server: where, with what body, and how an answer is
read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from swarmd.adapters.models.openai import request, responses
from swarmd.adapters.models.openai.answer import Received
from swarmd.adapters.models.openai.form import Form, Mode
from swarmd.adapters.models.openai.response_events import ReceivedResponse
from swarmd.core.model.generation import Generation
from swarmd.ports.models import Prompt


class EncodeRequest(Protocol):
    def __call__(
        self, model: str, prompt: Prompt, mode: Mode, form: Form, defaults: Generation = ...
    ) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Wire:
    """`path` is behind the base URL. `asks_thoughts`: each request asks for encrypted thoughts."""

    path: str
    request_body: EncodeRequest
    probe_body: Callable[[str, Form], bytes]
    received: Callable[[], Received]
    asks_thoughts: bool = False


WIRES: Final = {
    "chat": Wire("/chat/completions", request.request_body, request.probe_body, Received),
    "responses": Wire(
        "/responses",
        responses.request_body,
        responses.probe_body,
        ReceivedResponse,
        asks_thoughts=True,
    ),
}
