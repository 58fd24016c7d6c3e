"""A real swarm as people run one: `swarmd` in child processes, on a data folder of its own.

Invariant: no child process outlives the context it was started in, and what it said on standard
error is there to be read afterwards. Everything a test waits for has a bound, and a wait that ends
without it fails with that standard error.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import pytest
import redis

from swarmd.adapters.server.data_folder import live_socket
from swarmd.core.bus.envelope import OPERATOR_ISSUER, Seal, Sealer, Serials
from swarmd.core.model.charter import KINDS
from swarmd.core.model.messages import Message
from swarmd.core.model.names import Channel
from tests.streams import said_in

# These bound a hang and judge no speed: beside other load a process may take a minute to import
# what it needs.
READY_SECONDS: Final = 120.0
MISSION_SECONDS: Final = 180.0
VERB_SECONDS: Final = 180.0
END_SECONDS: Final = 60.0
ENDED: Final = frozenset({"delivered", "rejected", "failed", "cancelled", "exhausted"})
AMOUNTS: Final = ("cap", "free", "reserved", "granted", "spent", "overdraft")

Fields = dict[str, str]
Account = dict[str, int]
T = TypeVar("T")

# At one instant, as no program outside could read it key by key.
_MOMENT: Final = """
local found = {}
for _, kind in ipairs({'ledger', 'agent', 'mission'}) do
  for _, key in ipairs(redis.call('KEYS', 'swarm:' .. kind .. ':*')) do
    found[#found + 1] = {key, redis.call('HGETALL', key)}
  end
end
return {found, redis.call('HGETALL', 'swarm:_fences')}
"""


def swarmd(*words: str) -> list[str]:
    return [sys.executable, "-m", "swarmd", *words]


def clean_environment(data: Path, **settings: str) -> dict[str, str]:
    """This process's, without what would choose another swarm or another model."""
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith(("SWARMD_", "OPENAI_", "REDIS_"))
    }
    own = {
        "SWARMD_DATA": str(data),
        "SWARMD_MODEL": "builtin",
        "PYTHONUNBUFFERED": "1",
        "NO_COLOR": "1",
    }
    return kept | own | settings


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder whose socket's path is within the kernel's bound, whatever the test is called."""
    folder = Path(tempfile.mkdtemp(prefix="sw-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def plain_redis_cli() -> str:
    """The client that people have, from their distribution; never the one that swarmd brings."""
    found = shutil.which("redis-cli")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("CI must have a redis-cli (the package redis-tools)")
        pytest.skip("no redis-cli on this machine (the package redis-tools)")
    return found


# --- one child process ------------------------------------------------------------------------


@dataclass(slots=True)
class Child:
    """A process of `swarmd` and what it says. Lines of standard error are read as they come."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _reader: threading.Thread | None = None
    _is_over: bool = False

    @property
    def stderr(self) -> str:
        with self._changed:
            return "".join(self.lines)

    def until_said(self, part: str, seconds: float = READY_SECONDS) -> str:
        """The first line of standard error that has `part`; fails where it ends or is silent
        instead.
        """

        def heard() -> bool:
            return self._is_over or any(part in line for line in self.lines)

        with self._changed:
            self._changed.wait_for(heard, seconds)
            found = next((line for line in self.lines if part in line), None)
        assert found is not None, f"{part!r} was not said:\n{self.stderr}"
        return found

    def ended(self, seconds: float = READY_SECONDS) -> int:
        """Its exit code, once it has ended by itself and all that it said was read."""
        code = self.process.wait(seconds)
        assert self._reader is not None
        self._reader.join(seconds)
        return code

    def read(self) -> None:
        self._reader = threading.Thread(target=self._read, name="stderr", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._changed:
                self.lines.append(line)
                self._changed.notify_all()
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def end(self) -> None:
        """Ask, then insist. The embedded server ends with its owner."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(END_SECONDS)
        if self._reader is not None:
            self._reader.join(END_SECONDS)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


@contextmanager
def child(
    words: Sequence[str],
    environment: Mapping[str, str],
    *,
    cwd: Path | None = None,
    keeps_stdout: bool = False,
    module: str = "swarmd",
) -> Iterator[Child]:
    """`module` is what is run with these words, where it is not `swarmd` itself."""
    stdout = subprocess.PIPE if keeps_stdout else subprocess.DEVNULL
    process = subprocess.Popen(
        [sys.executable, "-m", module, *words],
        env=dict(environment),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    started = Child(process)
    started.read()
    try:
        yield started
    finally:
        started.end()


@dataclass(frozen=True, slots=True)
class Moment:
    """What is stored, read in one step."""

    accounts: dict[str, Account]
    agents: dict[str, Fields]
    missions: dict[str, Fields]
    settled: set[str]  # missions whose account is closed, their end not told yet


def amounts_of(fields: Fields) -> Account:
    """Beside its amounts an account says of which kind it was warned, and which month it counts."""
    amounts = {name: value for name, value in fields.items() if value.lstrip("-").isdecimal()}
    return {name: int(value) for name, value in amounts.items()}


def moment_of(client: redis.Redis) -> Moment:
    """Every account, agent and mission at one instant."""
    rows, fences = cast("Any", client.eval(_MOMENT, 0))
    closed = {
        segment
        for segment, fence in zip(fences[::2], fences[1::2], strict=True)
        if json.loads(fence).get("is_settled")
    }
    moment = Moment({}, {}, {}, closed)
    for key, flat in rows:
        _, kind, id = key.split(":", 2)
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        if kind == "ledger":
            moment.accounts[id] = amounts_of(fields)
        else:
            (moment.agents if kind == "agent" else moment.missions)[id] = fields
    return moment


# --- a running swarm --------------------------------------------------------------------------


@dataclass(slots=True)
class SwarmProcess:
    """A running `swarmd up`, seen from outside: its verbs, its socket, its keys."""

    data: Path
    environment: dict[str, str]
    child: Child
    redis: redis.Redis

    @property
    def socket(self) -> Path:
        socket = live_socket(self.data)
        assert socket is not None, self.child.stderr
        return socket

    def verb(
        self, *words: str, stdin: str | bytes = "", seconds: float = VERB_SECONDS
    ) -> subprocess.CompletedProcess[str]:
        return verb(self.environment, *words, stdin=stdin, seconds=seconds)

    def redis_cli(self, *words: str, stdin: bytes = b"") -> str:
        """What a plain redis-cli on the socket answers."""
        done = subprocess.run(
            [plain_redis_cli(), "-s", str(self.socket), *words],
            input=stdin,
            capture_output=True,
            timeout=VERB_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().rstrip("\n")

    def sealer(self) -> Sealer:
        """Seals as one command of an operator's, who has the data folder."""
        secret = (self.data / "secret").read_bytes().strip()
        return Sealer(
            Seal(secret, "swarm"),
            f"{OPERATOR_ISSUER}test{time.monotonic_ns()}",
            Serials(),
            time.time,
        )

    def post(self, sealer: Sealer, channel: Channel, message: Message) -> None:
        """An entry on the stream, sealed; it does not ring."""
        self.redis.xadd(f"swarm:{channel}", {"m": sealer(channel, message).line})

    # --- what is stored ---

    def hash(self, key: str) -> Fields:
        found: Fields = self.redis.hgetall(key)  # type: ignore[assignment]  # redis-py types both its clients as one
        return found

    def mission(self, id: str) -> Fields:
        return self.hash(f"swarm:mission:{id}")

    def entries(self, channel: str, after: str = "-") -> list[tuple[str, Fields]]:
        found: list[tuple[str, Fields]] = self.redis.xrange(f"swarm:{channel}", after)  # type: ignore[assignment]  # as above
        return [(id, said_in(fields)) for id, fields in found]

    def agents_of(self, mission: str) -> list[Fields]:
        """Records of a mission's agents, living and ended, lowest tier first."""
        keys: list[str] = self.redis.keys("swarm:agent:*")  # type: ignore[assignment]  # as above
        found = [record for key in keys if (record := self.hash(key)).get("mission") == mission]
        return sorted(
            found, key=lambda record: (int(record["tier"]), record["created"], record["id"])
        )

    def results_of(self, mission: str) -> list[Fields]:
        return [fields for _, fields in self.entries("results") if fields["mission"] == mission]

    def moment(self) -> Moment:
        return moment_of(self.redis)

    def accounts(self) -> dict[str, Account]:
        return self.moment().accounts

    def socket_exists(self) -> bool:
        """Whether the server still answers, after its owner ended."""
        return live_socket(self.data) is not None

    # --- waiting ---

    def until(
        self, claim: Callable[[], T | None], what: str, seconds: float = MISSION_SECONDS
    ) -> T:
        """The first true answer; polled, as any program outside would."""
        deadline = time.monotonic() + seconds
        while not (found := claim()):
            assert self.child.process.poll() is None, f"the swarm ended:\n{self.child.stderr}"
            assert time.monotonic() < deadline, (
                f"{what}: not within {seconds:g} s\n{self.child.stderr[-4000:]}"
            )
            time.sleep(0.05)
        return found

    def ended_mission(self, id: str, seconds: float = MISSION_SECONDS) -> Fields:
        def is_ended() -> Fields | None:
            mission = self.mission(id)
            return mission if mission.get("state") in ENDED else None

        return self.until(is_ended, f"mission {id} ended", seconds)

    def submit(self, text: str, *words: str) -> str:
        done = self.verb("submit", text, *words)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


def verb(
    environment: Mapping[str, str],
    *words: str,
    stdin: str | bytes = "",
    seconds: float = VERB_SECONDS,
    cwd: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """One verb from its start to its end."""
    given = stdin.encode() if isinstance(stdin, str) else stdin
    done = subprocess.run(
        swarmd(*words),
        env=dict(environment),
        cwd=cwd,
        input=given,
        capture_output=True,
        timeout=seconds,
        check=False,
    )
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
    )


@contextmanager
def swarm_up(data: Path, *words: str, **settings: str) -> Iterator[SwarmProcess]:
    """`swarmd up` until a supervisor leads and a worker lives; ended with the context."""
    environment = clean_environment(data, **settings)
    with child(["up", *words], environment) as started:
        started.until_said("is up")
        socket = live_socket(data)
        assert socket is not None, started.stderr
        client = redis.Redis(unix_socket_path=str(socket), decode_responses=True)
        swarm = SwarmProcess(data, environment, started, client)
        try:
            swarm.until(lambda: _is_at_work(swarm), "a swarm that was started works", READY_SECONDS)
            yield swarm
        finally:
            client.close()


def _is_at_work(swarm: SwarmProcess) -> bool:
    """Whatever else `health` finds: an operator may have stopped everything before."""
    # A leader hears the entrance some milliseconds after its lease can be seen; a PUBLISH before
    # that answers 0, which says truly that nobody heard it.
    heard: Any = swarm.redis.pubsub_numsub("swarm:missions")
    if heard[0][1] == 0:
        return False
    health = json.loads(swarm.verb("health", "--json").stdout)
    return bool(health["leader"] and health["hosts"])


# --- claims about what is stored ------------------------------------------------------------------


def unbalanced(accounts: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Accounts that break the ledger's equation, in words; none is what must be found."""
    found = []
    for id, account in accounts.items():
        for kind in KINDS:
            cap, free, reserved, granted, spent, overdraft = (
                account[f"{kind}.{name}"] for name in AMOUNTS
            )
            if (
                cap + overdraft != free + reserved + granted + spent
                or min(free, reserved, granted, spent) < 0
            ):
                found.append(f"{id} {kind}: {dict(account)}")
    return found


def ungranted(moment: Moment) -> list[str]:
    """Accounts whose `granted` is not the sum of the caps of the open accounts below them, in
    words.
    """
    below: dict[str, list[Account]] = {id: [] for id in moment.accounts}
    for id, agent in moment.agents.items():
        if agent["state"] != "terminated" and id in moment.accounts and id != "sob":
            parent = agent["mission"] if agent["parent"] == "sob" else agent["parent"]
            below[parent].append(moment.accounts[id])
    for id, mission in moment.missions.items():
        is_open = mission["state"] not in ENDED and id not in moment.settled
        if is_open and id in moment.accounts:
            below["sob"].append(moment.accounts[id])
    return [
        (
            f"{id} {kind}: {moment.accounts[id][f'{kind}.granted']} granted, {total} in "
            f"{len(children)} below it"
        )
        for id, children in below.items()
        for kind in KINDS
        if (total := sum(child[f"{kind}.cap"] for child in children))
        != moment.accounts[id][f"{kind}.granted"]
    ]


def data_of(fields: Mapping[str, str]) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(fields.get("data", "{}"))
    return value
