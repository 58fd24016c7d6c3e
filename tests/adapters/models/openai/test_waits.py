"""How long to wait after a 429, wherever it is told."""

from __future__ import annotations

import json
from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swarmd.adapters.models.openai.waits import WAIT_SECONDS_MAX, wait_seconds

# A busy machine is slow and not wrong.
calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

NOW = 1_795_900_000.0  # 2026-11-28T21:06:40Z


def wait(headers: dict[str, str] | None = None, error: Any = None, text: str = "") -> float | None:
    return wait_seconds(headers or {}, error, text or (json.dumps(error) if error else ""), NOW)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "20s"}, 20),
        ({"retry-after": formatdate(NOW + 30, usegmt=True)}, 30),
        (
            {
                "retry-after": formatdate(NOW + 130, usegmt=True),
                "date": formatdate(NOW + 100, usegmt=True),
            },
            30,
        ),
        ({"retry-after": "-3"}, 0),
        ({"retry-after": "nan"}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "1e9"}, WAIT_SECONDS_MAX),
        ({"retry-after-ms": "350"}, 0.35),
        ({"retry-after-ms": "350", "retry-after": "1"}, 0.35),
        ({"x-ms-retry-after-ms": "1500"}, 1.5),
        ({"x-ratelimit-reset-requests": "1m30.5s"}, 90.5),
        ({"x-ratelimit-reset-tokens": "6m0s"}, 360),
        ({"x-ratelimit-reset-tokens": "120ms"}, 0.12),
        ({"x-ratelimit-reset-tokens": "7.66s", "x-ratelimit-reset-requests": "2m59s"}, 179),
        (
            {
                "x-ratelimit-reset-tokens": "7.66s",
                "x-ratelimit-reset-requests": "2m59s",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-remaining-requests": "14",
            },
            7.66,
        ),
        ({"ratelimit-reset": "5"}, 5),
        ({"x-ratelimit-reset": "5"}, 5),
        ({"x-ratelimit-reset": str(int(NOW) + 12)}, 12),
        ({"x-ratelimit-reset": str((int(NOW) + 12) * 1_000)}, 12),
        ({"x-ratelimit-reset": str(int(NOW) - 12)}, 0),
        ({"x-ratelimit-reset-after": "3.2"}, 3.2),
        ({"anthropic-ratelimit-requests-reset": "2026-11-28T21:07:00Z"}, 20),
        ({"ratelimit": "limit=10, remaining=0, reset=5"}, 5),
        ({"ratelimit": '"default";r=0;t=30'}, 30),
        ({"x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "0"}, None),
        ({}, None),
    ],
)
def test_headers_tell_it_in_seconds_milliseconds_durations_and_dates(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert wait(headers) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Limit 3 / min. Please try again in 20s. Visit the page to learn more.", 20),
        ("Please try again in 350ms.", 0.35),
        ("Please try again in 1m30.5s.", 90.5),
        ("Please retry after 42 seconds.", 42),
        ("Retry after 42", 42),
        ("Please wait 2 minutes and 5 seconds.", 125),
        ("Please retry in 34.074824224s.", 34.074824224),
        ("You can try your request again in 6 sec", 6),
        ("Rate limit exceeded, wait for 10 sec", 10),
        ("The limit resets at 2026-11-28T21:07:00Z.", 20),
        ("quota available again in 1 minute", 60),
        ("try again in 1h2m", WAIT_SECONDS_MAX),
        ("Too many requests", None),
        ("Please try again later. Limit: 60 per minute.", None),
        ("Gave up after 3 retries", None),
        ("Please wait, 60 requests were made", None),
    ],
)
def test_the_text_of_an_error_tells_it(text: str, seconds: float | None) -> None:
    assert wait(text=text) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (
            {
                "details": [
                    {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.07s"}
                ]
            },
            34.07,
        ),
        ({"details": [{"retryDelay": {"seconds": "34", "nanos": 500_000_000}}]}, 34.5),
        ([{"error": {"details": [{"retryDelay": "7s"}]}}], 7),
        ({"retry_after": 5}, 5),
        ({"retry_after_ms": 350}, 0.35),
        ({"retryAfter": "12"}, 12),
        ({"resets_in_seconds": 77}, 77),
        ({"resets_at": NOW + 8}, 8),
        (
            {
                "metadata": {
                    "headers": {
                        "X-RateLimit-Reset": str(int((NOW + 9) * 1_000)),
                        "X-RateLimit-Remaining": "0",
                    }
                }
            },
            9,
        ),
        ({"metadata": {"retry_after_seconds": 3}}, 3),
        ({"type": "rate_limit_error", "message": "slow down"}, None),
        ({"retry_after": None, "wait": True}, None),
    ],
)
def test_fields_of_an_error_tell_it_at_any_depth(error: Any, seconds: float | None) -> None:
    assert wait(error=error) == (None if seconds is None else pytest.approx(seconds))


def test_a_source_that_says_nothing_to_wait_does_not_hide_one_that_says_more() -> None:
    assert wait({"retry-after": "0"}, text="Please try again in 20s.") == 20
    assert wait({"retry-after": "0"}) == 0
    assert wait({"retry-after": "3", "x-ratelimit-reset": "60"}, text="try again in 20s") == 3


@calm
@given(
    st.dictionaries(
        st.sampled_from(["retry-after", "x-ratelimit-reset", "ratelimit", "date"]),
        st.text("0189.,=;-:smhzT x", max_size=40),
    ),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text("0189.smh-", max_size=20),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["retry_after", "retryDelay", "seconds", "nanos", "error"]), inner
            )
        ),
        max_leaves=10,
    ),
    st.lists(
        st.sampled_from(["try again in ", "retry", " after ", "20", "1.5", "s", "ms", ".", "-"])
    ).map("".join),
)
def test_whatever_is_said_is_a_bounded_wait_or_none(
    headers: dict[str, str], error: Any, text: str
) -> None:
    seconds = wait(headers, error, text)
    assert seconds is None or 0 <= seconds <= WAIT_SECONDS_MAX
