"""A verb that waits, over a line that is cut: it connects again, and ends as if nothing had
been.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from swarmd.adapters.server.embedded import EmbeddedServer
from tests.conftest import SECRET
from tests.e2e.proxy import Proxy, proxied
from tests.e2e.swarm_process import (
    VERB_SECONDS,
    child,
    clean_environment,
    short_folder,
    swarm_up,
    swarmd,
    verb,
)
from tests.e2e.test_cli_approvals import _supervisor
from tests.e2e.test_cli_inspect import AT, Swarm, peopled, swarm

__all__ = ["peopled", "swarm"]


@pytest.fixture
def line(server: EmbeddedServer) -> Iterator[Proxy]:
    with proxied(server.socket) as proxy:
        yield proxy


@pytest.fixture
def environment(line: Proxy, peopled: Swarm, tmp_path: Path) -> dict[str, str]:
    (tmp_path / "secret").write_bytes(SECRET)
    (tmp_path / "secret").chmod(0o600)
    return clean_environment(
        tmp_path,
        REDIS_URL=line.url,
        SWARMD_NAMESPACE=peopled.namespace,
        SWARMD_SECRET_FILE=str(tmp_path / "secret"),
    )


@contextmanager
def waiting(environment: dict[str, str], *words: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        swarmd(*words),
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _until_connected(line: Proxy, count: int) -> None:
    deadline = time.monotonic() + 30
    while line.connections < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("cuts", [1, 3])
def test_submit_waits_on_over_a_line_that_is_cut(
    environment: dict[str, str], line: Proxy, peopled: Swarm, cuts: int
) -> None:
    with waiting(
        environment, "submit", "Sing", "--id", "m-cut", "--wait", "--timeout", "60"
    ) as process:
        assert process.stderr is not None
        while "mission m-cut" not in (said := process.stderr.readline()):
            assert said
        for _ in range(cuts):
            _until_connected(line, 2)
            line.reset()
            time.sleep(0.5)
        peopled.mission("m-cut", state="delivered", result="La", ended=AT)
        out, err = process.communicate(timeout=VERB_SECONDS)
        assert (process.returncode, out) == (0, "La\n"), err
        assert "trying again" in err
        assert "Traceback" not in err


@pytest.mark.parametrize(
    "words", [("terminate", "a-sub1"), ("freeze", "a-sub1"), ("grant", "a-sub1", "tool/file/read")]
)
def test_an_order_is_waited_for_over_a_line_that_is_cut(
    environment: dict[str, str], line: Proxy, peopled: Swarm, words: tuple[str, ...]
) -> None:
    with waiting(environment, *words, "--timeout", "60") as process:
        deadline = time.monotonic() + 30
        while not peopled.wire.command("XLEN", peopled.key("orders")):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        line.reset()
        with _supervisor(peopled, outcome="done", confirmed=1, unconfirmed=0, unreachable=0):
            _, err = process.communicate(timeout=VERB_SECONDS)
        assert process.returncode == 0, err


def test_a_server_that_stays_away_ends_the_wait_with_5_when_the_time_is_over(
    environment: dict[str, str], line: Proxy
) -> None:
    with waiting(
        environment, "submit", "Sing", "--id", "m-away", "--wait", "--timeout", "4"
    ) as process:
        assert process.stderr is not None
        while "mission m-away" not in (said := process.stderr.readline()):
            assert said
        line.is_half_open = True
        line.reset()
        out, err = process.communicate(timeout=VERB_SECONDS)
        assert (process.returncode, out) == (5, ""), err
        assert err.count("trying again") == 1


def test_a_wait_goes_on_with_the_swarm_that_was_started_anew() -> None:
    """The server of the data folder is another one then."""
    with short_folder() as data:
        environment = clean_environment(data)
        with swarm_up(data):
            assert verb(environment, "freeze", "all").returncode in (0, 1)
            words = ("submit", "What is a fence?", "--wait", "--timeout", "120")
            process = child(words, environment, keeps_stdout=True)
            waiter = process.__enter__()
            waiter.until_said("mission")
        try:
            waiter.until_said("trying again")
            with swarm_up(data):
                assert verb(environment, "thaw", "all").returncode == 0
                assert waiter.ended(120) in (0, 4), waiter.stderr
        finally:
            process.__exit__(None, None, None)
