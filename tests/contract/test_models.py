"""Choosing a model, opening it, and the scripted one."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from swarmd.adapters.models import registry
from swarmd.adapters.models.registry import LOCAL_SERVERS, ModelSettings, OpenModels, choose, parse
from swarmd.adapters.models.scripted import Rule, ScriptedModel, When
from swarmd.core.agent.file_list import FileFacts
from swarmd.core.model.declarations import Models
from swarmd.core.model.exchange import Piece
from swarmd.core.model.functions import Offer
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.moves import Argue, Propose, Report, Say, Spawn, Vote
from swarmd.core.model.names import AgentId, MissionId
from swarmd.errors import UsageError
from swarmd.ports.files import Excerpt, Found
from swarmd.ports.models import Answered, Call, Child, Failed, Prompt, Usage, View
from tests.conftest import HANG_SECONDS
from tests.openai_server import OpenAIServer, always

KEY = "sk-very-secret-0123456789"
NOBODY = ModelSettings(local_servers=())
REPORT = {"move": "report", "text": "fine", "done": True}


class NoFiles:
    """A mission without files."""

    def names(self, mission: MissionId, wanted: Sequence[str]) -> tuple[str, ...]:
        return ()

    def facts(self, mission: MissionId, wanted: Sequence[str]) -> tuple[FileFacts, ...]:
        return ()

    def read(self, mission: MissionId, path: str, start: int, lines: int) -> Excerpt:
        return Excerpt((), 0)

    def lines(self, mission: MissionId, path: str) -> Sequence[str]:
        return ()

    def write(self, mission: MissionId, path: str, text: str) -> int:
        return 0

    def create(self, mission: MissionId, path: str, text: str) -> bool:
        return False

    def search(self, mission: MissionId, query: str, names: Sequence[str], top: int) -> Found:
        return Found()

    def remove(self, mission: MissionId) -> None:
        pass


def prompt_of(view: View, functions: Sequence[str] = ("report", "spawn", "say")) -> Prompt:
    return Prompt(
        "shared", "persona", (Piece("user", "go on"),), Offer(tuple(functions)), 500, view
    )


def view_of(**facts: Any) -> View:
    known: dict[str, Any] = {
        "agent": AgentId("a-1"),
        "name": "ada",
        "role": "executive",
        "tier": 1,
        "mission": MissionId("m-1"),
        "mission_text": "why?",
        "files": (),
    }
    return View(**{**known, **facts})


def mail(kind: Kind, text: str = "", sender: str = "a-9") -> Message:
    return Message(sender=AgentId(sender), kind=kind, at="", text=text)


@pytest.fixture(autouse=True)
def patient_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server of these tests answers; how soon is a matter of what else the machine does."""
    monkeypatch.setattr(registry, "PROBE_SECONDS", HANG_SECONDS)


# --- choosing ---------------------------------------------------------------------------------


@asynccontextmanager
async def local_servers(**models: Sequence[str]) -> AsyncIterator[ModelSettings]:
    """A server by name and what it lists, at ports of the moment, in the order given."""
    async with AsyncExitStack() as stack:
        found = [
            (
                name,
                (await stack.enter_async_context(OpenAIServer(always(REPORT), models=listed))).port,
            )
            for name, listed in models.items()
        ]
        yield ModelSettings(local_servers=tuple(found))


def test_the_ports_of_local_servers_are_tried_in_the_order_of_the_design() -> None:
    assert [port for _, port in LOCAL_SERVERS] == [11434, 8080, 1234, 8000]


async def test_with_nothing_at_all_it_is_the_builtin_and_says_that_it_is_no_language_model() -> (
    None
):
    choice = await choose(NOBODY, Models())
    assert (choice.spec, choice.base_url) == ("builtin", "")
    assert "not a language model" in choice.why
    assert "--model" in choice.why


async def test_what_is_named_goes_before_the_environment_that_before_policies_and_those_before_localhost() -> (
    None
):
    policies = Models(default="openai:from-policies")
    async with local_servers(ollama=["from-localhost"]) as local:
        keyed = replace(local, api_keys={"openai": KEY})
        assert (await choose(replace(keyed, model="openai:named"), policies)).spec == "openai:named"
        assert (await choose(keyed, policies)).spec == "openai:gpt-5-mini"
        assert (await choose(local, policies)).spec == "openai:from-policies"
        assert (await choose(local, Models())).spec == "openai:from-localhost"


async def test_of_local_servers_the_first_in_order_wins_and_is_named() -> None:
    async with local_servers(
        empty=[], Ollama=["nomic-embed-text", "qwen3:4b"], vLLM=["other"]
    ) as local:
        choice = await choose(local, Models())
        assert choice.spec == "openai:qwen3:4b"
        assert choice.base_url == f"http://127.0.0.1:{local.local_servers[1][1]}/v1"
        assert "Ollama" in choice.why


async def test_what_listens_and_never_answers_is_waited_for_once_and_all_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = most = 0

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked, most
        asked += 1
        most = max(most, asked)
        await reader.read()
        asked -= 1
        writer.close()

    async with AsyncExitStack() as stack:
        monkeypatch.setattr(registry, "PROBE_SECONDS", 0.5)
        silent = [await asyncio.start_server(say_nothing, "127.0.0.1", 0) for _ in range(4)]
        for server in silent:
            stack.callback(server.close)
        ports = tuple(
            (str(n), server.sockets[0].getsockname()[1]) for n, server in enumerate(silent)
        )
        choice = await choose(ModelSettings(local_servers=ports), Models())
        assert choice.spec == "builtin"
        assert most == 4, "one after the other they would cost two seconds"


async def test_a_base_url_and_no_name_is_the_first_that_the_server_lists() -> None:
    async with OpenAIServer(always(REPORT), models=["first", "second"]) as server:
        settings = replace(NOBODY, base_urls={"openai": server.base_url}, api_keys={"openai": KEY})
        choice = await choose(settings, Models())
        assert (choice.spec, choice.base_url) == ("openai:first", server.base_url)
        assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in repr(settings) + repr(choice)


async def test_a_base_url_that_lists_nothing_is_a_clear_error() -> None:
    async with OpenAIServer(always(REPORT), models=[]) as server:
        with pytest.raises(UsageError, match="lists none"):
            await choose(replace(NOBODY, base_urls={"openai": server.base_url}), Models())
    with pytest.raises(UsageError, match="lists none"):
        await choose(replace(NOBODY, base_urls={"openai": server.base_url}), Models())


async def test_a_key_never_goes_to_a_server_that_was_merely_found() -> None:
    async with OpenAIServer(always(REPORT)) as server:
        found = replace(NOBODY, local_servers=(("Ollama", server.port),))
        await choose(replace(found, model="openai:x"), Models())
        await choose(replace(found, api_keys={"openai": KEY}), Models())
        assert [request.headers.get("authorization") for request in server.requests] == [None]


async def test_a_base_url_that_could_not_be_shown_is_refused_before_anybody_is_asked() -> None:
    with pytest.raises(UsageError, match="must not carry a key"):
        await choose(
            replace(NOBODY, model="openai:x", base_urls={"openai": "http://me:pass@127.0.0.1/v1"}),
            Models(),
        )


async def test_openai_named_without_key_or_server_is_a_clear_error() -> None:
    with pytest.raises(UsageError, match="OPENAI_API_KEY"):
        await choose(replace(NOBODY, model="openai:gpt-5"), Models())


@pytest.mark.parametrize(
    "spec", ["gpt-5", "builtin:other", "scripted:", "local:model.gguf", ":", "anthropic:x"]
)
async def test_a_wrong_spec_names_what_can_be_written(spec: str) -> None:
    with pytest.raises(UsageError) as caught:
        await choose(replace(NOBODY, model=spec), Models())
    assert "openai:NAME" in caught.value.hint or "OPENAI_BASE_URL" in caught.value.hint


def test_only_the_first_colon_parts_a_provider_from_its_name() -> None:
    assert parse("openai:qwen3:8b-instruct") == ("openai", "qwen3:8b-instruct")


# --- opening ----------------------------------------------------------------------------------


