"""What a server says of its usage, in whichever fields: the most of it is what is charged. Pure.

Servers name the same count differently, leave parts out of it (thoughts, what came from a cache)
and say those elsewhere, or only in a total. A part that is larger than the whole cannot have been
counted in it, and a total that is larger than its parts has something in it that was paid for.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final

from swarmd.core.ledger.prices import Counted

# More than any context holds. It keeps what a lying server says within what the ledger can add up.
TOKENS_COUNTED_MAX: Final = 1_000_000_000
# Ten times what the dearest call can cost. It keeps what a lying server says within what an account
# can add up.
COST_DOLLARS_MAX: Final = 10_000

_NUMBER: Final = re.compile(r"\s*(\d+)(?:\.\d*)?\s*")
_DIGITS_MAX: Final = 12  # of a number in quotes; a longer one is more than any count

_PLACES: Final = frozenset({"usage", "usageMetadata", "usage_metadata", "timings"})
_INPUT: Final = (
    "prompt_tokens",
    "input_tokens",
    "prompt_eval_count",
    "promptTokenCount",
    "prompt_n",
)
_OUTPUT: Final = (
    "completion_tokens",
    "output_tokens",
    "eval_count",
    "candidatesTokenCount",
    "predicted_n",
)
_TOTAL: Final = ("total_tokens", "totalTokenCount")
_INPUT_DETAILS: Final = ("prompt_tokens_details", "input_tokens_details")
_OUTPUT_DETAILS: Final = ("completion_tokens_details", "output_tokens_details")
_CACHED: Final = (
    "cached_tokens",
    "prompt_cache_hit_tokens",
    "cache_read_input_tokens",
    "cachedContentTokenCount",
)
_STORED: Final = ("cache_write_tokens", "cache_creation_tokens", "cache_creation_input_tokens")
# Said beside a count of the input that leaves them out.
_BESIDE_INPUT: Final = ("cache_read_input_tokens", "cache_creation_input_tokens")


@dataclass(frozen=True, slots=True)
class SaidUsage:
    """What was said so far; `None` is a count that nobody gave."""

    tokens_in: int | None = None
    tokens_out: int | None = None
    cached: int = 0
    stored: int = 0
    cost: int | None = None  # micro-dollars, as a gateway says them of the model behind it

    def most(self, newer: SaidUsage) -> SaidUsage:
        """Of each count the larger: a later piece repeats what an earlier one said, and adds to
        it.
        """
        is_newer = (newer.tokens_in or 0) >= (self.tokens_in or 0) and newer.tokens_in is not None
        of_input = newer if is_newer else self
        return SaidUsage(
            _larger_of(self.tokens_in, newer.tokens_in),
            _larger_of(self.tokens_out, newer.tokens_out),
            of_input.cached,
            of_input.stored,
            _larger_of(self.cost, newer.cost),
        )

    def dearest(self, computed: int | None) -> int | None:
        """What is charged, by this and by the prices that are known; `None` where neither tells.

        A cost of nothing is no price: a gateway says so of what is paid for elsewhere.
        """
        return _larger_of(computed, self.cost or None)

    @property
    def counted(self) -> Counted | None:
        """`None` where one of the two counts is missing: it is then no count of the whole."""
        if self.tokens_in is None or self.tokens_out is None:
            return None
        return Counted(self.tokens_in, self.tokens_out, self.cached, self.stored)


def usage_of(piece: Mapping[str, Any]) -> SaidUsage | None:
    """The most that one piece of an answer says, wherever in it; `None` where it says nothing."""
    said = None
    for usage in _find_usages(piece):
        read = _read_usage(usage)
        if read != SaidUsage():
            said = said.most(read) if said else read
    return said


def _find_usages(piece: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The places where servers say it: in the piece, in an extension of it, or in its choice.

    Most pieces say nothing, and there are as many of them as tokens: they are passed over at once.
    """
    found: list[Mapping[str, Any]] = []
    for name in _places_among(tuple(piece)):
        found += _usages_at(name, piece[name])
    choices = piece.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        found += _usages_of_choice(choice)
    return found


def _usages_at(name: str, value: object) -> tuple[Mapping[str, Any], ...]:
    if name.endswith("eval_count"):
        return ({name: value},)
    if name in _PLACES:
        return _as_objects(value)
    return tuple(usage for part in _as_objects(value) for usage in _as_objects(part.get("usage")))


def _usages_of_choice(choice: object) -> Iterator[Mapping[str, Any]]:
    if isinstance(choice, dict):
        for part in (choice, choice.get("delta"), choice.get("message")):
            if isinstance(part, dict) and "usage" in part:
                yield from _as_objects(part["usage"])


@lru_cache(maxsize=64)
def _places_among(names: tuple[str, ...]) -> tuple[str, ...]:
    """Those that may hold a usage: the pieces of one server have the same few names."""
    return tuple(
        name
        for name in names
        if name in _PLACES or name.startswith("x_") or name == "meta" or name.endswith("eval_count")
    )


