"""Whose word a price is: the operator's, the address's, the table's; and what becomes of a model
without one.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import genai_prices
import pytest

from swarmd.adapters.config import loader
from swarmd.adapters.files.workspace import Workspace
from swarmd.adapters.models.addresses import is_private
from swarmd.adapters.models.prices import said_of, tariff_of
from swarmd.adapters.models.registry import Choice, ModelSettings, OpenModels
from swarmd.core.ledger.prices import Counted, Price
from swarmd.core.model.declarations import Models, NamedPrice
from swarmd.core.model.providers import PROVIDERS
from swarmd.core.model.records import CallPrice
from swarmd.errors import RefusedError

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
OPENAI_URL = PROVIDERS["openai"].default_url
PUBLIC = "https://llm.example.com/v1"
SHIPPED = loader.load().models
MILLION = Counted(1_000_000, 1_000_000)


def models(unknown_price: Literal["tokens", "forbid"] = "tokens", **prices: NamedPrice) -> Models:
    named = {f"openai:{name.replace('_', '-')}": price for name, price in prices.items()}
    return Models(prices=named, unknown_price=unknown_price)


def price_of(spec: str, base_url: str = "", said: Models = SHIPPED) -> Price | None:
    tariff = tariff_of(spec, base_url, said)
    return tariff.at(NOW) if tariff else None


def known(spec: str, base_url: str = "", said: Models = SHIPPED) -> Price:
    price = price_of(spec, base_url, said)
    assert price is not None
    return price


# --- whose word -------------------------------------------------------------------------------


@pytest.mark.parametrize("base_url", ["", OPENAI_URL])
def test_a_model_of_openai_has_the_price_of_the_table(base_url: str) -> None:
    price = known("openai:gpt-4o-mini", base_url)
    assert price.of(Counted(1_000, 200)) == 150 + 120
    assert price.of(Counted(1_000, 0, cached=1_000)) == 75


def test_what_a_worker_tells_of_its_models_price_is_never_less_than_a_call_of_it_costs() -> None:
    tariff = tariff_of("openai:gpt-4o-mini", "", SHIPPED)
    assert tariff is not None
    told, price = tariff.of_calls(NOW), tariff.at(NOW)
    assert told == CallPrice(150_000, 600_000)
    for counted in (Counted(9_000, 700), Counted(99_999, 1), Counted(0, 0)):
        assert told.of(1, counted.tokens_in, counted.tokens_out) >= price.of(counted)


@pytest.mark.parametrize(
    ("spec", "price"),
    [
        ("openai:named", CallPrice(1_250_000, 10_000_000)),
        ("openai:unheard-of", None),
        ("builtin", CallPrice()),
    ],
)
async def test_a_process_knows_the_price_of_its_own_model(
    spec: str, price: CallPrice | None, tmp_path: Path
) -> None:
    said = models(named=NamedPrice(input=1.25, output=10))
    settings = ModelSettings(spec, {"openai": "sk-test"}, {"openai": PUBLIC})
    files = Workspace(tmp_path, None)
    opened = OpenModels(Choice(spec, PUBLIC, ""), settings, said, files)
    assert opened.price() == price
    await opened.aclose()


def test_a_price_is_that_of_the_address_and_never_guessed_from_the_name() -> None:
    assert price_of("openai:gpt-4o-mini", PUBLIC) is None
    assert price_of("openai:gpt-4o-mini", "https://api.groq.com/openai/v1") is None
    assert known("openai:openai/gpt-4o-mini", "https://openrouter.ai/api/v1").of(MILLION) > 0


@pytest.mark.parametrize("name", ["no-such-model", "tts-1", "text-embedding-3-small"])
def test_what_has_no_price_for_text_read_and_written_is_unknown(name: str) -> None:
    assert price_of(f"openai:{name}") is None


def test_what_the_operator_names_goes_before_the_table_and_the_address() -> None:
    said = models(gpt_4o_mini=NamedPrice(input=0.1, output=0.7, cached=0))
    for url in ("", PUBLIC, "http://127.0.0.1:8000/v1"):
        price = known("openai:gpt-4o-mini", url, said)
        assert price.of(Counted(1_000_000, 10)) == 100_000 + 7, (
            "a tenth is a tenth and no double beside it"
        )
        assert price.of(Counted(1_000_000, 0, cached=1_000_000)) == 0


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:11434/v1",
        "http://localhost:8080/v1",
        "http://[::1]:1/v1",
        "http://10.1.2.3/v1",
        "http://192.168.0.7:8000/v1",
        "http://[fd00::1]/v1",
        "http://ollama:11434/v1",
        "http://host.docker.internal:11434/v1",
        "http://mac.local:1234/v1",
    ],
)
def test_a_server_of_ones_own_network_is_free_and_says_why(url: str) -> None:
    assert is_private(url)
    tariff = tariff_of("openai:qwen3:8b", url, SHIPPED)
    assert tariff is not None
    assert tariff.most(NOW, 10**9, 10**9) == 0
    assert "counts as free" in said_of("openai:qwen3:8b", tariff)


@pytest.mark.parametrize(
    "url", [PUBLIC, "http://8.8.8.8/v1", "https://[2600::1]/v1", "https://x.locale/v1"]
)
def test_a_server_elsewhere_is_not_free(url: str) -> None:
    assert not is_private(url)
    assert price_of("openai:qwen3:8b", url) is None


def test_every_price_of_the_table_can_be_read_and_bounds_what_it_charges() -> None:
    """Tiers, times of day and dates: of each model that this address sells."""
    snapshot = genai_prices.data_snapshot.get_snapshot()
    count = 0
    for provider, url in (
        ("openai", OPENAI_URL),
        ("openrouter", "https://openrouter.ai/api/v1"),
        ("deepseek", "https://api.deepseek.com"),
        ("perplexity", "https://api.perplexity.ai"),
    ):
        for model in next(one for one in snapshot.providers if one.id == provider).models:
            tariff = tariff_of(f"openai:{model.id}", url, SHIPPED)
            if tariff is None:
                continue
            count += 1
            for hour in range(0, 24, 3):
                now = NOW + timedelta(hours=hour)
                bound = tariff.most(now, 300_000, 4_000)
                for counted in (
                    Counted(300_000, 4_000),
                    Counted(300_000, 0, stored=300_000),
                    Counted(9, 9),
                ):
                    assert tariff.at(now + timedelta(minutes=20)).of(counted) <= bound, model.id
    assert count > 300


def test_a_price_by_the_hour_is_the_one_of_the_hour() -> None:
    tariff = tariff_of("openai:deepseek-v4-pro", "https://api.deepseek.com", SHIPPED)
    assert tariff is not None
    day = datetime(2026, 11, 2, tzinfo=UTC)
    costs = {tariff.at(day + timedelta(hours=hour)).of(MILLION) for hour in range(24)}
    assert len(costs) > 1
    assert max(costs) in {
        tariff.most(day + timedelta(hours=hour), 1_000_000, 1_000_000) for hour in range(24)
    }


# --- at the start -------------------------------------------------------------------------------


def opened(tmp_path: Path, said: Models, spec: str, base_url: str = PUBLIC) -> OpenModels:
    choice = Choice(spec, base_url, "")
    files = Workspace(tmp_path / "w", tmp_path / "k", loader.shipped("policies"))
    return OpenModels(choice, ModelSettings(base_urls={"openai": base_url}), said, files)


async def test_a_model_without_a_price_is_refused_where_that_is_forbidden_and_told_what_to_add(
    tmp_path: Path,
) -> None:
    said = models("forbid")
    with pytest.raises(RefusedError) as refused:
        opened(tmp_path, said, "openai:mystery").open()
    assert "openai:mystery is not known" in refused.value.what
    assert "'openai:mystery': {input: …, output: …}" in refused.value.hint


async def test_what_is_named_free_or_in_the_table_is_taken_where_unknown_prices_are_forbidden(
    tmp_path: Path,
) -> None:
    said = models("forbid", mystery=NamedPrice(input=1, output=2))
    for spec, url in (
        ("openai:mystery", PUBLIC),
        ("openai:any", "http://127.0.0.1:1/v1"),
        ("openai:gpt-5-mini", OPENAI_URL),
        ("builtin", ""),
    ):
        models_open = opened(tmp_path, said, spec, url)
        models_open.open()
        await models_open.aclose()


@pytest.mark.parametrize(
    ("spec", "base_url", "line"),
    [
        ("openai:mystery", PUBLIC, "price: openai:mystery is not known, so only tokens bound it"),
        ("openai:qwen3", "http://10.0.0.1/v1", "price: openai:qwen3 counts as free"),
        (
            "openai:gpt-4o-mini",
            OPENAI_URL,
            "price: openai:gpt-4o-mini $0.15 in, $0.6 out, $0.075 in from",
        ),
    ],
)
async def test_each_model_that_is_asked_over_a_wire_says_its_price_once(
    tmp_path: Path, spec: str, base_url: str, line: str
) -> None:
    models_open = opened(tmp_path, SHIPPED, spec, base_url)
    models_open.open()
    models_open.open(spec)
    await models_open.aclose()
    [said] = models_open.prices
    assert said.startswith(line)


def test_the_table_is_read_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a price was asked over the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert known("openai:gpt-5-nano").of(MILLION) > 0
    assert not genai_prices.data_snapshot.get_snapshot().from_auto_update


def test_the_table_is_imported_only_for_a_price() -> None:
    code = (
        "import sys, swarmd.adapters.models.registry, swarmd.adapters.models.prices; "
        "print('genai_prices' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"
