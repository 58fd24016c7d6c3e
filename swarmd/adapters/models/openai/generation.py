"""What a request says of how to write: the output limit, and the settings that were made. Pure."""

from __future__ import annotations

from typing import Any, Final

from swarmd.adapters.models.openai.form import Form
from swarmd.core.model.generation import REASONING_TOKENS, Generation
from swarmd.ports.models import Prompt

# For an answer that was cut at its limit, once.
STRETCH: Final = 2


def output_limit(prompt: Prompt, defaults: Generation) -> int:
    """The tokens that a model may write, thoughts included."""
    allowance = _allowance(prompt.generation.before(defaults))
    limit = prompt.output_tokens_max + allowance * prompt.thoughts_percent // 100
    return limit * STRETCH if prompt.is_stretched else limit


def _allowance(generation: Generation) -> int:
    """For thoughts, which servers count in the same limit as what is visible."""
    if generation.reasoning_tokens_max is not None:
        return generation.reasoning_tokens_max
    return REASONING_TOKENS if generation.reasoning_effort not in (None, "none") else 0


def expecting_thoughts(defaults: Generation) -> Generation:
    """The settings of a server whose models may be expected to think without being told to."""
    if defaults.reasoning_tokens_max is not None or defaults.reasoning_effort == "none":
        return defaults
    return defaults.before(Generation(reasoning_tokens_max=REASONING_TOKENS))


def settings_of(prompt: Prompt, defaults: Generation, form: Form) -> dict[str, Any]:
    """What was set and is not refused, by the setting's name."""
    if not form.has_settings:
        return {}
    generation = prompt.generation.before(defaults)
    named = {
        "reasoning_effort": generation.reasoning_effort,
        "temperature": generation.temperature,
        **generation.extra,
    }
    return {
        name: value
        for name, value in named.items()
        if value is not None and name not in form.dropped
    }