def test_importing_the_choice_imports_no_sdk() -> None:
    heavy = ("openai", "httpx2", "bm25s", "numpy", "yaml")
    code = (
        f"import sys, swarmd.adapters.models.registry; print([m for m in {heavy} if m in "
        "sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


async def test_the_model_that_was_chosen_answers() -> None:
    async with OpenAIServer(always(REPORT)) as server:
        settings = replace(NOBODY, base_urls={"openai": server.base_url})
        model = OpenModels(await choose(settings, Models()), settings, Models(), NoFiles()).open()
        try:
            assert (model.name, model.is_language_model) == ("openai:test-model", True)
            assert isinstance(await model.attempt(prompt_of(view_of())), Answered)
        finally:
            await model.aclose()


async def test_models_are_opened_once_and_those_of_a_provider_share_its_pace(
    tmp_path: Path,
) -> None:
    script = tmp_path / "rules.yaml"
    script.write_text("[]\n")
    async with OpenAIServer(always(REPORT), models=["one"]) as server:
        settings = replace(NOBODY, base_urls={"openai": server.base_url})
        declared = Models.model_validate(
            {
                "providers": {
                    "openai": {"actions": "tools", "calls_per_minute": 1, "total_seconds": 1.0}
                }
            }
        )
        registry = OpenModels(await choose(settings, declared), settings, declared, NoFiles())
        own, other = registry.open(), registry.open("openai:two")
        assert registry.open("openai:one") is own
        assert registry.open("builtin").is_language_model is False
        assert registry.open(f"scripted:{script}").name == f"scripted:{script}"
        assert isinstance(await own.attempt(prompt_of(view_of())), Answered)
        outcome = await other.attempt(prompt_of(view_of()))
        assert isinstance(outcome, Failed)
        assert outcome.why == "rate_limited"
        await registry.aclose()


# --- scripted ---------------------------------------------------------------------------------


async def answer(
    model: ScriptedModel, view: View, functions: Sequence[str] = ("report", "spawn", "say")
) -> Answered | Failed:
    prompt = prompt_of(view, functions)
    outcome = await model.attempt(prompt)
    assert outcome.usage.tokens <= model.bound(prompt).tokens
    return outcome


async def said(model: ScriptedModel, view: View) -> str:
    outcome = await answer(model, view)
    assert isinstance(outcome, Answered)
    (move,) = outcome.moves
    assert isinstance(move, Report)
    return move.text


def reports(text: str, **when: Any) -> Mapping[str, Any]:
    return {"when": when, "moves": [{"move": "report", "text": text}]}


@pytest.mark.parametrize(
    ("when", "fitting", "other"),
    [
        ({"role": "executive"}, {}, {"role": "researcher"}),
        ({"name": "ada"}, {}, {"name": "bob"}),
        ({"agent": "a-1"}, {}, {"agent": AgentId("a-2")}),
        ({"mail_kind": "report"}, {"mail": (mail(Kind.REPORT),)}, {"mail": (mail(Kind.ANSWER),)}),
        (
            {"mail_contains": "owl"},
            {"mail": (mail(Kind.SAY, "an owl"),)},
            {"mail": (mail(Kind.SAY),)},
        ),
        ({"step": 1}, {"steps": ({"moves": []}, {"results": []})}, {"steps": ()}),
        (
            {"step": 2},
            {"steps": ({"moves": []}, {"results": []}, {"correction": "no"})},
            {"steps": ()},
        ),
    ],
)
async def test_a_rule_answers_where_all_that_it_names_holds(
    when: dict[str, Any], fitting: dict[str, Any], other: dict[str, Any]
) -> None:
    model = ScriptedModel([reports("fits", **when)])
    assert await said(model, view_of(**fitting)) == "fits"
    assert await said(model, view_of(**other)) == "no rule matched"


async def test_the_first_fitting_rule_answers_until_it_is_used_up() -> None:
    model = ScriptedModel([reports("first", times=2), reports("then")])
    assert [await said(model, view_of()) for _ in range(4)] == ["first", "first", "then", "then"]


async def test_ids_that_no_script_can_know_are_put_in() -> None:
    text = "{{mission}} {{mission_text}} {{children.dig}} {{ reporter }}"
    child = Child(AgentId("a-7"), "dig", "researcher", "dig", "live")
    model = ScriptedModel([{"moves": [{"move": "say", "room": "work-{{mission}}", "text": text}]}])
    outcome = await answer(
        model, view_of(children=(child,), mail=(mail(Kind.REPORT, sender="a-7"),))
    )
    assert isinstance(outcome, Answered)
    assert outcome.moves == (Say(move="say", room="work-m-1", text="m-1 why? a-7 a-7"),)


async def test_an_id_that_there_is_not_fails_finally_and_names_the_rule() -> None:
    outcome = await answer(ScriptedModel([reports("{{children.dig}}")]), view_of())
    assert isinstance(outcome, Failed)
    assert (outcome.why, outcome.detail) == (
        "rejected",
        "rules:1: {{children.dig}} stands for nothing here",
    )


async def test_a_scripted_failure_and_usage_are_what_was_written() -> None:
    rule = {
        "fail": {"why": "rate_limited", "detail": "slow", "retry_after": 2.0},
        "usage": {"tokens_in": 3, "tokens_out": 900},
    }
    assert await answer(ScriptedModel([rule]), view_of()) == Failed(
        "rate_limited", "slow", Usage(3, 900), 2.0
    )


async def test_a_scripted_move_that_is_not_open_is_malformed_as_from_any_model() -> None:
    rule = Rule(when=When(), moves=({"move": "vote", "choice": "yes", "reason": "why not"},))
    outcome = await answer(ScriptedModel([rule]), view_of())
    assert isinstance(outcome, Failed)
    assert (outcome.why, "`vote` is not open" in outcome.detail) == ("malformed", True)


async def test_a_script_may_claim_a_tier_for_the_law_to_refuse() -> None:
    charter = {"role": "r", "name": "n", "task": "t"}
    model = ScriptedModel(
        [{"moves": [{"move": "spawn", "key": "k", "charter": charter, "tier": 0}]}]
    )
    outcome = await answer(model, view_of())
    assert isinstance(outcome, Answered)
    assert isinstance(outcome.moves[0], Spawn)
    assert outcome.moves[0].tier == 0


@pytest.mark.parametrize(
    ("phase", "found", "move"),
    [
        ("vote", (), Vote),
        ("debate", (), Argue),
        ("propose", (), Propose),
        ("review", ({"agent": "a-3"},), Propose),
    ],
)
async def test_a_seat_without_a_rule_still_serves_the_procedure(
    phase: Any, found: tuple[Mapping[str, Any], ...], move: type
) -> None:
    seat = view_of(call=Call(phase=phase, motion_number=1, motion=None, reports=found))
    outcome = await answer(ScriptedModel(), seat, ["vote", "argue", "propose"])
    assert isinstance(outcome, Answered)
    assert isinstance(outcome.moves[0], move)


@pytest.mark.parametrize("name", ["rules.yaml", "rules.jsonl"])
async def test_a_script_is_yaml_or_json_lines(tmp_path: Path, name: str) -> None:
    lines = {
        "rules.yaml": (
            "# a comment\n- when: {role: executive}\n  moves: [{move: report, text: héllo}]\n"
        ),
        "rules.jsonl": (
            '\n{"when": {"role": "executive"}, "moves": [{"move": "report", "text": "héllo"}]}\n'
        ),
    }
    path = tmp_path / name
    path.write_text(lines[name], encoding="utf-8")
    assert await said(ScriptedModel.from_file(str(path)), view_of()) == "héllo"


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("r.yaml", "- moves: []\n", "r.yaml:1: moves"),
        ("r.yaml", "- {}\n", "r.yaml:1: rule: a rule has either"),
        ("r.yaml", "\n\n- moves: [{move: report}]\n", "r.yaml:3: report.text: "),
        ("r.yaml", "- when: {rôle: x}\n  fail: {why: cut}\n", "r.yaml:1: when.rôle: "),
        ("r.yaml", "- fail: {why: tired}\n", "r.yaml:1: fail.why"),
        (
            "r.yaml",
            "- moves: [{move: report, text: '{{weather}}'}]\n",
            "r.yaml:1: rule: {{weather}}",
        ),
        ("r.yaml", "when: {}\n", "r.yaml:1: is not a list"),
        ("r.yaml", "", "r.yaml:1: is not a list"),
        ("r.yaml", "- a\n- [\n", "r.yaml:3: is not YAML"),
        ("r.yaml", "- a\x00\n", "r.yaml:1: is not YAML"),
        ("r.yaml", "- !!python/object:os.system {}\n", "r.yaml:1: is not YAML"),
        ("r.jsonl", '{"fail": {"why": "cut"}}\n{oops}\n', "r.jsonl:2: is not JSON"),
    ],
)
def test_a_fault_in_a_script_is_said_with_its_file_and_line(
    tmp_path: Path, name: str, text: str, fault: str
) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        ScriptedModel.from_file(str(path))
    assert fault in caught.value.what


def test_a_script_that_is_not_there_or_not_text_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        ScriptedModel.from_file(str(tmp_path / "none.yaml"))
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not UTF-8"):
        ScriptedModel.from_file(str(binary))
