"""`swarmd redis-cli`: a client on the swarm's server, for people who look with Redis's own words.

Where `redis-cli` or `valkey-cli` is installed it is the one that runs. Elsewhere, which is anywhere
that only swarmd was installed, a small client speaks for it and prints what it would print: types
and numbering for a person on a terminal, plain values for a pipe.

redis-py is of no use for that: it turns replies into Python's values, so that `OK` the status and
"OK" the value look alike.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from typing import BinaryIO, Final

from swarmd.adapters.redis.connection.address import Address, Target, place_of
from swarmd.adapters.redis.connection.discovery import located
from swarmd.adapters.redis.connection.sync_client import ErrorReply, Reply, Status, Wire
from swarmd.errors import UsageError

_INSTALLED: Final = ("redis-cli", "valkey-cli")
_STREAMING: Final = frozenset({"SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "MONITOR"})
_LEAVING: Final = frozenset({"QUIT", "EXIT"})
_ESCAPES: Final = {"n": 10, "r": 13, "t": 9, "b": 8, "a": 7}
_HEX_BYTE: Final = re.compile("[0-9a-fA-F]{2}")
_INTERRUPTED: Final = 130


def installed() -> str | None:
    """The path of a real `redis-cli` or `valkey-cli`."""
    return next(filter(None, map(shutil.which, _INSTALLED)), None)


def run(
    target: Target,
    args: Sequence[str],
    stdin: BinaryIO,
    stdout: BinaryIO,
    stderr: BinaryIO,
    *,
    client: str | None = None,
    namespace: str = "",
) -> int:
    """Runs `client` (see `installed`), or where that is `None` the small one, until it ends.

    Returns its exit code, which is redis-cli's: 0 even where the server refused the command, unless
    `-e` was given; 130 after Ctrl-C. Raises `StoreUnavailableError` where the server cannot be
    reached.
    """
    place = located(place_of(target), namespace)
    if client is not None:
        return _run_installed(client, place, args, stdin, stdout, stderr)
    return _run_small(place, args, stdin, stdout)


def _run_small(place: Address, args: Sequence[str], stdin: BinaryIO, stdout: BinaryIO) -> int:
    options, words = _split_options(args)
    is_raw = "--raw" in options or ("--no-raw" not in options and not stdout.isatty())
    with Wire(place) as wire:
        # BLPOP and SUBSCRIBE wait as long as they like: their bound is the person's Ctrl-C.
        wire.wait_without_bound()
        session = _Session(wire, stdout, is_raw=is_raw)
        try:
            if words:
                is_refused = session.command([_as_bytes(word) for word in words])
                return 1 if is_refused and "-e" in options else 0
            session.converse(_read_lines(stdin, stdout, f"{place}> "))
        except KeyboardInterrupt:
            return _INTERRUPTED
        except BrokenPipeError:
            _discard_rest(stdout)
    return 0


def _as_bytes(word: str) -> bytes:
    return word.encode("utf-8", "surrogateescape")


def _discard_rest(stdout: BinaryIO) -> None:
    """Whoever read us has seen enough (`| head`). What is still buffered goes nowhere, silently."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())


# --- the installed client ---------------------------------------------------------------------


def _run_installed(
    client: str,
    place: Address,
    args: Sequence[str],
    stdin: BinaryIO,
    stdout: BinaryIO,
    stderr: BinaryIO,
) -> int:
    environment = dict(os.environ)
    if place.password:
        # Not on the command line, which every user of the machine can read.
        environment["REDISCLI_AUTH"] = place.password
    command = [client, *_connection_options(place), *args]
    with subprocess.Popen(
        command, stdin=stdin, stdout=stdout, stderr=stderr, env=environment
    ) as process:
        # Ctrl-C is the client's (it leaves a subscription by it); we only outlive it.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            code = process.wait()
        finally:
            signal.signal(signal.SIGINT, before)
    return code if code >= 0 else 128 - code


def _connection_options(place: Address) -> list[str]:
    """Option by option instead of `-u URL`, because that would hold the password."""
    options = ["-s", place.path] if place.path else ["-h", place.host, "-p", str(place.port)]
    if place.db:
        options += ["-n", str(place.db)]
    if place.username:
        options += ["--user", place.username]
    return [*options, *_tls_options(place)] if place.is_tls else options


_FILES_OF_TLS: Final = {
    "ssl_ca_certs": "--cacert",
    "ssl_certfile": "--cert",
    "ssl_keyfile": "--key",
}


def _tls_options(place: Address) -> list[str]:
    options = ["--tls", "--sni", place.host]
    for key, name in _FILES_OF_TLS.items():
        if value := place.options.get(key):
            options += [name, value]
    return [*options, "--insecure"] if place.options.get("ssl_cert_reqs") == "none" else options


# --- the small client -------------------------------------------------------------------------


def _split_options(args: Sequence[str]) -> tuple[set[str], list[str]]:
    """redis-cli's options that change what is printed; the others would change where it
    connects.
    """
    words = list(args)
    options: set[str] = set()
    while words and words[0].startswith("-"):
        option = words.pop(0)
        if option not in ("--raw", "--no-raw", "-e"):
            raise UsageError(
                f"the built-in redis-cli does not know {option}",
                hint="it knows --raw, --no-raw and -e; install redis-cli for the others",
            )
        options.add(option)
    return options, words


