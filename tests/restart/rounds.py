"""One swarm over a restart of its server, and over a backup that is restored: what is there before, and after.

Everything is as docs/security.md sets it up: the server has the users of the policy, and each part is its own.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.acl_server import AclServer, Program, acl_server
from tests.e2e.swarm_process import Child, child, clean_environment, moment_of, short_folder, verb

MAY_NOTHING: Final = "off -@all"
"""What many people write for a default user that nobody is to use."""
MISSION: Final = "How does the board decide on a motion?"


LEAD: Final = "swarm:_supervisor"
"""A lease: whoever leaves lets it run out within seconds, restart or not."""


@dataclass(frozen=True, slots=True)
class Look:
    """What the server holds while nobody writes, and what the journal says of it."""

    keys: frozenset[str]
    spent: Mapping[str, int]  # account and kind
    journal: int  # the number of the last entry
    results: int
    verified: bool
    findings: tuple[str, ...]

    def differs(self, other: Look) -> list[str]:
        """Each way in which a later look is not this one, in a line."""
        return [
            *(f"lost {key}" for key in sorted(self.keys - other.keys)),
            *(f"new {key}" for key in sorted(other.keys - self.keys)),
            *(
                f"{one}: {n} spent, then {other.spent.get(one)}"
                for one, n in self.spent.items()
                if other.spent.get(one) != n
            ),
            *([f"journal {self.journal}, then {other.journal}"] if self.journal != other.journal else []),
            *([f"{self.results} results, then {other.results}"] if self.results != other.results else []),
            *([] if other.verified else [f"not verified: {'; '.join(other.findings)}"]),
        ]


@dataclass(frozen=True, slots=True)
class Swarm:
    """A server and the data folder of the parts on it."""

    server: AclServer
    data: Path

    def environment(self, role: str) -> dict[str, str]:
        return clean_environment(
            self.data,
            REDIS_URL=self.server.url(role, with_password=False),
            REDIS_PASSWORD_FILE=str(self.server.users / role / "password"),
        )

    @contextmanager
    def parts(self) -> Iterator[tuple[Child, Child]]:
        """A supervisor and a worker, which leave in order at the end."""
        with (
            child(["supervisor"], self.environment("supervisor")) as supervisor,
            child(["worker"], self.environment("worker")) as worker,
        ):
            supervisor.until_said("is up")
            worker.until_said("is up")
            yield supervisor, worker

    def run(self, role: str, *words: str) -> tuple[int, str, str]:
        done = verb(self.environment(role), *words)
        return done.returncode, done.stdout.strip(), done.stderr

    def deliver(self, id: str) -> None:
        code, _, said = self.run("submitter", "submit", MISSION, "--id", id, "--wait")
        assert code == 0, said

    def look(self) -> Look:
        _, told, said = self.run("operator", "journal", "verify", "--json")
        assert told, said
        verdict = json.loads(told)
        with self.server.client("admin") as admin:
            found: Any = admin.keys("*")
            head: Any = admin.hget("swarm:_journal", "n")
            results: Any = admin.xlen("swarm:results")
            accounts = moment_of(admin).accounts
        return Look(
            keys=frozenset(found) - {LEAD},
            spent={
                f"{id} {name}": n
                for id, row in accounts.items()
                for name, n in row.items()
                if name.endswith(".spent")
            },
            journal=int(head or 0),
            results=int(results),
            verified=verdict["verdict"] == "verified",
            findings=tuple(one["what"] for one in verdict["findings"]),
        )

    def copied(self, folder: Path) -> Swarm:
        """A backup of what docs/redis.md names, restored to another place with users of its own. Only while nobody
        runs on either."""
        server = AclServer(folder, self.server.namespace, self.server.program)
        server.generate()
        shutil.copytree(self.server.folder / "appendonlydir", folder / "appendonlydir")
        shutil.copytree(self.data, folder / "data")
        return Swarm(server, folder / "data")


@contextmanager
def swarm_on(program: Program | None = None) -> Iterator[Swarm]:
    with short_folder() as folder, short_folder() as data, acl_server(folder, program=program) as server:
        yield Swarm(server, data)


# --- what is measured ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """A swarm that had delivered a mission, on one server."""

    server: str
    before: Look
    after: Look  # a restart
    restored: Look  # a backup, on another server of the same kind
    spoiled: Look  # a restart with a default user that may nothing
    mended: Look  # and another one with one that may all, before anything else was written

    def cells(self) -> list[str]:
        def told(look: Look) -> str:
            return f"{len(self.before.keys)} → {len(look.keys)}, " + (
                "NOT VERIFIED" if self.before.differs(look) else "verified"
            )

        return [self.server, *map(told, (self.after, self.restored, self.spoiled, self.mended))]


def measure(program: Program | None) -> Row:
    """Raises where a second mission is not delivered after the restart."""
    with swarm_on(program) as swarm, short_folder() as elsewhere:
        server = swarm.server
        with swarm.parts():
            swarm.deliver("one")
        before = swarm.look()
        server.restart()
        after = swarm.look()
        server.set_default(MAY_NOTHING)
        server.restart()
        spoiled = swarm.look()
        server.stop()
        _replace_default(server)
        server.start()
        mended = swarm.look()
        name = name_of(server)
        server.stop()
        copy = swarm.copied(elsewhere)
        try:
            copy.server.start()
            restored = copy.look()
            with copy.parts():
                copy.deliver("two")
        finally:
            copy.server.stop()
        return Row(name, before, after, restored, spoiled, mended)


def _replace_default(server: AclServer) -> None:
    """As an operator who finds the loss: the file of the users is written anew before the next start."""
    (server.users / "users.acl").unlink()
    server.generate()


def name_of(server: AclServer) -> str:
    with server.client("admin") as admin:
        info: Any = admin.info("server")
    is_valkey = "valkey_version" in info
    return f"Valkey {info['valkey_version']}" if is_valkey else f"Redis {info['redis_version']}"
