"""The verbs that govern: freeze, thaw, drain, halt, terminate, cancel, grant, revoke, fund, why.

Each writes one order and tells what was seen of it. What it names is looked up here, for people say
less than an order does; what it may do is the supervisor's to decide.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from swarmd.adapters import halt_file
from swarmd.adapters.halt_file import Brake, Part, Word
from swarmd.cli.exit_codes import Exit
from swarmd.cli.order_client import OrderRefusedError, Post, Waiting, await_order, new_id, order
from swarmd.cli.render import lines
from swarmd.cli.render.text import amounts, in_order, plain
from swarmd.cli.session import Sight, note, note_explain, now
from swarmd.cli.verbs.inspect import named
from swarmd.cli.verbs.missions import budget_of
from swarmd.core.model.channels import JOURNAL, ORDERS
from swarmd.core.model.charter import KINDS
from swarmd.core.model.lineage import EVERYTHING, Stop
from swarmd.core.model.names import BRAKE, SOB, AgentId, MissionId
from swarmd.core.model.privileges import is_path, overlaps
from swarmd.core.model.refusals import Rule
from swarmd.core.queries.snapshot import NO_ACCOUNT
from swarmd.errors import (
    NotFoundError,
    RefusedError,
    StoreUnavailableError,
    UsageError,
    WorkspaceError,
)
from swarmd.ports.reader import Reader

BUSY_SHOWN: Final = 20
BRAKE_SECONDS: Final = 10.0
"""How long `halt` waits for words that come through the data folder."""
RELEASE_SECONDS: Final = 3.0
_POLL_SECONDS: Final = 0.05
_TIER: Final = re.compile(r"tier:\d{1,2}")
RIGHTS: Final = ("use", "grant", "both")
_COUNTS: Final = ("confirmed", "unconfirmed", "unreachable")


@dataclass(frozen=True, slots=True)
class Wish:
    """What the operator asks for. `more` are the order's other fields."""

    verb: str
    reference: str
    reason: str = ""
    is_only: bool = False
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Meant:
    """What a person's word for a target stands for in an order, and as what it is told of."""

    target: str
    kind: Literal["agent", "mission", "target"]


def meant(reader: Reader, wish: Wish) -> Meant:
    """Raises `NotFoundError`, or `UsageError` for what no such order can have as its target."""
    reference, is_only = wish.reference, wish.is_only
    if reference.startswith("="):
        reference, is_only = reference[1:], True
    found = _special(reader, reference) or _named(reader, reference)
    if not is_only:
        return found
    if wish.verb not in ("freeze", "halt", "thaw"):
        raise UsageError(f"{wish.verb} is of an agent and all below it", hint="leave --only out")
    if found.kind != "agent":
        raise UsageError(f"--only is said of an agent, and {reference!r} is none")
    return Meant(f"={found.target}", "agent")


def _special(reader: Reader, reference: str) -> Meant | None:
    """Targets that are neither agent nor mission."""
    kind, colon, rest = reference.partition(":")
    if reference in ("all", EVERYTHING):
        return Meant(EVERYTHING, "target")
    if not colon:
        return None
    if kind == "tier":
        if not _TIER.fullmatch(reference):
            raise UsageError(f"{reference!r} is no tier", hint="such as tier:2")
        return Meant(reference, "target")
    if kind in ("tool", "use"):
        if not is_path(rest):
            raise UsageError(
                f"{rest!r} is no privilege", hint="such as tool:tool/file/write or tool:model/**"
            )
        return Meant(f"use:{rest}", "target")
    if kind == "room":
        return Meant(_room(reader, rest), "target")
    return None


def _room(reader: Reader, name: str) -> str:
    """One room; or a declared name that every mission has a room of, for all of these at once."""
    room = f"room:{name}"
    known = sorted(reader.rooms())
    if room in known or any(one.startswith(f"{room}-") for one in known):
        return room
    raise NotFoundError(f"no room {name!r}", hint=f"rooms there are: {', '.join(known[:12])}")


def _named(reader: Reader, reference: str) -> Meant:
    found = named(reader, reference)
    return Meant(found.id, "mission" if found.is_mission else "agent")


# --- stop, thaw, end --------------------------------------------------------------------------


