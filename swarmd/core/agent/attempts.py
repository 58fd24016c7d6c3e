"""What an agent has tried, as facts that stand in the place of the turns themselves. Pure.

Where the repeated calls stay in a prompt a model goes on repeating them, whatever it is told.
Without any word of what was tried it would try it all again. So each function with its arguments is
told once, with how often it was called and whether its result was the same.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from swarmd.core.model.chain import canonical, sha256

# Distinct calls that are told, those that were made most often.
CALLS_TOLD_MAX: Final = 40
# Characters of one call's arguments: enough for a query or a path.
ARGUMENTS_MAX: Final = 200
RULES_TOLD_MAX: Final = 16
_CUT: Final = "…"
_compact: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(slots=True)
class _Call:
    times: int = 0
    results: set[str] = field(default_factory=set)  # digests; empty where none is known
    failed: int = 0

    def take(self, result: Mapping[str, Any], gone: str) -> None:
        self.failed += not result.get("ok")
        if result.get("note") != gone:
            self.results.add(sha256(canonical(result))[:16])


@dataclass(slots=True)
class Attempts:
    """What was tried, as it is read from the entries of a memory, the oldest first."""

    calls: dict[str, _Call] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    reports: int = 0

    def take(self, entries: Iterable[Mapping[str, Any]], gone: str) -> None:
        """`gone` stands in a result of which memory has only a part."""
        made: list[str] = []
        for entry in entries:
            if "tried" in entry.get("left_out", {}):
                self._take_in(entry["left_out"]["tried"])
            if "moves" in entry:
                made = list(self._note_moves(entry["moves"]))
            for result in entry.get("results", ()):
                if isinstance(result, Mapping):
                    self._note_result(result, made, gone)

    def _note_moves(self, moves: Sequence[Mapping[str, Any]]) -> Iterator[str]:
        """The calls among them."""
        for move in moves:
            self.reports += move.get("move") == "report"
            if move.get("move") == "use":
                named = _named(move)
                self.calls.setdefault(named, _Call()).times += 1
                yield named

    def _note_result(self, result: Mapping[str, Any], made: list[str], gone: str) -> None:
        """Results stand in the order of their calls, and name their functions."""
        if "rule" in result:
            self.refused[str(result["rule"])] += 1
        function = result.get("function")
        named = next((one for one in made if one.partition(" ")[0] == function), None)
        if named is not None:
            made.remove(named)
            self.calls[named].take(result, gone)

    def _take_in(self, before: Mapping[str, Any]) -> None:
        """Of an agent whose context began anew before."""
        for named, times, failed, results in before["calls"]:
            known = self.calls.setdefault(named, _Call())
            known.times, known.failed = known.times + times, known.failed + failed
            known.results |= set(results)
        self.refused.update(before["refused"])
        self.reports += before["reports"]

    def facts(self, chars_max: int) -> dict[str, Any]:
        """As memory keeps them, in at most so many characters."""
        most = sorted(self.calls.items(), key=lambda item: -item[1].times)
        calls = list[list[Any]]()
        room = chars_max - 1_000  # of the rules' names, and numbers
        for named, call in most[:CALLS_TOLD_MAX]:
            # Whether results were the same two tell.
            told = [named, call.times, call.failed, sorted(call.results)[:2]]
            room -= len(_compact(told)) + 1
            if room < 0:
                break
            calls.append(told)
        return {
            "calls": calls,
            "more": len(most) - len(calls),
            "refused": dict(self.refused.most_common(RULES_TOLD_MAX)),
            "reports": self.reports,
        }


def _named(move: Mapping[str, Any]) -> str:
    """A function with its arguments: the same for the same call. Arguments that are too long are
    told apart by their beginning and length.
    """
    args = _compact(dict(sorted((move.get("args") or {}).items())))
    if len(args) > ARGUMENTS_MAX:
        args = f"{args[:ARGUMENTS_MAX]}{_CUT} ({len(args)} characters)"
    return f"{move.get('function')} {args}"


def tried_text(tried: Mapping[str, Any]) -> str:
    """How a prompt tells an agent of it, a line for each."""
    lines = [
        f"- `{named}`: {_times(times)}, {_outcome(times, failed, results)}"
        for named, times, failed, results in tried["calls"]
    ]
    if tried["more"]:
        lines.append(f"- and {tried['more']} other calls")
    lines += [f"- refused by {rule}: {_times(count)}" for rule, count in tried["refused"].items()]
    if tried["reports"]:
        lines.append(f"- reported: {_times(tried['reports'])}")
    return "\n".join(["what you tried so far:", *lines]) if lines else "you called nothing so far"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _outcome(times: int, failed: int, results: Sequence[str]) -> str:
    if failed == times:
        return "it failed" if times == 1 else "it failed each time"
    if times == 1:
        return "it gave a result"
    if not results:
        return "the results are not kept"
    return "the same result" if len(results) == 1 else "different results"
