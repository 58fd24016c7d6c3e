"""`swarmd up` that kills itself at one atomic step: `python -m tests.chaos.dying KIND NUMBER
before|after`; with several such triples it is started again after each death and dies at the next.

A `report` is a turn that ends with a final report. The steps of one kind are counted from when the folder's file `counting` is there, anew in each of
its lives, and each is noted in `steps`. Before is when the step has not been asked of the store,
after is when it has been answered and nobody knows it yet.
"""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from swarmd.adapters.redis.store import RedisStore
from swarmd.adapters.server.process import ends_with_parent
from swarmd.cli.main import main
from swarmd.core.agent.turn import is_final
from swarmd.ports.stores import Turn

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
            made = {name, "report"} if name == "turn" and reports(words[2]) else {name}
            counted.update(made)
            is_last = kind in made and counted[kind] == number
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


def reports(turn: Turn) -> bool:
    return any(is_final(message) for _, message in turn.outputs)


def life(kind: str, number: str, moment: str) -> int:
    """`swarmd up` until it is ended, or dies as planned."""
    dying(kind, int(number), moment, Path(os.environ["SWARMD_DATA"]))
    return main(["up"])


def died(*death: str) -> None:
    """A life in a process of its own."""
    arm = ends_with_parent()
    pid = os.fork()
    if pid == 0:
        if arm is not None:
            arm()
        os._exit(life(*death))
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code != -signal.SIGKILL:
        sys.exit(f"not killed at {' '.join(death)}: ended with {code}")


if __name__ == "__main__":
    *deaths, last = zip(*[iter(sys.argv[1:])] * 3, strict=True)
    if deaths:
        # Once for all lives: it takes longer than what else they do.
        for module in ("swarmd.app.parts", "swarmd.adapters.models.openai.model"):
            import_module(module)
    for death in deaths:
        died(*death)
    sys.exit(life(*last))
