"""A capable mind, by rules: it reads a mission of themes and researchers and plays whoever is asked.

It answers from the prompt alone, as a seat, an executive, a researcher, a lone agent, a supervisor of
other frameworks or their workers. It knows no phases and no wording of the daemon's: it calls the
tool that is demanded or, of those offered, the one that what it was told last asks for, and puts what
it wants into that tool's own schema. It recognises its own work by sentences of its own
(`Findings of …`, `Brief on …`), which pass through reports and rooms unchanged.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from tests.minds.elsewhere import elsewhere
from tests.minds.reading import Asked, marked
from tests.minds.shapes import TAG, Json, has_tag, shaped
from tests.minds.work import (
    CITATIONS_MIN,
    CITED,
    FINDINGS_MAX,
    HARM,
    Said,
    called,
    charged,
    files_of,
    findings_of,
    last_mission,
    own_question,
    reported,
    searches_for,
    team_of,
    themes_of,
    uncited,
    wished,
)

_AGENT: Final = r"\ba-[a-z0-9]{6,}\b"
_ADD: Final = "Add a line: "
_DELIVERED: Final = "The brief has a part for each theme; each sentence names its source."
_SEATS: Final[tuple[str, ...]] = ("propose", "argue", "respond", "answer", "vote")


@dataclass(frozen=True, slots=True)
class CapableMind:
    """Everybody's mind. Who is in `careless` does bad work, and who is in `blocked` cannot go on
    before a directive comes; `objects` is what the objector says against the first motion, and
    `missing` the line that it misses in the delivery."""

    careless: frozenset[str] = frozenset()
    blocked: frozenset[str] = frozenset()
    objects: str = ""
    missing: str = ""
    objector: str = ""

    def __call__(self, body: Json) -> Said:
        asked = Asked(body)
        if set(asked.tools) == {"say_ready"}:
            return Said((("say_ready", {"ready": True}),))
        if asked.tool(*_SEATS):
            return self._seat(asked)
        if asked.tool("report"):
            return self._agent(asked)
        return elsewhere(asked, self.careless)

    # --- a seat ---

    def _seat(self, asked: Asked) -> Said:
        name = demanded(asked)
        shape = asked.tools[name]
        choices = {c for f in shape.fields.values() for c in f.all_choices() if isinstance(c, str)}
        if name == "say":
            text = "Heard: it goes into what is done next."
            return called(asked, name, {"room": "sob", "text": text})
        if "amend" in choices and (motion := self._amended(asked)):
            # Where the forms of motions are told once, they stand with `propose`.
            form = asked.tools["propose"].fields.get("motion", asked.tools["propose"])
            wish: Json = {
                "motion": shaped(motion, form, motion[TAG]),
                "accepts": [self.objector or "operator"],
                "reason": motion["reason"],
            }
            return called(asked, name, wish, "amend")
        if "consent" in choices and (argument := self._argument(asked)):
            return called(asked, name, {"text": argument, "reason": argument}, "argue")
        for choice in ("consent", "yes", "keep"):
            if choice in choices:
                reason = "It names who does what, on which files, and what done means."
                return called(asked, name, {"text": reason, "reason": reason}, choice)
        if name == "argue":
            return called(asked, name, {"text": "I see nothing that speaks against it."})
        return self._propose(asked, name)

    def _argument(self, asked: Asked) -> str:
        """Each once: what was amended has it in it."""
        if not self.objector or not re.search(rf"You are {self.objector}\b", asked.asked_now):
            return ""
        if self.objects and self.objects not in asked.told:
            return self.objects
        has_briefs = all(f"Brief on `{theme}`" in asked.told for theme, _ in themes_of(asked.all))
        is_missing = bool(self.missing) and self.missing not in asked.told
        return f"{_ADD}{self.missing}" if has_briefs and is_missing else ""

    def _amended(self, asked: Asked) -> Json | None:
        """The motion as the argument against it asks for."""
        if self.missing and f"{_ADD}{self.missing}" in asked.asked_now:
            text = f"{_DELIVERED} {self.missing}"
            kept = {"reports": _reported(asked), "reason": "The line was missing."}
            return {TAG: "deliver", "text": text, **kept}
        words = marked(r"^operator \(argue\): ([^\n]*)", asked.asked_now)
        asks = words[-1] if words else self.objects
        if asks and asks in asked.asked_now and not _reported(asked):
            executives = self._executives(asked)
            changed = [one | {"done": f"{one['done']} {asks}"} for one in executives]
            return {TAG: "charter", "executives": changed, "reason": "The argument is right."}
        return None

    def _propose(self, asked: Asked, name: str) -> Said:
        if HARM.search(last_mission(asked.all)):
            why = "It would mislead those who are harmed. A text that states the limits is welcome."
            return called(asked, name, {"reason": why}, "reject")
        blockers = marked(r"Blocker on `([\w-]+)`: ([^\n<]*)", asked.asked_now)
        for theme, need in blockers:
            if f"Brief on `{theme}`" not in asked.asked_now:
                return self._decide_blocker(asked, name, theme, need)
        if lost := [theme for theme, _ in themes_of(asked.all) if _is_lost(asked, theme)]:
            return self._replace(asked, name, lost)
        reports = self._to_deliver(asked)
        if reports and has_tag(asked.tools[name], "deliver"):
            why = "Both themes are answered."
            delivery = {"reports": reports, "text": _DELIVERED, "reason": why}
            return called(asked, name, delivery, "deliver")
        wish = {"executives": self._executives(asked), "reason": "One executive for each theme."}
        return called(asked, name, wish, "charter")

    def _executives(self, asked: Asked) -> list[Json]:
        return [_charter_of(asked, *theme) for theme in themes_of(asked.all)]

    def _to_deliver(self, asked: Asked) -> list[str]:
        return _reported(asked)

    def _decide_blocker(self, asked: Asked, name: str, theme: str, need: str) -> Said:
        ids = marked(_AGENT, asked.asked_now.split(f"Blocker on `{theme}`")[0])
        text = f"Decision on `{theme}`: go on without it and name the gap ({need.strip()})."
        wish = {
            "to": ids[-1] if ids else theme,
            "text": text,
            "reason": "The rest is worth having.",
        }
        return called(asked, name, wish, "direct")

    def _replace(self, asked: Asked, name: str, lost: list[str]) -> Said:
        """Others in the place of executives that have ended without a brief."""
        themes = dict(themes_of(asked.all))
        charters = [
            _charter_of(asked, one, themes[one]) | {"key": f"{one}-again", "name": f"{one}-again"}
            for one in lost
        ]
        wish = {"executives": charters, "reason": f"Nobody carries {', '.join(lost)} any more."}
        return called(asked, name, wish, "charter")

    # --- an agent ---

    def _agent(self, asked: Asked) -> Said:
        if asked.tool("spawn") and (carried := marked(r"Carry theme `([\w-]+)`", asked.told)):
            # Its own charter is told first; those of its colleagues are named after it.
            return self._executive(asked, carried[0])
        return self._researcher(asked)

    def _executive(self, asked: Asked, theme: str) -> Said:
        if asked.required == "report":
            return reported(asked, _brief(asked, theme, team_of(asked, theme)))
        if theme in self.blocked and f"Decision on `{theme}`" not in asked.told:
            need = "the list of users is not among the files."
            return reported(asked, f"Blocker on `{theme}`: {need}", is_done=False)
        team = team_of(asked, theme)
        missing = [one for one in team if f"As `{one}`, find" not in asked.said]
        if missing:
            spawns = tuple(_spawn(asked, one, theme) for one in missing)
            # Where waiting is a move it ends the same answer; else the turn ends by itself.
            return Said((*spawns, *(_wait(asked, missing).calls if asked.tool("wait") else ())))
        if waiting := [
            one for one in team if not _findings(asked, one) and not _is_over(asked, one)
        ]:
            return _wait(asked, waiting)
        if bad := [one for one in team if not _is_good(asked, one) and not _replaced(asked, one)]:
            return _correct(asked, bad[0], theme)
        return reported(asked, _brief(asked, theme, team))

    def _researcher(self, asked: Asked) -> Said:
        name, question = charged(asked) or own_question(asked)
        if name in self.careless:
            return reported(asked, uncited(name))
        searches = searches_for(asked, name, question)
        if searches and asked.required != "report":
            return Said(searches)
        return reported(asked, findings_of(asked, name, question))


# --- a seat's wishes --------------------------------------------------------------------------


def demanded(asked: Asked) -> str:
    """The tool that is required or, where several are offered, that the end of what it was told
    asks for.
    """
    if asked.required:
        return asked.required
    offered = [name for name in _SEATS if name in (asked.allowed or asked.tools)]
    offered = offered or list(asked.allowed or asked.tools)
    phase = str((marked(r"^phase: *(\w+)", asked.asked_now) or [""])[-1])
    if phase == "answer" and asked.tool("say"):
        return "say"
    by_phase = {"review": "propose", "debate": "argue", "amend": "answer"}.get(phase, phase)
    if by_phase in offered:
        return by_phase
    last = {name: asked.asked_now.rfind(f"{name}") for name in offered}
    return max(offered, key=lambda name: last[name])


def _is_lost(asked: Asked, theme: str) -> bool:
    """Its executive has ended without a brief, and nobody was made in its place."""
    ended = rf"\b{theme}\b[^\n]*\n?[^\n]*\b(?:ended without|has ended|crashed|failed for good)\b"
    is_replaced = f"{theme}-again" in asked.asked_now
    has_brief = f"Brief on `{theme}`" in asked.asked_now
    return bool(marked(ended, asked.asked_now)) and not is_replaced and not has_brief


def _charter_of(asked: Asked, theme: str, question: str) -> Json:
    team = " and ".join(f"`{one}`" for one in team_of(asked, theme))
    task = f"Carry theme `{theme}` of the mission: {question}. Researchers: {team} for `{theme}`."
    return {
        "key": theme,
        "name": theme,
        "role": "executive",
        "task": task,
        "files": files_of(asked),
        "done": "Each sentence of the report ends in its source, as file:line.",
    }


def _reported(asked: Asked) -> list[str]:
    """Ids of those whose brief stands in what is asked now: the last id before each."""
    listed = marked(r"^reports: ([^\n]*)", asked.asked_now)
    if listed:
        return marked(_AGENT, listed[-1])
    parts = re.split(r"Brief on `[\w-]+`", asked.asked_now)[:-1]
    return list(dict.fromkeys(ids[-1] for part in parts if (ids := marked(_AGENT, part))))


# --- an executive's ---------------------------------------------------------------------------


def _findings(asked: Asked, name: str) -> list[str]:
    return marked(rf"Findings of `{name}`:(.*?)(?=</|Findings of `|\Z)", asked.told)


def _is_good(asked: Asked, name: str) -> bool:
    found = _findings(asked, name)
    return bool(found) and len(re.findall(CITED, found[-1])) >= CITATIONS_MIN


def _is_over(asked: Asked, name: str) -> bool:
    return bool(marked(rf"\b{name}\b[^\n]{{0,80}}\b(?:ended|failed|terminated)\b", asked.told))


def _replaced(asked: Asked, name: str) -> bool:
    return name.endswith("-again") or f"As `{name}-again`, find" in asked.said


def _correct(asked: Asked, name: str, theme: str) -> Said:
    """A bad report is sent back once; after a second one its agent is ended and replaced."""
    again = f"`{name}`: your report has no sources. Report again, each line as file:line."
    if again not in asked.said:
        return Said((wished(asked, "direct", {"to": name, "text": again}),))
    child = marked(rf"\b{name} \(({_AGENT})", asked.told)
    end = {"target": child[-1] if child else name, "reason": "Two reports without sources."}
    govern = asked.tool("govern", "terminate")
    calls = [(govern, shaped(end, asked.tools[govern], "terminate"))] if govern else []
    return Said((*calls, _spawn(asked, f"{name}-again", theme)))


def _spawn(asked: Asked, name: str, theme: str) -> tuple[str, Json]:
    question = dict(themes_of(asked.told)).get(theme, theme)
    charter = {
        "role": "researcher",
        "name": name,
        "task": f"As `{name}`, find what the files say on: {question}. Report at most "
        f"{FINDINGS_MAX} lines, each with its source as file:line.",
        "files": files_of(asked),
        "done": "Each line of the report has its source.",
    }
    return wished(asked, "spawn", {"key": name, "charter": charter, **charter})


def _wait(asked: Asked, names: list[str]) -> Said:
    if wait := asked.tool("wait"):
        wish = {"for": names, "whom": names, "who": names, "what": "their reports", "reason": "all"}
        return called(asked, wait, {**wish, "text": "their reports"})
    thought = f"I wait for {', '.join(names)}."
    return called(asked, asked.tool("think"), {"thought": thought})


def _brief(asked: Asked, theme: str, team: list[str]) -> str:
    found = [line for one in team for text in _findings(asked, one) for line in text.split("\n")]
    lines = [line for line in dict.fromkeys(found) if re.match(CITED, line)]
    return "\n".join([f"Brief on `{theme}`:", *(lines or ["Nothing was found."])])
