"""Where a mission's names are looked up: what was given, what was written, what is known anyway."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from swarmd.adapters.files.content import decode_text, list_file, read_bytes
from swarmd.adapters.files.faults import missing_fault, translated
from swarmd.adapters.files.listing import Layer, files_of
from swarmd.adapters.files.paths import check_mission, open_folder, parts_of_name
from swarmd.adapters.files.search import Listed
from swarmd.core.model.masking import Masking
from swarmd.core.model.names import MissionId
from swarmd.ports.files import LeftOut

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Layers:
    """The folders of all missions, in the order in which they are asked."""

    root: Path
    knowledge: Path | None
    policies: Path | None  # readable as `policies/…` where nothing hides it
    masking: Masking

    def files_below(self, mission: MissionId, name: str, passed: list[LeftOut]) -> set[str]:
        """The files that a name stands for; `.` is all that the mission itself has, or else the
        whole knowledge folder. Raises `WorkspaceError` where there is none of that name.
        """
        given, work, *others = self._layers_of(mission)
        if name in (".", "./"):
            return _all_below(given, work, others, passed)
        parts = parts_of_name(name)
        first, second = files_of(given, parts, passed), files_of(work, parts, passed)
        # A name that came with the mission hides the same name of the knowledge folder, or `--files
        # docs` would silently search somebody else's docs as well.
        third = _files_of_first(others, parts, passed) if first is None else None
        found = _union((first, second, third))
        if found is None:
            raise missing_fault(name)
        return found

    def list_file(self, mission: MissionId, path: str) -> Listed:
        return self._use_first(mission, path, list_file)

    def read_text(self, mission: MissionId, path: str) -> str:
        """Without its secrets: as it is read so it is searched, or a search would tell them."""
        return self.masking.text(decode_text(path, self._use_first(mission, path, read_bytes)))

    def _use_first(self, mission: MissionId, path: str, use: Callable[[int, str, str], T]) -> T:
        """`use(folder, last part, path)` in the first layer that has `path`."""
        parts = parts_of_name(path)
        with translated(path):
            for layer in self._layers_of(mission):
                if not layer.shows(parts):
                    continue
                with (
                    suppress(FileNotFoundError),
                    open_folder(layer.start, (*layer.parts, *parts[:-1])) as folder,
                ):
                    return use(folder, parts[-1], path)
        raise missing_fault(path)

    def _layers_of(self, mission: MissionId) -> tuple[Layer, ...]:
        check_mission(mission)
        layers = [Layer(self.root, (mission, "given")), Layer(self.root, (mission, "work"))]
        if self.knowledge is not None:
            layers.append(Layer(self.knowledge, ()))
        if self.policies is not None:
            layers.append(Layer(self.policies.parent, (), only=self.policies.name))
        return tuple(layers)


def _all_below(
    given: Layer, work: Layer, others: Sequence[Layer], passed: list[LeftOut]
) -> set[str]:
    """All that the mission itself has; of one that has no folder yet, the whole knowledge
    folder.
    """
    found = _union(files_of(layer, (), passed) for layer in (given, work))
    if found is None:
        found = _union(files_of(layer, (), passed) for layer in others if not layer.only)
    return found or set()


def _union(found: Iterable[set[str] | None]) -> set[str] | None:
    """`None` where none of the layers has the name."""
    sets = [files for files in found if files is not None]
    return set().union(*sets) if sets else None


def _files_of_first(
    layers: Sequence[Layer], parts: tuple[str, ...], passed: list[LeftOut]
) -> set[str] | None:
    found = (files_of(layer, parts, passed) for layer in layers if layer.shows(parts))
    return next((files for files in found if files is not None), None)
