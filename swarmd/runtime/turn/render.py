"""The facts that a prompt is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
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
from swarmd.core.model.functions import Offer
from swarmd.core.model.lineage import Agent, missions_rooms
from swarmd.core.model.messages import Message
from swarmd.core.tree.rights import roles_below
from swarmd.ports.models import Call, Child, Prompt, View
from swarmd.ports.stores import Around
from swarmd.runtime.mailboxes import Resident
from swarmd.runtime.turn.mail import turn_taint
from swarmd.runtime.turn.world import Gathered, World

# Of the board's room, to find one mission's part in it.
_ROOM_READ: Final = 400


_SEAT_OUTPUT_TOKENS: Final = 4_000


async def prompt_renderer(
    world: World,
    resident: Resident,
    acting: Acting,
    around: Around,
    call: Call | None,
    gathered: Gathered,
) -> Callable[[Sequence[Mapping[str, Any]]], Prompt]:
    agent, declared, mission, free = resident.agent, world.declared, around.mission, around.free
    assert mission is not None
    room: tuple[Message, ...] = ()
    if agent.is_seat:
        latest = await world.store.latest(BOARD_ROOM, _ROOM_READ)
        said = once_each(latest, latest[0].id) if latest else []
        room = tuple(m for m in said if m.mission == mission.id)
        gathered.taint |= await turn_taint(world, resident, room)
    role = declared.roles.get(agent.role)
    offer = _offer(declared, agent, acting.phase)
    remembered = world.recollection.of(agent.id, resident.memory)
    base = View(
        agent=agent.id,
        name=agent.name,
        role=agent.role,
        tier=agent.tier,
        mission=mission.id,
        mission_text=mission.text,
        files=acting.files,
        charter=agent.charter,
        call=call,
        mail=tuple(gathered.mail),
        room=room,
        memory=tuple(item for item, _ in remembered),
        free=free,
        children=tuple(Child(c.id, c.name, c.role, c.key, c.state.value) for c in acting.children),
    )
    shared = words.shared(declared, mission.text, is_seat=agent.is_seat)
    persona = _persona(declared, agent)
    now = (
        _asked(base, call, declared)
        if call is not None
        else _situation(base, acting, declared, gathered.taint)
    )
    talk: words.Exchange = []
    words.go_on(talk, [said for _, in_words in remembered for said in in_words])
    words.go_on(talk, [("user", now)])
    rendered = 0

    def render(corrections: Sequence[Mapping[str, Any]]) -> Prompt:
        # Steps are only ever added: each is put into words once, however many attempts and thoughts
        # follow it.
        nonlocal rendered
        words.go_on(talk, words.exchange_of(gathered.steps[rendered:]))
        rendered = len(gathered.steps)
        exchange = list(talk)
        words.go_on(exchange, words.exchange_of(corrections))
        return Prompt(
            shared,
            persona,
            tuple(exchange),
            offer,
            role.output_tokens_max if role else _SEAT_OUTPUT_TOKENS,
            replace(base, steps=(*gathered.steps, *corrections)),
        )

    return render


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
