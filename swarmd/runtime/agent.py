"""One agent's turn: everything that waits, a thought or several, their moves, one commit.

Decided in `core.turn`, said in `core.prompt`; here it is only waited for. Nothing of a turn is visible
before its commit, and a turn that is done again under its number changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any, Final, assert_never

import anyio.to_thread
import structlog
from pydantic import TypeAdapter, ValidationError

from swarmd.core import guards
from swarmd.core import prompt as words
from swarmd.core.dead import letter
from swarmd.core.envelope import heard_pairs, once_each
from swarmd.core.guards import NO_GUARD, Cut, Guard
from swarmd.core.law import roles_below
from swarmd.core.lineage import Agent, missions_rooms, stop_fields
from swarmd.core.messages import Message, order_of
from swarmd.core.moves import ListSubtree, Move, ReadFile, SearchFiles, Spawn, Think, WriteFile
from swarmd.core.names import (
    BOARD_ROOM,
    DEAD,
    FIRST,
    NO_MONEY,
    AgentId,
    AgentState,
    Channel,
    Kind,
    MissionId,
    Rule,
    StreamId,
)
from swarmd.core.privileges import is_covered
from swarmd.core.requests import DeadMail
from swarmd.core.rules import Declarations
from swarmd.core.swarm import Denied, Mission, epoch_of
from swarmd.core.taint import of_mail, of_results, stamped, strangers
from swarmd.core.turn import (
    NO_MEMORY,
    OWN_FILES,
    Acting,
    Output,
    Refusals,
    Use,
    act,
    ends_here,
    failed,
    functions_of,
    is_done_after,
    is_last_word,
    mail_entry,
    news_of,
    remember,
    spawn_requests,
    take,
)
from swarmd.errors import WorkspaceError
from swarmd.ports import (
    LOST,
    Around,
    Call,
    Child,
    Files,
    Found,
    Prompt,
    RefusedByStore,
    Turn,
    Used,
    View,
    WorkerStore,
)
from swarmd.runtime.mind import Mind, ThoughtFailedError
from swarmd.runtime.recollection import Recollection
from swarmd.runtime.residents import Resident
from swarmd.runtime.steps import Journal, Lead, NotAllowedError

log = structlog.get_logger(__name__)

# Of the board's room, to find one mission's part in it.
_ROOM_READ: Final = 400
_SEAT_OUTPUT_TOKENS: Final = 4_000
# Of the files that one search did not read: their names and reasons are a few thousand tokens at most.
NOT_READ_MAX: Final = 50

_CALL: Final[TypeAdapter[Call]] = TypeAdapter(Call)

_KIND_OF: Final[dict[type, str]] = {
    ListSubtree: "list", ReadFile: "read", SearchFiles: "search", WriteFile: "write",
}  # fmt: skip
# Of a function that may not be repeated: it was begun, and the end of that was not seen.
_UNKNOWN: Final = "unknown outcome: it was begun and cut off, so it may or may not have been done; find out before you repeat it"
_OF_THE_ACTION: Final = (Rule.PRIVILEGE_USE, Rule.PRIVILEGE_REVOKED)
_OF_THE_MISSION: Final = (
    Rule.FENCED, Rule.FROZEN, Rule.HALTED, Rule.DRAINING, *NO_MONEY,
)  # fmt: skip


def _privileges_of(use: Use) -> tuple[str, ...]:
    match use:
        case ListSubtree():
            return ()
        case ReadFile(path=path):
            own = f"{path}/".startswith(OWN_FILES)
            return ("tool/file/read",) if own else ("tool/file/read", f"file/{path}/read")
        case SearchFiles():
            return ("tool/file/search",)
        case WriteFile():
            return ("tool/file/write",)
        case _:
            assert_never(use)


@dataclass(frozen=True, slots=True)
class World:
    """What every turn of this process needs."""

    store: WorkerStore
    declared: Declarations
    files: Files | None
    mind: Callable[[str], Awaitable[Mind]]
    stamp: Callable[[], str]
    recollection: Recollection = field(default_factory=Recollection, repr=False)
    lead: Lead = field(default_factory=Lead)


@dataclass(slots=True)
class _Gathered:
    """A turn in the making. `taint` is of all that its prompt has held so far, in this turn and those remembered."""

    mail: list[Message]
    taint: frozenset[str] = frozenset()
    steps: list[Mapping[str, Any]] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)
    has_used: bool = False  # a function
    guard: Guard = NO_GUARD
    cuts: tuple[Cut, ...] = ()
    is_forgotten: bool = False  # the mail does not go into memory
    refusals: Refusals = field(default_factory=Refusals)  # of what its moves asked for

    def say(self, *outputs: Output) -> None:
        """Stamped with what was before the model when it said this; what a payload claims of it is not looked at."""
        self.outputs += [(channel, stamped(message, self.taint)) for channel, message in outputs]

    def say_only(self, *outputs: Output) -> None:
        self.outputs.clear()
        self.say(*outputs)


async def take_turn(world: World, resident: Resident) -> None:
    """Answer what waits. Raises `NotAllowedError` where the agent is no longer this host's or may no longer act."""
    mail = _mail_of(resident)
    called = _called(resident.agent, mail)
    agent, call = resident.agent, called[1] if called else None
    served = called[0] if called else agent.mission
    around = await world.store.around(agent.id, served, served if agent.is_seat else agent.id)
    mission = around.mission
    gathered = _Gathered(mail, await _taint_of(world, resident, mail), guard=resident.guard)
    # From here on it is this turn's mail, however it ends: what comes meanwhile is not answered by its failure.
    resident.batch = positions = _positions_after(resident, mail)
    hops = max((m.hops for m in mail), default=0) + 1
    acting = _acting(world, agent, around, call, hops)
    if mission is not None and mission.ending is None and not mission.state.is_ended:
        journal = Journal(
            world.store, resident.hold, resident.turn + 1, _account(resident.agent, mission),
            _segments(resident.agent, mission), stop_fields(resident.agent), json.dumps(positions),
            world.declared.limits.warn_percent, world.stamp, partial(setattr, resident, "doing"), lead=world.lead,
        )  # fmt: skip
        try:
            await _think_and_act(world, resident, journal, acting, around, call, gathered)
        except NotAllowedError as no:
            # A seat outlives the missions it serves: one that ended or was stopped under its thought is answered
            # with nothing, and called anew when it goes on; one that has no budget left is told as failed.
            if not resident.agent.is_seat or no.rule not in _OF_THE_MISSION:
                raise
            is_broke = no.rule in NO_MONEY
            gathered.say_only(*([failed(acting, no.detail, no.rule)] if is_broke else []))
    if not resident.agent.is_seat:
        _guard(world, acting, gathered)
    await _commit(world, resident, positions, gathered, hops)


