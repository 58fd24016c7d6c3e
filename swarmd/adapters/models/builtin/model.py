"""The `Model` port, answered by the role of whoever asks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import anyio.to_thread

from swarmd.adapters.models.builtin.board import answer_call
from swarmd.adapters.models.builtin.executive import act_as_executive
from swarmd.adapters.models.builtin.memory import spawned_parts
from swarmd.adapters.models.builtin.researcher import act_as_researcher
from swarmd.adapters.models.builtin.wording import SPEECH
from swarmd.adapters.models.opening import Opening
from swarmd.core.model.moves import Move, Wait
from swarmd.errors import WorkspaceError
from swarmd.ports.files import Files
from swarmd.ports.models import Answered, Prompt, Usage, View

NAME: Final = "builtin:rules"


class BuiltinModel:
    """The `Model` port by rules. `files` lists what a folder's name stands for; without it,
    names are taken as they are.
    """

    def __init__(self, files: Files | None = None) -> None:
        self._files = files

    @property
    def name(self) -> str:
        return NAME

    @property
    def is_language_model(self) -> bool:
        return False

    def bound(self, prompt: Prompt) -> Usage:
        return Usage(0, 0)

    def expected(self, prompt: Prompt) -> Usage:
        return self.bound(prompt)

    async def attempt(self, prompt: Prompt, sending: Callable[[], None] = lambda: None) -> Answered:
        listed = await self._list_files(prompt.view)
        return Answered(moves=decide(prompt.view, listed), usage=Usage(0, 0), text=SPEECH)

    async def aclose(self) -> None:
        pass

    async def _list_files(self, view: View) -> tuple[str, ...]:
        """The files that an executive has, one by one, for it to divide among its researchers."""
        if self._files is None or view.call is not None or not view.files or not _is_fresh(view):
            return view.files
        try:
            return await anyio.to_thread.run_sync(
                partial(self._files.names, view.mission, view.files)
            )
        except WorkspaceError:
            return view.files  # what is missing will be refused, by name, where it is searched


def decide(view: View, listed: tuple[str, ...]) -> tuple[Move, ...]:
    """The moves that answer a view. `listed` are its files one by one."""
    if view.call is not None:
        return answer_call(view, view.call)
    if view.charter is None:
        return (Wait(move="wait", what="waiting to be called"),)
    return act_as_executive(view, listed) if view.tier == 1 else act_as_researcher(view)


def _is_fresh(view: View) -> bool:
    """An executive that has created nobody yet: the one moment when it divides its files."""
    return view.tier == 1 and not view.children and not spawned_parts(view)


def open_model(opening: Opening) -> BuiltinModel:
    return BuiltinModel(opening.files)
