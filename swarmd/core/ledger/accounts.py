"""The arithmetic of an account, for replay and checks. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

AMOUNTS: Final = ("cap", "free", "reserved", "granted", "spent", "overdraft")


# Parts of what is spent, told beside it: what nobody counted, tokens whose price nobody knew, and
# tokens of prompts that a provider read from its cache.
ASSUMED, UNPRICED, CACHED = "assumed", "unpriced", "cached"


MEMOS: Final = (ASSUMED, UNPRICED, CACHED)


class Fault(Exception):  # noqa: N818 - a finding, raised only within the replay
    """What is wrong with an entry, in one sentence."""


@dataclass(slots=True)
class Account:
    """One account as the facts make it: each amount by kind. `parent` is empty for the root's."""

    parent: str
    amounts: dict[str, dict[str, int]] = field(default_factory=dict)

    def add(self, kind: str, amount: str, by: int) -> None:
        row = self.amounts.setdefault(kind, dict.fromkeys((*AMOUNTS, *MEMOS), 0))
        row[amount] += by

    def get(self, kind: str, amount: str) -> int:
        return self.amounts.get(kind, {}).get(amount, 0)

    def take_in(self, kind: str, row: Mapping[str, int]) -> None:
        """What a child's account that is closed gives back of a kind, and what it has spent."""
        self.add(kind, "free", row["free"] + row["reserved"])
        for amount in ("spent", "overdraft", *MEMOS):
            self.add(kind, amount, row[amount])
        self.add(kind, "granted", row["granted"] - row["cap"])

    def settle(self, kind: str, used: int, reserved: int, overdraft: int) -> None:
        self.add(kind, "reserved", -reserved)
        self.add(kind, "spent", used)
        self.add(kind, "free", reserved - used + overdraft)
        self.add(kind, "overdraft", overdraft)

    def grant(self, kind: str, amount: int) -> None:
        """Carved from it for a child."""
        self.add(kind, "free", -amount)
        self.add(kind, "granted", amount)

    def pass_on(self, kind: str, cap: int) -> None:
        """A child's account is carved from the one above from now on."""
        self.add(kind, "cap", -cap)
        self.add(kind, "granted", -cap)


