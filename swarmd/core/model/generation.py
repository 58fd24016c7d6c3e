"""How a model is to write, as a provider or a role sets it. Pure."""

from __future__ import annotations

import json
from typing import Any, Final, Literal

from pydantic import Field, field_validator

from swarmd.core.model.charter import Written

# What a request says by itself: an extra field of such a name would undo it.
_OWN_FIELDS: Final = frozenset(
    {
        "background",
        "conversation",
        "function_call",
        "functions",
        "include",
        "input",
        "instructions",
        "max_completion_tokens",
        "max_output_tokens",
        "max_tokens",
        "messages",
        "model",
        "n",
        "previous_response_id",
        "response_format",
        "store",
        "stream",
        "stream_options",
        "text",
        "tool_choice",
        "tools",
    }
)
# Of English text, as providers reckon before they count.
BYTES_OF_TOKEN: Final = 4

# Allowed for where a model may be expected to reason and nothing is set: as much again as the
# longest visible answers of the shipped roles.
REASONING_TOKENS: Final = 4_000


class Generation(Written):
    """How a model is to write: sent only where it is set. What a role sets goes before what its
    provider does.
    """

    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = (
        Field(None, description="how long a reasoning model thinks; absent: its own default")
    )
    temperature: float | None = Field(
        None, ge=0, le=2, allow_inf_nan=False, description="absent: the model's own default"
    )
    extra: dict[str, Any] = Field(
        default_factory=dict, max_length=32, description="further fields of each request, as JSON"
    )
    reasoning_tokens_max: int | None = Field(
        None,
        ge=0,
        le=200_000,
        description="allowed for thoughts, beside `output_tokens_max` for what is visible",
    )

    @field_validator("extra")
    @classmethod
    def _are_further(cls, extra: dict[str, Any]) -> dict[str, Any]:
        if own := sorted(_OWN_FIELDS & set(extra)):
            raise ValueError(f"swarmd sets these fields itself: {', '.join(own)}")
        for name in ("reasoning_effort", "temperature"):
            if name in extra:
                raise ValueError(f"{name} is a setting of its own: write it beside `extra`")
        try:
            json.dumps(extra, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ValueError("holds a value that is no JSON") from error
        return extra

    def before(self, other: Generation) -> Generation:
        """What is set here, and else what is set there."""
        set_here = {
            name: value
            for name in Generation.model_fields
            if name != "extra" and (value := getattr(self, name)) is not None
        }
        there = {name: getattr(other, name) for name in Generation.model_fields}
        return Generation(**{**there, **set_here, "extra": {**other.extra, **self.extra}})