async def tell_broke(world: World, resident: Resident, no: NotAllowedError) -> None:
    """Its account has not enough for its next call: the supervisor freezes it, and whoever may fund it is told."""
    agent = resident.agent
    acting = Acting(
        agent=agent, mission=agent.mission, files=(), rooms={}, children=(), spawn_keys=frozenset(), hops=0,
        at=world.stamp(),
    )  # fmt: skip
    channel, message = failed(acting, no.detail, no.rule)
    await world.store.post(channel, message, key=f"broke-{agent.id}-{agent.incarnation}-{world.stamp()}")


async def abandon_turn(world: World, resident: Resident, why: str, tries: int) -> None:
    """Commit a turn that could not be taken, however often it was tried, so that what made it fail is not met again.

    It reads nothing that the turn had read: that may be what made it fail. Of several messages it is not known which
    one it was: they are answered one by one from here on. A single one becomes a dead letter, in the step that moves
    past it; and the agent has crashed.
    """
    mail = _mail_of(resident)
    if len(mail) > 1:
        log.warning("an agent fails on several messages; it gets them one by one", agent=resident.agent.id)
        await _commit(
            world, resident, {}, _Gathered([], frozenset(resident.taint), guard=resident.guard), 1, len(mail)
        )
        return
    called = _called(resident.agent, mail)
    acting = Acting(
        agent=resident.agent, mission=called[0] if called else resident.agent.mission, files=(), rooms={},
        children=(), spawn_keys=frozenset(), hops=0, at=world.stamp(),
    )  # fmt: skip
    # Whom it does not know it does not look up: that reading may be what failed.
    taint = _counted(world, resident, of_mail(mail, strangers(mail, (resident.agent.id,))))
    # Nor does it remember what it could not read: its memory may not even be at hand.
    gathered = _Gathered(mail, taint, guard=resident.guard, is_forgotten=True)
    dead = None
    for message in mail:
        agent = resident.agent
        log.error(
            "a message is a dead letter", agent=agent.id, channel=message.channel, id=message.id, tries=tries
        )
        dead = DeadMail(channel=message.channel, id=message.id, sender=message.sender, tries=tries)
        lost = letter(
            agent.id, message, tries=tries, why=why, at=world.stamp(), incarnation=agent.incarnation
        )
        gathered.say((DEAD, lost))
    gathered.say(failed(acting, why, is_crash=True, dead=dead))
    await _commit(world, resident, _positions_after(resident, mail), gathered, hops=1)


