"""Whether a restart of the server keeps the swarm: what the server's user `default` may do.

At its start a server executes its append-only file as the user `default`. A script that wrote more
than once stands there as a transaction, and most servers check the rights of that user again at its
end: with a default user that may nothing, every such step is thrown away, and only a line in the
server's log says so. That user has to be able to do all that the file may hold. Whether it is on
does not matter: nobody can be a user that is off.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from swarmd.adapters.redis.connection.sync_client import Reply

if TYPE_CHECKING:
    from swarmd.ports.reader import Restart

USER: Final = "default"


REPLAY_RULES: Final = "off resetpass allkeys allchannels +@all"


"""Nobody can be this user, and the server may do everything as it."""


QUESTIONS: Final[tuple[tuple[str, ...], ...]] = (("INFO", "persistence"), ("ACL", "GETUSER", USER))


"""What becomes of the swarm when the server restarts: `lost` where the append-only file is not
replayed whole, `not checked` where this user may not ask or the server does not know the question,
`no append-only file` where there is none."""


WHAT: Final = (
    "a restart of this server would lose the swarm: it replays its append-only file as the user "
    f"`{USER}`, and that user may not do all that the file holds"
)


HINT: Final = (
    f"before its next restart run `ACL SETUSER {USER} {REPLAY_RULES}` on it as an administrator, "
    f"then ACL SAVE (or write `user {USER} {REPLAY_RULES}` into its aclfile, or CONFIG REWRITE "
    "without one); clients that used that user need one of their own"
)


WRITES: Final = frozenset(
    {
        *(
            "set",
            "del",
            "unlink",
            "incr",
            "sadd",
            "srem",
            "zadd",
            "zrem",
            "hset",
            "hsetnx",
            "hdel",
            "hincrby",
        ),
        *("pexpire", "pexpireat", "xadd", "xtrim", "xdel"),
    }
)


"""What the swarm's scripts write with, and what a server puts into its file instead: an age as a
moment.
"""


NEEDED: Final = WRITES | {"select"}


"""A transaction in the file also has a SELECT where another database was written to before it."""


# Holds none of `NEEDED` on any server: people take these from a user that may otherwise do all.
_NONE_NEEDED: Final = frozenset({"admin", "dangerous", "blocking", "pubsub", "scripting"})


# What a category gives at least, and takes at most; any other one is taken to give nothing and to
# take all.
_GIVES: Final = {"write": WRITES, "connection": frozenset({"select"}), "all": NEEDED}


_TAKES: Final = {
    "connection": frozenset({"select"}),
    **dict.fromkeys(_NONE_NEEDED, frozenset[str]()),
}


def restart_of(
    exchange: Callable[[Sequence[Sequence[str | bytes | int]]], Sequence[Reply]], namespace: str
) -> Restart:
    """Asks the server, by whatever sends commands and returns their replies in order."""
    return judge_restart(exchange(QUESTIONS), namespace)


def judge_restart(answers: Sequence[Reply], namespace: str) -> Restart:
    """Decides on the answers to `QUESTIONS`, of which each may be a refusal."""
    persistence, user = answers
    if isinstance(persistence, bytes) and b"aof_enabled:0" in persistence:
        return "no append-only file"
    if not isinstance(persistence, bytes) or b"aof_enabled:1" not in persistence:
        return "not checked"
    if not isinstance(user, list):
        return "not checked"
    return "kept" if may_replay(rules_of(user), namespace) else "lost"


def rules_of(reply: Sequence[Reply]) -> list[list[str]]:
    """Of the reply to ACL GETUSER: the user's own words, and those of each of its selectors, in the
    order in which they hold."""
    told = _told(reply)
    selectors = told.get("selectors")
    found = selectors if isinstance(selectors, list) else []
    return [_words(told), *(_words(_told(one)) for one in found if isinstance(one, list))]


def _told(reply: Sequence[Reply]) -> dict[str, Reply]:
    pairs = zip(reply[::2], reply[1::2], strict=False)
    return {name.decode(): value for name, value in pairs if isinstance(name, bytes)}


def _words(told: dict[str, Reply]) -> list[str]:
    values = [told.get("keys"), told.get("commands")]
    return [word for value in values if isinstance(value, bytes) for word in value.decode().split()]


def may_replay(rules: Sequence[Sequence[str]], namespace: str) -> bool:
    """Whether one set of these rules lets all that the swarm writes be executed again, spelt as a
    server tells them.

    Rights that lie in several sets, or in categories that a server may fill as it likes, are not
    added up: a user may then be called one that may not, and the hint's rules are good in each
    case.
    """
    return any(_has_keys(words, namespace) and _has_commands(words) for words in rules)


def _has_keys(words: Sequence[str], namespace: str) -> bool:
    patterns = [word.partition("~")[2] for word in words if word.startswith(("~", "%RW~"))]
    return any(_covers(pattern, f"{namespace}:") for pattern in patterns)


def _covers(pattern: str, prefix: str) -> bool:
    fixed = pattern.removesuffix("*")
    return pattern.endswith("*") and prefix.startswith(fixed) and not set(fixed) & set("*?[]\\")


def _has_commands(words: Sequence[str]) -> bool:
    may: frozenset[str] = frozenset()
    for word in words:
        sign, name = word[:1], word[1:]
        if sign == "+":
            may |= _GIVES.get(name[1:], frozenset()) if name.startswith("@") else {name}
        elif sign == "-":
            may -= _TAKES.get(name[1:], NEEDED) if name.startswith("@") else {name}
    return may >= NEEDED
