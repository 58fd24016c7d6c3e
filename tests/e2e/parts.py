"""A swarm in parts as an operator would run it: processes, a server of its own, a model server that
counts.

Every process ends with the context that it was started in. What a swarm left in its server is read
here, and held against what a mission that went well leaves: one result, each word once, each call
paid once.
"""

from __future__ import annotations

import contextlib
import json
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import redis

from swarmd.adapters.server.binary import find_binary
from swarmd.core.model.events import JournalEvent
from tests.e2e.swarm_process import (
    ENDED,
    Child,
    Fields,
    amounts_of,
    child,
    clean_environment,
    data_of,
    short_folder,
    unbalanced,
)
from tests.openai_server import offered_moves
from tests.streams import said_in

T = TypeVar("T")
LEASE_SECONDS: Final = 10.0
ANSWER_SECONDS: Final = 0.25  # of each model call: a mission then takes some nine seconds
SEATS: Final = 6
UP_SECONDS: Final = (
    90.0  # of a process, which on a machine with much else to do is no fault of its own
)
START_SECONDS: Final = 30.0  # of a server, which reads a long append-only file on a busy machine
_PORTS: Final = (20_000, 32_000)


# --- a model that counts ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Models:
    """A model server in a process of its own, and all that it was ever asked."""

    url: str
    log: Path

    def asked(self, mission: str) -> int:
        """Calls about a mission, by its text; what only asks how this model speaks is not
        counted.
        """
        lines = self.log.read_text(encoding="utf-8").splitlines() if self.log.exists() else []
        bodies = [json.loads(line)["request"] for line in lines]
        return sum(1 for body in bodies if mission in json.dumps(body) and offered_moves(body))


