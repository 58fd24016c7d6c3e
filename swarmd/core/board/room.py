"""What the board's room is told, and how a seat is called. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, replace
from typing import Any, Final, Literal

from swarmd.core.actions.funding import can_pay_an_executive, to_give
from swarmd.core.board import agenda, following, standstill
from swarmd.core.board.agenda import Cause
from swarmd.core.board.announcing import excerpt
from swarmd.core.board.events import Announce, CallSeat
from swarmd.core.missions.reports import standing_reports
from swarmd.core.model.changes import Post
from swarmd.core.model.channels import BOARD_ROOM, inbox
from swarmd.core.model.entries import entry
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.kpis import kpis_text
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import CLERK, AgentId, MissionId
from swarmd.core.model.procedure import SeatCall
from swarmd.core.model.provenance import stamped
from swarmd.core.model.records import ExecutiveReport, checks_text
from swarmd.core.model.refusals import Rule
from swarmd.core.model.state import Draft, Swarm

# Of an executive's charter as all seats are told it in each call of a review: they wrote it, and
# look up by these what it was given and what it was to mind. Some 60 tokens.
FILES_TOLD: Final = 4
MIND_TOLD_CHARS: Final = 120


def call_seat(draft: Draft, id: MissionId, effect: CallSeat) -> None:
    joined = agenda.join(draft, id) if effect.call.phase == "review" else ()
    asked = _with_facts(draft, id, effect.call, joined)
    text = f"{effect.call.phase}, motion {effect.call.motion_number} of mission {id}"
    message = Message(
        sender=CLERK,
        to=effect.seat,
        kind=Kind.CALL,
        mission=id,
        at=draft.stamp,
        text=text,
        data={"call": asdict(asked), "attempt": effect.attempt},
    )
    read = {source for report in asked.reports for source in report.get("taint", ())}
    draft.add(Post(inbox(AgentId(effect.seat)), stamped(message, read)))


def _with_facts(draft: Draft, id: MissionId, call: SeatCall, joined: tuple[Cause, ...]) -> SeatCall:
    """What a seat is told beside what the procedure knows."""
    swarm = draft.swarm
    come = joined or agenda.come_since(swarm, id, draft.now)
    return replace(
        call,
        # As they are now: what came while another call was open would else be decided unseen.
        reports=_reports(swarm, id),
        charters=tuple(_charter_data(swarm, agent) for agent in swarm.executives(id)),
        spent=_with_all_below(swarm, id, "spent"),
        left=_with_all_below(swarm, id, "free"),
        of_board=dict(swarm.observed.free.get(id, {})),
        to_give=to_give(swarm, id),
        least=_least_of(swarm, id),
        agenda=(*call.agenda, *agenda.items_of(swarm, id, come)),
        words=tuple(word.model_dump() for word in swarm.boards[id].watch.said),
    )


def _reports(swarm: Swarm, id: MissionId) -> tuple[dict[str, Any], ...]:
    """Whole, but for those that stand within the final report of another executive."""
    within = following.worked_into(swarm, id)
    told = [report_data(report) for report in standing_reports(swarm, id)]
    directed = swarm.boards[id].watch.directed
    for report in told:
        report["is_before_directive"] = report["agent"] in directed
        if report["agent"] in within:
            report["text"] = excerpt(report["text"], agenda.EXCERPT_CHARS)
            report["within"] = within[report["agent"]]
    return tuple(told)


def _least_of(swarm: Swarm, id: MissionId) -> dict[str, dict[str, int]]:
    """The sums that a rejection can name, where no executive can be paid; not where all have done
    their work, for then there is something to deliver.
    """
    estimate = swarm.observed.estimates.get(id)
    is_done = bool(swarm.executives(id)) and standstill.is_all_done(swarm, id)
    if estimate is None or is_done or can_pay_an_executive(swarm, id):
        return {}
    sums = {"executive": estimate.executive, "whole": estimate.whole, "argued": estimate.argued}
    return {name: dict(amounts) for name, amounts in sums.items()}


def _charter_data(swarm: Swarm, agent: Agent) -> dict[str, Any]:
    """What an executive was given, and what became of it so far."""
    charter, report = agent.charter, swarm.reports.get(agent.mission, {}).get(agent.id)
    return {
        "agent": agent.id,
        "name": agent.name,
        "role": agent.role,
        "task": charter.task if charter else "",
        "done": charter.done if charter else "",
        "files": list(charter.files[:FILES_TOLD]) if charter else [],
        "files_count": len(charter.files) if charter else 0,
        "mind": [excerpt(mind, MIND_TOLD_CHARS) for mind in charter.mind] if charter else [],
        "state": _state_of(swarm, agent, report),
        "spent": _with_all_below(swarm, agent.id, "spent"),
        "left": _with_all_below(swarm, agent.id, "free"),
    }


def _with_all_below(swarm: Swarm, account: str, amount: Literal["spent", "free"]) -> dict[str, int]:
    seen = swarm.observed
    own = seen.spent if amount == "spent" else seen.free
    found = Counter(own.get(account, {}))
    if seen.below is not None:
        found.update(seen.below(account, amount))
    return dict(found)


def _state_of(swarm: Swarm, agent: Agent, report: ExecutiveReport | None) -> str:
    """In a word or two, for whoever decides what follows."""
    if swarm.lineage.is_ending(agent):
        return "ending"
    stop = swarm.lineage.stop_on(agent)
    trouble = swarm.troubles.get(agent.id)
    if stop is not None:
        return f"stopped ({stop.kind.value}): {stop.reason}"
    if report is not None and report.is_done:
        return "has reported, done"
    if trouble is not None:
        return trouble.kind
    if standstill.is_held_back(swarm, agent):
        return agent.reason
    return _state_of_work(swarm, agent, report)


def _state_of_work(swarm: Swarm, agent: Agent, report: ExecutiveReport | None) -> str:
    if directed := swarm.boards[agent.mission].watch.directed.get(agent.id):
        return f"at work on what the board directed: “{excerpt(directed, MIND_TOLD_CHARS)}”"
    return "at work" if report is None else "has reported, not done"


def announce(
    draft: Draft,
    id: MissionId,
    effect: Announce,
    event: JournalEvent = JournalEvent.BOARD_ANNOUNCED,
) -> None:
    message = Message(
        sender=CLERK,
        kind=Kind.NOTICE,
        mission=id,
        at=draft.stamp,
        text=effect.text,
        data=dict(effect.data),
    )
    draft.add(Post(BOARD_ROOM, message))
    draft.record(event, effect.text, actor=CLERK, mission=id, more=effect.data)


def words_of(value: object) -> tuple[str, ...]:
    return tuple(name for name in value if isinstance(name, str)) if isinstance(value, list) else ()


def former_post(draft: Draft, message: Message) -> Post:
    return entry(
        draft.moment,
        JournalEvent.MESSAGE_REFUSED,
        "a former incarnation spoke",
        actor=message.sender,
        mission=message.mission,
        rule=Rule.INCARNATION,
        detail=f"made under {message.incarnation}",
        channel=message.channel,
        request=message.id,
    )


def report_digest(draft: Draft, executive: Agent, report: ExecutiveReport) -> Message:
    excerpt = report.text if len(report.text) <= 300 else report.text[:300] + " …"
    digest = Message(
        sender=CLERK,
        kind=Kind.DIGEST,
        mission=executive.mission,
        at=draft.stamp,
        text=f"{executive.name} {'is done' if report.is_done else 'reports'}: {excerpt}",
        data={"agent": executive.id, "done": report.is_done},
    )
    return stamped(digest, report.taint)


def report_data(report: ExecutiveReport) -> dict[str, Any]:
    return {
        "agent": report.agent,
        "name": report.name,
        "text": report.text,
        "files": list(report.files),
        "citations": report.citations.text,
        "checks": checks_text(report.checks),
        "kpis": kpis_text(report.kpis),
        "done": report.is_done,
        "taint": list(report.taint),
    }
