"""A mission whose result a person has to see: with a supervisor, a worker and the board."""

from __future__ import annotations

from typing import Any, Final

import pytest

from swarmd.adapters.models.scripted import ScriptedModel
from swarmd.adapters.redis.store import RedisStore
from swarmd.core.model.channels import ORDERS
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import OPERATOR
from tests.runtime.test_steps import answer, report
from tests.runtime.test_worker import (
    AT,
    CHARTER,
    journal_of,
    jumping,
    result_of,
    stored,
    supervised,
    until,
    worker_of,
)

PERSON: Final = {"kind": "person", "text": "May it go out?"}
LEAD: Final[dict[str, Any]] = {
    "key": "lead",
    "name": "lead",
    "role": "executive",
    "task": "Answer the question.",
    "checks": [PERSON],
}
WAITS_SECONDS: Final = 60


def order(verb: str, approval: str, number: int) -> Message:
    data = {"order": f"o-{number}", "verb": verb, "target": approval, "reason": "Name the source."}
    return Message(sender=OPERATOR, kind=Kind.ORDER, at=AT, text=verb, data=data)


async def asked(store: RedisStore, number: int) -> str:
    async def requests() -> list[str]:
        found = await journal_of(store, "approval.requested")
        return [entry["approval"] for entry in found][number - 1 :]

    return (await until(requests, WAITS_SECONDS))[0]


@pytest.mark.parametrize("answers", [("approve",), ("deny", "approve")])
def test_a_result_is_delivered_when_the_person_has_said_yes(answers: tuple[str, ...]) -> None:
    script = [
        {
            "when": {"phase": "propose"},
            "moves": [{"move": "propose", "motion": {**CHARTER, "executives": [LEAD]}}],
        },
        {
            "when": {"role": "executive", "mail_contains": "Name the source."},
            "moves": [report("42, by hand", done=True)],
        },
        {"when": {"role": "executive"}, "moves": [report("42", done=True)]},
    ]

    async def test() -> None:
        model = ScriptedModel(script)
        async with stored() as store, supervised(store, worker_of(store, model)):
            await store.keep_mission({"mission": "What is six by seven?", "id": "m-seen"})
            for number, verb in enumerate(answers, start=1):
                approval = await asked(store, number)
                assert not await journal_of(store, "task.submitted")
                await store.post(ORDERS, order(verb, approval, number))
            told = await result_of(store, "m-seen", WAITS_SECONDS)
            expected = "42" if answers == ("approve",) else "42, by hand"
            assert (told.data["state"], told.text) == ("delivered", expected)
            called = await journal_of(store, "board.called")
            assert not called, "who waits for a person rests for nobody"

    jumping(test)


def test_while_nobody_answers_nothing_is_called_and_nothing_delivered() -> None:
    lead = {"when": {"role": "executive"}, "moves": [report("42", done=True)]}
    motion = {**CHARTER, "executives": [LEAD]}
    script = [answer({"move": "propose", "motion": motion}) | {"when": {"phase": "propose"}}, lead]

    async def test() -> None:
        model = ScriptedModel(script)
        async with stored() as store, supervised(store, worker_of(store, model)):
            await store.keep_mission({"mission": "What is six by seven?", "id": "m-seen"})
            await asked(store, 1)
            with pytest.raises(TimeoutError):
                await result_of(store, "m-seen", WAITS_SECONDS)
            assert not await journal_of(store, "board.called")
            assert len(await journal_of(store, "approval.requested")) == 1

    jumping(test)
