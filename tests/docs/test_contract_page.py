"""The contract's table of orders is held to the registry of actions."""

from __future__ import annotations

import re
from pathlib import Path

from swarmd.core.actions.registry import ACTIONS
from swarmd.core.model.actions import Target
from swarmd.core.model.names import Authority

PAGE = Path(__file__).parents[2] / "docs/contract.md"


def _rows() -> list[list[str]]:
    text = PAGE.read_text(encoding="utf-8").partition("## Orders")[2].partition("\nA target is")[0]
    table = [line for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table]


def _verbs() -> dict[str, list[str]]:
    return {verb: row for row in _rows() for verb in re.findall(r"`(\w+)`", row[0])}


def test_the_table_of_orders_has_each_verb_once() -> None:
    named = [verb for row in _rows() for verb in re.findall(r"`(\w+)`", row[0])]
    assert sorted(named) == sorted(ACTIONS)


def test_the_table_says_who_else_may_ask() -> None:
    for verb, row in _verbs().items():
        authorities = ACTIONS[verb].authorities
        assert Authority.OPERATOR in authorities
        assert ("agents" in row[1]) == (Authority.LINEAGE in authorities), verb
        assert ("the board" in row[1]) == (Authority.BOARD in authorities), verb


def test_the_table_names_the_arguments_of_each_verb() -> None:
    for verb, row in _verbs().items():
        own = set(ACTIONS[verb].args.model_fields) - {"verb", "target", "reason"}
        assert [name for name in own if f"`{name}`" not in row[3]] == [], verb


def test_a_verb_of_one_kind_of_target_says_which() -> None:
    words = {Target.APPROVAL: "approval", Target.LETTER: "dead letter", Target.ENTRY: "journal"}
    for verb, row in _verbs().items():
        for target in ACTIONS[verb].targets:
            assert words.get(target, "") in row[2], verb
