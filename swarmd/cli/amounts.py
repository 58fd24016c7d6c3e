"""Amounts of money, tokens and calls, as people say them on the command line."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, Final

from swarmd.errors import UsageError

EXAMPLE: Final = "tokens=50000,calls=100,usd=2.50"
_DIGITS_MAX: Final = 400  # of an amount that is read at all; what it may be, its own law says
_DOLLARS_MAX: Final = 1_000_000_000


def budget_of(text: str, said: str = "--budget") -> Any:
    """`tokens=50000,usd=2.5`, or JSON `{"tokens": 50000}`; what the kinds may be is the mission's
    own law.

    `usd` is dollars, for people: it is told as `cost`, in millionths of them. `said` names the
    words in errors.
    """
    is_json = text.lstrip().startswith("{")
    found = _read_json(text, said) if is_json else _read_pairs(text, said)
    _refuse_unknown_kinds(found, said)
    if isinstance(found, dict) and "usd" in found:
        if "cost" in found:
            raise UsageError(
                f"{said} names the money twice, as usd and as cost", hint="keep one of them"
            )
        found["cost"] = _micro_dollars(found.pop("usd"), said)
    return found


def _refuse_unknown_kinds(found: Any, said: str) -> None:
    from swarmd.core.model.charter import KINDS

    unknown = (
        [kind for kind in found if kind not in ("usd", *KINDS)] if isinstance(found, dict) else []
    )
    if unknown:
        raise UsageError(f"{said} has no kind {unknown[0][:40]!r}", hint=hint_of(said))


def hint_of(said: str) -> str:
    """An example of it, and all kinds that there are."""
    from swarmd.core.model.charter import KINDS  # it brings pydantic, which help does without

    before = "--budget " if said == "--budget" else ""
    return f"as in {before}{EXAMPLE}; kinds: usd, {', '.join(KINDS)}"


def _read_json(text: str, said: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{said} is not JSON: {error}", hint=hint_of(said)) from error


def _read_pairs(text: str, said: str) -> dict[str, Any]:
    parts = [part.partition("=") for part in text.split(",")]
    found = {kind.strip(): value.strip() for kind, _, value in parts}
    for kind, value in found.items():
        if kind != "usd" and not (value.isdecimal() and len(value) <= _DIGITS_MAX):
            raise UsageError(f"{said} {text!r} cannot be read", hint=hint_of(said))
    return {kind: value if kind == "usd" else int(value) for kind, value in found.items()}


def _micro_dollars(dollars: Any, said: str) -> int:
    """Raises `UsageError` for what is no amount of dollars, or one finer than the ledger counts."""
    try:
        micro = Decimal(str(dollars)) * 1_000_000
        if micro.is_finite() and 0 <= micro <= _DOLLARS_MAX * 1_000_000 and micro == int(micro):
            return int(micro)
    except ArithmeticError:  # no number, or one beyond all exponents
        pass
    raise UsageError(
        f"{said}: usd is {str(dollars)[:40]!r}",
        hint=f"dollars from 0 to {_DOLLARS_MAX:,}, with at most six decimals, such as usd=2.5",
    )


def amounts_of(text: str) -> dict[str, int]:
    """`tokens=50000,usd=2.50`, or JSON, as of a budget. Raises `UsageError`."""
    from swarmd.core.model.charter import KINDS

    found = budget_of(text, "amounts")
    are_amounts = isinstance(found, dict) and all(
        kind in KINDS and _is_amount(value) for kind, value in found.items()
    )
    if not are_amounts or not found:
        raise UsageError(f"{text!r} are no amounts", hint=hint_of("amounts"))
    amounts_found: dict[str, int] = found
    return amounts_found


def _is_amount(value: object) -> bool:
    # Above 2^53 the server's scripts no longer count exactly.
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53
