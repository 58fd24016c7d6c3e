"""The verbs that act: submit, cancel, terminate, say. They write orders and wait for what came of
them.

An order's outcome is read from the journal, never assumed: what a verb reports, the supervisor has
seen.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from swarmd.cli.exit_codes import Exit, exit_of_mission
from swarmd.cli.order_client import Post, Waiting, at_now, new_id
from swarmd.cli.render import lines
from swarmd.cli.render.text import amounts, plain
from swarmd.cli.session import Sight, note, note_explain
from swarmd.cli.verbs.inspect import channel_named, named
from swarmd.core.model.channels import DEAD, JOURNAL, MISSIONS, ORDERS, REQUESTS, RESULTS
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import OPERATOR, SOB, AgentId, Channel, MissionId, MissionState
from swarmd.core.model.refusals import Rule
from swarmd.core.queries.refusals import first_code
from swarmd.core.queries.snapshot import NO_ACCOUNT, MissionView, mission_view
from swarmd.core.queries.spending import spent_of, used
from swarmd.errors import NotFoundError, RefusedError, UsageError
from swarmd.ports.reader import Reader

MISSION_BYTES_MAX: Final = 1_000_000


_DIGITS_MAX: Final = 400  # of an amount that is read at all; what it may be, its own law says


_DOLLARS_MAX: Final = 1_000_000_000


# Channels without a kind, in which an operator does not speak.
_OTHERS: Final = frozenset({MISSIONS, RESULTS, ORDERS, REQUESTS, JOURNAL, DEAD})


"""Posts a message under a key, so that it happens once, and returns its id."""


def mission_text(given: str, stdin: Callable[[], bytes]) -> str:
    """The mission: as given, or standard input for `-`. Raises `UsageError` for what would be
    rejected.
    """
    raw = stdin() if given == "-" else given.encode("utf-8", "surrogateescape")
    if len(raw) > MISSION_BYTES_MAX:
        raise UsageError(
            f"the mission is {len(raw):,} bytes long; at most {MISSION_BYTES_MAX:,} are taken",
            hint="put the material into files and name them with --files",
        )
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(
            "the mission is not UTF-8 text", hint="binary material goes into files"
        ) from error
    if not text.strip():
        raise UsageError("the mission is empty", hint='say what is to be done: swarmd run "…"')
    return text


def entrance_fields(
    text: str, id: str | None, budget: str | None, deadline: float | None, files: Sequence[str]
) -> dict[str, str]:
    """The contract's fields of `XADD swarm:missions`. Raises `UsageError` for what would be
    rejected.

    The id is made here where none was given, so that a repeated write is the same mission.
    """
    from swarmd.core.missions.intake import parse_mission

    fields = {"mission": text, "id": id if id is not None else new_id("m")}
    if budget:
        fields["budget"] = json.dumps(budget_of(budget))
    if deadline is not None:
        fields["deadline_s"] = f"{deadline:g}"
    if files:
        fields["files"] = json.dumps(list(files))
    fault = parse_mission(fields)
    if isinstance(fault, str):
        raise UsageError(f"the mission cannot be taken: {fault}")
    if not fields["id"]:
        raise UsageError("--id is empty", hint="1 to 64 of A-Z a-z 0-9 _ -")
    return fields


def budget_of(text: str, said: str = "--budget") -> Any:
    """`{"tokens": 50000}` or `tokens=50000,usd=2.5`; what the kinds may be is the mission's own
    law.

    `usd` is dollars, for people: it is told as `cost`, in millionths of them. `said` names the
    words in errors.
    """
    hint = """it is JSON such as '{"tokens": 50000}', or tokens=50000,calls=100,usd=2.5"""
    if text.lstrip().startswith("{"):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{said} is not JSON: {error}", hint=hint) from error
    else:
        parts = [part.partition("=") for part in text.split(",")]
        found = {kind.strip(): value.strip() for kind, _, value in parts}
        if not all(
            (value.isdecimal() and len(value) <= _DIGITS_MAX) or kind == "usd"
            for kind, value in found.items()
        ):
            raise UsageError(f"{said} {text!r} cannot be read", hint=hint)
        found = {kind: value if kind == "usd" else int(value) for kind, value in found.items()}
    if isinstance(found, dict) and "usd" in found:
        if "cost" in found:
            raise UsageError(
                f"{said} names the money twice, as usd and as cost", hint="keep one of them"
            )
        found["cost"] = _micro_dollars(found.pop("usd"), said)
    return found


def _micro_dollars(dollars: Any, said: str) -> int:
    """Raises `UsageError` for what is no amount of dollars, or one finer than the ledger counts."""
    try:
        micro = Decimal(str(dollars)) * 1_000_000
        if micro.is_finite() and 0 <= micro <= _DOLLARS_MAX * 1_000_000 and micro == int(micro):
            return int(micro)
    except ArithmeticError:  # no number, or one beyond all exponents
        pass
    raise UsageError(
        f"{said}: usd is {str(dollars)[:40]!r}",
        hint=f"dollars from 0 to {_DOLLARS_MAX:,}, with at most six decimals, such as usd=2.5",
    )


def refuse_conflict(reader: Reader, fields: Mapping[str, str]) -> None:
    """The same id and content is the same mission; other content is told under another id, too
    late for us.
    """
    from swarmd.core.missions.intake import RESERVED_IDS

    if fields["id"] in RESERVED_IDS or reader.is_agent(AgentId(fields["id"])):
        raise RefusedError(
            f"refused by {Rule.MISSION_INVALID.value}: {fields['id']} names somebody of the swarm",
            hint="choose another --id, or none",
            rule=Rule.MISSION_INVALID.value,
        )
    known = reader.mission(MissionId(fields["id"]))
    if known is not None and is_turned_away(known):
        return
    if known is not None and known.text not in ("", fields["mission"]):
        raise RefusedError(
            (
                f"refused by {Rule.MISSION_CONFLICT.value}: {fields['id']} is a mission with other "
                "content"
            ),
            hint=f"swarmd inspect {fields['id']}",
            rule=Rule.MISSION_CONFLICT.value,
        )


def await_mission(
    sight: Sight, waiting: Waiting, id: MissionId, former: MissionView | None = None
) -> Exit:
    """Follows the mission to its end; its result alone goes to standard output.

    `former` is the record of what was turned away under this id before: it is not this one's end.
    """
    told = ""
    while True:
        mission = sight.reader.mission(id)
        if mission is not None and mission == former:
            waiting.pause()
            continue
        state = "" if mission is None else mission.state
        if mission and state != told:
            note(f"{id}: {plain(state)}")
            told = state
        if mission and mission.has_ended:
            return ended(sight, mission)
        # What never became a mission (invalid, or its id is another's) is told on `results` only.
        if mission is None and (refused := _result_of(sight.reader, id)) is not None:
            return ended(sight, refused)
        if mission is None and told:
            raise NotFoundError(
                f"the record of mission {id} is gone", hint="its data was deleted: submit it again"
            )
        waiting.pause()


def is_turned_away(mission: MissionView) -> bool:
    """Its id is free to be used again, so that this record is of no later mission of that id."""
    from swarmd.core.missions.queue import may_come_again

    return may_come_again(mission.fields)


def _result_of(reader: Reader, id: MissionId) -> MissionView | None:
    for entry in reader.last_entries(RESULTS, 100):
        flat, data = entry.said, _object(entry.said.get("data", ""))
        if id in (flat.get("mission"), data.get("asked")):
            told = {
                "id": id,
                "state": str(data.get("state", "")),
                "reason": str(data.get("reason", "")),
                "result": flat.get("text", ""),
                "ended": flat.get("at", ""),
            }
            return mission_view(told)
    return None


def ended(sight: Sight, mission: MissionView) -> Exit:
    """Prints an ended mission's result and says how it ended."""
    state, reason, result = mission.state, mission.reason, mission.result
    account = sight.reader.accounts([mission.id]).get(mission.id, NO_ACCOUNT)
    spent = used(spent_of(account))
    if sight.as_json:
        sight.give(lines.mission_value(mission) | {"spent": spent})
    elif result and state == MissionState.DELIVERED:
        print(plain(result, multiline=True))
    if not sight.as_json:
        why = f": {plain(reason)}" if reason and state != MissionState.DELIVERED else ""
        note(f"{mission.id}: {plain(state)}{why} (spent {amounts(spent)})")
        note_explain(first_code(reason) if why else "")
    return exit_of_mission(state, reason)


