"""`swarmd replay --fork`: a recorded mission up to an entry of the journal, and from there on
another one with a living model, in a data folder of its own.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from swarmd.cli import connection
from swarmd.cli.exit_codes import Exit
from swarmd.cli.options import HandOver
from swarmd.cli.order_client import new_id
from swarmd.cli.render.text import amounts, plain
from swarmd.cli.session import note
from swarmd.cli.verbs import result
from swarmd.cli.verbs.replay import Source
from swarmd.core.journal.script import Script
from swarmd.core.model.names import MissionId
from swarmd.core.queries.snapshot import MissionView
from swarmd.core.queries.spending import used
from swarmd.errors import UsageError
from swarmd.settings import Settings


@dataclass(slots=True)
class _End:
    mission: MissionView | None = None


def fork(
    settings: Settings, source: Source, folder: Path, *, is_agreed: bool, as_json: bool
) -> Exit:
    """Ends as `run` does. Raises `UsageError` where the folder holds something, or where whoever is
    asked says no.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(
            f"{folder} is not empty", hint="name a data folder that the fork is to make"
        )
    id = new_id("m")
    _tell_costs(settings, source, id, is_agreed=is_agreed or as_json)
    fields = {**source.fields, "id": id}
    end, spent = _run(settings, replace(source, fields=fields), folder.absolute())
    own = replace(settings, data=folder.absolute(), redis_url=None)
    note(f"it stands in {plain(str(folder))}: swarmd tree --data {plain(str(folder))}")
    return result.tell_end(own, HandOver(), end, used(spent), as_json=as_json)


def _run(settings: Settings, source: Source, folder: Path) -> tuple[MissionView, Mapping[str, int]]:
    from swarmd import logs
    from swarmd.app.replaying import Asked, replay
    from swarmd.cli.verbs.run import run_loop

    logs.configure(level="error", form=settings.log_format, secrets=settings.secrets)
    end, id = _End(), MissionId(source.fields["id"])

    def look(target: Path, namespace: str) -> None:
        with closing(connection.reader_of(settings, target)) as reader:
            end.mission = reader.mission(id)

    asked = Asked(source.script, source.fields, None, source.until, None, folder)
    found = run_loop(partial(replay, settings, asked, look))
    assert end.mission is not None, "a mission that has just ended is kept"
    return end.mission, found.spent


def _tell_costs(settings: Settings, source: Source, id: str, *, is_agreed: bool) -> None:
    """What it may cost, before anything is begun; asked where a person sits there, and only
    there.
    """
    model = settings.model or "the model that `swarmd run` would ask"
    left = _left(source.script, source.until or 0)
    note(
        f"mission {id}: {plain(source.script.mission)} up to entry {source.until}, for nothing; "
        f"from there on {plain(model)} is asked: once at least, and at most for what is left of "
        f"the mission's budget, {amounts(left)}"
    )
    if is_agreed or not sys.stdin.isatty():
        return
    print("Go on? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UsageError("nothing was done", hint="--yes does it without asking")


def _left(script: Script, until: int) -> dict[str, int]:
    """Of the budget, once what was answered up to an entry is paid again: by the ledger, not in
    money.
    """
    budget: Mapping[str, int] = script.decisions[0].data.get("budget", {})
    paid = Counter[str]()
    for call in script.calls():
        if call.ended <= script.reached(until):
            paid.update(call.used)
    return {kind: max(0, n - paid[kind]) for kind, n in budget.items() if kind != "agents"}
