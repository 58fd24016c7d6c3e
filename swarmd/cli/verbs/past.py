"""`swarmd journal at`: tree, privileges and ledger as they were after an entry or at a moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from swarmd.adapters.archive.history import Past, at
from swarmd.cli import connection
from swarmd.cli.exit_codes import Exit
from swarmd.cli.render.text import Ink, plain, table
from swarmd.cli.render.tree import tree_lines
from swarmd.cli.render.values import branch_value
from swarmd.cli.session import Sight
from swarmd.cli.verbs.journal import folder_of, swarm_of
from swarmd.core.journal.replay import Link, State
from swarmd.core.ledger.accounts import AMOUNTS
from swarmd.core.model.chain import Record as StateRecord
from swarmd.core.model.messages import is_stream_id, order_of
from swarmd.core.model.names import StreamId
from swarmd.core.queries.snapshot import AccountView, Snapshot, agent_view, mission_view
from swarmd.core.queries.spending import tree_of
from swarmd.errors import NotFoundError, UsageError
from swarmd.settings import Settings

# Of an entry's number: more than a journal can ever have.
NUMBER_DIGITS_MAX: Final = 16
_MARKS: Final = ("fence", "stop", "revoked")


def journal_at(settings: Settings, when: str, *, as_json: bool) -> Exit:
    is_later = later_than(when)

    def see(sight: Sight) -> Exit:
        past = at(folder_of(settings), swarm_of(sight.reader), sight.reader.journal(), is_later)
        if past is None:
            raise NotFoundError(f"the journal has nothing from before {when}")
        if _is_beyond(when, past.link):
            raise NotFoundError(
                f"the journal has no entry {when} yet: its last is {past.link.n} ({past.link.id})",
                hint="`swarmd tree` shows what is now",
            )
        if sight.as_json:
            sight.give(_past_value(past))
        else:
            sight.say(_past_lines(past, sight.ink))
        return Exit.DONE

    return connection.look(settings, as_json, see)


def _is_beyond(when: str, last: Link) -> bool:
    """An entry that is asked for by its number or id, and has not been written. A moment may be
    any.
    """
    if when.isdecimal():
        return last.n < int(when)
    return "-" in when and is_stream_id(when) and order_of(last.id) < order_of(StreamId(when))


def later_than(when: str) -> Callable[[Link], bool]:
    """What lies after a moment, an entry's number or its id on the stream. Raises `UsageError`."""
    if when.isdecimal() and len(when) > NUMBER_DIGITS_MAX:
        raise UsageError(f"the journal has no entry of {len(when):,} digits")
    if when.isdecimal():
        return lambda link: link.n > int(when)
    if "-" in when and is_stream_id(when):
        return lambda link: order_of(link.id) > order_of(StreamId(when))
    moment = _moment_of(when)
    return lambda link: datetime.fromisoformat(link.field("at")) > moment


def _moment_of(when: str) -> datetime:
    """In UTC, where it does not say. Raises `UsageError`."""
    try:
        moment = datetime.fromisoformat(when)
    except ValueError as error:
        raise UsageError(
            f"{when!r} is no moment and no entry",
            hint=(
                "a time such as 2027-01-15T08:00:00Z, an entry's number such as 1204, or its id "
                "in the stream"
            ),
        ) from error
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _past_value(past: Past) -> dict[str, Any]:
    state = past.state
    tree = tree_of(snapshot_of(state))
    return {
        "entry": past.link.n,
        "id": past.link.id,
        "at": past.link.field("at"),
        "hash": state.head.hash,
        "board": branch_value(tree.board),
        "seats": [branch_value(seat) for seat in tree.seats],
        "privileges": {id: rights_of(record) for id, record in _of(state, "agent").items()},
        "marks": {kind: marks for kind in _MARKS if (marks := _of(state, kind))},
        "ledger": state.ledger.to_json(),
        "facts_until": state.facts_until,
    }


def _past_lines(past: Past, ink: Ink) -> list[str]:
    state = past.state
    snapshot = snapshot_of(state)
    return [
        f"after entry {past.link.n:,} ({past.link.id}, {past.link.field('at')})",
        *tree_lines(tree_of(snapshot), ink, ended=True),
        ink.paint("privileges:", "bold"),
        *_right_lines(state),
        *_mark_lines(state),
        ink.paint(f"ledger (up to the fact {state.facts_until}):", "bold"),
        *(f"  {line}" for line in _ledger_lines(snapshot)),
    ]


def _right_lines(state: State) -> Iterator[str]:
    for id, record in _of(state, "agent").items():
        rights = rights_of(record)
        said = "  ".join(f"{right}: {' '.join(paths)}" for right, paths in rights.items() if paths)
        yield f"  {plain(id)}  {plain(said) or 'none'}"


def _mark_lines(state: State) -> Iterator[str]:
    for kind in _MARKS:
        for target, record in _of(state, kind).items():
            yield f"{kind}: {plain(target)}  {plain(_said(record))}"


def _ledger_lines(snapshot: Snapshot) -> list[str]:
    rows = [
        (id, kind, *(f"{row.get(amount, 0)}" for amount in AMOUNTS))
        for id, account in snapshot.accounts.items()
        for kind, row in account.kinds.items()
    ]
    return table(("ACCOUNT", "KIND", *(amount.upper() for amount in AMOUNTS)), rows)


def _said(record: StateRecord) -> str:
    return " ".join(f"{name}={value}" for name, value in record.items())


def _of(state: State, kind: str) -> dict[str, StateRecord]:
    prefix = kind + ":"
    return {
        key[len(prefix) :]: value
        for key, value in state.records.values.items()
        if key.startswith(prefix)
    }


def rights_of(record: StateRecord) -> dict[str, Sequence[str]]:
    return {"use": record.get("privileges", ()), "grant": record.get("grants", ())}


def snapshot_of(state: State) -> Snapshot:
    """What the journal knows of the swarm in the form that the living one is drawn from."""
    agents = tuple(
        agent_view(_flat(id, record) | _agent(record)) for id, record in _of(state, "agent").items()
    )
    # A mission's text stands in the journal as a digest: it is what the mission was called by its
    # submitter.
    missions = tuple(
        mission_view(_flat(id, record) | {"mission": ""})
        for id, record in _of(state, "mission").items()
    )
    accounts = {id: AccountView(one.amounts) for id, one in state.ledger.accounts.items()}
    return Snapshot(agents, missions, accounts)


def _flat(id: str, record: StateRecord) -> dict[str, str]:
    return {"id": id} | {name: value for name, value in record.items() if isinstance(value, str)}


def _agent(record: Mapping[str, Any]) -> dict[str, str]:
    return {
        "tier": str(record.get("tier", 0)),
        "parent": record.get("parent", ""),
        "charter": "",
        "incarnation": str(record.get("incarnation", 0)),
        "privileges": " ".join(record.get("privileges", ())),
    }
