"""What waits for the supervisor: read, sorted into what is taken and what is refused, and narrowed
down where a commit would be larger than the server takes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import anyio
import anyio.to_thread
import structlog

from swarmd.core.actions import dead_letters
from swarmd.core.control import ledger_events
from swarmd.core.control.dispatch import decide
from swarmd.core.missions import queue
from swarmd.core.missions.intake import MissionRequest, bounded, masked, parse_mission, too_large
from swarmd.core.model.channels import FACTS, MISSIONS
from swarmd.core.model.masking import Masking
from swarmd.core.model.messages import Kind, Message, why_unreadable
from swarmd.core.model.names import Channel, MissionId, StreamId
from swarmd.core.model.refusals import Rule
from swarmd.core.model.state import Draft
from swarmd.core.model.timings import SWEEP_SECONDS
from swarmd.errors import TooLargeError, WorkspaceError
from swarmd.log_events import LogEvent
from swarmd.ports.files import Files
from swarmd.ports.stores import Waiting
from swarmd.runtime.supervisor.memory import LeaderMemory
from swarmd.runtime.supervisor.refused_mail import refused_mail

log = structlog.get_logger(__name__)

OWN_KNOWLEDGE: Final = ("policies",)

# Of each input in one commit. No script should take 5 ms, and a spawn is some 40 µs of it. Fewer at
# once cost more each: every step waits three times for the server.
INPUT_MAX: Final = 64
FACTS_MAX: Final = 100
TOO_LARGE: Final = "what comes of it is larger than the server takes"
LETTER_CHARS: Final = 400  # of a message that is too large, in its dead letter

Fact = tuple[StreamId, Mapping[str, str]]


@dataclass(slots=True)
class Intake:
    memory: LeaderMemory
    files: Files | None
    masking: Masking
    facts_read_at: float = 0.0
    _undecidable: dict[tuple[Channel, StreamId], str] = field(
        default_factory=dict
    )  # and their last words
    _too_large: set[tuple[Channel, StreamId]] = field(
        default_factory=set
    )  # inputs: their commit is, alone
    _singly: int = 0  # so many inputs are still taken one by one

    # --- reading ---

    async def read(self) -> Waiting:
        memory = self.memory
        waiting = await memory.store.read_waiting(memory.positions, INPUT_MAX, FACTS_MAX)
        if self._singly:
            waiting = _first_of(waiting)
        return waiting if self._are_due(waiting.facts) else replace(waiting, facts=[])

    def _are_due(self, facts: Sequence[Fact]) -> bool:
        """Folded into the journal in batches: once a second, sooner where many wait or something
        is to be done.
        """
        now = self.memory.now()
        is_early = (
            len(facts) < FACTS_MAX and now < self.facts_read_at + SWEEP_SECONDS and not self._singly
        )
        if is_early and not any(ledger_events.is_urgent(fact) for _, fact in facts):
            return False
        self.facts_read_at = now
        return True

    def take(self, draft: Draft, messages: Sequence[Message]) -> list[Message]:
        """Those that are messages, and new. The others are told by channel and rule: not each, for
        a flood of forgeries must not become one of the journal.
        """
        taken: list[Message] = []
        refused: dict[tuple[Channel, Rule], list[Message]] = {}
        for message in messages:
            rule = self._why_refused(message, draft.now)
            if rule is None:
                taken.append(message)
            else:
                refused.setdefault((message.channel, rule), []).append(message)
        for (channel, rule), those in refused.items():
            draft.add(refused_mail(draft.moment, channel, rule, those))
        return taken

    def _why_refused(self, message: Message, now: float) -> Rule | None:
        if message.kind is Kind.UNREADABLE:
            return why_unreadable(message)
        return self.memory.heard.accepts(message, now)

    # --- messages ---

    def decide(self, draft: Draft, message: Message) -> bool:
        """Decides one input. A bug that it meets ends this input, not the supervisor at each of
        its starts: false, and it is met again, and refused.
        """
        place = (message.channel, message.id)
        if place in self._too_large:
            short = replace(message, text=message.text[:LETTER_CHARS], data={})
            dead_letters.undecidable(draft, short, TOO_LARGE)
            return True
        if place in self._undecidable:
            dead_letters.undecidable(draft, message, self._undecidable[place])
            return True
        try:
            decide(draft, message)
        except Exception as error:
            log.exception(
                LogEvent.INPUT_DEAD,
                channel=message.channel,
                id=message.id,
            )
            self._undecidable[place] = f"{type(error).__name__}: {error}"
            return False
        return True

    # --- missions ---

    async def admit(self, draft: Draft, id: StreamId, fields: Mapping[str, str]) -> None:
        """One mission of the stream: what it says, whether its files are there, whether its id
        is an ended one's.
        """
        fields = masked(bounded(fields), self.masking)
        is_too_large = (MISSIONS, id) in self._too_large
        request = parse_mission(too_large(fields) if is_too_large else fields)
        ended = await self._read_ended(fields)
        if isinstance(request, str):
            text = fields.get("mission") or fields.get("raw", "")
            queue.admit_invalid(
                draft, request, asked=queue.id_said(fields), is_known=bool(ended), text=text
            )
        elif ended:
            queue.admit_known(draft, request, ended)
        else:
            # Minted before its files are looked up: a mission's own folder is named by its id.
            id_given = request.id or self.memory.clock.new_id("m")
            named = request.model_copy(update={"id": id_given})
            names, fault = await self._find_files(named)
            queue.admit(draft, named, fault=fault, files=names)

    async def _read_ended(self, fields: Mapping[str, str]) -> dict[str, str]:
        """The record of a mission of this id that has ended, where the id may not come again."""
        asked = queue.id_asked(fields)
        if not asked or MissionId(asked) in self.memory.swarm.missions:
            return {}
        ended = await self.memory.store.ended_mission(MissionId(asked))
        return {} if queue.may_come_again(ended) else ended

    async def _find_files(self, request: MissionRequest) -> tuple[tuple[str, ...], str]:
        if self.files is None:
            return request.files, ""
        # A mission without files searches the swarm's own knowledge.
        wanted = request.files or OWN_KNOWLEDGE
        try:
            names = await anyio.to_thread.run_sync(self.files.names, MissionId(request.id), wanted)
            return names, "" if names else f"files: there are none in {', '.join(wanted)}"
        except WorkspaceError as error:
            return (), f"files: {error}"

    # --- facts ---

    def split_too_large(
        self, facts: Sequence[Fact]
    ) -> tuple[list[Fact], list[tuple[StreamId, str]]]:
        """Those that fit, and the others with the reason."""
        large = {id for id, _ in facts if (FACTS, id) in self._too_large}
        return [fact for fact in facts if fact[0] not in large], [
            (id, TOO_LARGE) for id, _ in facts if id in large
        ]

    # --- what is larger than the server takes ---

    async def narrow(self, waiting: Waiting, error: TooLargeError) -> bool:
        """A commit is larger than the server takes: its inputs one by one, and the one that is
        too large is refused.
        """
        inputs = _places_of(waiting)
        if not inputs or inputs[0] in self._too_large:
            raise error
        if len(inputs) == 1:
            log.warning(
                LogEvent.INPUT_TOO_LARGE,
                input=inputs[0],
                why=error.what,
            )
            self._too_large.add(inputs[0])
        await self.memory.load_again()
        self._singly = max(self._singly, len(inputs))
        return True

    def count_committed(self) -> bool:
        """After each commit; true while inputs are taken one by one."""
        self._singly = max(0, self._singly - 1)
        return self._singly > 0


def positions_after(waiting: Waiting) -> dict[Channel, StreamId]:
    positions: dict[Channel, StreamId] = {m.channel: m.id for m in waiting.messages}
    if waiting.missions:
        positions[MISSIONS] = waiting.missions[-1][0]
    if waiting.facts:
        positions[FACTS] = waiting.facts[-1][0]
    return positions


def _places_of(waiting: Waiting) -> list[tuple[Channel, StreamId]]:
    return [
        *((MISSIONS, id) for id, _ in waiting.missions),
        *((message.channel, message.id) for message in waiting.messages),
        *((FACTS, id) for id, _ in waiting.facts),
    ]


def _first_of(waiting: Waiting) -> Waiting:
    """One input of all that wait."""
    if waiting.missions:
        return Waiting(waiting.missions[:1], [], [])
    if waiting.messages:
        return Waiting([], waiting.messages[:1], [])
    return Waiting([], [], waiting.facts[:1])
