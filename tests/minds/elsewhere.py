"""The capable mind in other frameworks' hands: as a lone agent, as a supervisor that hands over, as one
of its workers, and as a manager that keeps a ledger."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tests.minds.reading import Asked, marked
from tests.minds.work import (
    CITATIONS_MIN,
    CITED,
    HARM,
    Said,
    findings_of,
    own_question,
    searches_for,
    team_of,
    themes_of,
    uncited,
)


def elsewhere(asked: Asked, careless: frozenset[str]) -> Said:
    """Whoever of `careless` is asked reports without sources."""
    for mark, answer in _ELSEWHERE.items():
        if mark in asked.asked_now[-4_000:]:
            return answer(asked)
    if handovers := {n.rpartition("_to_")[2]: n for n in asked.tools if "_to_" in n}:
        return _hand_over(asked, handovers)
    # What a supervisor said to its workers stands there as an assistant's words, too.
    name, question = own_question(asked, asked.all)
    if name in careless:
        return Said(text=uncited(name))
    if name:
        searches = searches_for(asked, name, question)
        return Said(searches) if searches else Said(text=findings_of(asked, name, question))
    return _alone(asked)


def _alone(asked: Asked) -> Said:
    if HARM.search(asked.told):
        return Said(text="I will not write that: it would mislead those who are harmed.")
    teams = [(one, theme) for theme, _ in themes_of(asked.told) for one in team_of(asked, theme)]
    themes = dict(themes_of(asked.told))
    if not asked.lines:
        return Said(tuple(c for one, of in teams for c in searches_for(asked, one, themes[of])))
    parts = [findings_of(asked, one, themes[of]) for one, of in teams]
    return Said(text="\n".join(["The brief:", *dict.fromkeys("\n".join(parts).split("\n"))]))


def _hand_over(asked: Asked, handovers: Mapping[str, str]) -> Said:
    part = None if HARM.search(asked.told) else _next_part(asked)
    if part is None or part.worker not in handovers:
        return _final(asked)
    # Only what stands in for somebody has to be said: all others know their part.
    text = "" if part.worker == part.name else part.instruction
    return Said(((handovers[part.worker], {}),), text)


@dataclass(frozen=True, slots=True)
class _Part:
    """What one researcher does next, under which name it is reported."""

    worker: str
    name: str
    question: str

    @property
    def instruction(self) -> str:
        return f"As `{self.name}`, find what the files say on: {self.question}."


def _next_part(asked: Asked) -> _Part | None:
    """A report without sources is asked for once more, and then somebody else does that part."""
    everybody = _everybody(asked)
    for name, question in everybody.items():
        reports = _findings(asked, name)
        if any(len(re.findall(CITED, text)) >= CITATIONS_MIN for text in reports):
            continue
        if len(reports) < 2:
            return _Part(name, name, question)
        others = [other for other in everybody if other != name]
        if others and not _findings(asked, f"{name}-again"):
            return _Part(others[-1], f"{name}-again", question)
    return None


def _everybody(asked: Asked) -> dict[str, str]:
    """Each researcher of the mission and its question."""
    return {
        one: question for theme, question in themes_of(asked.told) for one in team_of(asked, theme)
    }


def _findings(asked: Asked, name: str) -> list[str]:
    """Other frameworks give what agents said back as the assistant's own words."""
    return marked(rf"Findings of `{name}`:(.*?)(?=Findings of `|\Z)", asked.all)


def _whole(asked: Asked) -> str:
    texts = [
        text
        for one in _everybody(asked)
        for name in (one, f"{one}-again")
        for text in _findings(asked, name)
    ]
    lines = dict.fromkeys(line for text in texts for line in text.split("\n"))
    return "\n".join(["The brief:", *(line for line in lines if re.match(CITED, line))])


def _ledger(asked: Asked) -> Said:
    part = None if HARM.search(asked.told) else _next_part(asked)
    answers: dict[str, Any] = {
        "is_request_satisfied": part is None,
        "is_in_loop": False,
        "is_progress_being_made": True,
        "next_speaker": part.worker if part else next(iter(_everybody(asked)), ""),
        "instruction_or_question": part.instruction if part else "Nothing is left to do.",
    }
    said = {name: {"reason": "by the reports", "answer": it} for name, it in answers.items()}
    return Said(text=json.dumps(said))


def _facts(asked: Asked) -> Said:
    themes = "\n".join(f"- {question}" for _, question in themes_of(asked.told))
    text = "1. GIVEN OR VERIFIED FACTS\nThe themes and who works on them.\n2. FACTS TO LOOK UP\n"
    return Said(text=f"{text}{themes}\n3. FACTS TO DERIVE\nNone.\n4. EDUCATED GUESSES\nNone.")


def _plan(asked: Asked) -> Said:
    steps = [
        f"- {one} searches the files and reports lines with their sources"
        for one in _everybody(asked)
    ]
    return Said(text="\n".join([*steps, "- the reports are put together into the brief"]))


def _final(asked: Asked) -> Said:
    return _alone(asked) if HARM.search(asked.told) else Said(text=_whole(asked))


_ELSEWHERE: Final[Mapping[str, Callable[[Asked], Said]]] = {
    '"is_request_satisfied"': _ledger,
    "pre-survey": _facts,
    "short bullet-point plan": _plan,
    "provide the final answer": _final,
}
