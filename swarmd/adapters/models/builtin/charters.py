"""What charters of the built-in mind say: the theme of a task, and files that fit into one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from swarmd.adapters.files.sentences import cleaned
from swarmd.adapters.models.builtin.topics import Topic, topic
from swarmd.core.model.charter import Charter

FILES_MAX: Final = 512  # of one charter, as the moves bound it
_CONTEXT: Final = "\n\nThe whole mission, for context: "


def task_of(theme: str, mission: str) -> str:
    return theme if theme == cleaned(mission) else f"{theme}{_CONTEXT}{mission[:8_000]}"


def theme_of(task: str) -> str:
    return cleaned(task.split(_CONTEXT, maxsplit=1)[0])


def topic_of_charter(charter: Charter, mission: str) -> tuple[str, Topic]:
    theme = theme_of(charter.task)
    return theme, topic(theme, mission)


def fitting_names(names: Sequence[str]) -> tuple[str, ...]:
    """Names that fit into one charter: where there are too many files, the folders that hold
    them.
    """
    for depth in (None, 3, 2, 1):
        cut = dict.fromkeys(
            name if depth is None else "/".join(name.split("/")[:depth]) for name in names
        )
        if len(cut) <= FILES_MAX:
            return tuple(cut)
    return tuple(cut)[:FILES_MAX]


def executives_of(motion: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    listed = motion.get("executives") or ()
    return [executive for executive in listed if isinstance(executive, Mapping)]
