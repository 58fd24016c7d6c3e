"""Entries and what they do: a commit chained, read back to the same state, and judged by the
laws again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmd.core.journal.audit import Auditor
from swarmd.core.journal.entries import all_records, chained, told
from swarmd.core.journal.fsck import Found, FoundAgent, agents
from swarmd.core.journal.replay import State, link_of
from swarmd.core.ledger.accounts import Fault, Ledger
from swarmd.core.model.chain import GENESIS, Records, with_hash, without_hash
from swarmd.core.model.changes import (
    AgentAdopted,
    AgentMade,
    AgentReaped,
    AgentSet,
    Change,
    CharterSet,
    HeadSet,
    MissionClosed,
    MissionSet,
    Post,
    RightsSet,
)
from swarmd.core.model.channels import JOURNAL
from swarmd.core.model.entries import entry
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.lineage import Agent, Fence, Stop, StopKind, ended
from swarmd.core.model.names import OPERATOR, SOB, AgentId, AgentState, Authority, HostId, StreamId
from swarmd.core.model.privileges import Revocation
from swarmd.core.model.refusals import Rule
from swarmd.core.model.state import Draft, Swarm
from swarmd.core.model.tables import BOARDS, FENCES, REVOCATIONS, STOPS, Drop, Put
from tests.core.swarm_builder import MISSION, World, world


@dataclass
class Written:
    """A swarm whose every change goes into a journal that is read back at once."""

    world: World
    state: State = field(default_factory=State)
    auditor: Auditor = field(default_factory=Auditor)
    entries: list[str] = field(default_factory=list)

    @property
    def swarm(self) -> Swarm:
        return self.world.swarm

    def take(self, changes: Iterable[Change]) -> None:
        """Changes that memory has already, committed and read back."""
        for change in chained(self.swarm, changes, self.world.moment):
            if isinstance(change, Post) and change.channel == JOURNAL:
                assert change.line is not None
                self.entries.append(change.line)
                link = link_of(StreamId(f"{len(self.entries)}-0"), change.line)
                assert link is not None
                self.state.follow(link, self.auditor)

    def do(self, event: str, actor: str, *changes: Change, **facts: Any) -> list[str]:
        """These changes under one entry; what the laws say of them."""
        draft = Draft(self.swarm, self.world.moment)
        named = JournalEvent(event)
        # What the tests do not speak of stands there all the same: an entry has its event's fields.
        more = dict.fromkeys(named.fields, "") | facts
        draft.add(*changes, entry(self.world.moment, named, event, actor=actor, more=more))
        self.take(draft.changes)
        return [what for _, what in self.auditor.faults]


def written() -> Written:
    made = Written(world())
    made.take(made.world.changes)
    # What the builder did before is in memory only: told once, as it is.
    made.swarm.chain.records = Records()
    made.state, made.entries, made.auditor = State(), [], Auditor()
    made.swarm.chain.head = type(made.swarm.chain.head)()
    lineage = made.swarm.lineage.agents.values()
    boards = [Put(BOARDS, id, procedure) for id, procedure in made.swarm.boards.items()]
    missions = [MissionSet(mission) for mission in made.swarm.missions.values()]
    made.take([*(AgentMade(agent, ()) for agent in lineage), *missions, *boards])
    assert made.auditor.faults == []
    return made


# --- the chain --------------------------------------------------------------------------------


def test_each_entry_names_the_one_before_and_the_state_on_both_sides() -> None:
    w = written()
    top = w.world.grow(SOB, "top")
    w.do("agent.spawned", SOB, AgentMade(top, ()))
    first, second = (link_of(StreamId("1-0"), flat) for flat in w.entries)
    assert first is not None
    assert second is not None
    assert (first.n, first.data["prev"], first.data["before"]) == (1, GENESIS, GENESIS)
    assert (second.n, second.data["prev"]) == (2, first.hash)
    assert second.data["before"] == first.data["after"] != second.data["after"]
    assert second.data["effects"][0][0] == f"agent:{top.id}"
    assert w.state.records.digest == Records.of(all_records(w.swarm)).digest


def test_an_entry_that_was_changed_left_out_or_put_in_from_another_journal_is_not_followed() -> (
    None
):
    """None of these changes the state: only hash, number and the entry before tell them apart."""
    here, elsewhere = written(), written()
    for journal, words in ((here, "ab"), (elsewhere, "xb")):
        for word in words:
            journal.do("state.changed", SOB, word=word)
    first, second, third = here.entries
    assert elsewhere.entries[0] == first
    changed = second.replace('"text":"state.changed"', '"text":"other"')
    assert changed != second
    for entries, why in (
        ([first, changed], "its hash is not that of what it says"),
        ([first, third], "entry 2"),
        ([first, second, elsewhere.entries[2]], "that has another hash"),
    ):
        with pytest.raises(Fault, match=why):
            _followed(entries)
    assert _followed([first, second, third]).head == here.swarm.chain.head


def _followed(entries: Iterable[str]) -> State:
    state = State()
    for number, line in enumerate(entries, start=1):
        link = link_of(StreamId(f"{number}-0"), line)
        assert link is not None
        state.follow(link)
    return state


def test_the_head_goes_with_the_commit_and_an_empty_commit_has_none() -> None:
    w = written()
    moment = w.world.moment
    changes = chained(w.swarm, [entry(moment, JournalEvent.SEAT_IGNORED, "x", actor="a")], moment)
    assert isinstance(changes[-1], HeadSet)
    assert changes[-1].head == w.swarm.chain.head
    assert chained(w.swarm, [], moment) == []


def test_changes_without_an_entry_get_one_and_a_refusal_never_carries_those_before_it() -> None:
    w = written()
    moment, picard = w.world.moment, w.swarm.lineage.agents[AgentId("picard")]
    placed = replace(picard, host=HostId("h9"))
    refusal = entry(
        moment,
        JournalEvent.MISSION_REJECTED,
        "no",
        actor="x",
        rule=Rule.SPAWN_TIER,
    )
    made = [
        c
        for c in chained(w.swarm, [AgentSet(placed), refusal, AgentSet(picard)], moment)
        if isinstance(c, Post)
    ]
    assert [post.message.data["event"] for post in made] == [
        "state.changed",
        "mission.rejected",
        "state.changed",
    ]
    assert "effects" not in made[1].message.data
    assert made[0].message.data["effects"] == [("agent:picard", {"host": "h9"})]


def test_the_acting_agents_incarnation_is_written_down() -> None:
    w = written()
    moment = w.world.moment
    (post, _) = chained(
        w.swarm, [entry(moment, JournalEvent.STATE_CHANGED, "x", actor="picard")], moment
    )
    assert isinstance(post, Post)
    assert post.message.data["incarnation"] == 1


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.dictionaries(st.sampled_from("xyz"), st.integers(0, 3)) | st.none(),
        )
    )
)
def test_the_digest_is_that_of_what_is_left_whatever_way_led_there(
    puts: list[tuple[str, dict[str, int] | None]],
) -> None:
    here, there = Records(), Records()
    for key, value in puts:
        effect = here.put(key, value)
        if effect is not None:
            there.apply(effect)
    assert here.values == there.values
    assert here.digest == there.digest == Records.of(here.values.items()).digest


@given(st.text(), st.text())
def test_a_hash_covers_whatever_text_it_is_of(text: str, other: str) -> None:
    same = text.encode("utf-8", "replace") == other.encode("utf-8", "replace")
    assert (with_hash(text)[1] == with_hash(other)[1]) == same
    assert without_hash(with_hash(text)[0]) == ("{" + text, with_hash(text)[1])


@pytest.mark.parametrize(
    "line",
    ["", "{}", "data", ',"hash":"x"}', ',"hash":"' + 64 * "0" + '"}', with_hash('"a":1')[0] + " "],
)
def test_what_claims_no_hash_is_no_chained_entry(line: str) -> None:
    assert without_hash(line) is None


# --- the laws ---------------------------------------------------------------------------------


def _grown(w: Written) -> tuple[Agent, Agent]:
    """An executive and its child, made as the law wants it."""
    top = w.world.grow(SOB, "top")
    assert w.do("agent.spawned", SOB, AgentMade(top, ())) == []
    low = w.world.grow(top.id, "low", "worker")
    assert w.do("agent.spawned", top.id, AgentMade(low, ())) == []
    return top, low


def _stray(w: Written, top: Agent, **changed: Any) -> Agent:
    id = AgentId("a-stray")
    facts: dict[str, Any] = {
        "id": id,
        "path": (*top.path, id),
        "tier": 2,
        "parent": top.id,
        "privileges": (),
        "grants": (),
    }
    return replace(top, **(facts | {"name": "stray", "key": "k", "later": ()} | changed))


Deed = Callable[[Written, Agent, Agent], list[str]]
LAWLESS: Final[dict[str, Deed]] = {
    "made at tier 4": lambda w, t, lo: w.do(
        "agent.spawned", t.id, AgentMade(_stray(w, t, tier=4), ())
    ),
    "does not live": lambda w, t, lo: w.do(
        "agent.spawned", t.id, AgentMade(_stray(w, t, parent=AgentId("nobody")), ())
    ),
    "its path is not": lambda w, t, lo: w.do(
        "agent.spawned", t.id, AgentMade(_stray(w, t, path=("sob", "a-stray")), ())
    ),
    "not of the board": lambda w, t, lo: w.do(
        "agent.spawned", t.id, AgentMade(_stray(w, t, parent=None), ())
    ),
    "its creator could not grant": lambda w, t, lo: w.do(
        "agent.spawned",
        lo.id,
        AgentMade(
            _stray(
                w,
                lo,
                parent=lo.id,
                tier=3,
                path=(*lo.path, AgentId("a-stray")),
                grants=("spawn/**",),
            ),
            (),
        ),
    ),
    "its id was used before": lambda w, t, lo: (
        (_reap(w, lo) and []) or w.do("agent.spawned", t.id, AgentMade(lo, ()))
    ),
    "which is ending": lambda w, t, lo: (
        w.do("subtree.fenced", OPERATOR, FENCES.put(Fence(t.id, "r", OPERATOR, 1.0))),
        w.do("agent.spawned", t.id, AgentMade(_stray(w, t), ())),
    )[-1],
    "made under the stop on": lambda w, t, lo: (
        w.do(
            "stop.set",
            OPERATOR,
            STOPS.put(Stop("tier:1", StopKind.FREEZE, Authority.OPERATOR, "r", OPERATOR, 1.0)),
        ),
        w.do("agent.spawned", t.id, AgentMade(_stray(w, t), ())),
    )[-1],
    "its tier changed": lambda w, t, lo: w.do(
        "state.changed", "supervisor", AgentSet(replace(lo, tier=5))
    ),
    "its incarnation went back": lambda w, t, lo: w.do(
        "state.changed", "supervisor", AgentSet(replace(lo, incarnation=0))
    ),
    "reaped without a fence": lambda w, t, lo: w.do("subtree.reaped", "supervisor", _reaped(lo)),
    "while its child": lambda w, t, lo: (
        w.do("subtree.fenced", OPERATOR, FENCES.put(Fence(t.id, "r", OPERATOR, 1.0))),
        w.do("subtree.reaped", "supervisor", _reaped(t)),
    )[-1],
    "which is no ancestor of it": lambda w, t, lo: w.do(
        "subtree.fenced", lo.id, FENCES.put(Fence(t.id, "r", lo.id, 1.0))
    ),
    "is the board's": lambda w, t, lo: w.do(
        "subtree.fenced", OPERATOR, FENCES.put(Fence("picard", "r", OPERATOR, 1.0))
    ),
    "is lifted while": lambda w, t, lo: (
        w.do("subtree.fenced", OPERATOR, FENCES.put(Fence(t.id, "r", OPERATOR, 1.0))),
        w.do("subtree.ended", OPERATOR, Drop(FENCES, t.id)),
    )[-1],
    "lifts the stop that operator": lambda w, t, lo: (
        w.do(
            "stop.set",
            OPERATOR,
            STOPS.put(Stop(lo.id, StopKind.FREEZE, Authority.OPERATOR, "r", OPERATOR, 1.0)),
        ),
        w.do("stop.lifted", t.id, Drop(STOPS, lo.id)),
    )[-1],
    "is stopped by": lambda w, t, lo: w.do(
        "stop.set",
        lo.id,
        STOPS.put(Stop(t.id, StopKind.FREEZE, Authority.LINEAGE, "r", lo.id, 1.0)),
    ),
    "is revoked from by": lambda w, t, lo: w.do(
        "privilege.revoked",
        lo.id,
        REVOCATIONS.set(t.id, (Revocation(t.id, "model/**", "both", 1, lo.id, "at"),)),
    ),
    "gave it a privilege": lambda w, t, lo: w.do(
        "privilege.granted", lo.id, RightsSet(replace(lo, privileges=("**",)))
    ),
    "which it could not grant": lambda w, t, lo: w.do(
        "privilege.granted", t.id, RightsSet(replace(lo, privileges=("no/such",)))
    ),
    "not its creator's creator": lambda w, t, lo: w.do(
        "agent.adopted",
        "supervisor",
        AgentAdopted(replace(lo, parent=AgentId("picard")), t.id, (), "picard"),
    ),
    "lives on": lambda w, t, lo: w.do(
        "agent.adopted", "supervisor", AgentAdopted(replace(lo, parent=SOB), t.id, (), "m1")
    ),
    "its mission changed": lambda w, t, lo: w.do(
        "state.changed",
        "supervisor",
        MissionSet(replace(w.swarm.missions[MISSION], text="Do evil.")),
    ),
    "its charter changed": lambda w, t, lo: w.do("state.changed", SOB, CharterSet(_with_files(t))),
    "is not its assigner": lambda w, t, lo: (
        w.do("task.submitted", lo.id, agent=lo.id, digest="d"),
        w.do("task.done", lo.id, agent=lo.id, digest="d"),
    )[-1],
    "is not what it handed in": lambda w, t, lo: (
        w.do("task.submitted", lo.id, agent=lo.id, digest="d"),
        w.do("task.done", t.id, agent=lo.id, digest="e"),
    )[-1],
    "is ended while": lambda w, t, lo: w.do(
        "subtree.ended", "supervisor", MissionClosed(w.swarm.missions[MISSION], 1.0)
    ),
}


def _with_files(agent: Agent) -> Agent:
    assert agent.charter is not None
    return replace(agent, charter=agent.charter.model_copy(update={"files": ("docs/a.md",)}))


def _reaped(agent: Agent) -> AgentReaped:
    return AgentReaped(ended(agent, reason="r", at="at"), 1.0, agent.parent or "")


def _reap(w: Written, agent: Agent) -> bool:
    w.do("subtree.fenced", OPERATOR, FENCES.put(Fence(agent.id, "r", OPERATOR, 1.0)))
    w.do("subtree.reaped", "supervisor", _reaped(agent))
    w.do("subtree.ended", OPERATOR, Drop(FENCES, agent.id))
    return True


@pytest.mark.parametrize("fault", LAWLESS)
def test_a_journal_whose_chain_is_whole_and_whose_deeds_are_unlawful_is_found_out(
    fault: str,
) -> None:
    w = written()
    top, low = _grown(w)
    assert w.auditor.faults == []
    said = LAWLESS[fault](w, top, low)
    assert any(fault.removeprefix("its mission ") in what for what in said), said


def test_what_the_law_itself_does_is_lawful() -> None:
    w = written()
    top, low = _grown(w)
    assert _reap(w, low)
    assert _reap(w, top)
    w.take(w.world.order("terminate", "nobody"))
    assert w.auditor.faults == []


def test_a_charter_changes_by_a_motion_and_a_task_is_done_by_who_gave_it() -> None:
    w = written()
    top, low = _grown(w)
    assert w.do("motion.executed", SOB, CharterSet(_with_files(top))) == []
    for agent, by in ((low, top.id), (top, SOB)):
        assert w.do("task.submitted", agent.id, agent=agent.id, digest="d") == []
        assert w.do("task.returned", by, agent=agent.id, digest="d") == []
        assert w.do("task.submitted", agent.id, agent=agent.id, digest="e") == []
        assert w.do("task.done", by, agent=agent.id, digest="e") == []


def test_a_refusal_that_changes_something_is_no_refusal() -> None:
    w = written()
    top, _ = _grown(w)
    effects = [[f"agent:{top.id}", {"reason": "x"}]]
    data = {"event": "request.refused", "actor": "x", "effects": effects}
    assert link_of(StreamId("1-0"), '{"data":{}}') is None
    w.auditor.entry(w.state, _Link(data))  # type: ignore[arg-type]  # all that the auditor asks of an entry
    assert "changes something" in w.auditor.faults[-1][1]


def _refused_in_turn(count: int, turn: int = 4) -> dict[str, Any]:
    return {
        "event": "turn.refused",
        "actor": "a-1",
        "turn": turn,
        "rule": "bus.channel",
        "count": count,
    }


@pytest.mark.parametrize(
    ("entries", "fault"),
    [
        ([_refused_in_turn(3), {"event": "facts.folded", "facts": []}], ""),
        ([_refused_in_turn(2), {"event": "facts.folded", "facts": []}], "its facts say 3"),
        ([_refused_in_turn(3, turn=5)], "its facts say 0"),
        ([_refused_in_turn(3), _refused_in_turn(3)], "its facts say 0"),
        # As a release wrote it that told no refusals one by one.
        ([{"event": "facts.folded", "facts": []}], ""),
        ([{"event": "facts.folded", "facts": []}, _refused_in_turn(3)], "its facts say 0"),
    ],
)
def test_what_a_turn_was_refused_is_told_once_and_as_often_as_its_facts_say(
    entries: list[dict[str, Any]], fault: str
) -> None:
    w = written()
    facts = [
        {
            "id": "1-1",
            "fact": "refuse",
            "agent": "a-1",
            "turn": "4",
            "rule": "bus.channel",
            "count": "2",
        },
        {
            "id": "1-2",
            "fact": "refuse",
            "agent": "a-1",
            "turn": "4",
            "rule": "bus.channel",
            "count": "1",
        },
        {
            "id": "1-3",
            "fact": "refuse",
            "agent": "a-1",
            "call": "4:2",
            "rule": "privilege.use",
            "of": "action",
        },
        {"id": "1-4", "fact": "refuse", "host": "h1", "rule": "envelope.forged", "count": "9"},
    ]
    for data in ({"event": "facts.folded", "facts": facts}, *entries):
        w.auditor.entry(w.state, _Link(data))  # type: ignore[arg-type]  # all that the auditor asks of an entry
    found = [what for _, what in w.auditor.faults]
    assert [fault in what for what in found] == ([True] if fault else []), found


def test_refusals_of_facts_before_the_first_entry_at_hand_are_not_judged() -> None:
    w = written()
    w.auditor.entry(w.state, _Link(_refused_in_turn(3)))  # type: ignore[arg-type]  # as above
    assert w.auditor.faults == []


@dataclass
class _Link:
    data: dict[str, Any]
    n: int = 9

    @property
    def event(self) -> str:
        return str(self.data["event"])


# --- the ledger -------------------------------------------------------------------------------


def fact(kind: str, account: str, amounts: Any, n: int = 1) -> dict[str, Any]:
    return {"id": f"{n}-0", "fact": kind, "account": account, "amounts": amounts}


def opened(*more: dict[str, Any]) -> Ledger:
    ledger = Ledger()
    ledger.fold(
        fact("open", "sob", {"parent": "", "caps": {"tokens": 100, "agents": 5}, "own_slot": False})
    )
    ledger.fold(
        fact("open", "a", {"parent": "sob", "caps": {"tokens": 40, "agents": 2}, "own_slot": True})
    )
    for one in more:
        ledger.fold(one)
    return ledger


def test_facts_folded_in_order_give_every_amount() -> None:
    used = {
        "used": {"tokens": 12},
        "reserved": {"tokens": 10},
        "overdraft": {"tokens": 2},
        "assumed": True,
        "unpriced": 12,
        "cached": 9,
    }
    ledger = opened(fact("reserve", "a", {"tokens": 10}), fact("settle", "a", used))
    row = ledger.accounts["a"].amounts["tokens"]
    assert row == {
        "cap": 40,
        "free": 30,
        "reserved": 0,
        "granted": 0,
        "spent": 12,
        "overdraft": 2,
        "assumed": 12,
        "unpriced": 12,
        "cached": 9,
    }
    assert [ledger.unbalanced(id) for id in ("a", "sob")] == ["", ""]
    ledger.fold(fact("reap", "", [["a", "sob"]]))
    assert ledger.accounts["sob"].amounts["tokens"] | {"cap": 0} == {
        "cap": 0,
        "free": 90,
        "reserved": 0,
        "granted": 0,
        "spent": 12,
        "overdraft": 2,
        "assumed": 12,
        "unpriced": 12,
        "cached": 9,
    }
    assert ledger.unbalanced("sob") == ""


@pytest.mark.parametrize("first", ["a", "b"])
def test_an_adopted_account_goes_to_the_parent_above_whichever_of_the_two_ends_first(
    first: str,
) -> None:
    ledger = opened(
        fact("open", "b", {"parent": "a", "caps": {"tokens": 15, "agents": 1}, "own_slot": True})
    )
    ledger.fold(fact("adopt", "b", {"former": "a", "parent": "sob"}))
    assert ledger.accounts["b"].parent == "sob"
    assert [ledger.unbalanced(id) for id in ("a", "b", "sob")] == ["", "", ""]
    ledger.fold(fact("fund", "b", {"parent": "sob", "caps": {"tokens": 5}}))
    ledger.fold(fact("reap", "", [[first, "sob"]]))
    assert ledger.unbalanced("sob") == ""
    last = "b" if first == "a" else "a"
    assert ledger.accounts["sob"].get("tokens", "granted") == ledger.accounts[last].get(
        "tokens", "cap"
    )
    ledger.fold(fact("reap", "", [[last, "sob"]]))
    assert ledger.accounts["sob"].get("tokens", "free") == 100


BAD: Final[Sequence[tuple[str, dict[str, Any]]]] = [
    (
        "opened while it is open",
        fact("open", "a", {"parent": "sob", "caps": {}, "own_slot": False}),
    ),
    ("is not open", fact("reserve", "nobody", {"tokens": 1})),
    ("closed into", fact("reap", "", [["a", "a"]])),
    (
        "it had 40",
        fact(
            "close",
            "a",
            {"parent": "sob", "cap": {}, "free": {}, "granted": {}, "spent": {}, "overdraft": {}},
        ),
    ),
    ("knows no fact", fact("gift", "a", {})),
    ("cannot be read", {"id": "1-0", "fact": "reserve", "account": "a", "amounts": 7}),
    ("cannot be read", {"id": "1-0"}),
]


@pytest.mark.parametrize(("why", "bad"), BAD)
def test_a_fact_that_cannot_be_is_refused(why: str, bad: dict[str, Any]) -> None:
    with pytest.raises(Fault, match=why):
        opened().fold(bad)


def test_a_reserve_beyond_what_is_free_unbalances_the_account() -> None:
    assert "free is -1" in opened(fact("reserve", "a", {"tokens": 41})).unbalanced("a")


def test_no_fact_is_folded_twice() -> None:
    state = State(ledger=opened(), facts_until=StreamId("5-0"))
    with pytest.raises(Fault, match="folded before"):
        state.fold(fact("reserve", "a", {"tokens": 1}, n=5))


def test_a_fact_that_is_no_json_stays_as_it_was() -> None:
    assert told(StreamId("1-0"), {"fact": "reserve", "amounts": "{"}) == {
        "id": "1-0",
        "fact": "reserve",
        "amounts": "{",
    }


# --- snapshots --------------------------------------------------------------------------------


def test_a_snapshot_is_the_state_and_no_other_is_taken_for_it() -> None:
    w = written()
    _grown(w)
    again = State.from_json(w.state.to_json())
    assert again.to_json() == w.state.to_json()
    forged = w.state.to_json()
    forged["records"] = {**forged["records"], "agent:a-x": {"name": "x"}}
    with pytest.raises(Fault, match="digest"):
        State.from_json(forged)


# --- what fsck says of an orphan ----------------------------------------------------------------


def test_an_agent_that_lives_below_what_has_ended_is_an_orphan() -> None:
    w = written()
    top, low = _grown(w)
    settled = replace(Fence(MISSION, "r", OPERATOR, 1.0), is_settled=True)
    w.do("subtree.fenced", OPERATOR, FENCES.put(settled))
    record = w.state.records.values[f"agent:{low.id}"]
    found = FoundAgent(True, True, record, {}, {}, "", "", True, {}, (), {})
    (flaw,) = agents(Found(w.state, {low.id: found}))
    assert (flaw.name, flaw.subject, flaw.repair) == ("agent.orphan", low.id, "")
    assert top.state is AgentState.LIVE
