"""What everybody's researchers have here: swarmd's own search and reading, so that all are given the
same passages in the same form. Other frameworks run in interpreters of their own and reach it over
HTTP, beside the mind.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cache
from typing import Any, Final

from swarmd.adapters.files.passages import lines_of
from swarmd.adapters.files.search import Listed, Retrieval
from tests.bench.frameworks.missions import FILES

TOP: Final = 5  # passages of a search, as `file/search` has it where nothing is said


@cache
def _listed() -> tuple[Listed, ...]:
    found = sorted(path for path in FILES.rglob("*") if path.is_file())
    return tuple(
        Listed(f"docs/{path.relative_to(FILES)}", (path.stat().st_mtime_ns,), path.stat().st_size)
        for path in found
    )


def _text(name: str) -> str:
    return (FILES / name.removeprefix("docs/")).read_text(encoding="utf-8")


_RETRIEVAL: Final = Retrieval()


def file_search(asked: Mapping[str, Any]) -> str:
    found = _RETRIEVAL.search("bench", _listed(), _text, str(asked["query"]), TOP)
    return json.dumps({"passages": [asdict(one) for one in found.passages]}, ensure_ascii=False)


def file_read(asked: Mapping[str, Any]) -> str:
    path, start = str(asked["path"]), int(asked.get("start", 1))
    lines = lines_of(_text(path))[start - 1 : start - 1 + int(asked.get("lines", 200))]
    return json.dumps({"path": path, "start": start, "lines": lines}, ensure_ascii=False)


FUNCTIONS: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "file_search": file_search,
    "file_read": file_read,
}
