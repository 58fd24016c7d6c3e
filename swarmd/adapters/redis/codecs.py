"""Records as Redis holds them: agents, missions, hosts and what is known of a turn."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import astuple, fields
from datetime import datetime
from functools import lru_cache
from sys import intern
from typing import Any, TypeVar

import structlog
from pydantic import ValidationError

from swarmd.core.agent.output_limits import Cut
from swarmd.core.agent.turn import Refusal
from swarmd.core.model.charter import KINDS, Charter
from swarmd.core.model.lineage import Agent, Lineage, is_place, mission_segments
from swarmd.core.model.names import (
    FIRST,
    SOB,
    AgentId,
    AgentState,
    HostId,
    MissionId,
    MissionState,
    StreamId,
)
from swarmd.core.model.privileges import Held
from swarmd.core.model.records import CallPrice, Host, Mission
from swarmd.core.model.row_texts import check_types, facts_of
from swarmd.core.model.tables import Table
from swarmd.core.model.versions import RECORD_VERSION, check_record
from swarmd.log_events import LogEvent
from swarmd.ports.stores import Turn

log = structlog.get_logger(__name__)

V = TypeVar("V")


def agent_fields(agent: Agent) -> list[str]:
    return [
        "v",
        RECORD_VERSION,
        "id",
        agent.id,
        "name",
        agent.name,
        "role",
        agent.role,
        "tier",
        str(agent.tier),
        "path",
        "/".join(agent.path),
        "mission",
        agent.mission,
        "created",
        agent.created,
        "key",
        agent.key,
        *moving_fields(agent),
        *rights_fields(agent),
        *charter_fields(agent),
    ]


def charter_fields(agent: Agent) -> list[str]:
    return [
        "charter",
        agent.charter.model_dump_json(exclude_defaults=True) if agent.charter else "",
        "taint",
        " ".join(agent.taint),
    ]


def rights_fields(agent: Agent) -> list[str]:
    later = [[held.path, held.right, held.number, held.by, held.at] for held in agent.later]
    return [
        "privileges",
        " ".join(agent.privileges),
        "grants",
        " ".join(agent.grants),
        "later",
        json.dumps(later) if later else "",
    ]


def use_pairs(agent: Agent) -> list[str]:
    """What the scripts look up: the paths that it may use, each with its number."""
    return [word for held in agent.holdings("use") for word in (held.path, str(held.number))]


def moving_fields(agent: Agent) -> list[str]:
    """The fields that change in an agent's life."""
    return [
        "state",
        agent.state.value,
        "reason",
        agent.reason,
        "incarnation",
        str(agent.incarnation),
        "host",
        agent.host,
        "lease",
        str(agent.lease),
        "ended",
        agent.ended,
        "parent",
        agent.parent or "",
        "deadline",
        repr(agent.deadline),
        "crashes",
        json.dumps(agent.crashes) if agent.crashes else "",
    ]


def hold_text(agent: Agent) -> str:
    """As the scripts judge it; of the record's own fields."""
    return f"{agent.state.value} {agent.incarnation} {agent.lease} {agent.host}"


def charter_of(text: str | None) -> Charter | None:
    """Models may put nothing into a charter that it has no place for; a later release of ours
    may.
    """
    return Charter.model_validate_json(text, extra="ignore") if text else None


# Ten thousand agents of one process hold the same few rights, were made in the same commits and
# share their ancestors: one object for all that are equal.
@lru_cache(maxsize=4_096)
def _words(text: str) -> tuple[str, ...]:
    return tuple(map(intern, text.split()))


def agent_of(record: Mapping[str, str]) -> Agent | None:
    """`None` where the record is absent or not one of ours."""
    if not record.get("id"):
        return None
    check_record(f"the record of agent {record['id']}", record.get("v"))
    try:
        agent = _read_agent(record)
    except (KeyError, ValueError, TypeError, OverflowError, RecursionError):
        return None
    return agent if is_place(agent) else None


