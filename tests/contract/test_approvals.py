"""Permission and overrides on the real scripts: kept by the store, over restarts, used once, taken
back in time.
"""

from __future__ import annotations

from typing import Any

import pytest

from swarmd.core.model.channels import ORDERS, REQUESTS, host_channel, inbox
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import Kind
from swarmd.core.model.names import FIRST, SOB, AgentId, Channel, StreamId
from swarmd.core.model.records import Approval, Override
from swarmd.core.model.tables import APPROVALS
from tests.core.control.test_agent_requests import FILE, STRICT
from tests.core.swarm_builder import MISSION
from tests.runtime.recorded import rebuilt
from tests.runtime.test_supervisor import H1, Stage, charter_motion, quiet, stage

WORKER = {"role": "worker", "name": "kid", "task": "read"}
WRITE = "tool/file/write"


async def _at_work(on: Stage) -> Agent:
    """One executive at work that says nothing by itself."""
    on.script = lambda _stage, _call: charter_motion({})
    on.silent = {MISSION}
    await on.submit()
    await quiet(on)
    (executive,) = on.sup.state.executives(MISSION)
    return executive


async def _ask(on: Stage, agent: Agent, *, key: str = "kid", **more: Any) -> None:
    await on.post(
        agent.id,
        REQUESTS,
        Kind.REQUEST,
        type="spawn",
        key=key,
        charter=WORKER | {"name": key},
        **more,
    )
    await on.sup.step()


async def _order(on: Stage, verb: str, target: str, **more: Any) -> None:
    await on.post(
        "operator", ORDERS, Kind.ORDER, order=f"o-{verb}-{target}", verb=verb, target=target, **more
    )
    await on.sup.step()


async def _override(on: Stage, kind: str, target: str, **more: Any) -> None:
    override = {"kind": kind, "target": target, "seconds": 30, "reason": "because"} | more
    await _order(on, "override", target, override=override)


def _approval(on: Stage) -> Approval:
    (approval,) = on.sup.state.approvals.values()
    return approval


def _standing(on: Stage) -> Override:
    (override,) = on.sup.state.overrides.values()
    return override


async def _answers(on: Stage, agent: Agent) -> list[str]:
    found = await on.store.read(inbox(agent.id), FIRST, 100)
    return [str(m.data.get("rule") or m.data["outcome"]) for m in found if m.kind is Kind.ANSWER]


async def _is_proved(on: Stage) -> None:
    """What the journal makes of all of it is what lives, and lawful."""
    state, auditor = rebuilt(await on.store.read_journal(FIRST, 100_000))
    assert auditor.faults == []
    assert state.records.digest == (await on.store.load(on.sup.declared)).swarm.chain.records.digest


async def test_what_waits_for_permission_is_there_after_a_restart_and_is_done_once(
    socket: str | None, namespace: str
) -> None:
    async with stage(namespace, socket=socket, taint=STRICT) as on:
        top = await _at_work(on)
        await _ask(on, top, taint=FILE)
        before = _approval(on)
        await on.start()
        assert _approval(on) == before
        await _order(on, "approve", before.id)
        await on.start()
        await _order(on, "approve", before.id)
        (kid,) = on.sup.state.lineage.children(top.id)
        assert kid.taint == ("file",)
        assert await _answers(on, top) == ["taint.permission", "created"]
        assert len(await on.journal("approval.given")) == 1
        assert (await on.journal("order.refused"))[-1].data["rule"] == "approval.unknown"
        assert (await on.store.agents([kid.id]))[0] == kid
        await _is_proved(on)


async def test_permission_that_nobody_gives_expires_also_over_a_restart(
    socket: str | None, namespace: str
) -> None:
    async with stage(namespace, socket=socket, approval_seconds=20, taint=STRICT) as on:
        top = await _at_work(on)
        await _ask(on, top, taint=FILE)
        await on.start()
        on.clock.time += 21
        await on.sup.step()
        assert not on.sup.state.approvals
        assert await _answers(on, top) == ["taint.permission", "approval.expired"]
        await _is_proved(on)


async def test_a_given_right_is_the_scripts_own_while_it_stands_and_not_after(
    socket: str | None, namespace: str
) -> None:
    async with stage(namespace, socket=socket) as on:
        top = await _at_work(on)
        use = on.store.keys.use(top.id)
        await _override(on, "grant", top.id, privilege=WRITE)
        assert await on.store.pipe.execute("HEXISTS", use, WRITE)
        await on.start()
        assert _standing(on).kind == "grant"
        on.clock.time += 31
        await on.sup.step()
        assert not await on.store.pipe.execute("HEXISTS", use, WRITE)
        assert [e.data["how"] for e in await on.journal("override.ended")] == ["lapsed"]
        await _is_proved(on)