@contextmanager
def counting_models(
    folder: Path, *, seconds: float = ANSWER_SECONDS, looks: int = 0
) -> Iterator[Models]:
    """A model server that takes `seconds` for each answer and logs below `folder` what it is
    asked.
    """
    log = folder / "asked.jsonl"
    words = [
        sys.executable,
        "-m",
        "tests.openai_server",
        "--delay",
        str(seconds),
        "--log",
        str(log),
    ]
    words += ["--looks", str(looks)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield Models(process.stdout.readline().strip(), log)
        finally:
            process.kill()


# --- a server of the test's own -----------------------------------------------------------------


@dataclass(slots=True)
class Server:
    """A Valkey on loopback with an append-only file, as an operator would run one."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    # With `everysec` a server that is killed while it syncs loses what it has acknowledged since.
    appendfsync: Literal["everysec", "always"] = "everysec"

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        options = {
            "port": self.port,
            "bind": "127.0.0.1",
            "dir": self.folder,
            "appendonly": "yes",
            "appendfsync": self.appendfsync,
            "save": "",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
        }
        words = [
            str(find_binary()),
            *(str(word) for name, value in options.items() for word in (f"--{name}", value)),
        ]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(words, stdout=log, stderr=log)
        with self.client() as client:
            until(lambda: _answers(client), "the server serves", START_SECONDS, self._said)

    def _said(self) -> str:
        return (self.folder / "server.log").read_text(encoding="utf-8", errors="replace")[-3000:]

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        if number == signal.SIGKILL:
            self.process.wait()

    @contextmanager
    def client(self) -> Iterator[redis.Redis]:
        client = redis.Redis(port=self.port, decode_responses=True)
        try:
            yield client
        finally:
            client.close()

    def end(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


def free_port() -> int:
    """Below those that the kernel gives to who connects: on such a one, a client of a server that
    is away may be connected to itself, and the server finds its port taken.
    """
    while True:
        port = random.randrange(*_PORTS)
        with socket.socket() as found, contextlib.suppress(OSError):
            found.bind(("127.0.0.1", port))
            return port


@contextmanager
def server_of_ours(
    *, is_started: bool = True, appendfsync: Literal["everysec", "always"] = "everysec"
) -> Iterator[Server]:
    with short_folder() as folder:
        made = Server(folder, free_port(), appendfsync=appendfsync)
        try:
            if is_started:
                made.start()
            yield made
        finally:
            made.end()


# --- a swarm in parts ---------------------------------------------------------------------------


@dataclass(slots=True)
class Parts:
    """The parts of a swarm as processes, and what they leave in their server."""

    stack: ExitStack
    environment: dict[str, str]
    redis: redis.Redis

    def start(self, *words: str, is_up: bool = True, module: str = "swarmd") -> Child:
        started = self.stack.enter_context(child(words, self.environment, module=module))
        if is_up:
            started.until_said("is up", UP_SECONDS)
        return started

    def submit(self, id: str, text: str) -> None:
        self.redis.xadd("swarm:missions", {"mission": text, "id": id})

    def mission(self, id: str) -> Fields:
        return self.hash(f"swarm:mission:{id}")

    def spoken(self, mission: str) -> list[Fields]:
        """What was said of a mission in the board's room."""
        return [fields for fields in self.entries("room:sob") if fields["mission"] == mission]

    def until_spoken(self, mission: str, count: int) -> None:
        self.until(lambda: len(self.spoken(mission)) >= count, f"{count} words of the debate")

    def agents_of(self, mission: str) -> list[Fields]:
        keys: list[str] = list(self.redis.scan_iter("swarm:agent:*"))
        return [record for key in keys if (record := self.hash(key)).get("mission") == mission]

    def entries(self, channel: str) -> list[Fields]:
        found: Any = self.redis.xrange(f"swarm:{channel}")
        return [said_in(fields) for _, fields in found]

    def journal(self, event: str) -> list[dict[str, Any]]:
        found = [data_of(fields) for fields in self.entries("journal")]
        wanted = JournalEvent(event)
        return [data for data in found if data["event"] == wanted]

    def facts(self) -> list[dict[str, Any]]:
        """Every fact of the ledger that the journal took in."""
        return [fact for entry in self.journal("facts.folded") for fact in entry["facts"]]

    def spent(self, account: str) -> int:
        return int(self.hash(f"swarm:ledger:{account}").get("calls.spent", "0"))

    def until_state(self, id: str, *states: str, seconds: float = 60.0) -> Fields:
        def reached() -> Fields | None:
            mission = self.mission(id)
            return mission if mission.get("state") in states else None

        return until(reached, f"mission {id} is {' or '.join(states)}", seconds, self.said)

    def until_delivered(self, id: str, seconds: float = 60.0) -> None:
        mission = self.until_state(id, *ENDED, seconds=seconds)
        assert mission["state"] == "delivered", f"{mission}\n{self.said()}"

    def until(self, claim: Callable[[], T | None], what: str, seconds: float = 60.0) -> T:
        return until(claim, what, seconds, self.said)

    def hash(self, key: str) -> Fields:
        found: Any = self.redis.hgetall(key)
        return dict(found)

    def said(self) -> str:
        journal = [
            f"{fields['at']} {fields['text'][:200]}" for fields in self.entries("journal")[-30:]
        ]
        return "\n".join(journal)


@contextmanager
def parts(models: Models, server: Server, *, url: str = "") -> Iterator[Parts]:
    """A swarm on a server of ours, its parts still to be started."""
    with short_folder() as data, server.client() as client, ExitStack() as stack:
        environment = _environment(data, models) | {"REDIS_URL": url or server.url}
        yield Parts(stack, environment, client)


@contextmanager
def whole(models: Models, data: Path) -> Iterator[Parts]:
    """A swarm for `up`, on the server that it brings."""
    client = redis.Redis(unix_socket_path=str(data / "redis.sock"), decode_responses=True)
    try:
        with ExitStack() as stack:
            yield Parts(stack, _environment(data, models), client)
    finally:
        client.close()


def _environment(data: Path, models: Models) -> dict[str, str]:
    return clean_environment(
        data, SWARMD_MODEL="openai:test-model", OPENAI_BASE_URL=models.url, OPENAI_API_KEY="sk-test"
    )


def until(
    claim: Callable[[], T | None], what: str, seconds: float, said: Callable[[], str] = lambda: ""
) -> T:
    deadline = time.monotonic() + seconds
    while not (found := claim()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s\n{said()}"
        time.sleep(0.03)
    return found


def assert_done_once(swarm: Parts, mission: str) -> None:
    """One result; each seat's word of each phase once; each motion executed once; money
    conserved.
    """
    results = [fields for fields in swarm.entries("results") if fields["mission"] == mission]
    assert [data_of(result)["state"] for result in results] == ["delivered"]
    assert "The answer is 42." in results[0]["text"]
    room = swarm.spoken(mission)
    spoken = Counter(
        (fields["from"], fields["kind"], data_of(fields)["motion_number"])
        for fields in room
        if fields["kind"] in ("proposal", "argument", "vote")
    )
    assert len(spoken) == 2 * SEATS, "one proposes and all others consent, twice"
    assert set(spoken.values()) == {1}, spoken
    notices = Counter(fields["text"] for fields in room if fields["kind"] == "notice")
    assert set(notices.values()) == {1}, notices
    reports = Counter(
        fields["text"]
        for fields in swarm.entries("up:sob")
        if fields["mission"] == mission and fields["kind"] == "report"
    )
    assert set(reports.values()) == {1}, reports
    executed = [
        fields["text"]
        for fields in swarm.entries("journal")
        if data_of(fields)["event"] == "motion.executed"
    ]
    assert sorted(executed) == ["motion 1: charter", "motion 2: deliver"]
    assert len(swarm.agents_of(mission)) == 2, "one executive and one researcher were ever made"
    accounts = {
        key.removeprefix("swarm:ledger:"): amounts_of(swarm.hash(key))
        for key in swarm.redis.scan_iter("swarm:ledger:*")
    }
    assert unbalanced(accounts) == []


def assert_paid_once(swarm: Parts, models: Models, mission: str, text: str, *, cut: int) -> None:
    """Every call that was asked of the model is in the account, once; at most `cut` of them were
    in vain.
    """

    def settled() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = [
            {**f, **f["amounts"]} for f in swarm.facts() if f["fact"] == "settle"
        ]
        return [fact for fact in found if fact["used"].get("calls")]

    def calls(facts: list[dict[str, Any]]) -> int:
        # The first attempt of all is two: it asks the endpoint what it can do.
        return sum(fact["used"]["calls"] for fact in facts)

    spent = swarm.spent(mission)
    swarm.until(lambda: calls(settled()) >= spent, "all facts were folded in")
    told = [f for f in settled() if not f["assumed"]]
    good = Counter((f["account"], f["agent"], f["call"]) for f in told)
    assert set(good.values()) == {1}, good
    # One that was cut may have been that first one.
    assert calls(settled()) == spent <= calls(told) + 2 * cut
    # A call may have been cut between its begin and its request: charged, for nobody knows that it
    # was not sent.
    asked = models.asked(text)
    assert len(good) <= asked <= spent, (len(good), asked, spent)
