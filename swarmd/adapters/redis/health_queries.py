"""What is read of the whole: who leads, which hosts live, and whether the keys are ours."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from swarmd.adapters.redis.connection.restart import HINT, QUESTIONS, WHAT, judge_restart
from swarmd.adapters.redis.keys import (
    COUNTERS,
    WORKER_READS,
    Keys,
    is_counter,
    shared_names,
    type_of,
)
from swarmd.adapters.redis.queries import read_stop
from swarmd.adapters.redis.query import Query, asked_if_allowed, facts_in, hash_of
from swarmd.core.model.channels import MISSIONS
from swarmd.core.model.lineage import EVERYTHING, Stop
from swarmd.core.model.names import SOB, Channel, HostId
from swarmd.core.model.tables import GAPS, STOPS
from swarmd.core.queries.snapshot import account_view

if TYPE_CHECKING:
    from swarmd.ports.reader import Facts, Health


def read_health(
    keys: Keys, *, asks_restart: bool = False, part: str | None = None
) -> Query[Health]:
    from swarmd.ports.reader import Health

    # Each part asks for itself, as its own user: what a worker may not read is no fault of the
    # worker's.
    names = WORKER_READS if part == "worker" else shared_names()
    told, unasked = yield from _told(keys, names)
    living, lost = yield from _hosts(keys, told["hosts"])
    wrong = yield from wrong_keys(keys, names)
    restart = judge_restart((yield QUESTIONS), keys.namespace) if asks_restart else "not checked"
    return Health(
        leader=_leading(told["leader"]),
        may_begin="leader" in unasked or told["leader"] is not None,
        hosts=living,
        hosts_lost=lost,
        missions_open=told["missions"],
        agents_living=told["agents"],
        schema=told["schema"].get("schema", ""),
        writes="aof_last_write_status:err" not in told["disk"],
        is_heard=int(told["entrance"][1]) > 0,
        unasked=unasked,
        wrong_keys=tuple(f"{keys.prefix}{one}" for one in wrong),
        gaps=_gaps(told["schema"]),
        root=account_view(hash_of(told["root"])),
        restart=restart,
        restart_advice=f"{WHAT}; {HINT}" if restart == "lost" else "",
        stops=_stops(told["stops"]),
    )


def _stops(texts: Sequence[str | None]) -> tuple[Stop, ...]:
    found = zip(_OF_THE_WHOLE, texts, strict=False)
    return tuple(read_stop(target, text) for target, text in found if text is not None)


def _hosts(keys: Keys, ids: Sequence[str]) -> Query[tuple[dict[str, Facts], tuple[str, ...]]]:
    """What the hosts that live say of themselves, and those whose lease is over."""
    hosts = sorted(ids)
    texts, _ = yield from asked_if_allowed(*(["GET", keys.host(HostId(name))] for name in hosts))
    found = dict(zip(hosts, texts, strict=True))
    living = {name: facts_in(text) for name, text in found.items() if text is not None}
    return living, tuple(name for name in hosts if name not in living)


def _gaps(meta: Mapping[str, str]) -> tuple[int, ...]:
    """The entries of the journal behind which something is missing."""
    return tuple(sorted(int(n) for n in GAPS.rows_in(meta) if n.isdecimal()))


def _told(keys: Keys, names: Collection[str]) -> Query[tuple[Mapping[str, Any], frozenset[str]]]:
    """The answers by what they are about, or what stands for none; and what was not asked."""
    questions = {
        "leader": ["GET", keys.leader],
        "hosts": ["SMEMBERS", keys.hosts],
        "missions": ["SCARD", keys.missions],
        "agents": ["SCARD", keys.agents],
        "schema": ["HGETALL", keys.meta],
        "entrance": ["PUBSUB", "NUMSUB", keys.channel(MISSIONS)],
        "disk": ["INFO", "persistence"],
        "root": ["HGETALL", keys.ledger(SOB)],
        "stops": ["HMGET", keys.rows(STOPS), *_OF_THE_WHOLE],
    }
    kept = {what for what, name in _READS_OF_HEALTH.items() if name not in names}
    sent = {what: words for what, words in questions.items() if what not in kept}
    answers, places = yield from asked_if_allowed(*sent.values())
    unasked = kept | {what for at, what in enumerate(sent) if at in places}
    told = {what: answer for what, answer in zip(sent, answers, strict=True) if answer is not None}
    told["schema"] = hash_of(told.get("schema", ()))
    return {**_UNTOLD, **told}, frozenset(unasked)


def wrong_keys(keys: Keys, names: Collection[str] | None = None) -> Query[list[str]]:
    """Of these keys, without the namespace, what holds something else than ours. As shipped:
    all that the whole swarm stands on.
    """
    names = shared_names() if names is None else names
    counted = [name for name in COUNTERS if name in names]
    told, _ = yield from asked_if_allowed(
        *(["TYPE", keys.channel(Channel(name))] for name in names),
        *(["GET", keys.channel(Channel(name))] for name in counted),
    )
    wrong = [
        f"{name} is a {kind} and not a {type_of(name)}"
        for name, kind in zip(names, told, strict=False)
        if kind not in (None, "none", type_of(name))
    ]
    values = zip(counted, told[len(names) :], strict=True)
    return wrong + [f"{name} is no counter" for name, value in values if not is_counter(value)]


def read_leads(keys: Keys) -> Query[bool | None]:
    (leader,), unasked = yield from asked_if_allowed(["GET", keys.leader])
    return None if unasked else bool(_leading(leader))


# Where there is no answer: the key is not there, or may not be read.
_UNTOLD: Final[Mapping[str, Any]] = {
    "leader": None,
    "hosts": (),
    "missions": 0,
    "agents": 0,
    "schema": {},
    "entrance": ("", 0),
    "disk": "",
    "root": (),
    "stops": (),
}
# Stops under which nothing of the swarm goes on.
_OF_THE_WHOLE: Final = (EVERYTHING, SOB)
# What a health check asks of which key.
_READS_OF_HEALTH: Final = {
    "leader": "_supervisor",
    "hosts": "_hosts",
    "missions": "_missions",
    "agents": "_agents",
    "schema": "_meta",
    "stops": "_stops",
}


def _leading(lead: str | None) -> str:
    """The host of the key `leader`; empty where there is none, or it stepped down."""
    return (lead or "").partition(":")[2]
