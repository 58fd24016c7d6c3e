"""The standard streams of this process, made fit to be used before a verb begins.

Three things are different from what Python gives. A stream that was closed by whoever started this
process is `/dev/null`: otherwise the next file or socket would get its number, and would be written
to as if it were the stream. What is written to standard error and cannot be written is dropped: a
log disk that is full, or a terminal that has gone, must stop nobody. What cannot be written to
standard output is `UnwritableError`: the result was asked for, so that it is missing is told, in
one line.
"""

from __future__ import annotations

import io
import os
import select
import sys
from typing import TYPE_CHECKING, Final, TextIO, cast

from swarmd.errors import UnwritableError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_INPUT: Final = 0
_OUTPUT: Final = 1
_ERROR: Final = 2


def prepare() -> None:
    """Call it first of all: what is opened before may already have the number of a closed
    stream.
    """
    closed = [number for number in (_INPUT, _OUTPUT, _ERROR) if _is_closed(number)]
    for number in closed:
        # The lowest free number is given, so in this order each gets the one that is missing.
        opened = os.open(os.devnull, os.O_RDWR)
        assert opened == number
        # Children inherit it, or they would have the closed stream that this process had.
        os.set_inheritable(number, True)
    if _INPUT in closed:
        sys.stdin = open(_INPUT, encoding="utf-8", closefd=False)  # noqa: SIM115 - as long as the process
    # Others than Python's own are left alone: whoever put them there knows how they are to be
    # written.
    if sys.stdout is sys.__stdout__:
        sys.stdout = _text(sys.stdout, _Result(_OUTPUT, "wb", closefd=False))
    if sys.stderr is sys.__stderr__:
        sys.stderr = _text(sys.stderr, _Log(_ERROR, "wb", closefd=False))


def give_up(stream: TextIO) -> None:
    """Nothing more is written to it, what it still holds included: at its exit Python would try
    again.
    """
    try:
        number = stream.fileno()
    except (OSError, ValueError):
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)


def _is_closed(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return True
    return False


def _text(former: TextIO | None, raw: io.FileIO) -> TextIO:
    """Text over `raw`, encoded and buffered as the former stream was."""
    is_unbuffered = getattr(former, "write_through", False)
    return io.TextIOWrapper(
        # A raw stream will do for it: ours writes all that it is given. Only its type says
        # otherwise.
        cast("io.BufferedWriter", raw) if is_unbuffered else io.BufferedWriter(raw),
        encoding=getattr(former, "encoding", None) or "utf-8",
        # Text may hold what this terminal's encoding does not: shown as an escape, never a
        # traceback.
        errors="backslashreplace",
        line_buffering=raw.fileno() == _ERROR or raw.isatty(),
        write_through=is_unbuffered,
    )


class _Whole(io.FileIO):
    """Writes all that it is given. It waits where the stream takes nothing at the moment: another
    program that has the same terminal or pipe may have made it non-blocking."""

    def write(self, data: ReadableBuffer, /) -> int:
        rest = memoryview(data).cast("B")
        size = len(rest)
        while rest:
            written = super().write(rest)
            if written is None:
                select.select([], [self], [])
            else:
                rest = rest[written:]
        return size


class _Result(_Whole):
    """Standard output. A reader that has gone is no fault: `BrokenPipeError` is left to the
    entrance.
    """

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            why = error.strerror or error
            raise UnwritableError(
                f"the result cannot be written to standard output: {why}; what was done stands"
            ) from error


class _Log(_Whole):
    """Standard error."""

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes
