"""A function is a row and a handler: one that swarmd does not bring is called in a turn like those
that it does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final

import anyio
import pytest

from swarmd.adapters.models.scripted import ScriptedModel
from swarmd.adapters.redis.store import RedisStore
from swarmd.core.agent.turn import Acting
from swarmd.core.model.channels import inbox
from swarmd.core.model.charter import Written
from swarmd.core.model.declarations import Declarations
from swarmd.core.model.functions import BUILT_IN, Function, registry
from swarmd.core.model.names import AgentId
from swarmd.core.model.refusals import Rule
from swarmd.errors import WorkspaceError
from swarmd.ports.models import Answered, Failed, Prompt
from swarmd.ports.stores import Begin, Hold, Used
from swarmd.runtime.turn.functions import Handler
from tests.runtime.test_worker import (
    DECLARED,
    Lineage,
    at_work,
    executive,
    facts_of,
    jumping,
    message,
    stored,
    until,
    worker_of,
)

A1: Final = AgentId("a-1")


# --- the row and the handler --------------------------------------------------------------------


class Weigh(Written):
    thing: str
    unit: str = "g"


WEIGH: Final = Function(
    name="scale/weigh",
    summary="Weigh a thing.",
    args=Weigh,
    source="outside",
    effect="outward",
    privilege="tool/scale/weigh",
    further_privileges=lambda args: (f"tool/scale/{args.unit}",),
    subject="thing",
    may_repeat=False,
    seconds=5.0,
    charge=MappingProxyType({"tools": 3, "cost": 7}),
)


async def weigh(acting: Acting, args: Weigh) -> Mapping[str, Any]:
    return {"grams": len(args.thing), "by": acting.agent.id, "unit": args.unit}


# --- a turn with it -----------------------------------------------------------------------------


def knowing(*functions: Function) -> Declarations:
    """The executive's role has these functions beside its own."""
    role = DECLARED.roles["executive"]
    names = (*role.functions, *(function.name for function in functions))
    roles = {**DECLARED.roles, role.name: role.model_copy(update={"functions": names})}
    return replace(DECLARED, roles=roles, functions=registry(*BUILT_IN.values(), *functions))


def use(function: str, **args: Any) -> dict[str, Any]:
    return {"move": "use", "function": function, "args": args}


@dataclass(slots=True)
class Seen:
    """A scripted model, and what it was offered and shown."""

    inner: ScriptedModel
    prompts: list[Prompt] = field(default_factory=list)
    name: str = "scripted:seen"
    is_language_model: bool = False

    def bound(self, prompt: Prompt) -> Any:
        return self.inner.bound(prompt)

    def expected(self, prompt: Prompt) -> Any:
        return self.inner.expected(prompt)

    async def attempt(
        self, prompt: Prompt, sending: Callable[[], None] = lambda: None
    ) -> Answered | Failed:
        self.prompts.append(prompt)
        return await self.inner.attempt(prompt, sending)

    async def aclose(self) -> None:
        await self.inner.aclose()

    @property
    def offered(self) -> list[str]:
        return [function.name for function in self.prompts[0].offer.functions]


@dataclass(slots=True)
class Turn:
    """What one turn of an agent with these moves came to."""

    model: Seen
    results: list[Mapping[str, Any]]
    taint: tuple[str, ...]
    refused: list[dict[str, str]]
    spent: Mapping[str, int]


async def turn_of(
    store: RedisStore,
    moves: Sequence[Mapping[str, Any]],
    declared: Declarations,
    handlers: Mapping[str, Handler],
    privileges: tuple[str, ...] = ("model/**", "tool/**"),
) -> Turn:
    script: list[Mapping[str, Any]] = [
        {"when": {"step": 0}, "moves": list(moves)},
        {"moves": [{"move": "wait"}]},
    ]
    await Lineage(store).found(replace(executive(A1), privileges=privileges))
    model = Seen(ScriptedModel(script))
    async with at_work(worker_of(store, model, declared=declared, handlers=handlers)):
        await store.post(inbox(A1), message("begin"))

        async def is_over() -> bool:
            return (await store.resume(A1)).turn == 1

        await until(is_over)
    resumed = await store.resume(A1)
    entries = [json.loads(entry) for entry in resumed.memory.entries]
    spent = (await store.accounts([A1], "spent"))[A1]
    return Turn(
        model,
        [result for entry in entries for result in entry.get("results", ())],
        tuple(resumed.taint),
        [f for f in await facts_of(store, fact="refuse", agent=A1) if "turn" in f],
        spent,
    )


