"""`docs/policies.md` has a row for every limit and every rule of the board that a policy may set."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from swarmd.core.rules import BoardRules, Limits, Taint

PAGE = (Path(__file__).parents[2] / "docs" / "policies.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("file", "names"),
    [
        ("board.yaml", set(BoardRules.model_fields)),
        (
            "limits.yaml",
            set(Limits.model_fields) - {"taint"} | {f"taint.{name}" for name in Taint.model_fields},
        ),
    ],
)
def test_every_setting_has_a_row_and_every_row_is_a_setting(file: str, names: set[str]) -> None:
    table = PAGE.split(f"### {file}\n")[1].split("\n#")[0]
    cells = re.findall(r"^\| (`[\w.]+`(?:, `[\w.]+`)*) \|", table, re.M)
    assert sorted(name for cell in cells for name in re.findall(r"`([\w.]+)`", cell)) == sorted(names)
