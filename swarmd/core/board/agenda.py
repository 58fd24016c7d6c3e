"""What the board is called for while its mission works: each cause with its facts, put once. Pure.

Results of all executives call it, and whatever waits for it: a request for permission, a blocker,
an executive that is stalled, frozen, exhausted, has ended, goes on with what the law refuses, or
rests while nothing is under way below it. All that waits is put at once, on one agenda. What comes
while a motion is before the board waits for the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from swarmd.core.actions import approvals
from swarmd.core.actions.funding import can_pay_an_executive
from swarmd.core.board.standstill import (
    boards_stop,
    is_all_done,
    is_done,
    is_mission_at_rest,
    rests_since,
    supervisors_stop,
    waits_for_board,
)
from swarmd.core.model.chain import canonical, sha256
from swarmd.core.model.corrections import Episode
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.lineage import Agent
from swarmd.core.model.names import (
    CLERK,
    AgentId,
    MissionId,
)
from swarmd.core.model.procedure import Procedure, as_stored
from swarmd.core.model.records import Approval
from swarmd.core.model.state import Draft, Swarm
from swarmd.core.model.tables import APPROVALS, BOARDS, Put
from swarmd.core.model.timings import stamp_of

# Calls of the board about one executive. A board that has decided three times about somebody and
# changed nothing has no better idea at the fourth; what is left is to deliver without it.
CALLS_MAX: Final = 3
# Of a report in the line of the agenda; the whole is among the reports.
EXCERPT_CHARS: Final = 300


_CAN: Final[Mapping[str, str]] = {
    "permission": "act: approve or deny it, or sort it: refused, or brought before a person",
    "blocker": "direct it with what it needs (`files` gives it further ones), act: fund or "
    "grant, charter another in its place, or deliver what there is",
    "resting": "direct it, charter another in its place, or deliver what there is",
    "stalled": "act: freeze or terminate it, charter another in its place, or wait",
    "uncorrected": "direct it with what it did not know, act: freeze or terminate it, charter "
    "another in its place, or wait",
    "frozen": "act: thaw or terminate it, charter another in its place, or deliver what there is",
    "held": "act: thaw or terminate it, charter another in its place, or deliver what there is",
    "exhausted": "act: fund or terminate it, charter another in its place, or deliver what there "
    "is",
    "ended": "charter another in its place, leave its part to the others, or deliver what there is",
}
# Where what a motion can give is less than an executive takes.
_CAN_UNPAID: Final[Mapping[str, str]] = {
    "blocker": "direct it with what it needs (`files` gives it further ones), act: grant, or "
    "deliver what there is",
    "resting": "direct it, or deliver what there is",
    "stalled": "act: freeze or terminate it, or wait",
    "uncorrected": "direct it with what it did not know, act: freeze or terminate it, or wait",
    "frozen": "act: thaw or terminate it, or deliver what there is",
    "held": "act: thaw or terminate it, or deliver what there is",
    "exhausted": "act: terminate it, or deliver what there is",
    "ended": "leave its part to the others, or deliver what there is",
}


# What is news while the board is in review, as its seats are told it.
_NEWS: Final[Mapping[str, str]] = {
    "permission": "asks for permission",
    "stalled": "makes no progress",
    "uncorrected": "goes on with what the law refuses",
    "frozen": "is held",
    "exhausted": "is held, for its account is empty",
    "ended": "has ended without a final report",
}


@dataclass(frozen=True, slots=True)
class Cause:
    """One thing that waits for the board. `about` is the executive whose calls it counts among;
    `detail` tells it from another cause of its kind."""

    kind: str
    agent: AgentId
    name: str
    what: str
    since: float
    task: str = ""
    detail: str = ""
    about: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The same for the same cause, also after a restart."""
        told = [self.kind, self.agent, sha256(self.task), self.detail]
        return sha256(canonical(told))[:16]

    @property
    def news(self) -> str:
        return f"{self.name or self.agent} {_NEWS[self.kind]}"

    def item(self, *, is_paid: bool) -> dict[str, Any]:
        """As it stands on the agenda; `is_paid` where a motion can give what an executive takes."""
        can = _CAN if is_paid else {**_CAN, **_CAN_UNPAID}
        return {
            "kind": self.kind,
            "agent": self.agent,
            "name": self.name,
            "what": self.what,
            "since": stamp_of(self.since),
            "can": can[self.kind],
            **self.facts,
        }


