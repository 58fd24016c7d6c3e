"""The users of Redis, on a server of their own: every role, every key, every channel, alone and
through scripts.

What is expected is written down here once more, from the design and not from `policies/acl.yaml`:
the letters say who may read (R) and write (W) a key, hear (H) a channel and ring it (P).
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import anyio
import pytest
import redis

from swarmd import adapters
from swarmd.adapters.redis import acl
from swarmd.adapters.redis.connection.connection import dial
from swarmd.adapters.redis.connection.pipeline import Pipe
from swarmd.adapters.redis.connection.requirements import connect_sync
from swarmd.adapters.redis.keys import (
    WORKER_READS,
    Keys,
    channel_names,
    key_names,
    shared_names,
)
from swarmd.adapters.redis.lua import script
from swarmd.adapters.redis.rate_limit import RedisPace
from swarmd.cli.main import main
from swarmd.cli.verbs.acl import policy_of
from swarmd.core.model.tables import TABLES
from swarmd.errors import StoreUnsuitableError
from swarmd.settings import Settings
from tests.acl_server import AclServer, acl_server
from tests.contract.test_store import open_store

ROLES: Final = ("submitter", "observer", "operator", "worker", "supervisor", "admin")

KEYS: Final[dict[str, tuple[str, str, str, str]]] = {
    # of:          submitter observer operator worker
    # The contract.
    "missions": ("RW", "", "R", ""),
    "results": ("R", "R", "R", ""),
    "room:*": ("", "", "RW", "RW"),
    "down:*": ("", "", "R", "RW"),
    "up:*": ("", "", "R", "RW"),
    "inbox:*": ("", "", "RW", "RW"),
    "orders": ("", "", "RW", ""),
    "requests": ("", "", "R", "RW"),
    "dead": ("", "", "R", "RW"),
    "journal": ("R", "R", "R", ""),
    "agent:*": ("R", "R", "R", "R"),
    "children:*": ("R", "R", "R", "R"),
    "ledger:*": ("R", "R", "R", "RW"),
    "mission:*": ("R", "R", "R", "R"),
    "task:*": ("R", "R", "R", "R"),
    # Asked for by every script on a cluster; it never is.
    "_never": ("", "", "R", "R"),
    # What the supervisor writes before it asks whether replicas have all of it.
    "_confirmed": ("", "", "R", ""),
    # The supervisor's own: its lead, its positions, what is in its hand. Where nobody leads,
    # workers begin no call.
    "_supervisor": ("R", "", "R", "R"),
    "_fencing": ("", "", "R", ""),
    "_positions": ("", "", "R", ""),
    "_heard": ("", "", "R", ""),
    "_journal": ("", "", "R", ""),
    "_troubles": ("", "", "R", ""),
    "_board:*": ("", "", "R", ""),
    "_quarantine:*": ("", "", "R", ""),
    "_reports:*": ("", "", "R", ""),
    "_tasks:*": ("", "", "R", ""),
    "_approvals": ("", "", "R", ""),
    "_overrides": ("", "", "R", ""),
    "_forgettings": ("", "", "R", ""),
    "_agents": ("", "", "R", ""),
    "_missions": ("", "", "R", ""),
    "_ended": ("", "", "R", ""),
    # What it says to hosts, and what a host must know before an agent acts.
    "_meta": ("", "", "R", "R"),
    "_fences": ("R", "", "R", "R"),
    "_stops": ("R", "", "R", "R"),
    "_revocations": ("", "", "R", "R"),
    "_use:*": ("", "", "R", "R"),
    "_holds": ("", "", "R", "R"),
    "_placed:*": ("", "", "R", "R"),
    # The hosts' own, and the bus.
    "_hosts": ("", "", "R", "RW"),
    "_host:*": ("", "", "R", "RW"),
    "_workspace": ("", "", "R", "RW"),
    "_state:*": ("", "", "R", "RW"),
    "_steps:*": ("", "", "R", "RW"),
    "_lent:*": ("", "", "R", "RW"),
    "_facts": ("", "", "R", "W"),
    "_ends": ("", "", "RW", "RW"),
    "_heads": ("", "", "RW", "RW"),
    "_posts": ("", "", "RW", "RW"),
    "_once:*": ("", "", "RW", "RW"),
    # What the hosts keep together towards a provider of models.
    "_pace:*": ("", "", "R", "RW"),
    "_starts:*": ("", "", "R", "RW"),
}

CHANNELS: Final[dict[str, tuple[str, str, str, str]]] = {
    "missions": ("P", "", "H", ""),
    "results": ("H", "H", "H", ""),
    "journal": ("H", "H", "H", ""),
    "orders": ("", "", "HP", ""),
    "requests": ("", "", "H", "P"),
    "dead": ("", "", "H", "P"),
    "room:*": ("", "", "HP", "HP"),
    "inbox:*": ("", "", "HP", "HP"),
    "down:*": ("", "", "H", "HP"),
    "up:*": ("", "", "H", "HP"),
    "_placed:*": ("", "", "", "H"),
}

LINEAGE: Final = ("agent:x", "children:x", "_agents")
NEVER_A_WORKERS: Final = (
    *LINEAGE,
    "_use:x",
    "_holds",
    "_revocations",
    "_fences",
    "_stops",
    "mission:x",
    "_missions",
    "missions",
    "journal",
    "orders",
    "results",
    "_positions",
    "_heard",
    "_journal",
    "_troubles",
    "_supervisor",
    "_fencing",
    "_board:x",
    "_reports:x",
    "_ended",
    "_meta",
    "_approvals",
    "_forgettings",
    "_overrides",
)

# What a command does with its key: reads it (R), writes it (W), or cannot do one without the other
# (RW).
READING: Final[dict[tuple[str, ...], str]] = {
    ("GET",): "R",
    ("HGETALL",): "R",
    ("HGET", "f"): "R",
    ("HKEYS",): "R",
    ("SMEMBERS",): "R",
    ("XRANGE", "-", "+"): "R",
    ("XREVRANGE", "+", "-"): "R",
    ("XINFO", "STREAM"): "R",
    ("ZRANGE", "0", "-1"): "R",
}
POSTING: Final = {("XADD", "*", "m", "{}"): "W"}
POSTED: Final = {
    ("HSET", "f", "v"): "W",
    ("ZADD", "1", "m"): "W",
    ("INCR",): "RW",
    ("SET", "v"): "W",
}
WORKING: Final = {
    ("DEL",): "W",
    ("HSET", "f", "v"): "W",
    ("HSETNX", "f", "v"): "W",
    ("HDEL", "f"): "W",
    ("HINCRBY", "f", "1"): "RW",
    ("SADD", "m"): "W",
    ("SREM", "m"): "W",
    ("ZREM", "m"): "W",
}
COMMITTING: Final = {
    ("UNLINK",): "W",
    ("XTRIM", "MAXLEN", "1"): "W",
    ("XDEL", "1-0"): "W",
    ("PEXPIRE", "100000"): "W",
    # What holds something else than ours is set aside, not deleted.
    ("RENAME", "swarm:_host:y"): "RW",
}
# With a right to the key, nobody but an administrator may send these.
NOBODYS: Final[dict[tuple[str, ...], str]] = {
    ("RESTORE", "0", "x"): "W",
    ("SORT",): "R",
    ("DUMP",): "R",
    ("COPY", "swarm:_host:y"): "R",
    ("XGROUP", "DESTROY", "g"): "W",
    ("PERSIST",): "W",
    ("GETDEL",): "RW",
}
# Their key stands behind a second word.
CONTAINERS: Final = ("XGROUP", "XINFO")
EVERY: Final = READING | POSTING | POSTED | WORKING | COMMITTING | NOBODYS
SENDS: Final[dict[str, dict[tuple[str, ...], str]]] = {
    "submitter": READING | POSTING,
    "observer": READING,
    "operator": READING | POSTING | POSTED,
    "worker": READING | POSTING | POSTED | WORKING,
    "supervisor": READING | POSTING | POSTED | WORKING | COMMITTING,
    "admin": EVERY,
}
RUN_SCRIPTS: Final = ("operator", "worker", "supervisor", "admin")


def held(table: dict[str, tuple[str, str, str, str]], name: str, role: str) -> str:
    """The letters of a role; supervisor and administrator hold all of the namespace."""
    return table[name][ROLES.index(role)] if role in ROLES[:4] else "RWHP"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AclServer]:
    with acl_server(tmp_path_factory.mktemp("a")) as serving:
        yield serving


@pytest.fixture(params=ROLES)
def role(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@dataclass(frozen=True, slots=True)
class Try:
    """One command on one key, and whether it is to be let through."""

    words: tuple[str, ...]
    is_allowed: bool


def tries(role: str, namespace: str = "swarm") -> list[Try]:
    """Each key of the table with each command: those that write last, so that what is there is
    read first.
    """
    found = []
    for words, needs in EVERY.items():
        for name in KEYS:
            key = f"{namespace}:{name.replace('*', 'x')}"
            may = words in SENDS[role] and set(needs) <= set(held(KEYS, name, role))
            command = (
                (words[0], words[1], key, *words[2:])
                if words[0] in CONTAINERS
                else (words[0], key, *words[1:])
            )
            found.append(Try(command, may and namespace == "swarm"))
    return found


def answers(client: redis.Redis, commands: Sequence[Sequence[str]]) -> list[Any]:
    pipe = client.pipeline(transaction=False)
    for command in commands:
        pipe.execute_command(*command)  # type: ignore[no-untyped-call]  # redis-py's gap
    found: list[Any] = pipe.execute(raise_on_error=False)
    return found


def is_denied(answer: object) -> bool:
    """Alone, or by a script: as Redis 7.0 says it, and as later servers do."""
    said = "ACL failure in script", "user executing the script can't"
    return isinstance(answer, redis.exceptions.NoPermissionError) or (
        isinstance(answer, redis.exceptions.ResponseError)
        and any(words in str(answer) for words in said)
    )


def mistaken(asked: Sequence[Try], answered: Sequence[object]) -> list[str]:
    return [
        (
            f"{' '.join(one.words)} is {'allowed' if one.is_allowed else 'denied'} in the table, "
            f"but: {answer!r}"
        )
        for one, answer in zip(asked, answered, strict=True)
        if one.is_allowed == is_denied(answer)
    ]


# --- the matrix ---------------------------------------------------------------------------------


def test_the_tables_of_this_test_name_every_key_and_channel_there_is() -> None:
    assert (set(KEYS), set(CHANNELS)) == (set(key_names()), set(channel_names()))


def test_each_role_may_do_with_each_key_what_the_design_says(guarded: AclServer, role: str) -> None:
    asked = tries(role)
    with guarded.client(role) as client:
        assert mistaken(asked, answers(client, [one.words for one in asked])) == []


def test_a_script_may_do_what_its_caller_may_and_no_more(guarded: AclServer, role: str) -> None:
    """The keys are declared as ours are, and once more undeclared."""
    run = "return redis.call(unpack(ARGV))"
    asked = [
        Try(("EVAL", run, *keys, *one.words), one.is_allowed and role in RUN_SCRIPTS)
        for one in tries(role)
        for keys in (("1", one.words[2 if one.words[0] in CONTAINERS else 1]), ("0",))
    ]
    with guarded.client(role) as client:
        assert mistaken(asked, answers(client, [one.words for one in asked])) == []


def test_each_role_hears_and_rings_what_the_design_says(guarded: AclServer, role: str) -> None:
    asked = [
        Try(
            ("PUBLISH", f"swarm:{name.replace('*', 'x')}", "ring"),
            "P" in held(CHANNELS, name, role),
        )
        for name in CHANNELS
    ]
    asked += [
        Try(
            ("EVAL", "return redis.call('PUBLISH', KEYS[1], 'ring')", "1", one.words[1]),
            one.is_allowed,
        )
        for one in asked
        if role in RUN_SCRIPTS
    ]
    with guarded.client(role) as client:
        assert mistaken(asked, answers(client, [one.words for one in asked])) == []
        for name in CHANNELS:
            hears = "H" in held(CHANNELS, name, role)
            assert may_hear(client, "SUBSCRIBE", f"swarm:{name.replace('*', 'x')}") == hears, name
            # A pattern has to stand in the rules word for word: theirs is that of the whole
            # namespace.
            is_whole = role in ("supervisor", "admin")
            assert may_hear(client, "PSUBSCRIBE", f"swarm:{name}") == (hears and not is_whole), name
        assert may_hear(client, "PSUBSCRIBE", "swarm:*") == is_whole
        assert not may_hear(client, "PSUBSCRIBE", "*")


def may_hear(client: redis.Redis, verb: str, channel: str) -> bool:
    with client.pubsub() as pubsub:  # type: ignore[no-untyped-call]  # redis-py's gap
        pubsub.execute_command(verb, channel)
        try:
            answer = pubsub.parse_response()
        except redis.exceptions.NoPermissionError:
            return False
        assert answer[0] == verb.lower()
        return True


def test_another_swarm_on_the_server_is_out_of_reach(guarded: AclServer, role: str) -> None:
    asked = tries(role, "swarm2")
    with guarded.client(role) as client:
        assert mistaken(asked, answers(client, [one.words for one in asked])) == []
        assert is_denied(answers(client, [("PUBLISH", "swarm2:missions", "x")])[0])


def test_nobody_but_an_administrator_may_send_a_dangerous_command(guarded: AclServer) -> None:
    """What the server itself calls dangerous or an administrator's, and what walks through all
    keys.
    """
    with guarded.client("admin") as admin:
        cats = answers(admin, [("ACL", "CAT", "dangerous"), ("ACL", "CAT", "admin")])
        named = {str(command) for cat in cats for command in cat}
        named |= {
            "keys",
            "scan",
            "script|flush",
            "script|kill",
            "function|load",
            "fcall",
            "flushdb",
            "randomkey",
        }
        # It changes nothing, and each connection asks by it whether it has found the primary.
        named.remove("role")
        for role in ROLES[:-1]:
            may = {command for command in named if may_send(admin, f"swarm-{role}", command)}
            wanted: dict[str, set[str]] = {
                "submitter": set(),
                "observer": set(),
                "worker": {"info"},
                "supervisor": {"info", "scan", "acl|getuser"},
            }
            assert may == wanted.get(role, {"info", "scan"}), role


def may_send(admin: redis.Redis, user: str, command: str) -> bool:
    """Asked of the server, for one does not try SHUTDOWN. Its keys are not what is asked for."""
    (about,) = answers(admin, [("COMMAND", "INFO", command)])
    arity = (
        abs(next(iter(about.values()))["arity"]) if isinstance(about, dict) else abs(about[0][1])
    )
    words = [*command.split("|"), *["swarm:x"] * arity][:arity]
    (said,) = answers(admin, [("ACL", "DRYRUN", user, *words)])
    assert isinstance(said, str), f"{words}: {said!r}"
    return re.search(r"permissions? to run", said) is None


def test_the_default_user_may_not_even_log_in(guarded: AclServer) -> None:
    with (
        redis.Redis(unix_socket_path=str(guarded.socket)) as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.ping()


# --- a worker gone bad --------------------------------------------------------------------------

TAMPERING: Final = {
    "by a hash": "redis.call('HSET', KEYS[1], 'state', 'live')",
    "by a set": "redis.call('SADD', KEYS[1], 'a-mine')",
    "by an entry": "redis.call('XADD', KEYS[1], '*', 'kind', 'order')",
    "by a value": "redis.call('SET', KEYS[1], '9:mine')",
    "by deleting": "redis.call('DEL', KEYS[1])",
    "without a word of the key": "redis.call('HSET', 'swarm:' .. ARGV[1], 'state', 'live')",
    "and hiding the error": "redis.pcall('DEL', KEYS[1]); return redis.call('SET', KEYS[1], 'x')",
}


@pytest.mark.parametrize("name", NEVER_A_WORKERS)
def test_no_script_of_a_worker_writes_lineage_law_journal_or_orders(
    guarded: AclServer, name: str
) -> None:
    key = f"swarm:{name}"
    with guarded.client("admin") as admin, guarded.client("worker") as worker:
        admin.delete(key)
        for how, script in TAMPERING.items():
            with pytest.raises(redis.exceptions.ResponseError) as caught:
                worker.eval(script, 1, key, name)
            assert is_denied(caught.value), how
        worker_sha = worker.script_load(TAMPERING["by a value"])
        with pytest.raises(redis.exceptions.ResponseError) as caught:
            worker.evalsha(worker_sha, 1, key)
        assert is_denied(caught.value)
        assert admin.exists(key) == 0


async def test_what_a_user_may_not_do_is_told_in_our_words(guarded: AclServer) -> None:
    pipe = Pipe(dial(guarded.url("worker")))
    running = asyncio.create_task(pipe.run())
    for words in (
        ("GET", "swarm:_positions"),
        ("EVAL", "return redis.call('GET', 'swarm:_positions')", "0"),
    ):
        with pytest.raises(StoreUnsuitableError, match="user may not") as caught:
            await pipe.execute(*words)
        assert "swarmd acl" in caught.value.hint
    running.cancel()
    await asyncio.wait([running])


# --- the policy ---------------------------------------------------------------------------------


def test_every_key_is_the_supervisors_and_is_spoken_of_for_workers(tmp_path: Path) -> None:
    policy = policy_of(Settings(data=tmp_path))
    assert (policy.roles["supervisor"].reads, policy.roles["supervisor"].writes) == (("*",), ("*",))
    worker = policy.roles["worker"]
    # Of tables each says itself who reads it, and nobody but the supervisor writes one.
    assert worker.tables == "workers"
    tables = {table.pattern for table in TABLES if not table.prefix}
    spoken_of = {*worker.reads, *worker.writes, *worker.never}
    assert spoken_of | tables == set(key_names())
    assert not spoken_of & tables


def test_every_key_of_the_store_is_among_the_names() -> None:
    """Each builder of a key, called with an id, makes a key that a name stands for."""
    keys, names = Keys("swarm"), key_names()
    members = {
        name: member
        for name, member in vars(Keys).items()
        if name not in ("prefix", "channel", "channel_of", "rows")
    }
    built = [
        getattr(keys, name) for name, member in members.items() if isinstance(member, property)
    ]
    built += [
        getattr(keys, name)("x")
        for name, member in members.items()
        if callable(member) and name[0] != "_"
    ]
    built += [keys.rows(table, "x") for table in TABLES]
    assert len(built) > 20
    missing = [key for key in built if key.removeprefix("swarm:").replace(":x", ":*") not in names]
    assert missing == []


def test_no_rule_names_a_command_that_the_oldest_servers_do_not_know(
    guarded: AclServer, tmp_path: Path
) -> None:
    """Redis refuses to start on an aclfile with one."""
    groups = policy_of(Settings(data=tmp_path)).commands.values()
    named = sorted({command for group in groups for command in group} - {"@all"})
    with connect_sync(guarded.url("admin")) as wire:
        newer = [name for name in named if since(wire.command("COMMAND", "DOCS", name)) > (7, 0, 0)]
    assert newer == []


def since(told: Any) -> tuple[int, ...]:
    """Of `COMMAND DOCS` of one command: its name, and names and values in turn."""
    facts = dict(zip(told[1][::2], told[1][1::2], strict=True))
    return tuple(int(part) for part in facts[b"since"].split(b"."))


RUN_BY: Final = {
    # A supervisor's user runs all of them: `swarmd up` is a worker, too.
    "begin": ("worker", "supervisor"),
    "commit": ("worker", "supervisor"),
    "end": ("worker", "supervisor"),
    "attempt": ("worker", "supervisor"),
    "pace": ("worker", "supervisor"),
    "patience": ("worker", "supervisor"),
    "post": ("operator", "worker", "supervisor"),
    "lead": ("supervisor",),
    "supervise": ("supervisor",),
    "accounts": ("supervisor",),
    "set_aside": ("supervisor",),
    "uncounted": ("supervisor",),
}
"""The roles that run each script."""
SCRIPTS: Final = Path(adapters.__file__).parent / "redis" / "scripts"
_CALL: Final = re.compile(
    r"redis\s*\.\s*p?call\b(?:\s*\(\s*(['\"])(\w+)\1(?:\s*,\s*(['\"])(\w+)\3)?)?"
)


def commands_of(text: str) -> set[str]:
    """The commands that a script calls; each is named in its call, so that this can be known."""
    code = "\n".join(line.partition("--")[0] for line in text.splitlines())
    calls = _CALL.findall(code)
    assert all(call[1] for call in calls), "a command is chosen at run time"
    return {
        f"{name}|{second}".lower() if name in CONTAINERS else name.lower()
        for _, name, _, second in calls
    }


def commands_of_role(role: str, tmp_path: Path) -> set[str]:
    policy = policy_of(Settings(data=tmp_path))
    named = {name for group in policy.roles[role].commands for name in policy.commands[group]}
    # PUBLISH is given with the channels that a role rings.
    return named | ({"publish"} if policy.roles[role].rings else set())


def test_every_script_is_spoken_of() -> None:
    assert set(RUN_BY) == {path.stem for path in SCRIPTS.glob("[!_]*.lua")}


@pytest.mark.parametrize(
    ("name", "role"), [(name, role) for name, roles in RUN_BY.items() for role in roles]
)
def test_who_runs_a_script_may_send_each_command_within_it(
    name: str, role: str, tmp_path: Path
) -> None:
    calls = commands_of(script(name).text)
    assert calls
    assert calls - commands_of_role(role, tmp_path) == set()


@pytest.mark.parametrize("role", ["worker", "supervisor"])
async def test_the_pace_towards_a_provider_is_kept_by_each_user_that_calls_one(
    guarded: AclServer, role: str
) -> None:
    """Where a rule was missing, each process kept a pace of its own and said so once, in its
    log.
    """
    pipe = Pipe(dial(guarded.url(role)))
    running = asyncio.create_task(pipe.run())
    pace = RedisPace(pipe, Keys("swarm"), f"provider-{role}", per_minute=1, tokens_per_minute=0)
    assert (await pace.take("m", 1, 0.0)).wait_seconds == 0
    assert (await pace.take("m", 1, 1_000.0)).wait_seconds > 50
    await pace.hold("m", 5.0)
    running.cancel()
    await asyncio.wait([running])


STORE_MODULES = (
    "store",
    "session",
    "channel_store",
    "worker_store",
    "supervisor_store",
    "record_reads",
    "loading",
)


@pytest.mark.parametrize(
    ("role", "files"),
    [
        ("operator", ("redis/reader.py", "archive/fsck.py")),
        (
            "supervisor",
            (
                "redis/reader.py",
                *(f"redis/{name}.py" for name in STORE_MODULES),
                "archive/fsck.py",
            ),
        ),
    ],
)
def test_every_command_that_our_code_sends_is_in_the_rules(
    role: str, files: Sequence[str], tmp_path: Path
) -> None:
    sent = set()
    for file in files:
        text = (Path(adapters.__file__).parent / file).read_text(encoding="utf-8")
        sent |= set(re.findall(r'(?:execute\(|\[)\s*"([A-Z]{3,})"', text))
    assert len(sent) > 3
    may = {name.partition("|")[0] for name in commands_of_role(role, tmp_path)}
    assert {name.lower() for name in sent} <= may


# --- the verb -----------------------------------------------------------------------------------


@pytest.fixture
def no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith(("REDIS_", "SWARMD_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SWARMD_DATA", str(tmp_path / "data"))


pytestmark = pytest.mark.usefixtures("no_environment")


def test_generated_passwords_are_private_kept_and_never_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "users"
    assert main(["acl", "--generate", str(folder)]) == 0
    passwords = {role: (folder / role / "password").read_text().strip() for role in ROLES}
    assert len(set(passwords.values())) == len(ROLES)
    assert all(len(password) >= 40 for password in passwords.values())
    assert {stat.S_IMODE((folder / role / "password").stat().st_mode) for role in ROLES} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    rules = (folder / "users.acl").read_text()
    assert rules.splitlines()[0] == "user default off resetpass allkeys allchannels +@all"

    (folder / "users.acl").write_text("user default off\n")
    assert main(["acl", "--generate", str(folder), "--json"]) == 0
    assert {role: (folder / role / "password").read_text().strip() for role in ROLES} == passwords
    assert (folder / "users.acl").read_text() == rules
    said = capsys.readouterr()
    assert not any(password in said.out + said.err + rules for password in passwords.values())
    assert all(acl.hashed(password) in rules for password in passwords.values())


def test_printed_rules_make_the_users_on_a_server_that_has_none(
    guarded: AclServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As with a Redis of one's own: pipe what is printed into a client, then ask whether it is
    so.
    """
    word = tmp_path / "word"
    word.write_text("correct horse battery staple\n")
    monkeypatch.setenv("REDIS_URL", guarded.url("admin"))
    ours = ["--namespace", "mine"]
    assert main(["acl", "--check", *ours]) == 7
    assert "mine-worker: is not on the server" in capsys.readouterr().out

    assert main(["acl", *ours, "--password-file", f"worker={word}"]) == 0
    said = capsys.readouterr()
    assert "correct horse" not in said.out
    assert "no password is set by this for: submitter" in said.err
    with guarded.client("admin") as admin:
        for line in said.out.splitlines():
            assert admin.execute_command(*line.split(" ")) in ("OK", b"OK")  # type: ignore[no-untyped-call]  # its gap
        assert main(["acl", "--check", *ours, "--role", "worker"]) == 0
        assert capsys.readouterr().out == "mine-worker: as declared\n"
        assert main(["acl", "--check", *ours]) == 7
        assert "it has no password: nobody can log in as it" in capsys.readouterr().out

        # Printed again without the password, it stays.
        assert main(["acl", *ours, "--role", "worker"]) == 0
        admin.execute_command(*capsys.readouterr().out.strip().split(" "))  # type: ignore[no-untyped-call]  # its gap
        assert main(["acl", "--check", *ours, "--role", "worker"]) == 0


