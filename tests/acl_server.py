"""A server whose users are those that `swarmd acl --generate` makes, and where nobody else may
do anything.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote

import redis

from swarmd.adapters.server.binary import find_binary
from swarmd.cli.main import main

# These bound a hang and judge no speed: beside other load the disk alone may take a minute.
START_SECONDS: Final = 120.0
STOP_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Program:
    """A server's program. Redis installs one file under several names, and does what it is
    called by.
    """

    path: Path
    called: str = ""

    @property
    def words(self) -> list[str]:
        return [self.called or str(self.path)]


def wheels_valkey() -> Program:
    return Program(find_binary())


def installed_redis() -> Program | None:
    """The server of the package redis-server; where only its tools are installed, they are that
    program too.
    """
    for name in ("redis-server", "redis-check-rdb"):
        path = shutil.which(name)
        if path is not None:
            return Program(Path(path), "redis-server")
    return None


@dataclass(slots=True)
class AclServer:
    """`users` is the folder that was generated."""

    folder: Path
    namespace: str = "swarm"
    program: Program = field(default_factory=wheels_valkey)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        return self.folder / "s.sock"

    @property
    def users(self) -> Path:
        return self.folder / "users"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def password(self, role: str) -> str:
        return (self.users / role / "password").read_text().strip()

    def url(self, role: str, *, with_password: bool = True) -> str:
        password = f":{quote(self.password(role), safe='')}" if with_password else ""
        return f"unix://{self.namespace}-{role}{password}@{self.socket}"

    @contextmanager
    def client(self, role: str) -> Iterator[redis.Redis]:
        client = redis.Redis.from_url(self.url(role), decode_responses=True)
        try:
            yield client
        finally:
            client.close()

    # --- the process ---

    def generate(self) -> None:
        assert main(["acl", "--generate", str(self.users), "--namespace", self.namespace]) == 0

    def start(self) -> None:
        """Returns when it answers: it has then read all that is on its disk."""
        self.socket.unlink(missing_ok=True)
        options = ["--unixsocket", str(self.socket), "--aclfile", str(self.users / "users.acl")]
        options += [
            "--appendonly",
            "yes",
            "--maxmemory-policy",
            "noeviction",
            "--logfile",
            str(self.log),
        ]
        command = [
            *self.program.words,
            "--port",
            "0",
            "--save",
            "",
            "--dir",
            str(self.folder),
            *options,
        ]
        self._process = subprocess.Popen(
            command, executable=self.program.path, stdout=subprocess.DEVNULL
        )
        deadline = time.monotonic() + START_SECONDS
        while not self._is_ready():
            assert self._process.poll() is None, (
                f"the server did not start: {self.log.read_text()[-2_000:]}"
            )
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def _is_ready(self) -> bool:
        try:
            with self.client("admin") as admin:
                return bool(admin.ping())
        except (redis.exceptions.ConnectionError, redis.exceptions.BusyLoadingError):
            return False

    def stop(self, *, kill: bool = False) -> None:
        if self._process is not None:
            (self._process.kill if kill else self._process.terminate)()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                # One was seen to go on after the first, as a server does that cannot end just then.
                self._process.terminate()
                self._process.wait(STOP_SECONDS)

    def restart(self, *, kill: bool = False) -> None:
        self.stop(kill=kill)
        self.start()

    def set_default(self, rules: str) -> None:
        """Gives the user `default` other rules, from now on and at the next start."""
        with self.client("admin") as admin:
            admin.execute_command("ACL", "SETUSER", "default", "reset", *rules.split())  # type: ignore[no-untyped-call]  # its gap
            admin.execute_command("ACL", "SAVE")  # type: ignore[no-untyped-call]  # as above


@contextmanager
def acl_server(
    folder: Path, namespace: str = "swarm", program: Program | None = None
) -> Iterator[AclServer]:
    server = AclServer(folder, namespace, program or wheels_valkey())
    server.generate()
    try:
        server.start()
        yield server
    finally:
        server.stop()