async def _taint_of(world: World, resident: Resident, read: Sequence[Message]) -> frozenset[str]:
    """What reading these messages does, on top of what the agent has read before."""
    agent, seats = resident.agent, world.declared.board.seats
    unknown = strangers(read, (agent.id, str(agent.parent), *seats))
    records = await world.store.agents([AgentId(id) for id in unknown]) if unknown else []
    outsiders = [id for id, record in zip(unknown, records, strict=True) if record is None]
    return _counted(world, resident, of_mail(read, outsiders))


def _counted(world: World, resident: Resident, found: frozenset[str]) -> frozenset[str]:
    """As far as the declarations count it. A charter's own is the agent's for good."""
    known = {*found, *resident.taint, *resident.agent.taint}
    return frozenset(known & set(world.declared.limits.taint.sources))


def _called(agent: Agent, mail: Sequence[Message]) -> tuple[MissionId, Call] | None:
    """The clerk's call among a seat's mail, and the mission it serves; one that cannot be read is passed over."""
    message = next((m for m in mail if m.kind is Kind.CALL), None) if agent.is_seat else None
    if message is None:
        return None
    try:
        return message.mission, _CALL.validate_python(message.data.get("call"))
    except ValidationError as error:
        log.warning("a call that cannot be read is passed over", agent=agent.id, why=str(error)[:300])
        return None


def _mail_of(resident: Resident) -> list[Message]:
    """This turn's messages; those of a turn that a former holder began are exactly the same as then."""
    waiting = resident.mailbox or []
    if resident.batch:
        return [m for m in waiting if order_of(m.id) <= order_of(resident.batch.get(m.channel, FIRST))]
    return take(resident.agent, waiting, is_alone=resident.alone > 0)


def _positions_after(resident: Resident, mail: Sequence[Message]) -> dict[Channel, StreamId]:
    if resident.batch:
        return dict(resident.batch)
    left = (resident.mailbox or [])[len(mail) :]
    positions = dict(resident.seen)
    # A channel of which something still waits has been answered only up to what this turn took of it.
    for channel in {m.channel for m in left}:
        first_left = next(m for m in left if m.channel == channel)
        positions[channel] = _before(first_left.id)
    return positions


def _before(id: StreamId) -> StreamId:
    """The id just before, so that reading after it begins with `id`."""
    milliseconds, sequence = order_of(id)
    if sequence > 0:
        return StreamId(f"{milliseconds}-{sequence - 1}")
    return StreamId(f"{milliseconds - 1}-{2**64 - 1}")


