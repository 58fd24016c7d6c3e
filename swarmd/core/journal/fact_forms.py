"""Which entries of the stream of facts are facts. Pure.

Workers' scripts append facts, and a worker's user of the server may append anything there. The
supervisor folds only what this module takes: an entry of another form, or one that cannot follow
from the accounts as they are, is refused by `Rule.FACT_INVALID` and recorded. Whoever reads the
journal again therefore meets facts that can be folded, and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from swarmd.core.journal.entries import told
from swarmd.core.ledger.accounts import CACHED, UNPRICED, Account, Ledger
from swarmd.core.model.charter import AMOUNT_MAX, KINDS
from swarmd.core.model.names import StreamId

Fact = Mapping[str, str]

# The largest fact of ours names a hundred agents and their creators (a step of the reaper): some 14
# KB.
FACT_BYTES_MAX: Final = 64 * 1024
# A fact that only tells has about ten fields.
FACT_FIELDS_MAX: Final = 32

Check = Callable[[Any], bool]


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _is_amount(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= AMOUNT_MAX


def _by_kind(value: Any) -> bool:
    return isinstance(value, dict) and all(k in KINDS and _is_amount(n) for k, n in value.items())


def _taken_by_kind(value: Any) -> bool:
    return _by_kind(value) and all(n >= 0 for n in value.values())


def _is_reserve(value: Any) -> bool:
    # A list is how Lua's JSON writes a table with nothing in it.
    if not isinstance(value, dict):
        return bool(value == [])
    kinds = {kind: n for kind, n in value.items() if kind != UNPRICED}
    return _taken_by_kind(kinds) and _is_amount(value.get(UNPRICED, 0))


def _is_reap(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(pair, list) and len(pair) == 2 and all(map(_is_text, pair)) for pair in value
    )


def _with(**checks: Check) -> Check:
    """An object that has each of these fields, and each as its check wants it."""

    def check(value: Any) -> bool:
        return isinstance(value, dict) and all(
            name in value and is_right(value[name]) for name, is_right in checks.items()
        )

    return check


# What `amounts` of each fact is, as `scripts/_facts.lua` lists it. `refuse` and `warn` have none.
_AMOUNTS: Final[Mapping[str, Check]] = {
    "reserve": _is_reserve,
    "settle": _with(
        used=_taken_by_kind, reserved=_taken_by_kind, overdraft=_taken_by_kind, assumed=_is_bool
    ),
    "open": _with(parent=_is_text, caps=_taken_by_kind, own_slot=_is_bool),
    "fund": _with(parent=_is_text, caps=_taken_by_kind),
    "adopt": _with(former=_is_text, parent=_is_text),
    "close": _with(
        parent=_is_text,
        cap=_by_kind,
        free=_by_kind,
        granted=_by_kind,
        spent=_by_kind,
        overdraft=_by_kind,
    ),
    "period": _with(spent=_by_kind, overdraft=_by_kind),
    "reap": _is_reap,
}
_TOLD_ONLY: Final = frozenset({"refuse", "warn"})


def wrong_form(fact: Fact) -> str:
    """What is wrong with an entry by itself, in a few words of ours; empty where nothing is."""
    kind = fact.get("fact")
    if kind is None:
        return "it has no field fact"
    if kind not in _TOLD_ONLY and kind not in _AMOUNTS:
        return "the ledger knows no such fact"
    if len(fact) > FACT_FIELDS_MAX or "id" in fact:
        return "it has fields that no fact has"
    if sum(len(name) + len(text) for name, text in fact.items()) > FACT_BYTES_MAX:
        return f"it is longer than {FACT_BYTES_MAX:,} characters"
    if kind in _TOLD_ONLY:
        return "it has amounts" if "amounts" in fact else ""
    return _wrong_amounts(kind, fact)


def _wrong_amounts(kind: str, fact: Fact) -> str:
    if not fact.get("account") and kind != "reap":
        return "it names no account"
    try:
        amounts = json.loads(fact.get("amounts", ""))
    except (ValueError, RecursionError):
        return "its amounts are not JSON"
    if not _AMOUNTS[kind](amounts):
        return f"its amounts are not those of the fact {kind}"
    if kind == "settle" and not all(_is_amount(amounts.get(m, 0)) for m in (UNPRICED, CACHED)):
        return "its amounts are not those of the fact settle"
    return ""


def wrong_for(ledger: Ledger, fact: Mapping[str, Any]) -> str:
    """Why a fact of the right form cannot follow from the accounts as they are; empty where it was
    folded.

    Beyond what cannot be folded at all: nobody can reserve more than the account ever had, nor
    settle what was not reserved. Our scripts look at the account itself, so that such a fact is
    none of theirs.
    """
    account, amounts = ledger.accounts.get(fact.get("account", "")), fact.get("amounts", {})
    if account is not None and fact["fact"] == "reserve":
        over = _beyond(account, "cap", {k: amounts[k] for k in KINDS if k in amounts})
        if over:
            return f"it reserves more {over} than the account has"
    if account is not None and fact["fact"] == "settle":
        over = _beyond(account, "reserved", amounts["reserved"])
        if over:
            return f"it settles more {over} than is reserved"
    return ledger.admit(fact)


def _beyond(account: Account, name: str, amounts: Mapping[str, int]) -> str:
    """The first kind of which these are more than the account's amount of that name, or empty."""
    return next((kind for kind, n in amounts.items() if n > account.get(kind, name)), "")


@dataclass(slots=True)
class Judged:
    """Facts of one reading: those to fold, in order, and why the others are none."""

    facts: list[tuple[StreamId, Fact]] = field(default_factory=list)
    refused: list[tuple[StreamId, str]] = field(default_factory=list)


def judge(ledger: Ledger | None, entries: Sequence[tuple[StreamId, Fact]]) -> Judged:
    """Parts facts from what is none, and folds the facts into `ledger` where one is known."""
    judged = Judged()
    for id, fact in entries:
        why = wrong_form(fact)
        if not why and ledger is not None:
            why = wrong_for(ledger, told(id, fact))
        if why:
            judged.refused.append((id, why))
        else:
            judged.facts.append((id, fact))
    return judged
