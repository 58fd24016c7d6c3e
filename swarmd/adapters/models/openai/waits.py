"""How long a provider that has had enough asks us to wait, wherever it says so. Pure.

It is said in headers (seconds, milliseconds, durations, dates), in fields of the error, or in its
text. The sources are asked in the order of how exactly they mean this one wait; the first that says
more than nothing is believed.
"""

from __future__ import annotations

import email.utils
import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

WAIT_SECONDS_MAX: Final = 3_600.0
# A number this near to the present is a moment and no duration: rate windows are minutes or hours.
MOMENT_SECONDS: Final = 400 * 86_400.0
# Of an error's nested fields; one that nests deeper or wider says nothing of a wait.
NODES_MAX: Final = 500
TEXT_CHARS_MAX: Final = 8_000

_SECONDS: Final = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "μs": 1e-6,
    "ms": 1e-3,
    "millisecond": 1e-3,
    "msec": 1e-3,
    "s": 1.0,
    "sec": 1.0,
    "second": 1.0,
    "m": 60.0,
    "min": 60.0,
    "minute": 60.0,
    "h": 3600.0,
    "hr": 3600.0,
    "hour": 3600.0,
    "d": 86400.0,
    "day": 86400.0,
}
_UNIT: Final = (
    r"(?:ns|us|µs|μs|milliseconds?|msecs?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d)"
    r"(?![a-zµμ])"
)
_LENGTH: Final = rf"\d{{1,15}}(?:\.\d{{1,15}})?\s{{0,2}}{_UNIT}"
_DURATION: Final = rf"{_LENGTH}(?:(?:\s{{0,2}},)?(?:\s{{1,2}}and)?\s{{0,2}}{_LENGTH}){{0,4}}"
_JOINED: Final = (
    r"\d{1,9}(?:\.\d{1,9})?(?:ns|us|µs|μs|ms|s|m|h|d)"  # 1h2m3.5s, each unit followed by a number
)
_WHOLE: Final = re.compile(rf"(?:PT)?((?:{_JOINED})+|{_DURATION})", re.IGNORECASE)
_PARTS: Final = re.compile(
    r"(\d+(?:\.\d+)?)\s{0,2}(milliseconds?|msecs?|ms|ns|us|µs|μs|seconds?|secs?|minutes?|mins?|hours?|hrs?|days?|[smhd])",
    re.IGNORECASE,
)
_NUMBER: Final = re.compile(
    r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d{1,3})?|[+-]?(?:nan|inf(?:inity)?)", re.IGNORECASE
)
_DATE: Final = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?\s?(?:Z|UTC|[+-]\d\d:?\d\d)?"
# "Please try again in 1m30.5s", "retry after 42 seconds", "wait for 350ms", "resets at 2026-…".
_TOLD: Final = re.compile(
    r"(?:try(?:ing)?\s{1,2}(?:\w{1,10}\s{1,2}){0,2}again|retry(?:ing)?|retry[_-]?after|wait(?:ing)?|resets?"
    r"|available(?:\s{1,2}again)?|cool[ -]?down)\b"
    rf"[^\d.;\n]{{0,40}}?(?P<wait>{_DATE}|(?:{_JOINED}){{2,5}}|{_DURATION}|\d{{1,6}}(?:\.\d{{1,6}})?)(?![\w%])",
    re.IGNORECASE,
)
_BEFORE: Final = re.compile(r"(?:after|in|for|ms|seconds?)\W{0,4}\Z", re.IGNORECASE)
_STRUCTURED: Final = re.compile(
    r"(?:retry(?:after|delay|in)|resets?(?:after|in|at)?|waittime|wait|cooldown|tryagainin)"
    r"(?P<unit>ms|milliseconds|s|sec|seconds|minutes)?"
)
_RESET: Final = re.compile(
    r"(?:x-)?(?:[a-z]+-)?rate-?limit(?:-[a-z]+)*?-reset(?:-after)?(?:-(?P<kind>[a-z-]+))?"
)
_DRAFT: Final = re.compile(r"(?:^|[;,\s])(?:reset|t)=(\d+(?:\.\d+)?)")
_DRAFT_HEADERS: Final = ("ratelimit", "x-ratelimit", "rate-limit")
_SEPARATORS: Final = re.compile(r"[_\-\s]")


def wait_seconds(headers: Mapping[str, str], error: object, text: str, now: float) -> float | None:
    """Seconds to wait; `None` where nothing says. `now` is our clock, the server's own goes before
    it.

    `headers` have lower-case names, `error` is the JSON of the body, where it is any, and `text`
    the body.
    """
    now = _server_time(headers, now)
    said: list[float] = []
    for seconds in _find_waits(headers, error, text, now):
        said.append(seconds)
        if round(seconds, 6) > 0:
            return round(min(seconds, WAIT_SECONDS_MAX), 6)
    return 0.0 if said else None


def _find_waits(
    headers: Mapping[str, str], error: object, text: str, now: float
) -> Iterator[float]:
    for name in ("retry-after-ms", "x-ms-retry-after-ms", "retry-after", "x-retry-after"):
        yield from _if_number(
            read_wait(headers.get(name), now, 1e-3 if name.endswith("-ms") else 1.0)
        )
    yield from _waits_in_fields(error, now)
    yield from _waits_in_text(text, now)
    yield from _if_number(_latest_reset(headers, now))


