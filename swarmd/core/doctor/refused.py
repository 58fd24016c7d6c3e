"""Modes that show in what the law refused. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from itertools import combinations
from typing import Final

from swarmd.core.doctor.findings import Finding, of_refusals
from swarmd.core.doctor.history import History, Refusal
from swarmd.core.model.corrections import NOT_FINISHED, ROLE_RULES
from swarmd.core.model.refusals import Rule

# Of the last two no release writes any more: they counted equal texts, and turns that only talked.
NO_CHANGE: Final = frozenset({Rule.NO_PROGRESS.value, "bus.repeat"})
FLOOD: Final = frozenset({Rule.RATE.value})
VACUOUS: Final = frozenset({Rule.SPAWN_CHECKS.value})
# Refusals of one agent by one rule: one or two are trying what is allowed.
REFUSALS_MIN: Final = 3

_TURNS: Final = re.compile(r"(\d{1,4}) turns in a row")
_TO: Final = re.compile(r"to (\S+): ")


def repetition(history: History) -> Iterator[Finding]:
    """Turns in a row that changed nothing, as the bus cut them."""
    for episode in _episodes(history, NO_CHANGE):
        turns = set[int]()
        for one in episode:
            found = _TURNS.search(one.detail)
            before = int(found[1]) if found else 1
            turns |= set(range(one.turn - before + 1, one.turn + 1))
        yield of_refusals(history, episode, episode[-1].detail, turns)


def flood(history: History) -> Iterator[Finding]:
    """More messages in a minute than may be."""
    for episode in _episodes(history, FLOOD):
        yield of_refusals(history, episode, episode[0].detail)


def ping_pong(history: History) -> Iterator[Finding]:
    """Two agents that were cut while they spoke to each other, or in one room; and whoever the
    chain of turns ended.
    """
    cut = {episode[0].agent: episode for episode in _episodes(history, NO_CHANGE)}
    for one, other in combinations(cut.values(), 2):
        if _speak_to_each_other(one, other):
            with_whom = f"with {history.name_of(other[0].agent)}"
            turns = {refusal.turn for refusal in one}
            yield of_refusals(history, [*one, *other], with_whom, turns)
    for episode in _episodes(history, {Rule.HOPS.value}):
        yield of_refusals(history, episode, episode[0].detail)


def _speak_to_each_other(one: list[Refusal], other: list[Refusal]) -> bool:
    to_one, to_other = _recipients(other), _recipients(one)
    is_answered = one[0].agent in to_one and other[0].agent in to_other
    return is_answered or bool(to_one & to_other)


def premature_end(history: History) -> Iterator[Finding]:
    """Hand-ins that were not taken, by the rule."""
    for refusals in _by_agent_and_rule(history, NOT_FINISHED):
        yield of_refusals(history, refusals, f"{refusals[-1].rule}: {refusals[-1].detail}")


def vacuous_checks(history: History) -> Iterator[Finding]:
    """Sets of checks that would take anything."""
    for refusals in _by_agent_and_rule(history, VACUOUS):
        yield of_refusals(history, refusals, f"{refusals[-1].rule}: {refusals[-1].detail}")


def role_disobeyed(history: History) -> Iterator[Finding]:
    """One rule that refused an agent again and again."""
    for refusals in _by_agent_and_rule(history, ROLE_RULES):
        if sum(one.count for one in refusals) >= REFUSALS_MIN:
            yield of_refusals(history, refusals, f"{refusals[-1].rule}: {refusals[-1].detail}")


def _recipients(episode: list[Refusal]) -> set[str]:
    """Whom it spoke to: an agent, or a room."""
    return {name for one in episode for name in _TO.findall(one.detail)[:1] if name != "*"}


def _by_agent_and_rule(history: History, rules: Collection[str]) -> Iterator[list[Refusal]]:
    found: dict[tuple[str, str], list[Refusal]] = {}
    for one in history.refusals:
        if one.rule in rules and one.agent in history.members:
            found.setdefault((one.agent, one.rule), []).append(one)
    yield from found.values()


def _episodes(history: History, rules: Collection[str]) -> Iterator[list[Refusal]]:
    """What befell one agent in turns that follow one another, a silent one between them or none."""
    for refusals in _by_agent_and_rule(history, rules):
        episode = list[Refusal]()
        for one in refusals:
            if episode and one.turn > episode[-1].turn + 2:
                yield episode
                episode = []
            episode.append(one)
        yield episode
