"""A final report leaves nothing open: no child at work, no check red, no mail unread."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import anyio
import pytest

from swarmd.adapters.files.bounds import READ_BYTES_MAX
from swarmd.adapters.files.workspace import Workspace
from swarmd.adapters.models.scripted import ScriptedModel
from swarmd.adapters.redis.store import RedisStore
from swarmd.core.agent.final_report import Findings
from swarmd.core.agent.turn import Acting
from swarmd.core.model.channels import REQUESTS, inbox, up
from swarmd.core.model.charter import Charter
from swarmd.core.model.messages import Kind
from swarmd.core.model.moves import Report
from swarmd.core.model.names import AgentId
from swarmd.core.tasks.checking import Artefact, Evidence
from swarmd.ports.models import Answered, Failed, Prompt
from swarmd.runtime.turn.report_check import ARTEFACT_CHARS_MAX, check_report
from tests.runtime.test_functions import Seen, use
from tests.runtime.test_steps import (
    A1,
    FREE,
    answer,
    bounded,
    in_a_turn,
    report,
    spawn,
)
from tests.runtime.test_worker import (
    DECLARED,
    MISSION,
    Lineage,
    at_work,
    executive,
    jumping,
    message,
    stored,
    until,
)
from tests.runtime.test_worker import worker_of as worker_with

DONE: Final = report("the quorum is four", done=True)
CHECKS: Final = (
    {"kind": "contains", "text": "quorum"},
    {"kind": "words", "least": 3},
)


def types(requests: list[Any]) -> list[str]:
    return [request.data["type"] for request in requests]


def test_who_has_asked_for_a_child_gives_no_final_report_and_is_told_whose_work_is_open() -> None:
    ended = in_a_turn([answer(spawn("ann"), DONE, step=0), answer(report("not yet"))])
    refused = ended.results[1]
    assert (refused["ok"], refused["rule"]) == (False, "task.open")
    assert refused["detail"] == "at work: ann"
    assert refused["hint"] == (
        "Not sent: `wait` for whom it names or end them with `govern`, and report again; or report "
        "with `done` false."
    )
    assert [sent.data["done"] for sent in ended.reports] == [False]
    assert "hand_in" not in types(ended.requests)


def test_a_final_report_at_the_bound_of_a_turn_goes_as_an_interim_one_that_says_what_is_open() -> (
    None
):
    script = [answer(spawn("ann"), use("tree/list"), step=0), answer(DONE)]
    ended = in_a_turn(script, bounded(thoughts_max=1))
    [sent] = ended.reports
    assert (sent.data["done"], sent.data["open"]) == (False, "at work: ann")
    assert "hand_in" not in types(ended.requests)


def test_a_final_report_that_leaves_the_same_open_again_goes_as_an_interim_one() -> None:
    ended = in_a_turn([answer(spawn("ann"), DONE, step=0), answer(DONE)])
    told = [result for result in ended.results if result.get("move") == "report"]
    assert [result["ok"] for result in told] == [False, False, False]
    assert "sent with `done` false" in told[-1]["detail"]
    assert len(ended.model.prompts) == 3, "each try is a call, and they are bounded"
    [sent] = ended.reports
    assert (sent.data["done"], sent.data["open"]) == (False, "at work: ann")
    assert "hand_in" not in types(ended.requests)


def test_a_final_report_with_nothing_open_is_handed_in_with_the_digest_of_what_it_says() -> None:
    ended = in_a_turn([answer(DONE)])
    [sent] = ended.reports
    [request] = ended.requests
    assert sent.data["done"] is True
    assert request.data["type"] == "hand_in"
    assert request.data["digest"] == Evidence(Artefact(DONE["text"])).digest
    assert request.data["result"] == DONE["text"]


# --- checks -----------------------------------------------------------------------------------


def checked_turn(
    script: Sequence[Mapping[str, Any]],
    checks: tuple[Mapping[str, Any], ...],
    files: Workspace | None,
    kpis: tuple[str, ...] = (),
) -> tuple[list[Any], list[Any], Seen]:
    async def test() -> tuple[list[Any], list[Any], Seen]:
        async with stored() as store:
            charter = Charter.model_validate(
                {
                    "role": "executive",
                    "name": "a-1",
                    "task": "Answer.",
                    "checks": checks,
                    "kpis": kpis,
                }
            )
            agent = replace(executive(A1), privileges=(*FREE, "file/**"), charter=charter)
            await Lineage(store).found(agent)
            seen = Seen(ScriptedModel(list(script)))
            async with at_work(worker_with(store, seen, files=files)):
                await store.post(inbox(A1), message("begin"))

                async def is_over() -> bool:
                    return (await store.resume(A1)).turn == 1

                await until(is_over)
            reports = list(await store.latest(up(agent.parent), 10))  # type: ignore[arg-type]  # it has one
            return reports, list(await store.latest(REQUESTS, 10)), seen

    return jumping(test)


@pytest.fixture
def files(tmp_path: Any) -> Workspace:
    return Workspace(tmp_path / "work", None)


def test_red_checks_are_told_at_once_and_what_is_mended_is_handed_in(files: Workspace) -> None:
    script = [answer(report("no answer here", done=True), step=0), answer(DONE)]
    reports, requests, seen = checked_turn(script, CHECKS, files)
    shown = str(seen.prompts[1])
    assert "task.checks" in shown
    assert "Not sent: mend what a check names, and report again; or" in shown
    assert "`wait` for whom" not in shown, "it has no children"
    assert "found 0 times" in shown
    assert 'contains \\"quorum\\"' in shown or 'contains "quorum"' in shown
    [sent] = reports
    assert (sent.text, sent.data["done"]) == (DONE["text"], True)
    assert sent.data["checks"] == [['contains "quorum"', ""], ["words at least 3", ""]]
    [request] = requests
    assert request.data["checks"] == sent.data["checks"]


def test_a_file_that_a_check_names_is_looked_at_as_it_stands(files: Workspace) -> None:
    checks = ({"kind": "contains", "text": "quorum", "file": "work/answer.md"},)
    script = [
        answer(DONE, step=0),
        answer(use("file/write", path="work/answer.md", text="quorum: four"), step=1),
        answer(DONE),
    ]
    reports, requests, seen = checked_turn(script, checks, files)
    assert "work/answer.md" in str(seen.prompts[1])
    [sent] = reports
    assert sent.data["checks"] == [['contains in work/answer.md "quorum"', ""]]
    written = {"work/answer.md": Artefact("quorum: four")}
    assert requests[-1].data["digest"] == Evidence(Artefact(DONE["text"]), written).digest


def test_a_file_of_one_long_line_is_checked_to_its_end(files: Workspace) -> None:
    files.write(MISSION, "work/rows.json", "0 " * READ_BYTES_MAX + "quorum")
    checks = ({"kind": "contains", "text": "quorum", "file": "work/rows.json"},)
    reports, _, _ = checked_turn([answer(DONE)], checks, files)
    assert [sent.data["done"] for sent in reports] == [True]


def test_json_that_does_not_fit_is_told_with_its_place_and_mended(files: Workspace) -> None:
    schema = '{"type": "object", "required": ["quorum"]}'
    checks = ({"kind": "schema", "text": schema, "file": "work/a.json"},)
    script = [
        answer(use("file/write", path="work/a.json", text='{"size": 4}'), DONE, step=0),
        answer(use("file/write", path="work/a.json", text='{"quorum": 4}'), step=1),
        answer(DONE),
    ]
    reports, requests, seen = checked_turn(script, checks, files)
    assert "$.quorum is missing" in str(seen.prompts[1])
    assert [sent.data["done"] for sent in reports] == [True]
    assert requests[-1].data["checks"] == [[f"schema in work/a.json {schema}", ""]]


@dataclass(slots=True)
class Counting:
    """Files that count how often one is read whole."""

    inner: Workspace
    read: list[str] = field(default_factory=list)

    def lines(self, mission: Any, path: str) -> Sequence[str]:
        self.read.append(path)
        return self.inner.lines(mission, path)


def looked_up(files: Any, text: str, *checks: Mapping[str, Any]) -> Findings:
    charter = Charter.model_validate(
        {"role": "executive", "name": "a-1", "task": "Answer.", "checks": checks}
    )
    agent = replace(executive(A1), charter=charter, mission=MISSION)
    acting = Acting(agent, MISSION, ("work/mine",), {}, (), hops=0, at="")

    async def test() -> Findings:
        return await check_report(files, acting, Report.model_validate(report(text, done=True)))

    return anyio.run(test)


def test_a_file_is_read_once_however_often_a_report_cites_it(files: Workspace) -> None:
    files.write(MISSION, "work/mine/a.md", "quorum\n" * 1_000)
    counting = Counting(files)
    cited = "\n".join(f"quorum work/mine/a.md:{line}" for line in range(900, 1_100))
    found = looked_up(counting, cited)
    assert found.citations.right == 101
    assert "work/mine/a.md:1001: the file has 1000 lines" in found.citations.wrong
    assert counting.read == ["work/mine/a.md"]


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("docs/a.md", "it is not a file of yours"),
        ("work/mine/../../other/a.md", "leaves the folder by '..'"),
        ("/etc/passwd", "it is not a file of yours"),
        ("work/mine/none.md", "does not exist"),
        ("work/mine/long.md", "it is longer than"),
    ],
)
def test_a_check_reads_what_its_author_may_read_and_no_more(
    files: Workspace, path: str, fault: str
) -> None:
    files.write(MISSION, "docs/a.md", "quorum")
    files.write(MISSION, "work/mine/long.md", "é" * (ARTEFACT_CHARS_MAX + 1))
    [result] = looked_up(files, "x", {"kind": "contains", "text": "quorum", "file": path}).checks
    assert fault in result.fault


def test_what_a_person_is_asked_is_handed_in_and_its_report_is_interim_until_then(
    files: Workspace,
) -> None:
    person = {"kind": "person", "text": "May this be published?"}
    reports, requests, seen = checked_turn([answer(DONE)], (*CHECKS, person), files)
    question = 'person "May this be published?"'
    assert question in str(seen.prompts[0])
    [sent] = reports
    assert (sent.data["done"], sent.data["open"]) == (False, question)
    [request] = requests
    assert request.data["checks"] == sent.data["checks"]
    assert [row[0] for row in sent.data["checks"]] == ['contains "quorum"', "words at least 3"]
    red = [answer(report("no answer here", done=True))]
    reports, requests, _ = checked_turn(red, (*CHECKS, person), files)
    assert [sent.data["done"] for sent in reports] == [False]
    assert "hand_in" not in types(requests), "a person is not asked about what is red"


# --- KPIs -----------------------------------------------------------------------------------------


def test_kpis_with_a_number_stand_beside_the_report_and_what_is_handed_in(files: Workspace) -> None:
    files.write(MISSION, "work/a.md", "the quorum is four")
    kpis = (
        "words <= 2",
        "lines = 1",
        "citations >= 1",
        "files >= 1",
        "calls <= 1",
        "tokens <= 40",
        "seconds < 1",
        "few words",
    )
    said = {**report("the quorum is four work/a.md:1", done=True), "files": ["work/a.md"]}
    script = [answer(report("no", done=True), step=0), answer(said)]
    reports, requests, _ = checked_turn(script, CHECKS, files, kpis)
    [sent] = reports
    seconds = sent.data["kpis"].pop(-1)
    assert sent.data["kpis"] == [
        ["words <= 2", 4, False],
        ["lines = 1", 1, True],
        ["citations >= 1", 1, True],
        ["files >= 1", 1, True],
        ["calls <= 1", 2, False],
        ["tokens <= 40", 40, True],
    ]
    assert (seconds[0], seconds[2]) == ("seconds < 1", False)
    assert requests[-1].data["kpis"] == [*sent.data["kpis"], seconds]
    assert sent.data["done"], "a KPI that is missed holds nothing up"


def test_kpis_of_the_role_are_measured_where_a_charter_has_none_and_interim_reports_have_none() -> (
    None
):
    role = DECLARED.roles["executive"].model_copy(update={"kpis": ("citations >= 1", "words < 9")})
    declared = replace(DECLARED, roles={**DECLARED.roles, "executive": role})
    [sent] = in_a_turn([answer(DONE)], declared).reports
    assert sent.data["kpis"] == [["words < 9", 4, True]], "without files nobody counts citations"
    [sent] = in_a_turn([answer(report("not yet"))], declared).reports
    assert "kpis" not in sent.data


# --- mail that nobody has read --------------------------------------------------------------------


@dataclass(slots=True)
class Interrupted:
    """A model during whose first call a directive arrives."""

    store: RedisStore
    inner: Seen
    name: str = "scripted:interrupted"
    is_language_model: bool = False
    calls: int = field(default=0)

    def bound(self, prompt: Prompt) -> Any:
        return self.inner.bound(prompt)

    def expected(self, prompt: Prompt) -> Any:
        return self.inner.expected(prompt)

    async def attempt(
        self, prompt: Prompt, sending: Callable[[], None] = lambda: None
    ) -> Answered | Failed:
        self.calls += 1
        if self.calls == 1:
            await self.store.post(inbox(A1), message("wait: cite it"))
            await anyio.sleep(5)  # a sweep finds it
        return await self.inner.attempt(prompt, sending)

    async def aclose(self) -> None:
        await self.inner.aclose()


def test_a_final_report_waits_for_mail_that_came_meanwhile() -> None:
    async def test() -> None:
        async with stored() as store:
            await Lineage(store).found(replace(executive(A1), privileges=FREE))
            first = {"when": {"mail_contains": "begin"}, "moves": [DONE]}
            script = [first, answer(report("cited: quorum", done=True))]
            model = Interrupted(store, Seen(ScriptedModel(script)))
            async with at_work(worker_with(store, model)):
                await store.post(inbox(A1), message("begin"))

                async def is_over() -> bool:
                    return (await store.resume(A1)).turn == 2

                await until(is_over)
            assert model.calls == 2, "the first turn ended without another call"
            sent = list(await store.latest(up(executive(A1).parent), 10))  # type: ignore[arg-type]  # it has one
            assert [(m.text, m.data["done"]) for m in sent] == [("cited: quorum", True)]
            assert "came while you worked" in str(model.inner.prompts[1])

    jumping(test)


# --- whom it ends ---------------------------------------------------------------------------------


def test_whom_an_answer_ends_after_its_report_is_ended_before_that_is_handed_in() -> None:
    low = AgentId("a-2")

    async def test() -> None:
        async with stored() as store:
            top = replace(executive(A1), privileges=FREE)
            child = replace(executive(low), name="low", tier=2, parent=A1, path=(*top.path, low))
            await Lineage(store).found(top, child)
            ending = {"move": "govern", "verb": "terminate", "target": "low", "reason": "enough"}
            async with at_work(worker_with(store, ScriptedModel([answer(DONE, ending)]))):
                await store.post(inbox(A1), message("begin"))

                async def has_ended() -> bool:
                    return (await store.resume(A1)).turn == 1

                await until(has_ended)
            assert types(list(await store.latest(REQUESTS, 10))) == ["act", "hand_in"]

    jumping(test)


# --- what is sent back ----------------------------------------------------------------------------


def test_who_directs_a_child_that_has_handed_in_sends_its_work_back() -> None:
    low = AgentId("a-2")

    async def test() -> None:
        async with stored() as store:
            top = replace(executive(A1), privileges=FREE)
            child = replace(
                executive(low),
                name="low",
                tier=2,
                parent=A1,
                path=(*top.path, low),
                privileges=FREE,
            )
            await Lineage(store).found(top, child)
            script = [
                {"when": {"name": "low"}, "moves": [DONE]},
                answer({"move": "direct", "to": "low", "text": "cite it"}),
            ]
            async with at_work(worker_with(store, ScriptedModel(script))):
                await store.post(inbox(low), message("begin"))

                async def has_directed() -> bool:
                    return "send_back" in types(list(await store.latest(REQUESTS, 10)))

                await until(has_directed)
            [back] = [m for m in await store.latest(REQUESTS, 10) if m.data["type"] == "send_back"]
            assert (back.sender, back.data["agent"], back.data["reason"]) == (A1, low, "cite it")
            assert back.kind is Kind.REQUEST

    jumping(test)
