"""What the functions do: one handler for each, by name, in a mapping that is passed in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any, Final

import anyio
import anyio.to_thread

from swarmd.core.agent.file_list import listing
from swarmd.core.agent.turn import Acting
from swarmd.core.model.functions import (
    FILE_LIST,
    FILE_READ,
    FILE_SEARCH,
    FILE_WRITE,
    KEPT_TURNS,
    OWN_FILES,
    REPORTS,
    TREE_LIST,
    FunctionCall,
    ListFiles,
    ReadFile,
    SearchFiles,
    WriteFile,
)
from swarmd.errors import WorkspaceError
from swarmd.ports.files import Files, Found
from swarmd.ports.stores import WorkerStore

# Is given who acts and arguments that fit the function's row, and returns the fields of its result.
# What it cannot do it raises as a `WorkspaceError`, in a sentence of our own: a failure does not
# taint, so no text from outside may stand in it.
Handler = Callable[[Acting, Any], Awaitable[Mapping[str, Any]]]
Handlers = Mapping[str, Handler]

# Of the files that one search did not read: their names and reasons are a few thousand tokens at
# most.
NOT_READ_MAX: Final = 50


# Of a function that may not be repeated: it was begun, and the end of that was not seen.
UNKNOWN_OUTCOME: Final = (
    "unknown outcome: it was begun and cut off, so it may or may not have "
    "been done; find out before you repeat it"
)


async def call_function(handlers: Handlers, acting: Acting, call: FunctionCall) -> dict[str, Any]:
    """A function's result as the model sees it. Errors are results: the agent adapts to them."""
    name, seconds = call.function.name, call.function.seconds
    handler = handlers.get(name)
    if handler is None:
        return failure(
            name, f"this host cannot do {name}: it has no handler or no workspace for it"
        )
    try:
        with anyio.move_on_after(seconds):
            result = await handler(acting, call.args)
            # Whether it was done is the runtime's to say, and so is whose result this is: by both
            # it is known whether the result taints.
            said: dict[str, Any] = {"function": name, "ok": True}
            return {**said, **result, **said}
    except WorkspaceError as error:
        return failure(name, str(error))
    return failure(name, f"it took longer than {seconds:g} s and was cancelled; {UNKNOWN_OUTCOME}")


def files_in(result: Mapping[str, Any]) -> tuple[str, ...]:
    """The files whose text a function's result has, or that it wrote."""
    if not result["ok"]:
        return ()
    own = [result["path"]] if "path" in result else []
    found = [passage["path"] for passage in result.get("passages", ())]
    return tuple(dict.fromkeys([*own, *found]))


def failure(name: str, detail: str) -> dict[str, Any]:
    return {"function": name, "ok": False, "detail": detail}


def built_in(store: WorkerStore, files: Files | None) -> dict[str, Handler]:
    """The handlers of what swarmd itself brings; without `files`, of what needs none."""

    async def list_tree(acting: Acting, _: Any) -> Mapping[str, Any]:
        return {"agents": await _subtree(store, acting)}

    return {TREE_LIST.name: list_tree} | ({} if files is None else _of_files(files))


def _of_files(files: Files) -> dict[str, Handler]:
    # Disks may be slow or remote: never in the event loop. Not cancelled half-way, for a write is
    # whole.
    def in_thread(do: Callable[[Files, Acting, Any], Mapping[str, Any]]) -> Handler:
        async def handler(acting: Acting, args: Any) -> Mapping[str, Any]:
            return await anyio.to_thread.run_sync(do, files, acting, args)

        return handler

    return {
        FILE_LIST.name: in_thread(_list),
        FILE_READ.name: in_thread(_read),
        FILE_SEARCH.name: in_thread(_search),
        FILE_WRITE.name: in_thread(_write),
    }


def _read(files: Files, acting: Acting, args: ReadFile) -> Mapping[str, Any]:
    found = files.read(acting.mission, args.path, args.start, args.lines)
    where = {"path": args.path, "start": args.start, "total": found.total}
    return {**where, "lines": list(found.lines)}


def _list(files: Files, acting: Acting, args: ListFiles) -> Mapping[str, Any]:
    """Of the files that it may read, so that nothing is told of others."""
    return listing(files.facts(acting.mission, _readable(files, acting)), args.folder, args.start)


def _search(files: Files, acting: Acting, args: SearchFiles) -> Mapping[str, Any]:
    names = args.files or _readable(files, acting)
    found = files.search(acting.mission, args.query, names, args.top)
    seen = {"searched": found.searched, "words": dict(found.words)}
    result = {"passages": [asdict(passage) for passage in found.passages], **seen}
    return result | {"not_read": _not_read(found)} if found.left_out else result


def _write(files: Files, acting: Acting, args: WriteFile) -> Mapping[str, Any]:
    # What agents write lies below work/, and is read under that name by all of the mission.
    path = args.path if args.path.startswith(OWN_FILES) else OWN_FILES + args.path
    return {"path": path, "bytes": files.write(acting.mission, path, args.text)}


def _not_read(found: Found) -> list[dict[str, str]]:
    """What a search did not look into. Only its number is told of what would fill a prompt."""
    told = [asdict(one) for one in found.left_out[:NOT_READ_MAX]]
    rest = len(found.left_out) - len(told)
    return [*told, {"path": f"{rest} more", "why": "not read either"}] if rest else told


def _readable(files: Files, acting: Acting) -> tuple[str, ...]:
    """All that an agent may read: its own files, and what the mission's agents wrote. Reports, and
    turns of who has ended, repeat what stands in other files: they are searched where they are
    named.
    """
    with suppress(WorkspaceError):  # nothing was written yet
        written = files.names(acting.mission, (OWN_FILES.rstrip("/"),))
        repeating = (KEPT_TURNS, REPORTS)
        return (*acting.files, *(path for path in written if not path.startswith(repeating)))
    return acting.files


async def _subtree(store: WorkerStore, acting: Acting) -> list[dict[str, Any]]:
    """Descendants, level by level; bounded by the law's own bounds on fan-out and depth."""
    found, level = [], [acting.agent.id]
    while level:
        children = [child for id in level for child in await store.children(id)]
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
