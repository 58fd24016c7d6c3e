"""Missions: what was handed in, what is wrong with it, and how one begins and ends. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from swarmd.core.missions.intake import (
    NOT_TEXT,
    RESERVED_IDS,
    TURNED_AWAY_CHARS,
    MissionRequest,
    sendable,
)
from swarmd.core.missions.reports import result_files, unaccepted_text
from swarmd.core.model.changes import AccountOpened, MissionClosed, MissionSet, Post
from swarmd.core.model.channels import RESULTS
from swarmd.core.model.charter import KINDS, NEEDED_KINDS
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.lineage import EVERYTHING, Fence
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import (
    CLERK,
    ID_PATTERN,
    SOB,
    SUPERVISOR,
    AgentId,
    MissionId,
    MissionState,
)
from swarmd.core.model.posts import call_closed
from swarmd.core.model.procedure import Procedure
from swarmd.core.model.records import Mission
from swarmd.core.model.refusals import Denied, Rule
from swarmd.core.model.state import Draft, Swarm
from swarmd.core.model.tables import BOARDS, Put
from swarmd.core.model.timings import Moment
from swarmd.core.tree.fence import fence


def id_asked(fields: Mapping[str, str]) -> str:
    """The id that a stream entry asks for, whatever else is wrong with it; empty where it asks
    for none that may be.
    """
    id = fields.get("id", "")
    return id if ID_PATTERN.fullmatch(id) else ""


def id_said(fields: Mapping[str, str]) -> str:
    """The id that a stream entry names, well formed or not, cut: by it a submitter knows the
    answer.
    """
    return sendable(fields.get("id", ""))[:TURNED_AWAY_CHARS]


def admit_invalid(draft: Draft, why: str, *, asked: str, is_known: bool, text: str) -> None:
    """Reject what is no mission, under the id that its submitter waits for, or where that is
    another's under a new one.

    `is_known`: the store has an ended mission of that id.
    """
    id = MissionId(asked)
    is_free = ID_PATTERN.fullmatch(asked) and not (
        is_known or id in draft.swarm.missions or _names_somebody(draft.swarm, id)
    )
    under = id if is_free else MissionId(draft.moment.new_id("m"))
    _turn_away(draft, under, Rule.MISSION_INVALID, why, text, asked=asked)


def _names_somebody(swarm: Swarm, id: str) -> bool:
    return (
        id in RESERVED_IDS or id in swarm.declared.board.seats or swarm.lineage.get(id) is not None
    )


def admit(
    draft: Draft,
    request: MissionRequest | str,
    *,
    fault: str = "",
    files: Sequence[str] = (),
    text: str = "",
) -> None:
    """Docket a mission, or reject it. `files` are what its names stand for; `fault` is why they
    do not.
    """
    if isinstance(request, str):
        admit_invalid(draft, request, asked="", is_known=False, text=text)
        return
    id = MissionId(request.id)
    assert id
    if _is_taken(draft, id, request):
        return
    fault = fault or _why_no_such_bench(draft.swarm, request)
    denied = Denied(Rule.MISSION_INVALID, fault) if fault else _refuse_docket(draft.swarm)
    if denied is not None:
        _turn_away(draft, id, denied.rule, denied.detail, request.mission)
        return
    _docket(draft, request, files)


def _is_taken(draft: Draft, id: MissionId, request: MissionRequest) -> bool:
    """The id is somebody's; what has other content than that one's mission is turned away."""
    known = draft.swarm.missions.get(id)
    if _names_somebody(draft.swarm, id):
        why = f"id: {id} names somebody of the swarm"
        admit_invalid(draft, why, asked=id, is_known=False, text=request.mission)
        return True
    if known is not None and known.digest != request.digest:
        _conflict(draft, id, request.mission)
    return known is not None


def _why_no_such_bench(swarm: Swarm, request: MissionRequest) -> str:
    seats = len(swarm.declared.board.seats)
    if isinstance(request.board, int) and request.board > seats:
        return f"board: {request.board} seats were asked for, and the board has {seats}"
    return ""


def _refuse_docket(swarm: Swarm) -> Denied | None:
    limit = swarm.declared.board.docket_max
    if len(docketed(swarm)) < limit:
        return None
    return Denied(
        Rule.MISSION_DOCKET,
        f"{limit} missions wait already (docket_max): hand it in again when some have been "
        "taken up",
    )


def _docket(draft: Draft, request: MissionRequest, files: Sequence[str]) -> None:
    mission = _docketed_mission(draft, request, files)
    draft.add(MissionSet(mission))
    draft.record(
        JournalEvent.MISSION_DOCKETED,
        f"mission {mission.id} docketed",
        actor="operator",
        mission=mission.id,
        budget=mission.budget,
        digest=request.digest,
        files=list(files)[:50],
    )


def _docketed_mission(draft: Draft, request: MissionRequest, files: Sequence[str]) -> Mission:
    limits = draft.swarm.declared.limits
    budget = {kind: int(request.budget.get(kind, getattr(limits.mission, kind))) for kind in KINDS}
    return Mission(
        id=MissionId(request.id),
        text=request.mission,
        state=MissionState.DOCKETED,
        budget=budget,
        files=tuple(files),
        asked_files=request.files,
        board=request.board,
        digest=request.digest,
        created=draft.stamp,
        deadline=draft.now + (request.deadline_s or limits.deadline_seconds),
    )


def admit_known(draft: Draft, request: MissionRequest, ended: Mapping[str, str]) -> None:
    """The id is an ended mission's: the same content is the same mission, other content is
    refused.
    """
    if ended.get("digest") != request.digest:
        _conflict(draft, MissionId(request.id), request.mission)


def may_come_again(ended: Mapping[str, str]) -> bool:
    """Was it turned away before it was a mission? Then its id is nobody's yet."""
    reason = ended.get("reason", "")
    was_never_one = ended.get("state") == MissionState.REJECTED and not ended.get("digest")
    return reason.startswith(f"{Rule.MISSION_DOCKET}:") or (
        was_never_one and reason.startswith(f"{Rule.MISSION_INVALID}:")
    )


