"""What a mission of themes and researchers says, and the work that it asks for, whoever gives it out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from tests.minds.reading import Asked, marked, telling
from tests.minds.shapes import Json, shaped

FINDINGS_MAX: Final = 7
FILES_MAX: Final = 20  # that it writes out one by one
CITATIONS_MIN: Final = 3  # of a report that is worth its cost
HARM: Final = re.compile(r"\b(hides?|conceals?|misleads?|deceives?)\b", re.IGNORECASE)
CITED: Final = r"- .*\([\w./-]+:\d+\)"
_THEME: Final = r"[Tt]heme `([\w-]+)`: ([^.]*)\."
_FIND: Final = r"As `([\w-]+)`, find what the files say on: ([^.]*)\."
_TEAM: Final = r"((?:`[\w-]+`(?:, | and )?)+) for `([\w-]+)`"


@dataclass(frozen=True, slots=True)
class Said:
    """An answer: calls of tools, by name, or a text."""

    calls: tuple[tuple[str, Json], ...] = ()
    text: str = ""


# --- what a mission says ----------------------------------------------------------------------


def themes_of(text: str) -> list[tuple[str, str]]:
    return list(dict(marked(_THEME, text)).items())


def last_mission(text: str) -> str:
    return str((marked(r"<mission>\n(.*?)\n</mission>", text) or [""])[-1])


def team_of(asked: Asked, theme: str) -> list[str]:
    """Whom the executive of a theme makes, those in the place of others among them."""
    named = [names for names, of in marked(_TEAM, asked.told) if of == theme]
    first = re.findall(r"`([\w-]+)`", named[-1]) if named else []
    return first + [f"{one}-again" for one in first if f"As `{one}-again`, find" in asked.said]


def files_of(asked: Asked) -> list[str]:
    """The files that a prompt lists, as it names them; of a long list the folders that it is of."""
    listed = marked(r"^(?:files of the mission|your files)[^:\n]*: ([^\n]*)", asked.told)
    named = re.sub(r"\([^)]*\)", "", listed[-1]).split(",") if listed else []
    names = [name.strip() for name in named if re.fullmatch(r"\s*[\w./-]+\s*", name)]
    if not names:
        names = marked(r"(?<![\w/.-])[\w-]+(?:/[\w.-]+)*\.md\b", asked.asked_now)
    folders = {name.partition("/")[0] for name in names}
    return sorted(folders if len(names) > FILES_MAX else {*names})


def charged(asked: Asked) -> tuple[str, str] | None:
    """A researcher's name and what it is to find out, by its charter, which is told first: what its
    colleagues are to find out is named after it."""
    name, question = next(iter(marked(_FIND, asked.told)), ("", ""))
    return (str(name), str(question)) if name else None


def own_question(asked: Asked, told: str = "") -> tuple[str, str]:
    """The same by the last that told it so: elsewhere one researcher stands in for another."""
    if own := marked(_FIND, told or asked.told):
        return str(own[-1][0]), str(own[-1][1])
    named = marked(r"You are `([\w-]+)`", asked.told)
    name = str(named[-1]) if named else ""
    teams = {
        one: of for names, of in marked(_TEAM, asked.told) for one in re.findall(r"[\w-]+", names)
    }
    return name, dict(themes_of(asked.told)).get(teams.get(name, ""), "")


# --- a researcher's ---------------------------------------------------------------------------


def searches_for(asked: Asked, name: str, question: str) -> tuple[tuple[str, Json], ...]:
    """What it has not searched for yet."""
    search = asked.tool("file_search", "search_files", "search")
    own = f"{name.replace('-', ' ')} {question}"
    if not search or f'"{own}"' in asked.said:
        return ()
    return tuple(wished(asked, search, {"query": query}) for query in (question, own))


def findings_of(asked: Asked, name: str, question: str) -> str:
    best = telling(asked.lines, f"{name.replace('-', ' ')} {question}", FINDINGS_MAX)
    lines = [f"- {line.text.strip(' -*')} ({line.path}:{line.number})" for line in best]
    return "\n".join([f"Findings of `{name}`:", *(lines or ["The files do not say it."])])


def reported(asked: Asked, text: str, *, is_done: bool = True) -> Said:
    return called(asked, "report", {"text": text, "done": is_done})


def wished(asked: Asked, name: str, wish: Json, tag: str = "") -> tuple[str, Json]:
    return name, shaped(wish, asked.tools[name], tag)


def called(asked: Asked, name: str, wish: Json, tag: str = "") -> Said:
    return Said((wished(asked, name, wish, tag),))


def uncited(name: str) -> str:
    """A bad report."""
    return f"Findings of `{name}`:\nIt is all said in the files."
