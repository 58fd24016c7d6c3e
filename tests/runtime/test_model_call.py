"""A mind over the real store: what an attempt costs, what is tried again, and what a successor need
not pay.

The model is scripted, the store is the one of the daemon on fakeredis, and time jumps.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import anyio
import pytest

from swarmd.adapters.models.scripted import ScriptedModel
from swarmd.adapters.redis.codecs import hold_text
from swarmd.adapters.redis.store import RedisStore
from swarmd.core.ledger.calls import OUTPUT_TOKENS_FLOOR
from swarmd.core.model.exchange import Piece
from swarmd.core.model.functions import Offer
from swarmd.core.model.lineage import stop_fields
from swarmd.core.model.moves import Report
from swarmd.core.model.names import MissionId
from swarmd.core.model.records import Host
from swarmd.core.model.refusals import Rule
from swarmd.ports.models import Answered, Failed, Model, Prompt, Usage, View
from swarmd.ports.stores import Begin, Hold
from swarmd.runtime.turn.model_call import Mind, ThoughtFailedError
from swarmd.runtime.turn.step_journal import Journal, NotAllowedError
from tests.runtime.test_worker import (
    AT,
    DECLARED,
    HERE,
    Lineage,
    Slow,
    executive,
    facts_of,
    has_begun,
    jumping,
    stored,
)

AGENT = executive("a-1")
REPORT = {"moves": [{"move": "report", "text": "42", "done": True}]}
PROVIDER = DECLARED.models.provider("scripted").model_copy(
    update={"attempts_max": 3, "corrections_max": 2}
)


def failing(why: str, times: int = 1, **more: Any) -> dict[str, Any]:
    return {"when": {"times": times}, "fail": {"why": why, "detail": f"{why}!", **more}}


def render(corrections: Sequence[Mapping[str, Any]]) -> Prompt:
    view = View(
        AGENT.id, AGENT.name, AGENT.role, 1, MissionId("m-1"), "Why?", (), steps=tuple(corrections)
    )
    return Prompt("shared", "persona", (Piece("user", "Answer."),), Offer(("report",)), 100, view)


@dataclass(slots=True)
class Thinking:
    """One turn of an agent that has money, a host and a mind."""

    store: RedisStore
    lease: int = 1
    slept: list[float] = field(default_factory=list)

    def journal(self) -> Journal:
        hold = Hold(AGENT.id, AGENT.path, AGENT.incarnation, self.lease, HERE)
        targets = stop_fields(AGENT)
        return Journal(self.store, hold, 1, AGENT.id, AGENT.path, targets, "{}", 80, lambda: AT)

    async def think(self, model: Model, journal: Journal | None = None) -> tuple[Any, Any]:
        async def sleep(seconds: float) -> None:
            self.slept.append(seconds)

        return await Mind(model, PROVIDER, sleep).think(journal or self.journal(), render)

    async def paid(self) -> tuple[int, int]:
        """Calls and tokens that were spent; nothing may be left reserved."""
        account = await self.store.accounts([AGENT.id], "reserved")
        assert account[AGENT.id]["calls"] == account[AGENT.id]["tokens"] == 0
        spent = (await self.store.accounts([AGENT.id], "spent"))[AGENT.id]
        return spent["calls"], spent["tokens"]

    async def lend_from(self, mission: str, **free: int) -> None:
        await leave(self, mission, **free)

    async def amounts(self, account: str) -> dict[str, int]:
        """Tokens of a mission's account."""
        names = ("free", "reserved", "spent")
        row = await self.store.pipe.execute(
            "HMGET", self.store.keys.ledger(account), *(f"tokens.{name}" for name in names)
        )
        return {name: int(n or 0) for name, n in zip(names, row, strict=True)}

    async def hold_again(self) -> None:
        """Its host's lease was lost and given anew."""
        agent = replace(AGENT, lease=self.lease, host=HERE)
        await self.store.pipe.execute("HSET", self.store.keys.holds, AGENT.id, hold_text(agent))

    async def money(self) -> tuple[int, int]:
        """Micro-dollars that were spent, and tokens whose price nobody knew; nothing may be left
        reserved.
        """
        assert (await self.store.accounts([AGENT.id], "reserved"))[AGENT.id]["cost"] == 0
        spent = (await self.store.accounts([AGENT.id], "spent"))[AGENT.id]["cost"]
        return spent, (await self.store.accounts([AGENT.id], "unpriced"))[AGENT.id]["tokens"]


