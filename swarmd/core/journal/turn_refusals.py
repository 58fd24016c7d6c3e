"""What was refused within turns: facts folded by agent, turn and rule. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from swarmd.core.model.refusals import Rule

RULES: Final = {rule.value: rule for rule in Rule}


@dataclass(frozen=True, slots=True)
class TurnRefusal:
    """What one rule refused one agent in one turn."""

    agent: str
    turn: int
    rule: Rule
    count: int
    detail: str
    moves: str  # parted by spaces; empty where it was the turn itself that could not go on
    account: str = ""  # that its call was to be charged to, where it was a call


def refused_in_turns(facts: Iterable[Mapping[str, object]]) -> list[TurnRefusal]:
    """Those that the journal names one by one: of each agent, turn and rule one, in the order in
    which they came first.

    A committed turn tells how often its moves were refused by each rule. A script tells by itself
    where a turn may not go on at all, and of single actions, too, which its turn counts when it is
    committed.
    """
    found: dict[tuple[str, int, Rule], TurnRefusal] = {}
    for fact in facts:
        one = _refusal_of(fact)
        if one is None:
            continue
        key = (one.agent, one.turn, one.rule)
        before = found.get(key)
        found[key] = one if before is None else replace(before, count=before.count + one.count)
    return list(found.values())


def _refusal_of(fact: Mapping[str, object]) -> TurnRefusal | None:
    said = {name: str(value) for name, value in fact.items()}
    rule, agent = RULES.get(said.get("rule", "")), said.get("agent", "")
    what = _what_was_refused(said)
    if said.get("fact") != "refuse" or rule is None or not agent or what is None:
        return None
    turn = number_in(said.get("turn") or said.get("call", "").partition(":")[0])
    return TurnRefusal(agent, turn, rule, *what, account=said.get("account", ""))


def _what_was_refused(said: Mapping[str, str]) -> tuple[int, str, str] | None:
    """How often, the detail, and the moves."""
    detail = said.get("detail", "")
    if said.get("of") == "turn":
        return 1, detail, ""
    count = number_in(said.get("count")) or 1
    if "channel" in said:
        # Messages that the bus did not carry: one fact for each of whom they were for.
        return count, f"to {said.get('to') or said['channel']}: {detail}", "message"
    return (count, detail, said.get("moves", "")) if "turn" in said else None


def number_in(text: str | None) -> int:
    return int(text) if text and len(text) < 20 and text.isdecimal() else 0
