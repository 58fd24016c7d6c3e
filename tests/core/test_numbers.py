"""Numbers are bounded where they are parsed to what a double says exactly: the scripts count in
doubles.
"""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from swarmd.cli.amounts import budget_of
from swarmd.cli.verbs.past import later_than
from swarmd.core.actions.registry import do
from swarmd.core.model.actions import Actor
from swarmd.core.model.charter import AMOUNT_MAX, Amounts, Charter
from swarmd.core.model.declarations import Budget
from swarmd.core.model.names import OPERATOR, SOB, Authority
from swarmd.core.model.refusals import Denied, Rule
from swarmd.core.model.requests import Order, parse_order
from swarmd.errors import UsageError
from tests.core.swarm_builder import act_args, world

TOO_MUCH = (2**53, 2**63, 10**30, 10**400)


def test_a_double_tells_every_amount_from_the_next() -> None:
    assert float(AMOUNT_MAX) != float(AMOUNT_MAX - 1)
    assert int(float(AMOUNT_MAX)) == AMOUNT_MAX
    assert float(AMOUNT_MAX + 1) == float(AMOUNT_MAX + 2), "so that there is no larger bound"


@pytest.mark.parametrize("n", TOO_MUCH)
def test_no_charter_order_or_declaration_takes_more(n: int) -> None:
    for make in (
        lambda: Charter(role="r", name="n", task="t", budget={"tokens": n}),
        lambda: TypeAdapter(Amounts).validate_python({"cost": n}),
        lambda: Budget(tokens=n, cost=1, calls=1, tools=1, agents=1),
    ):
        with pytest.raises(ValidationError, match="less than or equal"):
            make()
    order = parse_order({"order": "o", "verb": "fund", "target": SOB, "amounts": {"tokens": n}})
    assert isinstance(order, str)
    most = parse_order(
        {"order": "o", "verb": "fund", "target": SOB, "amounts": {"tokens": AMOUNT_MAX}}
    )
    assert isinstance(most, Order)


def test_an_account_is_not_funded_beyond_it_by_small_steps() -> None:
    w = world()
    w.swarm.observed.caps = {SOB: {"tokens": AMOUNT_MAX - 5}}
    wish = act_args("fund", SOB, "r", amounts={"tokens": 6})
    denied = do(w.renew(), Actor(OPERATOR, Authority.OPERATOR), wish)
    assert isinstance(denied, Denied)
    assert denied.rule is Rule.BUDGET_SHARE
    assert (
        do(
            w.renew(),
            Actor(OPERATOR, Authority.OPERATOR),
            act_args("fund", SOB, "r", amounts={"tokens": 5}),
        )
        is None
    )


@pytest.mark.parametrize("digits", [401, 5_000, 100_000])
def test_more_digits_than_are_read_are_a_usage_error_and_no_traceback(digits: int) -> None:
    with pytest.raises(UsageError):
        budget_of("tokens=" + "9" * digits)
    with pytest.raises(UsageError):
        later_than("9" * digits)
