"""What was passed over when a mission's files were given or listed. It is kept beside them, and
searches name it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from swarmd.adapters.files.bounds import LEFT_OUT_MAX
from swarmd.adapters.files.content import read_own, replace_file
from swarmd.adapters.files.paths import RESERVED, open_folder
from swarmd.core.model.names import MissionId
from swarmd.logs import logger
from swarmd.ports.files import LeftOut

LEFT_OUT_GIVEN: Final = f"{RESERVED}left-out-given"
LEFT_OUT_LISTED: Final = f"{RESERVED}left-out-listed"


def keep_left_out(root: Path, mission: MissionId, name: str, passed: Sequence[LeftOut]) -> None:
    """Where every worker finds it. That it cannot be kept stops nobody."""
    told = _tell_once(passed)
    content = json.dumps(told, ensure_ascii=True).encode()
    try:
        root.mkdir(parents=True, exist_ok=True)
        with open_folder(root, (mission,), create=True) as home:
            former = read_own(home, name)
            if former != content and (told or former):
                replace_file(home, name, content)
    except OSError as error:
        logger(__name__).warning("left_out_not_kept", mission=mission, why=str(error))


def _tell_once(passed: Sequence[LeftOut]) -> list[tuple[str, str]]:
    """Each once; of more than is told, the number."""
    told = sorted({(one.path, one.why) for one in passed})
    rest = len(told) - LEFT_OUT_MAX
    if rest <= 0:
        return told
    return [*told[:LEFT_OUT_MAX], (f"{rest} more files and folders", "passed over as well")]


def kept_left_out(root: Path, mission: MissionId, *names: str) -> list[LeftOut]:
    with suppress(OSError, ValueError), open_folder(root, (mission,)) as home:
        kept = [json.loads(read_own(home, name) or b"[]") for name in names]
        return [LeftOut(path, why) for told in kept for path, why in told]
    return []