@dataclass(slots=True)
class Ledger:
    """The open accounts, by id. Every kind and every amount that a fact names; none is known
    beforehand.
    """

    accounts: dict[str, Account] = field(default_factory=dict)
    children: dict[str, dict[str, None]] = field(default_factory=dict)

    def fold(self, fact: Mapping[str, Any]) -> tuple[str, ...]:
        """One fact; the accounts that it touched. Raises `Fault` for one that cannot be."""
        try:
            kind = fact["fact"]
            if kind in _TOLD_ONLY:
                return ()
            if kind not in _FOLDS:
                raise Fault(f"the ledger knows no fact {kind!r}")
            return _FOLDS[kind](self, fact.get("account", ""), fact.get("amounts", {}))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise Fault(f"the fact {fact.get('id')} cannot be read: {error!r}") from error

    def below(self, id: str, amount: str) -> dict[str, int]:
        """What the open accounts below one have together of an amount, by kind. What a closed one
        has spent is in the account that it was carved from.
        """
        found: Counter[str] = Counter()
        waiting = list(self.children.get(id, ()))
        while waiting:
            child = waiting.pop()
            waiting += self.children.get(child, ())
            for kind, row in self.accounts[child].amounts.items():
                found[kind] += row[amount]
        return dict(found)

    def admit(self, fact: Mapping[str, Any]) -> str:
        """Folds one fact whole, or leaves all as it was and returns why it cannot be folded."""
        named = self._named(fact)
        accounts = {id: self.accounts.get(id) for id in named}
        kept = {id: one and Account(one.parent, _rows_of(one)) for id, one in accounts.items()}
        children = {id: dict(self.children[id]) for id in named if id in self.children}
        try:
            self.fold(fact)
        except Fault as fault:
            self._restore(kept, children)
            return str(fault)
        return ""

    def _restore(
        self, accounts: Mapping[str, Account | None], children: Mapping[str, dict[str, None]]
    ) -> None:
        for id, before in accounts.items():
            self.accounts.pop(id, None)
            self.children.pop(id, None)
            if before is not None:
                self.accounts[id] = before
        self.children |= children

    def _named(self, fact: Mapping[str, Any]) -> set[str]:
        """The accounts that a fact may change. A call's, which are most facts, are refused
        before anything changed.
        """
        amounts = fact.get("amounts")
        if fact.get("fact") == "reap" and isinstance(amounts, list):
            return {str(id) for pair in amounts if isinstance(pair, list) for id in pair}
        if fact.get("fact") in ("reserve", "settle", "refuse", "warn") or not isinstance(
            amounts, Mapping
        ):
            return set()
        return {
            str(fact.get("account", "")),
            str(amounts.get("parent", "")),
            str(amounts.get("former", "")),
        }

    def _open(self, id: str, amounts: Mapping[str, Any]) -> tuple[str, ...]:
        if id in self.accounts:
            raise Fault(f"the account {id} is opened while it is open")
        parent: str = amounts["parent"]
        self.accounts[id] = Account(parent)
        if parent:
            self.children.setdefault(parent, {})[id] = None
        touched = self._fund(id, amounts)
        if amounts["own_slot"]:
            # The agent that lives on the account holds one of its places.
            self._known(id).add("agents", "free", -1)
            self._known(id).add("agents", "reserved", 1)
        return touched

    def _fund(self, id: str, amounts: Mapping[str, Any]) -> tuple[str, ...]:
        """More for an account, of its parent's free; the root's is nobody's."""
        account, parent, caps = self._known(id), amounts["parent"], amounts["caps"]
        if account.parent != parent:
            raise Fault(f"the account {id} of {account.parent!r} is given of {parent!r}")
        if parent:
            self._check_free(parent, caps)
        for kind, n in caps.items():
            account.add(kind, "cap", n)
            account.add(kind, "free", n)
            if parent:
                self._known(parent).grant(kind, n)
        return (id, parent) if parent else (id,)

    def _check_free(self, id: str, caps: Mapping[str, int]) -> None:
        """An account gives what it has free: more was never given, whoever says so."""
        account = self._known(id)
        for kind, n in caps.items():
            if n > max(0, account.get(kind, "free")):
                raise Fault(f"{id} gives {n} of {kind}, it had {account.get(kind, 'free')}")

    def _adopt(self, id: str, amounts: Mapping[str, Any]) -> tuple[str, ...]:
        """Out of the account that it was carved from, into the one above that."""
        former, parent = amounts["former"], amounts["parent"]
        account, before = self._known(id), self._known(former)
        if account.parent != former or before.parent != parent:
            raise Fault(
                f"the account {id} of {account.parent!r} goes from {former!r} to {parent!r}"
            )
        for kind, row in account.amounts.items():
            before.pass_on(kind, row["cap"])
        account.parent = parent
        self.children[former].pop(id)
        self.children.setdefault(parent, {})[id] = None
        return id, former, parent

    def _close(self, id: str, moved: Mapping[str, Any]) -> tuple[str, ...]:
        for kind, row in self._known(id).amounts.items():
            # An agent's own slot is given back when it ends.
            was = row | {"free": row["free"] + row["reserved"]} if kind == "agents" else row
            for amount in ("cap", "free", "granted", "spent", "overdraft"):
                told = moved[amount].get(kind, 0)
                if told != was[amount] and not moved.get("unreadable"):
                    raise Fault(
                        f"closing {id} moved {amount} {told} of {kind}, it had {was[amount]}"
                    )
        return self._shut(id, moved["parent"])

    def _reap(self, _: str, pairs: Sequence[Sequence[str]]) -> tuple[str, ...]:
        """Several, each closed in this order: who is reaped deepest first is nobody's creator
        any more.
        """
        touched = [self._shut(id, parent) for id, parent in pairs]
        return tuple(dict.fromkeys(one for some in touched for one in some))

    def _shut(self, id: str, above: str) -> tuple[str, ...]:
        """Into its parent. Nothing is granted of it any more: its children ended before it, or
        were adopted.
        """
        account, parent = self._known(id), self._known(above)
        if account.parent != above:
            raise Fault(f"the account {id} of {account.parent!r} is closed into {above!r}")
        for kind, row in account.amounts.items():
            # Of agents, its own slot is given back.
            if row["reserved"] and kind != "agents":
                raise Fault(f"the account {id} is closed with {kind} reserved")
            parent.take_in(kind, row)
        del self.accounts[id]
        self.children.pop(id, None)
        self.children[above].pop(id)
        return (above,)

    def _turn(self, id: str, amounts: Mapping[str, Any]) -> tuple[str, ...]:
        """A new period: what was spent is forgotten."""
        account = self._known(id)
        for kind, row in account.amounts.items():
            if kind == "agents":
                continue
            for amount in ("spent", "overdraft"):
                if amounts[amount].get(kind, 0) != row[amount] and not amounts.get("unreadable"):
                    raise Fault(
                        f"a new period of {id} forgot another {amount} of {kind} than {row[amount]}"
                    )
            row["free"] += row["spent"] - row["overdraft"]
            row.update(dict.fromkeys(("spent", "overdraft", *MEMOS), 0))
        return (id,)

    def _reserve(self, id: str, amounts: Mapping[str, int]) -> tuple[str, ...]:
        if not amounts:
            return ()
        account = self._known(id)
        for kind, n in amounts.items():
            if kind == UNPRICED:
                account.add("tokens", UNPRICED, n)
                continue
            account.add(kind, "free", -n)
            account.add(kind, "reserved", n)
        return (id,)

    def _settle(self, id: str, amounts: Mapping[str, Any]) -> tuple[str, ...]:
        used, reserved, beyond = amounts["used"], amounts["reserved"], amounts["overdraft"]
        if not (used or reserved or beyond):
            return ()
        account = self._known(id)
        for kind in {**used, **reserved, **beyond}:
            n = used.get(kind, 0)
            account.settle(kind, n, reserved.get(kind, 0), beyond.get(kind, 0))
            account.add(kind, ASSUMED, n if amounts["assumed"] else 0)
        for memo in (UNPRICED, CACHED):
            account.add("tokens", memo, amounts.get(memo, 0))
        return (id,)

    def _known(self, id: str) -> Account:
        if id not in self.accounts:
            raise Fault(f"the account {id} is not open")
        return self.accounts[id]

    def unbalanced(self, id: str) -> str:
        """What of the equation does not hold for an account; empty where all of it does."""
        account = self.accounts.get(id)
        if account is None:
            return ""
        for kind, row in account.amounts.items():
            below = (self.accounts[child] for child in self.children.get(id, ()))
            if row["granted"] != sum(child.get(kind, "cap") for child in below):
                return (
                    f"{id}: {kind} granted {row['granted']} is not the sum of its children's caps"
                )
            wrong = unbalanced(row)
            if wrong:
                return f"{id}: {kind} {wrong}"
        return ""

    # --- as JSON ---

    def to_json(self) -> dict[str, Any]:
        return {id: {"parent": one.parent, **one.amounts} for id, one in self.accounts.items()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Ledger:
        made = cls()
        for id, facts in value.items():
            blank = dict.fromkeys((*AMOUNTS, *MEMOS), 0)
            amounts = {kind: blank | row for kind, row in facts.items() if kind != "parent"}
            made.accounts[id] = Account(facts["parent"], amounts)
            if facts["parent"]:
                made.children.setdefault(facts["parent"], {})[id] = None
        return made


_TOLD_ONLY: Final = frozenset({"refuse", "warn"})
# By the kind of a fact: what it does to the ledger, given the account that it names and its
# amounts.
_FOLDS: Final[Mapping[str, Callable[[Ledger, str, Any], tuple[str, ...]]]] = {
    "open": Ledger._open,
    "fund": Ledger._fund,
    "adopt": Ledger._adopt,
    "close": Ledger._close,
    "reap": Ledger._reap,
    "period": Ledger._turn,
    "reserve": Ledger._reserve,
    "settle": Ledger._settle,
}


def _rows_of(account: Account) -> dict[str, dict[str, int]]:
    return {kind: dict(row) for kind, row in account.amounts.items()}


def unbalanced(row: Mapping[str, int]) -> str:
    """What is wrong with one kind of one account by itself; empty where nothing is."""
    negative = [amount for amount in AMOUNTS if row.get(amount, 0) < 0]
    if negative:
        return f"{negative[0]} is {row[negative[0]]}"
    have = row.get("cap", 0) + row.get("overdraft", 0)
    held = sum(row.get(amount, 0) for amount in ("free", "reserved", "granted", "spent"))
    return (
        ""
        if have == held
        else f"cap + overdraft is {have}, free + reserved + granted + spent is {held}"
    )


def off_by(account: Account | None, row: Mapping[str, str]) -> dict[str, int]:
    """What has to be added to an account as it lies (`KIND.AMOUNT`: n) to make it what its facts
    add up to.

    Of an account that is not open any more nothing is taken: it tells how it ended.
    """
    if account is None:
        return {}
    wanted = _flat(account)
    off = {}
    for name in {**wanted, **{name: 0 for name in row if "." in name}}:
        lies = row.get(name, "0")
        is_number = lies.removeprefix("-").isdecimal()
        missing = wanted.get(name, 0) - (int(lies) if is_number else 0)
        if missing or not is_number:
            off[name] = missing
    return off


def _flat(account: Account) -> dict[str, int]:
    return {
        f"{kind}.{amount}": n
        for kind, amounts in account.amounts.items()
        for amount, n in amounts.items()
    }
