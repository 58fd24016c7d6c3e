"""A turn, without the world: what wakes an agent, what its prompt says, what its moves mean.
Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Any, Final, assert_never

from pydantic import ValidationError

from swarmd.core.agent.seat_moves import said_by
from swarmd.core.agent.waiting import AgentWait
from swarmd.core.model.channels import BOARD_ROOM, REQUESTS, down, up
from swarmd.core.model.declarations import Room
from swarmd.core.model.functions import (
    OWN_FILES,
    FunctionCall,
    Functions,
    is_own_file,
)
from swarmd.core.model.lineage import Agent, missions_rooms
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.moves import (
    Argue,
    Direct,
    Govern,
    Move,
    Propose,
    Report,
    Respond,
    Say,
    Spawn,
    Think,
    Use,
    Vote,
    Wait,
)
from swarmd.core.model.names import AgentId, Channel, MissionId
from swarmd.core.model.privileges import ROOM, is_covered
from swarmd.core.model.provenance import stamped, taint_of
from swarmd.core.model.refusals import Denied, Rule
from swarmd.core.model.requests import (
    RESULT_SHOWN_MAX,
    ActRequest,
    DeadMail,
    FailedRequest,
    SendBackRequest,
    SpawnRequest,
)
from swarmd.core.model.timings import epoch_of
from swarmd.core.tree.spawn import covers_file

# Of files, rooms and children that a refusal names.
NAMES_TOLD_MAX: Final = 12

Output = tuple[Channel, Message]


# --- actions ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Acting:
    """Who acts, on what: all that the meaning of a move depends on."""

    agent: Agent
    mission: MissionId
    files: tuple[str, ...]
    rooms: Mapping[str, Room]
    children: tuple[Agent, ...]
    hops: int
    at: str
    motion_number: int = 0
    phase: str = ""
    functions: Functions = field(default_factory=dict)  # of its role
    # Spawns that this turn has asked for and that nobody has decided yet: their keys, by key and
    # by name.
    asked: Mapping[str, str] = field(default_factory=dict)
    spawns: tuple[str, ...] = ()  # the keys of those of this answer, in its order
    done: frozenset[str] = frozenset()  # children that have reported their task as done
    handed_in: frozenset[str] = frozenset()  # of these, as it was before this answer
    colleagues: tuple[str, ...] = ()  # the names of those that have the same superior


@dataclass(frozen=True, slots=True)
class Briefing:
    """A directive to an agent that is only asked for: it travels with the request."""

    key: str
    text: str


Meaning = list[Output] | FunctionCall | Briefing | AgentWait | Denied | None


def act(move: Move, acting: Acting) -> Meaning:
    """What a move means: messages to commit, a function to call, words for an agent that is asked
    for, a wait, a refusal; `None` for a thought.
    """
    match move:
        case Say():
            return _say(move, acting)
        case Direct():
            return _direct(move, acting)
        case Report():
            return _report(move, acting)
        case Spawn():
            return [_spawn(move, acting)]
        case Wait():
            return _wait(move, acting)
        case Govern():
            return [_request(acting, ActRequest(act=move.args()).model_dump(mode="json"))]
        case Think():
            return None
        case Use():
            return _call(move, acting)
        case Propose() | Argue() | Respond() | Vote():
            return _speak(move, acting)
        case _:
            assert_never(move)


def _speak(move: Propose | Argue | Respond | Vote, acting: Acting) -> list[Output] | Denied:
    """A seat's answer to its call."""
    if not acting.agent.is_seat:
        return Denied(Rule.BOARD_MOTION, f"{move.move} is a seat's")
    kind, text, data = said_by(move)
    speech = _message(
        acting, kind, text, motion_number=acting.motion_number, phase=acting.phase, **data
    )
    return [(BOARD_ROOM, speech)]


def is_report(message: Message) -> bool:
    return message.kind is Kind.REPORT


def is_final(message: Message) -> bool:
    """A final report."""
    return message.kind is Kind.REPORT and bool(message.data.get("done"))


def is_last_word(message: Message) -> bool:
    """A final report, its task handed in with it, or word of the agent's own failure: no loop can
    go on from these.
    """
    return is_final(message) or (
        message.kind is Kind.REQUEST and message.data.get("type") in ("failed", "hand_in")
    )


def ends_here(outputs: Sequence[Output]) -> bool:
    """Nothing but last words."""
    return all(is_last_word(message) for _, message in outputs)


def is_done_after(was_done: bool, mail: Sequence[Message], outputs: Sequence[Output]) -> bool:
    """Has the agent reported its task as done, and been given nothing since? A turn later, with
    its mail and outputs.
    """
    is_given_more = any(message.kind in (Kind.CHARTER, Kind.DIRECTIVE) for message in mail)
    return any(is_final(message) for _, message in outputs) or (was_done and not is_given_more)


