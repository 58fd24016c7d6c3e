"""An operator speaks to the board: its word goes before the board's, and is answered. Pure.

The chair is asked at once, beside whatever is before the board, and answers in the room, or by a
motion where nothing is before it. Where it is silent or fails, the next seat is asked. All seats
that are called from then on are shown the word, and no motion is carried over it unheard
(`core.board.hearing`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from swarmd.core.board.agenda import keep_watch
from swarmd.core.board.calling import asked_in
from swarmd.core.board.events import Announce, CallSeat
from swarmd.core.board.room import announce, call_seat
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.messages import Message
from swarmd.core.model.names import CLERK, SOB, MissionId
from swarmd.core.model.procedure import Procedure, SeatCall
from swarmd.core.model.state import Draft, Swarm
from swarmd.core.model.watch import (
    WORD_CHARS_MAX,
    WORDS_SHOWN_MAX,
    Answering,
    News,
    OperatorsWord,
)


def mission_meant(swarm: Swarm, message: Message) -> MissionId | None:
    """The open mission of which an operator speaks; where it names none, the only one there is.
    Of nothing is spoken in an empty message.
    """
    if not message.text.strip():
        return None
    if message.mission in swarm.boards:
        return message.mission
    return next(iter(swarm.boards)) if not message.mission and len(swarm.boards) == 1 else None


def hear_operator(draft: Draft, id: MissionId, message: Message) -> None:
    """Kept with the board's record, and the chair is asked unless a seat is being asked."""
    procedure = draft.swarm.boards[id]
    watch = procedure.watch
    said = OperatorsWord(text=message.text[:WORD_CHARS_MAX], at=message.at or draft.stamp)
    keep_watch(
        draft,
        id,
        words=watch.words + 1,
        said=(*watch.said, said)[-WORDS_SHOWN_MAX:],
    )
    _record_word(draft, id, message)
    if watch.answering is None:
        _ask(draft, id, tried=1)


def _record_word(draft: Draft, id: MissionId, message: Message) -> None:
    draft.record(
        JournalEvent.BOARD_CALLED,
        "an operator speaks to the board",
        actor=CLERK,
        mission=id,
        causes=[{"kind": "word", "agent": SOB, "key": message.id}],
    )


def note_came(draft: Draft, id: MissionId, news: News) -> None:
    """The seat that answers may propose a motion, and has not seen it."""
    procedure = draft.swarm.boards.get(id)
    answering = None if procedure is None else procedure.watch.answering
    if answering is not None:
        others = tuple(one for one in answering.came if one.key != news.key)
        came = answering.model_copy(update={"came": (*others, news)})
        keep_watch(draft, id, answering=came)


def is_asked(procedure: Procedure, seat: str) -> bool:
    answering = procedure.watch.answering
    return answering is not None and answering.seat == seat


def answered(draft: Draft, id: MissionId) -> None:
    """The seat that was asked has answered. What was said since its call is asked about anew."""
    answering = draft.swarm.boards[id].watch.answering
    assert answering is not None
    keep_watch(draft, id, answered=answering.words, answering=None)
    if draft.swarm.boards[id].watch.is_unanswered:
        _ask(draft, id, tried=1)


def ask_next(draft: Draft, id: MissionId) -> None:
    """The seat that was asked is silent or has failed."""
    answering = draft.swarm.boards[id].watch.answering
    assert answering is not None
    if answering.tried < len(_order(draft.swarm.boards[id])):
        _ask(draft, id, tried=answering.tried + 1)
        return
    keep_watch(draft, id, answered=answering.words, answering=None)
    text = "No seat answered the operator; what was said is shown to whoever is called next."
    announce(draft, id, Announce(text, {"unanswered": answering.words}))


def tick(draft: Draft, id: MissionId) -> None:
    answering = draft.swarm.boards[id].watch.answering
    if answering is not None and answering.deadline <= draft.now:
        ask_next(draft, id)


def _order(procedure: Procedure) -> Sequence[str]:
    """The chair, then the others of the bench."""
    bench = procedure.bench
    return (bench.chair, *bench.others(bench.chair))


def _ask(draft: Draft, id: MissionId, *, tried: int) -> None:
    procedure = draft.swarm.boards[id]
    seat = _order(procedure)[tried - 1]
    deadline = draft.now + draft.swarm.declared.board.seat_seconds
    words = procedure.watch.words
    answering = Answering(seat=seat, deadline=deadline, words=words, tried=tried)
    keep_watch(draft, id, answering=answering)
    call_seat(draft, id, CallSeat(seat, _call(draft, id), words * 100 + tried, deadline))


def _call(draft: Draft, id: MissionId) -> SeatCall:
    procedure = draft.swarm.boards[id]
    return replace(
        asked_in(procedure, "answer", draft.swarm.declared.board),
        may_propose=procedure.stage == "working",
    )


def is_answer_to_operator(data: Mapping[str, Any]) -> bool:
    """A seat's message was written in answer to an operator, not to the procedure."""
    return data.get("phase") == "answer"