def _conflict(draft: Draft, id: MissionId, text: str) -> None:
    # Told under an id of its own: whoever waits for the first mission of this id must not take it
    # for that one's end.
    refused = MissionId(draft.moment.new_id("m"))
    why = f"id {id} is a mission with other content"
    _turn_away(draft, refused, Rule.MISSION_CONFLICT, why, text, asked=id)


def _turn_away(
    draft: Draft, id: MissionId, rule: Rule, why: str, text: str, *, asked: str = ""
) -> None:
    mission = _rejected(id, f"{rule}: {why}", text, draft.stamp)
    other_id = "" if asked == id else asked
    draft.add(
        MissionClosed(mission, _forget_at(draft)),
        Post(RESULTS, result(mission, draft.moment, spent={}, asked=other_id)),
    )
    draft.record(
        JournalEvent.MISSION_REJECTED,
        f"mission {id}: {why}",
        actor=SUPERVISOR,
        mission=id,
        rule=rule,
    )


def _rejected(id: MissionId, reason: str, text: str, at: str) -> Mission:
    return Mission(
        id=id,
        # Enough of it to be known again, and nothing that a terminal obeys.
        text=NOT_TEXT.sub("\N{REPLACEMENT CHARACTER}", text[:TURNED_AWAY_CHARS]),
        state=MissionState.REJECTED,
        budget=dict.fromkeys(KINDS, 0),
        reason=reason,
        created=at,
        ended=at,
    )