def stop(sight: Sight, post: Post, waiting: Waiting, wish: Wish, *, is_awaited: bool) -> Exit:
    """Freeze, drain or halt; done only if everything under it was seen to stand still, or to
    end.
    """
    found = meant(sight.reader, wish)
    _refuse_ended(sight.reader, found)
    _warn_of_nobody(sight.reader, found)
    before = sight.reader.marks().stops.get(found.target)
    exit_code = _ordered(sight, post, waiting, wish, found, is_awaited=is_awaited)
    if before is not None:
        note(f"it replaces the {before.kind.value} by {plain(before.by)}: {plain(before.reason)}")
    return exit_code


def _refuse_ended(reader: Reader, found: Meant) -> None:
    mission = reader.mission(MissionId(found.target)) if found.kind == "mission" else None
    if mission is not None and mission.has_ended:
        raise RefusedError(
            f"mission {found.target} has ended already: {mission.state}",
            hint=f"swarmd inspect {found.target}",
        )


def _warn_of_nobody(reader: Reader, found: Meant) -> None:
    """A mark on a tier or a privilege holds for those to come too; that it holds nobody now may
    be a slip.
    """
    kind, _, rest = found.target.partition(":")
    if found.kind != "target" or kind not in ("tier", "use"):
        return
    if kind == "tier":
        if not any(str(agent.tier) == rest for agent in reader.agents()):
            note(f"nobody stands at tier {rest} now: it holds whoever comes to")
    elif not any(overlaps(path, rest) for agent in reader.agents() for path in agent.privileges):
        note(
            f"nobody holds {plain(rest)} now: it holds whoever is given it. `swarmd inspect ID` "
            "shows what an agent holds"
        )


def terminate(sight: Sight, post: Post, waiting: Waiting, wish: Wish, *, is_awaited: bool) -> Exit:
    """Ends what is meant and all below it; done only if every one of them was seen to end."""
    found = meant(sight.reader, wish)
    if found.kind == "mission":
        return cancel(sight, post, waiting, wish, is_awaited=is_awaited)
    if found.kind == "agent":
        agent = sight.reader.agent(AgentId(found.target))
        if agent is not None and agent.is_terminated:
            note(f"{found.target} was ended already")
            return _outcome(sight, _value(wish, found, {"outcome": "done"} | _counts({})))
    return _ordered(sight, post, waiting, wish, found, is_awaited=is_awaited)


def cancel(sight: Sight, post: Post, waiting: Waiting, wish: Wish, *, is_awaited: bool) -> Exit:
    """Ends a mission; waits until its account is closed too."""
    id = MissionId(_named(sight.reader, wish.reference).target)
    mission = sight.reader.mission(id)
    if mission is None:
        raise NotFoundError(f"{id} is an agent", hint=f"swarmd terminate {id}")
    if mission.has_ended:
        raise RefusedError(
            f"mission {id} has ended already: {mission.state}", hint=f"swarmd inspect {id}"
        )
    found = Meant(id, "mission")
    order_id, data = give(sight, post, waiting, wish, found, is_awaited=is_awaited)
    if data is None:
        return _outcome(sight, _value(wish, found, {"order": order_id, "outcome": "ordered"}))
    # The order is answered when its subtree is gone; its account is closed and its result told just
    # after.
    while not ((ended := sight.reader.mission(id)) and ended.has_ended):
        waiting.pause()
    value = {"order": order_id, "outcome": "done", "state": ended.state}
    return _outcome(sight, _value(wish, found, value | _counts(data)))


def thaw(
    sight: Sight, post: Post, waiting: Waiting, wish: Wish, *, is_awaited: bool, data: Path
) -> Exit:
    """Lifts a stop, and says what still stops what was thawed. Of everything: the data folder's
    halt too.
    """
    found = meant(sight.reader, wish)
    _refuse_ended(sight.reader, found)
    # The file first, and time to see that it has gone: a supervisor that still sees it halts
    # everything anew.
    had_brake = found.target == EVERYTHING and halt_file.release(data)
    if had_brake:
        time.sleep(2 * halt_file.WATCH_SECONDS)
    try:
        order_id, answer = give(sight, post, waiting, wish, found, is_awaited=is_awaited)
    except OrderRefusedError as error:
        if error.rule != Rule.STOP_TARGET:
            raise
        if not had_brake:
            others = ", ".join(plain(left.target) for left in _remaining(sight.reader, found))
            raise RefusedError(
                error.what, hint=f"thaw what holds it: {others}" if others else "", rule=error.rule
            ) from error
        order_id, answer = "", {}
    value: dict[str, Any] = {"order": order_id, "outcome": "ordered" if answer is None else "done"}
    if had_brake and answer is not None:
        _await_release(sight.reader, waiting)
    remaining = [] if answer is None else _remaining(sight.reader, found)
    if sight.as_json:
        told = [lines.stop_value(left) for left in remaining]
        sight.give(_value(wish, found, value | {"remaining": told}))
    else:
        print(plain(f"{found.target}: thawed" if answer is not None else found.target))
        for words in lines.stop_words(remaining, now()):
            note(f"still stopped: {plain(words)}")
    return Exit.DONE


