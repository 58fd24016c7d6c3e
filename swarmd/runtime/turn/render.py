"""The facts that a prompt is made of."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from swarmd.core.agent import prompt as words
from swarmd.core.agent.turn import (
    Acting,
    mail_entry,
    offer_to,
    offer_to_seat,
)
from swarmd.core.bus.envelope import once_each
from swarmd.core.model.channels import BOARD_ROOM
from swarmd.core.model.declarations import Declarations
from swarmd.core.model.exchange import Exchange, Piece
from swarmd.core.model.functions import Offer
from swarmd.core.model.generation import Generation
from swarmd.core.model.lineage import Agent, missions_rooms
from swarmd.core.model.messages import Message
from swarmd.core.model.names import MissionId
from swarmd.core.model.records import Mission
from swarmd.core.tree.rights import roles_below
from swarmd.ports.models import UNSET, Call, Child, Prompt, View
from swarmd.ports.stores import Around
from swarmd.runtime.mailboxes import Resident
from swarmd.runtime.turn.mail import turn_taint
from swarmd.runtime.turn.world import Gathered, World

# Of the board's room, to find one mission's part in it.
_ROOM_READ: Final = 400


_SEAT_OUTPUT_TOKENS: Final = 4_000


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
    since: Exchange = field(default_factory=list)  # the turn so far
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
            generation=self.generation,
        )

    def keep(self, thread: str) -> None:
        """What the provider wants back with the answer that it has just given."""
        self._threads.append(thread)


async def prompt_renderer(
    world: World,
    resident: Resident,
    acting: Acting,
    around: Around,
    call: Call | None,
    gathered: Gathered,
) -> PromptRenderer:
    agent, declared, mission = resident.agent, world.declared, around.mission
    assert mission is not None
    room: tuple[Message, ...] = ()
    if agent.is_seat:
        room = await _room_of(world, mission.id)
        gathered.taint |= await turn_taint(world, resident, room)
    remembered = world.recollection.of(agent.id, resident.memory)
    memory = tuple(item for item, _ in remembered)
    view = _view_of(acting, mission, around.free, call, gathered.mail, room, memory)
    now = (
        _situation(view, acting, declared, gathered.taint)
        if call is None
        else _asked(view, call, declared)
    )
    asked: Exchange = []
    words.go_on(asked, [said for _, in_words in remembered for said in in_words])
    words.go_on(asked, [words.told(now)])
    role = declared.roles.get(agent.role)
    return PromptRenderer(
        words.shared(declared, mission.text, is_seat=agent.is_seat),
        _persona(declared, agent),
        tuple(asked),
        _offer(declared, agent, acting.phase),
        role.output_tokens_max if role else _SEAT_OUTPUT_TOKENS,
        role or UNSET,
        view,
        gathered,
    )


async def _room_of(world: World, mission: MissionId) -> tuple[Message, ...]:
    """What was said of one mission in the board's room."""
    latest = await world.store.latest(BOARD_ROOM, _ROOM_READ)
    said = once_each(latest, latest[0].id) if latest else []
    return tuple(message for message in said if message.mission == mission)


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


def _offer(declared: Declarations, agent: Agent, phase: str) -> Offer:
    if phase:
        return offer_to_seat(phase)
    role = declared.roles.get(agent.role)
    return offer_to(role, declared.functions, agent.privileges) if role else Offer(())


def _asked(view: View, call: Call, declared: Declarations) -> str:
    facts = asdict(call)
    means = (
        words.means_of_board(declared, view.free) if facts["phase"] in ("propose", "review") else ""
    )
    return (
        f"{words.room_text(view.room)}\n{means}{words.call_text(facts['phase'], facts, view.files)}"
    )


def _situation(view: View, acting: Acting, declared: Declarations, taint: frozenset[str]) -> str:
    """What an agent has and whom it leads, then its mail."""
    children = [
        f"{c.name} ({c.id}, {c.role}, key {c.key}, {c.state.value})" for c in acting.children
    ]
    rooms = [
        declared_room.name for declared_room, _ in missions_rooms(acting.agent, declared.rooms)
    ]
    head = words.situation(
        role=view.role,
        free=view.free,
        files=view.files,
        children=children,
        rooms=rooms,
        may_create=roles_below(acting.agent, declared.roles),
        taint=sorted(taint),
        guarded=declared.limits.taint.actions,
    )
    return f"{head}\n\n{words.mail_text(mail_entry(view.mail)['mail'])}"


def _persona(declared: Declarations, agent: Agent) -> str:
    role = declared.roles.get(agent.role)
    if agent.charter is None or role is None:
        return words.persona_of_seat(declared, agent.name)
    return words.persona_of_agent(
        agent.name, agent.id, agent.tier, agent.parent or "", role, agent.charter
    )
