"""Which field of a request a server refuses, out of what it says; and what an error means."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest

from swarmd.adapters.models.openai.faults import (
    fault_in_answer,
    fault_of_status,
    place_of,
    same_host,
)
from swarmd.adapters.models.openai.form import Form, Mode, Refusal, refused
from swarmd.core.model.declarations import RequestField

MODES: tuple[Mode, ...] = get_args(Mode)
FIELDS: tuple[RequestField, ...] = get_args(RequestField)
NOW = 1_795_900_000.0


def learned(error: Any, mode: Mode = "tools", status: int = 400, form: Form | None = None) -> str:
    """The field that is learned from an error page, or nothing."""
    page = error if isinstance(error, bytes) else json.dumps(error).encode()
    fault = fault_of_status(status, {}, page, NOW)
    used = form or Form()
    for text in (fault.what, fault.said):
        if refusal := refused(used, mode, fault.status, text, fault.parameter):
            return refusal.field
    return ""


@pytest.mark.parametrize(
    ("error", "mode", "field"),
    [
        (
            {"error": {"message": "Unrecognized request argument supplied: stream_options"}},
            "tools",
            "stream_options",
        ),
        (
            {
                "detail": [
                    {"loc": ["body", "stream_options"], "msg": "Extra inputs are not permitted"}
                ]
            },
            "tools",
            "stream_options",
        ),
        (
            {
                "object": "error",
                "message": {
                    "detail": [{"type": "extra_forbidden", "loc": ["body", "stream_options"]}]
                },
            },
            "tools",
            "stream_options",
        ),
        (
            {
                "error": {
                    "message": "Unsupported parameter: 'max_tokens' is not supported with this "
                    "model. Use 'max_completion_tokens' instead.",
                    "param": "max_tokens",
                }
            },
            "tools",
            "max_tokens",
        ),
        ({"error": 'json: unknown field "max_tokens"'}, "tools", "max_tokens"),
        (
            {"error": {"message": "Thinking mode does not support this tool_choice"}},
            "tools",
            "tool_choice",
        ),
        ({"error": {"message": "tool_choice must be 'auto' or 'none'"}}, "tools", "tool_choice"),
        ({"error": {"message": "failed to parse grammar"}}, "tools", "tool_choice"),
        (
            {"error": {"message": "This response_format type is unavailable now"}},
            "schema",
            "response_format",
        ),
        (
            {"error": {"message": "json_schema is not supported by this model"}},
            "schema",
            "response_format",
        ),
        (
            [{"error": {"message": 'Unknown name "response_format": Cannot find field.'}}],
            "schema",
            "response_format",
        ),
        ({"error": {"message": "Streaming is not supported for this model"}}, "tools", "stream"),
        ({"error": {"message": "System role not supported"}}, "tools", "system"),
        (
            {
                "error": {
                    "message": (
                        "Unsupported value: 'messages[0].role' does not support 'system' "
                        "with this model."
                    ),
                    "param": "messages[0].role",
                }
            },
            "tools",
            "system",
        ),
        (b"stream_options: unknown field", "tools", "stream_options"),
        # What the request did not have, or what is about something else, is not learned.
        ({"error": {"message": "This response_format type is unavailable now"}}, "tools", ""),
        ({"error": {"message": "bad", "param": "model"}}, "tools", ""),
        ({"error": {"message": "no such model", "param": "temperature"}}, "tools", ""),
        ({"error": {"message": "The model `m` does not exist"}}, "tools", ""),
        (
            {
                "error": {
                    "message": (
                        "This model's maximum context length is 2048 tokens. However, you "
                        "requested 9000."
                    ),
                    "param": "messages",
                    "code": "context_length_exceeded",
                }
            },
            "tools",
            "",
        ),
        ({"error": {"message": "Bad Request"}}, "tools", ""),
        (b"", "tools", ""),
    ],
)
def test_the_field_that_a_server_names_is_the_one_that_is_learned(
    error: Any, mode: Mode, field: str
) -> None:
    assert learned(error, mode) == field


def test_other_statuses_teach_nothing_and_an_engine_that_broke_does_not_either() -> None:
    error = {"error": {"message": "stream_options is not supported"}}
    assert [learned(error, status=status) for status in (401, 403, 429, 502, 503)] == [""] * 5
    assert learned(error, status=500) == "stream_options"
    assert (
        learned({"error": {"message": "worker died in stream_options handler"}}, status=500) == ""
    )


def test_a_limit_has_two_names_and_then_none_and_a_wrong_value_has_no_other_name() -> None:
    form = Form()
    for limits in (("max_completion_tokens",), ()):
        form = form.after(Refusal("max_tokens"))
        assert form.limits == limits
    assert Form().after(Refusal("max_tokens", is_value=True)).limits == ()
    said = "max_tokens is too large: 32000. This model supports at most 16384 completion tokens"
    assert refused(Form(), "tools", 400, said) == Refusal("max_tokens", is_value=True)


def test_every_refusal_leads_to_a_form_without_what_was_refused_and_so_to_an_end() -> None:
    for mode in MODES:
        form, steps = Form(), 0
        while left := [field for field in FIELDS if form.has(field, mode)]:
            form = form.after(Refusal(left[0]))
            steps += 1
        assert steps <= 7


@pytest.mark.parametrize(
    ("answer", "why", "status"),
    [
        ({"error": {"message": "x", "code": 502}}, "server", 502),
        ({"error": {"message": "x", "code": "429"}}, "rate_limited", 429),
        ({"error": {"message": "x", "code": "rate_limit_exceeded"}}, "rate_limited", 429),
        ({"error": {"message": "x", "status": "RESOURCE_EXHAUSTED"}}, "rate_limited", 429),
        ({"error": {"message": "x", "type": "insufficient_quota"}}, "rejected", 429),
        ({"error": {"message": "x", "type": "overloaded_error"}}, "server", 503),
        ({"error": {"message": "x", "type": "invalid_request_error"}}, "rejected", 400),
        ({"error": {"message": "x", "type": "authentication_error"}}, "rejected", 401),
        ({"error": "the engine is overloaded"}, "server", 503),
        ({"error": "upstream gone"}, "server", 500),
        (
            {
                "object": "error",
                "message": "engine overloaded",
                "type": "server_error",
                "code": 40303,
            },
            "server",
            500,
        ),
        ({"detail": "Not Found"}, "rejected", 404),
        ({"choices": [{"index": 0, "error": {"code": 504, "message": "x"}}]}, "server", 504),
    ],
)
def test_an_error_in_the_place_of_an_answer_counts_as_the_status_that_it_names_and_costs_nothing(
    answer: Any, why: str, status: int
) -> None:
    fault = fault_in_answer(answer, {}, NOW, has_begun=False)
    assert fault is not None
    assert (fault.why, fault.status, fault.may_have_run) == (why, status, False)
    later = fault_in_answer(answer, {}, NOW, has_begun=True)
    assert later is not None
    assert later.may_have_run


@pytest.mark.parametrize(
    "answer",
    [
        {"choices": [], "error": None},
        {"choices": [{"delta": {}}], "error": {}},
        {"usage": {"prompt_tokens": 1}},
        {"type": "ping"},
        {"id": "c"},
        [],
        None,
    ],
)
def test_what_is_no_error_is_none(answer: Any) -> None:
    assert fault_in_answer(answer, {}, NOW, has_begun=False) is None


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/real/v1/chat/completions", "http://host:80/real/v1/chat/completions"),
        ("http://host:80/x", "http://host:80/x"),
        ("https://host/x", "https://host/x"),
        ("//host:80/x", "http://host:80/x"),
        ("http://host:81/x", None),
        ("http://other/x", None),
        ("https://host:444/x", None),
        ("http://me:pass@host:80/x", None),
        ("ftp://host:80/x", None),
        ("http://[x", None),
        ("", None),
    ],
)
def test_a_redirect_is_followed_to_the_same_server_alone(location: str, target: str | None) -> None:
    assert same_host("http://host:80/v1/chat/completions", location) == target
    assert same_host("https://host/v1", "http://host/v1") is None


def test_the_place_of_a_redirect_is_shown_without_its_secrets() -> None:
    shown = place_of("http://host/v1", "https://me:pass@other:8443/v1/chat/completions?key=1#x")
    assert shown == "https://other:8443/v1/chat/completions"
    assert place_of("http://host/v1", "") == ""