def _await_release(reader: Reader, waiting: Waiting) -> None:
    """Until the supervisor has seen that the brake is released, where it is its own folder's."""
    end = time.monotonic() + RELEASE_SECONDS
    while time.monotonic() < end:
        left = reader.marks().stops.get(EVERYTHING)
        if left is None or left.by != BRAKE:
            return
        waiting.pause()


def _remaining(reader: Reader, found: Meant) -> Sequence[Stop]:
    """The stops that still hold what was thawed: above an agent or beside it, above a mission,
    over everything.
    """
    marks = reader.marks()
    if found.kind == "agent":
        agent = reader.agent(AgentId(found.target.removeprefix("=")))
        return [] if agent is None else marks.stops_on(agent)
    return [left for target, left in marks.stops.items() if target in (found.target, EVERYTHING)]


def _ordered(
    sight: Sight, post: Post, waiting: Waiting, wish: Wish, found: Meant, *, is_awaited: bool
) -> Exit:
    order_id, data = give(sight, post, waiting, wish, found, is_awaited=is_awaited)
    if data is None:
        return _outcome(sight, _value(wish, found, {"order": order_id, "outcome": "ordered"}))
    busy = data.get("busy")
    value = {"order": order_id, "outcome": "done", "busy": busy if isinstance(busy, dict) else {}}
    return _outcome(sight, _value(wish, found, value | _counts(data)))


def give(
    sight: Sight, post: Post, waiting: Waiting, wish: Wish, found: Meant, *, is_awaited: bool
) -> tuple[str, Mapping[str, Any] | None]:
    """Posts the order; its id, and the journal's last word on it where that is waited for."""
    after, order_id = sight.reader.last_id(JOURNAL), new_id("o")
    post(ORDERS, order(wish.verb, found.target, wish.reason, order_id, **wish.more), order_id)
    return order_id, await_order(sight.reader, waiting, order_id, after) if is_awaited else None


def _value(wish: Wish, found: Meant, value: Mapping[str, Any]) -> dict[str, Any]:
    of: dict[str, str] = (
        {} if found.kind == "target" else {found.kind: found.target.removeprefix("=")}
    )
    return {"verb": wish.verb, "target": found.target, **of, **value}


def _counts(data: Mapping[str, Any]) -> dict[str, int]:
    return {name: int(data.get(name) or 0) for name in _COUNTS}


def _outcome(sight: Sight, value: Mapping[str, Any]) -> Exit:
    """Says what was seen of an order: which of the agents that it is about were seen to stand
    still, or to end.
    """
    counts = {name: value[name] for name in _COUNTS if name in value}
    if sight.as_json:
        sight.give(value)
    elif counts and value["target"].startswith(("room:", "use:")):
        # No agent stands still for it: the next use is refused.
        print(plain(f"{value['target']}: stopped"))
    elif counts:
        print(
            plain(
                f"{value['target']}: "
                + ", ".join(f"{count} {name}" for name, count in counts.items())
            )
        )
        say_busy(value.get("busy", {}))
    else:
        print(plain(value["target"]))
        note("ordered; what comes of it is told in the journal: swarmd tail journal")
    # A kill never reports a success that nobody saw.
    return Exit.FAILED if counts.get("unconfirmed") or counts.get("unreachable") else Exit.DONE


def say_busy(busy: Mapping[str, str]) -> None:
    for agent, what in list(busy.items())[:BUSY_SHOWN]:
        note(f"still busy: {plain(agent)} in {plain(str(what))}")
    if len(busy) > BUSY_SHOWN:
        note(f"and {len(busy) - BUSY_SHOWN} more: swarmd stops --json")


# --- rights -----------------------------------------------------------------------------------


def check_right(right: str) -> None:
    if right not in RIGHTS:
        raise UsageError(f"--right {right!r} is unknown", hint="it is use, grant or both")


