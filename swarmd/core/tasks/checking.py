"""Whether the checks of a charter hold for what was handed in. Pure and deterministic: the same
texts give the same results, whoever looks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from swarmd.core.model.chain import canonical, sha256
from swarmd.core.model.checks import Check, number_text
from swarmd.core.model.json_schema import Schema, types_of
from swarmd.core.model.records import NO_CITATIONS, CheckResult, Citations
from swarmd.core.model.words import words_of
from swarmd.core.tasks.json_check import json_fault

# A number as people and programs write it; a comma parts thousands.
_NUMBER: Final = r"(-?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d{1,3})?)"
# Between a name and its number: a colon, an equals sign, marks of Markdown, a little space.
_BETWEEN: Final = r"[\s:=|*_`~≈]{1,12}"

# Files of a folder that are told with their numbers: each has a path of up to 512 characters.
UNEQUAL_SHOWN: Final = 8


@dataclass(frozen=True, slots=True)
class Artefact:
    """A text that is checked, and what the runtime found of its citations; or why there is none to
    check.
    """

    text: str = ""
    citations: Citations = NO_CITATIONS
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The bounded copy that is checked: the report, each file that a check names, and of a folder
    the texts of all its files.
    """

    report: Artefact
    files: Mapping[str, Artefact] = field(default_factory=dict)
    folders: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Of all that was checked: another text has another digest."""
        files = {name: sha256(one.text) for name, one in self.files.items()}
        folders = {
            name: {path: sha256(text) for path, text in texts.items()}
            for name, texts in self.folders.items()
        }
        return sha256(canonical([sha256(self.report.text), files, folders]))


def results_of(checks: Iterable[Check], evidence: Evidence) -> tuple[CheckResult, ...]:
    """Of each that is looked up, in its order: empty fault where it holds."""
    return tuple(
        CheckResult(check.text_form, _fault_of(check, evidence))
        for check in checks
        if check.is_looked_up
    )


def are_green(results: Iterable[CheckResult]) -> bool:
    return not any(result.fault for result in results)


def _fault_of(check: Check, evidence: Evidence) -> str:
    if not check.is_looked_up:
        return "nobody has answered"
    if check.kind == "equal_across":
        return _unequal(check, evidence.folders.get(check.file, {}))
    artefact = evidence.files[check.file] if check.file else evidence.report
    return artefact.fault or _FAULTS[check.kind](check, artefact)


# --- of one text --------------------------------------------------------------------------------


def _no_file(check: Check, artefact: Artefact) -> str:
    return "" if artefact.text.strip() else "it is empty"


def _words(check: Check, artefact: Artefact) -> str:
    """With how many are to go, for whoever writes the text again counts no words by itself."""
    found = words_of(artefact.text)
    fault = _outside(check, found, "words")
    if fault and check.most is not None and found > check.most:
        return f"{fault}, {number_text(found - check.most)} too many"
    return f"{fault}, {number_text((check.least or 0) - found)} too few" if fault else ""


def _contains(check: Check, artefact: Artefact) -> str:
    count = _plain(artefact.text).count(_plain(check.text))
    return _outside(check, count, "times", least=1)


def _cites(check: Check, artefact: Artefact) -> str:
    if artefact.citations.wrong:
        return "; ".join(artefact.citations.wrong)
    return _outside(check, artefact.citations.right, "citations", least=1)


def _metric(check: Check, artefact: Artefact) -> str:
    found = _number_after(check.text, artefact.text)
    return "no such number stands there" if found is None else _outside(check, found, "")


def _schema(check: Check, artefact: Artefact) -> str:
    return json_fault(artefact.text, check.json_schema)


_FAULTS: Final[Mapping[str, Callable[[Check, Artefact], str]]] = {
    "file": _no_file,
    "words": _words,
    "contains": _contains,
    "cites": _cites,
    "schema": _schema,
    "metric": _metric,
}


def _outside(check: Check, found: float, of: str, *, least: float | None = None) -> str:
    """Where the check names no bound, `least` is one."""
    if check.least is None and check.most is None:
        is_inside = least is None or found >= least
    else:
        is_inside = (check.least is None or found >= check.least) and (
            check.most is None or found <= check.most
        )
    return "" if is_inside else f"found {number_text(found)} {of}".rstrip()


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _number_after(name: str, text: str) -> float | None:
    """The last number that follows the name: what is said last is the result."""
    words = r"\s+".join(map(re.escape, name.casefold().split()))
    found = re.findall(rf"(?<!\w){words}{_BETWEEN}{_NUMBER}", text.casefold())
    return float(found[-1].replace(",", "")) if found else None


def _unequal(check: Check, texts: Mapping[str, str]) -> str:
    if len(texts) < (check.least or 2):
        return f"{len(texts)} files there"
    found = {path: _number_after(check.text, text) for path, text in sorted(texts.items())}
    if None not in found.values() and len(set(found.values())) == 1:
        return ""
    told = (
        f"{path}: {'none' if number is None else number_text(number)}"
        for path, number in list(found.items())[:UNEQUAL_SHOWN]
    )
    more = len(found) - UNEQUAL_SHOWN
    return "not the same: " + ", ".join(told) + (f" and {more} more" if more > 0 else "")


# --- vacuous sets -------------------------------------------------------------------------------

# A text of no task in particular: what holds for it says nothing about the task.
_FOREIGN: Final = (
    "Summary of the result. This is the report of the task: the work is done, and all of it was "
    "checked. In conclusion, the findings are complete and no problem is left. "
)


# Words of a sample. What takes so many words of another task takes more of them, too, and the
# supervisor waits while it is tried.
SAMPLE_WORDS_MAX: Final = 2_000


def vacuous(checks: Sequence[Check]) -> str:
    """What else the checks would take for the result: an empty text, a text of another task, or
    a part of it; where JSON is asked for, an empty one or one of another task. What holds in each
    place of what is handed in, in the report and in each file, is tried by itself. Empty where in
    one place they would take none of them, or where there are none.
    """
    if not checks:
        return ""
    by_place: dict[str, list[Check]] = {}
    for check in checks:
        by_place.setdefault(check.file, []).append(_as_tried(check))
    taken = [_taken(together) for together in by_place.values()]
    return " and ".join(dict.fromkeys(taken)) if all(taken) else ""


def _as_tried(check: Check) -> Check:
    """A sample is no longer than its bound, whatever length a check asks for."""
    if check.kind != "words" or check.least is None:
        return check
    return check.model_copy(update={"least": min(check.least, SAMPLE_WORDS_MAX)})


def _taken(checks: Sequence[Check]) -> str:
    """Which sample all of these checks of one place take; empty where they take none."""
    return next((what for what, text in _samples(checks) if _is_taken(checks, text)), "")


def _samples(checks: Sequence[Check]) -> Iterator[tuple[str, str]]:
    words = max((int(check.least or 0) for check in checks if check.kind == "words"), default=0)
    foreign = _FOREIGN * (1 + words // len(_FOREIGN.split()))
    if words:
        foreign = " ".join(foreign.split()[:words])
    yield "an empty text", ""
    yield "a text of another task", foreign
    yield "a text that breaks off", foreign[: len(foreign) // 2]
    for schema in (check.json_schema for check in checks if check.kind == "schema"):
        yield from (("an empty JSON", empty) for empty in ("{}", "[]", "null", '""'))
        yield "a JSON of another task", json.dumps(_of_another_task(schema, foreign))


def _of_another_task(schema: Schema, text: str) -> Any:
    """What fits a schema as far as it can without a name or a word of the schema."""
    match types_of(schema)[:1]:
        case ("array",):
            # Of many items each is short: the supervisor waits while they are tried.
            inner = _of_another_task(schema.get("items", {}), "done")
            return [inner] * max(1, schema.get("minItems", 0))
        case ("number" | "integer",):
            return schema.get("minimum", schema.get("maximum", 0))
        case ("boolean",):
            return True
        case ("null",):
            return None
        case ("string",):
            return text
        case _:
            row = {"name": "result", "status": "done", "text": text}
            return row if schema.get("additionalProperties", True) else {}


def _is_taken(checks: Sequence[Check], text: str) -> bool:
    names = {check.file for check in checks if check.file}
    sample = Artefact(text)
    evidence = Evidence(sample, dict.fromkeys(names, sample), {name: {} for name in names})
    return not any(_fault_of(check, evidence) for check in checks)
