"""That a scripted mind puts what it wants into whatever form it is offered, and that its server counts
what it says it counts."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import urllib.request
from typing import Any

from swarmd.adapters.files.search import Listed, Retrieval
from tests.minds.capable import CapableMind
from tests.minds.reading import Line, shown
from tests.minds.server import count, serving
from tests.minds.shapes import Json, Shape, shaped
from tests.minds.work import Said


def _object(**fields: Any) -> Json:
    return {"type": "object", "properties": fields, "required": list(fields)}


def _asked(url: str, body: Json) -> Json:
    request = urllib.request.Request(
        f"{url}/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        found: Json = json.loads(answer.read())
        return found


def test_a_wish_fits_alternatives_whatever_their_tag_is_called_and_wherever_they_stand() -> None:
    for tag in ("motion", "kind"):
        deliver = _object(**{tag: {"const": "deliver"}, "reason": {"type": "string"}})
        reject = _object(**{tag: {"const": "reject"}, "reason": {"type": "string"}})
        union = {"anyOf": [deliver, reject]}
        lifted = Shape.of({**union, "type": "object"})
        wish = {"reason": "why", "unknown": 1}
        assert shaped(wish, lifted, "reject") == {tag: "reject", "reason": "why"}
        wrapped = shaped(wish, Shape.of(_object(motion=union)), "deliver")
        assert wrapped == {"motion": {tag: "deliver", "reason": "why"}}


def test_a_seat_answers_the_tool_that_is_demanded_of_those_that_are_offered() -> None:
    stance = {"enum": ["argue", "object", "consent"]}
    tools = [
        {"function": {"name": name, "parameters": parameters}}
        for name, parameters in {
            "propose": _object(motion=_object(kind={"const": "reject"}, reason={})),
            "argue": _object(stance=stance, text={"type": "string"}),
            "answer": _object(answer={"enum": ["keep", "amend", "withdraw"]}),
            "vote": _object(choice={"enum": ["yes", "no", "abstain"]}, reason={"type": "string"}),
        }.items()
    ]
    told = [{"role": "user", "content": "The motion stands. Answer with `vote`."}]
    by_words = CapableMind()({"tools": tools, "messages": told})
    assert by_words.calls[0][0] == "vote"
    assert by_words.calls[0][1]["choice"] == "yes"
    for name, field, value in (("argue", "stance", "consent"), ("answer", "answer", "keep")):
        choice = {"type": "function", "function": {"name": name}}
        ((called, args),) = CapableMind()(
            {"tools": tools, "messages": told, "tool_choice": choice}
        ).calls
        assert (called, args[field]) == (name, value)


def test_lines_of_files_are_read_from_passages_and_from_numbered_text() -> None:
    passage = json.dumps({"path": "docs/a.md", "start": 7, "lines": ["one", "two"]})
    assert list(shown(f"results: [{passage}]")) == [
        Line("docs/a.md", 7, "one"),
        Line("docs/a.md", 8, "two"),
    ]
    numbered = "docs/b.md 12–13 of 90\n 12| three\n 13| four"
    assert list(shown(numbered)) == [Line("docs/b.md", 12, "three"), Line("docs/b.md", 13, "four")]


def test_a_researchers_report_cites_lines_that_are_there() -> None:
    text = "# Loss\n\nWhen Redis dies, no acknowledged write is lost on the embedded server.\n"
    found = Retrieval().search(
        "t", [Listed("docs/x.md", (1,), 99)], lambda _: text, "redis dies", 5
    )
    (passage,) = found.passages
    results = json.dumps({"path": passage.path, "start": passage.start, "lines": passage.lines})
    task = "As `redis`, find what the files say on: what is lost when Redis dies. Report."
    searched = {"function": {"name": "file_search", "arguments": '{"query": "x"}'}}
    body: Json = {
        "tools": [{"function": {"name": "report", "parameters": _object(text={}, done={})}}],
        "messages": [
            {"role": "user", "content": task},
            {"role": "assistant", "content": None, "tool_calls": [searched]},
            {"role": "tool", "content": results},
        ],
    }
    ((name, report),) = CapableMind()(body).calls
    assert name == "report"
    assert "When Redis dies, no acknowledged write is lost" in report["text"]
    assert "(docs/x.md:3)" in report["text"]


def test_calls_beside_each_other_are_one_serial_step_and_calls_in_a_row_are_one_each() -> None:
    body: Json = {"messages": [{"role": "user", "content": "a" * 8_000}]}
    with serving(lambda _: Said(text="done"), seconds=0.15) as here:
        _asked(here.url, body)
        together = [threading.Thread(target=_asked, args=(here.url, body)) for _ in range(3)]
        for one in together:
            one.start()
        for one in together:
            one.join()
        counted = count(here.taken())
    assert (counted.calls, counted.serial_steps) == (4, 2)
    assert counted.prompt_tokens == 4 * 8_005 // 4
    # Only the first of four equal prompts was new.
    assert counted.uncached_tokens == 8_005 // 4


def test_no_framework_is_imported_before_it_is_asked_for() -> None:
    asked = "import sys, tests.bench.frameworks.__main__ as m; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert not {"langgraph_supervisor", "agent_framework", "openai"} & set(done.stdout.split())
