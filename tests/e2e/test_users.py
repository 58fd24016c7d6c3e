"""A swarm of separate processes in which each part has its own user of Redis, as
docs/security.md sets it up.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.acl_server import AclServer, acl_server
from tests.e2e.swarm_process import (
    VERB_SECONDS,
    Child,
    child,
    clean_environment,
    short_folder,
    verb,
)

PART_WORDS = ("NOPERM", "may not do this", "Traceback")


@dataclass(frozen=True, slots=True)
class Guarded:
    """A server with users, and a supervisor and a worker on it, each as its own."""

    server: AclServer
    data: Path
    parts: dict[str, Child]

    def environment(self, role: str) -> dict[str, str]:
        return environment(self.server, self.data, role)

    def run(self, role: str, *words: str) -> tuple[int, str, str]:
        done = verb(self.environment(role), *words)
        return done.returncode, done.stdout.strip(), done.stderr


def environment(server: AclServer, data: Path, role: str) -> dict[str, str]:
    return clean_environment(
        data,
        REDIS_URL=server.url(role, with_password=False),
        REDIS_PASSWORD_FILE=str(server.users / role / "password"),
    )


@pytest.fixture(scope="module")
def guarded() -> Iterator[Guarded]:
    with ExitStack() as stack:
        folder, data = stack.enter_context(short_folder()), stack.enter_context(short_folder())
        server = stack.enter_context(acl_server(folder))
        # The worker first: it may not make the swarm, and waits for who may.
        parts: dict[str, Child] = {}
        for part in ("worker", "supervisor"):
            parts[part] = stack.enter_context(child([part], environment(server, data, part)))
            if part == "worker":
                parts[part].until_said("waiting for a first supervisor")
        for running in parts.values():
            running.until_said("is up")
        yield Guarded(server, data, parts)


def test_a_mission_goes_from_submitter_to_result_with_each_part_under_its_own_user(
    guarded: Guarded,
) -> None:
    words = ("How does the board decide on a motion?", "--wait", "--id", "split-1")
    code, result, said = guarded.run("submitter", "submit", *words)
    assert code == 0, said + guarded.parts["supervisor"].stderr + guarded.parts["worker"].stderr
    assert "[policies/" in result
    # Whole: the board debated in its room, three tiers worked, and nobody was refused by the
    # server.
    code, shown, _ = guarded.run(
        "operator", "tail", "room:sob", "--no-follow", "--json", "-n", "1000"
    )
    assert {json.loads(line)["from"] for line in shown.splitlines()} >= {
        "socrates",
        "tony-stark",
        "clerk",
    }
    code, shown, _ = guarded.run("operator", "ps", "--all", "--json")
    assert {agent["tier"] for agent in json.loads(shown)["agents"]} == {0, 1, 2}
    for proof in (("fsck",), ("journal", "verify")):
        code, shown, told = guarded.run("operator", *proof)
        assert code == 0, (shown, told)
    for part in guarded.parts.values():
        assert not any(word in part.stderr for word in PART_WORDS), part.stderr
    with guarded.server.client("admin") as admin:
        assert admin.acl_log() == []


def test_a_text_published_by_the_submitter_is_heard(guarded: Guarded) -> None:
    with guarded.server.client("submitter") as client, client.pubsub() as results:  # type: ignore[no-untyped-call]  # its gap
        results.subscribe("swarm:results")
        assert client.publish("swarm:missions", "Which budgets stop a runaway swarm?") == 1
        heard = (results.get_message(timeout=VERB_SECONDS) for _ in range(2))
        assert [
            json.loads(ring["data"])["data"]["state"] for ring in heard if ring["type"] == "message"
        ] == ["delivered"]


def test_an_operator_looks_speaks_and_cancels(guarded: Guarded) -> None:
    for look in (
        ("missions",),
        ("tree", "--all"),
        ("ps",),
        ("health",),
        ("inspect", "split-1"),
        ("inspect", "socrates"),
    ):
        code, shown, said = guarded.run("operator", *look)
        assert (code, bool(shown)) == (0, True), (look, said)
    assert guarded.run("operator", "say", "room:sob", "Be brief.")[0] == 0
    assert guarded.run("operator", "say", "inbox:socrates", "Be brief.")[0] == 0

    # Nobody thinks, so the mission is there to be cancelled.
    guarded.parts["worker"].process.send_signal(signal.SIGSTOP)
    try:
        assert guarded.run("submitter", "submit", "What is a fence?", "--id", "split-2")[0] == 0
        until(lambda: guarded.run("operator", "inspect", "split-2")[0] == 0)
        code, _, said = guarded.run("operator", "cancel", "split-2")
    finally:
        guarded.parts["worker"].process.send_signal(signal.SIGCONT)
    # A kill that nobody confirmed is no success: the worker stood still.
    assert code in (0, 1), said
    assert "cancelled" in guarded.run("operator", "inspect", "split-2")[1]


def until(holds: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_who_oversteps_is_refused_with_a_clear_word(guarded: Guarded) -> None:
    for role, words in {
        "submitter": ("terminate", "socrates"),
        "observer": ("submit", "What is a fence?"),
        "worker": ("terminate", "socrates"),
        "operator": ("submit", "What is a fence?"),
    }.items():
        code, shown, said = guarded.run(role, *words)
        assert (code, shown) == (5, ""), (role, said)
        assert "the server's user may not do this" in said
        assert "hint: REDIS_URL names the user" in said


def test_each_part_asks_for_its_own_health_as_its_own_user(guarded: Guarded) -> None:
    with guarded.server.client("admin") as admin:
        admin.acl_log_reset()
        for part in ("supervisor", "worker"):
            code, shown, said = guarded.run(part, "health", "--part", part)
            assert (code, shown.startswith("healthy"), said) == (0, True, "")
            assert ("restart: kept" in shown.splitlines()) == (part == "supervisor")
        code, shown, said = guarded.run("worker", "health", "--part", "worker", "--json")
        assert json.loads(shown)["unasked"] == ["agents", "missions"]
        refused = admin.acl_log()
    assert refused == [], "what is asked each few seconds must not fill the server's log"


def test_a_part_under_anothers_user_does_not_start_or_is_told(guarded: Guarded) -> None:
    with child(["supervisor"], guarded.environment("worker")) as wrong:
        assert wrong.ended() == 5
        assert "user may not do this" in wrong.stderr
        assert "Traceback" not in wrong.stderr
