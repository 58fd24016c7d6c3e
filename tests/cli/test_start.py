"""What a verb loads before it answers: a look that is asked for every few seconds loads little."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_LOADED = (
    "import sys\n"
    "from swarmd.cli.main import main\n"
    "main(sys.argv[1:])\n"
    "print('\\n'.join(sys.modules), file=sys.stderr)\n"
)


def loaded(*words: str, data: Path) -> set[str]:
    told = subprocess.run(
        [sys.executable, "-c", _LOADED, *words],
        env={"PATH": "/usr/bin:/bin", "SWARMD_DATA": str(data), "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set(told.stderr.split("\n"))


@pytest.mark.parametrize("words", [("version",), ("explain", "spawn.tier"), ("--version",)])
def test_what_needs_no_server_loads_no_store(words: tuple[str, ...], tmp_path: Path) -> None:
    found = loaded(*words, data=tmp_path)
    assert "swarmd.cli.main" in found
    assert not {name for name in found if name.startswith("swarmd.adapters.")}


@pytest.mark.parametrize("verb", ["ps", "tree", "missions", "health"])
def test_a_look_loads_neither_the_parser_nor_models_nor_verbs_that_order(
    verb: str, tmp_path: Path
) -> None:
    found = loaded(verb, data=tmp_path / "none")
    for heavy in ("typer", "pydantic", "rich", "openai", "anyio", "swarmd.cli.verbs.orders"):
        assert heavy not in found
