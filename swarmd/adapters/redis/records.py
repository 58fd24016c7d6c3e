"""Records as Redis holds them: flat hashes of text, the contract's fields first."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pydantic import ValidationError

from swarmd.core.lineage import Agent, Fence
from swarmd.core.moves import Charter
from swarmd.core.names import AgentId, AgentState, HostId, MissionId, MissionState
from swarmd.core.swarm import KINDS, ExecutiveReport, Host, Mission


def agent_fields(agent: Agent) -> list[str]:
    return [
        "id", agent.id, "name", agent.name, "role", agent.role, "tier", str(agent.tier),
        "parent", agent.parent or "", "path", "/".join(agent.path), "mission", agent.mission,
        "state", agent.state.value, "reason", agent.reason, "incarnation", str(agent.incarnation),
        "host", agent.host, "lease", str(agent.lease), "created", agent.created, "ended", agent.ended,
        "key", agent.key, "privileges", " ".join(agent.privileges),
        "charter", agent.charter.model_dump_json(exclude_defaults=True) if agent.charter else "",
    ]  # fmt: skip


def moving_fields(agent: Agent) -> list[str]:
    """The fields that change in an agent's life."""
    return [
        "state", agent.state.value, "reason", agent.reason, "incarnation", str(agent.incarnation),
        "host", agent.host, "lease", str(agent.lease), "ended", agent.ended,
    ]  # fmt: skip


def agent_of(record: Mapping[str, str]) -> Agent | None:
    """`None` where the record is absent or not one of ours."""
    if not record.get("id"):
        return None
    try:
        return Agent(
            id=AgentId(record["id"]), name=record["name"], role=record["role"], tier=int(record["tier"]),
            parent=AgentId(record["parent"]) if record["parent"] else None,
            path=tuple(record["path"].split("/")), mission=MissionId(record["mission"]),
            state=AgentState(record["state"]), reason=record["reason"],
            incarnation=int(record["incarnation"]), host=HostId(record["host"]), lease=int(record["lease"]),
            created=record["created"], ended=record["ended"], key=record.get("key", ""),
            privileges=tuple(record.get("privileges", "").split()),
            charter=Charter.model_validate_json(record["charter"]) if record.get("charter") else None,
        )  # fmt: skip
    except (KeyError, ValueError, ValidationError):
        return None


def mission_fields(mission: Mission) -> list[str]:
    return [
        "id", mission.id, "mission", mission.text, "state", mission.state.value, "reason", mission.reason,
        "result", mission.result, "budget", json.dumps(dict(mission.budget)), "created", mission.created,
        "ended", mission.ended, "deadline", repr(mission.deadline), "files", json.dumps(mission.files),
        "asked_files", json.dumps(mission.asked_files), "digest", mission.digest,
        "ending", mission.ending.value if mission.ending else "",
    ]  # fmt: skip


def mission_of(record: Mapping[str, str]) -> Mission | None:
    """`None` where the record is absent or damaged."""
    if not record.get("id"):
        return None
    try:
        budget: dict[str, Any] = json.loads(record["budget"])
        return Mission(
            id=MissionId(record["id"]), text=record["mission"], state=MissionState(record["state"]),
            reason=record["reason"], result=record["result"],
            budget={kind: int(budget[kind]) for kind in KINDS}, created=record["created"],
            ended=record["ended"], deadline=float(record.get("deadline") or 0),
            files=tuple(json.loads(record.get("files") or "[]")),
            asked_files=tuple(json.loads(record.get("asked_files") or "[]")),
            digest=record.get("digest", ""),
            ending=MissionState(record["ending"]) if record.get("ending") else None,
        )  # fmt: skip
    except (KeyError, ValueError, TypeError):
        return None


def fence_text(fence: Fence) -> str:
    facts = asdict(fence)
    del facts["segment"]
    return json.dumps(facts)


def fence_of(segment: str, text: str) -> Fence:
    why = json.loads(text)
    return Fence(
        segment, why["reason"], why["by"], float(why["at"]), why["order"], confirmed=why.get("confirmed", 0),
        unconfirmed=why.get("unconfirmed", 0), unreachable=why.get("unreachable", 0),
        hops=why.get("hops", 0), is_settled=why.get("is_settled", False),
    )  # fmt: skip


def report_text(report: ExecutiveReport) -> str:
    return json.dumps([report.agent, report.name, report.text, report.files, report.is_done])


def report_of(text: str) -> ExecutiveReport:
    agent, name, said, files, is_done = json.loads(text)
    return ExecutiveReport(AgentId(agent), name, said, tuple(files), is_done)


def host_text(host: Host) -> str:
    facts = {"v": 1, "id": host.id, "capacity": host.capacity, "workspace": host.workspace}
    # Not the law's business: by it a container's health check finds the worker beside it.
    return json.dumps(facts | {"hostname": os.uname().nodename})


def host_of(text: str) -> Host:
    facts = json.loads(text)
    return Host(HostId(facts["id"]), int(facts["capacity"]), str(facts["workspace"]))


def account_of(record: Mapping[str, str], amount: str) -> dict[str, int]:
    """One amount (`free`, `spent`, …) of an account's hash, by kind."""
    return {kind: int(record.get(f"{kind}.{amount}") or 0) for kind in KINDS}
