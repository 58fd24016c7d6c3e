"""What the bus does not carry, whatever an agent's model wants: floods, repetitions, talk without
end. Pure.

Looked at outside any model, when a turn is committed. A cut message is not sent, its sender
remembers why, whoever should have had it is told once, and the journal has the fact. Who goes on
all the same is given up. What ends an agent's part (its final report, word of its own failure)
always passes: no loop goes on from these. Seats are not looked at: the clerk calls them, one at a
time and so many times.

A `Guard` is what has to be remembered from turn to turn. It is part of the agent's own state,
committed with the turn, so that neither a restart nor a take-over begins it anew, and bounded,
whatever the agent does.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Final

from swarmd.core.agent.turn import Output, is_last_word
from swarmd.core.model.declarations import Limits
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import Channel
from swarmd.core.model.refusals import Rule

# To whom an agent spoke lately, as far as repetitions are counted: more than it has children by
# default.
EDGES_MAX: Final = 32
# So many turns in a row of which something was cut are let pass; with one more the agent is given
# up.
CUTS_MAX: Final = 3

_MINUTE: Final = 60
_TALK: Final = frozenset({Kind.SAY, Kind.DIRECTIVE, Kind.REPORT})
# What may stand around a text that is the same for all that: "go on!", "Go on …"
_compact: Final = json.JSONEncoder(separators=(",", ":")).encode
_AROUND: Final = " \t\n.!?,;:…'\"`*_()[]"


@dataclass(frozen=True, slots=True)
class Edge:
    """From the agent to one channel and recipient: the last text and how often in a row it was
    said there.
    """

    edge: str
    text: str
    row: int
    told: tuple[Rule, ...] = ()  # what was cut here, and the recipient knows


@dataclass(frozen=True, slots=True)
class Guard:
    """What is remembered of one agent. `sent` has the seconds (since the epoch) of the last
    minute in which it sent.
    """

    sent: tuple[tuple[int, int], ...] = ()
    edges: tuple[Edge, ...] = ()  # the one used last comes last
    chatter: int = 0  # turns in a row that only talked
    cuts: int = 0  # turns in a row of which something was cut

    def to_text(self) -> str:
        """As the agent's state keeps it; empty where there is nothing to remember."""
        if self == NO_GUARD:
            return ""
        edges = [(e.edge, e.text, e.row, e.told) for e in self.edges]
        facts = {
            "v": 1,
            "sent": self.sent,
            "edges": edges,
            "chatter": self.chatter,
            "cuts": self.cuts,
        }
        return _compact(facts)


NO_GUARD: Final = Guard()


def guard_of(text: str) -> Guard:
    """What cannot be read is as if nothing had been: an agent must not end for it."""
    if not text:
        return NO_GUARD
    try:
        facts = json.loads(text)
        return Guard(
            tuple((int(at), int(count)) for at, count in facts["sent"]),
            tuple(
                Edge(e, t, int(row), tuple(map(Rule, told))) for e, t, row, told in facts["edges"]
            ),
            int(facts["chatter"]),
            int(facts["cuts"]),
        )
    except (ValueError, KeyError, TypeError):
        return NO_GUARD


@dataclass(frozen=True, slots=True)
class Cut:
    """Messages to one recipient that were not sent. `is_news`: it is to be told of them."""

    channel: Channel
    to: str
    rule: Rule
    detail: str
    count: int
    hops: int
    is_news: bool


@dataclass(frozen=True, slots=True)
class Judged:
    """What of a turn is sent, what is not, and what is remembered. `gives_up`: the rule that the
    agent fails by.
    """

    passed: tuple[Output, ...]
    cuts: tuple[Cut, ...]
    guard: Guard
    gives_up: Rule | None = None


def judge(
    guard: Guard, outputs: Sequence[Output], *, has_used: bool, now: float, limits: Limits
) -> Judged:
    """A turn's outputs; `has_used` where it used a function. `now` is in seconds since the
    epoch.
    """
    judging = _Judging(guard, limits, int(now))
    is_talk = not has_used and bool(outputs) and all(_is_talk(message) for _, message in outputs)
    if is_talk:
        judging.chatter += 1
    elif has_used or outputs:
        judging.get_on()
    for output in outputs:
        judging.look_at(output)
    return judging.judged(is_silent=not (has_used or outputs))


def _is_talk(message: Message) -> bool:
    return message.kind in _TALK and not is_last_word(message)


