"""Stops, seen from both sides: the supervisor marks and tells, a worker brings to rest what the
mark holds.

Each time the question is what is told of it: nobody says stopped of what was not seen to stand
still.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

import anyio
import pytest

from swarmd.adapters.models.scripted import ScriptedModel
from swarmd.adapters.redis.store import RedisStore
from swarmd.core.model.channels import DEAD, JOURNAL, ORDERS, inbox, room, up
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import FIRST, SOB, AgentId, MissionId
from swarmd.core.model.privileges import Revocation
from swarmd.core.model.refusals import Rule
from swarmd.core.model.tables import REVOCATIONS
from swarmd.core.model.timings import LEASE_SECONDS, SWEEP_SECONDS, UNWIND_SECONDS
from swarmd.ports.models import Answered, Failed, Prompt, Usage
from swarmd.runtime.turn.model_call import Mind
from swarmd.runtime.worker.worker import Worker
from tests.runtime.test_worker import (
    AT,
    DECLARED,
    DELIVERED,
    HERE,
    MISSION,
    Lineage,
    Slow,
    at_work,
    executive,
    facts_of,
    has_begun,
    journal_of,
    jumping,
    message,
    result_of,
    stored,
    supervised,
    until,
    worker_of,
)

M: Final = MissionId("m-1")
Fields = Mapping[str, Any]


@dataclass(slots=True)
class Operated:
    """A swarm with one executive that thinks slowly, and an operator's hand."""

    store: RedisStore
    worker: Worker
    slow: Slow
    orders: int = 0

    async def order(self, verb: str, target: str, **more: Any) -> str:
        self.orders += 1
        id = f"o-{self.orders}"
        data = {"order": id, "verb": verb, "target": target, "reason": "to see", **more}
        await self.store.post(
            ORDERS,
            Message(sender=AgentId("operator"), kind=Kind.ORDER, at=AT, text=verb, data=data),
        )
        return id

    async def answer_to(self, order: str, seconds: float = 30.0) -> Fields:
        """The journal's last word on it."""

        async def found() -> list[Fields]:
            entries = await self.store.read(JOURNAL, FIRST, 10_000)
            data = [entry.data for entry in entries if entry.data.get("order") == order]
            return [d for d in data if d.get("outcome") in ("done", "refused")]

        return (await until(found, seconds))[0]

    async def done(self, verb: str, target: str, **more: Any) -> Fields:
        return await self.answer_to(await self.order(verb, target, **more))

    async def executive(self) -> AgentId:
        async def made() -> list[AgentId]:
            return [AgentId(e["agent"]) for e in await journal_of(self.store, "agent.spawned")]

        return (await until(made))[0]

    async def state(self, id: str) -> str:
        [agent] = await self.store.agents([AgentId(id)])
        assert agent is not None
        return agent.state.value


@asynccontextmanager
async def operated(*, is_deaf: bool = False, script: Any = DELIVERED) -> AsyncIterator[Operated]:
    async with stored() as store:
        quick = ScriptedModel(script)
        slow = Slow(quick, is_deaf=is_deaf)

        async def mind(spec: str) -> Mind:
            return Mind(slow if spec == "slow" else quick, DECLARED.models.provider("scripted"))

        worker = worker_of(store)
        role = DECLARED.roles["executive"].model_copy(update={"model": "slow"})
        declared = replace(DECLARED, roles={**DECLARED.roles, "executive": role})
        worker.context.world = replace(worker.context.world, mind=mind, declared=declared)
        async with supervised(store, worker):
            await store.keep_mission({"mission": "What is six by seven?", "id": M})
            yield Operated(store, worker, slow)
            slow.go.set()


def test_a_frozen_agent_ends_its_call_and_begins_no_other_until_it_is_thawed() -> None:
    async def test() -> None:
        async with operated() as o:
            await has_begun(o.slow)
            executive = await o.executive()
            frozen = await o.done("freeze", executive)
            # The call is still under way: that is what is said of it.
            assert (frozen["confirmed"], frozen["unconfirmed"]) == (0, 1)
            assert frozen["busy"] == {executive: "model"}
            assert await o.state(executive) == "frozen"
            o.slow.go.set()
            await anyio.sleep(5 * SWEEP_SECONDS)
            assert o.slow.begun == 1
            assert await facts_of(o.store, fact="refuse", rule="stop.frozen", agent=executive)
            thawed = await o.done("thaw", executive)
            assert thawed["outcome"] == "done"
            told = await result_of(o.store, M)
            assert (told.data["state"], told.text) == ("delivered", "42")
            assert o.slow.begun == 1, "what had ended is not paid twice"

    jumping(test)


