"""A small swarm for tests: declarations, a founded board, a mission at work, and agents made by the
law itself.

Nothing here goes round the law: an agent that a test needs is asked for as an agent would ask.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from swarmd.core.control import termination
from swarmd.core.control import tick as control_tick
from swarmd.core.control.dispatch import decide
from swarmd.core.missions import queue
from swarmd.core.missions.intake import MissionRequest
from swarmd.core.model.actions import Args, args_of
from swarmd.core.model.board_rules import BoardRules
from swarmd.core.model.changes import Change, Post
from swarmd.core.model.channels import BOARD_ROOM, JOURNAL, ORDERS, REQUESTS, up
from swarmd.core.model.charter import Charter
from swarmd.core.model.declarations import (
    Budget,
    Declarations,
    Limits,
    Models,
    Persona,
    Role,
    Room,
)
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import SOB, AgentId, AgentState, Channel, HostId, MissionId, StreamId
from swarmd.core.model.records import Host, Spawned
from swarmd.core.model.refusals import Denied
from swarmd.core.model.requests import SpawnRequest
from swarmd.core.model.state import Draft, Swarm
from swarmd.core.model.tables import Drop, Put, Table, V
from swarmd.core.model.timings import Moment, stamp_of
from swarmd.core.tree.spawn import decide_spawn, made

SEATS = ("picard", "socrates", "solomon", "gandhi", "aurelius", "stark")
MISSION = MissionId("m1")
START = 1_800_000_000.0

BOARD = BoardRules(
    seats=SEATS,
    chair="picard",
    quorum=4,
    procedure="full",
    rounds=0,
    seat_seconds=10,
    motion_seconds=100,
)
LIMITS = Limits(
    root=Budget(tokens=1_000_000, cost=50_000_000, calls=10_000, tools=20_000, agents=100),
    mission=Budget(tokens=100_000, cost=5_000_000, calls=1_000, tools=2_000, agents=40),
)
ROLES = (
    Role(
        name="manager",
        summary="makes others",
        tiers=(1, 2, 3, 4),
        methodology="divide",
        moves=("spawn", "report"),
        privileges=("spawn/**", "model/**", "tool/file/read", "room/hall/say"),
    ),
    Role(
        name="worker",
        summary="works",
        tiers=(2, 3, 4),
        methodology="read",
        moves=("report",),
        functions=("file/read",),
        privileges=("model/**", "tool/file/read", "tool/file/write"),
    ),
    Role(
        name="thinker",
        summary="works without files",
        tiers=(1, 2),
        methodology="think",
        moves=("report", "spawn"),
        privileges=("model/**", "spawn/thinker"),
    ),
)
ROOMS = (
    Room(name="sob", purpose="the board", tiers=(0,)),
    Room(name="hall", purpose="executives", tiers=(1,), scope="mission"),
)


def act_args(
    verb: str,
    target: str,
    reason: str = "r",
    privilege: str = "",
    right: str = "both",
    amounts: Mapping[Any, int] | None = None,
    grace_s: float = 60.0,
) -> Args:
    """An action's arguments, of which each verb takes its own."""
    return args_of(
        {
            "verb": verb,
            "target": target,
            "reason": reason,
            "privilege": privilege or None,
            "right": right,
            "amounts": amounts or {},
            "grace_s": grace_s,
        }
    )


def declarations(board: Mapping[str, Any] | None = None, **limits: Any) -> Declarations:
    """The declarations above, with these limits and board rules instead."""
    return Declarations(
        constitution="Reduce suffering.",
        procedures="Vote.",
        handbook="Be brief.",
        personas={seat: Persona(seat, seat.title(), f"You are {seat}.") for seat in SEATS},
        board=BOARD.model_copy(update=dict(board or {})),
        limits=LIMITS.model_copy(update=limits),
        roles={role.name: role for role in ROLES},
        models=Models(),
        rooms={room.name: room for room in ROOMS},
        digest="d",
    )


def numbers() -> Iterator[str]:
    number = 0
    while True:
        number += 1
        yield f"{number:010d}"


def charter(name: str, role: str = "manager", **rest: Any) -> Charter:
    return Charter.model_validate(
        {"role": role, "name": name, "task": f"the task of {name}"} | rest
    )


