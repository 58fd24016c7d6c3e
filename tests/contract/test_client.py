"""`swarmd redis-cli`: what the small client prints of real replies, and how the installed one is
started.
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmd.adapters.redis.connection.requirements import connect_sync
from swarmd.adapters.redis.connection.sync_client import ErrorReply, Reply, Status
from swarmd.adapters.server import client
from swarmd.adapters.server.client import raw, readable, run, split
from swarmd.adapters.server.embedded import EmbeddedServer
from swarmd.errors import StoreUnavailableError, UsageError


class Terminal(io.BytesIO):
    def isatty(self) -> bool:
        return True


def typed(url: str, *args: str, stdin: bytes = b"", terminal: bool = True) -> tuple[int, str]:
    stdout = Terminal() if terminal else io.BytesIO()
    code = run(url, args, io.BytesIO(stdin), stdout, io.BytesIO())
    return code, stdout.getvalue().decode()


def test_on_a_terminal_a_reply_shows_its_type(redis_url: str, namespace: str) -> None:
    key = f"{namespace}:list"
    assert typed(redis_url, "PING") == (0, "PONG\n")
    assert typed(redis_url, "ECHO", "PONG") == (0, '"PONG"\n')
    assert typed(redis_url, "GET", f"{namespace}:nothing") == (0, "(nil)\n")
    assert typed(redis_url, "KEYS", f"{namespace}:nothing") == (0, "(empty array)\n")
    assert typed(redis_url, "RPUSH", key, "a b", 'say "hi"', "é\n") == (0, "(integer) 3\n")
    assert typed(redis_url, "LRANGE", key, "0", "-1") == (
        0,
        '1) "a b"\n2) "say \\"hi\\""\n3) "\\xc3\\xa9\\n"\n',
    )
    assert typed(redis_url, "GET", key) == (
        0,
        "(error) WRONGTYPE Operation against a key holding the wrong kind of value\n",
    )


def test_a_stream_is_numbered_as_redis_cli_does(redis_url: str, namespace: str) -> None:
    key = f"{namespace}:stream"
    for number in range(1, 11):
        typed(redis_url, "XADD", key, f"{number}-0", "text", f"message {number}")
    _, said = typed(redis_url, "XRANGE", key, "-", "+")
    assert said.splitlines()[:3] == [' 1) 1) "1-0"', '    2) 1) "text"', '       2) "message 1"']
    assert said.splitlines()[-3:] == ['10) 1) "10-0"', '    2) 1) "text"', '       2) "message 10"']


def test_in_a_pipe_there_are_values_alone(redis_url: str, namespace: str) -> None:
    key = f"{namespace}:list"
    assert typed(redis_url, "RPUSH", key, "a b", "c", terminal=False) == (0, "2\n")
    assert typed(redis_url, "LRANGE", key, "0", "-1", terminal=False) == (0, "a b\nc\n")
    assert typed(redis_url, "GET", f"{namespace}:nothing", terminal=False) == (0, "\n")
    assert typed(redis_url, "--no-raw", "LLEN", key, terminal=False) == (0, "(integer) 2\n")
    assert typed(redis_url, "--raw", "LLEN", key) == (0, "2\n")


def test_bytes_pass_through_a_pipe_unchanged(redis_url: str, namespace: str) -> None:
    with connect_sync(redis_url) as wire:
        wire.command("SET", namespace, b"\0\xff\r\n")
    stdout = io.BytesIO()
    run(redis_url, ["GET", namespace], io.BytesIO(), stdout, io.BytesIO())
    assert stdout.getvalue() == b"\0\xff\r\n\n"


def test_a_refused_command_fails_only_when_asked_to(redis_url: str) -> None:
    assert typed(redis_url, "NONSENSE")[0] == 0
    assert typed(redis_url, "-e", "NONSENSE")[0] == 1
    assert typed(redis_url, "-e", "PING")[0] == 0


def test_commands_come_from_a_pipe_one_a_line(redis_url: str, namespace: str) -> None:
    key = f"{namespace}:key"
    said = f"""
        SET {key} "two words\\n"
        GET {key}
        'not closed
        NONSENSE
        quit
        GET {key}
    """
    code, heard = typed(redis_url, stdin=said.encode())
    assert code == 0
    assert heard.splitlines()[:3] == ["OK", '"two words\\n"', "Invalid argument(s)"]
    assert heard.splitlines()[3].startswith("(error) ERR unknown command 'NONSENSE'")
    assert len(heard.splitlines()) == 4


def test_an_option_it_does_not_know_is_a_usage_error(redis_url: str) -> None:
    with pytest.raises(UsageError, match="--cluster"):
        typed(redis_url, "--cluster", "info")


def test_a_server_that_is_away_is_told(short_path: Path) -> None:
    with pytest.raises(StoreUnavailableError):
        typed(f"unix://{short_path}/nothing.sock", "PING")


# --- a subscription ---------------------------------------------------------------------------

CLI = """
    import sys
    from pathlib import Path
    from swarmd.adapters.server.client import run
    sys.exit(run(Path(sys.argv[1]), sys.argv[2:], sys.stdin.buffer, sys.stdout.buffer, sys.stderr.buffer))