def test_who_is_stopped_again_and_again_before_its_turn_begins_loses_no_mail() -> None:
    async def test() -> None:
        async with operated() as o:
            o.slow.go.set()
            await o.done("freeze", "tier:1")
            executive = await o.executive()
            await until(
                lambda: facts_of(o.store, fact="refuse", rule="stop.frozen", agent=executive)
            )
            for _ in range(2 * DECLARED.limits.tries_max):
                # Let go and stopped anew in one commit: it tries, and is held at once.
                await o.order("thaw", "tier:1")
                await o.answer_to(await o.order("freeze", "tier:1"))
                await anyio.sleep(2 * SWEEP_SECONDS)
            await o.done("thaw", "tier:1")
            told = await result_of(o.store, M)
            assert (told.data["state"], told.text) == ("delivered", "42")
            assert await o.store.read(DEAD, FIRST, 10) == []

    jumping(test)


async def _lose_the_lease(o: Operated) -> None:
    """While a call is under way; its host is back in time to keep the agent."""
    key = o.store.keys.host(o.worker.context.host.id)
    kept = await o.store.pipe.execute("GET", key)
    await o.store.pipe.execute("DEL", key)
    o.slow.go.set()
    await anyio.sleep(0.1)
    await o.store.pipe.execute("SET", key, kept, "PX", 10_000)


async def _lose_the_last_moments(o: Operated) -> None:
    """The server is another process than before, as far as its host can tell."""
    o.slow.go.set()
    await until(lambda: facts_of(o.store, fact="refuse", rule="stop.frozen"))
    o.worker.lease.is_server_another = True


@pytest.mark.parametrize("lose", [_lose_the_lease, _lose_the_last_moments])
def test_a_frozen_agent_that_its_host_gave_up_meanwhile_goes_on_there_when_it_is_thawed(
    lose: Callable[[Operated], Awaitable[None]],
) -> None:
    async def test() -> None:
        async with operated() as o:
            await has_begun(o.slow)
            executive = await o.executive()
            await o.done("freeze", executive)
            await lose(o)
            await anyio.sleep(5 * SWEEP_SECONDS)
            await o.done("thaw", executive)
            told = await result_of(o.store, M)
            assert (told.data["state"], told.text) == ("delivered", "42")
            assert o.slow.begun == 1, "what had ended is not paid twice"

    jumping(test)


def test_an_idle_agent_that_is_frozen_is_confirmed_and_a_frozen_frozen_one_too() -> None:
    resting = {"when": {"role": "executive"}, "moves": [{"move": "wait", "seconds": 3_000}]}

    async def test() -> None:
        async with operated(script=[DELIVERED[0], resting]) as o:
            executive = await o.executive()
            await has_begun(o.slow)
            o.slow.go.set()
            await anyio.sleep(5 * SWEEP_SECONDS)
            for verb in ("freeze", "halt"):
                seen = await o.done(verb, executive)
                assert (seen["confirmed"], seen["unconfirmed"], seen["unreachable"]) == (1, 0, 0)

    jumping(test)


def test_a_halted_agent_is_cut_in_its_call_which_is_paid_and_made_anew_when_it_goes_on() -> None:
    async def test() -> None:
        async with operated() as o:
            await has_begun(o.slow)
            executive = await o.executive()
            halted = await o.done("halt", executive)
            assert (halted["confirmed"], halted["unconfirmed"]) == (1, 0)
            [cut] = await facts_of(o.store, fact="settle", agent=executive)
            assert '"assumed":true' in cut["amounts"]
            await o.store.post(
                inbox(executive),
                Message(sender=AgentId("sob"), kind=Kind.DIRECTIVE, at=AT, text="and?"),
            )
            await anyio.sleep(3 * SWEEP_SECONDS)
            assert o.slow.begun == 1
            o.slow.go.set()
            await o.done("thaw", executive)
            assert (await result_of(o.store, M)).text == "42"
            assert o.slow.begun >= 2, "the cut one is made anew"

    jumping(test)