class _Session:
    """Commands on one connection, printed as they are answered."""

    def __init__(self, wire: Wire, stdout: BinaryIO, *, is_raw: bool) -> None:
        self._wire = wire
        self._stdout = stdout
        self._is_raw = is_raw

    def command(self, words: list[bytes]) -> bool:
        """Prints the answer; of a subscription, every message until Ctrl-C. Returns whether it
        was refused.
        """
        name = words[0].decode("utf-8", "replace").upper()
        reply = self._wire.command(*words)
        if name not in _STREAMING or isinstance(reply, ErrorReply):
            self._print_reply(reply)
            return isinstance(reply, ErrorReply)
        if not self._is_raw and name != "MONITOR":
            self._write_out(b"Reading messages... (press Ctrl-C to quit)\n")
        while True:
            self._print_reply(reply)
            reply = self._wire.read()

    def converse(self, lines: Iterator[str]) -> None:
        """A command a line. One that cannot be read or is refused does not end the conversation."""
        for line in lines:
            words = split(line)
            if words is None:
                self._write_out(b"Invalid argument(s)\n")
            elif words and words[0].decode("utf-8", "replace").upper() in _LEAVING:
                return
            elif words:
                self.command(words)

    def _print_reply(self, reply: Reply) -> None:
        self._write_out(raw(reply) + b"\n" if self._is_raw else readable(reply))

    def _write_out(self, text: bytes) -> None:
        self._stdout.write(text)
        self._stdout.flush()


def _read_lines(stdin: BinaryIO, stdout: BinaryIO, prompt: str) -> Iterator[str]:
    if not (stdin.isatty() and stdout.isatty()):
        for line in stdin:
            yield line.decode("utf-8", "surrogateescape")
        return
    # Gives input() its editing and history. A Python built without it still reads lines.
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401
    while True:
        try:
            yield input(prompt)
        except EOFError:
            return


def split(line: str) -> list[bytes] | None:
    r"""The words of a line by redis-cli's rules, or `None` where the quotes do not match.

    Inside "…": `\n \r \t \b \a \" \\` and `\xHH`. Inside '…': `\'` only. A closing quote ends the
    word, so what follows must be a space.
    """
    words: list[bytes] = []
    at = 0
    while True:
        while at < len(line) and line[at].isspace():
            at += 1
        if at == len(line):
            return words
        found = _read_word(line, at)
        if found is None:
            return None
        word, at = found
        words.append(word)


def _read_word(line: str, at: int) -> tuple[bytes, int] | None:
    word = bytearray()
    while at < len(line) and not line[at].isspace():
        if line[at] not in "\"'":
            word += _as_bytes(line[at])
            at += 1
            continue
        found = _read_quoted(line, at + 1, line[at])
        if found is None:
            return None
        inner, at = found
        word += inner
        if at < len(line) and not line[at].isspace():
            return None
    return bytes(word), at


def _read_quoted(line: str, at: int, quote: str) -> tuple[bytes, int] | None:
    inner = bytearray()
    while at < len(line):
        if line[at] == quote:
            return bytes(inner), at + 1
        taken, at = _read_escaped(line, at, quote)
        inner += taken
    return None


def _read_escaped(line: str, at: int, quote: str) -> tuple[bytes, int]:
    following = line[at + 1 : at + 2]
    if line[at] != "\\" or not following or (quote == "'" and following != "'"):
        return _as_bytes(line[at]), at + 1
    number = _HEX_BYTE.match(line, at + 2)
    if following == "x" and number:
        return bytes([int(number[0], 16)]), at + 4
    if following in _ESCAPES:
        return bytes([_ESCAPES[following]]), at + 2
    return _as_bytes(following), at + 2


# --- what is printed --------------------------------------------------------------------------


def raw(reply: Reply) -> bytes:
    """For a pipe: values alone, one a line."""
    if reply is None:
        return b""
    if isinstance(reply, list):
        return b"\n".join(map(raw, reply))
    if isinstance(reply, ErrorReply):
        return f"{reply}\n".encode()
    return reply if isinstance(reply, bytes) else str(reply).encode()


def readable(reply: Reply, indent: int = 0) -> bytes:
    """For a person: the type of each value, and the place of each in its array. Ends with a line
    break.
    """
    if not isinstance(reply, list):
        return _show_scalar(reply) + b"\n"
    if not reply:
        return b"(empty array)\n"
    width = len(str(len(reply)))
    lines = [
        b"%*d) " % (width, place) + readable(each, indent + width + 2)
        for place, each in enumerate(reply, 1)
    ]
    # The first element stands behind its array's own number, the others below it.
    return (b" " * indent).join(lines)


def _show_scalar(reply: Status | ErrorReply | bytes | int | None) -> bytes:
    if reply is None:
        return b"(nil)"
    if isinstance(reply, ErrorReply):
        return f"(error) {reply}".encode()
    if isinstance(reply, Status):
        return str(reply).encode()
    if isinstance(reply, int):
        return b"(integer) %d" % reply
    return b'"' + b"".join(map(_shown_byte, reply)) + b'"'


def _shown_byte(byte: int) -> bytes:
    named = {
        ord('"'): b'\\"',
        ord("\\"): b"\\\\",
        10: b"\\n",
        13: b"\\r",
        9: b"\\t",
        7: b"\\a",
        8: b"\\b",
    }
    if byte in named:
        return named[byte]
    return bytes([byte]) if 32 <= byte < 127 else b"\\x%02x" % byte