def join(draft: Draft, id: MissionId) -> tuple[Cause, ...]:
    """What has come since the review was opened joins its agenda as a seat is asked to propose."""
    fresh = come_since(draft.swarm, id, draft.now)
    if not fresh:
        return ()
    _note_put(draft, id, fresh)
    procedure = draft.swarm.boards[id]
    items = as_stored(items_of(draft.swarm, id, fresh))
    changes = {
        "agenda": (*procedure.agenda, *items),
        "is_for_chair": procedure.is_for_chair and is_to_be_sorted(items),
    }
    joined = procedure.model_copy(update=changes)
    draft.add(Put(BOARDS, id, joined))
    return fresh


def come_since(swarm: Swarm, id: MissionId, now: float) -> tuple[Cause, ...]:
    """What waits for a board that is in review and was not put to it. Of one who rests nothing has
    come but its report, which each call shows.
    """
    procedure = swarm.boards[id]
    if not procedure.in_review or procedure.phase is None:
        return ()
    return tuple(
        cause
        for cause in causes(swarm, id, now)
        if cause.kind in _NEWS and _may_be_put(procedure, cause)
    )


def take_causes(draft: Draft, id: MissionId) -> tuple[dict[str, Any], ...] | None:
    """The agenda for which the board of a working mission is called now, and none of it is put
    again; `None` where nothing calls it.
    """
    swarm, procedure = draft.swarm, draft.swarm.boards[id]
    fresh = [cause for cause in causes(swarm, id, draft.now) if _may_be_put(procedure, cause)]
    if not fresh and not is_all_done(swarm, id):
        return None
    if fresh:
        _note_put(draft, id, fresh)
    return items_of(draft.swarm, id, fresh)


def items_of(swarm: Swarm, id: MissionId, listed: Sequence[Cause]) -> tuple[dict[str, Any], ...]:
    """As they stand on the agenda, each with what can be done and paid now."""
    is_paid = can_pay_an_executive(swarm, id)
    return tuple(cause.item(is_paid=is_paid) for cause in listed)


def is_to_be_sorted(items: Sequence[Mapping[str, Any]]) -> bool:
    """Requests of turns that have read untrusted text, and nothing else."""
    return bool(items) and all(i["kind"] == "permission" and i["tainted"] for i in items)


def _may_be_put(procedure: Procedure, cause: Cause) -> bool:
    watch = procedure.watch
    is_bounded = bool(cause.about) and watch.calls.get(cause.about, 0) >= CALLS_MAX
    return cause.key not in watch.put and not is_bounded


def _note_put(draft: Draft, id: MissionId, fresh: Iterable[Cause]) -> None:
    procedure, listed = draft.swarm.boards[id], list(fresh)
    calls = dict(procedure.watch.calls)
    for about in {cause.about for cause in listed if cause.about}:
        calls[about] = calls.get(about, 0) + 1
    put = (*procedure.watch.put, *(cause.key for cause in listed))
    keep_watch(draft, id, put=put, calls=calls)
    for approval in approvals.for_the_board(draft.swarm, id):
        draft.add(APPROVALS.put(approval.called()))
    _record_call(draft, id, listed)


def _record_call(draft: Draft, id: MissionId, listed: Sequence[Cause]) -> None:
    draft.record(
        JournalEvent.BOARD_CALLED,
        "the board is called: " + "; ".join(f"{c.kind} {c.name or c.agent}" for c in listed),
        actor=CLERK,
        mission=id,
        causes=[{"kind": c.kind, "agent": c.agent, "key": c.key} for c in listed],
    )


def keep_watch(draft: Draft, id: MissionId, **changes: Any) -> None:
    """What was put to the board beside its motions is kept with its record."""
    procedure = draft.swarm.boards[id]
    watch = procedure.watch.model_copy(update=changes)
    draft.add(Put(BOARDS, id, procedure.model_copy(update={"watch": watch})))


def needs_no_call(draft: Draft, executive: Agent) -> None:
    """The board has ended it by its own motion: it is not called to hear of that."""
    procedure = draft.swarm.boards.get(executive.mission)
    if procedure is not None:
        key = _ended_cause(executive.id, executive.name, "", draft.now).key
        keep_watch(draft, executive.mission, put=(*procedure.watch.put, key))


def note_directed(draft: Draft, executive: Agent, text: str) -> None:
    """Until it reports again its last report is from before that; with an empty text it has."""
    watch = draft.swarm.boards[executive.mission].watch
    told = {id: said for id, said in watch.directed.items() if id != executive.id}
    if text:
        told[executive.id] = text[:EXCERPT_CHARS]
    if told != watch.directed:
        keep_watch(draft, executive.mission, directed=told)