@asynccontextmanager
async def thinking() -> AsyncIterator[Thinking]:
    async with stored() as store:
        lineage = Lineage(store)
        await lineage.found(AGENT)
        await store.register(Host(HERE, 10, "w-1"), 3_600)
        yield Thinking(store)


def test_a_good_answer_costs_one_call_and_what_it_used() -> None:
    async def test() -> None:
        async with thinking() as turn:
            moves, corrections = await turn.think(ScriptedModel([REPORT]))
            assert (moves, corrections) == ((Report(move="report", text="42", done=True),), [])
            assert await turn.paid() == (1, 20)

    jumping(test)


def test_what_the_world_did_wrong_is_repeated_as_it_was_and_every_attempt_is_paid() -> None:
    async def test() -> None:
        async with thinking() as turn:
            moves, corrections = await turn.think(ScriptedModel([failing("server", 2), REPORT]))
            assert moves
            assert corrections == []
            assert turn.slept == [0.5, 1.0]
            assert await turn.paid() == (3, 60)

    jumping(test)


@pytest.mark.parametrize(("asked", "slept"), [(7.0, 7.0), (86_400.0, 60.0), (0.0, 0.0)])
def test_a_provider_is_obeyed_when_it_says_how_long_to_wait_up_to_a_minute(
    asked: float, slept: float
) -> None:
    async def test() -> None:
        async with thinking() as turn:
            await turn.think(ScriptedModel([failing("rate_limited", retry_after=asked), REPORT]))
            assert turn.slept == [slept]

    jumping(test)


@pytest.mark.parametrize("told", [None, 0.0])
def test_attempts_after_a_429_that_tells_no_wait_reach_beyond_a_rate_window(
    told: float | None,
) -> None:
    async def test() -> None:
        async with thinking() as turn:
            more = {} if told is None else {"retry_after": told}
            patient = PROVIDER.model_copy(update={"attempts_max": 5})

            async def sleep(seconds: float) -> None:
                turn.slept.append(seconds)

            mind = Mind(ScriptedModel([failing("rate_limited", 4, **more), REPORT]), patient, sleep)
            moves, _ = await mind.think(turn.journal(), render)
            assert moves
            assert sum(turn.slept) > 60
            assert max(turn.slept) <= 60

    jumping(test)


def test_a_form_of_a_request_that_is_not_taken_is_no_failure_and_there_is_an_end_of_forms() -> None:
    async def test() -> None:
        async with thinking() as turn:
            moves, corrections = await turn.think(
                ScriptedModel([failing("unsupported", 5), REPORT])
            )
            assert (len(moves), corrections, turn.slept) == (1, [], [])
            assert await turn.paid() == (6, 120), "each request is an attempt in the ledger"
        async with thinking() as turn:
            with pytest.raises(ThoughtFailedError, match="unsupported!"):
                await turn.think(ScriptedModel([failing("unsupported", 100)]))

    jumping(test)


def test_what_the_model_did_wrong_is_given_back_to_it_as_a_correction() -> None:
    async def test() -> None:
        async with thinking() as turn:
            rules = [failing("malformed"), {"when": {"step": 1}, **REPORT}]
            moves, corrections = await turn.think(ScriptedModel(rules))
            assert moves
            assert [correction["correction"] for correction in corrections] == ["malformed!"]
            assert turn.slept == []
            assert await turn.paid() == (2, 40)

    jumping(test)


@pytest.mark.parametrize(
    ("why", "attempts"),
    [("server", 3), ("timeout", 3), ("malformed", 3), ("refused", 3), ("rejected", 1)],
)
def test_a_thought_fails_within_its_bounds_and_all_its_attempts_are_paid(
    why: str, attempts: int
) -> None:
    async def test() -> None:
        async with thinking() as turn:
            with pytest.raises(ThoughtFailedError, match=f"{why}!"):
                await turn.think(ScriptedModel([failing(why, 100)]))
            assert await turn.paid() == (attempts, 20 * attempts)

    jumping(test)


