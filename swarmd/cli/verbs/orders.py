"""The verbs that stop and end: freeze, drain, halt, thaw, terminate, cancel; and how any order is
given and its outcome told.

Each writes one order and tells what was seen of it: a verb never reports a success that nobody saw.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from swarmd.adapters import halt_file
from swarmd.cli.exit_codes import Exit
from swarmd.cli.order_client import OrderRefusedError, Post, Waiting, await_order, new_id, order
from swarmd.cli.render.tables import stop_words
from swarmd.cli.render.text import plain
from swarmd.cli.render.values import stop_value
from swarmd.cli.session import Sight, note, now
from swarmd.cli.verbs.halt import say_busy
from swarmd.cli.verbs.targets import (
    Meant,
    Wish,
    id_of,
    meant,
    refuse_ended,
    said_target,
    warn_of_nobody,
)
from swarmd.core.model.channels import JOURNAL, ORDERS
from swarmd.core.model.lineage import EVERYTHING, Stop
from swarmd.core.model.names import BRAKE, AgentId, MissionId
from swarmd.core.model.refusals import Rule
from swarmd.errors import NotFoundError, RefusedError
from swarmd.ports.reader import Reader

RELEASE_SECONDS: Final = 3.0
_COUNTS: Final = ("confirmed", "unconfirmed", "unreachable")


# --- stop and end -----------------------------------------------------------------------------


def stop(sight: Sight, post: Post, waiting: Waiting, wish: Wish, *, is_awaited: bool) -> Exit:
    """Freeze, drain or halt; done only if everything under it was seen to stand still, or to
    end.
    """
    found = meant(sight.reader, wish)
    refuse_ended(sight.reader, found)
    warn_of_nobody(sight.reader, found)
    before = sight.reader.marks().stops.get(found.target)
    exit_code = _ordered(sight, post, waiting, wish, found, is_awaited=is_awaited)
    if before is not None:
        note(f"it replaces the {before.kind.value} by {plain(before.by)}: {plain(before.reason)}")
    return exit_code


def terminate(sight: Sight, post: Post, waiting: Waiting, wish: Wish, *, is_awaited: bool) -> Exit:
    """Ends what is meant and all below it; done only if every one of them was seen to end."""
    found = meant(sight.reader, wish)
    if found.kind == "mission":
        return cancel(sight, post, waiting, wish, is_awaited=is_awaited)
    if found.kind == "agent":
        agent = sight.reader.agent(AgentId(found.target))
        if agent is not None and agent.is_terminated:
            note(f"{found.target} was ended already")
            return tell_outcome(sight, value_of(wish, found, {"outcome": "done"} | _counts({})))
    if found.target == EVERYTHING and all(one.has_ended for one in sight.reader.missions()):
        note("no mission is open: there is nothing to end")
        return tell_outcome(sight, value_of(wish, found, {"outcome": "done"} | _counts({})))
    return _ordered(sight, post, waiting, wish, found, is_awaited=is_awaited)


def cancel(sight: Sight, post: Post, waiting: Waiting, wish: Wish, *, is_awaited: bool) -> Exit:
    """Ends a mission; waits until its account is closed too."""
    found = Meant(id_of(sight.reader, wish.reference).target, "mission")
    if sight.reader.mission(MissionId(found.target)) is None:
        raise NotFoundError(f"{found.target} is an agent", hint=f"swarmd terminate {found.target}")
    refuse_ended(sight.reader, found)
    order_id, data = give(sight, post, waiting, wish, found, is_awaited=is_awaited)
    if data is None:
        return tell_outcome(sight, value_of(wish, found, {"order": order_id, "outcome": "ordered"}))
    state = _await_end(sight.reader, waiting, MissionId(found.target))
    value = {"order": order_id, "outcome": "done", "state": state}
    return tell_outcome(sight, value_of(wish, found, value | _counts(data)))


def _await_end(reader: Reader, waiting: Waiting, id: MissionId) -> str:
    """The order is answered when its subtree is gone; its account is closed and its result told
    just after.
    """
    while not ((ended := reader.mission(id)) and ended.has_ended):
        waiting.pause()
    return ended.state


# --- thaw -------------------------------------------------------------------------------------


def thaw(
    sight: Sight, post: Post, waiting: Waiting, wish: Wish, *, is_awaited: bool, data: Path
) -> Exit:
    """Lifts a stop, and says what still stops what was thawed. Of everything: the data folder's
    halt too.
    """
    found = meant(sight.reader, wish)
    refuse_ended(sight.reader, found)
    had_brake = found.target == EVERYTHING and _release(data)
    order_id, is_done = _lift(
        sight, post, waiting, wish, found, is_awaited=is_awaited, had_brake=had_brake
    )
    if had_brake and is_done:
        _await_release(sight.reader, waiting)
    remaining = _remaining(sight.reader, found) if is_done else []
    if sight.as_json:
        value: dict[str, Any] = {"order": order_id, "outcome": "done" if is_done else "ordered"}
        told = [stop_value(left) for left in remaining]
        sight.give(value_of(wish, found, value | {"remaining": told}))
    else:
        _tell_thawed(found, remaining, is_done=is_done)
    return Exit.DONE


def _tell_thawed(found: Meant, remaining: Sequence[Stop], *, is_done: bool) -> None:
    target = said_target(found.target)
    print(f"{target}: thawed" if is_done else target)
    for words in stop_words(remaining, now()):
        note(f"still stopped: {plain(words)}")


def _release(data: Path) -> bool:
    """Releases the data folder's halt, where there is one.

    The file goes first, and there is time to see that it has gone: a supervisor that still sees it
    halts everything anew.
    """
    had_brake = halt_file.release(data)
    if had_brake:
        time.sleep(2 * halt_file.WATCH_SECONDS)
    return had_brake


def _lift(
    sight: Sight,
    post: Post,
    waiting: Waiting,
    wish: Wish,
    found: Meant,
    *,
    is_awaited: bool,
    had_brake: bool,
) -> tuple[str, bool]:
    """The order's id, and whether it was seen to be done. That nothing but the data folder's halt
    held it is no refusal.
    """
    try:
        order_id, answer = give(sight, post, waiting, wish, found, is_awaited=is_awaited)
    except OrderRefusedError as error:
        if error.rule != Rule.STOP_TARGET:
            raise
        if had_brake:
            return "", True
        others = ", ".join(said_target(left.target) for left in _remaining(sight.reader, found))
        hint = f"thaw what holds it: {others}" if others else ""
        raise RefusedError(error.what, hint=hint, rule=error.rule) from error
    return order_id, answer is not None


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


# --- giving an order, and telling what came of it ---------------------------------------------


def done(sight: Sight, post: Post, waiting: Waiting, wish: Wish, *, is_awaited: bool) -> Exit:
    """Of an action that is answered at once and has nothing more to tell."""
    found = meant(sight.reader, wish)
    order_id, data = give(sight, post, waiting, wish, found, is_awaited=is_awaited)
    outcome = "ordered" if data is None else "done"
    if sight.as_json:
        sight.give(value_of(wish, found, {"order": order_id, "outcome": outcome}))
    else:
        print(f"{said_target(found.target)}: {outcome}")
    return Exit.DONE


def _ordered(
    sight: Sight, post: Post, waiting: Waiting, wish: Wish, found: Meant, *, is_awaited: bool
) -> Exit:
    order_id, data = give(sight, post, waiting, wish, found, is_awaited=is_awaited)
    if data is None:
        return tell_outcome(sight, value_of(wish, found, {"order": order_id, "outcome": "ordered"}))
    busy = data.get("busy")
    value = {"order": order_id, "outcome": "done", "busy": busy if isinstance(busy, dict) else {}}
    return tell_outcome(sight, value_of(wish, found, value | _counts(data)))


def give(
    sight: Sight, post: Post, waiting: Waiting, wish: Wish, found: Meant, *, is_awaited: bool
) -> tuple[str, Mapping[str, Any] | None]:
    """Posts the order; its id, and the journal's last word on it where that is waited for."""
    after, order_id = sight.reader.last_id(JOURNAL), new_id("o")
    post(ORDERS, order(wish.verb, found.target, wish.reason, order_id, **wish.more), order_id)
    return order_id, await_order(sight.reader, waiting, order_id, after) if is_awaited else None


