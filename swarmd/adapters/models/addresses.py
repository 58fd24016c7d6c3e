"""Addresses of model servers, and the keys that go to them: checked before anything is sent."""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import SplitResult, urlsplit

from swarmd.errors import UsageError

PRIVATE_SUFFIXES: Final = (".localhost", ".local", ".internal", ".home.arpa")


def checked_url(url: str) -> str:
    """A base URL that may be logged; raises `UsageError` for one that may not, or is none."""
    parts = _split_url(url)
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        what = "the base URL (OPENAI_BASE_URL) is not an http or https address"
        raise UsageError(what, hint="e.g. http://127.0.0.1:11434/v1")
    if parts.username or parts.password or parts.query:
        raise UsageError(
            (
                "the base URL (OPENAI_BASE_URL) must not carry a key, a password or a query: it is "
                "shown in logs"
            ),
            hint="put the key into OPENAI_API_KEY",
        )
    return url.rstrip("/")


def _split_url(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port  # reading it is what checks it
        # As it is asked for in the end: a part that is empty or too long is no name, now or later.
        (parts.hostname or "").encode("idna")
    except ValueError:
        return None
    return parts


def checked_key(key: str) -> str:
    """A key as a header can carry it; raises `UsageError`, which does not show it."""
    key = key.strip()  # a key from a file ends with its line
    if not (key.isascii() and key.isprintable()):
        raise UsageError(
            "the key has characters that no key has", hint="look at OPENAI_API_KEY or its file"
        )
    return key


def is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


def is_private(url: str) -> bool:
    """Whether the address can only be one of this machine's or its own network's."""
    host = urlsplit(url).hostname or ""
    try:
        # Python also calls private what is only for documentation or benchmarks: no server is
        # there.
        return ipaddress.ip_address(host).is_private
    except ValueError:
        # A name of one part is resolved by a hosts file or a container engine, never by the public
        # DNS.
        return "." not in host or host.endswith(PRIVATE_SUFFIXES)
