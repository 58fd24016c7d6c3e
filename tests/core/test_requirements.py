"""What is locked in requirements/ is what pyproject.toml asks for, for each Python that it
supports.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Final

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).parents[2]
FILES: Final = ("lock", "run", "build", "lowest")
PYTHONS: Final = ("3.11", "3.12", "3.13", "3.14")

PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
RUN: Final = PROJECT["project"]["dependencies"]
DEV: Final = PROJECT["project"]["optional-dependencies"]["dev"]
UVLOOP: Final = PROJECT["project"]["optional-dependencies"]["uvloop"]
BUILD: Final = [*PROJECT["dependency-groups"]["build"], *PROJECT["build-system"]["requires"]]
ASKED: Final = {
    "lock": RUN + DEV + UVLOOP + BUILD,
    "run": RUN,
    "build": BUILD,
    "lowest": RUN + DEV + UVLOOP + BUILD,
}

Pin = tuple[Requirement, frozenset[str]]


def pins(name: str) -> list[Pin]:
    """Each requirement of a file with its hashes."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    entries = text.replace("\\\n", " ").splitlines()
    split = [re.split(r"\s+--hash=", entry) for entry in entries if entry.strip()]
    return [
        (Requirement(first), frozenset(hash.strip() for hash in hashes)) for first, *hashes in split
    ]


def version_of(pin: Requirement) -> str:
    (only,) = pin.specifier
    assert only.operator == "==", pin
    return only.version


def pinned(name: str, python: str) -> dict[str, str]:
    """Name and version of all that this Python gets on Linux."""
    world = {
        "python_version": python,
        "python_full_version": f"{python}.9",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "os_name": "posix",
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
        "extra": "",
    }
    found = [pin for pin, _ in pins(name) if pin.marker is None or pin.marker.evaluate(world)]
    versions: dict[str, str] = {canonicalize_name(pin.name): version_of(pin) for pin in found}
    assert len(versions) == len(found), f"one package is pinned twice for Python {python}"
    return versions


@pytest.mark.parametrize("name", FILES)
def test_a_lock_says_versions_and_hashes_and_no_address(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    assert "://" not in text
    assert not [line for line in text.splitlines() if line.startswith("-")], (
        "an option, such as an index"
    )
    for pin, hashes in pins(name):
        assert version_of(pin)
        assert pin.url is None
        assert hashes
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", hash) for hash in hashes), pin


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("name", FILES)
def test_a_lock_holds_what_the_project_asks_for_on_each_python(name: str, python: str) -> None:
    found = pinned(name, python)
    for asked in map(Requirement, ASKED[name]):
        version = found.get(canonicalize_name(asked.name))
        assert version is not None, f"{asked} is not in {name}.txt: run .ci/lock --keep"
        assert asked.specifier.contains(version), (
            f"{asked}, but {name}.txt has {version}: run .ci/lock --keep"
        )


@pytest.mark.parametrize("name", ["run", "build"])
def test_what_the_image_installs_is_part_of_what_is_tested(name: str) -> None:
    assert {str(pin): hashes for pin, hashes in pins(name)}.items() <= {
        str(pin): hashes for pin, hashes in pins("lock")
    }.items()


def test_what_is_tested_as_lowest_is_what_the_project_says_is_enough() -> None:
    found = pinned("lowest", "3.11")
    for asked in map(Requirement, ASKED["lowest"]):
        lowest = [bound.version for bound in asked.specifier if bound.operator == ">="]
        assert lowest, f"{asked} has no lower bound"
        version = found[canonicalize_name(asked.name)]
        assert re.sub(r"(\.0)+$", "", version) == re.sub(r"(\.0)+$", "", lowest[0]), asked