@dataclass(slots=True)
class _Judging:
    """One turn's judgement in the making."""

    guard: Guard
    limits: Limits
    second: int
    chatter: int = field(init=False)
    sent: dict[int, int] = field(init=False)
    edges: dict[str, Edge] = field(init=False)
    passed: list[Output] = field(default_factory=list)
    cuts: dict[tuple[Channel, str, Rule], Cut] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.chatter = self.guard.chatter
        # A second that began 61 s ago ended within the minute. What lies ahead was said by another
        # host's clock.
        since, until = self.second - _MINUTE, self.second + _MINUTE
        self.sent = {at: count for at, count in self.guard.sent if since <= at <= until}
        self.edges = {edge.edge: edge for edge in self.guard.edges}

    def get_on(self) -> None:
        """It did something: the row of turns that only talked is over, for whoever was told of
        it too.
        """
        self.chatter = 0
        self._forget_told(Rule.NO_PROGRESS)

    def look_at(self, output: Output) -> None:
        channel, message = output
        if is_last_word(message):
            self.passed.append(output)
            return
        key = _digest(channel, message.to)
        self._count_row(key, _digest(_same(message)))
        no = self._no(key, message)
        if no is None:
            self.sent[self.second] = self.sent.get(self.second, 0) + 1
            self.passed.append(output)
        else:
            self._cut(key, channel, message, *no)

    def _count_row(self, key: str, text: str) -> None:
        before = self.edges.pop(key, Edge(key, "", 0))
        if before.text == text:
            self.edges[key] = replace(before, row=before.row + 1)
        else:
            told = tuple(rule for rule in before.told if rule is not Rule.REPEAT)
            self.edges[key] = Edge(key, text, 1, told)

    def _no(self, key: str, message: Message) -> tuple[Rule, str] | None:
        limits, row = self.limits, self.edges[key].row
        if self.chatter > limits.chatter_max and _is_talk(message):
            return Rule.NO_PROGRESS, f"{limits.chatter_max} turns in a row that only talked"
        if row > limits.repeats_max:
            return Rule.REPEAT, f"the same text more than {limits.repeats_max} times in a row"
        if sum(self.sent.values()) >= limits.messages_per_minute:
            return Rule.RATE, f"more than {limits.messages_per_minute} messages in a minute"
        return None

    def _cut(self, key: str, channel: Channel, message: Message, rule: Rule, detail: str) -> None:
        which = (channel, message.to, rule)
        before = self.cuts.get(which)
        if before is not None:
            self.cuts[which] = replace(before, count=before.count + 1)
            return
        is_news = self._note_told(key, rule)
        self.cuts[which] = Cut(channel, message.to, rule, detail, 1, message.hops, is_news)

    def _note_told(self, key: str, rule: Rule) -> bool:
        """Is it news to whom the messages were for that some are cut by this rule?"""
        edge = self.edges[key]
        if rule in edge.told:
            return False
        self.edges[key] = replace(edge, told=(*edge.told, rule))
        return True

    def _forget_told(self, rule: Rule) -> None:
        for key, edge in self.edges.items():
            if rule in edge.told:
                self.edges[key] = replace(
                    edge, told=tuple(told for told in edge.told if told is not rule)
                )

    def judged(self, *, is_silent: bool) -> Judged:
        rules = [rule for _, _, rule in self.cuts]
        if Rule.RATE not in rules and not is_silent:
            self._forget_told(Rule.RATE)
        guard = self._guard_after(is_cut=bool(rules), is_silent=is_silent)
        gives_up = rules[0] if rules and guard.cuts > CUTS_MAX else None
        return Judged(tuple(self.passed), tuple(self.cuts.values()), guard, gives_up)

    def _guard_after(self, *, is_cut: bool, is_silent: bool) -> Guard:
        # Who is silent has neither gone on nor bettered itself.
        cuts = self.guard.cuts + is_cut if is_cut or is_silent else 0
        edges = tuple(self.edges.values())[-EDGES_MAX:]
        return Guard(tuple(sorted(self.sent.items())), edges, self.chatter, cuts)


def _same(message: Message) -> str:
    """What two messages have in common that say the same: case, spaces and what stands around do
    not count.

    A request is its data; the key of a spawn names nothing but the request.
    """
    if message.kind is Kind.REQUEST:
        return json.dumps({k: v for k, v in message.data.items() if k != "key"}, sort_keys=True)
    words = " ".join(unicodedata.normalize("NFKC", message.text).casefold().split())
    return words.strip(_AROUND) or words


def _digest(*parts: str) -> str:
    return blake2b("\0".join(parts).encode("utf-8", "replace"), digest_size=8).hexdigest()
