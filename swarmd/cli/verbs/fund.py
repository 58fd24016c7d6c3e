"""`swarmd fund`: more for an account, told as it was before and is after."""

from __future__ import annotations

from collections.abc import Mapping

from swarmd.cli.exit_codes import Exit
from swarmd.cli.order_client import Post, Waiting
from swarmd.cli.render.tables import exact_amount
from swarmd.cli.render.text import amounts, in_order, plain
from swarmd.cli.render.values import account_value
from swarmd.cli.session import Sight
from swarmd.cli.verbs.orders import give, value_of
from swarmd.cli.verbs.targets import Meant, Wish, id_of
from swarmd.core.model.names import SOB
from swarmd.core.queries.snapshot import NO_ACCOUNT, AccountView
from swarmd.ports.reader import Reader


def fund(sight: Sight, post: Post, waiting: Waiting, wish: Wish, *, is_awaited: bool) -> Exit:
    """Adds to an account, of what is free in the one above it; tells the account before and
    after.
    """
    found = Meant(SOB, "agent") if wish.reference == SOB else id_of(sight.reader, wish.reference)
    before = _account(sight.reader, found.target)
    order_id, data = give(sight, post, waiting, wish, found, is_awaited=is_awaited)
    after = _account(sight.reader, found.target)
    if sight.as_json:
        value = {"order": order_id, "outcome": "ordered" if data is None else "done", **wish.more}
        value |= {"before": account_value(before), "after": account_value(after)}
        sight.give(value_of(wish, found, value))
        return Exit.DONE
    if data is None:
        print(plain(f"{found.target}: ordered"))
    else:
        _tell_added(found.target, wish.more["amounts"], before, after)
    return Exit.DONE


def _tell_added(
    target: str, added: Mapping[str, int], before: AccountView, after: AccountView
) -> None:
    print(plain(f"{target}: {amounts(added)} added"))
    for kind in in_order(added):
        print(f"  {kind}: {_change(kind, before, after)}")


def _account(reader: Reader, id: str) -> AccountView:
    return reader.accounts([id]).get(id, NO_ACCOUNT)


def _change(kind: str, before: AccountView, after: AccountView) -> str:
    was, is_now = before.amounts(kind), after.amounts(kind)
    return ", ".join(
        f"{name} {exact_amount(kind, was.get(name, 0))} → {exact_amount(kind, is_now.get(name, 0))}"
        for name in ("cap", "free")
    )