def _account(agent: Agent, mission: Mission) -> str:
    return mission.id if agent.is_seat else agent.id


def _segments(agent: Agent, mission: Mission) -> tuple[str, ...]:
    return (*agent.path, mission.id) if agent.is_seat else agent.path


def _acting(world: World, agent: Agent, around: Around, call: Call | None, hops: int) -> Acting:
    mission = around.mission
    given = agent.charter.files if agent.charter else (mission.files if mission else ())
    files = given if agent.is_seat else [f for f in given if is_covered(f"file/{f}/read", agent.privileges)]
    return Acting(
        agent=agent, mission=mission.id if mission else agent.mission, files=tuple(files),
        rooms=world.declared.rooms,
        children=tuple(c for c in around.children if c.state is not AgentState.TERMINATED), spawn_keys=frozenset(),
        hops=hops, at=world.stamp(), motion_number=call.motion_number if call else 0,
        phase=call.phase if call else "",
    )  # fmt: skip


async def _think_and_act(
    world: World, resident: Resident, journal: Journal, acting: Acting, around: Around,
    call: Call | None, gathered: _Gathered,
) -> None:  # fmt: skip
    """Thoughts and their moves until the agent has nothing more to see, or the turn's bound is reached."""
    render = await _renderer(world, resident, acting, around, call, gathered)
    role = world.declared.roles.get(resident.agent.role)
    try:
        mind = await world.mind(role.model if role else "")
        while journal.steps_done < world.declared.limits.steps_max:
            moves, corrections = await mind.think(journal, render)
            gathered.steps += corrections
            if not await _do_moves(world, journal, acting, moves, gathered):
                return
    except ThoughtFailedError as failure:
        log.warning("an agent's thought failed", agent=resident.agent.id, why=failure.detail)
        gathered.say_only(failed(acting, failure.detail, failure.rule))
        return
    gathered.steps.append({"results": [{"note": "the turn's bound of steps is reached"}]})


async def _do_moves(
    world: World, journal: Journal, acting: Acting, moves: Sequence[Move], gathered: _Gathered
) -> bool:
    """Do the moves of one answer in order; true where the model has something to see of it in this turn."""
    acting = replace(acting, spawn_keys=frozenset(m.key for m in moves if isinstance(m, Spawn)))
    results: list[Mapping[str, Any]] = []
    for move in moves:
        result = await _do_move(world, journal, acting, move, gathered)
        if result is not None:
            results.append(result)
    gathered.say(*spawn_requests(moves, acting))
    # From here on: what was said up to now was said before these results were seen.
    gathered.taint |= of_results(results) & set(world.declared.limits.taint.sources)
    was_thinking = bool(gathered.steps) and _is_lone_thought(gathered.steps[-1])
    gathered.steps.append({"moves": [move.model_dump(mode="json", exclude_defaults=True) for move in moves]})
    if results:
        gathered.steps.append({"results": results})
        return True
    # A thought alone asks to be continued once; a second one in a row waits for mail.
    return all(isinstance(move, Think) for move in moves) and not was_thinking


def _is_lone_thought(step: Mapping[str, Any]) -> bool:
    return all(move.get("move") == "think" for move in step.get("moves", ({},)))


