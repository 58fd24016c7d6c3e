"""What the bus does not carry, whatever an agent's model wants: floods, and turns that change
nothing. Pure.

Looked at outside any model, when a turn is committed. A cut message is not sent, its sender
remembers why, whoever should have had it is told once, and the journal has the fact. Of turns that
change nothing the superior is told, too. Who goes on all the same is given up. What ends an agent's
part (its final report, word of its own failure) always passes: no loop goes on from these. Seats
are not looked at: the clerk calls them, one at a time and so many times.

A `Guard` is what has to be remembered from turn to turn. It is part of the agent's own state,
committed with the turn, so that neither a restart nor a take-over begins it anew, and bounded,
whatever the agent does.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field, replace
from hashlib import blake2b
from typing import Any, Final

from swarmd.core.agent.progress_vector import (
    NO_VECTOR,
    Moved,
    ProgressVector,
    TakenTurn,
    moved,
    stamped_unchanged,
)
from swarmd.core.agent.turn import Output, is_last_word
from swarmd.core.model.channels import up
from swarmd.core.model.declarations import Limits
from swarmd.core.model.names import AgentId, Channel
from swarmd.core.model.refusals import Rule

# Recipients that are remembered as told: more than an agent has children by default.
TOLD_MAX: Final = 32
# So many turns in a row of which something was cut are let pass; with one more the agent is given
# up.
CUTS_MAX: Final = 3

_MINUTE: Final = 60
_compact: Final = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Guard:
    """What is remembered of one agent. `sent` has the seconds (since the epoch) of the last
    minute in which it sent; `told` whom it is known that messages are cut, and by which rule.
    """

    sent: tuple[tuple[int, int], ...] = ()
    told: tuple[tuple[str, Rule], ...] = ()
    cuts: int = 0  # turns in a row of which something was cut
    vector: ProgressVector = NO_VECTOR

    def to_text(self) -> str:
        """As the agent's state keeps it; empty where there is nothing to remember."""
        if self == NO_GUARD:
            return ""
        facts = {"v": 2, "sent": self.sent, "told": self.told, "cuts": self.cuts}
        return _compact({**facts, "progress": astuple(self.vector)})


NO_GUARD: Final = Guard()


def guard_of(text: str) -> Guard:
    """What cannot be read is as if nothing had been: an agent must not end for it. A release that
    wrote no vector is gone on from as far as it counted the same.
    """
    if not text:
        return NO_GUARD
    try:
        facts = json.loads(text)
        return Guard(
            tuple((int(at), int(count)) for at, count in facts["sent"]),
            tuple((str(whom), Rule(rule)) for whom, rule in facts.get("told", ())),
            int(facts["cuts"]),
            _vector_of(facts.get("progress")),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return NO_GUARD


def _vector_of(facts: Any) -> ProgressVector:
    if facts is None:
        return NO_VECTOR
    calls, references, deeds, unchanged = facts
    return ProgressVector(str(calls), str(references), str(deeds), int(unchanged))


@dataclass(frozen=True, slots=True)
class Cut:
    """Messages to one recipient that were not sent. `is_news`: it is to be told of them. With a
    `count` of 0 its recipient is the superior, who is told of the turn and lacks no message of it.
    """

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
    guard: Guard, turn: TakenTurn, *, above: AgentId | None, hops: int, now: float, limits: Limits
) -> Judged:
    """One turn of an agent, whose superior is `above`. `now` is in seconds since the epoch."""
    after = moved(guard.vector, turn)
    judging, unchanged = _Judging(guard, limits, int(now), after), after.vector.unchanged
    outputs = turn.outputs if after.is_own else stamped_unchanged(turn.outputs)
    if after.is_idle and unchanged >= limits.unchanged_max:
        why = f"{unchanged} turns in a row changed nothing: {after.why}"
        judging.cut_all(outputs, why, above, hops)
    else:
        judging.look_at(outputs)
    return judging.judged()


@dataclass(slots=True)
class _Judging:
    """One turn's judgement in the making."""

    guard: Guard
    limits: Limits
    second: int
    after: Moved
    sent: dict[int, int] = field(init=False)
    told: dict[tuple[str, Rule], None] = field(init=False)
    passed: list[Output] = field(default_factory=list)
    cuts: dict[tuple[Channel, str, Rule], Cut] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # A second that began 61 s ago ended within the minute. What lies ahead was said by another
        # host's clock.
        since, until = self.second - _MINUTE, self.second + _MINUTE
        self.sent = {at: count for at, count in self.guard.sent if since <= at <= until}
        self.told = dict.fromkeys(self.guard.told)
        if self.after.vector.unchanged == 0:
            self._forget_told(Rule.NO_PROGRESS)

    def _forget_told(self, rule: Rule) -> None:
        """What was cut by it is over, for whoever was told of it, too."""
        self.told = {one: None for one in self.told if one[1] is not rule}

    def look_at(self, outputs: Sequence[Output]) -> None:
        most = self.limits.messages_per_minute
        for output in outputs:
            if is_last_word(output[1]):
                self.passed.append(output)
            elif sum(self.sent.values()) >= most:
                self._cut(output, Rule.RATE, f"more than {most} messages in a minute")
            else:
                self.sent[self.second] = self.sent.get(self.second, 0) + 1
                self.passed.append(output)

    def cut_all(
        self, outputs: Sequence[Output], why: str, above: AgentId | None, hops: int
    ) -> None:
        """All that a turn said that changed nothing, and its superior is told whatever it said."""
        for output in outputs:
            self._cut(output, Rule.NO_PROGRESS, why)
        if above is not None and (up(above), str(above), Rule.NO_PROGRESS) not in self.cuts:
            self._note_cut(up(above), above, Rule.NO_PROGRESS, why, 0, hops)

    def _cut(self, output: Output, rule: Rule, detail: str) -> None:
        channel, message = output
        before = self.cuts.get((channel, message.to, rule))
        if before is None:
            self._note_cut(channel, message.to, rule, detail, 1, message.hops)
        else:
            self.cuts[channel, message.to, rule] = replace(before, count=before.count + 1)

    def _note_cut(
        self, channel: Channel, to: str, rule: Rule, detail: str, count: int, hops: int
    ) -> None:
        whom = (_digest(channel, to), rule)
        cut = Cut(channel, to, rule, detail, count, hops, is_news=whom not in self.told)
        self.told[whom] = None
        self.cuts[channel, to, rule] = cut

    def judged(self) -> Judged:
        rules = [rule for _, _, rule in self.cuts]
        guard = self._guard_after(rules)
        gives_up = rules[0] if rules and guard.cuts > CUTS_MAX else None
        return Judged(tuple(self.passed), tuple(self.cuts.values()), guard, gives_up)

    def _guard_after(self, rules: Sequence[Rule]) -> Guard:
        # Who is silent or waits has neither gone on nor bettered itself.
        is_left, cuts = self.after.is_left, self.guard.cuts
        if Rule.RATE not in rules and not is_left:
            self._forget_told(Rule.RATE)
        cuts = cuts + bool(rules) if rules or is_left else 0
        told = tuple(self.told)[-TOLD_MAX:]
        return Guard(tuple(sorted(self.sent.items())), told, cuts, self.after.vector)


def _digest(*parts: str) -> str:
    return blake2b("\0".join(parts).encode("utf-8", "replace"), digest_size=8).hexdigest()
