"""What a worker's user may append to the stream of facts and is none is refused there: the
record stays whole.
"""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from swarmd.core.model.channels import JOURNAL
from swarmd.core.model.names import FIRST, SOB
from swarmd.core.model.refusals import Rule
from tests.runtime.test_fsck import Scene, scene
from tests.runtime.test_supervisor import quiet

__all__ = ["scene"]  # a fixture

DEEP: Final = "[" * 100_000
TOKENS: Final = {"tokens": 5}
SETTLED: Final = {"used": TOKENS, "reserved": {}, "overdraft": {}, "assumed": False, "unpriced": 0}


def fact(kind: str, account: str, amounts: Any, **more: str) -> list[str]:
    text = amounts if isinstance(amounts, str) else json.dumps(amounts)
    fields = {
        "fact": kind,
        "agent": "a-1",
        "account": account,
        "call": "1:0",
        "at": "",
        "amounts": text,
        **more,
    }
    return [word for pair in fields.items() for word in pair]


NO_FACTS: Final = {
    "nothing of ours": ["x", "y"],
    "an unknown fact": fact("gift", SOB, {}),
    "no amounts": ["fact", "reserve", "account", SOB],
    "amounts that are no JSON": fact("reserve", SOB, "{"),
    "amounts that are too deep": fact("reserve", SOB, DEEP),
    "amounts of another type": fact("reserve", SOB, {"tokens": "5"}),
    "a fraction": fact("reserve", SOB, {"tokens": 1.5}),
    "no number": fact("reserve", SOB, '{"tokens": NaN}'),
    "less than nothing": fact("reserve", SOB, {"tokens": -5}),
    "beyond 2^53": fact("reserve", SOB, {"tokens": 2**53}),
    "400 digits": fact("reserve", SOB, '{"tokens": ' + "9" * 400 + "}"),
    "5,000 digits": fact("reserve", SOB, '{"tokens": ' + "9" * 5_000 + "}"),
    "an unknown kind": fact("reserve", SOB, {"gold": 5}),
    "more than the account has": fact("reserve", SOB, {"tokens": 2**53 - 1}),
    "an account that is not open": fact("reserve", "a-nobody", TOKENS),
    "a settlement of nobody's": fact("settle", "a-nobody", SETTLED),
    "a settlement of what was not reserved": fact(
        "settle", SOB, {**SETTLED, "reserved": {"tokens": 10**9}}
    ),
    "a settlement without its parts": fact("settle", SOB, {"used": TOKENS}),
    "an account opened again": fact("open", SOB, {"parent": "", "caps": TOKENS, "own_slot": False}),
    "an account below nobody's": fact(
        "open", "a-new", {"parent": "a-nobody", "caps": TOKENS, "own_slot": True}
    ),
    "money from nobody": fact("fund", SOB, {"parent": "a-nobody", "caps": TOKENS}),
    "a child of nobody's": fact("adopt", SOB, {"former": "a-1", "parent": "a-2"}),
    "a reaping of nobody": fact("reap", "", [["a-nobody", SOB]]),
    "a reaping of the board": fact("reap", "", [[SOB, ""]]),
    "a reaping of numbers": fact("reap", "", [[1, 2]]),
    "a period that did not turn": fact(
        "period", SOB, {"spent": {"tokens": 10**9}, "overdraft": {}}
    ),
    "a closing that moves too much": fact(
        "close",
        SOB,
        {
            "parent": "",
            **{n: {"tokens": 1} for n in ("cap", "free", "granted", "spent", "overdraft")},
        },
    ),
    "an id of its own": fact("reserve", SOB, TOKENS, id="99999999999999-0"),
    "far too long": ["fact", "refuse", "detail", "x" * 200_000],
    "too many fields": ["fact", "refuse", *[word for n in range(100) for word in (f"f{n}", "x")]],
}


@pytest.mark.parametrize("name", NO_FACTS)
async def test_what_is_no_fact_is_refused_by_its_rule_and_the_record_stays_whole(
    scene: Scene, name: str
) -> None:
    before = (await scene.on.living())[1]
    await scene.do(("XADD", scene.keys.facts, "*", *NO_FACTS[name]))
    await quiet(scene.on, 3)
    entries = await scene.on.store.read(JOURNAL, FIRST, 10_000)
    told = [e.data for e in entries if e.data.get("rule") == Rule.FACT_INVALID]
    assert [t["count"] for t in told] == [1]
    assert len(told[0]["detail"]) <= 200
    assert await scene.flaws() == []
    assert (await scene.on.proved()).proof.findings == []
    assert (await scene.on.living())[1] == before


async def test_facts_between_which_others_stand_are_folded_and_the_mission_ends_well(
    scene: Scene,
) -> None:
    scene.on.silent = set()
    for words in list(NO_FACTS.values()) * 3:
        await scene.do(("XADD", scene.keys.facts, "*", *words))
    # Also for a supervisor that has to read what the accounts hold first.
    await scene.on.start()
    await scene.on.run()
    assert await scene.flaws() == []
    assert (await scene.on.proved()).proof.findings == []


async def test_bytes_that_are_no_text_are_no_fact(scene: Scene) -> None:
    await scene.do(("XADD", scene.keys.facts, "*", b"fact", b"\xff\xfe", b"\xff", b"\x00"))  # type: ignore[arg-type]
    await quiet(scene.on, 3)
    assert await scene.flaws() == []
    assert (await scene.on.proved()).proof.findings == []
