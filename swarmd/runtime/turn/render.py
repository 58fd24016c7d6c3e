"""The facts that a prompt is made of."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

import anyio.to_thread

from swarmd.core.agent import prompt as words
from swarmd.core.agent import seat_prompt as seats
from swarmd.core.agent.child_reports import MESSAGES_READ, ChildReport, last_reports
from swarmd.core.agent.file_list import FileFacts, as_named
from swarmd.core.agent.memory import mail_entry
from swarmd.core.agent.offers import offer_to
from swarmd.core.agent.seat_moves import offer_to_seat, required_of
from swarmd.core.agent.situation import charter_text, last_words, left_text
from swarmd.core.agent.turn import Acting
from swarmd.core.bus.envelope import once_each
from swarmd.core.model.channels import BOARD_ROOM, up
from swarmd.core.model.declarations import Declarations
from swarmd.core.model.exchange import Exchange, Piece
from swarmd.core.model.functions import Offer
from swarmd.core.model.generation import Generation
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import Message
from swarmd.core.model.names import AgentId, MissionId
from swarmd.core.model.records import Mission
from swarmd.errors import WorkspaceError
from swarmd.ports.models import UNSET, Call, Child, Prompt, View
from swarmd.ports.stores import Around
from swarmd.runtime.mailboxes import Resident
from swarmd.runtime.turn.commit import memory_before
from swarmd.runtime.turn.mail import turn_taint
from swarmd.runtime.turn.memory_cache import Recalled
from swarmd.runtime.turn.situation import names_around, situation_of
from swarmd.runtime.turn.step_journal import Journal
from swarmd.runtime.turn.world import Gathered, World

# Of the board's room, to find one mission's part in it.
_ROOM_READ: Final = 400


_SEAT_OUTPUT_TOKENS: Final = 4_000
# All that may be answered at the bound of a turn.
_LAST_MOVE: Final = "report"


@dataclass(slots=True)
class PromptRenderer:
    """Makes a turn's prompts. What does not change in the turn is put into words once, and so is
    each step, however many attempts and thoughts follow it.
    """

    shared: str
    persona: str
    asked: tuple[Piece, ...]  # what was before this turn, and what it is about
    offer: Offer
    output_tokens_max: int
    generation: Generation
    view: View
    gathered: Gathered
    remind: Callable[[], str]  # what may be another in each call
    since: Exchange = field(default_factory=list)  # the turn so far
    allowed: tuple[str, ...] = ()
    _rendered: int = 0  # steps that `since` has
    _threads: deque[str] = field(default_factory=deque)  # of answers that `since` has not yet

    def __call__(self, corrections: Sequence[Mapping[str, Any]]) -> Prompt:
        steps = self.gathered.steps
        for step in steps[self._rendered :]:
            pieces = words.exchange_of([step])
            if "moves" in step and self._threads:
                pieces[0] = replace(pieces[0], thread=self._threads.popleft())
            words.go_on(self.since, pieces)
        self._rendered = len(steps)
        since = list(self.since)
        words.go_on(since, words.exchange_of(corrections))
        return Prompt(
            self.shared,
            self.persona,
            self.asked,
            self.offer,
            self.output_tokens_max,
            replace(self.view, steps=(*steps, *corrections)),
            since=tuple(since),
            reminder=self.remind(),
            allowed=self.allowed,
            generation=self.generation,
        )

    def keep(self, thread: str) -> None:
        """What the provider wants back with the answer that it has just given."""
        self._threads.append(thread)

    def ask_for_report(self, used_up: str) -> None:
        """From here on a report is all that is asked for: the turn is at its bound."""
        said = last_words(used_up)
        self.remind, self.allowed = (lambda: said), (_LAST_MOVE,)
        if _LAST_MOVE not in self.offer.moves:
            self.offer = replace(self.offer, moves=(*self.offer.moves, _LAST_MOVE))


async def prompt_renderer(
    world: World,
    resident: Resident,
    journal: Journal,
    acting: Acting,
    around: Around,
    call: Call | None,
    gathered: Gathered,
) -> PromptRenderer:
    agent, declared, mission = resident.agent, world.declared, around.mission
    assert mission is not None
    room: tuple[Message, ...] = ()
    facts, below = _facts_of(call), list[ChildReport]()
    if agent.is_seat:
        room = await _room_of(world, mission.id)
        below = await _child_reports(world, facts) if facts is not None else []
        read = (*room, *(report.message for report in below))
        gathered.taint |= await turn_taint(world, resident, read)
    remembered = world.recollection.of(agent.id, memory_before(world, resident, gathered.mail))
    memory = tuple(item for item, _ in remembered)
    files = await _files_told(world, acting)
    view = _view_of(acting, mission, around.free, call, gathered.mail, room, memory)
    gathered.names = names_around(agent, around)
    role = declared.roles.get(agent.role)
    charter, persona = _who_is_asked(declared, acting, around, files, gathered, facts)
    return PromptRenderer(
        words.shared(declared, mission.text, is_seat=agent.is_seat, leads=words.leads(role)),
        persona,
        _asked(charter, remembered, _now(declared, view, files, gathered, facts, below)),
        _offer(declared, acting),
        role.output_tokens_max if role else _SEAT_OUTPUT_TOKENS,
        role or UNSET,
        view,
        gathered,
        _reminder(declared, agent, journal),
        allowed=facts["required"] if facts is not None else (),
    )


def _asked(charter: str, remembered: Sequence[Recalled], now: str) -> tuple[Piece, ...]:
    """What does not change comes first, what the turn is about last."""
    asked: Exchange = []
    if charter:
        words.go_on(asked, [words.told(charter)])
    for _, in_words in remembered:
        words.go_on(asked, in_words)
    words.go_on(asked, [words.told(now)])
    return tuple(asked)


async def _files_told(world: World, acting: Acting) -> tuple[FileFacts, ...]:
    """Its files with their lengths, where this host has them."""
    if world.files is not None and acting.files:
        with suppress(WorkspaceError):
            return await anyio.to_thread.run_sync(world.files.facts, acting.mission, acting.files)
    return as_named(acting.files)


def _now(
    declared: Declarations,
    view: View,
    files: Sequence[FileFacts],
    gathered: Gathered,
    facts: Mapping[str, Any] | None,
    below: Sequence[ChildReport],
) -> str:
    """What a turn is about: a seat's call, an agent's mail."""
    if facts is not None:
        return seats.call_text(facts, files, view.room, seats.board_roles(declared), below)
    return words.mail_text(mail_entry(gathered.mail, gathered.names)["mail"])


def _who_is_asked(
    declared: Declarations,
    acting: Acting,
    around: Around,
    files: Sequence[FileFacts],
    gathered: Gathered,
    facts: Mapping[str, Any] | None,
) -> tuple[str, str]:
    """What an agent is told before all that it remembers, and who is asked now: a seat's persona;
    an agent's situation as its turn begins.
    """
    agent, role = acting.agent, declared.roles.get(acting.agent.role)
    if facts is not None:
        return "", seats.persona_of_seat(declared, agent.name, facts)
    if agent.charter is None or role is None:
        return "", f"You are {agent.name}."
    situation = situation_of(declared, acting, around, files, gathered.taint)
    charter = charter_text(agent, role, agent.charter)
    return f"{charter}\n\n{situation.lasting_text()}", situation.to_text()


def _reminder(declared: Declarations, agent: Agent, journal: Journal) -> Callable[[], str]:
    """What is left of an agent's turn. A seat has one answer to give."""
    if agent.is_seat:
        return str
    limits = declared.limits
    return lambda: left_text(
        limits.thoughts_max - journal.thoughts_done,
        limits.functions_max - journal.functions_done,
    )


