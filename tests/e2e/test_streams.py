"""Real processes whose standard streams are closed, full or of the wrong kind: nothing but the
text is lost.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from tests.conftest import SECRET
from tests.e2e.swarm_process import (
    END_SECONDS,
    VERB_SECONDS,
    clean_environment,
    short_folder,
    swarmd,
)
from tests.e2e.test_cli_inspect import Swarm, peopled, swarm

__all__ = ["peopled", "swarm"]

# Every verb that comes back by itself, and what it ends with where nothing is wrong with its
# streams.
VERBS: Final[dict[str, int]] = {
    "version": 0,
    "nonsense": 2,
    "missions": 0,
    "ps": 0,
    "tree": 0,
    "top --once": 0,
    "inspect nobody": 3,
    "why a-exec1 tool/file/read": 4,
    "tail journal --no-follow": 0,
    "health": 7,
    "check": 0,
    "acl": 0,
    "redis-cli PING": 0,
    "submit 'What is a fence?'": 0,
    "submit -": 2,
    "say room:sob hello": 0,
    "terminate a-sub1 --timeout 0": 6,
}
CLOSED: Final = ("<&-", ">&-", "2>&-", "<&- >&- 2>&-")
FULL: Final = (">/dev/full", "2>/dev/full", ">/dev/full 2>/dev/full", "1</dev/null")
# The combinations that every verb is tried with; the others are tried with one that says something
# on both.
ON_ALL: Final = ("<&- >&- 2>&-", ">/dev/full", "2>/dev/full")
ON_SOME: Final = {line: VERBS[line] for line in ("acl", "submit -")}


@pytest.fixture
def environment(redis_url: str, peopled: Swarm, tmp_path: Path) -> dict[str, str]:
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET)
    secret.chmod(0o600)
    return clean_environment(
        tmp_path,
        REDIS_URL=redis_url,
        SWARMD_NAMESPACE=peopled.namespace,
        SWARMD_SECRET_FILE=str(secret),
    )


Ran = tuple[int, str, str]


def shell(
    line: str, environment: dict[str, str], redirection: str = "", cwd: Path | None = None
) -> Ran:
    command = f"{shlex.join(swarmd())} {line} {redirection}"
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        env=environment,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=VERB_SECONDS,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def side_by_side(environment: dict[str, str], redirection: str) -> dict[str, Ran]:
    lines = VERBS if redirection in ("", *ON_ALL) else ON_SOME
    with ThreadPoolExecutor(4) as threads:
        ran = threads.map(lambda line: shell(line, environment, redirection), lines)
        return dict(zip(lines, ran, strict=True))


@pytest.mark.parametrize("redirection", CLOSED)
def test_a_closed_stream_is_as_if_it_were_dev_null(
    environment: dict[str, str], redirection: str
) -> None:
    ran = side_by_side(environment, redirection)
    assert {line: code for line, (code, _, _) in ran.items()} == {line: VERBS[line] for line in ran}
    assert not [err for _, _, err in ran.values() if "Traceback" in err]
    # What is for standard error is not found among the data where that is closed.
    assert not [out for _, out, _ in ran.values() if "swarmd:" in out or "hint:" in out]


@pytest.mark.parametrize("redirection", FULL)
def test_a_result_that_cannot_be_written_is_one_line_and_1_and_a_full_log_stops_nobody(
    environment: dict[str, str], redirection: str
) -> None:
    ran = side_by_side(environment, redirection)
    gives_data = {line for line, (_, out, _) in side_by_side(environment, "").items() if out}
    for line, (code, _, err) in ran.items():
        assert "Traceback" not in err, line
        # An installed redis-cli ends as it likes.
        if redirection == "2>/dev/full" or line not in gives_data or line.startswith("redis-cli"):
            assert code == VERBS[line], line
            continue
        assert code == 1, line
        told = [one for one in err.splitlines() if "cannot be written to standard output" in one]
        assert len(told) == (0 if "2>" in redirection else 1), line


def test_what_the_built_in_redis_client_cannot_write_is_told(environment: dict[str, str]) -> None:
    alone = environment | {"PATH": "/nonexistent"}
    code, _, err = shell("redis-cli PING", alone, ">/dev/full")
    assert (code, len(err.splitlines())) == (1, 1)


@pytest.mark.parametrize("redirection", ["<&-", "<&- >&- 2>&-", ">/dev/full", "2>/dev/full"])
def test_run_does_its_mission_whatever_its_streams_are(redirection: str, tmp_path: Path) -> None:
    (tmp_path / "fence.md").write_text("A fence is one mark on a path segment.\n")
    with short_folder() as data:
        environment = clean_environment(data)
        code, out, err = shell(
            "run 'What is a fence?' --files fence.md", environment, redirection, tmp_path
        )
        is_lost = ">/dev/full" in redirection.replace("2>/dev/full", "") or "1<" in redirection
        assert code == (1 if is_lost else 0), err
        assert "Traceback" not in err
        if redirection in ("<&-", "2>&-", "2>/dev/full"):
            assert "one mark on a path segment" in out
        if is_lost and "2>" not in redirection:
            assert "cannot be written to standard output" in err.splitlines()[-1]
        assert '"state": "delivered"' in shell("missions --json", environment)[1]


@pytest.fixture(params=["<&- >&- 2>&-", ">/dev/full 2>/dev/full"])
def up(request: pytest.FixtureRequest) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, str]]]:
    with short_folder() as data:
        environment = clean_environment(data)
        command = f"exec {shlex.join(swarmd())} up --log-level debug {request.param}"
        process = subprocess.Popen(
            ["/bin/sh", "-c", command], env=environment, stdin=subprocess.DEVNULL
        )
        try:
            yield process, environment
        finally:
            if process.poll() is None:
                process.kill()
            process.wait(END_SECONDS)


def test_a_daemon_serves_and_drains_with_no_place_for_its_log(
    up: tuple[subprocess.Popen[bytes], dict[str, str]],
) -> None:
    process, environment = up
    for _ in range(100):
        if shell("health", environment)[0] == 0:
            break
        assert process.poll() is None
    code, out, err = shell("submit 'What is a fence?' --wait --timeout 60", environment)
    assert (code, bool(out)) == (0, True), err
    process.send_signal(signal.SIGTERM)
    assert process.wait(END_SECONDS) == 143


def test_a_stream_that_takes_nothing_at_the_moment_is_waited_for(
    environment: dict[str, str],
) -> None:
    """Another program may have made a pipe non-blocking that this one inherits."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    # Nobody reads: the pipe is full after 64 KiB, and so is what this process may write at once.
    os.write(writing, b"x" * 65_536)
    process = subprocess.Popen(
        swarmd("acl"), env=environment, stdout=writing, stderr=subprocess.PIPE
    )
    os.close(writing)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(2)
    with os.fdopen(reading, "rb") as reader:
        assert b"-worker" in reader.read()
    assert process.wait(END_SECONDS) == 0
    assert process.stderr is not None
    process.stderr.close()
