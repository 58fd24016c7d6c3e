"""What an agent is doing now, told from what is stored: dead, stuck and busy are three things.
Pure.

`idle`      nothing of it is under way
`busy`      a turn is under way; the call that it makes, and for how long
`stalled`   it lives and gets nowhere: its superior has been told
`stuck`     its call has outlived its own bounds, or its host said that it ignores its end
`frozen`    a stop holds it
`waiting`   its turn waits for a supervisor to lead: before that no call may begin
`unplaced`  no host has it yet
`dead`      its host's lease is gone: another host takes it over, or its end reads unreachable

What imports this must start fast: names and times are all that it knows of the rest.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from swarmd.core.model.lineage import stop_targets
from swarmd.core.model.names import SOB, AgentState
from swarmd.core.model.refusals import Rule
from swarmd.core.model.timings import SETTLE_SECONDS

Word = Literal["", "idle", "busy", "stalled", "stuck", "frozen", "waiting", "unplaced", "dead"]

# Stops under which nothing goes on; a drain lets turns end.
_HOLDING: Final = ("freeze", "halt")


@dataclass(frozen=True, slots=True)
class Call:
    """One call under way: `since` when (seconds since the epoch), and how long it may take by
    its own bounds.
    """

    kind: str
    since: float
    within_seconds: float

    def is_overdue(self, now: float) -> bool:
        return bool(self.within_seconds) and now > self.since + self.within_seconds + SETTLE_SECONDS


@dataclass(frozen=True, slots=True)
class Activity:
    """`call` is the kind of the call under way, if any; `seconds` how long it has been so, where
    that is known; `waits` the rule by which its turn waits, if it does. One that has ended its turn
    may wait for somebody (`waits_for`), until a time that is so many seconds ahead (`left`).
    """

    word: Word
    call: str = ""
    seconds: float | None = None
    waits: str = ""
    waits_for: str = ""
    left: float | None = None


@dataclass(frozen=True, slots=True)
class Awaited:
    """For what an agent waits that has ended its turn, and until when, in seconds since the epoch;
    0 where no time ends it.
    """

    what: str = ""
    until: float = 0.0


NOTHING_AWAITED: Final = Awaited()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is the same for all agents: who has a living host, what is stopped, what is wrong
    with whom.
    """

    hosts: Collection[str]
    stops: Mapping[str, str]  # target -> its kind and more, as stored
    troubles: Mapping[str, str]  # agent -> JSON of `swarm.Trouble`
    now: float  # seconds since the epoch
    may_begin: bool = True  # a supervisor leads, or did so within its lease


def turns_under_way(steps: Iterable[str]) -> frozenset[str]:
    """The numbers of an agent's turns that have begun and are not committed, of its step
    journal's fields.
    """
    return frozenset(step.partition(":")[0] for step in steps if step.endswith(":batch"))


def held_back(steps: Collection[str]) -> str:
    """The rule by which a begin of a turn was put off, of an agent's step journal's fields;
    empty where none was.
    """
    return Rule.NO_LEAD.value if any(step.endswith(":waits") for step in steps) else ""


def open_call(steps: Collection[str]) -> str | None:
    """The field of the step journal in which the call under way began.

    What a former holder left open of a turn that was committed since is none.
    """
    turns, there = turns_under_way(steps), frozenset(steps)
    for step in steps:
        turn, _, rest = step.partition(":")
        if turn in turns and rest.endswith(":b") and f"{step[:-1]}e" not in there:
            return step
    return None


def call_of(text: str | None, lease: str) -> Call | None:
    """A begun call as the step journal keeps it; `None` for one that a former holder made."""
    try:
        record = json.loads(text or "")
        if str(record["lease"]) != lease:
            return None
        return Call(
            str(record["kind"]),
            datetime.fromisoformat(record["at"]).timestamp(),
            float(record.get("within", 0)),
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def activity_of(
    record: Mapping[str, str],
    call: Call | None,
    around: Surroundings,
    *,
    is_busy: bool,
    waits: str = "",
    awaited: Awaited = NOTHING_AWAITED,
) -> Activity:
    """Of an agent's record; `is_busy` where a turn of it is under way, `waits` the rule by which
    its turn was held back. The worst that is true is told, and `awaited` where nothing else is."""
    trouble, since = _trouble_of(record, around)
    if record.get("state") == AgentState.TERMINATED:
        return _ended(trouble, around.now - since)
    if record.get("id") == SOB or record.get("host", "") not in around.hosts:
        return _without_host(record)
    kind, seconds = _shown_call(call, around.now)
    if hindrance := _hindrance_of(record, call, around, trouble):
        return Activity(hindrance, kind, around.now - since if hindrance == "stalled" else seconds)
    if waits and call is None and not around.may_begin:
        return Activity("waiting", waits=waits)
    return Activity("busy", kind, seconds) if is_busy else _at_rest(awaited, around.now)


def _at_rest(awaited: Awaited, now: float) -> Activity:
    left = max(0.0, awaited.until - now) if awaited.until else None
    return Activity("idle", waits_for=awaited.what, left=left)


def _ended(trouble: str, seconds: float) -> Activity:
    """A host may have said that something of it still runs."""
    return Activity("stuck", seconds=seconds) if trouble == "stuck" else Activity("")


def _hindrance_of(
    record: Mapping[str, str], call: Call | None, around: Surroundings, trouble: str
) -> Word:
    """Why somebody who has a host gets nowhere."""
    if trouble == "stuck" or (call is not None and call.is_overdue(around.now)):
        return "stuck"
    if is_held(record, around.stops):
        return "frozen"
    return "stalled" if trouble == "stalled" else ""


def _without_host(record: Mapping[str, str]) -> Activity:
    """The board itself runs nowhere."""
    if record.get("id") == SOB:
        return Activity("")
    return Activity("dead" if record.get("host") else "unplaced")


def _shown_call(call: Call | None, now: float) -> tuple[str, float | None]:
    """The kind of the call under way, and for how many seconds it has been."""
    return ("", None) if call is None else (call.kind, max(0.0, now - call.since))


def is_held(record: Mapping[str, str], stops: Mapping[str, str]) -> bool:
    """Does a freeze or a halt hold the agent? The same targets as `lineage.Stop.holds`."""
    if not stops:
        return False
    targets = (
        *record.get("path", "").split("/"),
        *stop_targets(record.get("id", ""), record.get("tier")),
    )
    return any(stops.get(target, "").partition(" ")[0] in _HOLDING for target in targets)


def _trouble_of(record: Mapping[str, str], around: Surroundings) -> tuple[str, float]:
    text = around.troubles.get(record.get("id", ""))
    if text is None:
        return "", around.now
    try:
        trouble = json.loads(text)
        return str(trouble.get("kind", "")), float(trouble.get("since", around.now))
    except (ValueError, TypeError, AttributeError):
        return "", around.now
