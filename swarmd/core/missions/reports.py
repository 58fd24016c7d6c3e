"""What the executives of a mission have reported and still stands. Pure."""

from __future__ import annotations

from swarmd.core.model.functions import REPORTS, is_own_file
from swarmd.core.model.names import MissionId
from swarmd.core.model.records import ExecutiveReport
from swarmd.core.model.state import Swarm


def standing_reports(swarm: Swarm, mission: MissionId) -> list[ExecutiveReport]:
    """The last of each executive, the first made first. Whoever was replaced has somebody in its
    place, who reports.
    """
    board = swarm.boards.get(mission)
    replaced = board.watch.replaced if board is not None else ()
    return [one for one in swarm.reports.get(mission, {}).values() if one.agent not in replaced]


def result_files(swarm: Swarm, mission: MissionId) -> tuple[str, ...]:
    """What was written of a mission's result: the files of the reports that stand, and those that
    they name of what the mission's agents wrote. What was given is not of them.
    """
    named = [path for one in standing_reports(swarm, mission) for path in one.files]
    written = dict.fromkeys(path for path in named if is_own_file(path))
    return tuple(sorted(written, key=lambda path: not path.startswith(REPORTS)))


def unaccepted_text(swarm: Swarm, mission: MissionId, why: str) -> str:
    """Finished reports that the board has not delivered; empty where there is none."""
    texts = [
        one.text.strip()
        for one in standing_reports(swarm, mission)
        if one.is_done and not one.is_without_result
    ]
    return "\n\n".join([f"[swarmd: not delivered by the board: {why}]", *texts]) if texts else ""
