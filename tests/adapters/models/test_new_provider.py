"""A new provider is a row and a module: two files, and everything else knows it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import swarmd

PACKAGE = Path(swarmd.__file__).parent
ROW = """
    ModelProvider(
        "parrot",
        form="parrot:NAME",
        module="parrot",
        means="a model that repeats",
        is_free=False,
        default_url="https://parrot.example/v1",
        key_variable="PARROT_API_KEY",
        url_variable="PARROT_BASE_URL",
    ),
)
PROVIDERS"""
MODULE = """
from swarmd.adapters.models.opening import Opening


class Parrot:
    is_language_model = True

    def __init__(self, opening: Opening) -> None:
        self.name = f"parrot:{opening.name}"
        self.opening = opening

    async def aclose(self) -> None:
        pass


def open_model(opening: Opening) -> Parrot:
    return Parrot(opening)
"""
# Settings, declarations, choice, price and opening, in a process that has the two files.
USE = """
import anyio
from pathlib import Path
from pydantic import ValidationError
from swarmd.adapters.config.checks import DECLARED_MODEL
from swarmd.adapters.models.registry import ModelSettings, OpenModels, choose
from swarmd.core.model.declarations import Models
from swarmd.settings import Settings

said = Settings.from_env(
    {"HOME": "/home/x", "PARROT_API_KEY_FILE": KEY, "SWARMD_MODEL": "parrot:grey"}
)
assert said.api_keys == {"parrot": "squawk"}, said.api_keys
assert said.secrets == ("squawk",)
assert "squawk" not in repr(said)
declared = Models.model_validate(
    {
        "default": "parrot:grey",
        "providers": {"parrot": {"calls_per_minute": 7}},
        "prices": {"parrot:grey": {"input": 1, "output": 2}},
    }
)
assert DECLARED_MODEL.fullmatch("parrot:grey")
assert not DECLARED_MODEL.fullmatch("parrot")
try:
    Models.model_validate({"prices": {"builtin:rules": {"input": 1, "output": 2}}})
except ValidationError:
    pass
else:
    raise AssertionError("a price was taken for what costs nothing")
settings = ModelSettings(said.model or "", said.api_keys, said.base_urls, local_servers=())
choice = anyio.run(choose, settings, declared)
assert choice.spec == "parrot:grey"
assert "at parrot.example" in choice.why, choice.why
models = OpenModels(choice, settings, declared, None)
opened = models.open().opening
assert (opened.name, opened.api_key, opened.provider.calls_per_minute) == ("grey", "squawk", 7)
assert opened.pace() is models.open("parrot:green").opening.pace()
assert models.prices[0].startswith("price: parrot:grey $1 in, $2 out"), models.prices
assert "squawk" not in repr(opened)
print("known")
"""


def test_a_provider_is_added_with_a_row_and_a_module(tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / "swarmd", ignore=shutil.ignore_patterns("__pycache__"))
    table = tmp_path / "swarmd/core/model/providers.py"
    rows = table.read_text(encoding="utf-8")
    assert rows.count("\n)\nPROVIDERS") == 1
    table.write_text(rows.replace("\n)\nPROVIDERS", ROW), encoding="utf-8")
    (tmp_path / "swarmd/adapters/models/parrot.py").write_text(MODULE, encoding="utf-8")
    key = tmp_path / "key"
    key.write_text("squawk\n", encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, "-c", f"KEY = {str(key)!r}\n{USE}"],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ran.stdout == "known\n", ran.stderr
