"""What the children of executives have reported, for the seat that judges what these made of it.
Pure.

An executive's report is its own word on its children's work: one that contradicts them reads as
well as one that does not. So who proposes on a review, or answers arguments in one, is shown both.
The others hear of it by the motion and its reason: what all seats read is paid for by each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from swarmd.core.agent.report_file import report_path
from swarmd.core.model.kpis import kpis_of, kpis_text
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import AgentState
from swarmd.core.model.records import Citations, checks_of, checks_text

# Characters of all children's reports in one call: some 1,500 tokens. Each has an equal part, and
# what a short one leaves of that. What three researchers find fits in nearly whole, and it is a
# third of what a review's call takes without it.
ROOM_CHARS: Final = 6_000
# Of one report: below that it says no more than that there is one, and further ones are counted.
PART_CHARS_MIN: Final = 250
# Of the channel on which an executive's children report: their last words stand at its end.
MESSAGES_READ: Final = 64


@dataclass(frozen=True, slots=True)
class ChildReport:
    """The last report of a child, and the name of the executive that it went to."""

    superior: str
    child: Agent
    message: Message

    def to_text(self, chars_max: int) -> str:
        said = self.message.text
        is_done = "done" if self.message.data.get("done") else "not done"
        if self.child.state is AgentState.TERMINATED:
            is_done += ", and was ended since"
        head = f"{self.child.name} ({self.child.id}) to {self.superior}, {is_done}"
        if cited := Citations.of(self.message.data).text:
            head += f"; citations: {cited}"
        if checks := checks_text(checks_of(self.message.data)):
            head += f"; {checks}"
        if kpis := kpis_text(kpis_of(self.message.data)):
            head += f"; KPIs: {kpis}"
        if len(said) <= chars_max:
            return f"{head}\n{said}"
        shown = _beginning(said, chars_max)
        where = report_path(self.child.name, self.child.id, self.message.data.get("files", ()))
        whole = f": the whole is in {where}" if where else ""
        return f"{head}\n{shown}\n[… cut after {len(shown):,} of {len(said):,} characters{whole}]"


def _beginning(text: str, chars_max: int) -> str:
    """Up to the end of a line where that leaves half of the room full, else of a word."""
    cut = text[:chars_max]
    for end in ("\n", " "):
        whole = cut.rpartition(end)[0].rstrip()
        if len(whole) >= chars_max // 2:
            return whole
    return cut


def last_reports(
    superior: str, children: Sequence[Agent], said: Sequence[Message]
) -> list[ChildReport]:
    """Of each child its last one, in the order in which they were made."""
    last = {message.sender: message for message in said if message.kind is Kind.REPORT}
    return [ChildReport(superior, child, last[child.id]) for child in children if child.id in last]


def child_reports_text(reports: Sequence[ChildReport]) -> str:
    """All of them in `ROOM_CHARS`, but for their heads; empty where there are none."""
    shown = reports[: ROOM_CHARS // PART_CHARS_MIN]
    part = _part([len(report.message.text) for report in shown])
    texts = [report.to_text(part) for report in shown]
    if len(shown) < len(reports):
        texts.append(f"{len(reports) - len(shown)} more are not shown")
    return "\n\n".join(texts)


def _part(sizes: Sequence[int]) -> int:
    """The most that one report may have, so that all together have at most `ROOM_CHARS`."""
    room = ROOM_CHARS
    for index, size in enumerate(sorted(sizes)):
        part = room // (len(sizes) - index)
        if size > part:
            return part
        room -= size
    return ROOM_CHARS