async def test_a_replaced_task_is_in_the_record_told_and_comes_back(
    socket: str | None, namespace: str
) -> None:
    async with stage(namespace, socket=socket) as on:
        top = await _at_work(on)
        await _override(on, "task", top.id, text="another")
        (record,) = await on.store.agents([top.id])
        assert record is not None
        assert record.charter is not None
        assert record.charter.task == "another"
        assert record.lease == top.lease + 1
        placed = await on.store.read(host_channel(H1), FIRST, 100)
        assert placed[-1].data == {"agents": [top.id]}
        await on.start()
        await _override(on, "reverse", _standing(on).id)
        (record,) = await on.store.agents([top.id])
        assert record is not None
        assert record.charter is not None
        assert record.charter.task == "t"
        await _is_proved(on)


async def test_a_recalled_message_is_gone_from_its_stream_and_comes_back_as_it_was(
    socket: str | None, namespace: str
) -> None:
    async with stage(namespace, socket=socket) as on:
        top = await _at_work(on)
        channel = inbox(top.id)
        await on.post("operator", channel, Kind.SAY, "wrong", mission=MISSION)
        found = (await on.store.read(channel, FIRST, 100))[-1]
        original = {
            "channel": channel,
            "id": found.id,
            "sender": found.sender,
            "kind": "say",
            "text": found.text,
            "mission": MISSION,
            "at": found.at,
        }
        await _override(on, "message", f"{channel} {found.id}", original=original, text="right")
        left = await on.store.read(channel, FIRST, 100)
        assert found.id not in {m.id for m in left}
        assert left[-1].data["recalled"] == found.id
        await on.start()
        on.clock.time += 31
        await on.sup.step()
        again = (await on.store.read(channel, FIRST, 100))[-1]
        assert (again.sender, again.kind, again.text) == ("operator", Kind.SAY, "wrong")
        await _is_proved(on)


async def test_an_allowed_spawn_is_paid_by_who_asked_and_ends_with_its_override(
    socket: str | None, namespace: str
) -> None:
    async with stage(namespace, socket=socket) as on:
        top = await _at_work(on)
        given = WORKER | {"privileges": [WRITE]}
        await on.post(top.id, REQUESTS, Kind.REQUEST, type="spawn", key="kid", charter=given)
        await on.sup.step()
        (refusal,) = await on.journal("request.refused")
        (asked,) = await on.store.read(REQUESTS, _before(refusal.data["request"]), 1)
        refused = {
            "requester": asked.sender,
            "request": dict(asked.data),
            "rule": refusal.data["rule"],
        }
        free = (await on.store.records.free(top.id))["tokens"]
        await _override(on, "spawn", refusal.id, refused=refused)
        (kid,) = on.sup.state.lineage.children(top.id)
        assert (await on.store.records.free(top.id))["tokens"] < free
        assert await on.store.pipe.execute("HEXISTS", on.store.keys.use(kid.id), WRITE)
        on.clock.time += 31
        await quiet(on, 8)
        assert on.sup.state.lineage.get(kid.id) is None
        assert (await on.store.records.free(top.id))["tokens"] == free
        await _is_proved(on)


def _before(id: str) -> StreamId:
    milliseconds, _, sequence = id.partition("-")
    return StreamId(
        f"{milliseconds}-{int(sequence) - 1}" if int(sequence) else f"{int(milliseconds) - 1}-9999"
    )


async def test_nobodys_hand_in_what_waits_makes_another_thing_of_it(namespace: str) -> None:
    async with stage(namespace, taint=STRICT) as on:
        top = await _at_work(on)
        await _ask(on, top, taint=FILE)
        id, key = _approval(on).id, on.store.keys.rows(APPROVALS)
        text = await on.store.pipe.execute("HGET", key, id)
        await on.store.pipe.execute("HSET", key, id, text.replace("worker", "manager"))
        await on.start()
        await _order(on, "approve", id)
        assert on.sup.state.lineage.children(top.id) == ()
        assert (await on.journal("approval.given"))[-1].data["outcome"] == "refused"


@pytest.mark.parametrize("by", ["sob", "nobody"])
async def test_permission_by_whoever_it_is_not_takes_an_ancestor(namespace: str, by: str) -> None:
    async with stage(namespace, taint=STRICT) as on:
        top = await _at_work(on)
        await _ask(on, top, taint=FILE)
        act = {"verb": "approve", "target": _approval(on).id, "reason": "r"}
        for sender in (top.id, AgentId(by), SOB):
            await on.post(sender, Channel(REQUESTS), Kind.REQUEST, type="act", act=act)
        await on.sup.step()
        assert _approval(on).answer == ""
        await _is_proved(on)
