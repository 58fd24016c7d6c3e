"""Redis users out of `policies/acl.yaml`: rules for the server, and what a server's rules differ
by.

The policy is data and no role has a name here. Three things of Redis decide the form (the same in
Redis 7.0 and Valkey 8):

- The rules hold within a script as well, command by command; there is no script that may more than
  its caller. But the keys that a script *declares* are checked as if it read and wrote all of them.
  So EVAL gets a selector of its own, with every key of the namespace and with no other command:
  what is within is checked by the rest.
- A channel's pattern does not tell PUBLISH from SUBSCRIBE. Each gets a selector of its own: who may
  hear the results could otherwise ring them.
- A server may be set to give new users every channel (`acl-pubsub-default`), so nothing is left to
  defaults.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, TypeAlias

from swarmd.adapters.redis.connection.errors import refused
from swarmd.adapters.redis.connection.restart import HINT, REPLAY_RULES, USER, WHAT, may_replay
from swarmd.adapters.redis.connection.sync_client import ErrorReply, Wire
from swarmd.core.model.redis_users import Acl, AclRole
from swarmd.core.model.tables import patterns_read_by
from swarmd.errors import StoreUnsuitableError

_SCRIPT: Final = ("eval", "evalsha")
_LOAD: Final = "script|load"
_HEAR: Final = ("subscribe", "unsubscribe", "psubscribe", "punsubscribe")
_RING: Final = ("publish",)
_NOTHING: Final = ("resetchannels", "-@all")


@dataclass(frozen=True, slots=True)
class Rules:
    """A set of permissions: a user's own, or a selector, which allows in addition."""

    keys: frozenset[str] = frozenset()  # %R~, %W~ or %RW~ and a pattern
    channels: frozenset[str] = frozenset()  # & and a pattern
    commands: frozenset[str] = (
        frozenset()
    )  # +command, +command|subcommand or +@all, and what is taken from it: -…

    def words(self) -> list[str]:
        return [*_NOTHING, *sorted(self.keys), *sorted(self.channels), *sorted(self.commands)]


@dataclass(frozen=True, slots=True)
class User:
    """What a server is told, or tells, of a user. `hashes` are SHA-256 of its passwords."""

    name: str
    rules: Rules
    selectors: frozenset[Rules] = frozenset()
    hashes: frozenset[str] = frozenset()
    is_on: bool = True
    is_open: bool = False  # `nopass`: any password will do

    def words(self) -> list[str]:
        selectors = sorted(f"({' '.join(selector.words())})" for selector in self.selectors)
        return [*self.rules.words(), *selectors]


# --- rendering --------------------------------------------------------------------------------


def user_name(namespace: str, role: str) -> str:
    """Two swarms on one server have users of their own. Without the braces of a cluster's hash tag,
    which a URL would have to escape.
    """
    return f"{namespace.strip('{}')}-{role}"


def users(policy: Acl, namespace: str, hashes: Mapping[str, str] | None = None) -> dict[str, User]:
    """The policy's users for one namespace, by role. `hashes` are of passwords, by role."""
    given = hashes or {}
    return {
        name: _user(policy, name, role, namespace, given.get(name, ""))
        for name, role in policy.roles.items()
    }


def _user(policy: Acl, name: str, role: AclRole, namespace: str, hashed: str) -> User:
    prefix = namespace + ":"
    commands = {command for group in role.commands for command in policy.commands[group]}
    selectors = []
    if role.scripts:
        commands.add(_LOAD)
        selectors.append(Rules(frozenset({f"%RW~{prefix}*"}), commands=_allowed(_SCRIPT)))
    for channels, verbs in ((role.hears, _HEAR), (role.rings, _RING)):
        if channels:
            patterns = frozenset(f"&{prefix}{channel}" for channel in channels)
            selectors.append(Rules(channels=patterns, commands=_allowed(verbs)))
    return User(
        name=user_name(namespace, name),
        rules=Rules(frozenset(_key_patterns(role, prefix)), commands=_allowed(commands)),
        selectors=frozenset(selectors),
        hashes=frozenset({hashed} if hashed else ()),
    )


