"""A capable mind whose board charters a writer after the executives: their briefs become one text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from tests.minds.capable import CapableMind
from tests.minds.reading import Asked, marked
from tests.minds.shapes import Json
from tests.minds.work import CITED, Said, reported

WRITER: Final = "editor"
HEAD: Final = "Before you rely on it, know this:"
_TASK: Final = "Write the briefs that you are given into one text for whoever gave the mission."


@dataclass(frozen=True, slots=True)
class EditingMind(CapableMind):
    def _executives(self, asked: Asked) -> list[Json]:
        executives = CapableMind._executives(self, asked)
        themes = [str(executive["name"]) for executive in executives]
        return [*executives, {"name": WRITER, "role": "writer", "task": _TASK, "after": themes}]

    def _to_deliver(self, asked: Asked) -> list[str]:
        return marked(rf"(a-\w+) {WRITER} \(\d", asked.asked_now)[-1:]

    def _agent(self, asked: Asked) -> Said:
        if not marked(rf"You are {WRITER} \((a-\w+)\), writer", asked.told):
            return CapableMind._agent(self, asked)
        lines = re.findall(rf"^{CITED}", asked.told, re.MULTILINE)
        return reported(asked, "\n".join([HEAD, *dict.fromkeys(lines)]))
