"""What the environment says of proxies, certificates and headers, and cannot be used: told once,
by its name.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from swarmd.adapters.models.addresses import checked_url
from swarmd.adapters.models.openai.model import OpenAIModel
from swarmd.adapters.models.registry import ModelSettings, choose
from swarmd.core.model.declarations import Models, Provider
from swarmd.errors import UsageError

ABROAD = "https://model.example/v1"
VARIABLES = (
    *(f"{scheme}_proxy" for scheme in ("http", "https", "all", "no")),
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "SSLKEYLOGFILE",
    "OPENAI_ORG_ID",
    "OPENAI_PROJECT_ID",
    "OPENAI_CUSTOM_HEADERS",
)


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def model(base_url: str = ABROAD) -> OpenAIModel:
    return OpenAIModel("m", base_url=base_url, api_key="", provider=Provider())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALL_PROXY", "socks://127.0.0.1:1"),
        ("all_proxy", "socks5://127.0.0.1:1"),
        ("HTTPS_PROXY", "ftp://somebody:hidden-word@127.0.0.1"),
        ("https_proxy", "http://somebody:hidden-word@[::1"),
        ("HTTP_PROXY", "http://127.0.0.1:99999"),
        ("SSL_CERT_FILE", "/nowhere/at/all.pem"),
        ("SSL_CERT_DIR", "/nowhere/at/all"),
        ("OPENAI_ORG_ID", "two\nlines"),
        ("OPENAI_PROJECT_ID", "pr\u00f6ject"),
        ("OPENAI_CUSTOM_HEADERS", "X Y: z"),
        ("OPENAI_CUSTOM_HEADERS", "X-Name: sch\u00f6n"),
    ],
)
async def test_a_variable_that_cannot_be_used_is_named_and_its_password_is_not(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(UsageError) as of_model:
        model()
    # Where no model is named, the server is asked for its list before any model is opened.
    with pytest.raises(UsageError) as of_list:
        await choose(ModelSettings("openai", base_urls={"openai": ABROAD}), Models())
    for told in (of_model.value, of_list.value):
        assert told.what.startswith(name)
        assert told.hint
        assert "\n" not in told.what
        assert "hidden-word" not in told.what


def test_a_file_of_certificates_that_is_none_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "no.pem").write_text("no certificate\n")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "no.pem"))
    with pytest.raises(UsageError, match="SSL_CERT_FILE"):
        model()


def test_a_file_for_keys_that_cannot_be_written_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Python's own doing, wherever it makes a context for certificates that were named."""
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    monkeypatch.setenv("SSLKEYLOGFILE", "/nowhere/at/all/keys")
    with pytest.raises(UsageError, match="SSLKEYLOGFILE"):
        model()


async def test_a_server_of_this_machine_is_reached_whatever_the_environment_says_of_proxies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks://127.0.0.1:1")
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/at/all.pem")
    await model("http://127.0.0.1:1/v1").aclose()


async def test_what_can_be_used_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "a..b, [::1, 10.0.0.0/8")
    monkeypatch.setenv("SSL_CERT_DIR", f"/nowhere:{tmp_path}")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Name: one\nX-Other: two")
    await model().aclose()


@pytest.mark.parametrize(
    "url",
    [
        "http://[::1/v1",
        "http://host:99999/v1",
        "http://a..b.example/v1",
        f"http://{'a' * 64}.example/v1",
    ],
)
def test_an_address_that_nobody_can_have_names_its_variable(url: str) -> None:
    with pytest.raises(UsageError, match="OPENAI_BASE_URL"):
        checked_url(url)


def test_an_address_that_the_client_cannot_read_names_its_variable() -> None:
    with pytest.raises(UsageError, match="OPENAI_BASE_URL"):
        model("http://127.0.0.1:1/v1\x01")
