"""What of our own writing a process understands, so that two releases of swarmd can work on one
swarm. Pure.

A version is `MAJOR` or `MAJOR.MINOR`. A minor adds what may be ignored: whoever knows the major
reads it and passes over the rest. A major changes what is there: whoever does not know it takes
none of it. A release reads a new major before any release writes it (docs/upgrading.md); what
carries no version is of the first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

from swarmd.errors import StoreUnsuitableError

# Of envelopes: the majors that are read, and what is written.
WIRE_READS: Final = frozenset({1})
WIRE_VERSION: Final = "1"
# Of records, marks and leases.
RECORD_READS: Final = frozenset({1})
RECORD_VERSION: Final = "1"
# Of the keys themselves, their types and what the scripts leave in them: stamped on a namespace
# once.
SCHEMA: Final = "6"
SCHEMA_READS: Final = frozenset({int(SCHEMA)})

_VERSION: Final = re.compile(r"([0-9]{1,6})(?:\.[0-9]{1,6})?")


def is_read(version: object, reads: frozenset[int]) -> bool:
    """Is what carries this version understood? `None`: it carries none."""
    found = _VERSION.fullmatch("1" if version is None else str(version))
    return found is not None and int(found[1]) in reads


class NewerRecordError(StoreUnsuitableError):
    """A record of a major that this release does not read: nothing of it is taken for something
    else.
    """


def check_record(what: str, version: object) -> None:
    """Raises `NewerRecordError`."""
    if not is_read(version, RECORD_READS):
        raise NewerRecordError(
            (
                f"{what} is of version {version}, this swarmd reads "
                f"{' and '.join(map(str, sorted(RECORD_READS)))}"
            ),
            hint="use the swarmd that wrote it: docs/upgrading.md",
        )


def only_known(kind: type, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts that this release has a place for in a dataclass of ours."""
    return {field.name: facts[field.name] for field in fields(kind) if field.name in facts}