def test_a_server_whose_users_differ_is_a_finding_with_the_rules(
    guarded: AclServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", guarded.url("admin"))
    assert main(["acl", "--check", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["users"][0] == {
        "role": "submitter",
        "user": "swarm-submitter",
        "exists": True,
        "missing": [],
        "extra": [],
        "faults": [],
    }
    with guarded.client("admin") as admin:
        admin.acl_setuser(
            "swarm-observer", commands=["+keys", "-get"], keys=["_positions"], enabled=False
        )
        try:
            assert main(["acl", "--check"]) == 7
            said = capsys.readouterr().out
            assert "swarm-worker: as declared" in said
            assert "swarm-observer: differs" in said
            assert "it is off" in said
            assert "lacks +get" in said
            assert "has beyond the policy +keys" in said
        finally:
            admin.execute_command("ACL", "LOAD")  # type: ignore[no-untyped-call]  # redis-py's gap
    assert main(["acl", "--check"]) == 0


@pytest.mark.parametrize(
    ("told", "means"),
    [
        ("-@all +get +hget", {"+get", "+hget"}),
        ("-@all +@hash -hvals", {"+hget", "+hset"}),
        ("-@all +@hash -hvals +hvals -hget", {"+hset", "+hvals"}),
        ("+@all -config -@hash", {"+@all", "-config", "-hget", "-hset", "-hvals"}),
        ("+@all -config +config", {"+@all"}),
        ("-@all +client -client|kill", {"+client", "-client|kill"}),
        ("+get allcommands", {"+@all"}),
        ("+@all -@all", set()),
    ],
)
def test_commands_mean_the_same_however_a_server_words_them(told: str, means: set[str]) -> None:
    """Redis 7.0 sums up in categories what it was told one by one; later servers repeat it."""
    line = (
        f"user x on sanitize-payload #00 ~a %R~b resetchannels {told} (~c resetchannels &d "
        "-@all +@hash -hvals)"
    )
    user = acl.parse_user(line, {"hash": ["hget", "hset", "hvals"]}.__getitem__)
    selector = acl.Rules(frozenset({"%RW~c"}), frozenset({"&d"}), frozenset({"+hget", "+hset"}))
    assert user == acl.User(
        "x",
        acl.Rules(frozenset({"%RW~a", "%R~b"}), frozenset(), frozenset(means)),
        frozenset({selector}),
        frozenset({"00"}),
    )


def test_an_open_default_user_is_a_finding(
    redis_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)
    assert main(["acl", "--check", "--json"]) == 7
    assert json.loads(capsys.readouterr().out)["default_user_is_open"] is True


@pytest.mark.parametrize(
    ("rules", "said", "told"),
    [
        ("on >word allkeys allchannels +@all", "the user `default` is on:", (False, True, True)),
        ("on >word -@all", "the user `default` is on:", (False, True, False)),
        ("on nopass -@all", "the user `default` is on:", (False, True, False)),
        (
            "on nopass allkeys +get",
            "the user `default` is on and needs no password",
            (True, True, False),
        ),
        ("off -@all", "a restart of this server would lose the swarm", (False, False, False)),
        (
            "off allkeys +@all -xadd",
            "a restart of this server would lose the swarm",
            (False, False, False),
        ),
    ],
)
def test_any_default_user_that_is_on_or_may_not_replay_is_a_finding(
    guarded: AclServer,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    rules: str,
    said: str,
    told: tuple[bool, bool, bool],
) -> None:
    monkeypatch.setenv("REDIS_URL", guarded.url("admin"))
    guarded.set_default(rules)
    try:
        assert main(["acl", "--check"]) == 7
        shown = capsys.readouterr()
        assert said in shown.err
        assert "ACL SETUSER default off resetpass allkeys allchannels +@all" in shown.err
        assert "swarm-supervisor: as declared" in shown.out
        assert main(["acl", "--check", "--json"]) == 7
        value = json.loads(capsys.readouterr().out)
        assert told == tuple(
            value[f"default_user_{name}"] for name in ("is_open", "is_on", "replays")
        )
    finally:
        guarded.set_default("off resetpass allkeys allchannels +@all")
    assert main(["acl", "--check"]) == 0


def test_who_may_not_ask_is_told_so(
    guarded: AclServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", guarded.url("operator", with_password=False))
    monkeypatch.setenv("REDIS_PASSWORD_FILE", str(guarded.users / "operator" / "password"))
    assert main(["acl", "--check"]) == 5
    assert "ask as a user that may use ACL LIST" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ("--role", "boss"),
        ("--format", "yaml"),
        ("--password-file", "hunter2"),
        ("--password-file", "boss=/dev/null"),
        ("--password-file", "worker=/dev/null"),
        ("--password-file", "worker=/no/such/file"),
        ("--generate", "x", "--check"),
        ("--generate", "x", "--role", "worker"),
        ("--check", "--password-file", "worker=/dev/null"),
    ],
)
def test_what_cannot_be_meant_is_told_with_a_way_out(
    words: tuple[str, ...],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["acl", *words]) == 2
    said = capsys.readouterr()
    assert "hint: " in said.err
    assert "hunter2" not in said.err
    assert list(tmp_path.iterdir()) == []


def test_two_swarms_have_users_of_their_own_whatever_braces_they_need(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert (
        main(["acl", "--namespace", "{alpha}", "--role", "worker", "--format", "aclfile", "--json"])
        == 0
    )
    said = json.loads(capsys.readouterr().out)
    assert said["users"][0]["user"] == "alpha-worker"
    assert "%R~{alpha}:agent:*" in said["users"][0]["rules"]


@pytest.mark.parametrize("role", ["worker", "supervisor"])
async def test_each_part_may_look_at_its_start_for_keys_that_hold_something_else(
    guarded: AclServer, role: str
) -> None:
    """Of keys that a worker may not touch it is not known what they hold, and no worker waits to
    know it.
    """
    with anyio.fail_after(10):
        async with open_store(guarded.url(role), "swarm") as store:
            assert await store.wrong_keys() == []


def test_a_worker_asks_for_the_shared_keys_that_it_may_read_and_for_no_others() -> None:
    """`WORKER_READS` is what a worker looks at when it starts, and what its health check asks."""
    may = {name for name in shared_names() if "R" in _worker_may(name)}
    assert set(WORKER_READS) == may


def _worker_may(name: str) -> str:
    stem = name.partition(":")[0]
    return KEYS[name if name in KEYS else f"{stem}:*"][3]