def _read_agent(record: Mapping[str, str]) -> Agent:
    return Agent(
        id=AgentId(intern(record["id"])),
        name=record["name"],
        role=intern(record["role"]),
        tier=int(record["tier"]),
        parent=AgentId(intern(record["parent"])) if record["parent"] else None,
        path=tuple(map(intern, record["path"].split("/"))),
        mission=MissionId(intern(record["mission"])),
        state=AgentState(record["state"]),
        reason=record["reason"],
        incarnation=int(record["incarnation"]),
        host=HostId(intern(record["host"])),
        lease=int(record["lease"]),
        created=_stamp(record["created"]),
        ended=record["ended"],
        key=record.get("key", ""),
        privileges=_words(record.get("privileges", "")),
        grants=_words(record.get("grants", "")),
        later=tuple(map(_held_of, json.loads(record.get("later") or "[]"))),
        deadline=_seconds(record.get("deadline") or 0),
        crashes=tuple(map(_seconds, json.loads(record.get("crashes") or "[]"))),
        charter=charter_of(record.get("charter")),
        taint=_words(record.get("taint", "")),
    )


def _held_of(told: Sequence[Any]) -> Held:
    held = Held(*told[:_HELD_PARTS])
    check_types(held)
    return held


def _seconds(told: Any) -> float:
    """Raises `ValueError` for what is no time: the journal keeps no number that is not finite."""
    seconds = float(told)
    if not math.isfinite(seconds):
        raise ValueError(f"{told} is no time")
    return seconds


def stand_in(
    id: AgentId, record: Mapping[str, str], lineage: Lineage, creator: Agent | None
) -> Agent | None:
    """An agent whose record cannot be read as a whole, of what of it can be, so that it can be held
    and ended.

    Where it stands is in its own path, in those of its descendants, or below who lists it; `None`
    where nobody knows.
    """
    path = _path_of(id, record, lineage, creator)
    if path is None:
        return None
    known = {name: record.get(name, "") for name in _NUMBERS}
    numbers = {name: int(text) if _COUNT.fullmatch(text) else 0 for name, text in known.items()}
    above = (record.get("parent", ""), *reversed(path[:-1]))
    try:
        charter = charter_of(record.get("charter"))
    except ValidationError:
        charter = None
    return Agent(
        id=id,
        name=record.get("name") or id,
        role=record.get("role", ""),
        tier=len(path) - _TIER_1 + 1,
        parent=next(AgentId(one) for one in above if AgentId(one) in lineage.agents),
        path=path,
        mission=MissionId(path[_TIER_1 - 2]),
        state=AgentState.FROZEN,
        host=HostId(record.get("host", "")),
        incarnation=max(1, numbers["incarnation"]),
        lease=numbers["lease"],
        created=_ANCIENT,
        key=record.get("key", ""),
        privileges=tuple(record.get("privileges", "").split()),
        grants=tuple(record.get("grants", "").split()),
        charter=charter,
    )


def _stamp(text: str) -> str:
    """Raises `ValueError` for what is no time."""
    datetime.fromisoformat(text)
    return intern(text)


# Made long before any rate is counted.
_ANCIENT = "1970-01-01T00:00:00.000Z"


_HELD_PARTS = len(fields(Held))


_NUMBERS = ("incarnation", "lease")
_COUNT = re.compile(r"[0-9]{1,15}")


_TIER_1 = 4  # the segments of an executive's path: its own, and before it the mission's


def _path_of(
    id: AgentId, record: Mapping[str, str], lineage: Lineage, creator: Agent | None
) -> tuple[str, ...] | None:
    own = tuple(record.get("path", "").split("/"))
    if len(own) >= _TIER_1 and own[-1] == id and _is_below_a_mission(own, record):
        return own
    for other in lineage.agents.values():
        if id in other.path:
            return other.path[: other.path.index(id) + 1]
    if creator is None or (creator.id == SOB and not record.get("mission")):
        return None
    if creator.id == SOB:
        return (SOB, *mission_segments(MissionId(record["mission"])), id)
    return (*creator.path, id)


def _is_below_a_mission(path: tuple[str, ...], record: Mapping[str, str]) -> bool:
    mission = MissionId(record.get("mission") or path[_TIER_1 - 2])
    return path[: _TIER_1 - 1] == (SOB, *mission_segments(mission))


def mission_fields(mission: Mission) -> list[str]:
    return [
        "v",
        RECORD_VERSION,
        "id",
        mission.id,
        "mission",
        mission.text,
        "state",
        mission.state.value,
        "reason",
        mission.reason,
        "result",
        mission.result,
        "budget",
        json.dumps(dict(mission.budget)),
        "created",
        mission.created,
        "ended",
        mission.ended,
        "deadline",
        repr(mission.deadline),
        "files",
        json.dumps(mission.files),
        "asked_files",
        json.dumps(mission.asked_files),
        "result_files",
        json.dumps(mission.result_files),
        "board",
        json.dumps(mission.board),
        "digest",
        mission.digest,
        "ending",
        mission.ending.value if mission.ending else "",
    ]


