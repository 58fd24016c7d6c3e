"""A final report as a file of the mission, for those above its author and for people. Pure.

The runtime alone writes below `work/reports/`, so what the head of such a file says is so: whose
report it is, what its author had read, and which files it named.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import Final

from swarmd.core.model.functions import REPORTS
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import Message
from swarmd.core.model.names import AgentId
from swarmd.core.model.provenance import taint_of

_TITLE: Final = "# Report of "
_NAMED: Final = "Files that it names:"
_ITEM: Final = "- "


def paths_of(name: str, id: AgentId) -> tuple[str, str]:
    """Where the report of an agent stands: under its name, or with its id too where another agent
    of that name has reported before.
    """
    return f"{REPORTS}{name}.md", f"{REPORTS}{name}-{id}.md"


def report_path(name: str, id: AgentId, files: Collection[str]) -> str:
    """Of the files that a report names, the one that is the report itself; empty where none is."""
    return next((path for path in paths_of(name, id) if path in files), "")


def text_of(agent: Agent, report: Message, files: Sequence[str]) -> str:
    """The whole file. The report is at most `TEXT_CHARS_MAX` long and names at most `LIST_MAX`
    files, as its move is; the same report gives the same text.
    """
    return "\n".join(_head(agent, taint_of(report), files)) + f"\n\n{report.text}\n"


def _head(agent: Agent, taint: Sequence[str], files: Sequence[str]) -> Iterator[str]:
    yield _title(agent)
    if taint:
        yield f"Its author had read untrusted text: {', '.join(taint)}"
    # A name with a line feed could pass for the end of the head, and is the name of no file.
    named = [path for path in files if path.isprintable()]
    if named:
        yield _NAMED
        yield from (f"{_ITEM}{path}" for path in named)


def _title(agent: Agent) -> str:
    return f"{_TITLE}{agent.name} ({agent.id}, {agent.role})"


def is_of(agent: Agent, first_line: str) -> bool:
    """Is a file that begins with this line a report of this very agent?"""
    return first_line == _title(agent)


def files_named(text: str) -> tuple[str, ...]:
    """The files that a report's file says it names."""
    head = list(takewhile(bool, text.split("\n")))
    if not head[:1] or not head[0].startswith(_TITLE) or _NAMED not in head:
        return ()
    return tuple(line.removeprefix(_ITEM) for line in head[head.index(_NAMED) + 1 :])


def with_files(report: Message, path: str, named: Sequence[str]) -> Message:
    """The report that says where it stands, and which files it names."""
    files = dict.fromkeys((path, *named))
    return replace(report, data={**report.data, "files": list(files)})