def note_replaced(draft: Draft, id: MissionId, executives: Iterable[Agent]) -> None:
    """Their reports are shown no more."""
    ids = tuple(executive.id for executive in executives)
    if ids:
        keep_watch(draft, id, replaced=(*draft.swarm.boards[id].watch.replaced, *ids))


def keys_listed(
    swarm: Swarm, id: MissionId, items: Sequence[Mapping[str, Any]], now: float
) -> tuple[str, ...]:
    """Of the causes that stand on an agenda and still wait."""
    listed = {(item["kind"], item["agent"]) for item in items}
    found = causes(swarm, id, now)
    return tuple(cause.key for cause in found if (cause.kind, cause.agent) in listed)


def is_before_board(swarm: Swarm, agent: Agent) -> bool:
    """The board deliberates on it now."""
    procedure = swarm.boards.get(agent.mission)
    if procedure is None or procedure.stage in ("working", "ended"):
        return False
    return any(item.get("agent") == agent.id for item in procedure.agenda)


# --- causes -----------------------------------------------------------------------------------


def causes(swarm: Swarm, id: MissionId, now: float) -> list[Cause]:
    """All that waits for the board of this mission, whether or not it was put."""
    found = [_permission_cause(swarm, a) for a in approvals.for_the_board(swarm, id)]
    found += _ended_causes(swarm, id, now)
    for executive in swarm.executives(id):
        if swarm.lineage.is_ending(executive):
            continue
        rests = _own_hold_cause(swarm, executive, now) or _rest_cause(swarm, executive, now)
        found += filter(None, (_held_cause(swarm, executive), rests))
    return [*found, *_stalled_causes(swarm, id), *_uncorrected_causes(swarm, id)]


def _permission_cause(swarm: Swarm, approval: Approval) -> Cause:
    requester = swarm.lineage.get(approval.requester)
    facts = dict(approval.facts)
    named = (facts.get(name) for name in ("action", "verb", "role", "target"))
    what = f"asks for permission ({approval.id}): " + " ".join(str(n) for n in named if n)
    return Cause(
        "permission",
        approval.requester,
        requester.name if requester is not None else "",
        f"{what}; {approval.rule}",
        approval.at,
        detail=approval.id,
        facts={
            "approval": approval.id,
            "expires": stamp_of(approval.expires),
            "tainted": bool(approval.action["taint"]),
            "request": facts,
        },
    )


def _ended_causes(swarm: Swarm, id: MissionId, now: float) -> list[Cause]:
    return [
        _ended_cause(report.agent, report.name, report.text[:EXCERPT_CHARS], now)
        for report in swarm.reports.get(id, {}).values()
        if report.is_without_result and swarm.lineage.get(report.agent) is None
    ]


def _ended_cause(agent: AgentId, name: str, what: str, now: float) -> Cause:
    return Cause("ended", agent, name, what, now)


def _held_cause(swarm: Swarm, executive: Agent) -> Cause | None:
    stop = supervisors_stop(swarm, executive)
    if stop is None:
        return None
    kind = "exhausted" if stop.rule.startswith("budget.") else "frozen"
    until = f"; unmended it ends at {stamp_of(stop.until)}" if stop.until else ""
    return _cause_of(executive, kind, f"{stop.reason}{until}", stop.at, str(stop.at))


def _own_hold_cause(swarm: Swarm, executive: Agent, now: float) -> Cause | None:
    """The board holds it, and nobody else goes on."""
    stop = boards_stop(swarm, executive)
    if stop is None or not is_mission_at_rest(swarm, executive.mission, now):
        return None
    what = f"held by a motion of the board, and nobody else works: {stop.reason}"
    calls = swarm.boards[executive.mission].watch.calls.get(executive.id, 0)
    return _cause_of(executive, "held", what, stop.at, f"{stop.at} {calls}")


def _rest_cause(swarm: Swarm, executive: Agent, now: float) -> Cause | None:
    """At rest with nothing under way below it. With a blocker it calls the board at once; without
    one when all the mission is at rest, for it may wait for a colleague who is at work.
    """
    since = rests_since(swarm, executive, now)
    if since is None:
        return None
    if is_mission_at_rest(swarm, executive.mission, now):
        return _still_cause(swarm, executive, since)
    report = swarm.reports.get(executive.mission, {}).get(executive.id)
    if report is None or report.is_done:
        return None
    said = report.text[:EXCERPT_CHARS]
    return _cause_of(executive, "blocker", said, since, sha256(report.text))


