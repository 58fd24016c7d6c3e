"""A capable mind, by rules: it reads a mission of themes and researchers and plays whoever is asked.

It answers from the prompt alone, as a seat, an executive, a researcher, a lone agent, a supervisor of
other frameworks or their workers. It knows no phases and no wording of the daemon's: it calls the
tool that is demanded or, of those offered, the one that what it was told last asks for, and puts what
it wants into that tool's own schema. It recognises its own work by sentences of its own
(`Findings of …`, `Brief on …`), which pass through reports and rooms unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tests.minds.reading import Asked, marked, telling
from tests.minds.shapes import TAG, Json, has_tag, shaped

FINDINGS_MAX: Final = 7
FILES_MAX: Final = 20  # that it writes out one by one
CITATIONS_MIN: Final = 3  # of a report that is worth its cost
_THEME: Final = r"[Tt]heme `([\w-]+)`: ([^.]*)\."
_TEAM: Final = r"((?:`[\w-]+`(?:, | and )?)+) for `([\w-]+)`"
_AGENT: Final = r"\ba-[a-z0-9]{6,}\b"
_HARM: Final = re.compile(r"\b(hides?|conceals?|misleads?|deceives?)\b", re.IGNORECASE)
_CITED: Final = r"- .*\([\w./-]+:\d+\)"
_SEATS: Final[tuple[str, ...]] = ("propose", "argue", "respond", "answer", "vote")


@dataclass(frozen=True, slots=True)
class Said:
    """An answer: calls of tools, by name, or a text."""

    calls: tuple[tuple[str, Json], ...] = ()
    text: str = ""


@dataclass(frozen=True, slots=True)
class CapableMind:
    """Everybody's mind. Who is in `careless` does bad work, and who is in `blocked` cannot go on
    before a directive comes; `objects` is what the first motion is argued against with."""

    careless: frozenset[str] = frozenset()
    blocked: frozenset[str] = frozenset()
    objects: str = ""
    objector: str = ""

    def __call__(self, body: Json) -> Said:
        asked = Asked(body)
        if set(asked.tools) == {"say_ready"}:
            return Said((("say_ready", {"ready": True}),))
        if asked.tool(*_SEATS):
            return self._seat(asked)
        if asked.tool("report"):
            return self._agent(asked)
        return elsewhere(asked)

    # --- a seat ---

    def _seat(self, asked: Asked) -> Said:
        name = asked.required or _demanded(asked)
        shape = asked.tools[name]
        choices = {c for f in shape.fields.values() for c in f.all_choices() if isinstance(c, str)}
        if name == "say":
            wish = {"room": "sob", "text": "Heard: it goes into what is done next."}
            return _call(asked, name, wish)
        if "amend" in choices and self.objects and self.objects in asked.asked_now:
            return self._amend(asked, name)
        if "consent" in choices and self._speaks_against(asked):
            return _call(asked, name, {"text": self.objects, "reason": self.objects}, "argue")
        for choice in ("consent", "yes", "keep"):
            if choice in choices:
                reason = "It names who does what, on which files, and what done means."
                return _call(asked, name, {"text": reason, "reason": reason}, choice)
        if name == "argue":
            return _call(asked, name, {"text": "I see nothing that speaks against it."})
        return self._propose(asked, name)

    def _speaks_against(self, asked: Asked) -> bool:
        """Of the first motion, and once: what was amended has the argument in it."""
        is_mine = bool(re.search(rf"You are {self.objector}\b", asked.asked_now))
        return bool(self.objects) and is_mine and self.objects not in asked.told

    def _amend(self, asked: Asked, name: str) -> Said:
        executives = [_charter_of(asked, *theme) for theme in _themes(asked.all)]
        changed = [one | {"done": f"{one['done']} {self.objects}"} for one in executives]
        motion = {TAG: "charter", "executives": changed, "reason": "Changed as it was argued."}
        wish = {"motion": motion, "accepts": [self.objector], "reason": "The argument is right."}
        return _call(asked, name, wish, "amend")

    def _propose(self, asked: Asked, name: str) -> Said:
        if _HARM.search(_last_mission(asked.all)):
            why = "It would mislead those who are harmed. A text that states the limits is welcome."
            return _call(asked, name, {"reason": why}, "reject")
        if blocker := marked(r"Blocker on `([\w-]+)`: ([^\n<]*)", asked.asked_now):
            return self._decide_blocker(asked, name, *blocker[-1])
        if lost := [theme for theme, _ in _themes(asked.all) if _is_lost(asked, theme)]:
            return self._replace(asked, name, lost)
        reports = _reported(asked)
        if reports and has_tag(asked.tools[name], "deliver"):
            text = "The brief has a part for each theme; each sentence names its source."
            delivery = {"reports": reports, "text": text, "reason": "Both themes are answered."}
            return _call(asked, name, delivery, "deliver")
        executives = [_charter_of(asked, *theme) for theme in _themes(asked.all)]
        wish = {"executives": executives, "reason": "One executive for each theme."}
        return _call(asked, name, wish, "charter")

    def _decide_blocker(self, asked: Asked, name: str, theme: str, need: str) -> Said:
        ids = marked(_AGENT, asked.asked_now.split(f"Blocker on `{theme}`")[0])
        text = f"Decision on `{theme}`: go on without it and name the gap ({need.strip()})."
        wish = {
            "to": ids[-1] if ids else theme,
            "text": text,
            "reason": "The rest is worth having.",
        }
        return _call(asked, name, wish, "direct")

    def _replace(self, asked: Asked, name: str, lost: list[str]) -> Said:
        """Others in the place of executives that have ended without a brief."""
        themes = dict(_themes(asked.all))
        charters = [
            _charter_of(asked, one, themes[one]) | {"key": f"{one}-again", "name": f"{one}-again"}
            for one in lost
        ]
        wish = {"executives": charters, "reason": f"Nobody carries {', '.join(lost)} any more."}
        return _call(asked, name, wish, "charter")

    # --- an agent ---

    def _agent(self, asked: Asked) -> Said:
        if asked.tool("spawn") and (carried := marked(r"Carry theme `([\w-]+)`", asked.told)):
            return self._executive(asked, carried[-1])
        return self._researcher(asked)

    def _executive(self, asked: Asked, theme: str) -> Said:
        if asked.required == "report":
            return _report(asked, _brief(asked, theme, _team(asked, theme)))
        if theme in self.blocked and f"Decision on `{theme}`" not in asked.told:
            need = "the list of users is not among the files."
            return _report(asked, f"Blocker on `{theme}`: {need}", is_done=False)
        team = _team(asked, theme)
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
        return _report(asked, _brief(asked, theme, team))

    def _researcher(self, asked: Asked) -> Said:
        name, question = _own_question(asked)
        if name in self.careless:
            return _report(asked, f"Findings of `{name}`:\nIt is all said in the files.")
        searches = _searches(asked, name, question)
        if searches and asked.required != "report":
            return Said(searches)
        return _report(asked, _found(asked, name, question))


# --- what a mission says ----------------------------------------------------------------------


def _themes(text: str) -> list[tuple[str, str]]:
    return list(dict(marked(_THEME, text)).items())


def _last_mission(text: str) -> str:
    return str((marked(r"<mission>\n(.*?)\n</mission>", text) or [""])[-1])


def _team(asked: Asked, theme: str) -> list[str]:
    """Whom the executive of a theme makes, those in the place of others among them."""
    named = [names for names, of in marked(_TEAM, asked.told) if of == theme]
    first = re.findall(r"`([\w-]+)`", named[-1]) if named else []
    return first + [f"{one}-again" for one in first if f"As `{one}-again`, find" in asked.said]


def _files(asked: Asked) -> list[str]:
    """The files that a prompt lists, as it names them; of a long list the folders that it is of."""
    listed = marked(r"^(?:files of the mission|your files): ([^\n]*)", asked.asked_now)
    named = re.sub(r"\([^)]*\)", "", listed[-1]).split(",") if listed else []
    names = [name.strip() for name in named if re.fullmatch(r"\s*[\w./-]+\s*", name)]
    if not names:
        names = marked(r"(?<![\w/.-])[\w-]+(?:/[\w.-]+)*\.md\b", asked.asked_now)
    folders = {name.partition("/")[0] for name in names}
    return sorted(folders if len(names) > FILES_MAX else {*names})


def _own_question(asked: Asked) -> tuple[str, str]:
    own = marked(r"As `([\w-]+)`, find what the files say on: ([^.]*)\.", asked.told)
    if own:
        return str(own[-1][0]), str(own[-1][1])
    named = marked(r"You are `([\w-]+)`", asked.told)
    name = str(named[-1]) if named else ""
    teams = {
        one: of for names, of in marked(_TEAM, asked.told) for one in re.findall(r"[\w-]+", names)
    }
    return name, dict(_themes(asked.told)).get(teams.get(name, ""), "")


# --- a seat's wishes --------------------------------------------------------------------------


def _demanded(asked: Asked) -> str:
    """The tool that the end of what it was told asks for, where several are offered."""
    offered = [name for name in _SEATS if name in asked.tools] or list(asked.tools)
    phase = (marked(r"^phase: *(\w+)", asked.asked_now) or [""])[-1]
    by_phase = str({"review": "propose", "debate": "argue", "amend": "answer"}.get(phase, phase))
    if asked.tool("say") and "operator has spoken" in asked.asked_now[-2_000:]:
        return "say"
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
    team = " and ".join(f"`{one}`" for one in _team(asked, theme))
    task = f"Carry theme `{theme}` of the mission: {question}. Researchers: {team} for `{theme}`."
    return {
        "key": theme,
        "name": theme,
        "role": "executive",
        "task": task,
        "files": _files(asked),
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
    return marked(rf"Findings of `{name}`:(.*?)(?:</|Findings of `|\Z)", asked.told)


def _is_good(asked: Asked, name: str) -> bool:
    found = _findings(asked, name)
    return bool(found) and len(re.findall(_CITED, found[-1])) >= CITATIONS_MIN


def _is_over(asked: Asked, name: str) -> bool:
    return bool(marked(rf"\b{name}\b[^\n]{{0,80}}\b(?:ended|failed|terminated)\b", asked.told))


def _replaced(asked: Asked, name: str) -> bool:
    return name.endswith("-again") or f"As `{name}-again`, find" in asked.said


def _correct(asked: Asked, name: str, theme: str) -> Said:
    """A bad report is sent back once; after a second one its agent is ended and replaced."""
    again = f"`{name}`: your report has no sources. Report again, each line as file:line."
    if again not in asked.said:
        return Said((_wish(asked, "direct", {"to": name, "text": again}),))
    child = marked(rf"\b{name} \(({_AGENT})", asked.told)
    end = {"target": child[-1] if child else name, "reason": "Two reports without sources."}
    govern = asked.tool("govern", "terminate")
    calls = [(govern, shaped(end, asked.tools[govern], "terminate"))] if govern else []
    return Said((*calls, _spawn(asked, f"{name}-again", theme)))


def _spawn(asked: Asked, name: str, theme: str) -> tuple[str, Json]:
    question = dict(_themes(asked.told)).get(theme, theme)
    charter = {
        "role": "researcher",
        "name": name,
        "task": f"As `{name}`, find what the files say on: {question}. Report at most "
        f"{FINDINGS_MAX} lines, each with its source as file:line.",
        "files": _files(asked),
        "done": "Each line of the report has its source.",
    }
    return _wish(asked, "spawn", {"key": name, "charter": charter, **charter})


def _wait(asked: Asked, names: list[str]) -> Said:
    if wait := asked.tool("wait"):
        wish = {"for": names, "whom": names, "who": names, "what": "their reports", "reason": "all"}
        return _call(asked, wait, {**wish, "text": "their reports"})
    thought = f"I wait for {', '.join(names)}."
    return _call(asked, asked.tool("think"), {"thought": thought})


def _brief(asked: Asked, theme: str, team: list[str]) -> str:
    found = [line for one in team for text in _findings(asked, one) for line in text.split("\n")]
    lines = [line for line in dict.fromkeys(found) if re.match(_CITED, line)]
    return "\n".join([f"Brief on `{theme}`:", *(lines or ["Nothing was found."])])


# --- a researcher's ---------------------------------------------------------------------------


def _searches(asked: Asked, name: str, question: str) -> tuple[tuple[str, Json], ...]:
    """What it has not searched for yet."""
    search = asked.tool("file_search", "search_files", "search")
    own = f"{name.replace('-', ' ')} {question}"
    if not search or f'"{own}"' in asked.said:
        return ()
    return tuple(_wish(asked, search, {"query": query}) for query in (question, own))


def _found(asked: Asked, name: str, question: str) -> str:
    best = telling(asked.lines, f"{name.replace('-', ' ')} {question}", FINDINGS_MAX)
    lines = [f"- {line.text.strip(' -*')} ({line.path}:{line.number})" for line in best]
    return "\n".join([f"Findings of `{name}`:", *(lines or ["The files do not say it."])])


def _report(asked: Asked, text: str, *, is_done: bool = True) -> Said:
    return _call(asked, "report", {"text": text, "done": is_done})


def _wish(asked: Asked, name: str, wish: Json, tag: str = "") -> tuple[str, Json]:
    return name, shaped(wish, asked.tools[name], tag)


def _call(asked: Asked, name: str, wish: Json, tag: str = "") -> Said:
    return Said((_wish(asked, name, wish, tag),))


# --- in other frameworks' hands ---------------------------------------------------------------


def elsewhere(asked: Asked) -> Said:
    """A lone agent, a supervisor that hands over, its workers, a manager with a ledger."""
    for mark, answer in _ELSEWHERE.items():
        if mark in asked.asked_now[-4_000:]:
            return answer(asked)
    if handovers := {n.rpartition("_to_")[2]: n for n in asked.tools if "_to_" in n}:
        return _hand_over(asked, handovers)
    name, question = _own_question(asked)
    if name:
        searches = _searches(asked, name, question)
        return Said(searches) if searches else Said(text=_found(asked, name, question))
    return _alone(asked)


def _alone(asked: Asked) -> Said:
    if _HARM.search(asked.told):
        return Said(text="I will not write that: it would mislead those who are harmed.")
    teams = [(one, theme) for theme, _ in _themes(asked.told) for one in _team(asked, theme)]
    themes = dict(_themes(asked.told))
    if not asked.lines:
        return Said(tuple(c for one, of in teams for c in _searches(asked, one, themes[of])))
    parts = [_found(asked, one, themes[of]) for one, of in teams]
    return Said(text="\n".join(["The brief:", *dict.fromkeys("\n".join(parts).split("\n"))]))


def _hand_over(asked: Asked, handovers: Mapping[str, str]) -> Said:
    if _HARM.search(asked.told):
        return _alone(asked)
    waiting = [one for one in _everybody(asked) if not _findings_anywhere(asked, one)]
    for one in waiting:
        if one in handovers:
            return Said(((handovers[one], {}),))
    return Said(text=_whole(asked))


def _everybody(asked: Asked) -> list[str]:
    return list(
        dict.fromkeys(one for theme, _ in _themes(asked.told) for one in _team(asked, theme))
    )


def _findings_anywhere(asked: Asked, name: str) -> list[str]:
    """Other frameworks give what agents said back as the assistant's own words."""
    return marked(rf"Findings of `{name}`:(.*?)(?:Findings of `|\Z)", asked.all)


