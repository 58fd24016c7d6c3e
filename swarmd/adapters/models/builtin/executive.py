"""An executive: it divides its files among researchers and merges what they quote."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from swarmd.adapters.files.sentences import Sentence, bounded
from swarmd.adapters.models.builtin.charters import fitting_names, topic_of_charter
from swarmd.adapters.models.builtin.memory import (
    directions_now,
    final_reports,
    has_reported,
    items_in,
    moves_of,
    results_of,
    spawn_answers,
    spawned_parts,
    waits_no_more,
)
from swarmd.adapters.models.builtin.ranking import ranked
from swarmd.adapters.models.builtin.reports import (
    NOT_SEARCHED,
    NOTHING,
    QUOTES_MAX,
    cite,
    is_undone,
    not_read_in,
    not_read_lines,
    quotes_in,
)
from swarmd.adapters.models.builtin.searches import (
    PASSAGES_TOP,
    counts_in,
    failed_searches,
    files_not_read,
    found_sentences,
    search_move,
    search_results,
    searched_files,
)
from swarmd.adapters.models.builtin.topics import Topic, topic
from swarmd.core.model.charter import Charter
from swarmd.core.model.moves import Move, Report, Spawn, Wait
from swarmd.core.model.names import AgentState
from swarmd.ports.models import View

PARTS_MAX: Final = 4  # researchers of one executive: they share two cores, more are not faster

_ENDED: Final = frozenset({AgentState.DRAINING.value, AgentState.TERMINATED.value})

Files = tuple[str, ...]


def act_as_executive(view: View, listed: Files) -> tuple[Move, ...]:
    assert view.charter is not None
    parts = spawned_parts(view)
    if not parts and not view.children:
        return _divide_files(view.charter, listed)
    waiting = _waiting_for(view, parts)
    if waits_no_more(view) or waiting:
        thought = "reported" if has_reported(view) else f"waiting for {', '.join(waiting)}"
        return (Wait(move="wait", what=bounded(thought, 190)),)
    return _search_or_report(view, view.charter, parts)


def _search_or_report(view: View, charter: Charter, parts: Mapping[str, Files]) -> tuple[Move, ...]:
    theme, about = topic_of_charter(charter, view.mission_text)
    searches = _own_searches(view, charter.files, about, parts)
    if searches:
        return searches
    return (Report(move="report", text=_write_section(view, theme, about), done=True),)


def _divide_files(charter: Charter, listed: Files) -> tuple[Move, ...]:
    """One researcher per part; neighbours in the sorted list, so folders, stay together."""
    names = sorted(listed)
    count = max(1, min(PARTS_MAX, len(names)))
    bounds = [len(names) * i // count for i in range(count + 1)]
    parts = [fitting_names(names[first:last]) for first, last in pairwise(bounds)]
    return tuple(_spawn_researcher(charter, number, part) for number, part in enumerate(parts, 1))


def _spawn_researcher(charter: Charter, number: int, files: Files) -> Spawn:
    return Spawn(
        move="spawn",
        key=f"part-{number}",
        charter=Charter(
            role="researcher",
            name=f"part-{number}",
            task=charter.task,
            files=files,
            methodology=(
                "Search the files, quote the sentences that answer best, cite file and line."
            ),
            goals=charter.goals,
            done="The best sentences are reported with file:line, or the words not found.",
            kpis=charter.kpis,
        ),
    )


def _waiting_for(view: View, parts: Mapping[str, Files]) -> list[str]:
    """Children that live and have not reported, and spawns that were not answered yet."""
    reported = final_reports(view)
    living = [
        c.key or c.name for c in view.children if c.state not in _ENDED and c.id not in reported
    ]
    known = {child.key for child in view.children} | set(spawn_answers(view))
    return living + [key for key in parts if key not in known]


def _own_searches(
    view: View, files: Files, about: Topic, parts: Mapping[str, Files]
) -> tuple[Move, ...]:
    """What nobody else will do: to look at what the parts brought beside one another, parts whose
    researcher was refused or ended, and what the board sends back.
    """
    query = about.query
    if has_reported(view):  # and it was sent back, or it would not have come this far
        # With the words of whoever sent it back, which may be others than the theme's.
        query = topic(" ".join((*directions_now(view), query))).query
        left = _not_in(files, items_in(view.steps, "moves"))
    else:
        left = _not_in(files, moves_of(view)) + _left_parts(view, parts)
    once = list(dict.fromkeys(left))[: PARTS_MAX + 1]
    return tuple(search_move(query, part, PASSAGES_TOP) for part in once)


def _not_in(files: Files, moves: Iterable[Mapping[str, Any]]) -> list[Files]:
    return [] if files in searched_files(moves) else [files]


def _left_parts(view: View, parts: Mapping[str, Files]) -> list[Files]:
    """Those that nobody has searched, and nobody is going to."""
    done = searched_files(moves_of(view))
    reports = final_reports(view)
    reported = {
        child.key for child in view.children if not is_undone(reports.get(child.id, NOT_SEARCHED))
    }
    return [files for key, files in parts.items() if key not in reported and files not in done]


def _write_section(view: View, theme: str, about: Topic) -> str:
    """The theme as a heading, then what was quoted, best first, each sentence once."""
    reports, own = list(final_reports(view).values()), results_of(view)
    quoted = [quote for text in reports for quote in quotes_in(text)]
    best = ranked(about, [*found_sentences(own), *quoted], QUOTES_MAX, counts_in(own))
    lines = [f"## {theme}", "", *map(cite, best), *_missing_lines(about, best)]
    return "\n".join([*lines, *_undone_lines(own), *_not_read_lines(reports, own)])


def _undone_lines(own: Sequence[Mapping[str, Any]]) -> list[str]:
    return [] if _was_made_good(own) else failed_searches(own)[:PARTS_MAX]


def _not_read_lines(reports: Sequence[str], own: Sequence[Mapping[str, Any]]) -> list[str]:
    not_read = not_read_lines([*not_read_in(reports), *files_not_read(own)])
    return ["", *not_read] if not_read else []


def _missing_lines(about: Topic, best: Sequence[Sentence]) -> list[str]:
    missing = about.missing(sentence.text for sentence in best)
    if not best:
        return [f"{NOTHING} {', '.join(missing) or about.query}"]
    passed = about.passed_over()[:8]
    said = f"(No sentence above has: {', '.join(missing[:8])}.)" if missing else ""
    not_sought = f"(Not searched for, as they say what to do: {', '.join(passed)}.)"
    told = [*([said] if said else []), *([not_sought] if passed else [])]
    return ["", *told] if told else []


def _was_made_good(own: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the last of our own searches succeeded, whatever failed before it."""
    return any(result.get("ok") for result in search_results(own)[-1:])
