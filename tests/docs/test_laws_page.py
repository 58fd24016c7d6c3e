"""The pages on the law speak of what is there: every test, module, verb and rule that they name
exists.
"""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest

from swarmd.core.model.refusals import Rule

ROOT = Path(__file__).parents[2]
_PAGE = (ROOT / "docs/laws.md").read_text(encoding="utf-8")
LAWS = re.findall(r"^## (\d+)\. .+\n((?:(?!## ).*\n)*)", _PAGE, re.M)
# The title of a law in the README, where it is another than on the page.
_AS_A_ROW = {"Nothing is lost, nothing happens twice": "Nothing lost"}
TESTS = re.findall(r"^- `(.+)::(\w+)`$", _PAGE, re.M)


def test_there_are_fourteen_laws() -> None:
    assert [int(number) for number, _ in LAWS] == list(range(1, 15))


def test_the_readme_has_a_row_for_each_law_in_their_order() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    table = readme.partition("\n## The laws\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| \*\*(.+?)\*\*", table, re.M)
    titles = re.findall(r"^## \d+\. (.+)$", _PAGE, re.M)
    assert [row.split(",")[0] for row in rows] == [_AS_A_ROW.get(title, title) for title in titles]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law[0])
def test_each_law_names_what_holds_it_how_to_check_it_its_limits_and_its_tests(
    law: tuple[str, str],
) -> None:
    held, _, rest = law[1].partition("**Check it**")
    check, _, rest = rest.partition("**It does not promise**")
    limits, _, tests = rest.partition("**Tests**")
    assert re.search(r"\*\*Held by\*\* `swarmd/", held)
    assert "`swarmd " in check or "`kill -9`" in check
    assert limits.strip()
    assert re.search(r"^- `.+::test_\w+`$", tests, re.M)


def test_every_test_of_the_page_exists() -> None:
    missing = [
        f"{file}::{name}" for file, name in TESTS if name not in _tests_in(ROOT / "tests" / file)
    ]
    assert not missing


def test_every_module_and_script_of_the_page_exists() -> None:
    named = re.findall(r"`(swarmd/[\w/.]+)`", _PAGE)
    assert len(named) >= 12
    assert not [path for path in named if not (ROOT / path).is_file()]


def test_every_rule_has_one_row_of_the_table_and_every_row_is_a_rule() -> None:
    page = (ROOT / "docs/law.md").read_text(encoding="utf-8").partition("## Guards")[0]
    cells = re.findall(r"^\| (`[\w.-]+`(?:, `[\w.-]+`)*) \|", page, re.M)
    rows = [rule for cell in cells for rule in re.findall(r"`([\w.-]+)`", cell)]
    assert sorted(rows) == sorted(rule.value for rule in Rule)


@pytest.mark.parametrize("page", ["laws.md", "law.md"])
def test_what_a_page_links_to_is_there(page: str) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    linked = re.findall(r"\]\(([^)#]+)", text)
    assert linked
    assert not [to for to in linked if not (ROOT / "docs" / to).is_file()]


@functools.cache
def _tests_in(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8")) if file.is_file() else ast.Module([], [])
    return {
        node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