def _allowed(commands: Iterable[str]) -> frozenset[str]:
    return frozenset(f"+{command}" for command in commands)


def _key_patterns(role: AclRole, prefix: str) -> Iterable[str]:
    """One pattern has to allow all that a command does with a key: HINCRBY, say, both reads and
    writes.
    """
    may_read = (*role.reads, *(patterns_read_by(role.tables) if role.tables else ()))
    for name in dict.fromkeys((*may_read, *role.writes)):
        reads, writes = _holds(may_read, name), _holds(role.writes, name)
        yield f"%{'R' * reads}{'W' * writes}~{prefix}{name}"


def _holds(names: Sequence[str], name: str) -> bool:
    return any(one == name or (one.endswith("*") and name.startswith(one[:-1])) for one in names)


def setuser(user: User) -> str:
    """A line for a client. A password that the user has on the server stays, unless another is
    given here.
    """
    password = ["resetpass", *_passwords(user)] if user.hashes else []
    words = ["on", *password, "resetkeys", "clearselectors", *user.words()]
    return " ".join(["ACL", "SETUSER", user.name, *words])


def file_line(user: User) -> str:
    """A line of an aclfile. Without a password nobody can log in as this user."""
    return " ".join(["user", user.name, "on", *_passwords(user), *user.words()])


DEFAULT_OFF: Final = f"user {USER} {REPLAY_RULES}"
"""In an aclfile without it, the default user may do everything without a password. Nobody can be a
user that is off; its rights are for the server, which replays its append-only file as this user:
see `replay`."""


def _passwords(user: User) -> list[str]:
    return sorted(f"#{one}" for one in user.hashes)


def hashed(password: str) -> str:
    """As the server keeps it: SHA-256, without salt. Safe for long random words, not for those
    of people.
    """
    return hashlib.sha256(password.encode()).hexdigest()


# --- what a server says -----------------------------------------------------------------------


Categories: TypeAlias = Callable[[str], Iterable[str]]
"""The commands of a category, as the server that uses its name understands it."""


def users_of(wire: Wire) -> dict[str, User]:
    """The users of a server, by name. Raises `StoreUnsuitableError` where this user may not ask."""
    category = cache(lambda name: frozenset(_ask(wire, "ACL", "CAT", name)))
    found = [parse_user(line, category) for line in _ask(wire, "ACL", "LIST")]
    return {user.name: user for user in found}


def _ask(wire: Wire, *words: str) -> list[str]:
    reply = wire.command(*words)
    if isinstance(reply, ErrorReply):
        error = refused(reply)
        if isinstance(error, StoreUnsuitableError):
            raise StoreUnsuitableError(
                error.what, hint="ask as a user that may use ACL LIST"
            ) from error
        raise error
    if not isinstance(reply, list):
        raise StoreUnsuitableError(
            f"{wire.address}: what answers there gives no answer to {' '.join(words)}"
        )
    return [item.decode("utf-8", "replace") for item in reply if isinstance(item, bytes)]


def parse_user(line: str, category: Categories) -> User:
    """A line of `ACL LIST`: rules in the server's own order and spelling."""
    _, name, *words = _split(line)
    own = [word for word in words if not word.startswith("(")]
    return User(
        name=name,
        rules=_rules(own, category),
        selectors=frozenset(
            _rules(word[1:-1].split(), category) for word in words if word.startswith("(")
        ),
        hashes=frozenset(word[1:] for word in own if word.startswith("#")),
        is_on="on" in own,
        is_open="nopass" in own,
    )


def _split(line: str) -> list[str]:
    """Words; a selector in its parentheses is one."""
    words: list[str] = []
    depth = 0
    for word in line.split():
        if depth:
            words[-1] += " " + word
        else:
            words.append(word)
        depth += word.startswith("(") - word.endswith(")")
    return words


_SPELLINGS: Final = {"allkeys": "%RW~*", "allchannels": "&*", "allcommands": "+@all"}


