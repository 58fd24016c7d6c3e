"""How long a verb that only looks takes to be there and gone, and what it loads for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

_PS: Final = "from swarmd.cli.main import main; main()"
# What a verb that only looks has no business with: model SDKs, and redis-py, which takes longer
# than all else.
_HEAVY: Final = ("openai", "httpx", "redis", "bm25s", "numpy")
_WHICH: Final = f"""
import json, sys
try:
    from swarmd.cli.main import main
    main()
except SystemExit:
    pass
print(json.dumps([name for name in {_HEAVY!r} if name in sys.modules]), file=sys.stderr)
"""
RUNS: Final = 10


async def start(socket: Path, namespace: str) -> dict[str, float]:
    """Milliseconds, medians of runs that take turns. Raises where a model SDK was loaded."""
    environment = {**os.environ, "REDIS_URL": f"unix://{socket}", "SWARMD_NAMESPACE": namespace}
    commands = {
        "ps_ms": (_PS, "ps"),
        "pass_ms": ("pass",),
        "typer_ms": ("import typer",),
    }
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(RUNS):
        for name, words in commands.items():
            taken[name].append(_milliseconds(words, environment))
    loaded = _run((_WHICH, "ps"), environment).stderr.splitlines()[-1]
    assert json.loads(loaded) == [], f"`swarmd ps` loads {loaded}"
    return {name: sorted(times)[RUNS // 2] for name, times in taken.items()}


def _milliseconds(words: tuple[str, ...], environment: dict[str, str]) -> float:
    started = time.perf_counter()
    _run(words, environment)
    return (time.perf_counter() - started) * 1e3


def _run(words: tuple[str, ...], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "-c", *words)
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True, timeout=30
    )