def read_wait(value: object, now: float, unit: float = 1.0) -> float | None:
    """Seconds from a number, a duration or a moment; what lies in the past or is no number is
    none to wait.
    """
    match value:
        case bool() | None:
            return None
        case int() | float():
            return _number_seconds(float(min(value, 1e300)), now, unit)
        case dict():
            return _read_duration(value, now)
        case str() if len(value) <= 200:
            return _read_text(value.strip(), now, unit)
        case _:
            return None


def _read_duration(value: Mapping[str, Any], now: float) -> float | None:
    """As protocol buffers have it."""
    parts = ((value.get("seconds", 0), 1.0), (value.get("nanos", 0), 1e-9))
    if not value or not all(_is_number(number) for number, _ in parts):
        return None
    return sum(_number_seconds(float(number), now, unit) for number, unit in parts)


def _read_text(text: str, now: float, unit: float) -> float | None:
    if _NUMBER.fullmatch(text):
        return _number_seconds(float(text), now, unit)
    if whole := _WHOLE.fullmatch(text):
        return sum(float(number) * _unit_seconds(word) for number, word in _PARTS.findall(whole[1]))
    moment = _read_moment(text)
    return None if moment is None else max(0.0, moment - now)


def _number_seconds(value: float, now: float, unit: float) -> float:
    """A duration, unless it can only be a moment: seconds or milliseconds since 1970."""
    if not value > 0:  # written so that a NaN ends as zero
        return 0.0
    for moment in (value, value / 1_000):
        if abs(moment - now) < MOMENT_SECONDS:
            return max(0.0, moment - now)
    return value * unit


def _unit_seconds(word: str) -> float:
    word = word.lower()
    return _SECONDS.get(word) or _SECONDS[word.removesuffix("s")]


def _read_moment(text: str) -> float | None:
    try:
        if re.match(r"\d{4}-\d\d-", text):
            at = datetime.fromisoformat(text.replace(" UTC", "+00:00"))
        else:
            at = email.utils.parsedate_to_datetime(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, TypeError, IndexError):
        return None


def _server_time(headers: Mapping[str, str], now: float) -> float:
    """What it says of moments is by its own clock, which may be minutes from ours."""
    said = _read_moment(headers.get("date", ""))
    return now if said is None else said


# --- in fields, in words, in counters ---------------------------------------------------------


def _waits_in_fields(error: object, now: float) -> Iterator[float]:
    """Fields whose names say so, at any depth: `retry_after_ms`, `retryDelay` of a RetryInfo,
    `resets_at`.
    """
    nodes, seen = [error], 0
    while nodes and seen < NODES_MAX:
        node, seen = nodes.pop(0), seen + 1
        if isinstance(node, list):
            nodes += node[:NODES_MAX]
        elif isinstance(node, dict):
            yield from _said_in(node, now)
            inner = [value for value in node.values() if isinstance(value, dict | list)]
            nodes += inner[:NODES_MAX]


def _said_in(node: Mapping[str, Any], now: float) -> Iterator[float]:
    headers = {str(key).lower(): value for key, value in node.items()}
    for key, value in headers.items():
        yield from _if_number(_named_field(key, value, now))
    yield from _if_number(_latest_reset(headers, now))


def _named_field(key: str, value: object, now: float) -> float | None:
    named = _STRUCTURED.fullmatch(_SEPARATORS.sub("", key))
    if named is None:
        return None
    units = {"ms": 1e-3, "milliseconds": 1e-3, "minutes": 60.0}
    return read_wait(value, now, units.get(named["unit"] or "", 1.0))


def _waits_in_text(text: str, now: float) -> Iterator[float]:
    for told in _TOLD.finditer(text[:TEXT_CHARS_MAX]):
        before = told[0][: told.start("wait") - told.start()]
        # A number without a unit is a time only behind one of these: there are numbers of calls,
        # too.
        if told["wait"][-1].isdigit() and "-" not in told["wait"] and not _BEFORE.search(before):
            continue
        yield from _if_number(read_wait(told["wait"], now))


def _latest_reset(headers: Mapping[str, Any], now: float) -> float | None:
    """When a window begins anew: of those that are used up, or else of all, the last."""
    resets = dict(_read_resets(headers, now))
    used_up = [seconds for name, seconds in resets.items() if _is_used_up(headers, name)]
    return max(used_up or resets.values(), default=None)


def _read_resets(headers: Mapping[str, Any], now: float) -> Iterator[tuple[str, float]]:
    for name, value in headers.items():
        if _RESET.fullmatch(name) and (seconds := read_wait(value, now)) is not None:
            yield name, seconds
        elif name in _DRAFT_HEADERS and isinstance(value, str):
            for at, told in enumerate(_DRAFT.findall(value[:1_000])):
                yield f"{name}#{at}", float(told)


def _is_used_up(headers: Mapping[str, Any], reset: str) -> bool:
    return str(headers.get(reset.replace("reset", "remaining"))).strip() == "0"


def _if_number(seconds: float | None) -> tuple[float, ...]:
    return () if seconds is None or math.isnan(seconds) else (seconds,)


def _is_number(value: object) -> bool:
    if isinstance(value, str):
        return value.isdecimal() and len(value) < 12
    return isinstance(value, int | float) and not isinstance(value, bool)