def check_privilege(privilege: str) -> None:
    if not is_path(privilege):
        raise UsageError(
            f"{privilege!r} is no privilege",
            hint="a path such as tool/file/write, or model/** for all below it",
        )


def change_rights(
    sight: Sight, post: Post, waiting: Waiting, wish: Wish, *, is_awaited: bool
) -> Exit:
    """Grants or revokes; done when the supervisor has written it: the next action meets it."""
    found = _agent(sight.reader, wish.reference)
    order_id, data = give(sight, post, waiting, wish, found, is_awaited=is_awaited)
    value: dict[str, Any] = {
        "order": order_id,
        "outcome": "ordered" if data is None else "done",
        **wish.more,
    }
    if data is not None:
        value["number"] = data.get("number")
    if sight.as_json:
        sight.give(_value(wish, found, value))
        return Exit.DONE
    done = {"grant": "granted", "revoke": "revoked"}[wish.verb] if data is not None else "ordered"
    print(plain(f"{found.target}: {done} {wish.more['privilege']} ({wish.more['right']})"))
    if data is not None and data.get("agents", 1) > 1:
        note(f"of it and of {data['agents'] - 1} below it")
    return Exit.DONE


def _agent(reader: Reader, reference: str) -> Meant:
    found = _named(reader, reference)
    if found.kind == "mission":
        raise UsageError(f"{found.target} is a mission", hint="name an agent: swarmd ps")
    return found


# --- any other ---------------------------------------------------------------------------------


def done(sight: Sight, post: Post, waiting: Waiting, wish: Wish, *, is_awaited: bool) -> Exit:
    """Of an action that is answered at once and has nothing more to tell."""
    found = meant(sight.reader, wish)
    order_id, data = give(sight, post, waiting, wish, found, is_awaited=is_awaited)
    outcome = "ordered" if data is None else "done"
    if sight.as_json:
        sight.give(_value(wish, found, {"order": order_id, "outcome": outcome}))
    else:
        print(plain(f"{found.target}: {outcome}"))
    return Exit.DONE


# --- money ------------------------------------------------------------------------------------


def amounts_of(text: str) -> dict[str, int]:
    """`tokens=50000,usd=2.50`, or JSON, as of a budget. Raises `UsageError`."""
    found = budget_of(text, "amounts")
    if (
        not isinstance(found, dict)
        or not all(kind in KINDS and _is_amount(found[kind]) for kind in found)
        or not found
    ):
        raise UsageError(
            f"{text!r} are no amounts",
            hint=f"such as tokens=50000,usd=2.50; kinds: usd, {', '.join(KINDS)}",
        )
    return found


def _is_amount(value: object) -> bool:
    # Above 2^53 the server's scripts no longer count exactly.
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def fund(sight: Sight, post: Post, waiting: Waiting, wish: Wish, *, is_awaited: bool) -> Exit:
    """Adds to an account, of what is free in the one above it; tells the account before and
    after.
    """
    found = Meant(SOB, "agent") if wish.reference == SOB else _named(sight.reader, wish.reference)
    before = sight.reader.accounts([found.target]).get(found.target, NO_ACCOUNT)
    order_id, data = give(sight, post, waiting, wish, found, is_awaited=is_awaited)
    after = sight.reader.accounts([found.target]).get(found.target, NO_ACCOUNT)
    if sight.as_json:
        value = {"order": order_id, "outcome": "ordered" if data is None else "done", **wish.more}
        value |= {"before": lines.account_value(before), "after": lines.account_value(after)}
        sight.give(_value(wish, found, value))
        return Exit.DONE
    added: Mapping[str, int] = wish.more["amounts"]
    print(
        plain(f"{found.target}: " + (f"{amounts(added)} added" if data is not None else "ordered"))
    )
    for kind in in_order(added) if data is not None else ():
        was, is_now = before.amounts(kind), after.amounts(kind)
        changes = (
            (
                f"{name} {lines.plainly(kind, was.get(name, 0))} → "
                f"{lines.plainly(kind, is_now.get(name, 0))}"
            )
            for name in ("cap", "free")
        )
        print(f"  {kind}: " + ", ".join(changes))
    return Exit.DONE


# --- the brake --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Braked:
    """The halt of the data folder, and what its parts have said to it."""

    halt_file: Brake
    parts: tuple[Part, ...]  # the living
    words: Mapping[str, Word]

    @property
    def silent(self) -> list[str]:
        return [part.host for part in self.parts if part.host not in self.words]

    @property
    def busy(self) -> dict[str, str]:
        return {agent: what for word in self.words.values() for agent, what in word.busy.items()}

    @property
    def is_quiet(self) -> bool:
        """Every part that lives gave its word, and nothing of any of them still runs."""
        return bool(self.parts) and not self.silent and not self.busy


