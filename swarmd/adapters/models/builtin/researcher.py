"""A researcher: it searches its files and quotes the sentences that answer best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from swarmd.adapters.models.builtin.charters import topic_of_charter
from swarmd.adapters.models.builtin.memory import directions_now, items_in, waits_no_more
from swarmd.adapters.models.builtin.ranking import ranked
from swarmd.adapters.models.builtin.reports import NOTHING, QUOTES_MAX, cite, not_read_lines
from swarmd.adapters.models.builtin.searches import (
    PASSAGES_TOP,
    counts_in,
    failed_searches,
    files_not_read,
    found_sentences,
    search_move,
    search_results,
)
from swarmd.adapters.models.builtin.topics import Topic, topic
from swarmd.core.model.moves import Move, Report, Wait
from swarmd.ports.models import View


def act_as_researcher(view: View) -> tuple[Move, ...]:
    assert view.charter is not None
    if waits_no_more(view):
        return (Wait(move="wait", what="reported"),)
    _, about = topic_of_charter(view.charter, view.mission_text)
    results = search_results(items_in(view.steps, "results"))
    if not results:
        return (search_move(_query_for(view, about), view.charter.files, PASSAGES_TOP),)
    return (Report(move="report", text=_write_report(about, results), done=True),)


def _query_for(view: View, about: Topic) -> str:
    asked = " ".join(directions_now(view))
    return topic(f"{asked} {about.query}").query if asked else about.query


def _write_report(about: Topic, results: Sequence[Mapping[str, Any]]) -> str:
    best = ranked(about, found_sentences(results), QUOTES_MAX, counts_in(results))
    lines = [cite(sentence) for sentence in best]
    if not best:
        lines.append(f"{NOTHING} {', '.join(about.missing(())) or about.query}")
    lines += failed_searches(results)
    lines += not_read_lines(files_not_read(results))
    return "\n".join(lines)
