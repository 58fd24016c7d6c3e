"""A restart of the server keeps the swarm, on each server that this machine has; and where one
would not, that is told.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
import redis

from swarmd.adapters.redis.connection import restart as restart_
from swarmd.adapters.redis.connection.requirements import connect_sync, demand_replay
from swarmd.adapters.redis.connection.restart import REPLAY_RULES, may_replay, restart_of
from swarmd.errors import StoreUnsuitableError
from tests.acl_server import AclServer, Program, acl_server, installed_redis, wheels_valkey
from tests.e2e.swarm_process import ENDED, child, short_folder
from tests.restart.rounds import MAY_NOTHING, Swarm, name_of, swarm_on

pytestmark = pytest.mark.timeout(300)

SERVERS: Final = ("the wheel's Valkey", "the machine's Redis")
# The mission is under way when its server goes.
# A host tells that it lives every third of its lease; both parts have a lease of ten seconds.
HEALTHY_SECONDS: Final = 20.0
WORK: Final = "Which limits bind an agent, who may end it, and how does the board decide?"


@pytest.fixture(scope="module", params=SERVERS)
def program(request: pytest.FixtureRequest) -> Program:
    found = wheels_valkey() if request.param == SERVERS[0] else installed_redis()
    if found is None:
        # On a laptop a skip; where everything has to be there, its absence is the failure.
        (pytest.fail if os.environ.get("CI") else pytest.skip)(
            "no redis-server (Debian: redis-tools)"
        )
    return found


@pytest.fixture(scope="module")
def delivered(program: Program) -> Iterator[Swarm]:
    """A swarm that has delivered a mission, and whose parts have left."""
    with swarm_on(program) as swarm:
        with swarm.parts():
            swarm.deliver("one")
        yield swarm


# --- nothing is lost ----------------------------------------------------------------------------


@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
def test_a_restarted_server_has_every_key_amount_and_entry(delivered: Swarm, *, kill: bool) -> None:
    before = delivered.look()
    assert len(before.keys) > 40
    assert sum(before.spent.values()) > 0
    assert before.verified, before.findings
    delivered.server.restart(kill=kill)
    assert before.differs(delivered.look()) == []


def test_a_backup_is_the_same_swarm_on_another_server(delivered: Swarm) -> None:
    before = delivered.look()
    delivered.server.stop()
    with short_folder() as folder:
        copy = delivered.copied(folder)
        try:
            copy.server.start()
            assert before.differs(copy.look()) == []
            with copy.parts():
                copy.deliver("two")
                assert copy.run("supervisor", "health")[0] == 0
            after = copy.look()
        finally:
            copy.server.stop()
            delivered.server.start()
    # The mission that was paid for is not done again.
    assert {name: after.spent[name] for name in before.spent if name.startswith("one ")} == {
        name: n for name, n in before.spent.items() if name.startswith("one ")
    }
    assert after.results == before.results + 1
    assert after.verified, after.findings


def test_a_server_killed_in_the_middle_of_a_mission_loses_nothing_of_it(program: Program) -> None:
    with swarm_on(program) as swarm:
        with swarm.parts() as (supervisor, _):
            assert swarm.run("submitter", "submit", WORK, "--id", "cut")[0] == 0
            _until_at_work(swarm, "cut")
            spent = swarm.look().spent
            swarm.server.restart(kill=True)
            code, _, said = swarm.run("submitter", "submit", WORK, "--id", "cut", "--wait")
            assert code == 0, said + supervisor.stderr
            _until_healthy(swarm)
        after = swarm.look()
        assert after.results == 1
        assert after.verified, after.findings
        assert all(after.spent[name] >= n for name, n in spent.items())


def _until_healthy(swarm: Swarm) -> None:
    """Its parts have told the server anew that they are there."""
    ends = time.monotonic() + HEALTHY_SECONDS
    while (found := swarm.run("supervisor", "health"))[0] != 0:
        assert time.monotonic() < ends, found


def _until_at_work(swarm: Swarm, mission: str) -> None:
    with swarm.server.client("admin") as admin:
        while True:
            state = str(admin.hget(f"swarm:mission:{mission}", "state") or "")
            assert state not in ENDED, "it ended before anybody could break in on it"
            if state == "working":
                return


def test_nobody_gets_in_without_a_user(delivered: Swarm) -> None:
    """The default user may do everything, and nobody can be it."""
    tries = [
        ("PING",),
        ("INFO",),
        ("EVAL", "return redis.call('KEYS', '*')", "0"),
        ("MULTI",),
        ("CLIENT", "LIST"),
        ("XADD", "swarm:missions", "*", "mission", "x"),
        ("SUBSCRIBE", "swarm:results"),
        ("ACL", "WHOAMI"),
    ]
    logins = [
        ("AUTH", "default", ""),
        ("AUTH", ""),
        ("AUTH", "default", "default"),
        ("HELLO", "3", "AUTH", "default", ""),
    ]
    with connect_sync(delivered.server.socket) as wire:
        assert {str(wire.command(*words)).partition(" ")[0] for words in tries} == {"NOAUTH"}
        for login in logins:
            assert str(wire.command(*login)).partition(" ")[0] in ("WRONGPASS", "ERR"), login
            assert str(wire.command("PING")).startswith("NOAUTH")
    with connect_sync(delivered.server.url("observer")) as wire:
        assert wire.command("RESET") == "RESET"
        assert str(wire.command("PING")).startswith("NOAUTH")


# --- what would lose it is told -----------------------------------------------------------------


def replays(server: AclServer, rules: str) -> bool:
    """What a server really does with a file that holds transactions of the swarm's, in two
    databases.
    """
    server.set_default(REPLAY_RULES)
    with server.client("admin") as admin:
        admin.flushall()
        for db in (0, 3, 0):
            admin.select(db)
            admin.eval(
                "for _, key in ipairs(KEYS) do " + EVERY_WRITE + " end", 2, "swarm:a", "swarm:b"
            )
        admin.select(0)
        before = _content(admin)
    server.set_default(rules)
    server.restart()
    with server.client("admin") as admin:
        return _content(admin) == before


# Each command that may stand in the file, so that one that is not allowed costs its transaction.
EVERY_WRITE: Final = """
redis.call('SET', key .. '1', 'x') redis.call('SET', key .. '2', 'x', 'PX', 1000000) redis.call('INCR', key .. 'n')
redis.call('SET', key .. '3', 'x') redis.call('PEXPIRE', key .. '3', 1000000)
redis.call('SET', key .. '4', 'x') redis.call('DEL', key .. '4') redis.call('SET', key .. '5', 'x') redis.call('UNLINK', key .. '5')
redis.call('SADD', key .. 's', 'x', 'y') redis.call('SREM', key .. 's', 'y')
redis.call('ZADD', key .. 'z', 1, 'x', 2, 'y') redis.call('ZREM', key .. 'z', 'y')
redis.call('HSET', key .. 'h', 'x', 1, 'y', 2) redis.call('HSETNX', key .. 'h', 'z', 1) redis.call('HDEL', key .. 'h', 'y')
redis.call('HINCRBY', key .. 'h', 'x', 5)
local id = redis.call('XADD', key .. 'x', '*', 'm', '1') redis.call('XADD', key .. 'x', '*', 'm', '2')
redis.call('XDEL', key .. 'x', id) redis.call('XTRIM', key .. 'x', 'MAXLEN', 1)
redis.call('PUBLISH', key, 'x')
"""


def _content(admin: redis.Redis) -> list[Any]:
    found: list[Any] = []
    for db in (0, 3):
        admin.select(db)
        names: Any = admin.keys("*")
        found += [(db, name, admin.type(name)) for name in sorted(names)]
    return found


RULES: Final = {
    REPLAY_RULES: True,
    "on >word ~* &* +@all": True,
    "off ~* resetchannels +@all": True,
    "off ~swarm:* +@all": True,
    "off ~* +@all -@dangerous -@admin": True,
    "off ~* +@all -@pubsub -@scripting -@blocking -config": True,
    "off ~* +@write +select": True,
    "off (~* +@all)": True,
    MAY_NOTHING: False,
    "off ~* -@all": False,
    "off resetkeys +@all": False,
    "off ~* +@all -select": False,
    "off ~* +@all -@connection": False,
    "off ~* +@all -@fast": False,
    "off ~* +@all -xadd": False,
    "off ~* +@all -@write": False,
    "off ~* +@write": False,
    "off ~app:* +@all": False,
    "on nopass ~* +@read +@connection": False,
}

# Redis 7.0 has a change of database before the transaction, where nobody asks for rights; later
# ones have it within.
KEPT_BY_REDIS_7_0: Final = {"off ~* +@all -select", "off ~* +@all -@connection", "off ~* +@write"}


@pytest.fixture(scope="module")
def plain(program: Program) -> Iterator[AclServer]:
    with short_folder() as folder, acl_server(folder, program=program) as server:
        yield server


@pytest.mark.parametrize("rules", RULES)
def test_a_default_user_is_called_good_only_where_the_server_then_keeps_everything(
    plain: AclServer, rules: str
) -> None:
    """Asked of a server that has restarted with it: what is called good loses nothing, on any
    server.
    """
    keeps = replays(plain, rules)
    with connect_sync(plain.url("supervisor")) as wire:
        restart = restart_of(wire.exchange, "swarm")
    assert restart == ("kept" if RULES[rules] else "lost")
    assert keeps or restart == "lost"
    if name_of(plain).startswith("Redis 7.0"):
        assert keeps == (RULES[rules] or rules in KEPT_BY_REDIS_7_0)


@contextmanager
def default_of(swarm: Swarm, rules: str) -> Iterator[None]:
    swarm.server.set_default(rules)
    try:
        yield
    finally:
        swarm.server.set_default(REPLAY_RULES)


def test_a_supervisor_does_not_start_where_a_restart_would_lose_the_swarm(delivered: Swarm) -> None:
    with default_of(delivered, MAY_NOTHING):
        with child(["supervisor"], delivered.environment("supervisor")) as refused:
            assert refused.ended() == 5
            assert f"ACL SETUSER default {REPLAY_RULES}" in refused.stderr
            assert "lose the swarm" in refused.stderr
            assert "Traceback" not in refused.stderr
        # A worker writes no lineage; that is the supervisor's to say.
        with child(["worker"], delivered.environment("worker")) as worker:
            worker.until_said("is up")


def test_health_tells_of_a_restart_that_would_lose_the_swarm(delivered: Swarm) -> None:
    with delivered.parts():
        assert delivered.run("supervisor", "health")[0] == 0
        with default_of(delivered, MAY_NOTHING):
            for part in ((), ("--part", "supervisor")):
                code, shown, said = delivered.run("supervisor", "health", *part)
                assert code == 7
                assert shown.startswith("unhealthy")
                assert f"ACL SETUSER default {REPLAY_RULES}" in said
            told = json.loads(delivered.run("supervisor", "health", "--json")[1])
            assert (told["restart"], told["healthy"]) == ("lost", False)
            assert delivered.run("worker", "health", "--part", "worker")[0] == 0


def test_what_a_restart_has_lost_is_told_until_somebody_acknowledges_it() -> None:
    """As it was with every swarm on these servers: the server restarts beneath parts that run
    on.
    """
    program = installed_redis()
    if program is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(
            "no redis-server (Debian: redis-tools)"
        )
    with swarm_on(program) as swarm, swarm.parts() as (supervisor, _):
        swarm.deliver("one")
        swarm.server.set_default(MAY_NOTHING)
        swarm.server.restart()
        supervisor.until_said("the server lost the end of the journal")
        swarm.server.set_default(REPLAY_RULES)
        n = _gap(swarm)
        code, _, said = swarm.run(
            "operator", "journal", "ack", str(n), "--reason", "the default user"
        )
        assert code == 0, said
        assert swarm.run("supervisor", "health")[0] == 0


def _gap(swarm: Swarm) -> int:
    deadline = time.monotonic() + 60
    while True:
        code, told, _ = swarm.run("supervisor", "health", "--json")
        if gaps := json.loads(told)["gaps"]:
            assert code == 7
            return int(gaps[0])
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_who_may_not_ask_for_the_default_user_says_not_checked(delivered: Swarm) -> None:
    """Rights of a former version, or a server that knows no ACL GETUSER."""
    with delivered.server.client("admin") as admin:
        admin.execute_command("ACL", "SETUSER", "swarm-supervisor", "-acl|getuser")  # type: ignore[no-untyped-call]  # its gap
        try:
            with delivered.parts() as (supervisor, _):
                assert "not checked: whether the server keeps the swarm" in supervisor.stderr
                for role in ("supervisor", "operator"):
                    code, _, said = delivered.run(role, "health")
                    assert code == 0
                    assert "not checked: whether the server keeps the swarm" in said
                told = json.loads(delivered.run("supervisor", "health", "--json")[1])
                assert (told["restart"], told["healthy"]) == ("not checked", True)
        finally:
            admin.execute_command("ACL", "LOAD")  # type: ignore[no-untyped-call]  # as above


def test_a_server_without_an_append_only_file_is_not_asked_for_its_default_user(
    delivered: Swarm,
) -> None:
    with default_of(delivered, MAY_NOTHING), delivered.server.client("admin") as admin:
        admin.config_set("appendonly", "no")
        try:
            demand_replay(delivered.server.url("supervisor"), "swarm")
        finally:
            admin.config_set("appendonly", "yes")
        with pytest.raises(StoreUnsuitableError, match="lose the swarm"):
            demand_replay(delivered.server.url("supervisor"), "swarm")


# --- what is asked, and what the file holds -----------------------------------------------------


def test_what_stands_in_the_file_is_what_the_default_user_is_asked_for(delivered: Swarm) -> None:
    """A command more would be one that `may_replay` does not look at."""
    with delivered.parts():  # what an earlier restart has put into the base file is no command
        delivered.deliver("written")
    named = set()
    for path in (delivered.server.folder / "appendonlydir").glob("*.incr.aof"):
        named |= _commands_in(path.read_bytes())
    assert {"hset", "xadd", "zadd"} < named
    assert named <= restart_.NEEDED | {"multi", "exec"}


def _commands_in(text: bytes) -> set[str]:
    found, at = set(), 0
    while at < len(text):
        end = text.index(b"\r\n", at)
        if text[at : at + 1] == b"#":  # an annotation with the time
            at = end + 2
            continue
        assert text[at : at + 1] == b"*"
        words, at = int(text[at + 1 : end]), end + 2
        for number in range(words):
            end = text.index(b"\r\n", at)
            size, at = int(text[at + 1 : end]), end + 2
            if number == 0:
                found.add(text[at : at + size].decode().lower())
            at += size + 2
    return found


@pytest.mark.parametrize(
    ("persistence", "user", "restart"),
    [
        (b"aof_enabled:0\r\n", None, "no append-only file"),
        (b"aof_enabled:1\r\n", None, "not checked"),
        (None, [b"commands", b"+@all", b"keys", b"~*"], "not checked"),
        (b"", [b"commands", b"+@all", b"keys", b"~*"], "not checked"),
        (b"aof_enabled:1\r\n", [b"commands", b"+@all", b"keys", b"~*"], "kept"),
        (b"aof_enabled:1\r\n", [b"commands", b"-@all", b"keys", b"~*"], "lost"),
        (b"aof_enabled:1\r\n", [b"commands", b"+@all", b"keys", b""], "lost"),
        (b"aof_enabled:1\r\n", [b"flags", [b"off"]], "lost"),
    ],
)
def test_what_a_server_answers_is_judged(persistence: Any, user: Any, restart: str) -> None:
    assert restart_.judge_restart((persistence, user), "swarm") == restart


@pytest.mark.parametrize(
    ("words", "may"),
    [
        ("~{swarm}:* +@all", True),
        ("%RW~* +@all", True),
        ("%R~* +@all", False),
        ("%W~* +@all", False),
        ("~{swarm}:?* +@all", False),
        ("~{swarm}:agent:* +@all", False),
        ("~* +@all -@unheard-of", False),
        ("~* +@all -@all +@write", False),
        ("~* -@all +@all -client|kill", True),
    ],
)
def test_rules_are_judged_in_their_order_and_for_this_swarms_keys(words: str, *, may: bool) -> None:
    assert may_replay([words.split()], "{swarm}") is may
