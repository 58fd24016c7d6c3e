"""Where two runs of one mission differ: in decisions, in the tree, in what was spent. Pure."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Final, Literal

from swarmd.core.journal.script import Decision, Labels, Script, asked_lines
from swarmd.core.model.events import JournalEvent

# Of a text that differs, so much is shown from where it does.
SHOWN_CHARS: Final = 120
_NOTHING: Final = "nothing"

# A `question` alone is none of these: what a model is told of an instant may be another one.
Kind = Literal["answer", "call", "question", "motion", "tree", "decision", "spent"]


@dataclass(frozen=True, slots=True)
class Difference:
    """`where` names a call, an entry or an agent; the other two are what stands there in the record
    and what the replay made.
    """

    kind: Kind
    where: str
    recorded: str
    seen: str


def changed_answers(script: Script) -> Iterator[Difference]:
    """Answers that are not those that were recorded: they have another digest."""
    for call in script.calls():
        if not call.is_whole:
            label = script.labels.of(call.agent)
            yield Difference(
                "answer",
                f"call {call.name} ({label}, {call.what})",
                "an answer of another digest",
                excerpt(script.labels.in_words(call.text or "")),
            )


def first_line(
    recorded: Any, labels: Labels, seen: Any, seen_labels: Labels
) -> tuple[str, str] | None:
    """The first line of what a call is made with that only one of the runs has; `None` where both
    have the same lines. Messages that came within the same moment may stand in another order.
    """
    before, now = asked_lines(recorded, labels), asked_lines(seen, seen_labels)
    gone, come = _only_in(before, now), _only_in(now, before)
    return from_first(gone, come) if gone or come else None


def _only_in(lines: Sequence[str], others: Sequence[str]) -> str:
    """The first line that the others lack; empty where there is none."""
    known = Counter(map(_words, lines)) - Counter(map(_words, others))
    return next((line for line in lines if _words(line) in known), "")


def _words(text: str) -> tuple[str, ...]:
    """Of an enumeration the order is who was first by a moment."""
    return tuple(sorted(re.findall(r"\w+", text)))


def from_first(one: str, other: str) -> tuple[str, str]:
    """Both texts from a little before the place where they part."""
    pairs = zip(one, other, strict=False)
    place = next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
    start = max(0, place - SHOWN_CHARS // 3)
    return excerpt(one[start:]), excerpt(other[start:])


def excerpt(text: str) -> str:
    line = " ".join(text.split())
    return (line if len(line) <= SHOWN_CHARS else line[: SHOWN_CHARS - 1] + "…") or _NOTHING


def outcome_differences(
    script: Script, seen: Sequence[Decision], labels: Labels, until: int | None
) -> list[Difference]:
    """Of each sequence of decisions the first that is another one; agents; what was spent. With
    `until` only what the record has up to that entry is compared.
    """
    before = [one for one in script.decisions if until is None or one.n <= until]
    found = [*_decided(before, script.labels, seen, labels, is_part=until is not None)]
    found += _trees(before, script.labels, seen, labels, is_part=until is not None)
    return found + (_spent(before, seen) if until is None else [])


# --- decisions --------------------------------------------------------------------------------


def subject_of(decision: Decision, labels: Labels) -> str:
    """Whose decisions are compared in their order: those of others may fall between them."""
    if _is_of_board(decision):
        return "the board"
    return labels.of(str(decision.data.get("agent") or decision.data.get("actor", "")))


def _is_of_board(decision: Decision) -> bool:
    return decision.event.startswith(("board.", "motion.", "seat.", "mission."))


def said_of(decision: Decision, labels: Labels) -> str:
    """A decision in words that are the same in every run."""
    rule = f" ({decision.data['rule']})" if decision.data.get("rule") else ""
    text = "" if rule else labels.neutral(decision.text)
    motion = decision.data.get("motion")
    more = f" {labels.neutral(json.dumps(motion, sort_keys=True))}" if motion else ""
    return f"{decision.event}{rule}: {text}{more}"


def _decided(
    before: Sequence[Decision],
    labels: Labels,
    seen: Sequence[Decision],
    seen_labels: Labels,
    *,
    is_part: bool,
) -> Iterator[Difference]:
    recorded, made = _by_subject(before, labels), _by_subject(seen, seen_labels)
    for subject in dict.fromkeys([*recorded, *made]):
        pairs = zip_longest(recorded.get(subject, ()), made.get(subject, ()))
        for one, other in pairs:
            if one is None and is_part:
                break
            before_said = "" if one is None else said_of(one, labels)
            now_said = "" if other is None else said_of(other, seen_labels)
            if _words(before_said) != _words(now_said):
                yield _of_pair(subject, one, before_said, now_said)
                break


def _of_pair(subject: str, one: Decision | None, before: str, now: str) -> Difference:
    place = "behind the last entry" if one is None else f"entry {one.n}"
    kind: Kind = "motion" if subject == "the board" else "decision"
    shown = from_first(before, now) if before and now else (excerpt(before), excerpt(now))
    return Difference(kind, f"{place}, {subject}", *shown)


def _by_subject(decisions: Sequence[Decision], labels: Labels) -> dict[str, list[Decision]]:
    found: dict[str, list[Decision]] = {}
    for decision in decisions:
        found.setdefault(subject_of(decision, labels), []).append(decision)
    return found


# --- the tree, and what was spent -------------------------------------------------------------

_OF_AN_AGENT: Final = ("role", "tier", "state", "reason")


def tree_of_run(decisions: Sequence[Decision], labels: Labels) -> dict[str, str]:
    """Each agent of a run by its label: role, tier, and the state in which it was last seen."""
    found: dict[str, dict[str, Any]] = {}
    for key, new in (one for decision in decisions for one in decision.data.get("effects", ())):
        kind, _, id = str(key).partition(":")
        if kind == "agent" and new and (id in found or "path" in new):
            found.setdefault(id, {}).update(new)
    return {labels.of(id): _agent_in_words(record, labels) for id, record in found.items()}


def _agent_in_words(record: Mapping[str, Any], labels: Labels) -> str:
    facts = {name: record[name] for name in _OF_AN_AGENT if record.get(name) not in (None, "")}
    # Placed a moment sooner or later.
    facts["state"] = "live" if facts.get("state") == "starting" else facts.get("state", "")
    return ", ".join(f"{name} {labels.neutral(str(one))}" for name, one in facts.items())


def _trees(
    before: Sequence[Decision],
    labels: Labels,
    seen: Sequence[Decision],
    seen_labels: Labels,
    *,
    is_part: bool,
) -> Iterator[Difference]:
    recorded, made = tree_of_run(before, labels), tree_of_run(seen, seen_labels)
    for label in dict.fromkeys([*recorded, *made]):
        one, other = recorded.get(label, _NOTHING), made.get(label, _NOTHING)
        if one != other and not (is_part and (one == _NOTHING or other != _NOTHING)):
            yield Difference("tree", label, one, other)


def _spent(before: Sequence[Decision], seen: Sequence[Decision]) -> list[Difference]:
    one, other = _spent_in(before), _spent_in(seen)
    return [] if one == other else [Difference("spent", "the mission", one, other)]


def _spent_in(decisions: Sequence[Decision]) -> str:
    ends = [one for one in decisions if one.event == JournalEvent.MISSION_ENDED]
    if not ends:
        return _NOTHING
    spent = ends[-1].data.get("spent", {})
    return ", ".join(f"{kind} {n}" for kind, n in sorted(spent.items()) if n) or _NOTHING