async def _room_of(world: World, mission: MissionId) -> tuple[Message, ...]:
    """What was said of one mission in the board's room."""
    latest = await world.store.latest(BOARD_ROOM, _ROOM_READ)
    said = once_each(latest, latest[0].id) if latest else []
    return tuple(message for message in said if message.mission == mission)


async def _child_reports(world: World, facts: Mapping[str, Any]) -> list[ChildReport]:
    """Of an executive that has ended nothing is left."""
    found: list[ChildReport] = []
    reported = facts["reports"] if seats.reads_child_reports(facts) else ()
    for executive in reported:
        id = AgentId(executive["agent"])
        latest = await world.store.latest(up(id), MESSAGES_READ)
        if latest:
            children = await world.store.children(id)
            said = once_each(latest, latest[0].id)
            found += last_reports(executive["name"], children, said)
    return found


def _view_of(
    acting: Acting,
    mission: Mission,
    free: Mapping[str, int],
    call: Call | None,
    mail: Sequence[Message],
    room: tuple[Message, ...],
    memory: tuple[Any, ...],
) -> View:
    agent = acting.agent
    return View(
        agent=agent.id,
        name=agent.name,
        role=agent.role,
        tier=agent.tier,
        mission=mission.id,
        mission_text=mission.text,
        files=acting.files,
        charter=agent.charter,
        call=call,
        mail=tuple(mail),
        room=room,
        memory=memory,
        free=free,
        children=tuple(Child(c.id, c.name, c.role, c.key, c.state.value) for c in acting.children),
    )


def _facts_of(call: Call | None) -> dict[str, Any] | None:
    if call is None:
        return None
    facts = asdict(call)
    return facts | {"required": required_of(facts)}


def _offer(declared: Declarations, acting: Acting) -> Offer:
    if acting.agent.is_seat:
        return offer_to_seat()
    return offer_to(
        acting.agent,
        declared.roles,
        declared.rooms,
        declared.functions,
        has_children=bool(acting.children),
    )
