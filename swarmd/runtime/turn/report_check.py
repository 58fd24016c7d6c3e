"""What the runtime looks up in a report before it is sent: its citations, and the checks of the
charter on what is handed in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import anyio.to_thread

from swarmd.core.agent.citations import (
    Citation,
    Window,
    checked,
    citations_in,
    common_in,
    fault_of,
)
from swarmd.core.agent.final_report import Findings
from swarmd.core.agent.turn import Acting, may_read
from swarmd.core.model.checks import Check
from swarmd.core.model.moves import Report
from swarmd.core.model.records import NO_CITATIONS, Citations
from swarmd.core.tasks.checking import Artefact, Evidence, results_of
from swarmd.errors import WorkspaceError
from swarmd.ports.files import Files

# Of one file that is checked. A result that is longer is data, and no check of ours reads data.
ARTEFACT_CHARS_MAX: Final = 1_000_000
# Of one folder: as many as one agent has children, and some.
FOLDER_FILES_MAX: Final = 64


async def check_report(files: Files | None, acting: Acting, report: Report) -> Findings:
    """Checks are looked up for a final report alone. Nothing is right or wrong where nothing is
    cited, or this host has no files.
    """
    charter = acting.agent.charter
    checks = charter.checks if charter is not None and report.done else ()
    if files is None and not checks:
        return Findings(digest=Evidence(Artefact(report.text)).digest if report.done else "")
    # Disks may be slow: never in the event loop.
    look = _Look(files, acting)
    return await anyio.to_thread.run_sync(partial(look.find, report, checks))


@dataclass(frozen=True, slots=True)
class _Look:
    files: Files | None
    acting: Acting

    def find(self, report: Report, checks: Sequence[Check]) -> Findings:
        own = Artefact(report.text, self._citations(report.text))
        one_file = {c.file for c in checks if c.file and c.kind != "equal_across"}
        folders = {c.file for c in checks if c.kind == "equal_across"}
        evidence = Evidence(
            own,
            {path: self._artefact(path) for path in sorted(one_file)},
            {path: self._folder(path) for path in sorted(folders)},
        )
        digest = evidence.digest if report.done else ""
        return Findings(own.citations, results_of(checks, evidence), digest)

    def _citations(self, text: str) -> Citations:
        """Of each file once, however often it is cited: to read one may take a moment."""
        if self.files is None:
            return NO_CITATIONS
        by_path: dict[str, list[Citation]] = {}
        listed = citations_in(text)
        for one in listed:
            by_path.setdefault(one.path, []).append(one)
        faults: dict[Citation, str] = {}
        for path, cited in by_path.items():
            lines = self._lines(path)
            common = common_in(lines or ())
            faults |= {one: fault_of(one, _window(one, lines, common)) for one in cited}
        return checked([(one, faults[one]) for one in listed])

    def _lines(self, path: str) -> Sequence[str] | None:
        if self.files is None or not may_read(path, self.acting):
            return None
        try:
            return self.files.lines(self.acting.mission, path)
        except WorkspaceError:
            return None

    def _artefact(self, path: str) -> Artefact:
        text = self._text(path)
        if isinstance(text, _Fault):
            return Artefact(fault=text.why)
        return Artefact(text, self._citations(text))

    def _folder(self, path: str) -> dict[str, str]:
        """What cannot be read is as if it were not there."""
        if self.files is None or not may_read(path, self.acting):
            return {}
        try:
            names = self.files.names(self.acting.mission, (path,))[:FOLDER_FILES_MAX]
        except WorkspaceError:
            return {}
        texts = {name: self._text(name) for name in names}
        return {name: text for name, text in texts.items() if isinstance(text, str)}

    def _text(self, path: str) -> str | _Fault:
        if self.files is None:
            return _Fault("this host has no files")
        if not may_read(path, self.acting):
            return _Fault("it is not a file of yours")
        try:
            text = "\n".join(self.files.lines(self.acting.mission, path))
        except WorkspaceError as error:
            return _Fault(str(error))
        if len(text) > ARTEFACT_CHARS_MAX:
            return _Fault(f"it is longer than {ARTEFACT_CHARS_MAX:,} characters")
        return text


@dataclass(frozen=True, slots=True)
class _Fault:
    why: str


def _window(
    citation: Citation, lines: Sequence[str] | None, common: frozenset[str]
) -> Window | None:
    if lines is None:
        return None
    start, count = citation.window
    return Window(start, lines[start - 1 : start - 1 + count], len(lines), common)
