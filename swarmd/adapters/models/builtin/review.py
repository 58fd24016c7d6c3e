"""What a seat proposes once reports have come: to deliver, to send work back, or to give up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from swarmd.adapters.files.sentences import bounded, cleaned
from swarmd.adapters.models.builtin.proposal import reject_mission
from swarmd.adapters.models.builtin.reports import (
    NOT_READ,
    is_undone,
    not_read_in,
    not_read_lines,
    quotes_in,
    quotes_of,
    tells_number,
)
from swarmd.adapters.models.builtin.topics import topic
from swarmd.adapters.models.builtin.wording import CREATION_IS_LAWFUL, SPEECH, counted
from swarmd.core.board.motions.act import ActMotion
from swarmd.core.board.motions.deliver import DeliverMotion
from swarmd.core.board.motions.direct import DirectMotion
from swarmd.core.board.motions.wait import WaitMotion
from swarmd.core.model.moves import Propose
from swarmd.core.model.names import CLERK
from swarmd.core.model.refusals import Rule
from swarmd.ports.models import Call, View

FILES_SHOWN: Final = 10


def review(view: View, call: Call) -> Propose:
    return _about_agenda(view, call) or _about_reports(view, call)


def _about_agenda(view: View, call: Call) -> Propose | None:
    waiting = [] if _is_refused(call) else _waiting_creations(view)
    if waiting:
        return _approve_creation(waiting[0])
    is_refused = Rule.BOARD_MOTION in f"{call.refusal} {call.correction}"
    return _wait_for_others() if call.agenda and not is_refused else None


def _about_reports(view: View, call: Call) -> Propose:
    reports = _reports_by_theme(call)
    undone = next((agent for agent, text in reports if is_undone(text)), None)
    if undone and call.sent_back < min(1, call.send_backs_max):
        return _send_back(view, undone)
    if any(quotes_in(text) for _, text in reports):
        return _deliver_reports(view, call, reports)
    return reject_mission(_not_answered(view, not_read_in(text for _, text in reports)))


def _is_refused(call: Call) -> bool:
    """Its last motion, for good: what takes a person's permission is proposed once more."""
    return bool(call.correction) and "permission" not in call.correction


def _reports_by_theme(call: Call) -> list[tuple[str, str]]:
    """Each report's agent and text, in the order of the themes, as their names count them: who
    reported first is chance.
    """
    ordered = sorted(call.reports, key=lambda report: str(report.get("name", "")))
    return [(str(report.get("agent", "")), str(report.get("text", ""))) for report in ordered]


def _waiting_creations(view: View) -> list[str]:
    """Creations that wait for the board's permission, by its clerk's word, and that no motion was
    about yet.
    """
    notices = [said.data for said in view.room if said.sender == CLERK]
    put = {str((data.get("motion") or {}).get("target")) for data in notices}
    asked = [str(data["approval"]) for data in notices if _asks_permission(data)]
    return [id for id in asked if id not in put]


def _asks_permission(notice: Mapping[str, Any]) -> bool:
    return notice.get("action") == "spawn" and notice.get("rule") == Rule.APPROVAL_NEEDED


def _approve_creation(creation: str) -> Propose:
    reason = f"{SPEECH}. {CREATION_IS_LAWFUL}"
    motion = ActMotion(motion="act", verb="approve", target=creation, reason=reason)
    return Propose(move="propose", motion=motion)


def _wait_for_others() -> Propose:
    """One of several is stuck or gone: the others go on. Where nobody does, the law says so, and
    what there is is looked at.
    """
    reason = f"{SPEECH}. what the others find is still to come"
    return Propose(move="propose", motion=WaitMotion(motion="wait", reason=reason))


def _send_back(view: View, agent: str) -> Propose:
    motion = DirectMotion(
        motion="direct",
        to=agent,
        text=f"Search again all your files for: {topic(view.mission_text).query}",
        reason="a part of the files was not searched",
    )
    return Propose(move="propose", motion=motion)


def _deliver_reports(view: View, call: Call, reports: Sequence[tuple[str, str]]) -> Propose:
    cited = [(agent, text) for agent, text in reports if quotes_in(text)]
    quotes = quotes_of(call.reports)
    sources = counted(len({quote.path for quote in quotes}), "file")
    reason = f"{counted(len(quotes), 'cited sentence')} from {sources}"
    cover = _write_cover(view.mission_text, sources, _not_read_beside(reports))
    if not call.refusal:
        return _propose_delivery(
            cover, tuple(dict.fromkeys(agent for agent, _ in cited))[:24], reason
        )
    # Once refused, the reports are written out: a reference that cannot be resolved is then no
    # obstacle.
    whole = "\n\n".join((cover, *(section for _, section in cited)))
    return _propose_delivery(whole[:64_000], (), reason)


def _not_read_beside(reports: Sequence[tuple[str, str]]) -> list[str]:
    """Of reports that are not delivered, for they quote nothing."""
    return not_read_in(text for _, text in reports if not quotes_in(text))


def _propose_delivery(text: str, reports: tuple[str, ...], reason: str) -> Propose:
    motion = DeliverMotion(motion="deliver", text=text, reports=reports, reason=reason)
    return Propose(move="propose", motion=motion)


def _write_cover(mission_text: str, sources: str, not_read: Sequence[str]) -> str:
    """What stands above the reports: the title, how they were made, what nobody read."""
    title = bounded(cleaned(mission_text), 160)
    made = (
        f"# {title}\n\nMade by rules and retrieval, not by a language model: each line below "
        f"quotes a sentence of {sources} and names its file and line. Nothing was rephrased or "
        "concluded."
    )
    return "\n".join((made, *(f"\n{line}" for line in not_read_lines(not_read))))


def _not_answered(view: View, not_read: Sequence[str]) -> str:
    about = topic(view.mission_text)
    asked = ", ".join(about.written[term] for term in about.strong[:20])
    return (
        f"Nothing in the files answers this mission. No sentence was found for: {asked}. Searched: "
        f"{_files_searched(view.files, not_read)}. Give files that speak of it, or ask in their "
        f"words. ({SPEECH}.)" + "".join(f"\n{line}" for line in not_read_lines(not_read))
    )


def _files_searched(files: Sequence[str], not_read: Sequence[str]) -> str:
    read = [
        name
        for name in files
        if not any(line.startswith(f"{NOT_READ} {name}: ") for line in not_read)
    ]
    if files and not read:
        return "no file"
    if any(map(tells_number, not_read)):  # what those are called is not told
        return "the files of the mission, but for those that were not read"
    beyond = len(read) - FILES_SHOWN
    more = f" and {beyond} more" if beyond > 0 else ""
    return ", ".join(read[:FILES_SHOWN]) + more or "the swarm’s own knowledge"
