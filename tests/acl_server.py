"""A server whose users are those that `swarmd acl --generate` makes, and where nobody else may do anything."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import redis

from swarmd.adapters.embedded import _ask, binary
from swarmd.cli.main import main


@dataclass(frozen=True, slots=True)
class AclServer:
    """`users` is the folder that was generated."""

    socket: Path
    users: Path
    namespace: str

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


@contextmanager
def acl_server(folder: Path, namespace: str = "swarm") -> Iterator[AclServer]:
    users, socket = folder / "users", folder / "s.sock"
    assert main(["acl", "--generate", str(users), "--namespace", namespace]) == 0
    options = ["--unixsocket", str(socket), "--aclfile", str(users / "users.acl"), "--appendonly", "yes"]
    command = [str(binary()), "--port", "0", "--save", "", "--dir", str(folder), *options]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            while _ask(str(socket)) == "absent":
                assert process.poll() is None, "the server did not start on what was generated"
            yield AclServer(socket, users, namespace)
        finally:
            process.terminate()
