"""The functions that a move calls."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from typing import Any, Final, assert_never

import anyio.to_thread

from swarmd.core.agent.turn import (
    OWN_FILES,
    Acting,
    Use,
)
from swarmd.core.model.lineage import Agent
from swarmd.core.model.privileges import FILE, TOOL
from swarmd.core.model.tools import ListSubtree, ReadFile, SearchFiles, WriteFile
from swarmd.errors import WorkspaceError
from swarmd.ports.files import Files, Found
from swarmd.runtime.turn.world import World

# Of the files that one search did not read: their names and reasons are a few thousand tokens at
# most.
NOT_READ_MAX: Final = 50


FUNCTION_NAMES: Final[dict[type, str]] = {
    ListSubtree: "list",
    ReadFile: "read",
    SearchFiles: "search",
    WriteFile: "write",
}


# Of a function that may not be repeated: it was begun, and the end of that was not seen.
UNKNOWN_OUTCOME: Final = (
    "unknown outcome: it was begun and cut off, so it may or may not have "
    "been done; find out before you repeat it"
)


def privileges_of(use: Use) -> tuple[str, ...]:
    match use:
        case ListSubtree():
            return ()
        case ReadFile(path=path):
            own = f"{path}/".startswith(OWN_FILES)
            reading = TOOL.path("file", "read")
            return (reading,) if own else (reading, FILE.path(path, "read"))
        case SearchFiles():
            return (TOOL.path("file", "search"),)
        case WriteFile():
            return (TOOL.path("file", "write"),)
        case _:
            assert_never(use)


async def use_function(world: World, acting: Acting, use: Use) -> dict[str, Any]:
    """A function's result as the model sees it. Errors of files are results: the agent adapts to
    them.
    """
    if isinstance(use, ListSubtree):
        return {"move": use.move, "ok": True, "agents": await _subtree(world, acting.agent)}
    if world.files is None:
        return {"move": use.move, "ok": False, "detail": "this host has no workspace"}
    try:
        # Disks may be slow or remote: never in the event loop. Not cancelled half-way, for a write
        # is whole.
        return await anyio.to_thread.run_sync(_use_files, world.files, acting, use)
    except WorkspaceError as error:
        return {"move": use.move, "ok": False, "detail": str(error)}


def _use_files(
    files: Files, acting: Acting, use: ReadFile | SearchFiles | WriteFile
) -> dict[str, Any]:
    match use:
        case ReadFile():
            lines = files.read(acting.mission, use.path, use.start, use.lines)
            return {
                "move": use.move,
                "ok": True,
                "path": use.path,
                "start": use.start,
                "lines": list(lines),
            }
        case SearchFiles():
            found = files.search(
                acting.mission, use.query, use.files or _readable(files, acting), use.top
            )
            passages = [asdict(passage) for passage in found.passages]
            result = {"move": use.move, "ok": True, "passages": passages}
            return result | {"not_read": _not_read(found)} if found.left_out else result
        case WriteFile():
            # What agents write lies below work/, and is read under that name by all of the mission.
            path = use.path if use.path.startswith(OWN_FILES) else OWN_FILES + use.path
            written = files.write(acting.mission, path, use.text)
            return {"move": use.move, "ok": True, "path": path, "bytes": written}
        case _:
            assert_never(use)


def _not_read(found: Found) -> list[dict[str, str]]:
    """What a search did not look into. Only its number is told of what would fill a prompt."""
    told = [asdict(one) for one in found.left_out[:NOT_READ_MAX]]
    rest = len(found.left_out) - len(told)
    return [*told, {"path": f"{rest} more", "why": "not read either"}] if rest else told


def _readable(files: Files, acting: Acting) -> tuple[str, ...]:
    """All that an agent may read: its own files, and what the mission's agents wrote."""
    with suppress(WorkspaceError):  # nothing was written yet
        return (*acting.files, *files.names(acting.mission, (OWN_FILES.rstrip("/"),)))
    return acting.files


async def _subtree(world: World, agent: Agent) -> list[dict[str, Any]]:
    """Descendants, level by level; bounded by the law's own bounds on fan-out and depth."""
    found, level = [], [agent.id]
    while level:
        children = [child for id in level for child in await world.store.children(id)]
        found += [
            {
                "id": c.id,
                "name": c.name,
                "role": c.role,
                "tier": c.tier,
                "state": c.state.value,
            }
            for c in children
        ]
        level = [child.id for child in children]
    return found
