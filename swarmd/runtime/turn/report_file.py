"""Each final report, written into the mission's workspace before it is sent.

It is written in the turn that reports: who dies between the file and the commit writes it once
more, the same. Where the commit is refused, for the agent was ended meanwhile, the file stays and
says what it would have reported.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial

import anyio
import anyio.to_thread
import structlog

from swarmd.core.agent.report_file import is_of, paths_of, text_of, with_files
from swarmd.core.agent.turn import Acting, is_final
from swarmd.core.model.functions import OWN_FILES
from swarmd.core.model.messages import Message
from swarmd.core.model.names import MissionId
from swarmd.core.model.timings import FUNCTION_SECONDS
from swarmd.errors import WorkspaceError
from swarmd.log_events import LogEvent
from swarmd.ports.files import Files
from swarmd.runtime.turn.world import Gathered, World

log = structlog.get_logger(__name__)


async def write_reports(world: World, acting: Acting, gathered: Gathered) -> None:
    """Of what a turn sends, each final report names its file. Where this host has no workspace, or
    it cannot be written to, the report is sent without one.
    """
    if world.files is None:
        return
    for at, (channel, message) in enumerate(gathered.outputs):
        if is_final(message):
            gathered.outputs[at] = channel, await _written(world.files, acting, message)


async def _written(files: Files, acting: Acting, report: Message) -> Message:
    """The report as it is sent: as it was where its file could not be written."""
    write, why = partial(_write, files, acting, report), ""
    try:
        # What a function that writes has: a volume that hangs does not keep the report for good.
        with anyio.fail_after(FUNCTION_SECONDS):
            return await anyio.to_thread.run_sync(write, abandon_on_cancel=True)
    except WorkspaceError as error:
        why = error.what
    except TimeoutError:
        why = f"the workspace took longer than {FUNCTION_SECONDS:g} s"
    log.warning(LogEvent.REPORT_NOT_WRITTEN, agent=acting.agent.id, why=why)
    return report


def _write(files: Files, acting: Acting, report: Message) -> Message:
    """Under the first of its names that no other agent's report has. Raises `WorkspaceError`."""
    agent, mission = acting.agent, acting.mission
    named = [_as_it_lies(files, mission, name) for name in report.data.get("files", ())]
    text = text_of(agent, report, named)
    for path in paths_of(agent.name, agent.id):
        if files.create(mission, path, text):
            return with_files(report, path, named)
        if is_of(agent, "".join(files.read(mission, path, 1, 1).lines)):
            files.write(mission, path, text)
            return with_files(report, path, named)
    raise WorkspaceError(
        f"{path}: is the report of another agent", hint="give each agent a name of its own"
    )


def _as_it_lies(files: Files, mission: MissionId, name: str) -> str:
    """What an author wrote as NAME lies at `work/NAME`: whoever reads the report finds it there."""
    for path in (name, OWN_FILES + name):
        with suppress(WorkspaceError):
            if files.names(mission, (path,)):
                return path
    return name