def test_an_attempt_that_the_account_cannot_pay_is_not_made_and_names_the_rule() -> None:
    async def test() -> None:
        async with thinking() as turn:
            await turn.store.pipe.execute(
                "HSET", turn.store.keys.ledger(AGENT.id), "tokens.free", 10
            )
            with pytest.raises(NotAllowedError) as refused:
                await turn.think(ScriptedModel([REPORT]))
            assert refused.value.rule is Rule.BUDGET_EXHAUSTED
            assert await turn.paid() == (0, 0)

    jumping(test)


def test_a_model_without_its_privilege_is_not_asked() -> None:
    async def test() -> None:
        async with thinking() as turn:
            await turn.store.pipe.execute("HDEL", turn.store.keys.use(AGENT.id), "model/**")
            with pytest.raises(ThoughtFailedError) as failure:
                await turn.think(ScriptedModel([REPORT]))
            assert failure.value.rule is Rule.PRIVILEGE_USE
            assert await turn.paid() == (0, 0)

    jumping(test)


def test_a_successor_goes_on_after_what_was_paid_good_or_bad() -> None:
    async def test() -> None:
        async with thinking() as turn:
            first = ScriptedModel([failing("malformed"), REPORT])
            await turn.think(first)
            next_lease = replace(AGENT, lease=2)
            await turn.store.pipe.execute(
                "HSET", turn.store.keys.holds, AGENT.id, hold_text(replace(AGENT, lease=2))
            )
            turn.lease = next_lease.lease
            moves, corrections = await turn.think(ScriptedModel([failing("rejected", 100)]))
            assert moves == (Report(move="report", text="42", done=True),)
            assert len(corrections) == 1
            assert await turn.paid() == (2, 40), "nothing was asked anew"

    jumping(test)


def test_a_host_that_lost_the_agent_asks_nothing_more() -> None:
    async def test() -> None:
        async with thinking() as turn:
            await turn.store.pipe.execute(
                "HSET", turn.store.keys.holds, AGENT.id, hold_text(replace(AGENT, lease=2))
            )
            with pytest.raises(NotAllowedError) as refused:
                await turn.think(ScriptedModel([REPORT]))
            assert refused.value.rule is Rule.LEASE
            assert await turn.paid() == (0, 0)

    jumping(test)


def test_a_call_that_is_cut_by_the_end_of_its_process_is_paid_in_full_and_made_anew_by_a_successor() -> (
    None
):
    async def test() -> None:
        async with thinking() as turn:
            slow = Slow()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(turn.think, slow)
                await has_begun(slow)
                tasks.cancel_scope.cancel()
            assert await turn.paid() == (1, 500)
            [cut] = await facts_of(turn.store, fact="settle")
            assert json.loads(cut["amounts"])["assumed"] is True
            await turn.store.pipe.execute(
                "HSET", turn.store.keys.holds, AGENT.id, hold_text(replace(AGENT, lease=2))
            )
            turn.lease = 2
            moves, corrections = await turn.think(ScriptedModel([REPORT]))
            assert (moves, corrections) == ((Report(move="report", text="42", done=True),), [])
            assert await turn.paid() == (2, 520)

    jumping(test)


# --- money ------------------------------------------------------------------------------------

BOUND = Usage(1_000, 500, is_assumed=True, calls=2, cost=900)


