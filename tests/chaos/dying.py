"""`swarmd up` that kills itself at one atomic step: `python -m tests.chaos.dying KIND NUMBER
before|after`.

The steps of one kind are counted from when the folder's file `counting` is there, and each is noted
in `steps`. Before is when the step has not been asked of the store, after is when it has been
answered and nobody knows it yet.
"""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from swarmd.adapters.redis.store import RedisStore
from swarmd.cli.main import main

KINDS: Final = {
    "begin": "begin",
    "end": "end",
    "turn": "commit",
    "supervisor": "commit_changes",
}


def dying(kind: str, number: int, moment: str, data: Path) -> None:
    """Every atomic step is counted, and one of them is the process's last."""
    counted: Counter[str] = Counter()

    def wrapped(name: str, method: str) -> Callable[..., Awaitable[Any]]:
        whole = getattr(RedisStore, method)

        async def step(*words: Any, **more: Any) -> Any:
            if not (data / "counting").exists():
                return await whole(*words, **more)
            counted[name] += 1
            is_last = (name, counted[name]) == (kind, number)
            if is_last and moment == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            answer = await whole(*words, **more)
            if is_last:
                os.kill(os.getpid(), signal.SIGKILL)
            with (data / "steps").open("a") as noted:
                print(name, file=noted)
            return answer

        return step

    for name, method in KINDS.items():
        setattr(RedisStore, method, wrapped(name, method))


if __name__ == "__main__":
    dying(sys.argv[1], int(sys.argv[2]), sys.argv[3], Path(os.environ["SWARMD_DATA"]))
    sys.exit(main(["up"]))
