"""What a server refuses, in our words."""

from __future__ import annotations

from typing import Final

from swarmd.errors import (
    StoreDeniedError,
    StoreFullError,
    StoreUnavailableError,
    StoreUnsuitableError,
    SwarmError,
    TooLargeError,
    WrongKeyError,
)

_ACCESS_HINT: Final = "check the user and the password in REDIS_URL, and what that user may do"
_RIGHTS_HINT: Final = (
    "REDIS_URL names the user; `swarmd acl` prints what each user of the swarm should be allowed"
)
AWAY_HINT: Final = (
    "is the server running? REDIS_URL names it; without REDIS_URL, `swarmd up` brings its own"
)
_CLIENTS_HINT: Final = "raise its maxclients, or see `CLIENT LIST` for who holds them"
_CLUSTER_HINT: Final = "REDIS_URL of a cluster is redis+cluster://HOST:PORT,…"
_TYPE_HINT: Final = (
    "somebody wrote over it: `swarmd fsck --repair` sets it aside under another name"
)
TOO_LARGE: Final = "the server takes no command of this size"
SIZE_HINT: Final = (
    "raise its proto-max-bulk-len and client-query-buffer-limit, or the request "
    "limit of its provider"
)
_FULL_HINT: Final = "free disk space or raise maxmemory on the server; nothing was written"

_UNKNOWN: Final = "the server does not know a command that swarmd needs"
_UNKNOWN_HINT: Final = (
    "it was renamed or disabled there: allow it, or let REDIS_URL name another server"
)
_OTHER_HINT: Final = "does REDIS_URL name a Redis or Valkey server, and the right one?"

_REFUSALS: Final[tuple[tuple[str, type[SwarmError], str, str], ...]] = (
    ("NOAUTH", StoreUnavailableError, "the server asks for a password", _ACCESS_HINT),
    (
        "WRONGPASS",
        StoreUnavailableError,
        "the server refuses the user or the password",
        _ACCESS_HINT,
    ),
    ("NOPERM", StoreDeniedError, "the server's user may not do this", _RIGHTS_HINT),
    # The same within a script, as Redis 7.2 and Valkey say it, and as Redis 7.0 does.
    ("ACL failure in script", StoreDeniedError, "the server's user may not do this", _RIGHTS_HINT),
    (
        "user executing the script can't",
        StoreDeniedError,
        "the server's user may not do this",
        _RIGHTS_HINT,
    ),
    (
        "max number of clients",
        StoreUnavailableError,
        "the server takes no more connections",
        _CLIENTS_HINT,
    ),
    (
        "LOADING",
        StoreUnavailableError,
        "the server is still loading its data",
        "try again in a moment",
    ),
    (
        "BUSY",
        StoreUnavailableError,
        "the server is held up by a script",
        "see `redis-cli SCRIPT KILL`",
    ),
    # A primary becomes a replica in a fail-over, and the next connection finds the new one: worth
    # waiting for.
    ("READONLY", StoreUnavailableError, "the server has become a read-only replica", AWAY_HINT),
    ("MASTERDOWN", StoreUnavailableError, "the server has lost its primary", AWAY_HINT),
    ("NOREPLICAS", StoreUnavailableError, "the server has too few replicas to write", AWAY_HINT),
    ("CLUSTERDOWN", StoreUnavailableError, "the cluster is down", AWAY_HINT),
    ("MOVED", StoreUnavailableError, "the swarm's slot is another node's", _CLUSTER_HINT),
    ("ASK", StoreUnavailableError, "the swarm's slot is moving to another node", _CLUSTER_HINT),
    (
        "TRYAGAIN",
        StoreUnavailableError,
        "the swarm's slot is moving to another node",
        _CLUSTER_HINT,
    ),
    # Said within a script by a node that the slot is leaving. Before anything was written: see
    # lua.py.
    (
        "access a non local key in a cluster node",
        StoreUnavailableError,
        "the swarm's slot is moving to another node",
        _CLUSTER_HINT,
    ),
    ("WRONGTYPE", WrongKeyError, "a key of the swarm holds something else", _TYPE_HINT),
    # A counter, or a field that is counted, holds what is no number: as good as another type.
    (
        "is not an integer or out of range",
        WrongKeyError,
        "a key of the swarm holds something else",
        _TYPE_HINT,
    ),
    (
        "increment or decrement would overflow",
        WrongKeyError,
        "a key of the swarm holds something else",
        _TYPE_HINT,
    ),
    (
        "hash value is not an integer",
        WrongKeyError,
        "a key of the swarm holds something else",
        _TYPE_HINT,
    ),
    # Redis and Valkey (`proto-max-bulk-len`), then what managed servers say; each has its own limit
    # of a request.
    ("invalid bulk length", TooLargeError, TOO_LARGE, SIZE_HINT),
    ("exceeds maximum allowed size", TooLargeError, TOO_LARGE, SIZE_HINT),
    ("max request size", TooLargeError, TOO_LARGE, SIZE_HINT),
    ("request size exceed", TooLargeError, TOO_LARGE, SIZE_HINT),
    ("too many bulk", TooLargeError, TOO_LARGE, SIZE_HINT),
    ("invalid multibulk length", TooLargeError, TOO_LARGE, SIZE_HINT),
    ("OOM", StoreFullError, "the server's memory is full", _FULL_HINT),
    ("MISCONF", StoreFullError, "the server cannot write to its disk", _FULL_HINT),
    ("No space left", StoreFullError, "the server's disk is full", _FULL_HINT),
    # As a server says it to a client, of a command and of a part of one, and within a script.
    ("unknown command", StoreUnsuitableError, _UNKNOWN, _UNKNOWN_HINT),
    ("unknown subcommand", StoreUnsuitableError, _UNKNOWN, _UNKNOWN_HINT),
    ("Unknown Redis command", StoreUnsuitableError, _UNKNOWN, _UNKNOWN_HINT),
    ("Unknown command called from script", StoreUnsuitableError, _UNKNOWN, _UNKNOWN_HINT),
)


def refused(reply: str) -> SwarmError:
    """What the server said instead of doing it, as a failure of ours."""
    # Inside a script's error the code comes later in the line, so the whole is searched for it as a
    # word.
    words = reply.split()
    for code, kind, what, hint in _REFUSALS:
        if code in words or (" " in code and code in reply):
            return kind(f"{what}: {reply}", hint=hint)
    return StoreUnsuitableError(f"the server refuses the command: {reply}", hint=_OTHER_HINT)


def is_unknown(reply: str) -> bool:
    """Whether the server does not know the command, so that one that is not needed can be done
    without.
    """
    return reply.lower().removeprefix("err ").startswith(("unknown command", "unknown subcommand"))


def is_refused_for_good(reply: str) -> bool:
    """Whether this server does not let this user send the command, as opposed to not now or not
    so.
    """
    return is_unknown(reply) or reply.startswith("NOPERM")