@dataclass(slots=True)
class Metered:
    """A model that takes what it is told to, and waits before or after it has sent anything."""

    used: Usage
    most: Usage = BOUND
    waits: Literal["", "before", "after"] = ""
    name: str = "scripted:metered"
    is_language_model: bool = False

    def bound(self, prompt: Prompt) -> Usage:
        return self.most

    def expected(self, prompt: Prompt) -> Usage:
        return self.bound(prompt)

    async def attempt(
        self, prompt: Prompt, sending: Callable[[], None] = lambda: None
    ) -> Answered | Failed:
        if self.waits == "before":
            await anyio.sleep_forever()
        sending()
        if self.waits == "after":
            await anyio.sleep_forever()
        return Answered((Report(move="report", text="42", done=True),), self.used)

    async def aclose(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize(
    ("used", "most", "calls", "tokens", "money"),
    [
        (Usage(100, 20, calls=2, cost=7), BOUND, 2, 120, (7, 0)),
        (Usage(100, 20, calls=1, cost=0), BOUND, 1, 120, (0, 0)),
        (Usage(100, 20, cost=None), replace(BOUND, cost=None), 1, 120, (0, 120)),
        (Usage(0, 0, cost=0), replace(BOUND, cost=None), 1, 0, (0, 0)),
        (Usage(0, 0, calls=0), BOUND, 0, 0, (0, 0)),
    ],
)
def test_what_an_attempt_took_is_settled_of_each_kind_that_was_reserved(
    used: Usage, most: Usage, calls: int, tokens: int, money: tuple[int, int]
) -> None:
    async def test() -> None:
        async with thinking() as turn:
            before = await turn.store.records.free(AGENT.id)
            await turn.think(Metered(used, most))
            assert (await turn.paid(), await turn.money()) == ((calls, tokens), money)
            free = await turn.store.records.free(AGENT.id)
            assert {kind: before[kind] - free[kind] for kind in ("tokens", "calls", "cost")} == {
                "tokens": tokens,
                "calls": calls,
                "cost": money[0],
            }

    jumping(test)


def test_an_account_without_the_money_for_a_call_refuses_it_however_many_tokens_it_has() -> None:
    async def test() -> None:
        async with thinking() as turn:
            await turn.store.pipe.execute(
                "HSET", turn.store.keys.ledger(AGENT.id), "cost.free", 899
            )
            with pytest.raises(NotAllowedError, match="cost: 900 needed, 899 free") as refused:
                await turn.think(Metered(Usage(1, 1)))
            assert refused.value.rule is Rule.BUDGET_EXHAUSTED
            assert (await turn.paid(), await turn.money()) == ((0, 0), (0, 0))

    jumping(test)


@dataclass(slots=True)
class Elastic(Metered):
    """A model whose bound follows the limit of its answer; of its prompt it expects a part."""

    prompt_tokens: int = 1_000
    limits: list[int] = field(default_factory=list)
    offers: list[tuple[str, ...]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def bound(self, prompt: Prompt) -> Usage:
        return Usage(1_000, prompt.output_tokens_max, is_assumed=True, cost=900)

    def expected(self, prompt: Prompt) -> Usage:
        return replace(self.bound(prompt), tokens_in=self.prompt_tokens)

    async def attempt(
        self, prompt: Prompt, sending: Callable[[], None] = lambda: None
    ) -> Answered | Failed:
        self.limits.append(prompt.output_tokens_max)
        self.offers.append(prompt.open_offer.moves)
        self.asked.append(prompt.reminder)
        return Answered((Report(move="report", text="42", done=True),), self.used)


LONG = 4 * OUTPUT_TOKENS_FLOOR


def asking_long(corrections: Sequence[Mapping[str, Any]]) -> Prompt:
    offer = Offer(("say", "report"))
    return replace(render(corrections), output_tokens_max=LONG, offer=offer)


async def think_long(turn: Thinking, model: Elastic, journal: Journal | None = None) -> None:
    await Mind(model, PROVIDER).think(journal or turn.journal(), asking_long)


def lending(turn: Thinking) -> Journal:
    """Of an agent whose mission lends, and of whom a last report is kept back."""
    journal = turn.journal()
    journal.lender = "m-1"
    journal.free = {"tokens": 1_000_000, "calls": 100, "cost": 100_000}
    return journal


async def leave(turn: Thinking, account: str, **free: int) -> None:
    """The account has so much free, as if it had been made with it."""
    key = turn.store.keys.ledger(account)
    for kind, n in free.items():
        await turn.store.pipe.execute(
            "HSET", key, f"{kind}.free", n, f"{kind}.cap", n, f"{kind}.reserved", 0
        )


@pytest.mark.parametrize(
    ("free", "limit"),
    [
        (1_000 + LONG, LONG),
        (999 + LONG, LONG // 2),
        (1_000 + OUTPUT_TOKENS_FLOOR, OUTPUT_TOKENS_FLOOR),
    ],
)
def test_an_answer_gets_as_long_a_limit_as_can_be_paid(free: int, limit: int) -> None:
    async def test() -> None:
        async with thinking() as turn:
            await leave(turn, AGENT.id, tokens=free)
            model = Elastic(Usage(100, 20, calls=1, cost=5))
            await think_long(turn, model)
            assert model.limits == [limit]
            assert await turn.paid() == (1, 120)
            assert await facts_of(turn.store, fact="refuse") == []
            # What a successor meets at this step is the attempt that was made, however much there
            # is by then.
            await leave(turn, AGENT.id, tokens=9_999)
            await think_long(turn, model)
            assert model.limits == [limit]

    jumping(test)


@dataclass(slots=True)
class Reasoning(Elastic):
    """A model whose limit has room for thoughts beside the text."""

    def bound(self, prompt: Prompt) -> Usage:
        thoughts = 4_000 * prompt.thoughts_percent // 100
        return Usage(1_000, prompt.output_tokens_max + thoughts, is_assumed=True, cost=900)

    async def attempt(
        self, prompt: Prompt, sending: Callable[[], None] = lambda: None
    ) -> Answered | Failed:
        self.limits.append(prompt.thoughts_percent)
        return await super(Reasoning, self).attempt(prompt, sending)


@pytest.mark.parametrize(
    ("free", "percent", "limit"),
    [
        (5_000 + LONG, 100, LONG),
        (4_999 + LONG, 50, LONG),
        (2_000 + LONG, 25, LONG),
        (1_999 + LONG, 25, LONG // 2),
    ],
)
def test_what_cannot_be_paid_is_taken_from_the_thoughts_before_it_is_taken_from_the_text(
    free: int, percent: int, limit: int
) -> None:
    async def test() -> None:
        async with thinking() as turn:
            await leave(turn, AGENT.id, tokens=free)
            model = Reasoning(Usage(100, 20, calls=1, cost=5))
            await think_long(turn, model)
            assert model.limits == [percent, limit]
            assert await facts_of(turn.store, fact="refuse") == []

    jumping(test)


def test_below_the_floor_no_call_is_begun_and_the_refusal_is_recorded_once() -> None:
    async def test() -> None:
        async with thinking() as turn:
            await leave(turn, AGENT.id, tokens=999 + OUTPUT_TOKENS_FLOOR)
            with pytest.raises(NotAllowedError, match="tokens: 1500 needed, 1499 free"):
                await think_long(turn, Elastic(Usage(1, 1)))
            assert len(await facts_of(turn.store, fact="refuse")) == 1
            assert await turn.paid() == (0, 0)

    jumping(test)


def test_behind_each_call_of_an_agent_a_last_report_is_kept_back() -> None:
    """And where that is all there is left, a report is all that it may answer."""

    async def test() -> None:
        async with thinking() as turn:
            await leave(turn, AGENT.id, tokens=1_000 + LONG + 1_000 + OUTPUT_TOKENS_FLOOR)
            model = Elastic(Usage(1_000, LONG, calls=1, cost=5))
            await think_long(turn, model, lending(turn))
            follower = lending(turn)
            follower.step = 1
            await think_long(turn, model, follower)
            assert model.limits == [LONG, OUTPUT_TOKENS_FLOOR]
            assert model.offers == [("say", "report"), ("report",)]
            assert "about 100 more calls" in model.asked[0]
            assert "last call" in model.asked[1]

    jumping(test)


def test_a_mission_lends_what_a_call_can_take_beyond_what_such_calls_take() -> None:
    async def test() -> None:
        async with thinking() as turn:
            await turn.lend_from("m-1", tokens=800)
            await leave(turn, AGENT.id, tokens=2 * (200 + OUTPUT_TOKENS_FLOOR))
            model = Elastic(Usage(190, 30, calls=1, cost=5), prompt_tokens=200)
            await think_long(turn, model, lending(turn))
            assert model.limits == [OUTPUT_TOKENS_FLOOR]
            assert await turn.paid() == (1, 220)
            assert await turn.amounts("m-1") == {"free": 800, "reserved": 0, "spent": 0}

    jumping(test)


def test_what_a_call_takes_beyond_its_own_reserve_is_paid_of_what_was_lent() -> None:
    async def test() -> None:
        async with thinking() as turn:
            await turn.lend_from("m-1", tokens=800)
            await leave(turn, AGENT.id, tokens=2 * (200 + OUTPUT_TOKENS_FLOOR))
            # Of the 1,500 that it can take the account reserves 700, for a report is kept back.
            model = Elastic(Usage(1_000, 100, calls=1, cost=5), prompt_tokens=200)
            await think_long(turn, model, lending(turn))
            assert await turn.paid() == (1, 700)
            assert await turn.amounts("m-1") == {"free": 400, "reserved": 0, "spent": 400}
            assert not await turn.store.pipe.execute("HGETALL", turn.store.keys.lent("m-1"))
            settled = await facts_of(turn.store, fact="settle")
            assert [fact["account"] for fact in settled] == [AGENT.id, "m-1"]

    jumping(test)


def test_where_the_mission_has_nothing_to_lend_the_call_is_not_begun() -> None:
    async def test() -> None:
        async with thinking() as turn:
            await turn.lend_from("m-1", tokens=99)
            await leave(turn, AGENT.id, tokens=1_400)
            with pytest.raises(NotAllowedError, match="tokens: 1500 needed, 1400 free"):
                await think_long(turn, Elastic(Usage(1, 1), prompt_tokens=200), lending(turn))
            assert await turn.paid() == (0, 0)
            assert await turn.amounts("m-1") == {"free": 99, "reserved": 0, "spent": 0}

    jumping(test)


def test_a_call_waits_for_what_calls_under_way_hold_of_the_same_account() -> None:
    """Seats that are asked side by side reserve of one account, each several times what it
    takes."""

    async def test() -> None:
        async with thinking() as turn:
            ledger = turn.store.keys.ledger(AGENT.id)
            await leave(turn, AGENT.id, tokens=1_000)
            await turn.store.pipe.execute(
                "HSET", ledger, "tokens.reserved", 900, "tokens.cap", 1_900
            )
            slept: list[float] = []

            async def another_ends(seconds: float) -> None:
                slept.append(seconds)
                if len(slept) == 3:
                    await leave(turn, AGENT.id, tokens=1_900)

            model = Elastic(Usage(100, 20, calls=1, cost=5))
            await Mind(model, PROVIDER, another_ends).think(turn.journal(), asking_long)
            assert (model.limits, slept) == ([OUTPUT_TOKENS_FLOOR], [1.0] * 3)
            assert await turn.paid() == (1, 120)

    jumping(test)


def test_a_lent_part_whose_call_never_ended_is_paid_in_full_by_a_successor() -> None:
    async def test() -> None:
        async with thinking() as turn:
            await turn.lend_from("m-1", tokens=800)
            await leave(turn, AGENT.id, tokens=2_800)
            journal = lending(turn)
            begin = Begin(
                1,
                1,
                "model",
                AGENT.id,
                AGENT.path,
                (),
                amounts={"tokens": 700},
                keep={},
                lender="m-1",
                lent={"tokens": 800},
            )
            await turn.store.begin(journal.hold, begin, AT)
            assert await turn.amounts("m-1") == {"free": 0, "reserved": 800, "spent": 0}
            assert await turn.store.pipe.execute("HLEN", turn.store.keys.lent("m-1")) == 1
            turn.lease = 2
            await turn.hold_again()
            await think_long(turn, Elastic(Usage(10, 10, calls=1, cost=5)), lending(turn))
            assert await turn.paid() == (1, 720)
            assert await turn.amounts("m-1") == {"free": 0, "reserved": 0, "spent": 800}
            assert not await turn.store.pipe.execute("HGETALL", turn.store.keys.lent("m-1"))

    jumping(test)


def test_a_cost_beyond_the_reserve_is_an_overdraft_and_stops_the_account() -> None:
    async def test() -> None:
        async with thinking() as turn:
            await turn.think(Metered(Usage(1_000, 500, cost=901)))
            account = await turn.store.accounts([AGENT.id], "overdraft")
            assert (account[AGENT.id]["cost"], await turn.money()) == (1, (901, 0))
            turn.lease = 1
            state = turn.store.keys.state(AGENT.id)
            await turn.store.pipe.execute("HSET", state, "turn", 1)
            journal = turn.journal()
            journal.turn = 2
            with pytest.raises(NotAllowedError) as refused:
                await turn.think(Metered(Usage(1, 1)), journal)
            assert refused.value.rule is Rule.BUDGET_OVERDRAFT

    jumping(test)


@pytest.mark.parametrize(
    ("waits", "most", "paid", "money"),
    [
        ("after", BOUND, (2, 1_500), (900, 0)),
        ("after", replace(BOUND, cost=None), (2, 1_500), (0, 1_500)),
        ("before", BOUND, (0, 0), (0, 0)),
    ],
)
def test_a_call_that_is_cancelled_is_paid_in_full_once_anything_was_sent_and_not_before(
    waits: Literal["before", "after"], most: Usage, paid: tuple[int, int], money: tuple[int, int]
) -> None:
    async def test() -> None:
        async with thinking() as turn:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(turn.think, Metered(Usage(1, 1), most, waits))
                await anyio.wait_all_tasks_blocked()
                while not await facts_of(turn.store, fact="reserve"):
                    await anyio.sleep(0.01)
                await anyio.wait_all_tasks_blocked()
                tasks.cancel_scope.cancel()
            assert (await turn.paid(), await turn.money()) == (paid, money)

    jumping(test)


# --- answers that are cut at their limit ------------------------------------------------------

CUT = Failed("length", "Your answer was cut at 100 tokens. Be shorter.", Usage(10, 100))
TOO_LARGE = Failed("rejected", "max_tokens is too large", Usage(0, 0))
DONE = Answered((Report(move="report", text="42", done=True),), Usage(10, 10), thread="[thoughts]")


@dataclass(slots=True)
class Bounded(Metered):
    """A model that answers in order, and whose bound follows its limit."""

    answers: list[Answered | Failed] = field(default_factory=list)
    prompts: list[Prompt] = field(default_factory=list)

    def bound(self, prompt: Prompt) -> Usage:
        return replace(BOUND, tokens_out=2_000 if prompt.is_stretched else 500)

    async def attempt(
        self, prompt: Prompt, sending: Callable[[], None] = lambda: None
    ) -> Answered | Failed:
        sending()
        self.prompts.append(prompt)
        return self.answers.pop(0)

    @property
    def stretched(self) -> list[bool]:
        return [prompt.is_stretched for prompt in self.prompts]


@pytest.mark.parametrize(
    ("answers", "stretched", "told"),
    [
        ([CUT, DONE], [False, True], 1),
        ([CUT, CUT, DONE], [False, True, True], 2),
        ([CUT, TOO_LARGE, DONE], [False, True, False], 1),
    ],
)
def test_a_cut_answer_is_told_and_its_limit_doubled_once(
    answers: list[Answered | Failed], stretched: list[bool], told: int
) -> None:
    async def test() -> None:
        async with thinking() as turn:
            model = Bounded(Usage(1, 1), answers=list(answers))
            moves, corrections = await turn.think(model)
            assert (len(moves), model.stretched) == (1, stretched)
            assert [one["correction"] for one in corrections] == [CUT.detail] * told
            told_last = model.prompts[-1].view.steps
            assert [step["correction"] for step in told_last] == [CUT.detail] * told

    jumping(test)


def test_an_answer_that_is_cut_again_and_again_is_given_up_after_three() -> None:
    async def test() -> None:
        async with thinking() as turn:
            model = Bounded(Usage(1, 1), answers=[CUT] * 5)
            with pytest.raises(ThoughtFailedError, match="cut at 100 tokens"):
                await turn.think(model)
            assert len(model.prompts) == 3

    jumping(test)


def test_an_account_that_cannot_hold_twice_the_limit_asks_with_the_usual_one() -> None:
    async def test() -> None:
        async with thinking() as turn:
            model = Bounded(Usage(1, 1), answers=[CUT, DONE])
            needed = BOUND.tokens_in + 500
            await turn.store.pipe.execute(
                "HSET", turn.store.keys.ledger(AGENT.id), "tokens.free", needed + CUT.usage.tokens
            )
            await turn.think(model)
            assert model.stretched == [False, False]

    jumping(test)


def test_a_successor_goes_on_with_the_thoughts_of_an_answer_that_was_paid() -> None:
    async def test() -> None:
        async with thinking() as turn:
            for answers in ([DONE], []):
                kept: list[str] = []
                mind = Mind(Bounded(Usage(1, 1), answers=list(answers)), PROVIDER)
                moves, _ = await mind.think(turn.journal(), render, kept.append)
                assert (len(moves), kept) == (1, ["[thoughts]"])

    jumping(test)
