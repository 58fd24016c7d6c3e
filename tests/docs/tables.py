"""The tables of docs/ that are printed from the tables of the code.

`python -m tests.docs.tables` writes them anew, and `test_tables.py` holds the pages to them. A
table stands between two marks, `<!-- table: NAME -->` and `<!-- end -->`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from swarmd.core.model.events import JournalEvent
from swarmd.core.model.privileges import AREAS
from swarmd.core.model.providers import PROVIDERS
from swarmd.core.model.refusals import Rule
from swarmd.log_events import LogEvent

DOCS: Final = Path(__file__).parents[2] / "docs"


def refusals() -> str:
    rows = ["| rule | refused because | what to do | law |", "| --- | --- | --- | --- |"]
    for rule in Rule:
        page = rule.page.removeprefix("law.md")
        more = f" ([more]({page}))" if page else ""
        law = f"[{rule.law.value}]({_anchor(rule)})"
        rows.append(f"| `{rule.value}` | {rule.meaning} | {rule.remedy}{more} | {law} |")
    return "\n".join(rows)


def _anchor(rule: Rule) -> str:
    """The law's heading in laws.md, as renderers of Markdown name it."""
    heading = f"{rule.law.value}. {rule.law.title}".lower()
    return "laws.md#" + re.sub(r"[^\w -]", "", heading).replace(" ", "-")


def privileges() -> str:
    rows = ["| path | allows | checked |", "| --- | --- | --- |"]
    rows += [f"| `{area.form}` | {area.allows} | {area.checked} |" for area in AREAS.values()]
    return "\n".join(rows)


def providers() -> str:
    rows = ["| spec | is | key, address | costs |", "| --- | --- | --- | --- |"]
    for row in PROVIDERS.values():
        variables = ", ".join(f"`{name}`" for name in (row.key_variable, row.url_variable) if name)
        costs = "nothing" if row.is_free else "its [price](#prices)"
        rows.append(f"| `{row.form}` | {row.means} | {variables or '-'} | {costs} |")
    return "\n".join(rows)


def log_events() -> str:
    rows = ["| event | tells |", "| --- | --- |"]
    rows += [f"| `{event.value}` | {event.meaning} |" for event in LogEvent]
    return "\n".join(rows)


def events() -> str:
    rows = ["| event | tells | fields |", "| --- | --- | --- |"]
    for event in JournalEvent:
        fields = f"`{' '.join(event.fields)}`" if event.fields else "-"
        rows.append(f"| `{event.value}` | {event.meaning} | {fields} |")
    return "\n".join(rows)


TABLES: Final[Mapping[str, tuple[str, Callable[[], str]]]] = {
    "refusals": ("law.md", refusals),
    "privileges": ("policies.md", privileges),
    "providers": ("models.md", providers),
    "events": ("journal.md", events),
    "log-events": ("logs.md", log_events),
}


def with_table(text: str, name: str, table: str) -> str:
    """The page with the table between its marks. Raises `ValueError` where the marks are missing."""
    marks = re.compile(rf"(<!-- table: {name} -->\n).*?(<!-- end -->)", re.S)
    if not marks.search(text):
        raise ValueError(f"the page has no marks for the table {name}")
    return marks.sub(lambda found: f"{found[1]}\n{table}\n\n{found[2]}", text, count=1)


def main() -> None:
    for name, (page, table) in TABLES.items():
        path = DOCS / page
        path.write_text(with_table(path.read_text("utf-8"), name, table()), encoding="utf-8")
        print(f"docs/{page}: {name}")


if __name__ == "__main__":
    main()