def mission_of(record: Mapping[str, str]) -> Mission | None:
    """`None` where the record is absent or damaged."""
    if not record.get("id"):
        return None
    check_record(f"the record of mission {record['id']}", record.get("v"))
    try:
        budget: dict[str, Any] = json.loads(record["budget"])
        return Mission(
            id=MissionId(record["id"]),
            text=record["mission"],
            state=MissionState(record["state"]),
            reason=record["reason"],
            result=record["result"],
            budget={kind: int(budget.get(kind, 0)) for kind in KINDS},
            created=record["created"],
            ended=record["ended"],
            deadline=_seconds(record.get("deadline") or 0),
            files=tuple(json.loads(record.get("files") or "[]")),
            asked_files=tuple(json.loads(record.get("asked_files") or "[]")),
            result_files=tuple(json.loads(record.get("result_files") or "[]")),
            board=json.loads(record.get("board") or "null"),
            digest=record.get("digest", ""),
            ending=MissionState(record["ending"]) if record.get("ending") else None,
        )
    except (KeyError, ValueError, TypeError, OverflowError, RecursionError):
        return None


def cut_fields(agent: AgentId, turn: Turn, cut: Cut, at: str) -> list[str]:
    """The fact that messages were not carried: `tell` where the recipient is to be told."""
    return [
        "fact",
        "refuse",
        "agent",
        agent,
        "call",
        str(turn.number),
        "rule",
        cut.rule.value,
        "detail",
        cut.detail,
        "channel",
        cut.channel,
        "to",
        cut.to,
        "count",
        str(cut.count),
        "tell",
        "1" if cut.is_news else "",
        "hops",
        str(cut.hops),
        "at",
        at,
    ]


def refusal_fields(agent: AgentId, turn: Turn, refusal: Refusal, at: str) -> list[str]:
    """The fact that a turn's moves were refused by one rule. `turn` tells it from what a script
    refused by itself.
    """
    return [
        "fact",
        "refuse",
        "agent",
        agent,
        "turn",
        str(turn.number),
        "rule",
        refusal.rule.value,
        "detail",
        refusal.detail,
        "moves",
        " ".join(refusal.moves),
        "count",
        str(refusal.count),
        "at",
        at,
    ]


def host_text(host: Host) -> str:
    facts = {
        "v": RECORD_VERSION,
        "id": host.id,
        "capacity": host.capacity,
        "workspace": host.workspace,
        "paid": host.is_paid,
        **({"price": astuple(host.price)} if host.price else {}),
        "busy": host.busy,
        "heard": host.heard,
        **({"unrecorded": host.unrecorded} if host.unrecorded else {}),
    }
    # Not the law's business: by it a container's health check finds the worker beside it.
    return json.dumps(facts | {"hostname": os.uname().nodename})


def host_of(text: str) -> Host:
    facts = facts_of("a host's lease", text)
    return Host(
        HostId(facts["id"]),
        int(facts["capacity"]),
        str(facts["workspace"]),
        is_paid=bool(facts.get("paid", False)),
        price=CallPrice(*map(int, facts["price"])) if "price" in facts else None,
        busy=int(facts.get("busy", 0)),
        heard=StreamId(str(facts.get("heard", FIRST))),
    )


def rows_of(table: Table[V], key: str, fields: Mapping[str, str]) -> dict[str, V]:
    """The rows of a hash, read. What cannot be is passed over: a mark of nobody's keeps no swarm
    from starting.

    The scripts are on the safe side of it: an unreadable fence still refuses, unreadable
    revocations cut all.
    """
    found: dict[str, V] = {}
    for name, text in table.rows_in(fields).items():
        try:
            found[name] = table.read(name, text)
        except ValueError:
            # What no journal keeps, `fsck` does not know.
            away = "fsck --repair" if table.digest else f"redis-cli HDEL {key} {table.prefix}{name}"
            log.error(  # noqa: TRY400 - that it is no row of ours says it all
                LogEvent.MARK_UNREADABLE, mark=name, key=key, hint=f"`swarmd {away}` takes it away"
            )
    return found


def is_amount(text: str) -> bool:
    return text.removeprefix("-").isdecimal() and text.isascii()
