"""Where a swarm's server is to be found: one server, the sentinels that watch one, or the nodes of
a cluster.

Invariant: nothing here shows a password; an address that cannot be read is not repeated, for it may
hold one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, TypeAlias

from swarmd.errors import UsageError

Target: TypeAlias = str | Path
"""What `REDIS_URL` says, or the path of a socket."""

SERVER_PORT: Final = 6379
SENTINEL_PORT: Final = 26379
DATABASE_MAX: Final = 2**31 - 1  # as servers count them


@dataclass(frozen=True, slots=True)
class Address:
    """One server. Options are what follows the `?`, such as `ssl_ca_certs`."""

    path: str = ""
    host: str = ""
    port: int = SERVER_PORT
    db: int = 0
    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    is_tls: bool = False
    options: Mapping[str, str] = field(default_factory=dict, repr=False)
    replicas: int = field(default=0, compare=False)  # that follow it, as those say who watch it

    def __str__(self) -> str:
        """For people: without user, password and options."""
        if self.path:
            return self.path
        return f"{'rediss' if self.is_tls else 'redis'}://{self.hosted}/{self.db}"

    @property
    def hosted(self) -> str:
        """`HOST:PORT`, as a URL has it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def at(self, host: str, port: int, *, replicas: int = 0) -> Address:
        """The same user, database and encryption on another server."""
        return replace(self, host=host, port=port, replicas=replicas)


@dataclass(frozen=True, slots=True)
class Sentinels:
    """`nodes` know where the primary of `service` is; all that is known of it beside is in
    `server`.
    """

    nodes: tuple[Address, ...]
    service: str
    server: Address

    def __str__(self) -> str:
        return f"{self.service} at the sentinels {', '.join(node.hosted for node in self.nodes)}"


@dataclass(frozen=True, slots=True)
class Cluster:
    """`nodes` are those to ask first: any of them knows who serves which slot."""

    nodes: tuple[Address, ...]

    def __str__(self) -> str:
        return f"the cluster at {', '.join(node.hosted for node in self.nodes)}"


Place: TypeAlias = Address | Sentinels | Cluster

_SCHEMES: Final = (
    "redis",
    "rediss",
    "unix",
    *(f"{s}+{k}" for s in ("redis", "rediss") for k in ("sentinel", "cluster")),
)


def place_of(target: Target) -> Place:
    """Parses a target. Raises `UsageError`, which does not repeat the URL: it may hold a
    password.
    """
    if isinstance(target, Path):
        return Address(path=str(target))
    try:
        return _parsed(target)
    except ValueError as error:
        raise unreadable() from error


def shown(target: Target) -> str:
    """The target for a message: without password."""
    return str(place_of(target))


def is_cluster(url: str) -> bool:
    return url.partition("://")[0].endswith("+cluster")


def unreadable() -> UsageError:
    return UsageError(
        "the address of the server (REDIS_URL, --redis-url) cannot be read",
        hint="REDIS_URL is redis://[USER:PASSWORD@]HOST[:PORT][/DB], rediss://…, unix:///PATH, "
        "redis+sentinel://[USER:PASSWORD@]HOST[:PORT],…/SERVICE[/DB] or "
        "redis+cluster://[USER:PASSWORD@]HOST[:PORT],…",
    )


def _parsed(url: str) -> Place:
    from urllib.parse import parse_qsl, unquote

    scheme, netloc, path, query = _split(url)
    if scheme not in _SCHEMES:
        raise ValueError("no scheme of ours")
    login, _, hosts = netloc.rpartition("@")
    username, _, password = login.partition(":")
    options = dict(parse_qsl(query))
    known = Address(
        path=unquote(path) if scheme == "unix" else "",
        username=unquote(username),
        password=unquote(password),
        is_tls=scheme.startswith("rediss"),
        db=_database(options.pop("db", "") or "0"),
        options=options,
    )
    if scheme == "unix":
        if not known.path:
            raise ValueError("no socket")
        return known
    words = [unquote(word) for word in path.split("/") if word]
    return _place(scheme, known, hosts, words)


def _split(url: str) -> tuple[str, str, str, str]:
    """Scheme, login and hosts, path, query. By hand, for `urlsplit` knows one host: newer releases
    of Python refuse a list of hosts with an IPv6 address in it.
    """
    scheme, _, rest = url.strip().partition("://")
    body, _, query = rest.partition("#")[0].partition("?")
    netloc, slash, path = body.partition("/")
    return scheme.lower(), netloc, slash + path, query


def _place(scheme: str, known: Address, hosts: str, words: list[str]) -> Place:
    """Of the hosts of an address, and of the words behind them."""
    if scheme.endswith("+sentinel"):
        return _sentinels(known, hosts, words)
    if words:
        known = replace(known, db=_database("/".join(words)))
    if not scheme.endswith("+cluster"):
        return known.at(*_host(hosts, SERVER_PORT))
    if known.db:
        raise ValueError("a swarm on a cluster is in its database 0")
    return Cluster(tuple(known.at(*_host(host, SERVER_PORT)) for host in hosts.split(",")))


def _sentinels(known: Address, hosts: str, words: list[str]) -> Sentinels:
    """Sentinels have users of their own: `sentinel_username` and `sentinel_password` among the
    options.
    """
    service, db, *_ = [*words, ""]
    if len(words) > 2:
        raise ValueError("more than a service and a database")
    options = dict(known.options)
    sentinel = Address(
        username=options.pop("sentinel_username", ""),
        password=options.pop("sentinel_password", ""),
        is_tls=known.is_tls,
        options=options,
    )
    server = replace(known, db=_database(db) if db else known.db, options=options)
    nodes = tuple(sentinel.at(*_host(host, SENTINEL_PORT)) for host in hosts.split(","))
    return Sentinels(nodes, service, server)


def _host(text: str, port: int) -> tuple[str, int]:
    """`HOST`, `HOST:PORT`, `[IPV6]:PORT`. An empty host is this machine."""
    from urllib.parse import urlsplit

    parts = urlsplit(f"//{text}")
    if parts.port == 0:
        raise ValueError("no port")
    host = parts.hostname or "localhost"
    # As it is asked for in the end: a part that is empty or too long is no name, now or later.
    host.encode("idna")
    return host, parts.port or port


def _database(text: str) -> int:
    number = int(text)
    if not 0 <= number <= DATABASE_MAX:
        raise ValueError("no number of a database")
    return number
