"""The table of docs/redis.md: what a restart of the server keeps, on each server there is.

    python -m tests.restart [PROGRAM…]

PROGRAM is a server's, such as /usr/bin/redis-server. Without one: the Valkey of the installation
and, where there is one, the machine's redis-server. Ends with 1 where a restart or a restored
backup loses anything with the users that `swarmd acl` makes.
"""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path

from tests.acl_server import Program, installed_redis, wheels_valkey
from tests.restart.rounds import measure

HEADINGS = (
    "server",
    "a restart",
    "a backup, restored",
    "default user `off -@all`",
    "then `off allkeys allchannels +@all`",
)


def main(words: list[str]) -> int:
    programs = [Program(Path(word).resolve()) for word in words]
    if not programs:
        programs = [one for one in (installed_redis(), wheels_valkey()) if one is not None]
    print(_line(HEADINGS))
    print(_line(["---"] * len(HEADINGS)))
    is_lost = False
    for program in programs:
        # The verbs that make the users tell of it.
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            row = measure(program)
        is_lost |= bool(row.before.differs(row.after) or row.before.differs(row.restored))
        print(_line(row.cells()), flush=True)
    return int(is_lost)


def _line(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


sys.exit(main(sys.argv[1:]))
