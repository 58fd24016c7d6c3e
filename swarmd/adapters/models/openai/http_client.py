"""Building the HTTP client that a model is asked with.

While it is built, such a client reads proxies and certificates of the environment, and raises
whatever the libraries below it raise: a missing file, an unknown scheme, a package that is not
installed. Each of them is a setting that cannot be used, so all of them become one `UsageError`
that names the variable.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeVar
from urllib.parse import urlsplit

from swarmd.core.model.masking import Masking
from swarmd.errors import SwarmError, UsageError

Built = TypeVar("Built")

# As the client and Python's own `getproxies` read them.
_PROXIES: Final = tuple(
    name
    for scheme in ("http", "https", "all")
    for name in (f"{scheme}_proxy", f"{scheme}_proxy".upper())
)
# What the SDK sends as headers with each request.
_HEADERS: Final = ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID")
_CUSTOM_HEADERS: Final = "OPENAI_CUSTOM_HEADERS"  # NAME: VALUE, one a line
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SOCKS_HINT: Final = (
    "for a SOCKS proxy install the package `socksio` beside swarmd, or unset the variable"
)
_HINT: Final = "correct the variable, or unset it"


def build(
    make: Callable[[], Built],
    base_url: str,
    *,
    reads_environment: bool,
    environ: Mapping[str, str] = os.environ,
) -> Built:
    """What `make` builds for that address. Raises `UsageError` for whatever is raised meanwhile.

    `reads_environment` is false for a client that uses neither proxies nor certificates of the
    environment.
    """
    _check_headers(environ)
    if reads_environment:
        _check_certificates(environ)
        _check_proxies(environ)
    try:
        return make()
    except SwarmError:
        raise
    # Which exceptions these may be is in no document of the libraries below.
    except Exception as error:
        for name, fault in _find_faults(environ, base_url, reads_environment=reads_environment):
            raise _unusable_error(name, fault) from error
        raise UsageError(
            f"no connection to a model can be prepared: {_reason_of(error)}",
            hint="look at OPENAI_BASE_URL and at the variables for proxies and certificates",
        ) from error


def _check_headers(environ: Mapping[str, str]) -> None:
    """What no header may hold is found out by nobody before the first request is sent."""
    for name in _HEADERS:
        value = environ.get(name, "")
        if not (value.isascii() and value.isprintable()):
            raise UsageError(f"{name} holds a character that no HTTP header may hold", hint=_HINT)
    for line in environ.get(_CUSTOM_HEADERS, "").split("\n"):
        name, colon, value = line.partition(":")
        is_header = (
            _HEADER_NAME.fullmatch(name.strip()) and value.isascii() and value.strip().isprintable()
        )
        if colon and not is_header:
            raise UsageError(f"{_CUSTOM_HEADERS} has a line that is no HTTP header", hint=_HINT)


def _check_certificates(environ: Mapping[str, str]) -> None:
    """A folder of certificates that is gone raises nothing: without this, no server would ever
    be trusted.
    """
    folders = environ.get("SSL_CERT_DIR", "")
    if environ.get("SSL_CERT_FILE") or not folders:
        return
    if not any(os.path.isdir(folder) for folder in folders.split(os.pathsep)):
        raise _unusable_error("SSL_CERT_DIR", NotADirectoryError(0, "no such folder"))


def _check_proxies(environ: Mapping[str, str]) -> None:
    """A port that no machine has is met by the client in each of its calls, as a bug of its own."""
    for name in _PROXIES:
        try:
            _ = urlsplit(_proxy_address(environ.get(name, ""))).port
        except ValueError as error:
            raise _unusable_error(name, error) from error


def _find_faults(
    environ: Mapping[str, str], base_url: str, *, reads_environment: bool
) -> Iterator[tuple[str, Exception]]:
    """Each variable that cannot be used by itself, and why."""
    import httpx2

    uses: list[tuple[str, str, Callable[[str], object]]] = [
        ("OPENAI_BASE_URL", base_url, httpx2.URL)
    ]
    if reads_environment:
        uses += [(name, environ.get(name, ""), use) for name, use in _uses_of_environment()]
    for name, value, use in uses:
        try:
            if value:
                use(value)
        except Exception as error:  # noqa: BLE001 - it is yielded, as the fault that was looked for
            yield name, error


def _uses_of_environment() -> Iterator[tuple[str, Callable[[str], object]]]:
    # The first of them alone: no context for the others can be made while it is wrong.
    yield "SSLKEYLOGFILE", _open_appending
    yield "SSL_CERT_FILE", _load_certificates
    yield "SSL_CERT_DIR", _load_certificates
    for name in _PROXIES:
        yield name, _build_proxied


def _load_certificates(path: str) -> ssl.SSLContext:
    if os.path.isdir(path):
        return ssl.create_default_context(capath=path)
    return ssl.create_default_context(cafile=path)


def _open_appending(path: str) -> None:
    with open(path, "ab"):
        pass


def _build_proxied(value: str) -> object:
    import httpx2

    return httpx2.AsyncClient(proxy=_proxy_address(value), trust_env=False)


def _proxy_address(proxy: str) -> str:
    return proxy if "://" in proxy else f"http://{proxy}"


def _unusable_error(name: str, error: Exception) -> UsageError:
    hint = _SOCKS_HINT if isinstance(error, ImportError) else _HINT
    return UsageError(f"{name} cannot be used: {_reason_of(error)}", hint=hint)


def _reason_of(error: Exception) -> str:
    """Without the password that an address of a proxy may hold, and in one line."""
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(Masking().text(str(said)).split())
