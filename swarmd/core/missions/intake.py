"""A mission as it was submitted: parsed and checked. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Field, ValidationError

from swarmd.core.model.charter import KINDS, Amounts, LongSeconds, Path, Written
from swarmd.core.model.masking import Masking
from swarmd.core.model.names import CLERK, ID_PATTERN, OPERATOR, SOB, SUPERVISOR

# A mission is a text for people and models: more than this is a file, and belongs in the knowledge
# folder.
MISSION_BYTES_MAX: Final = 1_000_000
# With all that is said beside its text: up to 512 names of files, a budget, an id.
_FIELDS_BYTES_MAX: Final = 2 * MISSION_BYTES_MAX
# Of what is heard at the entrance: JSON may write a byte as six characters.
_HEARD_CHARS_MAX: Final = 6 * _FIELDS_BYTES_MAX


TOO_LARGE: Final = (
    "too_large"  # the field by which it is known that the rest of a mission was not kept
)
TURNED_AWAY_CHARS: Final = 200  # of a rejected mission's text, kept with its record
OVER_BOUND: Final = "bytes"  # what it says where the bound above is the reason, and not the server


# Control characters but newline and tab, what a server's bytes become that are not UTF-8, and lone
# surrogates.
NOT_TEXT: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffd\ud800-\udfff]")


# A mission's id is a path segment and names an account: one of these would end with the mission.
RESERVED_IDS: Final[frozenset[str]] = frozenset({SOB, OPERATOR, CLERK, SUPERVISOR})


class MissionRequest(Written):
    """A mission as handed in. `budget` caps by kind; `files` are names under the knowledge
    folder; `board` is how many seats shall sit on its bench.
    """

    mission: str
    id: str = ""
    budget: Amounts = Field(default_factory=dict)
    deadline_s: LongSeconds | None = None
    files: tuple[Path, ...] = Field((), max_length=512)
    board: Literal["all"] | Annotated[int, Field(ge=1, le=12)] | None = None

    @property
    def digest(self) -> str:
        """Of the content: the same id with the same digest is the same mission."""
        content = self.model_dump(mode="json", exclude={"id"})
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def masked(fields: Mapping[str, str], masking: Masking) -> dict[str, str]:
    """Without the secrets that somebody wrote into it. Its id stays what its submitter knows."""
    return {name: text if name == "id" else masking.text(text) for name, text in fields.items()}


def fields_of(text: str) -> dict[str, str]:
    """What a text heard at the entrance says, as fields of the stream; `raw` keeps what cannot be
    read.

    Only its form is looked at here: what the fields say is judged when they are read from the
    stream.
    """
    if len(text) > _HEARD_CHARS_MAX:
        return {"raw": text}
    text = sendable(text)
    if not text.lstrip().startswith("{"):
        return {"mission": text}
    value = _object_in(text)
    if not value or not isinstance(value.get("id", ""), str):
        return {"raw": text}
    if not isinstance(value.get("mission", ""), str):
        return _raw_with_id(text, sendable(value.get("id", "")))
    return {sendable(name): _as_field(part) for name, part in value.items()}


def _raw_with_id(text: str, id: str) -> dict[str, str]:
    """Whoever waits for an answer under this id is to have one."""
    return {"raw": text, "id": id} if id else {"raw": text}


def _as_field(part: Any) -> str:
    return sendable(part) if isinstance(part, str) else json.dumps(part)


def _object_in(text: str) -> dict[str, Any]:
    """Empty where the text is no JSON object."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def sendable(text: str) -> str:
    """What UTF-8 cannot say (a lone surrogate, which JSON can) as U+FFFD: the server must be
    able to keep it.
    """
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def is_too_large(fields: Mapping[str, str]) -> bool:
    """Asked before anything else is done with its texts, which takes time for each byte."""
    if _bytes_of(fields.get("mission", "")) > MISSION_BYTES_MAX:
        return True
    return sum(_bytes_of(name) + _bytes_of(text) for name, text in fields.items()) > (
        _FIELDS_BYTES_MAX
    )


def _bytes_of(text: str) -> int:
    return len(text.encode(errors="replace"))


def too_large(fields: Mapping[str, str]) -> dict[str, str]:
    """What is kept of a mission that the server does not take whole: enough to reject it, under
    the id that it asked for.
    """
    id = fields.get("id", "")[:64]
    return {
        TOO_LARGE: "1",
        "raw": fields.get("mission", fields.get("raw", ""))[:TURNED_AWAY_CHARS],
    } | ({"id": id} if id else {})


def bounded(fields: Mapping[str, str]) -> Mapping[str, str]:
    """A mission, or what is kept of one that is larger than any may be."""
    return too_large(fields) | {TOO_LARGE: OVER_BOUND} if is_too_large(fields) else fields


def parse_mission(fields: Mapping[str, str]) -> MissionRequest | str:
    """The mission of a stream entry, or what is wrong with it in one sentence."""
    wrong = _wrong_text(fields)
    if wrong:
        return wrong
    values = _values_of(fields)
    if isinstance(values, str):
        return values
    if values.get("id") and not ID_PATTERN.fullmatch(values["id"]):
        return "id: must be 1 to 64 of A-Z a-z 0-9 _ -"
    try:
        request = MissionRequest.model_validate(values)
    except ValidationError as error:
        return _first_error(error)
    return "files: not text" if any(map(NOT_TEXT.search, request.files)) else request


def _values_of(fields: Mapping[str, str]) -> dict[str, Any] | str:
    """What is JSON among them read, or which of them is not."""
    values: dict[str, Any] = dict(fields)
    for name in ("budget", "deadline_s", "files", "board"):
        if name in values and values[name] != "all":
            try:
                values[name] = json.loads(values[name])
            except (ValueError, RecursionError):
                return f"{name}: not JSON"
    return values


def _wrong_text(fields: Mapping[str, str]) -> str:
    """What is wrong with the mission's text; empty where nothing is."""
    if TOO_LARGE in fields or is_too_large(fields):
        is_of_server = fields.get(TOO_LARGE, OVER_BOUND) != OVER_BOUND
        than = "the server takes" if is_of_server else f"{MISSION_BYTES_MAX:,} bytes"
        return f"larger than {than}: put the material into the knowledge folder"
    if "raw" in fields:
        return "a text that starts with { must be a valid JSON object with the field mission"
    text = fields.get("mission", "")
    if not text.strip():
        return "empty: say what is to be done"
    return "not text: it has control characters or is not UTF-8" if NOT_TEXT.search(text) else ""


def _first_error(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    if first["loc"][0] == "board":
        return "board: must be `all`, or a number of seats from 1 to 12"
    where = ".".join(str(part) for part in first["loc"] if part != "[key]")
    if first["loc"][0] == "budget":
        return f"{where}: a budget is whole numbers, from 0 on, of {', '.join(KINDS)}"
    return f"{where}: {first['msg']}"
