"""Words of technical documentation that stand for one another: who asks how to stop something finds
what halts it.

A synonym counts less than the word itself, so a wrong one costs little. Words that mean much more
than the others of their row (`run`, `set`, `use`) are in none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from swarmd.adapters.files.words import stem

_ROWS: Final = (
    "stop halt end terminate shutdown quit kill abort cancel",
    "begin start launch boot",
    "continue resume recover",
    "restart reload reboot",
    "delete remove drop erase purge forget",
    "create make add generate",
    "install setup installation deploy deployment",
    "upgrade update migrate migration release version",
    "error fault failure fail exception problem trouble",
    "crash die killed kill lost",
    "lose lost loss missing",
    "power outage blackout",
    "keep retain store save retention persist",
    "long duration seconds days hours age",
    "cost price charge bill money pay spend budget",
    "limit bound maximum max ceiling quota",
    "exhausted empty spent depleted",
    "setting option configuration config configure parameter flag",
    "choose select pick",
    "permission right privilege access authorization allowed permitted",
    "grant give allow permit",
    "deny refuse reject forbid revoke",
    "password secret credential key token",
    "certificate certfile tls ssl https",
    "container docker image dockerfile",
    "proxy forward upstream",
    "thread process worker",
    "timeout deadline expire",
    "slow latency performance fast speed throughput",
    "log logging logs",
    "show display view list print inspect see",
    "answer reply respond response",
    "question ask request query",
    "test check verify validate",
    "error debug troubleshoot troubleshooting",
    "backup restore snapshot copy",
    "disk file storage",
    "memory ram",
    "default preset standard",
    "local localhost loopback",
    "user account",
    "everything everyone all whole",
    "change edit modify alter",
    "raise increase grow extend",
    "reduce decrease lower shrink",
    "schedule cron timer periodic",
    "send post publish emit",
    "receive subscribe listen hear",
)


def _kin() -> dict[str, tuple[str, ...]]:
    """By stem, the words of all rows that have it, without itself."""
    found: dict[str, dict[str, None]] = {}
    for row in _ROWS:
        for word in row.split():
            found.setdefault(stem(word), {}).update(dict.fromkeys(row.split()))
    return {term: tuple(word for word in row if stem(word) != term) for term, row in found.items()}


KIN: Final[Mapping[str, tuple[str, ...]]] = _kin()
KIN_STEMS: Final = {term: frozenset(map(stem, row)) for term, row in KIN.items()}