async def _do_move(
    world: World, journal: Journal, acting: Acting, move: Move, gathered: _Gathered
) -> Mapping[str, Any] | None:
    meaning = act(move, acting)
    if isinstance(meaning, Denied):
        return _refused(gathered, move, meaning.rule, meaning.detail)
    if meaning is None:
        return None
    if isinstance(meaning, list):
        gathered.say(*meaning)
        return None
    kind = _KIND_OF[type(meaning)]
    one, found = {"tools": 1}, dict[str, Any]()

    async def effect() -> tuple[str, Used]:
        found.update(await _use(world, acting, meaning))
        return json.dumps(found), Used(one)

    try:
        text = await journal.call(
            kind, effect, amounts=one, privileges=_privileges_of(meaning), may_repeat=meaning.may_repeat
        )
        gathered.has_used = True
        if text == LOST:
            return {"move": move.move, "ok": False, "detail": _UNKNOWN}
    except NotAllowedError as no:
        # What it may not use, or what is stopped for all, is told to it; what stops itself ends or holds its turn.
        if no.rule not in _OF_THE_ACTION and not no.detail.startswith("use:"):
            raise
        return _refused(gathered, move, no.rule, no.detail)
    return found or json.loads(text)


def _refused(gathered: _Gathered, move: Move, rule: Rule, detail: str) -> Mapping[str, Any]:
    """As the model is told of it; the journal is, when the turn is committed."""
    gathered.refusals.note(rule, move.move, detail)
    return {"move": move.move, "ok": False, "rule": rule.value, "detail": detail}


# --- functions --------------------------------------------------------------------------------


async def _use(world: World, acting: Acting, use: Use) -> dict[str, Any]:
    """A function's result as the model sees it. Errors of files are results: the agent adapts to them."""
    if isinstance(use, ListSubtree):
        return {"move": use.move, "ok": True, "agents": await _subtree(world, acting.agent)}
    if world.files is None:
        return {"move": use.move, "ok": False, "detail": "this host has no workspace"}
    try:
        # Disks may be slow or remote: never in the event loop. Not cancelled half-way, for a write is whole.
        return await anyio.to_thread.run_sync(_use_files, world.files, acting, use)
    except WorkspaceError as error:
        return {"move": use.move, "ok": False, "detail": str(error)}


def _use_files(files: Files, acting: Acting, use: ReadFile | SearchFiles | WriteFile) -> dict[str, Any]:
    match use:
        case ReadFile():
            lines = files.read(acting.mission, use.path, use.start, use.lines)
            return {"move": use.move, "ok": True, "path": use.path, "start": use.start, "lines": list(lines)}
        case SearchFiles():
            found = files.search(acting.mission, use.query, use.files or _readable(files, acting), use.top)
            passages = [asdict(passage) for passage in found.passages]
            result = {"move": use.move, "ok": True, "passages": passages}
            return result | {"not_read": _not_read(found)} if found.left_out else result
        case WriteFile():
            # What agents write lies below work/, and is read under that name by all of the mission.
            path = use.path if use.path.startswith(OWN_FILES) else OWN_FILES + use.path
            written = files.write(acting.mission, path, use.text)
            return {"move": use.move, "ok": True, "path": path, "bytes": written}
        case _:
            assert_never(use)


def _not_read(found: Found) -> list[dict[str, str]]:
    """What a search did not look into. Only its number is told of what would fill a prompt."""
    told = [asdict(one) for one in found.left_out[:NOT_READ_MAX]]
    rest = len(found.left_out) - len(told)
    return [*told, {"path": f"{rest} more", "why": "not read either"}] if rest else told


def _readable(files: Files, acting: Acting) -> tuple[str, ...]:
    """All that an agent may read: its own files, and what the mission's agents wrote."""
    with suppress(WorkspaceError):  # nothing was written yet
        return (*acting.files, *files.names(acting.mission, (OWN_FILES.rstrip("/"),)))
    return acting.files


async def _subtree(world: World, agent: Agent) -> list[dict[str, Any]]:
    """Descendants, level by level; bounded by the law's own bounds on fan-out and depth."""
    found, level = [], [agent.id]
    while level:
        children = [child for id in level for child in await world.store.children(id)]
        found += [
            {
                "id": c.id,
                "name": c.name,
                "role": c.role,
                "tier": c.tier,
                "state": c.state.value,
            }
            for c in children
        ]
        level = [child.id for child in children]
    return found


# --- what the model is told ---------------------------------------------------------------------


