"""What a server or the network did wrong, as one value: what it is, when to try again, who pays.
Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import SplitResult, urljoin, urlsplit

from swarmd.adapters.models.openai.waits import wait_seconds
from swarmd.ports.models import FailureKind

QUOTE_CHARS_MAX: Final = 8_000
PLACE_CHARS_MAX: Final = 300  # of an address that a server sends us to
BASE_URL_HINT: Final = "does the base URL end in /v1?"
REDIRECTS: Final = frozenset({301, 302, 307, 308})
PERMANENT: Final = frozenset({301, 308})

_WITHHELD: Final = frozenset({"content_filter", "content_policy_violation"})
_NO_MONEY: Final = frozenset(
    {"insufficient_quota", "billing_hard_limit_reached", "insufficient_balance"}
)
_TOOLS: Final = re.compile(r"\btools?\b|functions?\b", re.IGNORECASE)

# What an error without a status of its own means, by the words of its `code`, `type` or `status`.
_STATUS_OF_WORDS: Final = (
    (429, re.compile(r"rate.?limit|too.?many|resource.?exhausted|throttl|quota|balance|billing")),
    (503, re.compile(r"overload|unavailable|capacity|loading|busy")),
    (504, re.compile(r"time.?out|timed.?out|deadline")),
    (401, re.compile(r"authentication|unauthori[sz]ed|invalid.?api.?key|unauthenticated")),
    (403, re.compile(r"permission|forbidden")),
    (404, re.compile(r"not.?found")),
    (
        400,
        re.compile(
            r"invalid.?(?:request|argument|prompt|value)|bad.?request|context.?length|unsupported|content.?filter"
        ),
    ),
)
_FIELDS: Final = ("code", "status", "status_code", "http_status", "type")


@dataclass(frozen=True, slots=True)
class Fault:
    """`may_have_run`: the model may have worked for it, so what it may have used is charged."""

    why: FailureKind
    what: str
    retry_after: float | None = None
    may_have_run: bool = True
    is_about_tools: bool = False  # may be: the probe then tries without them
    names_tools: bool = False
    status: int = 0
    parameter: str = ""  # what the error says that it is about
    said: str = ""  # the whole error, for its words


class FaultyError(Exception):
    """A `Fault` on its way to where an attempt ends."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.what)
        self.fault = fault


def fault_of_status(status: int, headers: Mapping[str, str], answer: bytes, now: float) -> Fault:
    """A response that is no success; `answer` is the beginning of its body."""
    return _fault_of_error(
        status, f"HTTP {status}", headers, _error_in(answer), answer.decode("utf-8", "replace"), now
    )


def fault_in_answer(
    piece: object, headers: Mapping[str, str], now: float, *, has_begun: bool
) -> Fault | None:
    """The error that a server put in the place of an answer or of a piece of it, `None` where it
    did not.

    It counts as the status that it names. `has_begun`: the model has written something before it.
    """
    error = error_of(piece)
    if error is None:
        return None
    text = json.dumps(piece, ensure_ascii=False, default=str)
    status = _status_named(error)
    what = "the server broke off" if has_begun else f"HTTP 200 with an error like {status}"
    fault = _fault_of_error(status, what, headers, error, text, now)
    return replace(fault, may_have_run=has_begun)


def error_of(piece: object) -> object | None:
    """What takes the place of an answer: an `error`, in a choice too, or an object that is one."""
    if not isinstance(piece, dict):
        return None
    if "choices" not in piece and "usage" not in piece:
        return _error_alone(piece)
    if piece.get("error"):
        return piece["error"]  # type: ignore[no-any-return]  # of JSON, whatever it is
    choices = piece.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict) and choice.get("error"):
            return choice["error"]  # type: ignore[no-any-return]  # likewise
    return None


def _error_alone(piece: Mapping[str, Any]) -> object | None:
    if piece.get("error"):
        return piece["error"]  # type: ignore[no-any-return]  # likewise
    is_error = piece.get("object") == "error" or piece.get("type") == "error"
    is_told = ("message" in piece and "code" in piece) or "detail" in piece
    return piece if is_error or is_told else None


def fault_of_redirect(status: int, place: str) -> Fault:
    base = place.removesuffix("/chat/completions").removesuffix("/responses")
    what = (
        f"HTTP {status}: the server sends requests to {place or 'nowhere'}, which is not followed "
        f"to another host; set OPENAI_BASE_URL to {base or 'where it is'}"
    )
    return Fault("rejected", what, may_have_run=False, status=status)


def same_host(url: str, location: str) -> str | None:
    """Where a redirect leads, if that is the same server, or the same host by TLS; else `None`.

    A request carries the key and all that an agent was told: no other host gets it because a server
    says so.
    """
    try:
        target = urljoin(url, location)
        is_same = _is_same_host(urlsplit(url), urlsplit(target))
    except ValueError:
        return None
    return target if location and is_same else None


