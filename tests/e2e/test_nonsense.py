"""What stands at the server's address is no server, or one that refuses: one line that says so,
and 5.
"""

from __future__ import annotations

import shlex
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

import pytest

from swarmd.adapters.redis.connection import sync_client as wire_module
from swarmd.adapters.redis.connection.sync_client import ErrorReply, Status
from swarmd.adapters.redis.shapes import fits
from swarmd.cli.main import main

LOOKS: Final = (
    "missions",
    "ps",
    "tree",
    "top --once",
    "stops",
    "approvals",
    "inspect x",
    "why x tool/file/read",
    "health",
    "tail journal --no-follow",
    "tail room:x --no-follow",
    "dead ls",
    "dead show 1-0",
    "override ls",
    "journal verify",
    "journal at 1",
    "fsck",
    "acl --check",
    "ps --json",
    "health --json",
)

# Whatever is asked, this is the answer.
ANSWERS: Final[dict[str, bytes]] = {
    "http": b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\n\r\n<html>no</html>",
    "tls": b"\x15\x03\x01\x00\x02\x02\x0a",
    "ssh": b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
    "garbage": bytes(range(256)),
    "nothing but a line feed": b"\n",
    "status": b"+OK\r\n",
    "queued": b"+QUEUED\r\n",
    "number": b":1\r\n",
    "no number": b":x\r\n",
    "text": b"$3\r\nfoo\r\n",
    "null": b"$-1\r\n",
    "null array": b"*-1\r\n",
    "empty array": b"*0\r\n",
    "array of arrays": b"*2\r\n*1\r\n:1\r\n*0\r\n",
    "odd array": b"*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n",
    "entries that are none": b"*1\r\n*2\r\n$1\r\nx\r\n*0\r\n",
    "text beyond all bounds": b"$99999999999999\r\n",
    "array beyond all bounds": b"*99999999999999\r\n",
    "nested without end": b"*1\r\n" * 5_000,
    "NOAUTH": b"-NOAUTH Authentication required.\r\n",
    "WRONGPASS": b"-WRONGPASS invalid username-password pair or user is disabled.\r\n",
    "NOPERM": b"-NOPERM this user has no permissions to run the 'get' command\r\n",
    "LOADING": b"-LOADING Redis is loading the dataset in memory\r\n",
    "MISCONF": b"-MISCONF Redis is configured to save RDB snapshots\r\n",
    "READONLY": b"-READONLY You can't write against a read only replica.\r\n",
    "OOM": b"-OOM command not allowed when used memory > 'maxmemory'.\r\n",
    "clients": b"-ERR max number of clients reached\r\n",
    "unknown": b"-ERR unknown command 'x', with args beginning with: \r\n",
    "other": b"-ERR something else\r\n",
}

Answer = Callable[[socket.socket], None]