@pytest.mark.parametrize("is_frozen", [False, True])
def test_who_is_halted_and_thawed_before_its_host_hears_of_either_goes_on(
    *, is_frozen: bool
) -> None:
    """The host reads both orders at once: the halt must not be carried out after the thaw."""

    async def test() -> None:
        async with operated() as o:
            await has_begun(o.slow)
            executive = await o.executive()
            if is_frozen:
                await o.done("freeze", executive)
            o.slow.go.set()
            if is_frozen:
                await until(
                    lambda: facts_of(o.store, fact="refuse", rule="stop.frozen", agent=executive)
                )
                await o.order("thaw", executive)
            await o.order("halt", executive)
            await o.done("thaw", executive)
            assert (await result_of(o.store, M)).text == "42"

    jumping(test)


@pytest.mark.parametrize("target", ["*", "tier:1", M])
def test_a_stop_of_more_than_one_agent_holds_and_lets_go(target: str) -> None:
    async def test() -> None:
        async with operated() as o:
            await has_begun(o.slow)
            seen = await o.done("freeze", target)
            assert seen["outcome"] == "done"
            o.slow.go.set()
            await o.store.post(
                inbox(await o.executive()),
                Message(sender=AgentId("sob"), kind=Kind.DIRECTIVE, at=AT, text="and?"),
            )
            await anyio.sleep(5 * SWEEP_SECONDS)
            assert o.slow.begun == 1, "nothing begins under a stop"
            await o.done("thaw", target)
            assert (await result_of(o.store, M)).data["state"] == "delivered"

    jumping(test)


def test_a_task_that_ignores_its_cancellation_is_told_as_what_it_is_and_again_when_it_has_gone() -> (
    None
):
    async def test() -> None:
        async with operated(is_deaf=True) as o:
            await has_begun(o.slow)
            executive = await o.executive()
            ended = await o.done("terminate", executive)
            assert (ended["confirmed"], ended["unconfirmed"], ended["unreachable"]) == (0, 1, 0)
            [stuck] = await journal_of(o.store, "agent.stuck")
            assert (stuck["agent"], stuck["actor"]) == (executive, HERE)
            o.slow.go.set()

            async def late() -> list[Fields]:
                return await journal_of(o.store, "subtree.confirmed")

            assert (await until(late))[0]["agents"] == 1

    jumping(test)


def test_a_drained_agent_ends_its_turn_takes_no_other_and_is_then_ended() -> None:
    async def test() -> None:
        async with operated() as o:
            await has_begun(o.slow)
            executive = await o.executive()
            order = await o.order("drain", executive, grace_s=120)
            await o.store.post(
                inbox(executive),
                Message(sender=AgentId("sob"), kind=Kind.DIRECTIVE, at=AT, text="and?"),
            )
            await anyio.sleep(2 * UNWIND_SECONDS)
            assert await o.state(executive) == "draining"
            o.slow.go.set()
            ended = await o.answer_to(order)
            assert (ended["confirmed"], ended["unconfirmed"], ended["unreachable"]) == (1, 0, 0)
            assert await o.state(executive) == "terminated"
            assert o.slow.begun == 1
            # What the turn said before it ended is there.
            assert (await result_of(o.store, M)).text == "42"

    jumping(test)


def test_an_agent_with_an_empty_account_is_frozen_told_of_and_goes_on_when_it_is_funded() -> None:
    # The board is called for it, and its seat comes to it only when an operator has funded it.
    late = {"when": {"phase": "review", "times": 1}, "fail": {"why": "server", "retry_after": 60}}
    deliver = {"motion": "deliver", "reports": ["lead"], "reason": "It is done."}
    deliver_it = {"when": {"phase": "review"}, "moves": [{"move": "propose", "motion": deliver}]}

    async def test() -> None:
        async with operated(script=[late, deliver_it, *DELIVERED]) as o:
            executive = await o.executive()
            await has_begun(o.slow)
            # All that it has left is taken as by a call that used it up.
            free = (await o.store.accounts([executive], "free"))[executive]["calls"]
            ledger = o.store.keys.ledger(executive)
            for amount in ("free", "cap"):
                await o.store.pipe.execute("HINCRBY", ledger, f"calls.{amount}", -free)
            o.slow.inner = _FailsOnce(o.slow.inner)  # type: ignore[assignment]  # an answer, not the whole port
            o.slow.go.set()

            async def held() -> list[Fields]:
                return [
                    e
                    for e in await journal_of(o.store, "stop.set")
                    if e.get("rule") == "budget.exhausted"
                ]

            assert (await until(held))[0]["target"] == f"={executive}"
            assert await o.state(executive) == "frozen"
            await anyio.sleep(3 * SWEEP_SECONDS)
            await o.done("fund", executive, amounts={"calls": 10})
            assert (await result_of(o.store, M)).text == "42"

    jumping(test)


