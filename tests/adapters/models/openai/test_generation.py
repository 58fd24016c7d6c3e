"""How a model is to write: what may be set, and what goes before what."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from swarmd.adapters.models.openai.form import Form
from swarmd.adapters.models.openai.generation import (
    expecting_thoughts,
    output_limit,
    settings_of,
)
from swarmd.core.model.declarations import Provider
from swarmd.core.model.generation import REASONING_TOKENS, Generation
from tests.contract.test_openai_model import prompt_of


@pytest.mark.parametrize(
    "settings",
    [
        {"extra": {"max_tokens": 5}},
        {"extra": {"tools": []}},
        {"extra": {"temperature": 1}},
        {"extra": {"seed": float("nan")}},
        {"extra": {"seed": {1, 2}}},
        {"reasoning_effort": "maximal"},
        {"temperature": 2.5},
        {"reasoning_tokens_max": -1},
    ],
)
def test_what_no_request_may_say_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Provider(**settings)


def test_a_role_goes_before_its_provider_field_by_field() -> None:
    provider = Provider(reasoning_effort="high", temperature=1.0, extra={"top_p": 0.5, "seed": 1})
    role = Generation(temperature=0.0, extra={"seed": 2})
    prompt = replace(prompt_of(), generation=role)
    assert settings_of(prompt, provider, Form()) == {
        "reasoning_effort": "high",
        "temperature": 0.0,
        "top_p": 0.5,
        "seed": 2,
    }
    without = Form(dropped=frozenset({"temperature", "seed"}))
    assert set(settings_of(prompt, provider, without)) == {"reasoning_effort", "top_p"}
    assert settings_of(prompt, provider, Form(has_settings=False)) == {}
    assert settings_of(prompt_of(), Provider(), Form()) == {}


@pytest.mark.parametrize(
    ("defaults", "role", "allowed"),
    [
        (Provider(), {}, 0),
        (Provider(reasoning_effort="low"), {}, REASONING_TOKENS),
        (Provider(reasoning_effort="none"), {}, 0),
        (Provider(reasoning_tokens_max=70), {}, 70),
        (Provider(reasoning_tokens_max=70), {"reasoning_tokens_max": 9}, 9),
        (expecting_thoughts(Provider()), {}, REASONING_TOKENS),
        (expecting_thoughts(Provider(reasoning_effort="none")), {}, 0),
        (expecting_thoughts(Provider(reasoning_tokens_max=0)), {}, 0),
    ],
)
def test_thoughts_have_their_own_room_beside_what_is_visible(
    defaults: Generation, role: dict[str, Any], allowed: int
) -> None:
    prompt = replace(prompt_of(tokens=500), generation=Generation(**role))
    assert output_limit(prompt, defaults) == 500 + allowed
    assert output_limit(replace(prompt, is_stretched=True), defaults) == 2 * (500 + allowed)
    assert output_limit(replace(prompt, thoughts_percent=25), defaults) == 500 + allowed // 4