def asked_for(moves: Sequence[Move]) -> dict[str, str]:
    """The keys of an answer's spawns, by key and by name: it may direct by either at once."""
    spawns = [move for move in moves if isinstance(move, Spawn)]
    by_name = {spawn.charter.name: spawn.key for spawn in spawns}
    return by_name | {spawn.key: spawn.key for spawn in spawns}


def directed(moves: Sequence[Move], acting: Acting) -> frozenset[AgentId]:
    """The children that an answer gives more to do: they owe a report again, and may be waited for
    in the same answer.
    """
    named = [move.to for move in moves if isinstance(move, Direct)]
    if "*" in named:
        return frozenset(child.id for child in acting.children)
    found = (_child_named(name, acting) for name in named if name not in acting.asked)
    return frozenset(child.id for child in found if child is not None)


def with_briefing(
    outputs: Sequence[Output], briefing: Briefing, taint: Collection[str]
) -> list[Output]:
    """The outputs with these words in the request that they belong to. Who had read something when
    it said them taints the whole request.
    """
    found = list(outputs)
    for at, (channel, message) in enumerate(found):
        data = message.data
        if message.kind is Kind.REQUEST and data.get("key") == briefing.key:
            texts = [*data.get("directives", ()), briefing.text]
            told = replace(message, data={**data, "directives": texts})
            found[at] = (channel, stamped(told, {*taint_of(message), *taint}))
    return found


def _spawn(move: Spawn, acting: Acting) -> Output:
    """Those of one answer get equal shares, so each says with how many it is asked for."""
    request = SpawnRequest(
        key=move.key,
        charter=move.charter,
        together=max(1, len(acting.spawns)),
        before=tuple(takewhile(lambda key: key != move.key, acting.spawns)),
        tier=move.tier,
        parent=move.parent,
    )
    return _request(acting, request.model_dump(mode="json"))


def _wait(move: Wait, acting: Acting) -> AgentWait | Denied:
    until = epoch_of(acting.at) + move.seconds if move.seconds else 0.0
    awaited: dict[str, str] = {}
    if "*" in move.whom:
        awaited |= {c.id: c.name for c in acting.children if c.id not in acting.done}
        awaited |= {key: name for name, key in acting.asked.items()}
        if not awaited:
            return Denied(Rule.UNKNOWN_AGENT, "none of your children is at work")
    for named in move.whom:
        found = {} if named == "*" else _awaited(named, acting)
        if isinstance(found, Denied):
            return found
        awaited |= found
    return AgentWait(tuple(awaited), tuple(awaited.values()), move.what, until)


def _awaited(named: str, acting: Acting) -> dict[str, str] | Denied:
    """Whom one word of a `wait` means, by what the mail will name them."""
    child = _child_named(named, acting)
    if child is None:
        key = acting.asked.get(named)
        return {key: named} if key else _no_child(named, acting)
    if child.id in acting.done:
        return Denied(
            Rule.UNKNOWN_AGENT, f"{child.name} has reported already: its report is in your mail"
        )
    return {child.id: child.name}


def failed(
    acting: Acting,
    detail: str,
    rule: Rule | None = None,
    *,
    is_crash: bool = False,
    dead: DeadMail | None = None,
) -> Output:
    """The runtime gives this agent up; the supervisor ends it, or after a crash starts it anew,
    and tells its superior.
    """
    request = FailedRequest(
        rule=rule.value if rule else "",
        detail=detail[:2000],
        mission=acting.mission,
        is_crash=is_crash,
        dead=dead,
    )
    return _request(acting, request.model_dump())


def _message(acting: Acting, kind: Kind, text: str, *, to: str = "", **data: Any) -> Message:
    return Message(
        sender=acting.agent.id,
        to=to,
        kind=kind,
        mission=acting.mission,
        at=acting.at,
        text=text,
        data=data,
        hops=acting.hops,
        incarnation=acting.agent.incarnation,
    )


def _request(acting: Acting, data: Mapping[str, Any]) -> Output:
    return REQUESTS, _message(acting, Kind.REQUEST, str(data["type"]), **data)


def _say(move: Say, acting: Acting) -> list[Output] | Denied:
    for declared, channel in missions_rooms(acting.agent, acting.rooms):
        if move.room not in (declared.name, channel.removeprefix("room:")):
            continue
        speaking = ROOM.path(declared.name, "say")
        if not is_covered(speaking, acting.agent.privileges):
            return Denied(Rule.PRIVILEGE_USE, speaking)
        if len(move.text) > declared.text_max:
            return Denied(
                Rule.CHANNEL,
                f"a post in {declared.name} has at most {declared.text_max} characters",
            )
        of_call = {"phase": acting.phase} if acting.agent.is_seat else {}
        return [(channel, _message(acting, Kind.SAY, move.text, **of_call))]
    yours = _listed([room.name for room, _ in missions_rooms(acting.agent, acting.rooms)])
    return Denied(Rule.CHANNEL, f"you are no member of a room {move.room}; your rooms: {yours}")