async def _renderer(
    world: World, resident: Resident, acting: Acting, around: Around, call: Call | None,
    gathered: _Gathered,
) -> Callable[[Sequence[Mapping[str, Any]]], Prompt]:  # fmt: skip
    agent, declared, mission, free = resident.agent, world.declared, around.mission, around.free
    assert mission is not None
    room: tuple[Message, ...] = ()
    if agent.is_seat:
        latest = await world.store.latest(BOARD_ROOM, _ROOM_READ)
        said = once_each(latest, latest[0].id) if latest else []
        room = tuple(m for m in said if m.mission == mission.id)
        gathered.taint |= await _taint_of(world, resident, room)
    role = declared.roles.get(agent.role)
    functions = functions_of(agent, role.functions if role else (), acting.phase or None)
    remembered = world.recollection.of(agent.id, resident.memory)
    base = View(
        agent=agent.id, name=agent.name, role=agent.role, tier=agent.tier, mission=mission.id,
        mission_text=mission.text, files=acting.files, charter=agent.charter, call=call,
        mail=tuple(gathered.mail), room=room, memory=tuple(item for item, _ in remembered), free=free,
        children=tuple(Child(c.id, c.name, c.role, c.key, c.state.value) for c in acting.children),
    )  # fmt: skip
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
        # Steps are only ever added: each is put into words once, however many attempts and thoughts follow it.
        nonlocal rendered
        words.go_on(talk, words.exchange_of(gathered.steps[rendered:]))
        rendered = len(gathered.steps)
        exchange = list(talk)
        words.go_on(exchange, words.exchange_of(corrections))
        return Prompt(
            shared, persona, tuple(exchange), functions,
            role.output_tokens_max if role else _SEAT_OUTPUT_TOKENS,
            replace(base, steps=(*gathered.steps, *corrections)),
        )  # fmt: skip

    return render


def _asked(view: View, call: Call, declared: Declarations) -> str:
    facts = asdict(call)
    means = words.means_of_board(declared, view.free) if facts["phase"] in ("propose", "review") else ""
    return f"{words.room_text(view.room)}\n{means}{words.call_text(facts['phase'], facts, view.files)}"


def _situation(view: View, acting: Acting, declared: Declarations, taint: frozenset[str]) -> str:
    """What an agent has and whom it leads, then its mail."""
    children = [f"{c.name} ({c.id}, {c.role}, key {c.key}, {c.state.value})" for c in acting.children]
    rooms = [declared_room.name for declared_room, _ in missions_rooms(acting.agent, declared.rooms)]
    head = words.situation(
        role=view.role, free=view.free, files=view.files, children=children, rooms=rooms,
        may_create=roles_below(acting.agent, declared.roles), taint=sorted(taint),
        guarded=declared.limits.taint.actions,
    )  # fmt: skip
    return f"{head}\n\n{words.mail_text(mail_entry(view.mail)['mail'])}"


def _persona(declared: Declarations, agent: Agent) -> str:
    role = declared.roles.get(agent.role)
    if agent.charter is None or role is None:
        return words.persona_of_seat(declared, agent.name)
    return words.persona_of_agent(agent.name, agent.id, agent.tier, agent.parent or "", role, agent.charter)


# --- the end of a turn --------------------------------------------------------------------------


def _guard(world: World, acting: Acting, gathered: _Gathered) -> None:
    """What the bus does not carry is taken out, and the agent remembers why; one that goes on all the same fails."""
    judged = guards.judge(
        gathered.guard, gathered.outputs, has_used=gathered.has_used,
        now=epoch_of(world.stamp()), limits=world.declared.limits,
    )  # fmt: skip
    gathered.guard, gathered.cuts = judged.guard, judged.cuts
    gathered.outputs[:] = judged.passed
    if not judged.cuts:
        return
    rules = sorted({cut.rule.value for cut in judged.cuts})
    log.warning("messages of an agent were cut", agent=acting.agent.id, rules=rules)
    results = [
        {"ok": False, "rule": cut.rule.value, "detail": f"{cut.count} not sent to {cut.to or cut.channel}: {cut.detail}"}
        for cut in judged.cuts
    ]  # fmt: skip
    gathered.steps.append({"results": results})
    if judged.gives_up is not None:
        why = f"it went on after {guards.CUTS_MAX} turns that were cut: {judged.cuts[0].detail}"
        last = [output for output in judged.passed if is_last_word(output[1])]
        gathered.outputs[:] = [*last, failed(acting, why, judged.gives_up)]


