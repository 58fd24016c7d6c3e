"""What is noted in a mission's record, by whom: a worker's calls and the words that its agents were
told, and the words that the supervisor was told.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, Protocol

import anyio

from swarmd.core.model.chain import canonical, sha256
from swarmd.core.model.channels import BOARD_ROOM, ORDERS
from swarmd.core.model.lineage import Agent
from swarmd.core.model.masking import SHAPES_ALONE, Masking
from swarmd.core.model.messages import Message
from swarmd.core.model.names import OPERATOR, MissionId
from swarmd.core.model.state import Swarm
from swarmd.ports.record import Answer, NoRecord, Record
from swarmd.ports.stores import LOST, Begin, Used

MODEL_CALL: Final = "model"  # what the step journal calls it; any other name is a function's


Effect = Callable[[], Awaitable[tuple[str, Used]]]
Lost = Callable[[], Used]


class Replay(Protocol):
    """What answers calls instead of models and functions."""

    def played(
        self, agent: Agent, begin: Begin, given: Any, effect: Effect, lost: Lost | None
    ) -> tuple[Effect, Lost | None]:
        """What is done in place of the effect, and what is settled where that is cancelled."""


@dataclass(frozen=True, slots=True)
class Recording:
    """Where a process notes answers, and what it masks in all that it keeps. With `replay` its
    calls are answered from a record.
    """

    record: Record = field(default_factory=NoRecord)
    masking: Masking = SHAPES_ALONE
    replay: Replay | None = None

    def of_turn(self, mission: MissionId, agent: Agent, mail: int) -> TurnCalls:
        """Of a turn that answers so many messages."""
        return TurnCalls(self.record, self.masking, mission, agent, mail, self.replay)


NOTHING_RECORDED: Final = Recording()

# Is told what a call answered (`None` where it was cut off) and what it used.
Ended = Callable[[str | None, Used], None]


@dataclass(frozen=True, slots=True)
class TurnCalls:
    """The calls of one turn of one agent. Without an agent they are nobody's, and not noted."""

    record: Record
    masking: Masking
    mission: MissionId = MissionId("")
    agent: Agent | None = None
    mail: int = 0  # messages that the turn answers
    replay: Replay | None = None

    def played(
        self, begin: Begin, given: Any, effect: Effect, lost: Lost | None
    ) -> tuple[Effect, Lost | None]:
        """As they are, where nothing is replayed."""
        if self.replay is None or self.agent is None:
            return effect, lost
        return self.replay.played(self.agent, begin, given, effect, lost)

    def begun(self, begin: Begin, given: Any, at: str) -> Ended:
        return partial(self._end_call, begin, given, at, anyio.current_time())

    def _end_call(
        self, begin: Begin, given: Any, at: str, started: float, text: str | None, used: Used
    ) -> None:
        seconds = anyio.current_time() - started
        self._note_call(begin, given, text, at, used, seconds=seconds)

    def met(self, begin: Begin, given: Any, text: str, at: str) -> None:
        """The answer of a former holder, who may have died before it was recorded."""
        if text != LOST:
            self._note_call(begin, given, text, at, Used({}), is_repeated=True)

    def _note_call(
        self, begin: Begin, given: Any, text: str | None, at: str, used: Used, **more: Any
    ) -> None:
        if self.agent is None:
            return
        is_model = begin.kind == MODEL_CALL
        answer = Answer(
            mission=self.mission,
            agent=self.agent.id,
            agent_name=self.agent.name,
            incarnation=self.agent.incarnation,
            turn=begin.turn,
            step=begin.step,
            kind="model" if is_model else "function",
            # Of a model's call, the first that it is given is which model.
            name=str(given[0]) if is_model and given else begin.kind,
            given=given,
            input=begin.input,
            text=text,
            at=at,
            is_ok=used.is_ok,
            used=used.amounts,
            is_assumed=used.is_assumed,
            more={**used.more, "mail": self.mail},
            **more,
        )
        self.record.note(answer)


NO_CALLS: Final = TurnCalls(NOTHING_RECORDED.record, NOTHING_RECORDED.masking)


# --- people -----------------------------------------------------------------------------------


def note_mail(
    recording: Recording, agent: Agent, turn: int, mission: MissionId, mail: Sequence[Message]
) -> None:
    """What people said to an agent, in the turn that takes it up."""
    for message in mail:
        if message.sender == OPERATOR:
            word = _word_of(recording.masking, mission, message)
            recording.record.note(_said_to(word, agent, turn))


def words_of(masking: Masking, swarm: Swarm, messages: Sequence[Message]) -> Iterator[Answer]:
    """What people ordered or said to the board, each under the mission that it is about; of none
    where it is about none.
    """
    for message in messages:
        if message.sender == OPERATOR and message.channel in (ORDERS, BOARD_ROOM):
            target = str(message.data.get("target", "")).removeprefix("=")
            mission = message.mission or _mission_of(swarm, target)
            agent = swarm.lineage.get(target)
            if mission:
                word = _word_of(masking, mission, message)
                yield word if agent is None else _said_to(word, agent, 0)


def _mission_of(swarm: Swarm, target: str) -> MissionId:
    """The mission that an order's target is, or is a part of."""
    agent, approval = swarm.lineage.get(target), swarm.approvals.get(target)
    if MissionId(target) in swarm.missions:
        return MissionId(target)
    if agent is not None:
        return agent.mission
    return MissionId("") if approval is None else approval.mission


def _word_of(masking: Masking, mission: MissionId, message: Message) -> Answer:
    given = masking.value({"kind": message.kind.value, "data": dict(message.data)})
    return Answer(
        mission=mission,
        agent="",
        agent_name="",
        incarnation=0,
        turn=0,
        step=0,
        kind="person",
        name=OPERATOR,
        given=given,
        input=sha256(canonical(given)),
        text=masking.text(message.text),
        at=message.at,
    )


def _said_to(word: Answer, agent: Agent, turn: int) -> Answer:
    return replace(
        word, agent=agent.id, agent_name=agent.name, incarnation=agent.incarnation, turn=turn
    )
