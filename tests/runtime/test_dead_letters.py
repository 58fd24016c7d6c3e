"""Messages on which their reader fails: tried so often, then dead letters, and what an operator
does about these.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import anyio
import pytest

from swarmd.adapters.redis.store import RedisStore
from swarmd.core.actions.dead_letters import letter
from swarmd.core.control.dispatch import decide
from swarmd.core.model.channels import DEAD, ORDERS, REQUESTS, inbox
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import (
    FIRST,
    SUPERVISOR,
    AgentId,
    AgentState,
    Channel,
    HostId,
    StreamId,
)
from swarmd.core.model.refusals import Rule
from swarmd.core.model.state import Draft
from swarmd.ports.stores import Begin, Begun, Hold, Used
from swarmd.runtime.mailboxes import Resident
from swarmd.runtime.turn.world import World
from swarmd.runtime.worker.turns import RETRY_SECONDS
from swarmd.runtime.worker.worker import Worker
from tests.core.swarm_builder import MISSION as STAGED
from tests.runtime.test_supervisor import Stage, quiet, stage
from tests.runtime.test_worker import (
    AT,
    DECLARED,
    HERE,
    MISSION,
    Lineage,
    at_work,
    executive,
    jumping,
    message,
    stored,
    until,
    worker_of,
)

READER: Final = AgentId("a-1")
TRIES: Final = DECLARED.limits.tries_max


def _failing(worker: Worker, poison: str) -> tuple[list[list[str]], list[list[str]]]:
    """Its turns fail while this text is in their mail; what was tried, and what was answered."""
    whole, tried, answered = worker.turns.answer, list[list[str]](), list[list[str]]()

    async def answer(world: World, resident: Resident) -> None:
        texts = [mail.text for mail in (resident.mailbox or ())[: 1 if resident.alone else None]]
        tried.append(texts)
        if poison in texts:
            raise ValueError("a bug in this turn")
        answered.append(texts)
        await whole(world, resident)

    worker.turns.answer = answer
    return tried, answered


async def _letters(store: RedisStore) -> list[Message]:
    return await store.read(DEAD, FIRST, 100)


def test_a_message_is_tried_three_times_and_then_a_letter_with_all_that_a_retry_takes() -> None:
    async def test() -> None:
        async with stored() as store:
            await Lineage(store).found(executive(READER))
            worker = worker_of(store)
            tried, answered = _failing(worker, "poison")
            poison = replace(message("poison"), data={"why": ["not"]}, hops=3)
            async with at_work(worker):
                await anyio.sleep(1)
                id = await store.post(inbox(READER), poison)

                async def dead() -> bool:
                    return bool(await _letters(store))

                await until(dead)
                assert tried == [["poison"]] * TRIES
                await store.post(inbox(READER), message("after it"))
                await anyio.sleep(2)
            (letter,) = await _letters(store)
            assert (letter.kind, letter.sender, letter.mission) == (Kind.DEAD, READER, MISSION)
            assert letter.text == "ValueError in its turn"
            assert (letter.data["reader"], letter.data["tries"]) == (READER, TRIES)
            original = letter.data["original"]
            assert (original["channel"], original["id"], original["sender"]) == (
                inbox(READER),
                id,
                "sob",
            )
            assert (original["text"], original["data"], original["hops"]) == (
                "poison",
                {"why": ["not"]},
                3,
            )
            assert answered == [["after it"]]
            assert (await store.positions(inbox(READER), [READER]))[READER] > id
            (failed,) = [
                m for m in await store.read(REQUESTS, FIRST, 10) if m.data["type"] == "failed"
            ]
            assert (
                failed.data["is_crash"],
                failed.data["dead"]["id"],
                failed.data["dead"]["tries"],
            ) == (
                True,
                id,
                TRIES,
            )

    jumping(test)


def test_of_several_messages_only_the_one_that_fails_is_a_letter_and_the_others_are_answered() -> (
    None
):
    async def test() -> None:
        async with stored() as store:
            await Lineage(store).found(executive(READER))
            for text in ("one", "poison", "two"):
                await store.post(inbox(READER), message(text))
            worker = worker_of(store)
            tried, answered = _failing(worker, "poison")
            async with at_work(worker):

                async def all_answered() -> bool:
                    return ["two"] in answered

                await until(all_answered)
            assert tried == [["one", "poison", "two"]] * TRIES + [["one"]] + [
                ["poison"]
            ] * TRIES + [["two"]]
            (letter,) = await _letters(store)
            assert letter.data["original"]["text"] == "poison"

    jumping(test)


def test_a_turn_that_fails_once_is_taken_again_and_nothing_of_it_is_lost() -> None:
    async def test() -> None:
        async with stored() as store:
            await Lineage(store).found(executive(READER))
            worker = worker_of(store)
            whole, attempts = worker.turns.answer, list[float]()

            async def answer(world: World, resident: Resident) -> None:
                attempts.append(anyio.current_time())
                if len(attempts) < TRIES:
                    raise OSError("the disk was away")
                await whole(world, resident)

            worker.turns.answer = answer
            async with at_work(worker):
                await anyio.sleep(1)
                id = await store.post(inbox(READER), message("work"))

                async def done() -> bool:
                    return (await store.positions(inbox(READER), [READER]))[READER] >= id

                await until(done)
            assert len(attempts) == TRIES
            assert attempts[1] - attempts[0] >= RETRY_SECONDS
            assert await _letters(store) == []
            assert [
                m for m in await store.read(REQUESTS, FIRST, 10) if m.data["type"] == "failed"
            ] == []

    jumping(test)


def test_what_ends_its_host_again_and_again_is_a_letter_too() -> None:
    """The process is gone before it can say anything: what counts is in Redis."""

    async def test() -> None:
        async with stored() as store:
            lineage = Lineage(store)
            await lineage.found(executive(READER, host=HostId("h-0")))
            await store.post(inbox(READER), message("deadly"))
            begun: list[str] = []
            for n in range(TRIES + 1):
                host = HostId(f"h-{n}")
                await lineage.place(executive(READER, host=host, lease=n + 2))
                worker = worker_of(store, host=host)
                reached = anyio.Event()

                async def answer(
                    world: World,
                    resident: Resident,
                    host: str = host,
                    reached: anyio.Event = reached,
                ) -> None:
                    begun.append(host)
                    reached.set()
                    await anyio.sleep_forever()

                worker.turns.answer = answer
                async with anyio.create_task_group() as process:
                    process.start_soon(worker.run)
                    with anyio.move_on_after(5):
                        await reached.wait()
                    # A process that is killed wakes nobody any more.
                    worker.stop.set()
                    process.cancel_scope.cancel()
            assert begun == [f"h-{n}" for n in range(TRIES)]
            (letter,) = await _letters(store)
            assert (letter.data["tries"], letter.data["original"]["text"]) == (TRIES, "deadly")
            assert "its host ended" in letter.text

    jumping(test)


async def test_attempts_are_counted_once_each_and_anew_where_the_turn_got_on(
    namespace: str,
) -> None:
    async with stored() as store:
        await Lineage(store).found(executive(READER))
        hold = Hold(READER, ("sob", "@owner", MISSION, READER), 1, 1, HERE)
        count = store.attempt
        assert await count(READER, 1, "a", "begun") == 1
        assert await count(READER, 1, "a", "begun") == 1, "the reply was lost"
        assert await count(READER, 1, "b", "begun") == 2
        await store.pipe.execute("SET", store.keys.host(HERE), "{}")
        call = Begin(1, 1, "read", READER, ("sob", "@owner", MISSION, READER), ())
        assert isinstance(await store.begin(hold, call, AT), Begun)
        assert await count(READER, 1, "c", "begun") == 3, "a step that began is not one that ended"
        await store.end(hold, call, "{}", Used({}), 80, AT)
        assert await count(READER, 1, "d", "begun") == 1
        assert await count(READER, 1, "e", "failed") == 2


def test_hosts_that_end_in_order_make_no_letter_of_a_long_turn() -> None:
    async def test() -> None:
        async with stored() as store:
            lineage = Lineage(store)
            await lineage.found(executive(READER, host=HostId("h-0")))
            await store.post(inbox(READER), message("long"))
            begun: list[str] = []
            for n in range(2 * TRIES):
                host = HostId(f"h-{n}")
                await lineage.place(executive(READER, host=host, lease=n + 2))
                worker = worker_of(store, host=host)
                worker.grace_seconds = 0.1
                reached = anyio.Event()

                async def answer(
                    world: World,
                    resident: Resident,
                    host: str = host,
                    reached: anyio.Event = reached,
                ) -> None:
                    begun.append(host)
                    reached.set()
                    await anyio.sleep_forever()

                worker.turns.answer = answer
                async with at_work(worker):
                    await reached.wait()
            assert begun == [f"h-{n}" for n in range(2 * TRIES)]
            assert await _letters(store) == []

    jumping(test)


async def test_a_turn_that_came_to_its_first_call_uncounted_was_tried_once(namespace: str) -> None:
    async with stored() as store:
        await Lineage(store).found(executive(READER))
        await store.pipe.execute("SET", store.keys.host(HERE), "{}")
        call = Begin(1, 1, "read", READER, ("sob", "@owner", MISSION, READER), ())
        hold = Hold(READER, ("sob", "@owner", MISSION, READER), 1, 1, HERE)
        assert isinstance(await store.begin(hold, call, AT), Begun)
        assert await store.attempt(READER, 1, "a", "begun") == 2


# --- the supervisor's part --------------------------------------------------------------------


async def _order(on: Stage, verb: str, target: str, order: str) -> None:
    data = {"order": order, "verb": verb, "target": target}
    await on.store.post(
        ORDERS, Message(sender=AgentId("operator"), kind=Kind.ORDER, at=AT, data=data)
    )
    while await on.sup.step():
        pass


async def _answer(on: Stage, order: str) -> dict[str, Any]:
    events = ("dead.retried", "dead.dropped", "order.refused", "message.refused")
    entries = [entry for event in events for entry in await on.journal(event)]
    (found,) = [dict(entry.data) for entry in entries if entry.data.get("order") == order]
    return found


async def _dead(on: Stage, reader: AgentId) -> StreamId:
    lost = replace(message("poison"), channel=inbox(reader), id=StreamId("7-0"))
    return await on.store.post(
        DEAD, letter(reader, lost, tries=3, why="KeyError in its turn", at=AT)
    )


async def test_a_letter_is_handed_out_again_once_and_then_there_is_none(namespace: str) -> None:
    async with stage(namespace) as on:
        on.silent = {STAGED}
        await on.submit()
        await on.run()
        reader = on.sup.state.executives(STAGED)[0]
        id = await _dead(on, reader.id)
        await _order(on, "retry", id, "o1")
        assert (await _answer(on, "o1"))["outcome"] == "done"
        again = [m for m in await on.store.read(inbox(reader.id), FIRST, 100) if m.text == "poison"]
        assert [(m.kind, m.sender, m.hops) for m in again] == [(Kind.DIRECTIVE, "sob", 0)]
        assert await on.store.read(DEAD, FIRST, 10) == []
        await _order(on, "retry", id, "o2")
        assert (await _answer(on, "o2"))["rule"] == Rule.UNKNOWN_LETTER


async def test_two_orders_about_one_letter_in_one_commit_do_it_once(namespace: str) -> None:
    async with stage(namespace) as on:
        on.silent = {STAGED}
        await on.submit()
        await on.run()
        reader = on.sup.state.executives(STAGED)[0]
        id = await _dead(on, reader.id)
        for order in ("o1", "o2"):
            data = {"order": order, "verb": "retry", "target": id}
            await on.store.post(
                ORDERS, Message(sender=AgentId("operator"), kind=Kind.ORDER, at=AT, data=data)
            )
        await quiet(on)
        assert [(await _answer(on, order))["outcome"] for order in ("o1", "o2")] == [
            "done",
            "refused",
        ]
        texts = [m.text for m in await on.store.read(inbox(reader.id), FIRST, 100)]
        assert texts.count("poison") == 1


async def test_a_letter_is_dropped_and_one_to_somebody_who_has_ended_is_not_retried(
    namespace: str,
) -> None:
    async with stage(namespace) as on:
        id = await _dead(on, AgentId("a-gone"))
        await _order(on, "retry", id, "o1")
        assert (await _answer(on, "o1"))["rule"] == Rule.UNKNOWN_AGENT
        await _order(on, "drop", id, "o2")
        assert (await _answer(on, "o2"))["outcome"] == "done"
        assert await on.store.read(DEAD, FIRST, 10) == []
        for target in (id, "nonsense", "9" * 30, ""):
            await _order(on, "drop", target or "-", f"o-{target[:9]}")


async def test_a_letter_that_somebody_without_the_secret_wrote_is_none(namespace: str) -> None:
    async with stage(namespace) as on:
        id = await _dead(on, AgentId("a-gone"))
        (flat,) = await on.store.pipe.execute("XRANGE", on.store.keys.channel(DEAD), id, id)
        forged = [word.replace("a-gone", "a-else") for word in flat[1]]
        copied = await on.store.pipe.execute("XADD", on.store.keys.channel(DEAD), "*", *forged)
        await _order(on, "drop", copied, "o1")
        assert (await _answer(on, "o1"))["rule"] == Rule.UNKNOWN_LETTER


async def test_an_order_that_cannot_be_decided_is_a_letter_and_can_be_retried_when_it_can(
    namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_broken = [True]

    def fails(draft: Draft, message: Message) -> None:
        if is_broken[0] and message.data.get("order") == "o1":
            raise ZeroDivisionError("a bug")
        decide(draft, message)

    monkeypatch.setattr("swarmd.runtime.supervisor.intake.decide", fails)
    async with stage(namespace) as on:
        await _order(on, "cancel", "m-none", "o1")
        refused = await _answer(on, "o1")
        assert (refused["rule"], refused["outcome"]) == (Rule.POISON, "refused")
        (letter,) = await on.store.read(DEAD, FIRST, 10)
        assert (letter.sender, letter.data["original"]["channel"]) == (SUPERVISOR, ORDERS)
        assert letter.text == "ZeroDivisionError: a bug"
        await on.start()
        is_broken[0] = False
        await _order(on, "retry", letter.id, "o2")
        assert (await _answer(on, "o2"))["outcome"] == "done"
        while await on.sup.step():
            pass
        # Its own answer, from the law this time.
        decided = [e for e in await on.journal("order.refused") if e.data["order"] == "o1"]
        assert [e.data["rule"] for e in decided] == [Rule.UNKNOWN_MISSION]


async def test_the_superior_is_told_of_a_letter_and_the_reader_begins_anew(namespace: str) -> None:
    async with stage(namespace) as on:
        on.silent = {STAGED}
        await on.submit()
        await on.run()
        reader = on.sup.state.executives(STAGED)[0]
        mail = {"channel": "inbox:x", "id": "7-0", "sender": "sob", "tries": 3}
        await on.post(
            reader.id,
            REQUESTS,
            Kind.REQUEST,
            type="failed",
            detail="KeyError",
            is_crash=True,
            dead=mail,
        )
        await quiet(on, 2)
        (told,) = await on.journal("dead.added")
        assert (told.data["agent"], told.data["message"], told.data["rule"]) == (
            reader.id,
            "7-0",
            Rule.POISON,
        )
        said = await on.store.read(Channel("room:sob"), FIRST, 1_000)
        (notice,) = [m for m in said if "dead" in m.data]
        assert notice.data["dead"] == {"channel": "inbox:x", "id": "7-0", "tries": 3}
        assert on.sup.state.lineage.agents[reader.id].incarnation == 2
        assert on.sup.state.lineage.agents[reader.id].state is not AgentState.TERMINATED
