"""What a model costs: what the operator says of it, else the table that `genai-prices` carries.

The table is the one of the installed package, read offline: its background refresh is never
started, for what a call costs must not change with what a server somewhere says. It is imported
when the first price is asked: it takes 25 ms beside the model SDK and 0.2 s alone, and verbs that
only look never ask.

A model is looked up by the address that is asked as well as by its name: the same name costs
another price elsewhere, and a guess would be a sum of money that nobody charges.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

from swarmd.adapters.models.addresses import is_private
from swarmd.core.ledger.prices import Price, Rate
from swarmd.core.model.declarations import Models, NamedPrice
from swarmd.core.model.providers import PROVIDERS
from swarmd.core.model.records import CallPrice
from swarmd.errors import RefusedError

if TYPE_CHECKING:
    from genai_prices.types import ModelPrice

# From before a call is reserved to its request: waiting for the provider's pace and the call
# itself. Prices change at a date, or for hours of the day.
AHEAD: Final = timedelta(hours=1)
# In tokens. Where a model has tiers, the next one begins above it.
LARGE_PROMPT: Final = 100_000


@dataclass(frozen=True, slots=True)
class Tariff:
    """A model's price over time. `why` says for people what it is and who says so."""

    at: Callable[[datetime], Price]
    why: str

    def most(self, now: datetime, tokens_in: int, tokens_out: int) -> int:
        """Micro-dollars that a call which starts within the hour can cost."""
        return max(self.at(when).most(tokens_in, tokens_out) for when in (now, now + AHEAD))

    def of_calls(self, now: datetime) -> CallPrice:
        """Of calls up to the size of a large prompt: what is more in longer ones is not in it."""
        call = self.most(now, 0, 0)
        to_million = 1_000_000 // LARGE_PROMPT
        return CallPrice(
            (self.most(now, LARGE_PROMPT, 0) - call) * to_million,
            (self.most(now, 0, LARGE_PROMPT) - call) * to_million,
            call,
        )


def tariff_of(spec: str, base_url: str, models: Models) -> Tariff | None:
    """The tariff of a `PROVIDER:NAME` at this address, `None` where nobody knows it.

    Raises `RefusedError` where the declarations forbid a model that has none.
    """
    tariff = _tariff_named(spec, models) or _of_place(base_url) or _tariff_listed(spec, base_url)
    if tariff is None and models.unknown_price == "forbid":
        raise RefusedError(
            f"the price of {spec} is not known, and `unknown_price: forbid` in "
            "policies/models.yaml has such a"
            " model not asked",
            hint=(
                f"name it there, in dollars for a million tokens: `prices: {{'{spec}': {{input: "
                "…, output: …}}`"
            ),
        )
    return tariff


def said_of(spec: str, tariff: Tariff | None) -> str:
    """One line for whoever pays."""
    if tariff is not None:
        return f"price: {spec} {tariff.why}"
    return (
        f"price: {spec} is not known, so only tokens bound it and its cost is shown as unpriced;"
        " name it under `prices` in policies/models.yaml"
    )


def _tariff_named(spec: str, models: Models) -> Tariff | None:
    named = models.prices.get(spec)
    if named is None:
        return None
    price = _price_named(named)
    return Tariff(lambda _: price, f"{_show_price(price)}, as policies/models.yaml says")


def _price_named(named: NamedPrice) -> Price:
    cached = None if named.cached is None else _rate_named(named.cached)
    return Price(_rate_named(named.input), _rate_named(named.output), cached)


def _rate_named(dollars: float) -> Rate:
    # By way of its shortest decimal: 0.1 is meant as a tenth and not as the double next to it.
    return Rate(Fraction(str(dollars)))


def _of_place(base_url: str) -> Tariff | None:
    if not base_url or not is_private(base_url):
        return None
    return Tariff(
        lambda _: Price(),
        "counts as free: its server is on this machine or network; if it costs, name it under "
        "`prices` in policies/models.yaml",
    )


# --- the table --------------------------------------------------------------------------------


def _tariff_listed(spec: str, base_url: str) -> Tariff | None:
    prefix, _, name = spec.partition(":")
    url = base_url or PROVIDERS[prefix].default_url
    today = _looked_up(name, url, datetime.now(UTC))
    if today is None:
        return None
    from genai_prices import __version__

    return Tariff(
        lambda when: _looked_up(name, url, when) or today,
        f"{_show_price(today)}, as the table of genai-prices {__version__} says",
    )


def _looked_up(name: str, url: str, when: datetime) -> Price | None:
    from genai_prices import Usage, calc_price

    try:
        found = calc_price(Usage(), name, provider_api_url=url, genai_request_timestamp=when)
    except LookupError:
        return None
    return _price_listed(found.model_price)


def _price_listed(listed: ModelPrice) -> Price | None:
    """`None` for what has no price for text read and written: it is another sort of model, or
    not known.
    """
    tokens_in = _rate_listed(listed.input_mtok)
    # Thoughts and citations that cost more than the answer: which of its tokens they were is not
    # said by all.
    outputs = (listed.output_mtok, listed.output_reasoning_mtok, listed.output_citation_mtok)
    tokens_out = _dearest_rate([rate for rate in map(_rate_listed, outputs) if rate is not None])
    if tokens_in is None or listed.output_mtok is None or tokens_out is None:
        return None
    thousand_calls = _rate_listed(listed.requests_kcount)
    return Price(
        tokens_in,
        tokens_out,
        cached=_rate_listed(listed.cache_read_mtok),
        stored=_rate_listed(listed.cache_write_mtok),
        call=thousand_calls.base * 1_000 if thousand_calls else Fraction(0),
    )


def _rate_listed(price: Any) -> Rate | None:
    """A price of the table: one number, or one with tiers by the tokens read."""
    if price is None:
        return None
    if isinstance(price, Decimal):
        return Rate(Fraction(price))
    return Rate(
        Fraction(price.base), tuple((tier.start, Fraction(tier.price)) for tier in price.tiers)
    )


def _dearest_rate(rates: list[Rate]) -> Rate | None:
    return max(rates, key=lambda rate: rate.base, default=None)


def _show_price(price: Price) -> str:
    parts = [
        (price.tokens_in, "in"),
        (price.tokens_out, "out"),
        (price.cached, "in from its cache"),
    ]
    said = ", ".join(f"${float(rate.base):g} {what}" for rate, what in parts if rate is not None)
    more = ", more in long calls" if price.tokens_in.tiers else ""
    return f"{said} for a million tokens{more}"