@dataclass(slots=True)
class World:
    """A swarm in memory and a hand to play everybody in it. `draft` holds the changes of the
    last input.
    """

    swarm: Swarm
    now: float = START
    draft: Draft = field(init=False)
    _ids: Iterator[str] = field(default_factory=numbers)
    _messages: int = 0

    def __post_init__(self) -> None:
        self.renew()

    def renew(self) -> Draft:
        self.draft = Draft(self.swarm, self.moment)
        return self.draft

    @property
    def moment(self) -> Moment:
        return Moment(self.now, stamp_of(self.now), self._ids)

    @property
    def changes(self) -> list[Change]:
        return self.draft.changes

    # --- inputs ---

    def hear(
        self,
        channel: Channel,
        sender: str,
        kind: Kind,
        data: Mapping[str, Any],
        *,
        text: str = "",
        mission: str = "",
        incarnation: int = 1,
        hops: int = 0,
    ) -> list[Change]:
        """One message of one of the supervisor's inputs; what it changed."""
        self._messages += 1
        message = Message(
            sender=AgentId(sender),
            kind=kind,
            at=self.moment.stamp,
            text=text,
            mission=MissionId(mission),
            data=data,
            incarnation=incarnation,
            hops=hops,
            channel=channel,
            id=StreamId(f"{self._messages}-0"),
        )
        decide(self.renew(), message)
        return self.changes

    def request(
        self, sender: str, type: str, *, incarnation: int = 1, hops: int = 0, **data: Any
    ) -> list[Change]:
        return self.hear(
            REQUESTS,
            sender,
            Kind.REQUEST,
            {"type": type} | data,
            incarnation=incarnation,
            hops=hops,
        )

    def end(self, by: str, agent: str, *, reason: str = "r", **sent: Any) -> list[Change]:
        """An ancestor asks for the end of one below it."""
        act = {"verb": "terminate", "target": agent, "reason": reason}
        return self.request(by, "act", act=act, **sent)

    def order(self, verb: str, target: str, **data: Any) -> list[Change]:
        return self.hear(
            ORDERS, "operator", Kind.ORDER, {"order": "o1", "verb": verb, "target": target} | data
        )

    def report(self, agent: Agent, text: str, *, done: bool = True, **data: Any) -> list[Change]:
        return self.hear(
            up(SOB),
            agent.id,
            Kind.REPORT,
            {"done": done, "files": [], **data},
            text=text,
            mission=agent.mission,
        )

    def tick(self, seconds: float = 0.0) -> list[Change]:
        self.now += seconds
        control_tick.tick(self.renew())
        return self.changes

    def reap(self, spent: Mapping[str, Mapping[str, int]] | None = None) -> list[Change]:
        # A fence has a commit of its own: what lies below it is looked at from the next moment on.
        self.now += 0.001
        termination.reap(self.renew(), spent or {})
        return self.changes

    # --- the board ---

    def carry(self, motion: Mapping[str, Any], mission: MissionId = MISSION) -> list[Change]:
        """All six seats want it: proposed by who is called, debated, voted for by all. All that
        it changed.
        """
        changes: list[Change] = []
        changes += self.answer(mission, Kind.PROPOSAL, motion=dict(motion))
        while self.swarm.boards[mission].stage == "debate":
            changes += self.answer(mission, Kind.ARGUMENT)
        for _ in SEATS:
            changes += self.answer(mission, Kind.VOTE, choice="yes")
        return changes

    def answer(self, mission: MissionId, kind: Kind, **data: Any) -> list[Change]:
        """The called seat answers."""
        procedure = self.swarm.boards[mission]
        seat = procedure.called[0]
        data["motion_number"] = procedure.motion_number
        return self.hear(BOARD_ROOM, seat, kind, data, text="so be it", mission=mission)

    # --- agents ---

    def ask(
        self, parent: str, given: Charter, *, key: str = "", mission: MissionId = MISSION
    ) -> Spawned | Denied:
        request = SpawnRequest(key=key or given.name, charter=given)
        found = self.swarm.lineage.agents[AgentId(parent)]
        return decide_spawn(self.swarm, found, request, self.moment, mission=mission)

    def grow(self, parent: str, name: str, role: str = "manager", **rest: Any) -> Agent:
        """A new agent below `parent`, by the law, on the host where there is one."""
        spawned = self.ask(parent, charter(name, role, **rest))
        assert isinstance(spawned, Spawned), spawned
        self.swarm.observed.free.setdefault(spawned.account, {})
        self.renew().add(*made(self.swarm, spawned, self.moment))
        return self.place(spawned.agent.id)

    def place(self, id: str) -> Agent:
        agent = self.swarm.lineage.agents[AgentId(id)]
        host = next(iter(self.swarm.hosts), HostId(""))
        live = replace(agent, state=AgentState.LIVE, host=host, lease=agent.lease + 1)
        self.swarm.lineage.put(live)
        return live

    def agent(self, id: str) -> Agent:
        return self.swarm.lineage.agents[AgentId(id)]


def world(
    *,
    hosts: Sequence[str] = ("h1",),
    board: Mapping[str, Any] | None = None,
    files: Sequence[str] = ("docs",),
    **limits: Any,
) -> World:
    """A founded swarm with one mission before its board."""
    made_world = World(Swarm(declarations(board, **limits)))
    for host in hosts:
        made_world.swarm.hosts[HostId(host)] = Host(HostId(host), 1_000, "shared")
    control_tick.found(made_world.draft)
    queue.admit(made_world.draft, MissionRequest(mission="Find out.", id=MISSION), files=files)
    made_world.tick()
    assert made_world.swarm.boards[MISSION].stage == "propose"
    return made_world


def posts(changes: Sequence[Change], channel: Channel) -> list[Message]:
    return [
        change.message
        for change in changes
        if isinstance(change, Post) and change.channel == channel
    ]


def puts(changes: Sequence[Change], table: Table[V]) -> list[V]:
    """The values of the rows that are set."""
    return [c.value for c in changes if isinstance(c, Put) and c.table is table]


def drops(changes: Sequence[Change], table: Table[Any]) -> list[str]:
    """The keys of the rows that are dropped."""
    return [c.key for c in changes if isinstance(c, Drop) and c.table is table]


def journal(changes: Sequence[Change], event: str) -> list[Message]:
    wanted = JournalEvent(event)
    return [message for message in posts(changes, JOURNAL) if message.data["event"] == wanted]