def _direct(move: Direct, acting: Acting) -> list[Output] | Briefing | Denied:
    if move.to in acting.asked:
        return Briefing(acting.asked[move.to], move.text)
    channel = down(acting.agent.id)
    child = _child_named(move.to, acting)
    if child is None and move.to != "*":
        return _no_child(move.to, acting)
    meant, to = (acting.children, "*") if child is None else ((child,), str(child.id))
    return [
        (channel, _message(acting, Kind.DIRECTIVE, move.text, to=to)),
        # What a child has handed in is not accepted as it is: its record says so.
        *(_sent_back(acting, c.id, move.text) for c in meant if c.id in acting.handed_in),
    ]


def _sent_back(acting: Acting, child: AgentId, why: str) -> Output:
    request = SendBackRequest(agent=child, reason=why[:RESULT_SHOWN_MAX])
    return _request(acting, request.model_dump())


def _child_named(named: str, acting: Acting) -> Agent | None:
    for attribute in ("id", "key", "name"):
        for child in acting.children:
            if getattr(child, attribute) == named:
                return child
    return None


def _no_child(named: str, acting: Acting) -> Denied:
    if named in acting.colleagues:
        rooms = [room.name for room, _ in missions_rooms(acting.agent, acting.rooms)]
        where = f": say it in `{rooms[0]}` with @{named}" if rooms else ""
        return Denied(Rule.UNKNOWN_AGENT, f"{named} is a colleague and no child of yours{where}")
    yours = _listed([child.name for child in acting.children])
    return Denied(Rule.UNKNOWN_AGENT, f"{named} is no living child of yours; yours: {yours}")


def _listed(names: Sequence[str]) -> str:
    """So many that a refusal stays short."""
    more = len(names) - NAMES_TOLD_MAX
    shown = ", ".join(names[:NAMES_TOLD_MAX]) or "none"
    return f"{shown} and {more} more" if more > 0 else shown


def unreported(acting: Acting, used_up: str) -> Output:
    """The runtime's word, in the agent's place, that a turn has ended at its bound and without a
    report.
    """
    above = acting.agent.parent
    assert above is not None
    text = (
        f"{acting.agent.name} used the {used_up} of one turn and gave no report. What it has done "
        "so far is in its memory. Direct it to report or to go on, or end it."
    )
    channel, message = _reported(Report(move="report", text=text), acting, above)
    return channel, replace(message, data={**message.data, "unreported": used_up})


def _report(move: Report, acting: Acting) -> list[Output] | Denied:
    if acting.agent.parent is None:
        return Denied(Rule.CHANNEL, "nobody is above you to report to")
    return [_reported(move, acting, acting.agent.parent)]


def _reported(move: Report, acting: Acting, above: AgentId) -> Output:
    message = _message(
        acting,
        Kind.REPORT,
        move.text,
        to=above,
        done=move.done,
        files=list(move.files),
        name=acting.agent.name,
        **({"key": acting.agent.key} if acting.agent.key else {}),
    )
    return up(above), message


def may_read(name: str, acting: Acting) -> bool:
    return is_own_file(name) or any(covers_file(holder, name) for holder in acting.files)


def _call(move: Use, acting: Acting) -> FunctionCall | Denied:
    """The function of a `use`, with its arguments read. Whether the agent holds the privileges for
    it the store says, when the call begins.
    """
    function = acting.functions.get(move.function)
    if function is None:
        known = ", ".join(acting.functions) or "none"
        return Denied(
            Rule.FUNCTION_UNKNOWN, f"{move.function} is no function of yours; yours: {known}"
        )
    try:
        args = function.args.model_validate(move.args)
    except ValidationError as error:
        detail = f"{function.name}: {_first_fault(error)}"
        return Denied(Rule.FUNCTION_ARGUMENTS, detail)
    foreign = [name for name in function.files_named(args) if not may_read(name, acting)]
    if foreign:
        yours = f"yours: {_listed(acting.files)}, and what stands below {OWN_FILES}"
        return Denied(Rule.PRIVILEGE_USE, f"file {foreign[0]} is not yours; {yours}")
    return FunctionCall(function, args)


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, fault["loc"])) or "args"
    return f"{place[:80]}: {fault['msg']}"


def name_of(move: Move) -> str:
    """What a refusal of it is noted under: of a `use`, the function."""
    return move.function if isinstance(move, Use) else move.move


# --- refusals ---------------------------------------------------------------------------------

# A turn's record of a refusal has the first detail of its rule, up to so many characters.
REFUSAL_DETAIL_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the law refused an agent within one turn by one rule: in which moves, how often, and
    why the first time.
    """

    rule: Rule
    moves: tuple[str, ...]
    detail: str
    count: int


class Refusals(dict[Rule, Refusal]):
    """A turn's, by rule. However often a model tries what it may not, there is one for each
    rule.
    """

    def note(self, rule: Rule, move: str, detail: str, count: int = 1) -> None:
        before = self.get(rule, Refusal(rule, (), detail[:REFUSAL_DETAIL_MAX], 0))
        moves = before.moves if move in before.moves else (*before.moves, move)
        self[rule] = Refusal(rule, moves, before.detail, before.count + count)
