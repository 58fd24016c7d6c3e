"""Where sealed segments of the journal go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from swarmd.core.journal.replay import State
from swarmd.core.model.chain import Head
from swarmd.core.model.names import StreamId


@dataclass(frozen=True, slots=True)
class Kept:
    """What the archive holds: the last anchor; where that says that the store lost entries, the
    lost head; whether the last supervisor stopped in order; and the last entry that is sealed in a
    segment (0: none)."""

    anchor: Head
    lost: Head | None
    is_stopped: bool
    sealed: int
    sealed_id: StreamId


AnchorKind = Literal["started", "anchor", "stopped"]


class Archive(Protocol):
    """Files beside the store: signed anchors, and the sealed segments of the journal. Its methods
    block.

    All raise `ArchiveError` where the files cannot be written or are not what they were. Those that
    write raise `NotLeadingError` where another one has opened the files since.
    """

    def check(self) -> Head:
        """That they can be written, and the last anchor. The signing key is made where there is
        none; whoever has opened them goes on writing.
        """

    def open(self) -> Kept:
        """Read anew, ready to be written, by this one alone from now on."""

    def anchor(self, head: Head, at: str, kind: AnchorKind = "anchor") -> None:
        """Signed and on the disk when it returns. A plain one at or before the last anchor is not
        written.

        Between `stopped` and the next `started` nobody may write in the journal.
        """

    def recover(self, continues: Head, lost: Head, at: str) -> None:
        """As an anchor: the store ends before the last one, and the journal goes on after
        `continues`.

        Segments with entries that are lost are put aside.
        """

    def seal(self, entries: Sequence[tuple[StreamId, str]]) -> Sealing:
        """Take the next entries of the journal, and seal each segment that is full."""

    def state(self) -> State:
        """A copy of the state after the last entry that was taken."""


@dataclass(frozen=True, slots=True)
class Sealing:
    """What came of it. The store need not keep entries before `keep_from`, where that is told.

    `broken` is not empty while entries are put aside: one did not follow, and an entry that states
    all anew is waited for.
    """

    keep_from: StreamId | None = None
    broken: str = ""