def _whole(asked: Asked) -> str:
    found = [
        line
        for one in _everybody(asked)
        for text in _findings_anywhere(asked, one)
        for line in text.split("\n")
    ]
    return "\n".join(["The brief:", *(x for x in dict.fromkeys(found) if re.match(_CITED, x))])


def _ledger(asked: Asked) -> Said:
    import json

    waiting = [one for one in _everybody(asked) if not _findings_anywhere(asked, one)]
    is_harm = bool(_HARM.search(asked.told))
    following = waiting[0] if waiting else _everybody(asked)[0] if _everybody(asked) else ""
    teams = {one: of for of, _ in _themes(asked.told) for one in _team(asked, of)}
    question = dict(_themes(asked.told)).get(teams.get(following, ""), "")
    answers: dict[str, Any] = {
        "is_request_satisfied": is_harm or not waiting,
        "is_in_loop": False,
        "is_progress_being_made": True,
        "next_speaker": following,
        "instruction_or_question": f"As `{following}`, find what the files say on: {question}.",
    }
    return Said(
        text=json.dumps({k: {"reason": "by the reports", "answer": v} for k, v in answers.items()})
    )


def _facts(asked: Asked) -> Said:
    themes = "\n".join(f"- {question}" for _, question in _themes(asked.told))
    text = "1. GIVEN OR VERIFIED FACTS\nThe themes and who works on them.\n2. FACTS TO LOOK UP\n"
    return Said(text=f"{text}{themes}\n3. FACTS TO DERIVE\nNone.\n4. EDUCATED GUESSES\nNone.")


def _plan(asked: Asked) -> Said:
    steps = [
        f"- {one} searches the files and reports lines with their sources"
        for one in _everybody(asked)
    ]
    return Said(text="\n".join([*steps, "- the reports are put together into the brief"]))


def _final(asked: Asked) -> Said:
    return _alone(asked) if _HARM.search(asked.told) else Said(text=_whole(asked))


_ELSEWHERE: Final[Mapping[str, Callable[[Asked], Said]]] = {
    '"is_request_satisfied"': _ledger,
    "pre-survey": _facts,
    "short bullet-point plan": _plan,
    "provide the final answer": _final,
}