@contextmanager
def answering(answer: Answer) -> Iterator[int]:
    """The port of a server that does this with each connection."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with_connection(self.request)

    def with_connection(connection: socket.socket) -> None:
        with suppress(OSError):
            answer(connection)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()


def repeating(said: bytes) -> Answer:
    """One answer for each command, as far as commands can be told apart."""

    def answer(connection: socket.socket) -> None:
        while asked := connection.recv(65_536):
            connection.sendall(
                said * max(1, sum(line.startswith(b"*") for line in asked.split(b"\r\n")))
            )

    return answer


@pytest.fixture
def told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[str], tuple[int, str]]:
    monkeypatch.delenv("REDIS_URL", raising=False)

    def run(line: str) -> tuple[int, str]:
        code = main(shlex.split(line))
        out, err = capsys.readouterr()
        return code, out + err

    return run


@pytest.mark.parametrize("name", ANSWERS)
def test_a_look_at_what_is_no_server_is_one_line_and_5(
    name: str, told: Callable[[str], tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering(repeating(ANSWERS[name])) as port:
        for url in (f"redis://127.0.0.1:{port}", f"redis://u:hidden-word@127.0.0.1:{port}/1"):
            monkeypatch.setenv("REDIS_URL", url)
            for line in LOOKS if "/1" not in url else LOOKS[:2]:
                code, said = told(line)
                # With this alone an answer can be right, or refuse no more than a part.
                assert code == 5 or _is_possible(name, line, code), (line, code, said)
                assert "hidden-word" not in said
                assert (
                    len([one for one in said.splitlines() if not one.startswith("hint:")]) <= 3
                ), said


def _is_possible(name: str, line: str, code: int) -> bool:
    verb = line.split(maxsplit=1)[0]
    if name in ("null", "text", "empty array", "null array") and code in (0, 3, 7):
        return True
    # These ask what their user may ask, and say what it may not.
    return name == "NOPERM" and verb == "health" and code == 7


@pytest.mark.parametrize(
    "name", ["http", "text beyond all bounds", "array of arrays", "other", "null", "number"]
)
@pytest.mark.parametrize(
    "scheme", ["redis+sentinel://127.0.0.1:{port}/service", "redis+cluster://127.0.0.1:{port}"]
)
def test_sentinels_and_nodes_that_are_none_are_told_too(
    name: str, scheme: str, told: Callable[[str], tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "swarmd.adapters.redis.connection.discovery.located.__kwdefaults__",
        {"seconds": 0.0},
        raising=False,
    )
    with answering(repeating(ANSWERS[name])) as port:
        monkeypatch.setenv("REDIS_URL", scheme.format(port=port))
        code, said = told("missions")
    assert code == 5, said


@pytest.mark.parametrize(
    "named",
    [
        b"*2\r\n$3\r\n\xff\xfe\xfd\r\n$4\r\n6379\r\n",
        b"*2\r\n$9\r\n127.0.0.1\r\n$3\r\nabc\r\n",
        b"*2\r\n$9\r\n127.0.0.1\r\n$5\r\n99999\r\n",
        b"*2\r\n$0\r\n\r\n$4\r\n6379\r\n",
    ],
)
def test_a_sentinel_that_names_no_server_is_told(
    named: bytes, told: Callable[[str], tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "swarmd.adapters.redis.connection.discovery.located.__kwdefaults__",
        {"seconds": 0.0},
        raising=False,
    )

    def answer(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(named + b"*2\r\n$12\r\nconfig-epoch\r\n$1\r\n7\r\n*0\r\n")
        connection.recv(1)

    with answering(answer) as port:
        monkeypatch.setenv("REDIS_URL", f"redis+sentinel://127.0.0.1:{port}/service")
        code, said = told("missions")
    assert code == 5
    assert "cannot be read" in said


def test_a_server_that_hangs_up_or_says_nothing_is_told(
    told: Callable[[str], tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire_module, "COMMAND_SECONDS", 0.3)
    monkeypatch.setattr(
        "swarmd.adapters.redis.connection.requirements.connect_sync.__kwdefaults__",
        {"namespace": "", "seconds": 0.3},
    )

    def silent(connection: socket.socket) -> None:
        while connection.recv(65_536):
            pass

    def hangs_up(connection: socket.socket) -> None:
        connection.close()

    for answer in (silent, hangs_up):
        with answering(answer) as port:
            monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{port}")
            for line in ("missions", "health", "tail journal --no-follow", "submit x"):
                code, said = told(line)
                assert (code, len(said.splitlines()) <= 2) == (5, True), (line, said)


def test_a_line_without_an_end_takes_no_memory(
    told: Callable[[str], tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def endless(connection: socket.socket) -> None:
        while True:
            connection.sendall(b"x" * 65_536)

    with answering(endless) as port:
        monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{port}")
        code, said = told("missions")
    assert code == 5
    assert "does not speak the Redis protocol" in said


def test_an_answer_has_the_shape_of_its_command() -> None:
    assert fits("GET", b"x")
    assert fits("get", None)
    assert not fits("GET", [])
    assert not fits("GET", Status("OK"))
    assert fits("HGETALL", [b"a", b"b"])
    assert not fits("HGETALL", [b"a"])
    assert fits("XRANGE", [[b"1-0", [b"m", b"{}"]]])
    assert not fits("XRANGE", [[b"one", [b"m", b"{}"]]])
    assert fits("XRANGE", ErrorReply("ERR no"))
