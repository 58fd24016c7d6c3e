"""What tests read of a stream's entry and write as one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from swarmd.core.model.messages import FIELD


def said_in(fields: Mapping[str, str]) -> dict[str, str]:
    """What an entry's line says, each part as text and `data` as JSON; of an entry without a line,
    as those of `missions` are, its fields.
    """
    if FIELD not in fields:
        return dict(fields)
    facts: dict[str, Any] = json.loads(fields[FIELD])
    return {
        name: part if isinstance(part, str) else json.dumps(part, ensure_ascii=False)
        for name, part in facts.items()
    }


def line_saying(fields: Mapping[str, Any]) -> str:
    """The line of an entry as somebody else would write it, without a seal."""
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
