"""Events of the journal: rows with a name, fields and a meaning, and entries that are held to
them.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import swarmd
from swarmd.core.model.entries import entry
from swarmd.core.model.events import REFUSALS, JournalEvent
from swarmd.core.model.refusals import Rule
from swarmd.core.model.timings import Moment

MOMENT = Moment(0.0, "1970-01-01T00:00:00.000Z", ["x"])


@pytest.mark.parametrize("event", JournalEvent)
def test_an_event_names_who_it_is_about_and_what_became_of_it_and_says_so_in_a_sentence(
    event: JournalEvent,
) -> None:
    assert re.fullmatch(r"[a-z]+\.[a-z]+", event.value)
    assert event.meaning[0].isupper()
    assert event.meaning.endswith(".")
    assert all(re.fullmatch(r"[a-z_]+", name) for name in event.fields)
    assert len(set(event.fields)) == len(event.fields)
    assert not {"event", "actor", "mission"} & set(event.fields), "these stand in every entry"


@pytest.mark.parametrize("event", [event for event in JournalEvent if event.fields])
def test_an_entry_without_a_field_of_its_event_is_made_by_nobody(event: JournalEvent) -> None:
    whole = dict.fromkeys(event.fields, "x")
    assert entry(MOMENT, event, "t", actor="a", more=whole).message.data["event"] == event.value
    for name in event.fields:
        short = {other: "x" for other in event.fields if other != name}
        with pytest.raises(AssertionError, match=name):
            entry(MOMENT, event, "t", actor="a", more=short)


def test_no_fact_of_an_entry_takes_the_place_of_its_event() -> None:
    with pytest.raises(AssertionError, match="told as"):
        entry(MOMENT, JournalEvent.BOARD_ANNOUNCED, "t", actor="a", more={"event": "x"})


def test_what_is_stored_is_the_name_alone() -> None:
    made = entry(MOMENT, JournalEvent.MISSION_REJECTED, "t", actor="a", rule=Rule.MISSION_INVALID)
    assert type(made.message.data["event"]) is str
    assert type(made.message.data["rule"]) is str


def test_what_was_not_done_is_told_by_the_events_that_may_have_no_effects() -> None:
    by_name = {e for e in JournalEvent if e.partition(".")[2] in ("refused", "rejected", "ignored")}
    assert by_name == REFUSALS


def test_every_event_is_told_somewhere() -> None:
    package = Path(swarmd.__file__).parent
    files = [*(package / "core").rglob("*.py"), *(package / "runtime").rglob("*.py")]
    source = "".join(file.read_text(encoding="utf-8") for file in files if file.name != "events.py")
    told = set(re.findall(r"JournalEvent\.([A-Z_]+)", source))
    assert {event.name for event in JournalEvent} <= told
