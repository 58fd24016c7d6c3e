"""A copy of the source with one file more, and processes in it: for tests of what an addition
takes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]


def copy_source(folder: Path, added: str, text: str) -> Path:
    """`added` is the path of the new file, below the project's own folder."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "swarmd", folder / "swarmd", ignore=ignored)
    (folder / added).write_text(text.lstrip(), encoding="utf-8")
    return folder


def run_in(folder: Path, *words: str) -> str:
    """What Python says there on its standard output. The tests' own modules are at hand."""
    path = os.pathsep.join([str(folder), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": path, "NO_COLOR": "1", "COLUMNS": "200"}
    done = subprocess.run(
        [sys.executable, *words],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