def _as_objects(value: object) -> tuple[Mapping[str, Any], ...]:
    return (value,) if isinstance(value, dict) else ()


def _read_usage(usage: Mapping[str, Any]) -> SaidUsage:
    tokens_in, cached, stored = _read_input(usage)
    tokens_out, total = _read_output(usage), _largest_count(usage, _TOTAL)
    if total is not None:
        tokens_in, tokens_out = _with_total(tokens_in, tokens_out, total)
    return SaidUsage(
        _bound_count(tokens_in),
        _bound_count(tokens_out),
        cached,
        stored,
        _micro_dollars(usage.get("cost")),
    )


def _read_input(usage: Mapping[str, Any]) -> tuple[int | None, int, int]:
    """Tokens read; and of these, read from a cache and stored in one."""
    parts = (usage, *_details_in(usage, _INPUT_DETAILS))
    hit, missed = (_count_or_zero(usage, f"prompt_cache_{name}_tokens") for name in ("hit", "miss"))
    # No prompt is empty: a zero is a server that fills the field in.
    tokens_in = max(_largest_count(usage, _INPUT) or 0, _with_beside(usage), hit + missed) or None
    return tokens_in, _largest_of_all(parts, _CACHED), _largest_of_all(parts, _STORED)


def _with_beside(usage: Mapping[str, Any]) -> int:
    """The input with what is said beside a count that leaves it out; 0 where that is not so."""
    beside = sum(_count_or_zero(usage, name) for name in _BESIDE_INPUT)
    whole = _count_or_zero(usage, "prompt_tokens")
    if beside > whole:
        # Not part of the count beside which it stands.
        return max(whole, _count_or_zero(usage, "input_tokens")) + beside
    if beside and "input_tokens" in usage:
        return _count_or_zero(usage, "input_tokens") + beside
    return 0


def _read_output(usage: Mapping[str, Any]) -> int | None:
    written = _largest_count(usage, _OUTPUT)
    parts = (usage, *_details_in(usage, _OUTPUT_DETAILS))
    thoughts = _largest_of_all(parts, ("reasoning_tokens",))
    if thoughts <= (written or 0):  # counted in it
        thoughts = 0
    # The first of them is never in the count of the answer.
    apart = max(_count_or_zero(usage, "thoughtsTokenCount"), thoughts)
    return (written or 0) + apart if apart else written


def _details_in(usage: Mapping[str, Any], names: tuple[str, ...]) -> tuple[Mapping[str, Any], ...]:
    return tuple(part for name in names for part in _as_objects(usage.get(name)))


def _with_total(
    tokens_in: int | None, tokens_out: int | None, total: int
) -> tuple[int | None, int | None]:
    """What a total has beyond its parts was written by the model: that is the dearer of the two."""
    if tokens_in is None:
        # Of a total alone nothing is known of the answer: all of it counts as read, and the rest is
        # assumed.
        rest = total - (tokens_out or 0)
        return (rest if rest > 0 else None), tokens_out
    if total > tokens_in + (tokens_out or 0):
        return tokens_in, total - tokens_in
    return tokens_in, tokens_out


def _largest_count(usage: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    said = [count for name in names if (count := _read_tokens(usage.get(name))) is not None]
    return max(said, default=None)


def _largest_of_all(parts: Iterable[Mapping[str, Any]], names: tuple[str, ...]) -> int:
    return max(_largest_count(part, names) or 0 for part in parts)


def _count_or_zero(usage: Mapping[str, Any], name: str) -> int:
    return _read_tokens(usage.get(name)) or 0


def _read_tokens(value: object) -> int | None:
    """A count, as number or as text of one; `None` for what cannot be one."""
    match value:
        case bool():
            return None
        case int() if value >= 0:
            return min(value, TOKENS_COUNTED_MAX)
        case float() if math.isfinite(value) and value >= 0:
            return min(math.ceil(value), TOKENS_COUNTED_MAX)
        case str() if number := _NUMBER.fullmatch(value):
            if len(number[1]) > _DIGITS_MAX:
                return TOKENS_COUNTED_MAX
            return min(math.ceil(float(value)), TOKENS_COUNTED_MAX)
        case _:
            return None


def _micro_dollars(cost: object) -> int | None:
    """Rounded up, as a computed cost is; `None` for what is no number of dollars."""
    if isinstance(cost, bool) or not isinstance(cost, int | float):
        return None
    if not (isinstance(cost, int) or math.isfinite(cost)) or cost < 0:
        return None
    # By its digits: a product of floats would be rounded up from far behind the point.
    return math.ceil(Fraction(str(min(cost, COST_DOLLARS_MAX))) * 1_000_000)


def _bound_count(count: int | None) -> int | None:
    return None if count is None else min(count, TOKENS_COUNTED_MAX)


def _larger_of(one: int | None, other: int | None) -> int | None:
    return max((count for count in (one, other) if count is not None), default=None)
