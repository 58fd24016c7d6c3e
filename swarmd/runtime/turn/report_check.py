"""What the runtime looks up in a report before it is sent."""

from __future__ import annotations

from functools import partial

import anyio.to_thread

from swarmd.core.agent.citations import Citation, Window, checked, citations_in, fault_of
from swarmd.core.agent.turn import Acting, may_read
from swarmd.core.model.records import NO_CITATIONS, Citations
from swarmd.errors import WorkspaceError
from swarmd.ports.files import Files


async def check_citations(files: Files | None, acting: Acting, text: str) -> Citations:
    """Nothing is right or wrong where nothing is cited, or this host has no files."""
    cited = citations_in(text)
    if files is None or not cited:
        return NO_CITATIONS
    # Disks may be slow: never in the event loop.
    return await anyio.to_thread.run_sync(partial(_check_all, files, acting, cited))


def _check_all(files: Files, acting: Acting, cited: tuple[Citation, ...]) -> Citations:
    return checked([fault_of(one, _window_of(files, acting, one)) for one in cited])


def _window_of(files: Files, acting: Acting, citation: Citation) -> Window | None:
    if not may_read(citation.path, acting):
        return None
    start, count = citation.window
    try:
        found = files.read(acting.mission, citation.path, start, count)
    except WorkspaceError:
        return None
    return Window(start, found.lines, found.total)