def open_next(draft: Draft) -> list[MissionId]:
    """Take missions from the docket, the oldest first, as many as the board has at once.

    One that waits for something of its own lets others go before it, and its record says why it
    waits. A large one may so be overtaken by small ones until its deadline: what it would keep free
    for itself, nobody would use meanwhile.
    """
    swarm = draft.swarm
    opened: list[MissionId] = []
    for mission in sorted(docketed(swarm), key=lambda m: (m.created, m.id)):
        free = swarm.observed.free.get(SOB)
        if free is None:
            # An account has just been closed into it: what is there now is read before the next
            # decision.
            break
        why, short = _why_waiting(swarm, mission, free), _short(mission, free)
        if why:
            _tell_waiting(draft, mission, why)
        elif any(free[kind] < 1 for kind in short if kind in NEEDED_KINDS):
            _end_exhausted(draft, mission, free, short)
        else:
            _take_up(draft, _carved(mission, free))
            opened.append(mission.id)
    return opened


def _end_exhausted(
    draft: Draft, mission: Mission, free: Mapping[str, int], short: Sequence[str]
) -> None:
    asked = ", ".join(f"{kind}: {mission.budget[kind]} asked, {free[kind]} free" for kind in short)
    reason = f"{Rule.BUDGET_EXHAUSTED}: of the swarm's root, {asked}"
    end(draft, mission, MissionState.EXHAUSTED, reason)


def _carved(mission: Mission, free: Mapping[str, int]) -> Mission:
    """With what is left of the root, where that is less than it asked for."""
    budget = {kind: min(n, max(0, free[kind])) for kind, n in mission.budget.items()}
    return replace(mission, budget=budget)


def _take_up(draft: Draft, mission: Mission) -> None:
    draft.add(
        AccountOpened(mission.id, SOB, mission.budget, own_slot=False),
        MissionSet(replace(mission, state=MissionState.DEBATING, reason="")),
        Put(BOARDS, mission.id, Procedure()),
    )
    draft.record(
        JournalEvent.MISSION_OPENED,
        f"the board takes up mission {mission.id}",
        actor=CLERK,
        mission=mission.id,
        budget=mission.budget,
    )


def docketed(swarm: Swarm) -> list[Mission]:
    """Those that wait for the board, in no order."""
    return [
        m for m in swarm.missions.values() if m.state is MissionState.DOCKETED and m.ending is None
    ]


def _short(mission: Mission, free: Mapping[str, int]) -> list[str]:
    return [kind for kind in KINDS if free.get(kind, 0) < mission.budget[kind]]


def _why_waiting(swarm: Swarm, mission: Mission, free: Mapping[str, int]) -> str:
    """Empty where the board can take it up, or nobody ever can. Without amounts that change from
    call to call: each other text is another record.
    """
    return _why_not_now(swarm, mission) or _why_unfunded(swarm, mission, free)


def _why_not_now(swarm: Swarm, mission: Mission) -> str:
    stops = swarm.lineage.stops
    stop = next((stops[one] for one in (EVERYTHING, SOB, mission.id) if one in stops), None)
    if stop is not None:
        what = {EVERYTHING: "everything", SOB: "the board"}.get(stop.target, stop.target)
        return f"{what} is stopped: see `swarmd stops`"
    at_once = swarm.declared.board.missions_at_once
    if len(swarm.boards) < at_once:
        return ""
    return (
        f"the board has {len(swarm.boards)} in hand, as many as it takes at once (missions_at_once)"
    )


def _why_unfunded(swarm: Swarm, mission: Mission, free: Mapping[str, int]) -> str:
    unreadable = [kind for kind in KINDS if kind not in free]
    if unreadable:
        return (
            f"of the root's account {', '.join(unreadable)} cannot be read: `swarmd fsck --repair`"
        )
    short = _short(mission, free)
    # Where nothing is in hand nothing comes back: it gets what is left.
    if short and swarm.boards:
        asked = ", ".join(f"{mission.budget[kind]} {kind}" for kind in short)
        return f"for budget: {asked} asked, and the missions in hand hold too much of the root's"
    return ""


