"""Prices: exact, rounded up once, and never more than the bound that was reserved."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmd.core.ledger.prices import Counted, Price, Rate

HUGE = 10**12

fractions = st.fractions(min_value=0, max_value=1_000, max_denominator=10**6)
tokens = st.integers(0, HUGE) | st.integers(0, 100)
tiers = st.lists(st.tuples(tokens, fractions), max_size=3, unique_by=lambda tier: tier[0]).map(
    lambda found: tuple(sorted(found))
)
rates = st.builds(Rate, fractions, tiers)
prices = st.builds(Price, rates, rates, st.none() | rates, st.none() | rates, fractions)


def dollars(million: str) -> Rate:
    return Rate(Fraction(million))


@given(price=prices, bound_in=tokens, bound_out=tokens, data=st.data())
def test_no_usage_within_a_bound_costs_more_than_the_bound(
    price: Price, bound_in: int, bound_out: int, data: st.DataObject
) -> None:
    counted = Counted(
        data.draw(st.integers(0, bound_in)),
        data.draw(st.integers(0, bound_out)),
        # A server may claim more of these than the prompt had.
        cached=data.draw(tokens),
        stored=data.draw(tokens),
    )
    assert 0 <= price.of(counted) <= price.most(bound_in, bound_out)


@given(price=prices, counted=st.builds(Counted, tokens, tokens))
def test_a_cost_is_the_exact_sum_rounded_up(price: Price, counted: Counted) -> None:
    read = counted.tokens_in
    exact = (
        read * price.tokens_in.at(read)
        + counted.tokens_out * price.tokens_out.at(read)
        + price.call
    )
    assert exact <= price.of(counted) < exact + 1


@pytest.mark.parametrize(
    ("counted", "cost"),
    [
        (Counted(0, 0), 0),
        (Counted(1, 0), 1),  # a quarter of a micro-dollar
        (Counted(4, 0), 1),
        (Counted(5, 0), 2),
        (Counted(1_000_000, 1_000_000), 2_250_000),
        (Counted(1_000_000, 0, cached=1_000_000), 25_000),
        (Counted(1_000_000, 0, cached=400_000), 160_000),
        (Counted(10**30, 0), 25 * 10**28),
    ],
)
def test_a_dollar_for_a_million_tokens_is_a_micro_dollar_for_one(
    counted: Counted, cost: int
) -> None:
    assert Price(dollars("0.25"), dollars("2"), cached=dollars("0.025")).of(counted) == cost


def test_without_a_price_of_its_own_what_was_cached_costs_like_the_rest() -> None:
    price = Price(dollars("3"), dollars("15"))
    assert price.of(Counted(100, 0, cached=90, stored=10)) == price.of(Counted(100, 0)) == 300


def test_a_long_call_is_charged_its_tier_for_every_token() -> None:
    price = Price(
        Rate(Fraction(1), ((200, Fraction(2)),)), Rate(Fraction(5), ((200, Fraction(9)),))
    )
    assert price.of(Counted(200, 10)) == 200 + 50
    assert price.of(Counted(201, 10)) == 402 + 90


def test_a_bound_counts_the_dearest_tier_within_its_reach_and_none_beyond() -> None:
    falling = Rate(Fraction(4), ((100, Fraction(1)), (1_000, Fraction(50))))
    assert Price(falling).most(500, 0) == 2_000
    assert Price(falling).most(1_001, 0) == 50_050


def test_a_price_for_the_call_itself_is_charged_once() -> None:
    price = Price(dollars("1"), dollars("1"), call=Fraction(12_000))
    assert (price.of(Counted(1, 1)), price.most(1, 1)) == (12_002, 12_002)
