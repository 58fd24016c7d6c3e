"""What was read, as `--json` gives it: ids are strings, counts numbers, JSON within a record is
unpacked, times are ISO-8601 in UTC. Pure.

Records are the contract's hashes as they were read; a field that is absent reads as empty, so that
a command line of one version can look at a swarm of another.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from swarmd.core.model.lineage import EVERYTHING, Fence, Stop
from swarmd.core.model.privileges import Revocation
from swarmd.core.queries.snapshot import AccountView, AgentView, Marks, MissionView
from swarmd.core.queries.spending import Branch

if TYPE_CHECKING:
    from swarmd.adapters.halt_file import Brake
    from swarmd.core.queries.activity import Activity
    from swarmd.core.queries.explain import Hindrance, Link, Trace

_NUMBERS: Final = ("tier", "incarnation", "lease")
_LISTS: Final = ("privileges", "grants", "stopped")  # parted by spaces
_OBJECTS: Final = (
    "data",
    "budget",
    "charter",
    "files",
    "asked_files",
    "result_files",
    "spent",
    "later",
    "crashes",
)


def agent_value(agent: AgentView, account: AccountView | None = None) -> dict[str, Any]:
    """An agent for `--json`: ids are strings, counts numbers, JSON within the hash is unpacked."""
    value = _value(agent_fields(agent), account)
    value |= {name: value[name].split() for name in _LISTS if name in value}
    return value if agent.activity is None else value | _activity_value(agent.activity)


def _activity_value(doing: Activity) -> dict[str, Any]:
    return {
        "call": doing.call or None,
        "activity_seconds": None if doing.seconds is None else round(doing.seconds, 1),
        "waits": doing.waits or None,
        "waits_for": doing.waits_for or None,
        "waits_seconds": None if doing.left is None else round(doing.left, 1),
    }


def agent_fields(agent: AgentView) -> dict[str, str]:
    """All that is stored of an agent, with its state as it is now and what it does, as texts."""
    fields = dict(agent.fields)
    doing = agent.activity
    if doing is None:
        return fields
    fields |= {"state": agent.state, "reason": agent.reason}
    if not agent.is_terminated:
        fields["stopped"] = " ".join(agent.stopped)
    seconds = "" if doing.seconds is None else f"{doing.seconds:.1f}"
    return fields | {
        "activity": str(doing.word),
        "call": doing.call,
        "activity_seconds": seconds,
        "waits": doing.waits,
    }


def mission_value(mission: MissionView, account: AccountView | None = None) -> dict[str, Any]:
    return _value(mission.fields, account) | {"stopped": list(mission.stopped)}


def _value(fields: Mapping[str, str], account: AccountView | None) -> dict[str, Any]:
    value: dict[str, Any] = {name: unpacked(name, text) for name, text in fields.items()}
    if account is not None:
        value["ledger"] = account_value(account)
    return value


def total_value(totals: Mapping[str, Mapping[str, int]], id: str) -> dict[str, Any]:
    """What is spent with all below, for `--json`, under the name that the tree has for it."""
    return {"spent": {"subtree": dict(totals.get(id, {}))}}


def account_value(account: AccountView) -> dict[str, Any]:
    """An account for `--json`: its kinds, and beside them its marks."""
    return {**account.kinds, **account.marks}


def entry_value(channel: str, id: str, flat: Mapping[str, str]) -> dict[str, Any]:
    """A stream's entry for `--json`, whoever wrote it."""
    return {"id": id, "channel": channel} | {
        name: unpacked(name, text) for name, text in flat.items()
    }


def unpacked(name: str, text: str) -> Any:
    """What the field means, where that is certain; else the text as it is stored."""
    if name == "deadline":
        return iso(text)
    if name in _NUMBERS and text.lstrip("-").isdecimal():
        return int(text)
    if name in _OBJECTS and text[:1] in ("{", "["):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def iso(seconds: str | float) -> str:
    """Seconds since the epoch as ISO-8601 UTC, empty where there is no such time."""
    try:
        at = float(seconds)
        return (
            datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
            if at
            else ""
        )
    except (ValueError, OverflowError, OSError):
        return ""


def branch_value(branch: Branch) -> dict[str, Any]:
    """A branch for `--json`."""
    record = branch.record
    is_mission = isinstance(record, MissionView)
    value = mission_value(record) if isinstance(record, MissionView) else agent_value(record)
    return value | {
        "spent": {"own": dict(branch.own), "subtree": dict(branch.whole)},
        **branch.account.marks,
        "executives" if is_mission else "children": [branch_value(child) for child in branch.below],
    }


def spender_value(branch: Branch) -> dict[str, Any]:
    """A living agent for `--json`, with what it has spent by itself."""
    assert isinstance(branch.record, AgentView)
    return agent_value(branch.record, branch.account) | {"spent": dict(branch.own)}


def stop_value(stop: Stop) -> dict[str, Any]:
    """A stop for `--json`."""
    return {
        "target": stop.target,
        "kind": stop.kind.value,
        "by": stop.by,
        "authority": stop.authority.name.lower(),
        "reason": stop.reason,
        "rule": stop.rule,
        "at": iso(stop.at),
        "until": iso(stop.until),
    }


def stop_values(marks: Marks) -> list[dict[str, Any]]:
    """Every stop in force for `--json`, the oldest first, and the ends under way, whose kind is
    `terminate`.
    """
    found = [(stop.at, stop_value(stop)) for stop in marks.stops.values()]
    found += [(fence.at, _fence_value(fence)) for fence in marks.fences.values()]
    return [value for _, value in sorted(found, key=lambda one: (one[0], one[1]["target"]))]


def _fence_value(fence: Fence) -> dict[str, Any]:
    return {
        "target": fence.segment,
        "kind": "terminate",
        "by": fence.by,
        "authority": "",
        "reason": fence.reason,
        "rule": "",
        "at": iso(fence.at),
        "until": "",
    }


def brake_value(brake: Brake) -> dict[str, Any]:
    """The halt that a data folder holds, as a stop for `--json`."""
    return {
        "target": EVERYTHING,
        "kind": "brake",
        "by": brake.by,
        "authority": "operator",
        "reason": brake.reason,
        "rule": "",
        "at": iso(brake.at),
        "until": "",
    }


def revocation_value(mark: Revocation) -> dict[str, Any]:
    """A revocation for `--json`."""
    return {
        "privilege": mark.path,
        "right": mark.right,
        "at_agent": mark.segment,
        "by": mark.by,
        "at": mark.at,
        "reason": mark.reason,
        "number": mark.number,
    }


def trace_value(found: Trace, in_the_way: Sequence[Hindrance]) -> dict[str, Any]:
    """What `why` found, for `--json`."""
    broken = found.broken
    return {
        "held": found.is_held,
        "chain": [_link_value(link) for link in found.links],
        "broken": broken.agent.id if broken is not None else None,
        "hindrances": [_hindrance_value(no) for no in in_the_way],
    }


def _hindrance_value(no: Hindrance) -> dict[str, Any]:
    return {
        "rule": no.rule.value,
        "target": no.target,
        "by": no.by,
        "reason": no.reason,
        "at": iso(no.at),
        "until": iso(no.until),
    }


def _link_value(link: Link) -> dict[str, Any]:
    return {
        "agent": link.agent.id,
        "name": link.agent.name,
        "right": link.right,
        "privilege": link.held.path if link.held else None,
        "number": link.held.number if link.held else None,
        "by": link.given_by,
        "at": link.given_at,
        "revoked": revocation_value(link.cut) if link.cut is not None else None,
    }
