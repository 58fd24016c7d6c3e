"""What a mission survives: a server that is away, full or deaf, and processes that are killed or
sleep.

Real processes, a real server, real signals. A model server counts what was asked of it, so that a
call that is paid twice is seen. After each fault the work goes on by itself, and what was done once
stays done once.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Final

import anyio
import pytest
import redis

from swarmd.adapters.config.loader import shipped
from swarmd.adapters.redis.connection import pubsub as bell_module
from swarmd.adapters.redis.connection.connection import dial
from swarmd.adapters.redis.connection.pipeline import Pipe
from swarmd.adapters.redis.keys import Keys
from swarmd.adapters.server.embedded import EmbeddedServer
from swarmd.core.model.channels import room
from tests.e2e.beside import Campaign, Running
from tests.e2e.parts import (
    LEASE_SECONDS,
    SEATS,
    Models,
    Parts,
    assert_done_once,
    assert_paid_once,
    counting_models,
    parts,
    server_of_ours,
    whole,
)
from tests.e2e.proxy import Proxy, proxied
from tests.e2e.swarm_process import ENDED, Child, data_of, short_folder, verb


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Models]:
    with counting_models(tmp_path_factory.mktemp("models")) as counting:
        yield counting


# --- side by side ---------------------------------------------------------------------------------

# These tests wait, for leases of ten seconds above all: so many of them do so at the same time.
LOOKS: Final = 90  # calls of one turn: at a quarter of a second each they outlast two leases
CAMPAIGN: Final = Campaign[Models](at_once=5)
beside_others: Final = CAMPAIGN.test


@pytest.fixture(scope="module")
def campaign(request: pytest.FixtureRequest, models: Models) -> Iterator[Running]:
    with CAMPAIGN.running(request.session, models) as running:
        yield running


# --- the server is away -------------------------------------------------------------------------


@beside_others
def test_a_server_that_comes_late_and_sleeps_for_ten_seconds_costs_a_mission_nothing_but_time(
    models: Models,
) -> None:
    text = "What is six by seven, while the server sleeps?"
    with server_of_ours(is_started=False) as server, parts(models, server) as swarm:
        processes = [swarm.start("supervisor", is_up=False), swarm.start("worker", is_up=False)]
        for process in processes:
            process.until_said("waiting for the server")
        time.sleep(2)
        server.start()
        for process in processes:
            process.until_said("is up")
        swarm.submit("m-sleep", text)
        swarm.until_spoken("m-sleep", 4)
        server.send(signal.SIGSTOP)
        time.sleep(LEASE_SECONDS + 1)
        server.send(signal.SIGCONT)
        swarm.until_delivered("m-sleep")
        assert_done_once(swarm, "m-sleep")
        assert_paid_once(swarm, models, "m-sleep", text, cut=0)
        assert swarm.journal("host.lost") == []
        for process in processes:
            process.until_said("the server is away")
            process.until_said("the server is back")


@beside_others
def test_a_server_that_never_comes_is_a_clear_error_and_exit_5(models: Models) -> None:
    with server_of_ours(is_started=False) as server, parts(models, server) as swarm:
        started = time.monotonic()
        up = swarm.start("up", is_up=False)
        assert up.ended() == 5
        assert time.monotonic() - started > 25
        assert f"127.0.0.1:{server.port}" in up.stderr
        assert "hint: is the server running?" in up.stderr
        assert "Traceback" not in up.stderr


@beside_others
def test_a_server_that_is_killed_and_started_again_costs_a_mission_nothing_but_time(
    models: Models,
) -> None:
    text = "What is six by seven, when the server is killed?"
    with server_of_ours() as server, parts(models, server) as swarm:
        swarm.start("supervisor")
        swarm.start("worker")
        swarm.submit("m-killed", text)
        for words in (4, 10):
            swarm.until_spoken("m-killed", words)
            server.send(signal.SIGKILL)
            time.sleep(1.5)
            server.start()
        swarm.until_delivered("m-killed")
        assert_done_once(swarm, "m-killed")
        assert_paid_once(swarm, models, "m-killed", text, cut=0)
        assert swarm.journal("host.lost") == []


@beside_others
def test_up_restarts_its_own_server_and_the_mission_goes_on(models: Models) -> None:
    text = "What is six by seven, when up's own server is killed?"
    with short_folder() as data, whole(models, data) as swarm:
        up = swarm.start("up")
        swarm.submit("m-own", text)
        swarm.until_spoken("m-own", 4)
        os.kill(json.loads((data / "server.json").read_text())["pid"], signal.SIGKILL)
        up.until_said("server.restarted")
        swarm.until_delivered("m-own")
        assert_done_once(swarm, "m-own")
        assert_paid_once(swarm, models, "m-own", text, cut=0)


@beside_others
def test_lost_replies_and_resets_double_nothing(models: Models) -> None:
    """What was done and not heard of is sent again: the server knows it, and answers as it did."""
    text = "What is six by seven, over a bad line?"
    with (
        server_of_ours() as server,
        proxied(("127.0.0.1", server.port)) as line,
        parts(models, server, url=line.url) as swarm,
    ):
        line.delay = 0.005
        swarm.start("supervisor")
        swarm.start("worker")
        swarm.submit("m-line", text)
        while swarm.mission("m-line").get("state") not in ENDED:
            time.sleep(0.6)
            line.drops_replies = True
            time.sleep(0.1)
            line.reset()
            time.sleep(0.05)
            line.drops_replies = False
        swarm.until_delivered("m-line")
        assert line.opened > 20
        assert_done_once(swarm, "m-line")
        assert_paid_once(swarm, models, "m-line", text, cut=0)


async def test_a_half_open_ringing_connection_is_noticed_and_made_anew(
    server: EmbeddedServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bell_module, "PING_SECONDS", 0.2)
    monkeypatch.setattr(bell_module, "DEAF_SECONDS", 0.5)
    async with Proxy(server.socket).running() as line, anyio.create_task_group() as tasks:
        pipe, keys = Pipe(dial(server.socket)), Keys(namespace)
        bell, channel = bell_module.Bell(dial(line.url), keys), room("a")
        tasks.start_soon(pipe.run)
        tasks.start_soon(bell.run)
        async with aclosing(bell.line()) as rings:

            async def heard(text: str) -> object:
                await pipe.execute("PUBLISH", keys.channel(channel), text)
                return await rings.next(0.05)

            await rings.follow([channel])
            with anyio.fail_after(20):
                while await heard("before") != (channel, "before"):
                    pass
                line.is_half_open = True
                while (found := await heard("nobody hears this")) in (None, (channel, "before")):
                    pass
                assert found == "gap"
                line.is_half_open = False
                line.reset()
                while await heard("after") != (channel, "after"):
                    pass
        tasks.cancel_scope.cancel()


@beside_others
def test_a_mission_is_delivered_when_every_ringing_connection_is_cut_all_the_time(
    models: Models,
) -> None:
    text = "What is six by seven, when nothing rings?"
    with server_of_ours() as server, parts(models, server) as swarm:
        swarm.start("supervisor")
        swarm.start("worker")
        swarm.submit("m-quiet", text)
        cut = 0
        while swarm.mission("m-quiet").get("state") not in ENDED:
            cut += int(swarm.redis.client_kill_filter(_type="pubsub"))
            time.sleep(0.1)
        swarm.until_delivered("m-quiet")
        assert cut > 20
        assert_done_once(swarm, "m-quiet")
        assert_paid_once(swarm, models, "m-quiet", text, cut=0)


# --- the server is full -------------------------------------------------------------------------


@beside_others
def test_a_full_server_holds_the_work_up_and_loses_nothing(models: Models) -> None:
    text = "What is six by seven, when memory is full?"
    with server_of_ours() as server, parts(models, server) as swarm:
        processes = [supervisor, _] = [swarm.start("supervisor"), swarm.start("worker")]
        swarm.submit("m-memory", text)
        swarm.until_spoken("m-memory", 4)
        # Seats are called, and the worker is about to write what they answer. The supervisor may be
        # waiting for them: it is given something to write as well, which it finds when all is full.
        supervisor.process.send_signal(signal.SIGSTOP)
        swarm.redis.xadd("swarm:missions", {"id": "m-no-text"})
        swarm.redis.config_set("maxmemory", "1mb")
        supervisor.process.send_signal(signal.SIGCONT)
        with pytest.raises(redis.OutOfMemoryError):
            swarm.submit("m-refused", "not acknowledged")
        for process in processes:
            process.until_said("the server is full")
        time.sleep(LEASE_SECONDS + 1)
        swarm.redis.config_set("maxmemory", "0")
        swarm.until_delivered("m-memory")
        assert_done_once(swarm, "m-memory")
        assert_paid_once(swarm, models, "m-memory", text, cut=0)
        assert swarm.journal("host.lost") == []
        told = [data_of(fields)["state"] for fields in swarm.entries("results")]
        assert sorted(told) == ["delivered", "rejected"]
        for process in processes:
            # Told when it changes, not at each try: those were a dozen by now.
            assert 1 <= process.stderr.count("the server is back") <= 4


@contextmanager
def small_disk() -> Iterator[Path]:
    """A file system of a few megabytes."""
    with short_folder() as folder:
        words = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
        try:
            done = subprocess.run(words, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            pytest.skip("there is no mount command")
        if done.returncode != 0:
            # Root in a container may be denied it, too: then no machine of this kind can show it.
            pytest.skip(f"a file system cannot be mounted here: {done.stderr.strip()}")
        try:
            yield folder
        finally:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _fill(ballast: Path) -> None:
    with ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


@beside_others
def test_a_full_disk_holds_the_work_up_and_loses_nothing(models: Models) -> None:
    text = "What is six by seven, when the disk is full?"
    with small_disk() as data, whole(models, data) as swarm:
        up = swarm.start("up")
        swarm.submit("m-disk", text)
        swarm.until_spoken("m-disk", 4)
        ballast = data / "ballast"
        with pytest.raises(OSError, match="No space left"):
            _fill(ballast)

        def is_refused() -> bool:
            try:
                swarm.redis.set("swarm:_test", "x" * 10_000)
            except redis.RedisError as error:
                return "MISCONF" in str(error)
            return False

        swarm.until(is_refused, "the server refuses to write")
        up.until_said("the server is full")
        time.sleep(2)
        ballast.unlink()
        swarm.until_delivered("m-disk")
        assert_done_once(swarm, "m-disk")
        assert_paid_once(swarm, models, "m-disk", text, cut=0)


# --- processes are killed, stopped and ended ----------------------------------------------------


def _up_is_killed(
    models: Models, id: str, text: str, has_come: Callable[[Parts], object], *, callers: int
) -> None:
    with short_folder() as data, whole(models, data) as swarm:
        first = swarm.start("up")
        swarm.submit(id, text)
        swarm.until(lambda: has_come(swarm), "the moment to kill it")
        first.process.kill()
        first.ended()
        swarm.start("up")
        swarm.until_delivered(id)
        assert_done_once(swarm, id)
        assert_paid_once(swarm, models, id, text, cut=callers)


@beside_others
def test_up_killed_in_the_debate_is_resumed_by_the_next_up_and_pays_nothing_twice(
    models: Models,
) -> None:
    text = "What is six by seven, killed in the debate?"
    _up_is_killed(
        models, "m-debate", text, lambda swarm: len(swarm.spoken("m-debate")) > 3, callers=1
    )


@beside_others
def test_up_killed_at_work_is_resumed_by_the_next_up_and_pays_nothing_twice(models: Models) -> None:
    text = "What is six by seven, killed at work?"
    _up_is_killed(
        models, "m-work", text, lambda swarm: len(swarm.agents_of("m-work")) == 2, callers=2
    )


@beside_others
def test_sigterm_drains_and_the_next_up_goes_on_at_once(models: Models) -> None:
    text = "What is six by seven, after a pause?"
    with short_folder() as data, whole(models, data) as swarm:
        first = swarm.start("up")
        swarm.submit("m-term", text)
        swarm.until_spoken("m-term", 4)
        asked_to_end = time.monotonic()
        first.process.send_signal(signal.SIGTERM)
        assert first.ended() == 143
        # The 8 s that turns are given, and the end of a process beside other load.
        assert time.monotonic() - asked_to_end < 12
        swarm.start("up")
        is_up, before = time.monotonic(), len(swarm.spoken("m-term"))
        swarm.until_spoken("m-term", before + 1)
        assert time.monotonic() - is_up < LEASE_SECONDS / 2, (
            "it waited for a lease that was given back"
        )
        swarm.until_delivered("m-term")
        assert_done_once(swarm, "m-term")
        assert_paid_once(swarm, models, "m-term", text, cut=0)


def _two_workers(swarm: Parts) -> dict[str, Child]:
    """Both workers by the id of their host."""
    swarm.start("supervisor")
    found: dict[str, Child] = {}
    for count in (1, 2):
        worker = swarm.start("worker")
        swarm.until(lambda n=count: len(swarm.journal("host.joined")) == n, "the host came")  # type: ignore[misc]  # a default binds it
        found[swarm.journal("host.joined")[-1]["host"]] = worker
    return found


def _begun_on(swarm: Parts, host: str) -> bool:
    """Whether an agent of this host has called a model and waits for the answer."""
    for key in swarm.redis.scan_iter("swarm:_steps:*"):
        begun = {name[:-2] for name in swarm.hash(key) if name.endswith(":b")}
        ended = {name[:-2] for name in swarm.hash(key) if name.endswith(":e")}
        if (
            begun - ended
            and swarm.hash(f"swarm:agent:{key.removeprefix('swarm:_steps:')}")["host"] == host
        ):
            return True
    return False


@beside_others
def test_a_killed_workers_agents_are_taken_over_within_a_lease_and_a_few_seconds(
    models: Models,
) -> None:
    text = "What is six by seven, when a worker is killed?"
    with server_of_ours() as server, parts(models, server) as swarm:
        (doomed, process), (left, _) = list(_two_workers(swarm).items())
        swarm.submit("m-taken", text)
        swarm.until(lambda: _begun_on(swarm, doomed), "it calls a model")
        killed = time.monotonic()
        process.process.kill()

        def is_taken_over() -> bool:
            gone = [data["host"] for data in swarm.journal("host.lost")]
            hosts = {swarm.hash(key)["host"] for key in swarm.redis.scan_iter("swarm:agent:*")}
            return gone == [doomed] and hosts <= {left, ""}

        swarm.until(is_taken_over, "its agents are taken over", LEASE_SECONDS + 5)
        assert time.monotonic() - killed > LEASE_SECONDS - 4, "before its lease had ended"
        swarm.until_delivered("m-taken")
        assert_done_once(swarm, "m-taken")
        assert_paid_once(swarm, models, "m-taken", text, cut=1)


@beside_others
def test_a_worker_that_sleeps_past_its_lease_and_wakes_does_nothing_twice(models: Models) -> None:
    text = "What is six by seven, when a worker sleeps?"
    with server_of_ours() as server, parts(models, server) as swarm:
        (sleeper, process), _ = list(_two_workers(swarm).items())
        swarm.submit("m-asleep", text)
        swarm.until(lambda: _begun_on(swarm, sleeper), "it calls a model")
        process.process.send_signal(signal.SIGSTOP)
        swarm.until(lambda: swarm.journal("host.lost"), "it is declared dead", LEASE_SECONDS + 10)
        process.process.send_signal(signal.SIGCONT)
        swarm.until_delivered("m-asleep")
        assert_done_once(swarm, "m-asleep")
        assert_paid_once(swarm, models, "m-asleep", text, cut=1)
        came = [data["host"] for data in swarm.journal("host.joined")]
        assert came.count(sleeper) == 2, "it is welcome again"


@beside_others
def test_without_a_supervisor_no_call_begins_after_a_lease_and_the_next_one_finds_the_work_going_on(
    quick: Models,
) -> None:
    """A researcher in a long turn: it goes on for the lease, waits, and ends its turn under the
    next one.
    """
    assert quick.url, "not asked: its researchers report at once"
    text = "What is six by seven, when nobody leads?"
    with (
        short_folder() as folder,
        counting_models(folder, looks=LOOKS) as models,
        server_of_ours() as server,
        parts(models, server) as swarm,
    ):
        swarm.environment["SWARMD_POLICIES"] = str(_patient_policies(folder))
        first = swarm.start("supervisor")
        swarm.start("worker")
        swarm.submit("m-alone", text)
        swarm.until(lambda: models.asked(text) > SEATS + 8, "the researcher is at work")
        first.process.kill()
        at_kill = models.asked(text)
        # The lease was renewed before the kill, and a call that begins in its last moment is sent a
        # moment later.
        time.sleep(LEASE_SECONDS + 1)
        when_over = models.asked(text)
        assert when_over > at_kill + 5, "a supervisor that is back within its lease disturbs nobody"
        time.sleep(LEASE_SECONDS)
        assert models.asked(text) == when_over
        (waiting,) = [a for a in swarm.agents_of("m-alone") if a["role"] == "researcher"]
        assert swarm.hash(f"swarm:ledger:{waiting['id']}")["calls.reserved"] == "0"
        seen = verb(swarm.environment, "ps", "--json")
        activity = {a["id"]: (a["activity"], a["waits"]) for a in json.loads(seen.stdout)["agents"]}
        assert activity[waiting["id"]] == ("waiting", "lead.none")
        assert "(lead.none)" in verb(swarm.environment, "ps").stderr
        health = verb(swarm.environment, "health")
        assert health.returncode == 7
        assert "lead.none" in health.stderr
        swarm.start("supervisor")
        swarm.until_delivered("m-alone", 120)
        assert models.asked(text) > when_over + 5
        assert_done_once(swarm, "m-alone")
        assert_paid_once(swarm, models, "m-alone", text, cut=0)
        held = [f for f in swarm.facts() if f.get("rule") == "lead.none"]
        assert [fact["agent"] for fact in held] == [waiting["id"]], "told once, by the rule"
        assert verb(swarm.environment, "health").returncode == 0


def _patient_policies(folder: Path) -> Path:
    """The shipped ones, with turns as long as `LOOKS` takes."""
    made = folder / "policies"
    shutil.copytree(shipped("policies"), made)
    limits = (made / "limits.yaml").read_text(encoding="utf-8")
    bounds = r"^(thoughts_max|functions_max): .*$"
    changed, count = re.subn(bounds, r"\1: 200", limits, flags=re.MULTILINE)
    assert count == 2
    (made / "limits.yaml").write_text(changed, encoding="utf-8")
    return made


@beside_others
def test_a_second_supervisor_takes_over_and_decides_nothing_twice(models: Models) -> None:
    text = "What is six by seven, when the supervisor is killed?"
    with server_of_ours() as server, parts(models, server) as swarm:
        first = swarm.start("supervisor")
        first.until_said("leading")
        second = swarm.start("supervisor")
        second.until_said("another supervisor leads")
        swarm.start("worker")
        swarm.submit("m-heir", text)
        swarm.until_spoken("m-heir", 4)
        first.process.kill()
        second.until_said("leading", LEASE_SECONDS + 5)
        swarm.until_delivered("m-heir")
        assert_done_once(swarm, "m-heir")
        assert_paid_once(swarm, models, "m-heir", text, cut=0)
        assert swarm.journal("host.lost") == []