def value_of(wish: Wish, found: Meant, value: Mapping[str, Any]) -> dict[str, Any]:
    of: dict[str, str] = (
        {} if found.kind == "target" else {found.kind: found.target.removeprefix("=")}
    )
    return {"verb": wish.verb, "target": found.target, **of, **value}


def _counts(data: Mapping[str, Any]) -> dict[str, int]:
    return {name: int(data.get(name) or 0) for name in _COUNTS}


def tell_outcome(sight: Sight, value: Mapping[str, Any]) -> Exit:
    """Says what was seen of an order: which of the agents that it is about were seen to stand
    still, or to end.
    """
    counts = {name: value[name] for name in _COUNTS if name in value}
    if sight.as_json:
        sight.give(value)
    elif counts:
        print(f"{said_target(value['target'])}: {_seen(value['target'], counts)}")
        say_busy(value.get("busy", {}))
    else:
        print(said_target(value["target"]))
        note("ordered; what comes of it is told in the journal: swarmd tail journal")
    # A kill never reports a success that nobody saw.
    return Exit.FAILED if counts.get("unconfirmed") or counts.get("unreachable") else Exit.DONE


def _seen(target: str, counts: Mapping[str, int]) -> str:
    # No agent stands still for a room or a privilege: the next use is refused.
    if target.startswith(("room:", "use:")):
        return "stopped"
    return ", ".join(f"{count} {name}" for name, count in counts.items())