"""


@pytest.fixture
def subscriber(server: EmbeddedServer, namespace: str) -> Iterator[subprocess.Popen[str]]:
    command = [
        sys.executable,
        "-c",
        textwrap.dedent(CLI),
        str(server.socket),
        "SUBSCRIBE",
        namespace,
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert heard(process, 3) == ["subscribe", namespace, "1"]
        yield process
        process.kill()


def heard(process: subprocess.Popen[str], count: int) -> list[str]:
    assert process.stdout is not None
    return [process.stdout.readline().rstrip("\n") for _ in range(count)]


def test_a_subscription_prints_each_message_as_it_comes_until_ctrl_c(
    subscriber: subprocess.Popen[str], redis_url: str, namespace: str
) -> None:
    for text in ("first", "second"):
        assert typed(redis_url, "PUBLISH", namespace, text) == (0, "(integer) 1\n")
        assert heard(subscriber, 3) == ["message", namespace, text]
    subscriber.send_signal(signal.SIGINT)
    out, errors = subscriber.communicate(timeout=10)
    assert (subscriber.returncode, out, errors) == (130, "", "")


def test_who_stops_reading_ends_it_silently(
    subscriber: subprocess.Popen[str], redis_url: str, namespace: str
) -> None:
    assert subscriber.stdout is not None
    assert subscriber.stderr is not None
    subscriber.stdout.close()
    typed(redis_url, "PUBLISH", namespace, "to nobody")
    assert subscriber.wait(timeout=10) == 0
    assert subscriber.stderr.read() == ""


# --- the installed client ---------------------------------------------------------------------


@pytest.fixture
def recorder(tmp_path: Path) -> Path:
    """Stands where redis-cli would, and prints how it was started."""
    path = tmp_path / "redis-cli"
    path.write_text('#!/bin/sh\necho "$@"; echo "auth=$REDISCLI_AUTH"; cat; exit 7\n')
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("target", "options", "password"),
    [
        ("unix:///a/b.sock", "-s /a/b.sock", ""),
        ("redis://host:7000/2", "-h host -p 7000 -n 2", ""),
        ("redis://me:p%40ss@host", "-h host -p 6379 --user me", "p@ss"),
        (
            "rediss://:word@host?ssl_ca_certs=/ca.pem",
            "-h host -p 6379 --tls --sni host --cacert /ca.pem",
            "word",
        ),
    ],
)
def test_an_installed_client_is_started_without_the_password_on_its_command_line(
    recorder: Path, tmp_path: Path, target: str, options: str, password: str
) -> None:
    with (tmp_path / "in").open("w+b") as stdin, (tmp_path / "out").open("w+b") as stdout:
        stdin.write(b"what was piped\n")
        stdin.seek(0)
        code = run(target, ["GET", "x"], stdin, stdout, stdout, client=str(recorder))
    assert code == 7
    assert (tmp_path / "out").read_text() == f"{options} GET x\nauth={password}\nwhat was piped\n"


def test_an_installed_client_is_found_on_the_path(
    recorder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(recorder.parent))
    assert client.installed() == str(recorder)
    monkeypatch.setenv("PATH", "")
    assert client.installed() is None


@pytest.mark.skipif(
    client.installed() is None and "CI" not in os.environ, reason="no redis-cli on this machine"
)
def test_the_small_client_prints_what_the_real_one_prints(
    server: EmbeddedServer, namespace: str
) -> None:
    real = client.installed()
    assert real is not None
    with connect_sync(server.socket) as wire:
        wire.command("RPUSH", namespace, "a", 'b "c"', "\x7f\n")
    commands = (
        ["LRANGE", namespace, "0", "-1"],
        ["EVAL", "return {1, {false, {}, {'x', {'y'}}}, redis.status_reply('S'), 'z'}", "0"],
        ["GET", namespace],
        ["LLEN", namespace],
        ["PING"],
    )
    for flag in ("--raw", "--no-raw"):
        for command in commands:
            theirs = subprocess.run(
                [real, "-s", server.socket, flag, *command], capture_output=True, check=False
            )
            ours = io.BytesIO()
            run(server.socket, [flag, *command], io.BytesIO(), ours, io.BytesIO())
            assert ours.getvalue() == theirs.stdout


# --- words ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", []),
        ("  SET key value ", [b"SET", b"key", b"value"]),
        (r'"a b" "\x41\n\"\\" ""', [b"a b", b'A\n"\\', b""]),
        (r"'a\n' 'it\'s'", [b"a\\n", b"it's"]),
        ('pre"fixed word"', [b"prefixed word"]),
        ("é", ["é".encode()]),
        ('"open', None),
        ("'open", None),
        ('"closed"too', None),
        ('"ends with \\', None),
    ],
)
def test_a_line_is_split_as_redis_cli_splits_it(line: str, words: list[bytes] | None) -> None:
    assert split(line) == words


@given(st.lists(st.binary(max_size=20), max_size=5))
def test_what_is_printed_for_a_person_can_be_pasted_back(words: list[bytes]) -> None:
    line = b" ".join(readable(word).strip(b"\n") for word in words)
    assert split(line.decode()) == words


@given(st.text(max_size=60))
def test_no_line_breaks_the_splitting(line: str) -> None:
    words = split(line)
    assert words is None or all(isinstance(word, bytes) for word in words)


def test_errors_and_nothing_inside_an_array_are_shown_as_what_they_are() -> None:
    reply: Reply = [None, ErrorReply("ERR no"), Status("OK"), [], [[7]]]
    assert readable(reply).decode().splitlines() == [
        "1) (nil)",
        "2) (error) ERR no",
        "3) OK",
        "4) (empty array)",
        "5) 1) 1) (integer) 7",
    ]
    assert raw(reply) == b"\nERR no\n\nOK\n\n7"
