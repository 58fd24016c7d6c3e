"""The journal as proof: what happened can be made anew from it, and no hand but ours can have
written in it.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from contextlib import closing
from functools import partial
from pathlib import Path
from random import Random

import pytest

from swarmd.adapters.archive.journal_files import JournalFiles
from swarmd.adapters.archive.verify import Tail, prove
from swarmd.adapters.redis.reader import view_of
from swarmd.adapters.server.embedded import EmbeddedServer
from swarmd.cli.verbs.health import health_findings
from swarmd.core.journal.entries import numbered
from swarmd.core.model.chain import Head
from swarmd.core.model.channels import JOURNAL, ORDERS
from swarmd.core.model.messages import Kind
from swarmd.core.model.names import AgentId
from swarmd.errors import ArchiveError, NotLeadingError
from tests.runtime.recorded import (
    SWARM,
    everything,
    ledger_of,
    missions,
    put_back,
    rebuilt,
    recorded,
)
from tests.runtime.tamper import forge, head_of, rechained
from tests.runtime.test_supervisor import quiet

FORGERIES = int(os.environ.get("SWARMD_TEST_FORGERIES", "1000"))


async def test_tree_and_ledger_made_from_the_journal_alone_are_the_living_ones(
    namespace: str, tmp_path: Path
) -> None:
    async with recorded(namespace, tmp_path) as on:
        await missions(on, 1)
        await on.submit("m2")
        for _ in range(30):
            await quiet(on, 1)
            state, auditor = rebuilt(await on.entries())
            await on.pending(state)
            records, accounts = await on.living()
            assert state.records.values == records
            assert ledger_of(state) == accounts
            assert auditor.faults == []


@pytest.mark.parametrize("entries_max", [40, 4_096])
async def test_whatever_a_hand_that_owns_redis_does_to_the_journal_is_found_back_to_the_last_anchor(
    namespace: str, tmp_path: Path, entries_max: int
) -> None:
    async with recorded(namespace, tmp_path, entries_max=entries_max) as on:
        await missions(on, 2)
        await on.archive()
        anchored = len(await on.entries()) - 1
        await on.submit("late")
        await quiet(on, 4)
        entries, whole = await on.entries(), await on.proved()
        assert whole.proof.findings == []
        assert anchored < len(entries) - 1, "some entries are younger than the last anchor"
    chance, deeds = Random(entries_max), Counter[str]()
    for _ in range(FORGERIES // 2):
        forged = forge(chance, entries, until=anchored)
        if forged.entries == entries:
            continue
        proof = prove(tmp_path, SWARM, partial(Tail, forged.entries, forged.head)).proof
        assert proof.findings, forged
        if not forged.is_rechained:
            assert proof.findings[0].n == numbered(entries[forged.at][1]), forged
        deeds[f"{forged.deed} {forged.is_rechained}"] += 1
    assert len(deeds) == 10


def listed(folder: Path, pattern: str) -> list[Path]:
    return sorted(folder.rglob(pattern))


# --- files ------------------------------------------------------------------------------------


async def test_one_byte_changed_in_any_file_of_the_archive_is_found(
    namespace: str, tmp_path: Path
) -> None:
    async with recorded(namespace, tmp_path, entries_max=30) as on:
        await missions(on, 1)
        await on.archive()
        await quiet(on, 3)
        await on.stop()
        tail = Tail(await on.entries(), (await on.store.load(on.sup.declared)).swarm.chain.head)
    files = [path for path in listed(tmp_path, "*") if path.suffix in (".jsonl", ".pub")]
    assert {path.name.partition("-")[0] for path in files} == {
        "segment",
        "anchors.jsonl",
        "signing.pub",
    }
    chance = Random(7)
    for path in files:
        good = path.read_bytes()
        for _ in range(60):
            place = chance.randrange(len(good))
            path.write_bytes(
                good[:place] + bytes([good[place] ^ (1 << chance.randrange(8))]) + good[place + 1 :]
            )
            assert prove(tmp_path, SWARM, lambda: tail).proof.findings, (path.name, place)
        path.write_bytes(good)
    assert prove(tmp_path, SWARM, lambda: tail).proof.findings == []


async def test_a_segment_that_is_taken_away_is_missed(namespace: str, tmp_path: Path) -> None:
    async with recorded(namespace, tmp_path, entries_max=20) as on:
        await missions(on, 1)
        await on.stop()
        first, second, *_ = listed(tmp_path, "segment-*")
        for taken in (first, second):
            aside = taken.rename(taken.with_suffix(".aside"))
            findings = (await on.proved()).proof.findings
            assert findings[0].kind == "tampered"
            aside.rename(taken)
        assert (await on.proved()).proof.findings == []


# --- what a server can lose -------------------------------------------------------------------


async def test_a_server_that_lost_its_last_second_is_told_from_a_hand_and_can_be_acknowledged(
    namespace: str, tmp_path: Path, server: EmbeddedServer
) -> None:
    async with recorded(namespace, tmp_path, socket=str(server.socket), entries_max=80) as on:
        await missions(on, 1)
        await on.archive()
        kept = everything(str(server.socket), namespace)
        await on.submit("m2")
        await quiet(on, 8)
        await on.archive()
        lost = len(await on.entries())
        put_back(str(server.socket), namespace, kept)
        # Before anybody has looked: the journal ends before its anchor.
        (finding,) = (await on.proved()).proof.findings
        assert finding.kind == "lost"
        await on.start()
        await on.submit("m3")
        await on.run()
        (finding,) = (await on.proved()).proof.findings
        assert finding.kind == "recovered"
        (entry,) = [e for e in await on.journal("journal.recovered") if "lost" in e.data]
        assert finding.n == entry.data["n"]
        assert entry.data["continues"]["n"] + 1 == entry.data["gap"][0] <= entry.data["gap"][1]
        assert entry.data["gap"][1] - entry.data["gap"][0] < lost
        await on.stop()
        await on.start()
        assert [f.kind for f in (await on.proved()).proof.findings] == ["recovered"], (
            "no restart forgets it"
        )


async def test_nothing_is_sealed_that_no_anchor_vouches_for(namespace: str, tmp_path: Path) -> None:
    async with recorded(namespace, tmp_path, entries_max=2) as on:
        await missions(on, 1)
        assert await on.journal("facts.folded"), "what the ledger says was read for these"
        assert listed(tmp_path, "segment-*") == []
        await on.sup.journal.anchor()
        anchored = on.sup.memory.head.n
        await on.submit("m2")
        await quiet(on, 4)
        assert on.sup.journal.archive is not None
        await on.sup.journal.seal()
        sealed = [int(path.stem.rpartition("-")[2]) for path in listed(tmp_path, "segment-*")]
        assert anchored - 2 < max(sealed) <= anchored < on.sup.memory.head.n
        assert (await on.proved()).proof.findings == []


async def test_that_nothing_can_be_anchored_is_kept_for_whoever_asks_until_it_can_be_again(
    namespace: str, tmp_path: Path
) -> None:
    async with recorded(namespace, tmp_path / "journal") as on:
        await missions(on, 1)
        (tmp_path / "journal").rename(tmp_path / "moved")
        await on.sup.journal.anchor()
        assert "cannot be written" in on.sup.journal.trouble
        (tmp_path / "moved").rename(tmp_path / "journal")
        await on.sup.journal.anchor()
        assert on.sup.journal.trouble == ""


@pytest.mark.parametrize("entries_max", [1, 4_096])
async def test_a_former_leader_leaves_the_files_of_its_successor_alone(
    namespace: str, tmp_path: Path, server: EmbeddedServer, entries_max: int
) -> None:
    """The server lost its last second, and with it who led: that one has not learnt it yet."""
    async with recorded(
        namespace, tmp_path, socket=str(server.socket), entries_max=entries_max
    ) as on:
        await missions(on, 1)
        kept = everything(str(server.socket), namespace)
        await on.submit("m2")
        await quiet(on, 4)
        await on.archive()
        former = on.sup
        put_back(str(server.socket), namespace, kept)
        await on.start()
        await on.submit("m3")
        await quiet(on, 4)
        assert former.journal.archive is not None
        with pytest.raises(NotLeadingError):
            await former.journal.anchor()
        with pytest.raises(NotLeadingError):
            await former.journal.seal()
        await on.archive()
        assert [f.kind for f in (await on.proved()).proof.findings] == ["recovered"]


async def test_a_supervisor_that_waits_for_the_lead_takes_the_files_from_nobody(
    namespace: str, tmp_path: Path
) -> None:
    async with recorded(namespace, tmp_path) as on:
        await missions(on, 1)
        JournalFiles(tmp_path, SWARM).check()
        await on.archive()
        assert (await on.proved()).proof.anchors


async def test_an_acknowledged_gap_is_reported_no_more(
    namespace: str, tmp_path: Path, server: EmbeddedServer
) -> None:
    async with recorded(namespace, tmp_path, socket=str(server.socket)) as on:
        await missions(on, 1)
        kept = everything(str(server.socket), namespace)
        await on.submit("m2")
        await quiet(on, 6)
        await on.archive()
        put_back(str(server.socket), namespace, kept)
        await on.start()
        (finding,) = (await on.proved()).proof.findings
        await on.post(
            "operator",
            ORDERS,
            Kind.ORDER,
            order="o1",
            verb="ack",
            target=str(finding.n),
            reason="power cut",
        )
        await quiet(on, 2)
        proof = (await on.proved()).proof
        assert (proof.findings, proof.acknowledged) == ([], [finding])
        (entry,) = await on.journal("journal.acknowledged")
        assert (entry.data["entry"], entry.data["reason"], entry.data["outcome"]) == (
            finding.n,
            "power cut",
            "done",
        )
        await on.post(
            "operator", ORDERS, Kind.ORDER, order="o2", verb="ack", target="999999", reason="r"
        )
        await quiet(on, 2)
        assert [e.data["order"] for e in await on.journal("order.refused")] == ["o2"]


async def test_health_is_not_well_until_a_gap_is_acknowledged(
    namespace: str, tmp_path: Path, server: EmbeddedServer
) -> None:
    async with recorded(namespace, tmp_path, socket=str(server.socket)) as on:

        def gaps(part: str | None = None) -> tuple[tuple[int, ...], list[str]]:
            with closing(view_of(server.socket, namespace)) as view:
                state = view.health()
            return state.gaps, [
                said for said in health_findings(state, part=part, host_name="") if "lost" in said
            ]

        await missions(on, 1)
        kept = everything(str(server.socket), namespace)
        await on.submit("m2")
        await quiet(on, 6)
        await on.archive()
        assert gaps() == ((), [])
        put_back(str(server.socket), namespace, kept)
        await on.start()
        (finding,) = (await on.proved()).proof.findings
        # No restart and no work that goes on makes it well again.
        await on.stop()
        await on.start()
        await missions(on, 1)
        for part in (None, "supervisor"):
            found, said = gaps(part)
            assert found == (finding.n,)
            assert f"swarmd journal ack {finding.n}" in said[0]
        assert gaps("worker")[1] == []
        await on.post(
            "operator",
            ORDERS,
            Kind.ORDER,
            order="o1",
            verb="ack",
            target=str(finding.n),
            reason="power cut",
        )
        await quiet(on, 2)
        assert gaps() == ((), [])
        assert (await on.proved()).proof.findings == []


async def test_a_gap_that_no_supervisor_signed_is_no_lost_second(
    namespace: str, tmp_path: Path
) -> None:
    """Whoever cuts the journal and writes himself that the server lost it is found out: he has
    no key.
    """
    async with recorded(namespace, tmp_path) as on:
        await missions(on, 1)
        await on.stop()
        entries = await on.entries()
    kept, (id, line), lost = entries[:20], entries[20], head_of(entries)
    here = head_of(kept)
    data = {
        "event": "journal.recovered",
        "actor": "supervisor",
        "gap": [here.n + 1, lost.n],
        "before": here.after,
        "after": here.after,
        "lost": {"n": lost.n, "hash": lost.hash},
        "continues": {"n": here.n, "hash": here.hash},
    }
    said = json.loads(line) | {"data": data}
    made = kept + rechained([(id, json.dumps(said))], kept[-1])
    findings = prove(tmp_path, SWARM, lambda: Tail(made, head_of(made))).proof.findings
    assert findings[0].kind == "tampered"
    assert "signed" in findings[0].what


# --- a journal that cannot be continued ---------------------------------------------------------


async def test_what_a_hand_changes_while_nobody_leads_is_stated_and_reported(
    namespace: str, tmp_path: Path
) -> None:
    async with recorded(namespace, tmp_path) as on:
        await missions(on, 1)
        await on.stop()
        await on.store.pipe.execute(
            "HSET", on.store.keys.agent(AgentId("stark")), "privileges", "**"
        )
        await on.start()
        (entry,) = await on.journal("journal.restated")
        assert re.search(r"records are not what entry \d+ left: agent:stark$", entry.data["why"])
        (finding,) = (await on.proved()).proof.findings
        assert (finding.kind, finding.n) == ("restated", entry.data["n"])
        records, accounts = await on.living()
        state = (await on.proved()).proof.state
        assert (state.records.values, ledger_of(state)) == (records, accounts)


async def test_entries_written_while_nobody_leads_are_reported(
    namespace: str, tmp_path: Path
) -> None:
    async with recorded(namespace, tmp_path) as on:
        await missions(on, 1)
        await on.stop()
        entries = await on.entries()
        last = entries[-1]
        (forged,) = rechained([last], last)
        keys = on.store.keys
        await on.store.pipe.execute("XADD", keys.channel(JOURNAL), "*", "m", forged[1])
        head = head_of([forged])
        await on.store.pipe.execute(
            "HSET", keys.head, "n", head.n, "hash", head.hash, "after", head.after
        )
        await on.start()
        (entry,) = await on.journal("journal.restated")
        assert "while no supervisor led" in entry.data["why"]
        kinds = {finding.kind for finding in (await on.proved()).proof.findings}
        assert kinds == {"tampered", "restated"}


async def test_a_swarm_of_before_the_chain_is_taken_up_as_it_lives(
    namespace: str, tmp_path: Path
) -> None:
    async with recorded(namespace, tmp_path) as on:
        await on.submit()
        await quiet(on, 6)
        # As a version that did not chain its entries left it: no head, no hashes.
        await on.store.pipe.execute("DEL", on.store.keys.head, on.store.keys.channel(JOURNAL))
        for path in listed(tmp_path, "anchors.jsonl"):
            path.unlink()
        await on.store.pipe.execute(
            "XADD", on.store.keys.channel(JOURNAL), "*", "from", "supervisor", "text", "old"
        )
        await on.start()
        await on.run()
        await on.archive()
        proof = (await on.proved()).proof
        assert proof.findings == []
        _, first, *_ = await on.entries()
        assert numbered(first[1]) == 1


async def test_a_lost_archive_is_said_and_the_journal_goes_on(
    namespace: str, tmp_path: Path
) -> None:
    async with recorded(namespace, tmp_path, entries_max=20) as on:
        await missions(on, 1)
        await on.archive()
        for path in listed(tmp_path, "*.jsonl"):
            path.unlink()
        await on.start()
        await on.submit("m2")
        await on.run()
        await on.archive()
        findings = (await on.proved()).proof.findings
        assert "restated" in {finding.kind for finding in findings}
        assert len(listed(tmp_path, "segment-*")) > 0, "from there on it is sealed again"
        state = (await on.proved()).proof.state
        await on.pending(state)
        records, accounts = await on.living()
        assert (state.records.values, ledger_of(state)) == (records, accounts)


async def test_a_hand_in_a_living_journal_is_noticed_by_the_daemon_itself(
    namespace: str, tmp_path: Path
) -> None:
    async with recorded(namespace, tmp_path, entries_max=1_000) as on:
        await missions(on, 1)
        await on.archive()
        await on.submit("m2")
        await quiet(on, 3)
        victim = (await on.entries())[-2][0]
        await on.store.pipe.execute("XDEL", on.store.keys.channel(JOURNAL), victim)
        await on.archive()
        await quiet(on, 1)
        (entry,) = await on.journal("journal.restated")
        assert "missing before it" in entry.data["why"]
        await on.run()
        await on.archive()
        proof = (await on.proved()).proof
        assert [finding.kind for finding in proof.findings] == ["tampered", "restated"]
        assert len(listed(tmp_path, "broken-*")) == 1, (
            "what did not follow is kept for people to look at"
        )
        records, _ = await on.living()
        assert proof.state.records.values == records


# --- sealing ------------------------------------------------------------------------------------


async def test_the_store_keeps_the_last_sealed_segment_and_no_more(
    namespace: str, tmp_path: Path
) -> None:
    async with recorded(namespace, tmp_path, entries_max=15) as on:
        await missions(on, 2)
        await on.archive()
        first, *_, last = [numbered(line) for _, line in await on.entries()]
        sealed = listed(tmp_path, "segment-*")
        assert len(sealed) > 2
        newest = sealed[-1].stem.split("-")
        assert (first, last >= int(newest[2])) == (int(newest[1]), True)
        whole = (await on.proved()).proof
        assert (whole.findings, whole.entries, whole.first) == ([], last, 1)


async def test_a_folder_that_cannot_be_written_is_said_at_once(tmp_path: Path) -> None:
    in_the_way = tmp_path / "journal"
    in_the_way.write_text("a file where the folder should be")
    with pytest.raises(ArchiveError, match="cannot be written") as refused:
        JournalFiles(in_the_way, SWARM).open()
    assert "SWARMD_DATA" in refused.value.hint


def test_the_key_is_its_owners_alone_and_a_half_of_it_is_no_key(tmp_path: Path) -> None:
    JournalFiles(tmp_path, SWARM).open()
    assert (tmp_path / "signing.key").stat().st_mode & 0o777 == 0o600
    (tmp_path / "signing.pub").unlink()
    with pytest.raises(ArchiveError, match="missing"):
        JournalFiles(tmp_path, SWARM).open()


def test_a_torn_last_line_of_the_anchors_is_cut_and_the_rest_stays(tmp_path: Path) -> None:
    files = JournalFiles(tmp_path, SWARM)
    files.open()
    files.anchor(Head(3, "a" * 64), "at")
    path = tmp_path / SWARM / "anchors.jsonl"
    good = path.read_bytes()
    path.write_bytes(good + good[:40])
    assert JournalFiles(tmp_path, SWARM).open().anchor == Head(3, "a" * 64)
    assert path.read_bytes() == good


def test_an_anchor_never_goes_back(tmp_path: Path) -> None:
    """A former leader that slept past its lease may still have one to write."""
    files = JournalFiles(tmp_path, SWARM)
    files.open()
    for n in (5, 3, 5, 6):
        files.anchor(Head(n, "a" * 64), "at")
    assert (tmp_path / SWARM / "anchors.jsonl").read_text().count("\n") == 2
