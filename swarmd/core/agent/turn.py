"""A turn, without the world: what wakes an agent, what its prompt says, what its moves mean.
Pure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, assert_never

from pydantic import ValidationError

from swarmd.core.agent.memory import shorten
from swarmd.core.model.channels import BOARD_ROOM, REQUESTS, down, inbox, up
from swarmd.core.model.declarations import Role, Room
from swarmd.core.model.functions import (
    Function,
    FunctionCall,
    Functions,
    Offer,
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
    Say,
    Spawn,
    Think,
    Use,
    Vote,
)
from swarmd.core.model.names import Channel, MissionId
from swarmd.core.model.privileges import ROOM, is_covered
from swarmd.core.model.refusals import Denied, Rule
from swarmd.core.model.requests import (
    ActRequest,
    DeadMail,
    FailedRequest,
    SpawnRequest,
)
from swarmd.core.tree.spawn import covers_file

# What a turn takes from a mailbox at most; the rest waits for the next.
MAIL_MAX: Final = 64
# An entry is a field of its own in the store, and a script names in one command all that are
# forgotten at once.
MEMORY_ENTRIES_MAX: Final = 2_000

_PHASE_MOVE: Final = {"propose": "propose", "review": "propose", "debate": "argue", "vote": "vote"}

Output = tuple[Channel, Message]


# --- mailbox ----------------------------------------------------------------------------------


def concerns(agent: Agent, message: Message) -> bool:
    """Is the message for this agent to read at all? Its own posts and directives to a sibling
    are not.
    """
    if message.sender == agent.id or message.kind is Kind.UNREADABLE:
        return False
    if agent.is_seat:
        # What is said in the board's room it reads there when it is called, this mission's part
        # only.
        return message.channel == inbox(agent.id)
    if agent.parent is not None and message.channel == down(agent.parent):
        return message.to in ("", "*", agent.id)
    return True


def wakes(agent: Agent, message: Message, rooms: Mapping[str, Room]) -> bool:
    """Inbox, directives, reports and mentions wake an agent; other posts in its rooms wait for its
    next turn.

    Seats are woken by the clerk's call alone.
    """
    if agent.is_seat:
        return message.kind is Kind.CALL
    if not message.channel.startswith("room:"):
        return True
    if f"@{agent.name}" in message.text or f"@{agent.id}" in message.text:
        return True
    return any(
        declared.wakes == "all"
        for declared, channel in missions_rooms(agent, rooms)
        if channel == message.channel
    )


def take(agent: Agent, waiting: Sequence[Message], *, is_alone: bool = False) -> list[Message]:
    """What one turn answers: everything, within bounds; a seat's ends with the first call, for each
    is answered alone.

    `is_alone`: one message, because it failed on several.
    """
    taken = []
    for message in waiting[: 1 if is_alone else MAIL_MAX]:
        taken.append(message)
        if agent.is_seat and message.kind is Kind.CALL:
            break
    return taken


def functions_of(role: Role | None, functions: Functions) -> dict[str, Function]:
    """Those of a role, by name, of all that there are."""
    names = role.functions if role is not None else ()
    return {name: functions[name] for name in names if name in functions}


def offer_to(role: Role, functions: Functions, privileges: Sequence[str]) -> Offer:
    """The moves of a role, and of its functions those that the agent holds the privilege for."""
    its = functions_of(role, functions)
    held = (f for f in its.values() if not f.privilege or is_covered(f.privilege, privileges))
    return Offer((*role.moves, "use") if its else role.moves, tuple(held))


def offer_to_seat(phase: str) -> Offer:
    return Offer((_PHASE_MOVE[phase],))


# --- actions ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Acting:
    """Who acts, on what: all that the meaning of a move depends on."""

    agent: Agent
    mission: MissionId
    files: tuple[str, ...]
    rooms: Mapping[str, Room]
    children: tuple[Agent, ...]
    spawn_keys: frozenset[str]  # of spawns in the same reply
    hops: int
    at: str
    motion_number: int = 0
    phase: str = ""
    functions: Functions = field(default_factory=dict)  # of its role


def act(move: Move, acting: Acting) -> list[Output] | FunctionCall | Denied | None:
    """What a move means: messages to commit, a function to call, a refusal; `None` for a thought.

    A directive to the key of a spawn in the same reply travels with that spawn (see
    `spawn_requests`).
    """
    match move:
        case Say():
            return _say(move, acting)
        case Direct():
            return _direct(move, acting)
        case Report():
            return _report(move, acting)
        case Spawn():
            return []  # gathered by `spawn_requests`, with its directives
        case Govern():
            return [_request(acting, ActRequest(act=move.args()).model_dump(mode="json"))]
        case Think():
            return None
        case Use():
            return _call(move, acting)
        case Propose() | Argue() | Vote():
            return _speak(move, acting)
        case _:
            assert_never(move)


def _speak(move: Propose | Argue | Vote, acting: Acting) -> list[Output] | Denied:
    """A seat's answer to its call."""
    if not acting.agent.is_seat:
        return Denied(Rule.BOARD_MOTION, f"{move.move} is a seat's")
    match move:
        case Propose(motion=motion):
            put = motion.model_dump(mode="json")
            return [_speech(acting, Kind.PROPOSAL, motion.reason, motion=put)]
        case Argue(text=text):
            return [_speech(acting, Kind.ARGUMENT, text)]
        case Vote(choice=choice, reason=reason):
            return [_speech(acting, Kind.VOTE, reason, choice=choice)]
        case _:
            assert_never(move)


