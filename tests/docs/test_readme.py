"""The transcript in the README is of this repository: what it cites must stand where it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_CITED = re.compile(r"^- (?P<quote>.+) \[(?P<path>[\w./-]+):(?P<line>\d+)\]$", re.M)
CITATIONS = [
    m.groupdict() for m in _CITED.finditer((ROOT / "README.md").read_text(encoding="utf-8"))
]


@pytest.mark.parametrize(
    "citation", CITATIONS, ids=lambda citation: f"{citation['path']}:{citation['line']}"
)
def test_a_citation_in_the_readme_stands_at_its_line(citation: dict[str, str]) -> None:
    lines = (ROOT / citation["path"]).read_text(encoding="utf-8").splitlines()
    assert _plain(citation["quote"])[:20] in _plain(lines[int(citation["line"]) - 1])


def test_the_readme_shows_a_brief_with_citations() -> None:
    assert len(CITATIONS) >= 3


def _plain(text: str) -> str:
    """Without the marks of tables and lists, whose cells a brief joins."""
    return re.sub(r"\W+", " ", text).strip().lower()
