"""What the ledger should say, in plain Python: every account with each amount by kind, and the
calls under way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from swarmd.core.model.charter import KINDS, SPENT_KINDS
from swarmd.core.model.lineage import Agent
from swarmd.ports.stores import Begin

AMOUNTS = ("cap", "free", "reserved", "granted", "spent", "overdraft")


@dataclass
class Account:
    """The reference: one account, each amount by kind."""

    parent: str
    own_slot: bool
    amounts: dict[str, dict[str, int]]
    is_open: bool = True


@dataclass
class OpenCall:
    holder: Agent
    call: Begin
    account: str


def whole(call: Begin) -> dict[str, int]:
    """All that is reserved of it, by whomever."""
    return {kind: n + call.lent.get(kind, 0) for kind, n in call.amounts.items()}


@dataclass
class SlowLedger:
    """What the ledger should say, in plain Python."""

    accounts: dict[str, Account] = field(default_factory=dict)
    overdrawn: set[str] = field(default_factory=set)
    open_calls: list[OpenCall] = field(default_factory=list)
    former: list[OpenCall] = field(
        default_factory=list
    )  # settled without their end, which may still come

    def open(self, id: str, parent: str, given: Mapping[str, int], *, own_slot: bool) -> None:
        own = {kind: int(own_slot and kind == "agents") for kind in KINDS}
        amounts = {name: dict.fromkeys(KINDS, 0) for name in AMOUNTS}
        amounts |= {
            "cap": dict(given),
            "free": {k: given[k] - own[k] for k in KINDS},
            "reserved": own,
        }
        self.accounts[id] = Account(parent, own_slot, amounts)
        if parent:
            for kind in KINDS:
                self.move(parent, kind, free=-given[kind], granted=given[kind])

    def move(self, id: str, kind: str, **by: int) -> None:
        for name, amount in by.items():
            self.accounts[id].amounts[name][kind] += amount

    def reserve(self, id: str, call: Begin) -> None:
        for kind, amount in call.amounts.items():
            self.move(id, kind, free=-amount, reserved=amount)
        for kind, amount in call.lent.items():
            self.move(call.lender, kind, free=-amount, reserved=amount)

    def settle(self, id: str, call: Begin, used: Mapping[str, int]) -> None:
        for kind, reserve in call.amounts.items():
            # The lender pays what is beyond the account's own reserve, as far as it lent.
            lent = call.lent.get(kind, 0)
            paid = min(lent, max(0, used[kind] - reserve))
            if lent:
                self.move(call.lender, kind, reserved=-lent, spent=paid, free=lent - paid)
            spent = used[kind] - paid
            beyond = max(0, spent - reserve)
            self.move(
                id,
                kind,
                reserved=-reserve,
                spent=spent,
                free=max(0, reserve - spent),
                overdraft=beyond,
            )
            if beyond:
                self.overdrawn.add(id)

    def close(self, id: str) -> None:
        closed = self.accounts[id]
        closed.is_open = False
        for kind in KINDS:
            of = {name: closed.amounts[name][kind] for name in AMOUNTS}
            slot = of["reserved"] if kind == "agents" else 0
            self.move(
                closed.parent,
                kind,
                free=of["free"] + slot,
                spent=of["spent"],
                overdraft=of["overdraft"],
                granted=of["granted"] - of["cap"],
            )
            self.move(
                id,
                kind,
                free=-of["free"],
                reserved=-of["reserved"],
                granted=-of["granted"],
                cap=of["spent"] - of["overdraft"] - of["cap"],
            )

    def adopt(self, id: str) -> None:
        """It goes with its account from whom it was carved from to the one above that."""
        account = self.accounts[id]
        former = self.accounts[account.parent]
        for kind in KINDS:
            cap = account.amounts["cap"][kind]
            self.move(account.parent, kind, cap=-cap, granted=-cap)
        account.parent = former.parent

    def is_leaf(self, id: str) -> bool:
        return not any(a.parent == id and a.is_open for a in self.accounts.values())

    def fund(self, id: str, amounts: Mapping[str, int]) -> None:
        above = self.accounts[id].parent
        for kind, amount in amounts.items():
            self.move(id, kind, cap=amount, free=amount)
            if above:
                self.move(above, kind, free=-amount, granted=amount)
        self.overdrawn.discard(id)

    def begin(self, known: OpenCall) -> None:
        self.reserve(known.account, known.call)
        self.open_calls.append(known)

    def assume_open(self, account: str) -> None:
        """What nobody has ended is settled at its full reserve."""
        for known in [known for known in self.open_calls if known.account == account]:
            self.assume(known)

    def assume(self, known: OpenCall) -> None:
        self.open_calls.remove(known)
        self.former.append(known)
        self.settle(known.account, known.call, whole(known.call))

    def check(self) -> None:
        """Every account balances, nothing is below nothing, and what is granted is what open
        children have as caps.
        """
        granted: dict[str, dict[str, int]] = {}
        for account in self.accounts.values():
            if account.is_open and account.parent:
                of = granted.setdefault(account.parent, dict.fromkeys(KINDS, 0))
                for kind, cap in account.amounts["cap"].items():
                    of[kind] += cap
        none = dict.fromkeys(KINDS, 0)
        for id, account in self.accounts.items():
            if not account.is_open:
                continue
            rows = account.amounts
            for kind in KINDS:
                row = {name: rows[name][kind] for name in AMOUNTS}
                assert min(row.values()) >= 0, (id, kind, row)
                held = row["free"] + row["reserved"] + row["granted"] + row["spent"]
                assert row["cap"] + row["overdraft"] == held, (id, kind, row)
            assert rows["granted"] == granted.get(id, none), id

    def forget_spent(self, id: str) -> None:
        for kind in SPENT_KINDS:
            spent, over = (self.accounts[id].amounts[name][kind] for name in ("spent", "overdraft"))
            self.move(id, kind, free=spent - over, spent=-spent, overdraft=-over)

    def free(self, id: str, kind: str) -> int:
        return self.accounts[id].amounts["free"][kind]

    def lends(self, call: Begin) -> bool:
        return not call.lent or self.affords(call.lender, call.lent)

    def affords(self, id: str, amounts: Mapping[str, int]) -> bool:
        return id not in self.overdrawn and all(
            n <= self.free(id, kind) for kind, n in amounts.items()
        )
