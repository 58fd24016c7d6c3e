"""The tables of docs/ say what the tables of the code say, word by word."""

from __future__ import annotations

import re

import pytest

from swarmd.core.model.refusals import Rule
from swarmd.core.model.rules import agents, authority, messages
from swarmd.core.model.rules.row import Law, Row
from tests.docs.tables import DOCS, TABLES, with_table


@pytest.mark.parametrize("name", TABLES)
def test_a_table_of_the_docs_is_the_one_of_the_code(name: str) -> None:
    page, table = TABLES[name]
    text = (DOCS / page).read_text(encoding="utf-8")
    assert with_table(text, name, table()) == text, "run: python -m tests.docs.tables"


def test_a_page_with_another_word_in_its_table_is_not_that_table() -> None:
    text = (DOCS / "law.md").read_text(encoding="utf-8")
    changed = text.replace(Rule.HOPS.meaning, "The chain of turns is too long.")
    assert changed != text
    assert with_table(changed, "refusals", TABLES["refusals"][1]()) == text


def test_a_law_that_a_rule_serves_is_a_heading_of_the_laws_page() -> None:
    page = (DOCS / "laws.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (\d+)\. (.+)$", page, re.M)
    assert headings == [(str(law.value), law.title) for law in Law]


@pytest.mark.parametrize("rule", Rule)
def test_what_a_rule_links_to_is_a_heading_that_there_is(rule: Rule) -> None:
    if not rule.page:
        return
    page, _, anchor = rule.page.partition("#")
    headings = re.findall(r"^#+ (.+)$", (DOCS / page).read_text(encoding="utf-8"), re.M)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert not anchor or anchor in anchors


def test_every_row_of_the_rules_is_listed_once_as_a_rule_under_its_own_name() -> None:
    rows = {
        name: row
        for module in (agents, authority, messages)
        for name, row in vars(module).items()
        if isinstance(row, Row)
    }
    listed = {rule.name: (rule.value, rule.law, rule.meaning, rule.remedy) for rule in Rule}
    assert {name: row[:4] for name, row in rows.items()} == listed
    assert len({row.code for row in rows.values()}) == len(rows)
