"""A small swarm in memory, for the built-in mind: it goes through all three tiers with no Redis and
no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

from swarmd.adapters.files.workspace import Workspace
from swarmd.adapters.models.builtin.model import BuiltinModel
from swarmd.core.board.motions.charter import CharterMotion
from swarmd.core.board.motions.deliver import DeliverMotion
from swarmd.core.board.motions.direct import DirectMotion
from swarmd.core.board.motions.reject import RejectMotion
from swarmd.core.model.charter import Charter
from swarmd.core.model.functions import FILE_SEARCH, MOVES_MAX, Offer, SearchFiles
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.moves import Argue, Move, Propose, Report, Spawn, Use, Vote, Wait
from swarmd.core.model.names import AgentId, MissionId
from swarmd.core.model.refusals import Rule
from swarmd.errors import WorkspaceError
from swarmd.ports.models import Call, Child, Prompt, View

MISSION: Final = MissionId("m-1")
SEATS: Final = (
    "captain-picard",
    "socrates",
    "king-solomon",
    "gandhi",
    "marcus-aurelius",
    "tony-stark",
)


@dataclass
class Agent:
    """An agent of the simulator: what the runtime would remember of it."""

    id: AgentId
    tier: int
    charter: Charter
    parent: AgentId | None
    key: str
    memory: list[Mapping[str, Any]] = field(default_factory=list)
    inbox: list[Message] = field(default_factory=list)
    children: list[Child] = field(default_factory=list)


@dataclass
class Swarm:
    """Carries the moves of the built-in mind as the runtime does: search, spawn, report, think."""

    files: Workspace
    mission: str
    names: tuple[str, ...]
    refuse: Callable[[Spawn], Rule | None] = lambda spawn: None
    agents: dict[AgentId, Agent] = field(default_factory=dict)
    reports: dict[AgentId, str] = field(default_factory=dict)
    room: list[Message] = field(default_factory=list)
    calls: int = 0
    motions: list[Mapping[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.model = BuiltinModel(self.files)

    async def ask(self, view: View) -> tuple[Move, ...]:
        self.calls += 1
        assert self.calls < 300, "the swarm runs in circles"
        answer = await self.model.attempt(prompt(view))
        assert answer.usage.tokens == 0
        assert 1 <= len(answer.moves) <= (MOVES_MAX if view.call is None else 1)
        return answer.moves

    # --- the board

    async def run(self) -> str:
        """The delivered text, or the reason of the rejection."""
        for number in range(1, 8):
            phase: Literal["review", "propose"] = "review" if self.reports else "propose"
            call = Call(
                phase,
                number,
                None,
                reports=self._for_review(),
                send_backs_max=2,
                sent_back=self._sent_back(),
            )
            (proposed,) = await self.ask(self.seat("captain-picard", call))
            assert isinstance(proposed, Propose)
            motion = proposed.motion.model_dump()
            self.motions.append(motion)
            if not await self._is_carried(motion, number):
                continue
            match proposed.motion:
                case CharterMotion(executives=executives):
                    for executive in executives:
                        charter = Charter(
                            **executive.model_dump(exclude={"key", "replaces", "after"})
                        )
                        self._make(charter, 1, None, executive.key or executive.name)
                    await self._work()
                case DirectMotion(to=to, text=text):
                    self._post(AgentId(to), AgentId("sob"), Kind.DIRECTIVE, text)
                    await self._work()
                case DeliverMotion(text=text, reports=reports):
                    return "\n\n".join((text, *(self.reports[AgentId(id)] for id in reports)))
                case RejectMotion(reason=reason):
                    return reason
        raise AssertionError("the board decided nothing")

    def _sent_back(self) -> int:
        return sum(motion["motion"] == "direct" for motion in self.motions)

    async def _is_carried(self, motion: Mapping[str, Any], number: int) -> bool:
        votes = []
        for name in SEATS:
            call = Call("debate", number, motion, reports=self._for_review(), send_backs_max=2)
            (argued,) = await self.ask(self.seat(name, call))
            assert isinstance(argued, Argue)
            self.room.append(message(AgentId(name), Kind.ARGUMENT, argued.text))
        for name in SEATS:
            call = Call("vote", number, motion, reports=self._for_review(), send_backs_max=2)
            (voted,) = await self.ask(self.seat(name, call))
            assert isinstance(voted, Vote)
            votes.append(voted.choice)
        return votes.count("yes") > votes.count("no")

    def seat(self, name: str, call: Call) -> View:
        return View(
            AgentId(name),
            name,
            "seat",
            0,
            MISSION,
            self.mission,
            self.names,
            call=call,
            room=tuple(self.room),
        )

    def _for_review(self) -> tuple[Mapping[str, Any], ...]:
        return tuple(
            {
                "agent": id,
                "name": self.agents[id].charter.name,
                "text": text,
                "files": [],
                "done": True,
            }
            for id, text in self.reports.items()
        )

    # --- the agents

    def _make(self, charter: Charter, tier: int, parent: AgentId | None, key: str) -> AgentId:
        id = AgentId(f"a-{len(self.agents) + 1}")
        self.agents[id] = Agent(id, tier, charter, parent, key)
        self._post(id, parent or AgentId("sob"), Kind.CHARTER, charter.task)
        return id

    def _post(self, to: AgentId, sender: AgentId, kind: Kind, text: str, **data: Any) -> None:
        self.agents[to].inbox.append(message(sender, kind, text, **data))

    async def _work(self) -> None:
        while waiting := [agent for agent in self.agents.values() if agent.inbox]:
            for agent in waiting:
                await self._turn(agent)

    async def _turn(self, agent: Agent) -> None:
        mail, agent.inbox = tuple(agent.inbox), []
        steps: list[Mapping[str, Any]] = []
        while True:
            moves = await self.ask(self.view(agent, mail, steps))
            results = [self._do(agent, move) for move in moves]
            steps += [{"moves": [move.model_dump() for move in moves]}, {"results": results}]
            if not any(isinstance(move, Use) for move in moves):
                break
        agent.memory += [{"mail": [plain(sent) for sent in mail]}, *steps]

    def view(
        self, agent: Agent, mail: tuple[Message, ...], steps: Sequence[Mapping[str, Any]]
    ) -> View:
        files = agent.charter.files or self.names
        return View(
            agent.id,
            agent.charter.name,
            agent.charter.role,
            agent.tier,
            MISSION,
            self.mission,
            files,
            charter=agent.charter,
            mail=mail,
            memory=tuple(agent.memory),
            steps=tuple(steps),
            children=tuple(agent.children),
        )

    def _do(self, agent: Agent, move: Move) -> Mapping[str, Any]:
        match move:
            case Use(function=FILE_SEARCH.name, args=args):
                asked = SearchFiles.model_validate(args)
                return self._search(asked.query, asked.files or self.names, asked.top)
            case Spawn():
                self._spawn(agent, move)
            case Report(text=text, done=done):
                assert done
                if agent.parent is None:
                    self.reports[agent.id] = text
                else:
                    self._post(agent.parent, agent.id, Kind.REPORT, text, done=True)
            case Wait():
                pass
            case _:
                raise AssertionError(f"no move of an agent: {move}")
        return {"move": move.move, "ok": True}

    def _search(self, query: str, names: Sequence[str], top: int) -> Mapping[str, Any]:
        try:
            found = self.files.search(MISSION, query, names, top)
        except WorkspaceError as error:
            return {"function": FILE_SEARCH.name, "ok": False, "detail": error.what}
        passages = [asdict(passage) for passage in found.passages]
        not_read = [{"path": one.path, "why": one.why} for one in found.left_out]
        seen: dict[str, Any] = {"passages": passages, "not_read": not_read}
        seen |= {"searched": found.searched, "words": dict(found.words)}
        return {"function": FILE_SEARCH.name, "ok": True, **seen}

    def _spawn(self, agent: Agent, move: Spawn) -> None:
        rule = self.refuse(move)
        if rule is not None:
            self._post(
                agent.id,
                AgentId("supervisor"),
                Kind.ANSWER,
                "refused",
                key=move.key,
                rule=rule.value,
            )
            return
        id = self._make(move.charter, agent.tier + 1, agent.id, move.key)
        agent.children.append(Child(id, move.charter.name, move.charter.role, move.key, "live"))
        self._post(agent.id, AgentId("supervisor"), Kind.ANSWER, "created", key=move.key, agent=id)


def message(sender: AgentId, kind: Kind, text: str, **data: Any) -> Message:
    return Message(sender=sender, kind=kind, at="2030-01-01T00:00:00Z", text=text, data=data)


def plain(sent: Message) -> Mapping[str, Any]:
    return {
        "from": sent.sender,
        "kind": sent.kind.value,
        "text": sent.text,
        "data": dict(sent.data),
    }


def prompt(view: View) -> Prompt:
    return Prompt("", "", (), Offer(()), 1_000, view)