def _still_cause(swarm: Swarm, executive: Agent, since: float) -> Cause:
    """Nothing goes on by itself any more: the board is called again, within its bound."""
    report = swarm.reports.get(executive.mission, {}).get(executive.id)
    calls = swarm.boards[executive.mission].watch.calls.get(executive.id, 0)
    detail = f"{since} {calls}"
    if report is not None:
        return _cause_of(executive, "blocker", report.text[:EXCERPT_CHARS], since, detail)
    what = "rests without a report, and nothing is under way below it"
    return _cause_of(executive, "resting", what, since, detail)


def _stalled_causes(swarm: Swarm, id: MissionId) -> list[Cause]:
    found = []
    for agent_id, trouble in swarm.troubles.items():
        agent = swarm.lineage.get(agent_id)
        is_the_boards = agent is not None and (agent.tier == 1 or trouble.is_told_above)
        if agent is None or agent.mission != id or trouble.kind != "stalled" or not is_the_boards:
            continue
        what = f"has made no progress since {stamp_of(trouble.since)}: {trouble.detail}"
        found.append(_cause_of(agent, "stalled", what, trouble.since, str(trouble.since)))
    return found


def _uncorrected_causes(swarm: Swarm, id: MissionId) -> Iterator[Cause]:
    """Episodes of which the last step is the board."""
    for signature, episode in swarm.boards[id].watch.episodes.items():
        if episode.is_open and episode.taken[-1:] == ("board",):
            yield from _uncorrected_cause(swarm, signature, episode)


def _uncorrected_cause(swarm: Swarm, signature: str, episode: Episode) -> Iterator[Cause]:
    """About the executive of the agent concerned, for executives are whom the board directs."""
    agent = swarm.lineage.get(AgentId(episode.agent))
    executive = swarm.lineage.get(agent.path[-agent.tier]) if agent is not None else None
    if agent is None or executive is None or swarm.lineage.is_ending(agent):
        return
    who = "" if agent.tier == 1 else f"{agent.name} ({agent.id}) below it "
    what = f"{who}was told of this, and it goes on: {episode.facts}"
    yield _cause_of(executive, "uncorrected", what, episode.at, signature)


def _cause_of(agent: Agent, kind: str, what: str, since: float, detail: str) -> Cause:
    """Of a living agent. A sub-agent's counts among the calls about its executive."""
    task = agent.charter.task if agent.charter is not None else ""
    about = agent.path[-agent.tier]
    return Cause(kind, agent.id, agent.name, what, since, task, detail, about)


def why_stuck(swarm: Swarm, id: MissionId, now: float) -> str:
    """Empty while anything can still come: nobody works, nothing waits for permission, and the
    board has been called about each who rests as often as it is.
    """
    if any(approval.mission == id for approval in swarm.approvals.values()):
        return ""
    resting = [e for e in swarm.executives(id) if waits_for_board(swarm, e, now)]
    if not resting or not is_mission_at_rest(swarm, id, now):
        return ""
    calls = swarm.boards[id].watch.calls
    if any(calls.get(executive.id, 0) < CALLS_MAX for executive in resting):
        return ""
    names = ", ".join(executive.name for executive in resting)
    return f"nobody works: the board was called {CALLS_MAX} times about {names}"


# --- what is missing, at the end ----------------------------------------------------------------


def missing(swarm: Swarm, id: MissionId) -> str:
    """Who was asked, and what for, when a mission's time is over."""
    told = [
        f"{a.id} of {a.requester} waits for permission of the {approvals.WORD[a.needs]} "
        f"(`swarmd approve {a.id}`)"
        for a in swarm.approvals.values()
        if a.mission == id and not a.answer
    ]
    procedure = swarm.boards.get(id)
    if procedure is None:
        return "; ".join([*told, "the board had not taken it up"])
    if procedure.stage not in ("working", "ended"):
        told.append(f"the board was at motion {procedure.motion_number} ({procedure.stage})")
    told += [_missing_of(swarm, e) for e in swarm.executives(id) if not is_done(swarm, e)]
    return "; ".join(told)


def _missing_of(swarm: Swarm, executive: Agent) -> str:
    report = swarm.reports.get(executive.mission, {}).get(executive.id)
    said = f", whose last word was: {report.text[:200]}" if report is not None else ""
    return f"no result of the executive {executive.name}{said}"