def test_a_function_of_ones_own_is_a_row_and_a_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[tuple[Begin, Used]] = []
    end = RedisStore.end

    async def noted(
        self: RedisStore, hold: Hold, begin: Begin, result: str, used: Used, warn: int, at: str
    ) -> None:
        ended.append((begin, used))
        await end(self, hold, begin, result, used, warn, at)

    monkeypatch.setattr(RedisStore, "end", noted)

    async def test() -> None:
        async with stored() as store:
            turn = await turn_of(
                store,
                [use("scale/weigh", thing="feather")],
                knowing(WEIGH),
                {WEIGH.name: weigh},
            )
            assert turn.model.offered == [*DECLARED.roles["executive"].functions, "scale/weigh"]
            assert turn.results == [
                {"function": "scale/weigh", "ok": True, "grams": 7, "by": "a-1", "unit": "g"}
            ]
            assert turn.taint == ("outside",), "by the source of its row"
            assert (turn.spent["tools"], turn.spent["cost"]) == (3, 7)
            (called,) = [(b, u) for b, u in ended if b.kind != "model"]
            begin, used = called
            assert (begin.kind, begin.may_repeat, begin.within_seconds) == (
                "scale/weigh",
                False,
                5.0,
            )
            assert dict(begin.amounts) == dict(used.amounts) == {"tools": 3, "cost": 7}
            assert [paths[0] for paths in begin.privileges] == [
                "tool/scale/weigh",
                "tool/scale/g",
            ]

    jumping(test)


def test_only_functions_that_the_privileges_allow_are_offered_and_the_others_are_refused() -> None:
    async def test() -> None:
        async with stored() as store:
            turn = await turn_of(
                store,
                [use("scale/weigh", thing="x"), use("tree/list")],
                knowing(WEIGH),
                {WEIGH.name: weigh},
                ("model/**", "tool/file/**"),
            )
            assert turn.model.offered == [
                "tree/list",
                "file/list",
                "file/read",
                "file/search",
                "file/write",
            ]
            no, yes = turn.results
            assert (no["function"], no["ok"], no["rule"]) == (
                "scale/weigh",
                False,
                Rule.PRIVILEGE_USE,
            )
            assert yes == {"function": "tree/list", "ok": True, "agents": []}
            assert [(f["rule"], f["moves"]) for f in turn.refused] == [
                ("privilege.use", "scale/weigh")
            ]
            assert turn.taint == ()

    jumping(test)


@pytest.mark.parametrize(
    ("move", "rule"),
    [
        (use("scale/measure", thing="x"), Rule.FUNCTION_UNKNOWN),
        (use("scale/weigh"), Rule.FUNCTION_ARGUMENTS),
        (use("scale/weigh", thing="x", colour="red"), Rule.FUNCTION_ARGUMENTS),
        (use("scale/weigh", thing=["x"]), Rule.FUNCTION_ARGUMENTS),
    ],
)
def test_what_is_no_function_or_does_not_fit_it_is_refused_by_its_rule_and_nothing_begins(
    move: Mapping[str, Any], rule: Rule
) -> None:
    called: list[Any] = []

    async def never(acting: Acting, args: Any) -> Mapping[str, Any]:
        called.append(args)
        return {}

    async def test() -> None:
        async with stored() as store:
            turn = await turn_of(store, [move], knowing(WEIGH), {WEIGH.name: never})
            (result,) = turn.results
            assert (result["function"], result["ok"]) == (move["function"], False)
            assert result["rule"] == rule
            assert result["detail"]
            assert [(f["rule"], f["moves"]) for f in turn.refused] == [
                (rule.value, move["function"])
            ]
            assert called == []

    jumping(test)


def test_a_role_that_does_not_name_a_function_may_not_call_it_whatever_it_holds() -> None:
    async def test() -> None:
        async with stored() as store:
            known = replace(DECLARED, functions=registry(*BUILT_IN.values(), WEIGH))
            turn = await turn_of(
                store, [use("scale/weigh", thing="x")], known, {WEIGH.name: weigh}, ("**",)
            )
            assert "scale/weigh" not in turn.model.offered
            assert turn.results[0]["rule"] == Rule.FUNCTION_UNKNOWN

    jumping(test)


async def fails(acting: Acting, args: Any) -> Mapping[str, Any]:
    raise WorkspaceError("the scale is broken")


async def sleeps(acting: Acting, args: Any) -> Mapping[str, Any]:
    await anyio.sleep(3_600)
    return {}


async def lies(acting: Acting, args: Any) -> Mapping[str, Any]:
    return {"ok": False, "function": "tree/list", "rule": "privilege.use"}


@pytest.mark.parametrize(
    ("handlers", "is_ok", "said"),
    [
        ({WEIGH.name: fails}, False, "the scale is broken"),
        ({WEIGH.name: sleeps}, False, "longer than 5 s"),
        ({}, False, "this host cannot do scale/weigh"),
        ({WEIGH.name: lies}, True, ""),
    ],
)
def test_whatever_a_handler_does_its_result_is_the_functions_and_the_turn_goes_on(
    handlers: Mapping[str, Handler], is_ok: bool, said: str
) -> None:
    async def test() -> None:
        async with stored() as store:
            turn = await turn_of(store, [use("scale/weigh", thing="x")], knowing(WEIGH), handlers)
            (result,) = turn.results
            assert (result["function"], result["ok"]) == ("scale/weigh", is_ok)
            assert said in result.get("detail", "")
            assert turn.taint == (("outside",) if is_ok else ())

    jumping(test)