async def _commit(
    world: World,
    resident: Resident,
    positions: Mapping[Channel, StreamId],
    gathered: _Gathered,
    hops: int,
    alone: int | None = None,
) -> None:
    agent = resident.agent
    # A seat remembers nothing: it is told anew what it needs.
    memory = NO_MEMORY
    taint: tuple[str, ...] = ()
    if not agent.is_seat:
        taint = tuple(sorted(gathered.taint))
        news = [mail_entry(gathered.mail)] if gathered.mail and not gathered.is_forgotten else []
        memory = remember(resident.memory, [*news, *gathered.steps], world.declared.limits.memory_chars)
    added, forgotten = news_of(resident.memory, memory)
    # What ends an agent's part causes nothing below it: a failure and a final report go up, and up has an end.
    counted = 0 if ends_here(gathered.outputs) else hops
    posts = {c: f"room/{r.name}/say" for r, c in missions_rooms(agent, world.declared.rooms)}
    turn = Turn(
        resident.turn + 1, agent.path, stop_fields(agent), posts, positions, added, tuple(gathered.outputs),
        counted, heard_pairs(gathered.mail), gathered.guard.to_text(),
        is_done_after(resident.is_done, gathered.mail, gathered.outputs), gathered.cuts, taint, forgotten,
        alone if alone is not None else max(0, resident.alone - len(gathered.mail)),
        tuple(gathered.refusals.values()),
    )  # fmt: skip
    reply = await world.store.commit(resident.hold, turn, world.declared.limits.hops_max, world.stamp())
    if isinstance(reply, RefusedByStore) and reply.output is not None:
        # What it may not say any more is left out, and it remembers why; each time there is one output less.
        channel, _ = gathered.outputs.pop(reply.output)
        gathered.refusals.note(reply.rule, "message", f"to {channel}: {reply.detail}")
        no = {"ok": False, "rule": reply.rule.value, "detail": f"{channel}: {reply.detail}"}
        gathered.steps.append({"results": [no]})
        return await _commit(world, resident, positions, gathered, hops, alone)
    if isinstance(reply, RefusedByStore):
        raise NotAllowedError(reply)
    if reply == "looped":
        await _end_of_loop(world, resident, turn.number, hops)
    resident.turn, resident.memory, resident.batch = turn.number, memory, {}
    resident.alone = turn.alone
    resident.guard, resident.is_done, resident.taint = gathered.guard, turn.is_done, turn.taint
    taken = {(message.channel, message.id) for message in gathered.mail}
    resident.mailbox = [m for m in resident.mailbox or [] if (m.channel, m.id) not in taken] or None
    return None


async def _end_of_loop(world: World, resident: Resident, number: int, hops: int) -> None:
    """What the turn would have sent is gone, and nobody would hear of it: the agent ends, and its creator is told."""
    agent = resident.agent
    log.warning("a loop was cut: the turn's outputs were not sent", agent=agent.id, hops=hops)
    acting = Acting(
        agent=agent, mission=agent.mission, files=(), rooms={}, children=(), spawn_keys=frozenset(),
        hops=hops, at=world.stamp(),
    )  # fmt: skip
    channel, message = failed(acting, f"its turns went on for {hops} hops without an end", Rule.HOPS)
    await world.store.post(channel, message, key=f"looped-{agent.id}-{agent.incarnation}-{number}")
