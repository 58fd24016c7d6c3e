"""Real processes that are killed, stopped and ended in the middle of their calls: what is paid,
and what is told of it.
"""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
from anyio.from_thread import start_blocking_portal

from swarmd.core.model.charter import SPENT_KINDS
from tests.e2e.parts import LEASE_SECONDS, Models, Parts, parts, server_of_ours
from tests.e2e.swarm_process import ENDED, Moment, SwarmProcess, unbalanced, ungranted, verb
from tests.openai_server import (
    Json,
    MissionBrain,
    OpenAIServer,
    ServerReply,
    _has_spawned,
    offered_moves,
    user_text,
)

MISSIONS: Final = 3
CALLS_AT_ONCE: Final = 64  # of three missions with 4 × 8 researchers each
KILLS: Final = 2
ENDS: Final = 4
SECONDS_MAX: Final = 120.0
SECONDS_AFTER: Final = 8.0  # of sampling, when all has been killed and ended that is to be
ANSWER_SECONDS: Final = 2.0
TOKENS_OF_AN_ANSWER: Final = 120
# These answers tell what they used; the others are refused, or end before they say.
PAID: Final = (None, "malformed", "unknown_move")
POLICIES: Final = {
    "board.yaml": """
seats: [captain-picard, socrates, king-solomon, gandhi, marcus-aurelius, tony-stark]
chair: captain-picard
quorum: 4
rounds: 0
missions_at_once: 100
""",
    "models.yaml": """
providers:
  openai:
    actions: tools
    calls_per_minute: 60000
    calls_at_once: 64
    connect_seconds: 5
    first_token_seconds: 120
    idle_seconds: 120
    total_seconds: 120
    attempts_max: 4
""",
}


@contextmanager
def swarm_of(
    brain: MissionBrain, folder: Path, **server: Any
) -> Iterator[tuple[Parts, OpenAIServer]]:
    """A swarm in parts, none of them started, on a store and a model server of its own."""
    for name, text in POLICIES.items():
        (folder / name).write_text(text, encoding="utf-8")
    mind = OpenAIServer(brain, **server)
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(mind),
        server_of_ours() as store,
        parts(Models(mind.base_url, folder / "unused"), store) as swarm,
    ):
        swarm.environment["SWARMD_POLICIES"] = str(folder)
        yield swarm, mind


def moment_of(swarm: Parts) -> Moment:
    return SwarmProcess(Path(), swarm.environment, None, swarm.redis).moment()  # type: ignore[arg-type]  # only its reads


# --- the ledger -------------------------------------------------------------------------------


class Crowd(MissionBrain):
    """A board with four executives, each with eight researchers, who think four times before
    they report.
    """

    def _propose_charter(self) -> Json:
        executives = [
            {
                "key": f"lead{n}",
                "name": f"lead{n}",
                "role": self.executive_role,
                "task": "Find the answer.",
            }
            for n in range(4)
        ]
        motion = {
            "motion": "charter",
            "executives": executives,
            "reason": "Four see more than one.",
        }
        return {"move": "propose", "motion": motion}

    def __call__(self, request: Json) -> ServerReply:
        text, offered = user_text(request), offered_moves(request)
        if (
            re.search(r"^role: executive", text, re.M)
            and "spawn" in offered
            and not _has_spawned(request)
        ):
            given = {"tokens": 80_000, "calls": 40, "tools": 10, "cost": 0, "agents": 1}
            charters = [
                {
                    "role": "researcher",
                    "name": f"digger{n}",
                    "task": "Find the answer.",
                    "budget": given,
                }
                for n in range(8)
            ]
            return ServerReply(
                [{"move": "spawn", "key": f"d{n}", "charter": c} for n, c in enumerate(charters)]
            )
        thoughts = sum(said["role"] == "assistant" for said in request["messages"])
        if _is_of_a_researcher(request) and "think" in offered and thoughts < 4:
            return ServerReply([{"move": "think", "thought": "Six by seven."}])
        return super().__call__(request)


