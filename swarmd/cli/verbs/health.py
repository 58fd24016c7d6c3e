"""`swarmd health`: what is asked of is there, or what is wrong."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from swarmd.cli.connection import living, place_of, sight_of
from swarmd.cli.exit_codes import Exit
from swarmd.cli.render.tables import stop_words
from swarmd.cli.render.text import counted, plain
from swarmd.cli.render.values import stop_value
from swarmd.cli.session import Sight, note, now
from swarmd.cli.verbs.overview import NO_CALLS
from swarmd.core.model.lineage import EVERYTHING
from swarmd.core.model.versions import SCHEMA
from swarmd.settings import Settings

if TYPE_CHECKING:
    from swarmd.adapters.halt_file import Part
    from swarmd.ports.reader import Health


def health(settings: Settings, as_json: bool, part: str | None = None) -> Exit:
    """Done, or findings. Never starts a server: one that nobody runs is not healthy, and one that
    is away ends with its own code.
    """
    from swarmd.adapters import halt_file

    target = living(settings)
    with sight_of(settings, target, as_json=as_json) as sight:
        state, took = _asked(sight, part)
        findings = health_findings(
            state, part=part, host_name=os.uname().nodename, place=place_of(settings)
        )
        told = [one for one in halt_file.parts(settings.data) if one.is_alive and one.trouble]
        findings += _troubles(told, part=part)
        if as_json:
            sight.give(_health_value(state, findings, took))
        else:
            _tell(sight, state, findings, part)
    return Exit.FINDINGS if findings else Exit.DONE


def _asked(sight: Sight, part: str | None) -> tuple[Health, float]:
    """And how many seconds the server took to answer."""
    started = time.monotonic()
    # Whether the server keeps the swarm is no worker's business, and no worker's user may ask.
    state = sight.reader.health(asks_restart=part != "worker", part=part)
    return state, time.monotonic() - started


def _tell(sight: Sight, state: Health, findings: Sequence[str], part: str | None) -> None:
    sight.say(_health_lines(state, is_healthy=not findings, part=part))
    for finding in findings:
        note(f"finding: {finding}")
    if part == "worker":
        return
    if state.unasked:
        note(f"not asked, as this user of the server may not: {', '.join(sorted(state.unasked))}")
    if state.restart == "not checked":
        note(
            "not checked: whether the server keeps the swarm when it restarts; the "
            "supervisor's user may ask that"
        )


def _health_lines(state: Health, *, is_healthy: bool, part: str | None) -> list[str]:
    leader = state.leader or ("unknown" if "leader" in state.unasked else "none")
    told = [f"leader {plain(leader)}", counted(len(state.hosts), "host")]
    if part != "worker":
        told += [
            counted(state.agents_living, "agent"),
            f"{counted(state.missions_open, 'mission')} open",
        ]
    lines = [f"{'healthy' if is_healthy else 'unhealthy'}: {', '.join(told)}"]
    return lines if part == "worker" else [*lines, f"restart: {state.restart}"]


def _troubles(parts: Sequence[Part], *, part: str | None) -> list[str]:
    """What processes of this data folder say themselves of why they cannot work."""
    return [
        (
            f"{' and '.join(one.parts) or 'a process'} (pid {one.pid} on {plain(one.hostname)}) "
            f"cannot work: {plain(one.trouble)}"
        )
        for one in parts
        if part is None or part in one.parts
    ]


def health_findings(
    state: Health, *, part: str | None, host_name: str, place: str = "the server"
) -> list[str]:
    """What is wrong, of the part that was asked for, or of the whole."""
    return [
        *_server_findings(state, place),
        *(_leader_findings(state) if part != "worker" else ()),
        *_worker_findings(state, part, host_name),
        # A part that obeys a stop is in order: it is the swarm that does nothing.
        *(_stop_findings(state) if part is None else ()),
    ]


def _server_findings(state: Health, place: str) -> Iterator[str]:
    if not state.schema_fits:
        yield (
            f"{place} holds a swarm of schema {state.schema}, and this swarmd reads schema "
            f"{SCHEMA}: use the swarmd that made it, or begin anew with another data folder "
            "(SWARMD_DATA) or SWARMD_NAMESPACE"
        )
    if not state.writes:
        yield "the server cannot write to its disk: free some space"
    for wrong in state.wrong_keys:
        yield f"{wrong}: `swarmd fsck --repair` sets it aside under another name"


def _leader_findings(state: Health) -> Iterator[str]:
    if "leader" in state.unasked:
        yield "this user of the server may not know who leads"
    elif not state.leader:
        yield "no supervisor leads; `swarmd up` or `swarmd supervisor` starts one"
        if not state.may_begin:
            yield f"agents wait: {NO_CALLS}"
    elif not state.is_heard:
        # A leader that was killed holds its lease for some seconds; a new one hears the entrance a
        # moment later.
        yield "nobody listens at swarm:missions; a supervisor is starting, or has just gone"
    yield from _root_findings(state)
    yield from _lasting_findings(state)


def _root_findings(state: Health) -> Iterator[str]:
    """What is nearly spent of that which all missions are carved from."""
    kind = state.root.marks.get("warned", "") if state.root else ""
    columns = state.root.amounts(kind) if state.root else {}
    if columns:
        cap, spent = columns.get("cap", 0), columns.get("spent", 0)
        yield (
            f"the root's {kind} are nearly spent: {spent:,} of {cap:,}; new missions get what is "
            f"left. `swarmd fund sob {kind}=N` adds, and a period of limits.yaml "
            "(root_period) begins anew"
        )


def _stop_findings(state: Health) -> Iterator[str]:
    for stop in state.stops:
        (words,) = stop_words([stop], now())
        what = "everything" if stop.target == EVERYTHING else "the board"
        target = "all" if stop.target == EVERYTHING else stop.target
        yield f"{what} is stopped ({plain(words)}): `swarmd thaw {target}` lets it go on"


def _worker_findings(state: Health, part: str | None, host_name: str) -> Iterator[str]:
    if part is None and not state.hosts:
        yield "no worker lives; `swarmd up` or `swarmd worker` starts one"
    # Several workers share a server: the container that asks wants to know of its own.
    if part == "worker" and not _hosts_named(state, host_name):
        yield f"no worker on {host_name} holds a lease"
    for id_, facts in state.hosts.items():
        if facts.get("unrecorded"):
            yield (
                f"worker {plain(id_)} ({plain(str(facts.get('hostname', '')))}) cannot write the "
                f"record of missions: {plain(str(facts['unrecorded']))}; its turns go on"
            )


def _lasting_findings(state: Health) -> Iterator[str]:
    """What a restart of the server would lose, or a former one has lost."""
    if state.restart == "lost":
        yield state.restart_advice
    for n in state.gaps:
        yield (
            f"the server lost a part of the journal, told of by entry {n}: look into it (`swarmd "
            f"journal verify`), then `swarmd journal ack {n} --reason TEXT`"
        )


def _hosts_named(state: Health, host_name: str) -> list[str]:
    told = {id_: str(facts.get("hostname", "")) for id_, facts in state.hosts.items()}
    # A host that does not say its machine's name can't be told apart: any living one will do.
    return [id_ for id_, name in told.items() if name in ("", host_name)]


def _health_value(state: Health, findings: Sequence[str], took: float) -> dict[str, Any]:
    return {
        "healthy": not findings,
        "findings": list(findings),
        "leader": state.leader,
        "may_begin": state.may_begin,
        "hosts": [{"id": id_, **facts} for id_, facts in state.hosts.items()],
        "hosts_lost": list(state.hosts_lost),
        "unasked": sorted(state.unasked),
        "gaps": list(state.gaps),
        "restart": state.restart,
        "stops": [stop_value(stop) for stop in state.stops],
        "agents": state.agents_living,
        "missions_open": state.missions_open,
        "server_seconds": round(took, 4),
    }