def is_final(message: Message) -> bool:
    """A final report."""
    return message.kind is Kind.REPORT and bool(message.data.get("done"))


def is_last_word(message: Message) -> bool:
    """A final report, or word of the agent's own failure: no loop can go on from these."""
    return is_final(message) or (
        message.kind is Kind.REQUEST and message.data.get("type") == "failed"
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


def spawn_requests(moves: Sequence[Move], acting: Acting) -> list[Output]:
    """Every spawn of a reply, with the directives that the reply gives under its key."""
    found = []
    spawns = [move for move in moves if isinstance(move, Spawn)]
    for before, move in enumerate(spawns):
        texts = tuple(m.text for m in moves if isinstance(m, Direct) and m.to == move.key)
        request = SpawnRequest(
            key=move.key,
            charter=move.charter,
            directives=texts,
            together=len(spawns),
            before=before,
            tier=move.tier,
            parent=move.parent,
        )
        found.append(_request(acting, request.model_dump(mode="json")))
    return found


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


def _speech(acting: Acting, kind: Kind, text: str, **data: Any) -> Output:
    speech = _message(
        acting, kind, text, motion_number=acting.motion_number, phase=acting.phase, **data
    )
    return BOARD_ROOM, speech


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
        return [(channel, _message(acting, Kind.SAY, move.text))]
    return Denied(Rule.CHANNEL, f"you are no member of a room {move.room}")


def _direct(move: Direct, acting: Acting) -> list[Output] | Denied:
    if move.to in acting.spawn_keys:
        return []
    channel = down(acting.agent.id)
    if move.to == "*":
        return [(channel, _message(acting, Kind.DIRECTIVE, move.text, to="*"))]
    for attribute in ("id", "key", "name"):
        for child in acting.children:
            if getattr(child, attribute) == move.to:
                return [(channel, _message(acting, Kind.DIRECTIVE, move.text, to=child.id))]
    return Denied(Rule.UNKNOWN_AGENT, f"{move.to} is no living child of yours")


def _report(move: Report, acting: Acting) -> list[Output] | Denied:
    if acting.agent.parent is None:
        return Denied(Rule.CHANNEL, "nobody is above you to report to")
    message = _message(
        acting,
        Kind.REPORT,
        move.text,
        to=acting.agent.parent,
        done=move.done,
        files=list(move.files),
        name=acting.agent.name,
    )
    return [(up(acting.agent.parent), message)]


def _may_read(name: str, acting: Acting) -> bool:
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
    foreign = [name for name in function.files_named(args) if not _may_read(name, acting)]
    if foreign:
        return Denied(Rule.PRIVILEGE_USE, f"file {foreign[0]} is not yours")
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


# --- memory -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Memory:
    """Entries as JSON, oldest first, numbered from `first` on: a turn writes what is new of it
    and no more.
    """

    first: int = 0
    entries: tuple[str, ...] = ()

    @property
    def end(self) -> int:
        """The number that comes next."""
        return self.first + len(self.entries)


NO_MEMORY: Final = Memory()
_compact: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def remember(
    memory: Memory, new: Sequence[Mapping[str, Any]], chars_max: int, functions: Functions
) -> Memory:
    """The memory after a turn; where it would be too long, the older part is summed up
    (`core.agent.memory`).
    """
    entries = (*memory.entries, *map(_compact, new))
    kept = shorten(entries, chars_max, MEMORY_ENTRIES_MAX, functions)
    return Memory(memory.first + len(entries) - len(kept), tuple(kept))


def news_of(before: Memory, after: Memory) -> tuple[dict[int, str], range]:
    """What a turn adds to memory, by number, and the numbers of what it forgets."""
    start = max(before.end, after.first)
    added = dict(enumerate(after.entries[start - after.first :], start))
    is_old = after.entries and before.first <= after.first < before.end
    if is_old and before.entries[after.first - before.first] != after.entries[0]:
        # What sums up the rest stands where the last of it stood.
        added[after.first] = after.entries[0]
    return added, range(before.first, min(before.end, after.first))


def mail_entry(messages: Sequence[Message]) -> dict[str, Any]:
    """Mail as memory keeps it."""
    return {
        "mail": [
            {
                "from": m.sender,
                "kind": m.kind.value,
                "text": m.text,
                "data": dict(m.data),
                "channel": m.channel,
            }
            for m in messages
        ]
    }
