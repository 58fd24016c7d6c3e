"""What a call of a model may reserve of an account, and what an agent is told of its budget. Pure.

Each call has two sizes. The strict one is what it can take at most, and what is always reserved.
The expected one is what such calls have taken, with a margin: by it an agent is told how many are
left, and the call of its last report is kept back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

Amounts: TypeAlias = Mapping[str, int]

# The shortest answer for which a call is begun, in tokens: a report of a page, or a few moves.
# Below it an answer would be cut off before it said anything, and be paid all the same.
OUTPUT_TOKENS_FLOOR: Final = 500
# Such a remark is worth its words only when the end is near: an agent with more left plans by its
# task.
LAST_BUT: Final = 2


# Of the room for thoughts, in percent: what it shrinks to before the text of an answer does. A
# model that has not even a quarter of it would think to the end of its limit, and say nothing.
THOUGHTS_PERCENTS: Final = (100, 50, 25)


@dataclass(frozen=True, slots=True)
class Room:
    """The limit of an answer: tokens for its text, and so much of what is allowed for thoughts."""

    text: int
    thoughts_percent: int = THOUGHTS_PERCENTS[0]


@dataclass(frozen=True, slots=True)
class Sizes:
    """Of one call, by the limit of its answer: what it takes at most, and what it likely does."""

    strict: Callable[[Room], Amounts]
    expected: Callable[[Room], Amounts]


@dataclass(frozen=True, slots=True)
class Planned:
    """A call as it can be paid: `own` is reserved of the agent's account, `lent` of its
    mission's.
    """

    room: Room
    own: Amounts
    lent: Amounts


def kept_for_report(sizes: Sizes, wanted: int) -> Amounts:
    """What the call of a last report will likely take, which may be a short one."""
    return sizes.expected(least_room(wanted))


def plan_call(
    sizes: Sizes, wanted: int, free: Amounts, lendable: Amounts, keep: Amounts
) -> Planned | None:
    """The longest answer that can be paid, with so much kept back behind it; `None` where not even
    the shortest can.
    """
    behind = {kind: n - keep.get(kind, 0) for kind, n in free.items()}
    for room in _rooms(wanted):
        paid = _split_reserve(sizes.strict(room), sizes.expected(room), behind, lendable)
        if paid is not None:
            return Planned(room, *paid)
    return None


def least_room(wanted: int) -> Room:
    """The smallest in which a call is begun."""
    return Room(min(wanted, OUTPUT_TOKENS_FLOOR), THOUGHTS_PERCENTS[-1])


def _rooms(wanted: int) -> Iterator[Room]:
    """From what is wanted down to the least: that for thoughts first, then that for the text; by
    halves, for each has to be sized anew.
    """
    for percent in THOUGHTS_PERCENTS:
        yield Room(wanted, percent)
    limit = wanted // 2
    while limit > OUTPUT_TOKENS_FLOOR:
        yield Room(limit, THOUGHTS_PERCENTS[-1])
        limit //= 2
    yield least_room(wanted)


def _split_reserve(
    strict: Amounts, expected: Amounts, free: Amounts, lendable: Amounts
) -> tuple[Amounts, Amounts] | None:
    """Of whom how much is reserved. Where the account has what the call likely takes, its mission
    lends what is missing to what it can take.
    """
    own, lent = {}, {}
    for kind, most in strict.items():
        has = free.get(kind, 0)
        if has < min(most, expected.get(kind, most)):
            return None
        own[kind] = min(most, has)
        missing = most - own[kind]
        if missing > max(0, lendable.get(kind, 0)):
            return None
        if missing:
            lent[kind] = missing
    return own, lent


def calls_left(size: Amounts, free: Amounts) -> int:
    """About how many calls of such a size an account can still pay."""
    counts = [max(0, free.get(kind, 0)) // n for kind, n in size.items() if n > 0]
    return min(counts, default=0)


def note_of_budget(calls: int, *, is_last: bool) -> str:
    """What an agent is told of its budget before a call that it can pay, this one counted."""
    if is_last or calls <= 1:
        return (
            "This is the last call that your budget can pay: report what you have, and say what is"
            " missing."
        )
    if calls <= LAST_BUT:
        return (
            f"Your budget can pay {calls} more calls, this one counted: use it well, for the last"
            " one has to be your report."
        )
    return f"Your budget can pay about {calls} more calls like this one."