def test_the_brake_cuts_every_turn_here_without_the_server_and_its_release_goes_on() -> None:
    async def test() -> None:
        async with operated() as o:
            await has_begun(o.slow)
            agents, busy = await o.worker.brake()
            assert agents > 0
            assert busy == {}
            begun = o.slow.begun
            await anyio.sleep(LEASE_SECONDS)
            assert o.slow.begun == begun
            o.slow.go.set()
            await o.worker.release()
            assert (await result_of(o.store, M)).text == "42"

    jumping(test)


@pytest.mark.parametrize("when", ["placed under it", "told under it"])
def test_who_is_given_something_to_do_under_the_brake_does_it_after_the_release(when: str) -> None:
    async def test() -> None:
        async with stored() as store:
            slow, lineage = Slow(), Lineage(store)
            worker = worker_of(store, slow)
            if when == "told under it":
                await lineage.found(executive("a-1"))
            async with at_work(worker):
                await anyio.sleep(SWEEP_SECONDS)
                await worker.brake()
                if when == "placed under it":
                    await lineage.found(executive("a-1"))
                await store.post(inbox(AgentId("a-1")), message("begin"))
                await anyio.sleep(3 * SWEEP_SECONDS)
                assert slow.begun == 0
                await worker.release()
                slow.go.set()
                await has_begun(slow)

    jumping(test)


@dataclass(slots=True)
class _FailsOnce:
    """The first answer cannot be used: another call has to be made, which there is nothing left
    for.
    """

    inner: ScriptedModel
    failures: int = 0

    async def attempt(self, prompt: Prompt) -> Answered | Failed:
        self.failures += 1
        if self.failures == 1:
            return Failed("malformed", "no move", Usage(10, 10))
        return await self.inner.attempt(prompt)


# --- revocations ----------------------------------------------------------------------------------


@pytest.mark.parametrize("is_revoked", [False, True])
def test_what_an_agent_may_no_longer_say_is_not_posted_and_the_rest_of_its_turn_is(
    *, is_revoked: bool
) -> None:
    """Its worker knows its rights as they were when it came here; what was revoked since, the
    store alone knows.
    """
    script = [
        {
            "when": {"role": "executive"},
            "moves": [
                {"move": "say", "room": "executives", "text": "Listen."},
                {"move": "report", "text": "Still at it.", "done": False},
            ],
        }
    ]

    async def test() -> None:
        async with stored() as store:
            id, lineage = AgentId("a-1"), Lineage(store)
            talking = replace(executive(id), privileges=("model/**", "room/executives/say"))
            await lineage.found(talking)
            if is_revoked:
                taken = Revocation(MISSION, "room/**", "both", 1, "operator", AT)
                await lineage.write(REVOCATIONS.set(MISSION, (taken,)))
            async with at_work(worker_of(store, ScriptedModel(script))):
                await store.post(inbox(id), message("and?"))
                reports = await until(lambda: store.read(up(SOB), FIRST, 10))
            assert [report.text for report in reports] == ["Still at it."]
            said = await store.read(room(f"executives-{MISSION}"), FIRST, 10)
            assert [post.text for post in said] == ([] if is_revoked else ["Listen."])
            refused = await facts_of(store, fact="refuse", rule=Rule.PRIVILEGE_REVOKED, agent=id)
            # By the store, and once more by the turn, for the journal.
            assert [("call" in fact, "turn" in fact) for fact in refused] == (
                [(True, False), (False, True)] if is_revoked else []
            )

    jumping(test)
