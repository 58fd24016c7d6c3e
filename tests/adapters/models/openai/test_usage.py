"""What a server says of its usage, in whichever field: the most of it is charged."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swarmd.adapters.models.openai.answer import Received
from swarmd.adapters.models.openai.usage import TOKENS_COUNTED_MAX, usage_of
from swarmd.core.ledger.prices import Counted

# A busy machine is slow and not wrong.
calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

PLAIN = {"prompt_tokens": 100, "completion_tokens": 20}


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        (PLAIN, Counted(100, 20)),
        ({**PLAIN, "total_tokens": 120}, Counted(100, 20)),
        ({**PLAIN, "total_tokens": 320}, Counted(100, 220)),
        ({**PLAIN, "total_tokens": 90}, Counted(100, 20)),
        ({**PLAIN, "completion_tokens_details": {"reasoning_tokens": 15}}, Counted(100, 20)),
        ({**PLAIN, "completion_tokens_details": {"reasoning_tokens": 500}}, Counted(100, 520)),
        ({**PLAIN, "reasoning_tokens": 500}, Counted(100, 520)),
        (
            {**PLAIN, "completion_tokens_details": {"reasoning_tokens": 15}, "total_tokens": 135},
            Counted(100, 35),
        ),
        ({"input_tokens": 100, "output_tokens": 20}, Counted(100, 20)),
        ({**PLAIN, "input_tokens": 150, "output_tokens": 7}, Counted(150, 20)),
        ({"prompt_eval_count": 100, "eval_count": 20}, Counted(100, 20)),
        (
            {"promptTokenCount": 100, "candidatesTokenCount": 20, "thoughtsTokenCount": 5},
            Counted(100, 25),
        ),
        ({"prompt_tokens": 100, "total_tokens": 120}, Counted(100, 20)),
        ({"completion_tokens": 20, "total_tokens": 120}, Counted(100, 20)),
        ({**PLAIN, "prompt_tokens_details": {"cached_tokens": 60}}, Counted(100, 20, cached=60)),
        (
            {**PLAIN, "prompt_cache_hit_tokens": 60, "prompt_cache_miss_tokens": 70},
            Counted(130, 20, cached=60),
        ),
        (
            {
                "input_tokens": 10,
                "output_tokens": 20,
                "cache_read_input_tokens": 60,
                "cache_creation_input_tokens": 30,
            },
            Counted(100, 20, cached=60, stored=30),
        ),
        ({**PLAIN, "cache_read_input_tokens": 60}, Counted(100, 20, cached=60)),
        ({**PLAIN, "cache_read_input_tokens": 600}, Counted(700, 20, cached=600)),
        ({"prompt_tokens": 99.2, "completion_tokens": 20.0}, Counted(100, 20)),
        ({"prompt_tokens": "100", "completion_tokens": " 20.0 "}, Counted(100, 20)),
        (
            {"prompt_tokens": 100, "completion_tokens": "9" * 5_000},
            Counted(100, TOKENS_COUNTED_MAX),
        ),
        ({"prompt_tokens": 100, "completion_tokens": 10**400}, Counted(100, TOKENS_COUNTED_MAX)),
        ({**PLAIN, "total_tokens": 10**30}, Counted(100, TOKENS_COUNTED_MAX - 100)),
        ({**PLAIN, "total_tokens": None, "completion_tokens_details": None}, Counted(100, 20)),
        ({**PLAIN, "total_tokens": math.nan}, Counted(100, 20)),
        ({"prompt_tokens": math.nan, "completion_tokens": 20}, None),
        ({"prompt_tokens": math.inf, "completion_tokens": 20}, None),
        ({"prompt_tokens": -1, "completion_tokens": 20}, None),
        ({"prompt_tokens": None, "completion_tokens": None}, None),
        ({"prompt_tokens": "many", "completion_tokens": []}, None),
        ({"prompt_tokens": True, "completion_tokens": True}, None),
        ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, None),
        ({}, None),
        ("100", None),
    ],
)
def test_the_most_that_a_usage_says_is_what_counts(usage: Any, counted: Counted | None) -> None:
    said = usage_of({"usage": usage})
    assert (said.counted if said else None) == counted


@pytest.mark.parametrize(
    "piece",
    [
        {"usage": PLAIN},
        {"x_groq": {"id": "r", "usage": PLAIN}},
        {"choices": [{"index": 0, "delta": {}, "usage": PLAIN}]},
        {"choices": [{"index": 0, "delta": {"usage": PLAIN}}]},
        {"choices": [{"index": 0, "message": {"usage": PLAIN}}]},
        {"prompt_eval_count": 100, "eval_count": 20, "done": True},
        {"usageMetadata": {"promptTokenCount": 100, "candidatesTokenCount": 20}},
        {"usage": None, "timings": {"prompt_n": 100, "predicted_n": 20}},
        {"usage": {"prompt_tokens": 0, "completion_tokens": 0}, "x_groq": {"usage": PLAIN}},
    ],
)
def test_usage_is_found_wherever_a_server_puts_it(piece: Any) -> None:
    said = usage_of(piece)
    assert said is not None
    assert said.counted == Counted(100, 20)


def finished(*usages: Any) -> Received:
    received = Received()
    received.take({"choices": [{"index": 0, "delta": {"content": "text"}, "finish_reason": None}]})
    received.take({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    for usage in usages:
        received.take({"choices": [], "usage": usage})
    return received


def test_of_several_usages_each_count_is_the_largest_that_was_said() -> None:
    received = finished(
        {"prompt_tokens": 100, "completion_tokens": 5},
        {
            "prompt_tokens": 100,
            "completion_tokens": 20,
            "prompt_tokens_details": {"cached_tokens": 60},
        },
        {"prompt_tokens": 3, "completion_tokens": 9},
        None,
    )
    assert received.counted == Counted(100, 20, cached=60)
    assert received.is_counted


def test_counts_that_come_apart_are_put_together() -> None:
    assert finished({"input_tokens": 100}, {"output_tokens": 20}).counted == Counted(100, 20)


def test_text_after_a_count_was_not_counted() -> None:
    received = finished(PLAIN)
    received.take({"choices": [{"index": 0, "delta": {"content": "more"}}]})
    assert not received.is_counted


numbers = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text("019.-ex ", max_size=5),
    st.just("100"),
)
usages = st.dictionaries(
    st.sampled_from(
        [
            "prompt_tokens",
            "completion_tokens",
            "total_tokens",
            "input_tokens",
            "output_tokens",
            "reasoning_tokens",
            "cache_read_input_tokens",
            "prompt_cache_hit_tokens",
            "prompt_eval_count",
            "eval_count",
        ]
    ),
    numbers,
)


@calm
@given(usages, usages)
def test_no_usage_breaks_anything_and_more_of_it_is_never_charged_less(
    one: Any, other: Any
) -> None:
    first, both = finished(one), finished(one, other)
    for received in (first, both):
        said = received.said
        assert all(
            n is None or 0 <= n <= TOKENS_COUNTED_MAX for n in (said.tokens_in, said.tokens_out)
        )
    assert (both.said.tokens_in or 0) >= (first.said.tokens_in or 0)
    assert (both.said.tokens_out or 0) >= (first.said.tokens_out or 0)