def _tell_waiting(draft: Draft, mission: Mission, why: str) -> None:
    reason = f"waits: {why}"
    if mission.reason != reason:
        draft.add(MissionSet(replace(mission, reason=reason)))
        draft.record(
            JournalEvent.MISSION_WAITING,
            f"mission {mission.id} {reason}",
            actor="clerk",
            mission=mission.id,
        )


def end(
    draft: Draft,
    mission: Mission,
    state: MissionState,
    reason: str,
    *,
    text: str = "",
    by: str = "board",
    order: str = "",
) -> None:
    """Decide a mission's end: its subtree is fenced now; the result is told when that is done.

    Where no motion could be carried any more, finished reports are told as what they are: what was
    paid for is not lost for the price of a vote.
    """
    if mission.ending is not None:
        return
    if state in (MissionState.EXHAUSTED, MissionState.FAILED):
        text = text or unaccepted_text(draft.swarm, mission.id, f"{state.value}, {reason}")
    written = result_files(draft.swarm, mission.id)
    ending = replace(mission, ending=state, reason=reason, result=text, result_files=written)
    draft.add(MissionSet(ending))
    _close_calls(draft, mission.id)
    mark = Fence(mission.id, f"mission {state}", by, draft.now, order)
    draft.add(*fence(draft.swarm, mark, draft.moment, mission=mission.id))


def _close_calls(draft: Draft, id: MissionId) -> None:
    """Seats outlive the missions that they are called for: nobody waits for these answers."""
    procedure = draft.swarm.boards.get(id)
    if procedure is None:
        return
    for call in procedure.calls:
        number, seat = procedure.motion_number, AgentId(call.seat)
        draft.add(call_closed(draft.moment, seat, id, number, call.attempt))


def give_up(draft: Draft, id: MissionId) -> None:
    """An open mission whose record cannot be read any more: it fails, and the others go on."""
    has_account = any(agent.mission == id for agent in draft.lineage.agents.values())
    has_account = (
        has_account
        or id in draft.swarm.boards
        or sum(draft.swarm.observed.free.get(id, {}).values()) > 0
    )
    mission = Mission(
        id=id,
        text="",
        state=MissionState.WORKING if has_account else MissionState.DOCKETED,
        budget=dict.fromkeys(KINDS, 0),
        created=draft.stamp,
    )
    end(draft, mission, MissionState.FAILED, "its record cannot be read any more", by="supervisor")


def close(draft: Draft, mission: Mission, spent: Mapping[str, int]) -> None:
    """The last step: nothing lives below it and its account is closed; now the result is told."""
    assert mission.ending is not None
    ended = replace(mission, state=mission.ending, ended=draft.stamp)
    draft.add(
        MissionClosed(ended, _forget_at(draft)),
        Post(RESULTS, result(ended, draft.moment, spent=spent)),
    )
    draft.record(
        JournalEvent.MISSION_ENDED,
        f"mission {mission.id} {ended.state}: {mission.reason}"[:2000],
        actor="supervisor",
        mission=mission.id,
        state=ended.state.value,
        spent=dict(spent),
    )


def result(
    mission: Mission, moment: Moment, *, spent: Mapping[str, int], asked: str = ""
) -> Message:
    """The message on `swarm:results`: the text is the result, or why there is none.

    `asked` is the id that its submitter gave it and that it could not have: by it the submitter
    knows it.
    """
    more = {"asked": asked} if asked else {}
    return Message(
        sender=SOB,
        kind=Kind.RESULT,
        mission=mission.id,
        at=moment.stamp,
        text=mission.result or mission.reason,
        data={
            "state": mission.state.value,
            "reason": mission.reason,
            "spent": dict(spent),
            "files": list(mission.result_files),
            **more,
        },
    )


def _forget_at(draft: Draft) -> float:
    return draft.now + draft.swarm.declared.limits.retention_seconds


def overdue(swarm: Swarm, now: float) -> list[Mission]:
    return [
        m for m in swarm.missions.values() if m.ending is None and m.deadline and m.deadline <= now
    ]
