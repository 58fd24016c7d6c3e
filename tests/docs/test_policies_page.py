"""`docs/policies.md` has a row for every limit and every rule of the board that a policy may
set.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from swarmd.adapters.config.loader import load
from swarmd.core.model.board_rules import BoardRules
from swarmd.core.model.corrections import Corrections
from swarmd.core.model.declarations import Limits, Provider, Role, Room, Taint
from swarmd.core.model.redis_users import AclRole

PAGE = (Path(__file__).parents[2] / "docs" / "policies.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("file", "names"),
    [
        ("board.yaml", set(BoardRules.model_fields)),
        ("corrections.yaml", set(Corrections.model_fields)),
        (
            "limits.yaml",
            set(Limits.model_fields) - {"taint"} | {f"taint.{name}" for name in Taint.model_fields},
        ),
    ],
)
def test_every_setting_has_a_row_and_every_row_is_a_setting(file: str, names: set[str]) -> None:
    table = PAGE.split(f"### {file}\n")[1].split("\n#")[0]
    cells = re.findall(r"^\| (`[\w.]+`(?:, `[\w.]+`)*) \|", table, re.M)
    assert sorted(name for cell in cells for name in re.findall(r"`([\w.]+)`", cell)) == sorted(
        names
    )


@pytest.mark.parametrize(
    ("heading", "names"),
    [
        ("### roles/NAME.yaml", set(Role.model_fields)),
        ("### models.yaml", set(Provider.model_fields)),
        ("### acl.yaml", set(AclRole.model_fields)),
        ("## channels/", set(Room.model_fields)),
    ],
)
def test_every_field_of_a_declaration_has_a_row(heading: str, names: set[str]) -> None:
    table = PAGE.split(f"{heading}\n")[1].split("\n#")[0]
    cells = re.findall(r"^\| (`[\w.]+`(?:, `[\w.]+`)*) \|", table, re.M)
    assert names - {name for cell in cells for name in re.findall(r"`([\w.]+)`", cell)} == set()


def test_a_default_that_the_page_names_is_the_shipped_one() -> None:
    """Of single numbers; what is more than one is read by people."""
    shipped = load(None, None)
    for file, declared in (("board.yaml", shipped.board), ("limits.yaml", shipped.limits)):
        table = PAGE.split(f"### {file}\n")[1].split("\n#")[0]
        rows = re.findall(r"^\| `(\w+)` \| ([\d,]+) \|", table, re.M)
        assert len(rows) >= 8
        said = {name: float(value.replace(",", "")) for name, value in rows}
        assert said == {name: float(getattr(declared, name)) for name in said}


def test_a_bound_that_the_page_names_is_the_checked_one() -> None:
    for file, model in (("board.yaml", BoardRules), ("limits.yaml", Limits)):
        table = PAGE.split(f"### {file}\n")[1].split("\n#")[0]
        for name, low, high in re.findall(
            r"^\| `(\w+)` \| [\d,]+ \| ([\d,]+) to ([\d,]+) \|", table, re.M
        ):
            bounds = TypeAdapter(model).json_schema()["properties"][name]
            said = (float(low.replace(",", "")), float(high.replace(",", "")))
            assert (bounds.get("minimum", 0), bounds["maximum"]) == said, name
