"""What is said of a move that does not fit its form."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from swarmd.core.model.moves import MOVE_TYPES
from swarmd.core.model.written_moves import faults_of, schema_of


def _said(move: str, **raw: Any) -> str:
    with pytest.raises(ValidationError) as refused:
        MOVE_TYPES[move].model_validate({"move": move, **raw})
    return faults_of(refused.value, schema_of(move))


def test_a_list_of_entries_that_are_at_fault_is_not_too_short_as_well() -> None:
    one = {"role": "executive", "name": "one", "task": "t", "checks": [{"kind": "cites", "min": 8}]}
    motion = {"motion": "charter", "reason": "r", "executives": [one]}
    said = _said("propose", motion=motion)
    assert "checks[0].min` is no field here" in said
    assert "needs at least" not in said
    assert "needs at least 1 entry" in _said("propose", motion={**motion, "executives": []})