def _is_same_host(here: SplitResult, there: SplitResult) -> bool:
    """Raises `ValueError` for a port that is none."""
    ports = (here.port, there.port)
    if there.hostname != here.hostname or there.username or there.password:
        return False
    if there.scheme == here.scheme:
        return ports[0] == ports[1]
    is_upgrade = (here.scheme, there.scheme) == ("http", "https")
    return is_upgrade and ports[0] in (None, 80) and ports[1] in (None, 443)


def place_of(url: str, location: str) -> str:
    """Where a redirect leads, without what must not be shown."""
    try:
        parts = urlsplit(urljoin(url, location))
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return ""
    shown = f"{parts.scheme}://{parts.hostname}{port}{parts.path}"[:PLACE_CHARS_MAX]
    return shown if location and parts.hostname and shown.isprintable() else ""


# --- reading an error -------------------------------------------------------------------------


def _fault_of_error(
    status: int, what: str, headers: Mapping[str, str], error: object, text: str, now: float
) -> Fault:
    words = _words_of(error)
    if words & _WITHHELD:
        return Fault("refused", f"The prompt was withheld as unsafe: {_text_of_error(error)}")
    if "tool_use_failed" in words:
        return Fault("malformed", f"Your function call could not be read: {_text_of_error(error)}")
    if status == 401:
        # Not quoted: this is the one message that servers like to repeat the key in.
        return Fault(
            "rejected", f"{what}: the key was not accepted", may_have_run=False, status=status
        )
    fault = _rejection_of(status, f"{what}: {_text_of_error(error)}", error, text)
    if status == 429 and words & _NO_MONEY:
        return replace(fault, is_about_tools=False)
    if not _may_pass(status):
        return fault
    return _passing_fault(fault, wait_seconds(headers, error, text, now))


def _may_pass(status: int) -> bool:
    """Whether the same request may be answered later."""
    return status in (408, 409, 425, 429) or status >= 500


def _passing_fault(fault: Fault, wait: float | None) -> Fault:
    """The fault of a request that may be answered after that many seconds."""
    if fault.status == 429:
        return replace(fault, why="rate_limited", retry_after=wait, is_about_tools=False)
    # A gateway that gave up waiting does not know how far what is behind it had come; the other
    # error statuses come instead of an answer, and nobody charges for them.
    return replace(fault, why="server", retry_after=wait, may_have_run=fault.status == 504)


def _rejection_of(status: int, said: str, error: object, text: str) -> Fault:
    return Fault(
        "rejected",
        said,
        may_have_run=False,
        status=status,
        parameter=_parameter_of(error),
        # A server may answer 500 to say that it was started without tools (llama-server's --jinja).
        names_tools=_TOOLS.search(said) is not None,
        said=text[:QUOTE_CHARS_MAX],
        is_about_tools=status in (400, 404, 405, 422, 501) or "tool" in said.lower(),
    )


def _error_in(answer: bytes) -> object:
    """What an error page says: its JSON error, its JSON, or its text."""
    try:
        body: Any = json.loads(answer.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return answer.decode("utf-8", "replace").strip()
    if isinstance(body, list) and len(body) == 1:
        body = body[0]
    return body.get("error") or body if isinstance(body, dict) else body


def _words_of(error: object) -> frozenset[str]:
    """What an error is called, in lower case."""
    named = [error.get(name) for name in _FIELDS] if isinstance(error, dict) else []
    return frozenset(str(word).lower() for word in named if isinstance(word, str | int))


def _status_named(error: object) -> int:
    words = _words_of(error)
    for word in sorted(words):
        if len(word) == 3 and word.isdecimal() and 400 <= int(word) <= 599:
            return int(word)
    # Its own words first: the message may speak of anything.
    for text in (" ".join(sorted(words)), _text_of_error(error).lower() if not words else ""):
        for status, pattern in _STATUS_OF_WORDS:
            if pattern.search(text):
                return status
    return 500


def _parameter_of(error: object) -> str:
    """The field of the request that an error is about, where it says so apart from its text."""
    if not isinstance(error, dict):
        return ""
    if isinstance(param := error.get("param"), str):
        return param
    found: list[str] = []
    for detail in _details_of(error):
        place = detail.get("loc")
        if isinstance(place, list) and place[:1] == ["body"]:
            found.append(".".join(str(step) for step in place[1:]))
    return " ".join(found)


def _details_of(error: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What a validating server lists, at the top or in its message."""
    message = error.get("message")
    inner = message.get("detail") if isinstance(message, dict) else None
    listed = next((part for part in (error.get("detail"), inner) if isinstance(part, list)), [])
    return [detail for detail in listed if isinstance(detail, dict)]


def _text_of_error(body: object) -> str:
    said = body
    for name in ("message", "detail", "error", "msg"):
        if isinstance(said, dict) and said.get(name):
            said = said[name]
            break
    if not isinstance(said, str):
        said = json.dumps(said, ensure_ascii=False, default=str) if said else ""
    # Cut to its final length only when no key is left in it: half a key is a secret still.
    return " ".join(str(said or "no reason given")[:QUOTE_CHARS_MAX].split())