def say(sight: Sight, post: Post, name: str, text: str) -> Exit:
    """Speaks as the operator in a room, or to one agent."""
    channel = _spoken_to(sight.reader, name)
    kind, _, who = channel.partition(":")
    if kind not in ("room", "inbox") or not who:
        raise UsageError(
            f"nobody listens on {name!r}",
            hint=(
                "say to room:NAME or to an agent, such as room:sob or socrates: `swarmd ps` "
                "lists agents"
            ),
        )
    if not text.strip():
        raise UsageError("there is nothing to say", hint='swarmd say room:sob "…"')
    if len(text.encode("utf-8", "surrogateescape")) > MISSION_BYTES_MAX:
        raise UsageError("that is too long to say", hint="at most 1,000,000 bytes")
    channel = (
        _recipient(sight.reader, who) if kind == "inbox" else channel_named(sight.reader, channel)
    )
    to = channel.removeprefix("inbox:") if kind == "inbox" else ""
    message = Message(sender=OPERATOR, kind=Kind.SAY, at=at_now(), to=to, text=text)
    id_ = post(channel, message, new_id("s"))
    if sight.as_json:
        sight.give({"channel": channel, "id": id_})
    else:
        print(id_)
    return Exit.DONE


def _spoken_to(reader: Reader, name: str) -> Channel:
    """The channel of that name. A name without a kind is an agent's, or else a room's, as a
    person would say it.
    """
    channel = reader.channel_of(name)
    if ":" in channel or not channel or channel in _OTHERS:
        return channel
    is_room = f"room:{channel}" in reader.rooms()
    try:
        found = named(reader, channel)
    except NotFoundError:
        found = None
    # The board is spoken to in its room: it has no inbox that anybody reads.
    if is_room and (found is None or found.id == SOB):
        return Channel(f"room:{channel}")
    return channel if found is None else Channel(f"inbox:{channel}")


def _recipient(reader: Reader, who: str) -> Channel:
    found = named(reader, who)
    if found.is_mission:
        raise UsageError(
            f"{found.id} is a mission, not an agent", hint="say room:sob tells the board"
        )
    return Channel(f"inbox:{found.id}")


def _object(text: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def standard_input() -> bytes:
    """Bounded: a mission that is too long need not be read whole to be refused."""
    if sys.stdin.isatty():
        note("reading the mission from standard input; end it with Ctrl-D")
    try:
        return sys.stdin.buffer.read(MISSION_BYTES_MAX + 1)
    except OSError as error:
        raise UsageError(
            f"standard input cannot be read: {error.strerror or error}",
            hint="give the text itself, or a file to read it from: swarmd submit - < FILE",
        ) from error