def braked(data: Path, held: Brake) -> Braked:
    return Braked(
        held,
        tuple(part for part in halt_file.parts(data) if part.is_alive),
        halt_file.words(data, held),
    )


def pull_brake(data: Path, reason: str, by: str) -> Brake | None:
    """The folder's halt, in force from here on; `None`, and told, where the folder cannot be
    written to.
    """
    try:
        return halt_file.pull(data, reason, by, at=time.time())
    except WorkspaceError as error:
        note(f"swarmd: {error.what}; the halt goes through the server alone")
        return None


def await_words(data: Path, held: Brake, seconds: float) -> Braked:
    """Until every part that lives has given its word, or the time is over."""
    end = time.monotonic() + seconds
    while True:
        found = braked(data, held)
        if not found.silent or time.monotonic() >= end:
            return found
        time.sleep(_POLL_SECONDS)


def tell_words(
    data: Path, held: Brake, seconds: float, away: StoreUnavailableError, *, as_json: bool
) -> Exit:
    """What the data folder's parts say to its halt where no server answers. Done only if all of
    them gave their word.

    Raises `away` again where there is none: who else runs that swarm is not known here.
    """
    found = await_words(data, held, seconds)
    if not found.parts:
        raise StoreUnavailableError(
            f"{away.what}; and no part of a swarm works on {data}",
            hint=(
                f"whatever starts there stands still until `swarmd thaw all`: {data / 'halt'} is "
                "kept"
            ),
        ) from away
    if as_json:
        print(
            json.dumps(
                {"verb": "halt", "target": EVERYTHING, "server": "away", **braked_value(found)}
            )
        )
    else:
        say_braked(found)
        note(
            f"the server is away ({away.what}): parts on other machines' folders have not been "
            "asked"
        )
    return Exit.DONE if found.is_quiet else Exit.FAILED


def braked_value(found: Braked) -> dict[str, Any]:
    return {
        "hosts": [
            {
                "host": part.host,
                "hostname": part.hostname,
                "pid": part.pid,
                "halted": part.host in found.words,
                "agents": found.words[part.host].agents if part.host in found.words else None,
            }
            for part in found.parts
        ],
        "busy": found.busy,
    }


def say_braked(found: Braked) -> None:
    for part in found.parts:
        word = found.words.get(part.host)
        told = f"halted, agents here: {word.agents}" if word is not None else "gave no word"
        print(plain(f"{part.host} (process {part.pid} on {part.hostname}): {told}"))
    say_busy(found.busy)


# --- why --------------------------------------------------------------------------------------


def why(sight: Sight, reference: str, privilege: str, right: str) -> Exit:
    """The chain of grants, or the missing link, or what stands in the way; done where it may,
    refused where not.
    """
    from swarmd.core.queries.explain import hindrances, trace

    check_privilege(privilege)
    if right not in ("use", "grant"):
        raise UsageError(f"--right {right!r} is unknown", hint="it is use or grant")
    asked: Literal["use", "grant"] = "grant" if right == "grant" else "use"
    reader, id = sight.reader, AgentId(_agent(sight.reader, reference).target)
    chain, marks = reader.chain(id), reader.marks()
    if not chain:
        raise NotFoundError(f"the record of {id} cannot be read")
    account = reader.accounts([id]).get(id, NO_ACCOUNT)
    agent = reader.agent(id)
    revoked = [] if agent is None else marks.revocations_on(agent)
    found = trace(chain, revoked, privilege, asked)
    in_the_way = hindrances(
        chain[-1],
        privilege,
        asked,
        marks.fences,
        marks.stops,
        account.kinds,
        account.marks.get("overdrawn", ""),
    )
    may = found.is_held and not in_the_way
    if sight.as_json:
        sight.give(
            {
                "agent": id,
                "privilege": privilege,
                "right": asked,
                "may": may,
                **lines.trace_value(found, in_the_way),
            }
        )
    else:
        sight.say(lines.trace_lines(found, in_the_way, privilege, sight.ink, now()))
        note_explain(in_the_way[0].rule.value if in_the_way else "")
    return Exit.DONE if may else Exit.REFUSED