@pytest.mark.timeout(240)
def test_the_ledger_balances_at_each_sample_while_hosts_are_killed_and_agents_ended_in_mid_call(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A tenth of all calls fails, some 64 are under way at once: each sample balances, and what
    was paid is in the account.
    """
    trouble = {
        "fault_rate": 0.1,
        "fault_kinds": ("429", "500", "malformed", "cut", "unknown_move"),
        "seed": 4,
    }
    with swarm_of(Crowd(), tmp_path, delay=ANSWER_SECONDS, **trouble) as (swarm, mind):
        swarm.start("supervisor")
        workers = [swarm.start("worker") for _ in range(3)]
        for n in range(MISSIONS):
            swarm.submit(f"m-{n}", f"What is six by seven, number {n}?")
        samples, most, killed, ended = 0, 0, 0, 0
        deadline = time.monotonic() + SECONDS_MAX
        with ExitStack() as held:
            # However slow this machine is, their calls are under way all at once.
            held.enter_context(mind.holding(_is_of_a_researcher))
            while time.monotonic() < deadline:
                moment = moment_of(swarm)
                assert unbalanced(moment.accounts) == []
                assert ungranted(moment) == []
                samples += 1
                under_way = sum(account["calls.reserved"] for account in moment.accounts.values())
                most = max(most, under_way)
                if len(moment.missions) == MISSIONS and all(
                    m["state"] in ENDED for m in moment.missions.values()
                ):
                    break
                if killed < KILLS and under_way >= CALLS_AT_ONCE // (killed + 1):
                    workers[killed].process.kill()
                    killed += 1
                    workers.append(swarm.start("worker", is_up=False))
                if killed == KILLS and ended < ENDS:
                    ended += _end_one_in_mid_call(swarm, moment)
                    if ended == ENDS:
                        held.close()
                        deadline = time.monotonic() + SECONDS_AFTER
                time.sleep(0.05)
        for id, mission in moment.missions.items():
            # What still waits for a lease to end is ended now: what it has begun has to be in the
            # account all the same.
            if mission["state"] not in ENDED:
                verb(swarm.environment, "cancel", id)
        swarm.until(
            lambda: all(swarm.mission(f"m-{n}")["state"] in ENDED for n in range(MISSIONS)),
            "all have ended",
        )
        seen = [call.fault for call in mind.calls if offered_moves(call.body)]
        root = moment_of(swarm).accounts["sob"]
        paid = TOKENS_OF_AN_ANSWER * sum(fault in PAID for fault in seen)
        with capsys.disabled():
            print(
                f"\n{len(seen)} calls, {sum(f is not None for f in seen)} failed, at most {most} "
                f"at once; {killed} workers killed, {ended} agents ended in mid-call; {samples} "
                f"samples; {paid:,} tokens paid, {root['tokens.spent']:,} in the account, of these "
                f"{root['tokens.assumed']:,} assumed"
            )
        assert (killed, ended) == (KILLS, ENDS)
        assert most >= CALLS_AT_ONCE
        assert root["calls.spent"] >= len(seen), "what the server has seen is in the account"
        assert root["tokens.spent"] >= paid
        assert all(
            root[f"{kind}.reserved"] == root[f"{kind}.overdraft"] == 0 for kind in SPENT_KINDS
        )
        assert unbalanced(swarm_accounts := moment_of(swarm).accounts) == [], swarm_accounts
        fsck = verb(swarm.environment, "fsck", "--json")
        findings = json.loads(fsck.stdout)["findings"]
        # Of what killed hosts have left beside the ledger other tests speak.
        assert [
            one for one in findings if one["fault"].startswith(("account.", "reserve."))
        ] == [], findings


def _is_of_a_researcher(request: Json) -> bool:
    return re.search(r"^role: researcher", user_text(request), re.M) is not None


def _end_one_in_mid_call(swarm: Parts, moment: Moment) -> int:
    """Orders the end of an agent whose call is under way, where there is one."""
    for id, agent in moment.agents.items():
        is_calling = id in moment.accounts and moment.accounts[id]["calls.reserved"] > 0
        if agent["state"] == "live" and agent["tier"] == "2" and is_calling:
            done = verb(swarm.environment, "terminate", id, "--timeout", "0")
            return int("ended" not in done.stderr)
    return 0


# --- a host that stands still -----------------------------------------------------------------


class Stuck(MissionBrain):
    """Each mission has an executive, and that a researcher whose call hangs."""

    def __call__(self, request: Json) -> ServerReply:
        if re.search(r"role: researcher", json.dumps(request)):
            return ServerReply(fault="hang")
        return super().__call__(request)


ORDERS: Final = ("freeze", "halt", "terminate")


@pytest.mark.timeout(180)
def test_what_is_ordered_of_agents_on_a_stopped_host_is_told_as_nobody_saw_it(
    tmp_path: Path,
) -> None:
    """The process lives and says nothing: unconfirmed while its lease does, and when that has
    ended unreachable.
    """
    with swarm_of(Stuck(), tmp_path) as (swarm, _):
        swarm.start("supervisor")
        worker = swarm.start("worker")
        for order in ORDERS:
            swarm.submit(
                f"m-{order}",
                f"What is six by seven, when a host stands still and one says {order}?",
            )
        diggers = {
            order: swarm.until(partial(_calling, swarm, f"m-{order}"), "a researcher calls")
            for order in ORDERS
        }
        worker.process.send_signal(signal.SIGSTOP)
        try:
            given = time.monotonic()
            with ThreadPoolExecutor() as hands:
                told = dict(
                    zip(ORDERS, hands.map(partial(_told, swarm, diggers), ORDERS), strict=True)
                )
            assert time.monotonic() - given < LEASE_SECONDS + 10
            for order in ORDERS:
                assert told[order]["confirmed"] == 0, "a success that nobody saw"
                # Its last renewal may have come just after the order: then the time for a host's
                # word is over first.
                assert told[order]["unconfirmed"] + told[order]["unreachable"] == 1, told
            swarm.until(
                lambda: swarm.journal("host.lost"), "its lease has ended", LEASE_SECONDS + 10
            )
            # Now nobody can say anything of them any more.
            for order in ("freeze", "halt"):
                again = verb(swarm.environment, "terminate", diggers[order], "--json")
                assert (again.returncode, json.loads(again.stdout)["unreachable"]) == (1, 1)
            for order in ORDERS:
                record = swarm.hash(f"swarm:agent:{diggers[order]}")
                assert (record["state"], "(confirmed)" in record["reason"]) == ("terminated", False)
            begun = _begun_by(swarm, set(diggers.values()))
        finally:
            worker.process.send_signal(signal.SIGCONT)
        # It wakes late: it is welcome again, and begins nothing more for them.
        swarm.until(
            lambda: len(swarm.journal("host.joined")) == 2,
            "it is welcome again",
            LEASE_SECONDS + 10,
        )
        assert _begun_by(swarm, set(diggers.values())) == begun


def _told(swarm: Parts, diggers: Mapping[str, str], order: str) -> dict[str, Any]:
    done = verb(swarm.environment, order, diggers[order], "--reason", "a closer look", "--json")
    assert done.returncode == 1, (done.stdout, done.stderr)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def _calling(swarm: Parts, mission: str) -> str | None:
    for agent in swarm.agents_of(mission):
        account = swarm.hash(f"swarm:ledger:{agent['id']}")
        if agent["tier"] == "2" and int(account.get("calls.reserved", 0)):
            return agent["id"]
    return None


def _begun_by(swarm: Parts, agents: set[str]) -> int:
    return sum(
        1 for fact in swarm.facts() if fact.get("agent") in agents and fact["fact"] == "reserve"
    )