def _rules(words: Iterable[str], category: Categories) -> Rules:
    spelt = [_SPELLINGS.get(word, f"%RW{word}" if word.startswith("~") else word) for word in words]
    return Rules(
        keys=frozenset(word for word in spelt if word.startswith("%")),
        channels=frozenset(word for word in spelt if word.startswith("&")),
        commands=_commands((word for word in spelt if word.startswith(("+", "-"))), category),
    )


def _commands(words: Iterable[str], category: Categories) -> frozenset[str]:
    """What the words amount to, in their order. Redis 7.0 tells `+@hash -hvals` where it was
    told single commands.
    """
    found: set[str] = set()
    for sign, name in ((word[0], word[1:]) for word in words):
        if name == "@all":
            found = {"+@all"} if sign == "+" else set()
            continue
        for command in category(name[1:]) if name.startswith("@") else (name,):
            _apply(found, sign, command)
    return frozenset(found)


def _apply(found: set[str], sign: str, command: str) -> None:
    is_within_more = "+@all" in found or f"+{command.partition('|')[0]}" in found - {f"+{command}"}
    found -= {f"+{command}", f"-{command}"}
    if (sign == "+") != is_within_more:
        found.add(f"{sign}{command}")


# --- comparing --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Difference:
    """How a user of a server is not as the policy has it. `missing` and `extra` are rules."""

    role: str
    user: str
    is_there: bool
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()

    @property
    def is_none(self) -> bool:
        return self.is_there and not (self.missing or self.extra or self.faults)

    def value(self) -> dict[str, Any]:
        return {
            "role": self.role,
            "user": self.user,
            "exists": self.is_there,
            "missing": list(self.missing),
            "extra": list(self.extra),
            "faults": list(self.faults),
        }


def difference(role: str, wanted: User, found: User | None) -> Difference:
    """Which rules the server's user lacks or has beyond the policy; passwords are compared to
    nothing.
    """
    if found is None:
        return Difference(role, wanted.name, is_there=False)
    want, have = _flat(wanted), _flat(found)
    faults = [
        *([] if found.is_on else ["it is off"]),
        *(["it needs no password"] if found.is_open else []),
        *([] if found.hashes or found.is_open else ["it has no password: nobody can log in as it"]),
    ]
    return Difference(
        role,
        wanted.name,
        is_there=True,
        missing=tuple(sorted(want - have)),
        extra=tuple(sorted(have - want)),
        faults=tuple(faults),
    )


def _flat(user: User) -> set[str]:
    own = {*user.rules.keys, *user.rules.channels, *user.rules.commands}
    return own | {f"({' '.join(selector.words())})" for selector in user.selectors}


@dataclass(frozen=True, slots=True)
class DefaultUser:
    """What is to be known of the user that a connection is before it logs in, and that a server
    replays its file as.
    """

    is_on: bool
    is_open: (
        bool  # on, without a password and with commands: whoever connects passes all other rules by
    )
    replays: bool

    @property
    def faults(self) -> list[str]:
        return [
            *([_IS_OPEN if self.is_open else _IS_ON] if self.is_on else []),
            *([] if self.replays else [f"{WHAT}; {HINT}"]),
        ]


_IS_OPEN: Final = (
    f"the user `{USER}` is on and needs no password: whoever reaches the server passes all of this "
    f"by; run `ACL SETUSER {USER} {REPLAY_RULES}`"
)
_IS_ON: Final = (
    f"the user `{USER}` is on: whoever has its password, or may log in as it, has rights that the "
    f"policy does not give; run `ACL SETUSER {USER} {REPLAY_RULES}`"
)


def default_user(found: Mapping[str, User], namespace: str) -> DefaultUser:
    user = found[USER]
    is_open = user.is_on and user.is_open and bool(user.rules.commands)
    own = [
        sorted({*rules.keys, *rules.commands}, key=_wide_first)
        for rules in (user.rules, *user.selectors)
    ]
    return DefaultUser(user.is_on, is_open, may_replay(own, namespace))


def _wide_first(word: str) -> tuple[bool, str]:
    # What is taken away was told after what it is taken from; `_commands` has settled the rest.
    return word.startswith("-"), word
