"""Records as Redis holds them: flat hashes of text, the contract's fields first."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pydantic import ValidationError

from swarmd.core.guards import Cut
from swarmd.core.lineage import Agent
from swarmd.core.moves import KINDS, Charter
from swarmd.core.names import AgentId, AgentState, Authority, HostId, MissionId, MissionState, Rule
from swarmd.core.privileges import Held
from swarmd.core.swarm import Approval, ExecutiveReport, Host, Mission, Override, Trouble
from swarmd.ports import Turn


def agent_fields(agent: Agent) -> list[str]:
    return [
        "id", agent.id, "name", agent.name, "role", agent.role, "tier", str(agent.tier),
        "parent", agent.parent or "", "path", "/".join(agent.path), "mission", agent.mission,
        "state", agent.state.value, "reason", agent.reason, "incarnation", str(agent.incarnation),
        "host", agent.host, "lease", str(agent.lease), "created", agent.created, "ended", agent.ended,
        "deadline", repr(agent.deadline), "crashes", json.dumps(agent.crashes) if agent.crashes else "",
        "key", agent.key, *rights_fields(agent),
        *charter_fields(agent),
    ]  # fmt: skip


def charter_fields(agent: Agent) -> list[str]:
    return [
        "charter", agent.charter.model_dump_json(exclude_defaults=True) if agent.charter else "",
        "taint", " ".join(agent.taint),
    ]  # fmt: skip


def rights_fields(agent: Agent) -> list[str]:
    later = [[held.path, held.right, held.number, held.by, held.at] for held in agent.later]
    return [
        "privileges", " ".join(agent.privileges), "grants", " ".join(agent.grants),
        "later", json.dumps(later) if later else "",
    ]  # fmt: skip


def use_pairs(agent: Agent) -> list[str]:
    """What the scripts look up: the paths that it may use, each with its number."""
    return [word for held in agent.holdings("use") for word in (held.path, str(held.number))]


def moving_fields(agent: Agent) -> list[str]:
    """The fields that change in an agent's life."""
    return [
        "state", agent.state.value, "reason", agent.reason, "incarnation", str(agent.incarnation),
        "host", agent.host, "lease", str(agent.lease), "ended", agent.ended, "parent", agent.parent or "",
        "deadline", repr(agent.deadline), "crashes", json.dumps(agent.crashes) if agent.crashes else "",
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
            grants=tuple(record.get("grants", "").split()),
            later=tuple(Held(*held) for held in json.loads(record.get("later") or "[]")),
            deadline=float(record.get("deadline") or 0), crashes=tuple(json.loads(record.get("crashes") or "[]")),
            charter=Charter.model_validate_json(record["charter"]) if record.get("charter") else None,
            taint=tuple(record.get("taint", "").split()),
        )  # fmt: skip
    except (KeyError, ValueError, TypeError, ValidationError):
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
            budget={kind: int(budget.get(kind, 0)) for kind in KINDS}, created=record["created"],
            ended=record["ended"], deadline=float(record.get("deadline") or 0),
            files=tuple(json.loads(record.get("files") or "[]")),
            asked_files=tuple(json.loads(record.get("asked_files") or "[]")),
            digest=record.get("digest", ""),
            ending=MissionState(record["ending"]) if record.get("ending") else None,
        )  # fmt: skip
    except (KeyError, ValueError, TypeError):
        return None


def trouble_text(trouble: Trouble) -> str:
    return json.dumps(asdict(trouble))


def trouble_of(text: str) -> Trouble:
    return Trouble(**json.loads(text))


def cut_fields(agent: AgentId, turn: Turn, cut: Cut, at: str) -> list[str]:
    """The fact that messages were not carried: `tell` where the recipient is to be told."""
    return [
        "fact", "refuse", "agent", agent, "step", str(turn.number), "rule", cut.rule.value, "detail", cut.detail,
        "channel", cut.channel, "to", cut.to, "count", str(cut.count), "tell", "1" if cut.is_news else "",
        "hops", str(cut.hops), "at", at,
    ]  # fmt: skip


def report_text(report: ExecutiveReport) -> str:
    return json.dumps([report.agent, report.name, report.text, report.files, report.is_done, report.taint])


def report_of(text: str) -> ExecutiveReport:
    agent, name, said, files, is_done, *taint = json.loads(text)
    return ExecutiveReport(AgentId(agent), name, said, tuple(files), is_done, tuple(*taint))


def approval_text(approval: Approval) -> str:
    facts = asdict(approval)
    del facts["id"]
    return json.dumps(facts)


def override_text(override: Override) -> str:
    facts = asdict(override)
    del facts["id"]
    return json.dumps(facts)


def override_of(id: str, text: str) -> Override:
    facts = json.loads(text)
    return Override(id=id, authority=Authority(facts.pop("authority")), **facts)


def approval_of(id: str, text: str) -> Approval:
    facts = json.loads(text)
    needs, rule = Authority(facts.pop("needs")), Rule(facts.pop("rule"))
    return Approval(id=id, needs=needs, rule=rule, **facts)


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
