"""Searches of files: the move that asks for one, and what its result holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from swarmd.adapters.files.sentences import Sentence, bounded, cleaned, sentences
from swarmd.adapters.files.words import stem
from swarmd.adapters.models.builtin.reports import NOT_READ, NOT_SEARCHED, one_line
from swarmd.core.model.functions import FILE_SEARCH
from swarmd.core.model.moves import Use

PASSAGES_TOP: Final = 20


@dataclass(frozen=True, slots=True)
class Counts:
    """How many passages were looked at, and how many of them have a stem."""

    searched: int = 0
    holding: Mapping[str, int] = field(default_factory=dict)


def search_move(query: str, files: tuple[str, ...], top: int) -> Use:
    args = {"query": query, "files": list(files), "top": top}
    return Use(move="use", function=FILE_SEARCH.name, args=args)


def searched_files(moves: Iterable[Mapping[str, Any]]) -> set[tuple[str, ...]]:
    """The files that each search was to look into."""
    args = [m.get("args") or {} for m in moves if m.get("function") == FILE_SEARCH.name]
    return {tuple(one.get("files", ())) for one in args}


def search_results(results: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [result for result in results if result.get("function") == FILE_SEARCH.name]


def found_sentences(results: Iterable[Mapping[str, Any]]) -> list[Sentence]:
    """The sentences of the passages that searches brought, each with what stands around it."""
    return [
        replace(sentence, under=passage.get("under", ""), around="\n".join(passage["lines"]))
        for result in search_results(results)
        if result.get("ok")
        for passage in result.get("passages", ())
        for sentence in sentences(passage["path"], passage["start"], passage["lines"])
    ]


def counts_in(results: Iterable[Mapping[str, Any]]) -> Counts:
    """In how many passages each word is, by the search that looked at most of them."""
    widest = max(search_results(results), key=lambda one: one.get("searched", 0), default={})
    words = widest.get("words") or {}
    return Counts(
        int(widest.get("searched", 0)), {stem(word): int(count) for word, count in words.items()}
    )


def files_not_read(results: Iterable[Mapping[str, Any]]) -> list[str]:
    """What searches did not read, as the lines that say so."""
    return [
        f"{NOT_READ} {one_line(one.get('path', ''))}: {cleaned(str(one.get('why', '')))}"
        for result in results
        for one in result.get("not_read") or ()
    ]


def failed_searches(results: Iterable[Mapping[str, Any]]) -> list[str]:
    """What could not be searched, as the lines that say so."""
    return [
        f"{NOT_SEARCHED} {_fault_of(result)}"
        for result in search_results(results)
        if not result.get("ok")
    ]


def _fault_of(result: Mapping[str, Any]) -> str:
    return bounded(cleaned(f"{result.get('rule', '')} {result.get('detail', '')}"))
