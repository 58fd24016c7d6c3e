"""The atomic steps: Lua files beside this module, each with its header. `-- include: X` puts X.lua
before it.

`_whole.lua` goes before each of them: on a cluster a script is whole only where its slot is at
rest.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Script:
    """A script's text and the digest it is called by. Every one of ours may be called twice."""

    name: str
    text: str
    sha: str


@cache
def script(name: str) -> Script:
    text = _text(name)
    included = [
        line.split(": ")[1] for line in text.splitlines() if line.startswith("-- include: ")
    ]
    whole = "\n".join([_text("_whole"), *(_text(part) for part in included), text])
    return Script(name, whole, hashlib.sha1(whole.encode(), usedforsecurity=False).hexdigest())


def _text(name: str) -> str:
    return (files("swarmd.adapters.redis") / "scripts" / f"{name}.lua").read_text(encoding="utf-8")
