"""A model that answers from a list of rules: for tests and rehearsals, deterministic and free.

The first rule that fits and is not used up answers. A file is YAML (a list of rules) or, named
`*.jsonl`, one JSON rule a line::

    - when: {role: executive, step: 0, mail_kind: charter}
      moves:
        - move: spawn
          key: dig
          charter: {role: researcher, name: dig, task: "Dig into {{mission_text}}"}
    - when: {phase: vote, times: 3}
      fail: {why: timeout, detail: the seat dozes}

`when` may name `role`, `name`, `agent`, `phase` (a seat's call), `mail_kind`, `mail_contains` (of
any mail of this turn), `step` (answers already given in this turn, from 0) and `times` (how often
the rule may answer; no number: always). In strings `{{mission}}`, `{{mission_text}}`,
`{{children.KEY}}` (the id of the child of that key) and `{{reporter}}` (whose report came last) are
put in. What no rule fits is answered plainly: seats consent, keep their motion and say yes, all
others report done.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, cast

import anyio.lowlevel
import yaml
from pydantic import ConfigDict, Field, ValidationError, model_validator

from swarmd.adapters.models.opening import Opening
from swarmd.core.model.charter import Written
from swarmd.core.model.functions import Offer
from swarmd.core.model.messages import Kind
from swarmd.core.model.moves import MOVE, Move
from swarmd.core.model.names import SOB
from swarmd.errors import UsageError
from swarmd.ports.models import Answered, Failed, FailureKind, Prompt, Usage, View

NO_RULE: Final = "no rule matched"
_PLACE: Final = re.compile(r"\{\{\s*([A-Za-z_]+(?:\.[A-Za-z0-9_.-]+)?)\s*\}\}")
_NAMES: Final = ("mission", "mission_text", "reporter")


class When(Written):
    """All that is named must hold."""

    model_config = ConfigDict(strict=True)

    role: str | None = None
    name: str | None = None
    agent: str | None = None
    phase: Literal["propose", "debate", "respond", "vote", "review", "answer"] | None = None
    mail_kind: str | None = None
    mail_contains: str | None = None
    step: int | None = Field(None, ge=0)
    times: int | None = Field(None, ge=1)

    def holds(self, view: View) -> bool:
        phase = view.call.phase if view.call else None
        facts = (
            (self.role, view.role),
            (self.name, view.name),
            (self.agent, view.agent),
            (self.phase, phase),
            (self.step, _answers_given(view)),
        )
        return all(wanted is None or wanted == fact for wanted, fact in facts) and self._fits_mail(
            view
        )

    def _fits_mail(self, view: View) -> bool:
        if self.mail_kind is None and self.mail_contains is None:
            return True
        return any(
            self.mail_kind in (None, mail.kind.value) and (self.mail_contains or "") in mail.text
            for mail in view.mail
        )


class Failure(Written):
    """An attempt that fails, as a provider or a model would let it."""

    why: FailureKind
    detail: str = "scripted"
    retry_after: float | None = Field(None, ge=0)


class Used(Written):
    tokens_in: int = Field(10, ge=0)
    tokens_out: int = Field(10, ge=0)
    cost: int = Field(0, ge=0, description="micro-dollars")


class Rule(Written):
    """Either moves or a failure. Moves are checked as they are read, with stand-ins put in."""

    when: When = When()
    moves: tuple[dict[str, Any], ...] | None = Field(None, min_length=1)
    fail: Failure | None = None
    usage: Used = Used()

    @model_validator(mode="after")
    def _answers_one_way(self) -> Rule:
        if (self.moves is None) == (self.fail is None):
            raise ValueError("a rule has either `moves` or `fail`")
        for move in self.moves or ():
            MOVE.validate_python(_fill_in(move, _stand_in))
        return self


@dataclass(slots=True)
class _Counted:
    rule: Rule
    where: str
    used: int = 0

    def fits(self, view: View) -> bool:
        times = self.rule.when.times
        return (times is None or self.used < times) and self.rule.when.holds(view)


@dataclass(slots=True)
class ScriptedModel:
    """The rules and how often each has answered; rules as `Rule` or as the mappings of a file."""

    rules: Iterable[Rule | Mapping[str, Any]] = ()
    source: str = "rules"
    is_language_model: bool = field(default=False, init=False)
    _counted: list[_Counted] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        for number, rule in enumerate(self.rules, start=1):
            where = f"{self.source}:{number}"
            self._counted.append(_Counted(_parse_rule(rule, where), where))

    @classmethod
    def from_file(cls, path: str) -> ScriptedModel:
        """Raises `UsageError` with `file:line: field: what` for a file that can't be meant."""
        model = cls((), source=path)
        for line, raw in _read_file(path):
            where = f"{path}:{line}"
            model._counted.append(_Counted(_parse_rule(raw, where), where))
        return model

    @property
    def name(self) -> str:
        return f"scripted:{self.source}"

    def bound(self, prompt: Prompt) -> Usage:
        """The largest usage of any rule: what is declared there is what is charged."""
        usages = [Used(), *(counted.rule.usage for counted in self._counted)]
        tokens = max(usage.tokens_in + usage.tokens_out for usage in usages)
        return Usage(tokens, 0, is_assumed=True, cost=max(usage.cost for usage in usages))

    def expected(self, prompt: Prompt) -> Usage:
        return self.bound(prompt)

    async def attempt(
        self, prompt: Prompt, sending: Callable[[], None] = lambda: None
    ) -> Answered | Failed:
        sending()
        # Gives way once, as any real model does: code that relies on not being interrupted fails
        # here.
        await anyio.lowlevel.checkpoint()
        for counted in self._counted:
            if counted.fits(prompt.view):
                counted.used += 1
                return _answer_by(counted, prompt)
        return Answered((_plain_move(prompt),), Usage(10, 10), NO_RULE)

    async def aclose(self) -> None:
        """Nothing is open."""


# --- answering --------------------------------------------------------------------------------


def _answer_by(counted: _Counted, prompt: Prompt) -> Answered | Failed:
    rule = counted.rule
    usage = Usage(rule.usage.tokens_in, rule.usage.tokens_out, cost=rule.usage.cost)
    if rule.fail is not None:
        return Failed(rule.fail.why, rule.fail.detail, usage, rule.fail.retry_after)
    try:
        raw = [
            _fill_in(move, lambda name: _value_of(name, prompt.view)) for move in rule.moves or ()
        ]
    except _UnknownNameError as error:
        # Final, and not a correction: no repetition mends a script.
        return Failed(
            "rejected", f"{counted.where}: {{{{{error}}}}} stands for nothing here", usage
        )
    return _check_moves(raw, prompt, usage, counted.where)


def _check_moves(
    raw: list[dict[str, Any]], prompt: Prompt, usage: Usage, where: str
) -> Answered | Failed:
    text = json.dumps({"moves": raw}, ensure_ascii=False)
    if faults := _faults_of(raw, prompt.open_offer):
        return Failed("malformed", " ".join(faults), usage, text=text)
    try:
        moves = tuple(MOVE.validate_python(move) for move in raw)
    except ValidationError as error:
        # It was valid with stand-ins, so it is what was put in that does not fit.
        return Failed("rejected", f"{where}: {_first_fault(error)}", usage, text=text)
    return Answered(moves, usage, text)


def _faults_of(raw: list[dict[str, Any]], offer: Offer) -> list[str]:
    """What of it may not be answered now."""
    too_many = offer.why_too_many(len(raw))
    faults = [too_many] if too_many else []
    closed = [move["move"] for move in raw if move["move"] not in offer.moves]
    if closed:
        open_now = ", ".join(offer.moves)
        faults.append(f"`{closed[0]}` is not open to you now. Use one or more of: {open_now}.")
    return faults


def _plain_move(prompt: Prompt) -> Move:
    call = prompt.view.call
    move: dict[str, Any] = {"move": "report", "text": NO_RULE, "done": True}
    if call is None:
        return MOVE.validate_python(move)
    if call.phase == "vote":
        move = {"move": "vote", "choice": "yes", "reason": NO_RULE}
    elif call.phase == "debate":
        move = {"move": "argue", "stance": "consent", "text": NO_RULE}
    elif call.phase == "respond":
        move = {"move": "respond", "decision": "keep", "reason": NO_RULE}
    elif call.phase == "answer":
        move = {"move": "say", "room": SOB, "text": NO_RULE}
    else:
        move = {"move": "propose", "motion": _plain_motion(call.reports)}
    return MOVE.validate_python(move)


def _plain_motion(reports: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    named = [str(report["agent"]) for report in reports]
    if named:
        return {"motion": "deliver", "reports": named, "reason": NO_RULE}
    return {"motion": "reject", "reason": NO_RULE}


def _answers_given(view: View) -> int:
    """Good and bad ones: a correction stands for an answer that gave no moves."""
    return sum(1 for step in view.steps if "moves" in step or "correction" in step)


class _UnknownNameError(Exception):
    pass


def _value_of(name: str, view: View) -> str:
    head, _, key = name.partition(".")
    match head:
        case "mission":
            return view.mission
        case "mission_text":
            return view.mission_text
        case "reporter":
            return _last_reporter(view)
        case _:
            ids = [child.id for child in view.children if child.key == key]
            if not ids:
                raise _UnknownNameError(name)
            return ids[-1]


def _last_reporter(view: View) -> str:
    senders = [mail.sender for mail in view.mail if mail.kind is Kind.REPORT]
    if view.call:
        senders += [report["agent"] for report in view.call.reports]
    if not senders:
        raise _UnknownNameError("reporter")
    return senders[-1]


def _stand_in(name: str) -> str:
    head, _, key = name.partition(".")
    if head not in _NAMES and not (head == "children" and key):
        raise ValueError(f"{{{{{name}}}}}: unknown; there are {', '.join(_NAMES)} and children.KEY")
    return "x"


def _fill_in(value: Any, of: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return _PLACE.sub(lambda found: of(found.group(1)), value)
    if isinstance(value, Mapping):
        return {key: _fill_in(inner, of) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_fill_in(inner, of) for inner in value]
    return value


# --- reading a file ---------------------------------------------------------------------------


def _parse_rule(raw: object, where: str) -> Rule:
    if isinstance(raw, Rule):
        return raw
    try:
        return Rule.model_validate(raw)
    except ValidationError as error:
        raise UsageError(
            f"{where}: {_first_fault(error)}", hint="a rule is {when: …, moves: […]}"
        ) from None


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(step) for step in fault["loc"]) or "rule"
    # Of a check of our own the sentence is ours; of all else it is the library's.
    ours = fault.get("ctx", {}).get("error")
    return f"{place}: {ours or fault['msg']}"


def _read_file(path: str) -> list[tuple[int, Any]]:
    """Each rule with the line that it begins at."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path}: is not UTF-8 text") from None
    return _read_json_lines(path, text) if path.endswith(".jsonl") else _read_yaml(path, text)


def _read_json_lines(path: str, text: str) -> list[tuple[int, Any]]:
    rules: list[tuple[int, Any]] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            rules.append((number, json.loads(line)))
        except ValueError as error:
            raise UsageError(f"{path}:{number}: is not JSON: {error}") from None
    return rules


def _read_yaml(path: str, text: str) -> list[tuple[int, Any]]:
    node, rules = _parse_yaml(path, text)
    if not isinstance(node, yaml.SequenceNode) or not isinstance(rules, list):
        raise UsageError(f"{path}:1: is not a list of rules")
    nodes = cast(list[yaml.Node], node.value)
    return [(item.start_mark.line + 1, rule) for item, rule in zip(nodes, rules, strict=True)]


def _parse_yaml(path: str, text: str) -> tuple[yaml.Node | None, object]:
    """As nodes, which have their lines, and as values."""
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader), yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UsageError(f"{path}:{line}: is not YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise UsageError(f"{path}:1: is not YAML: {error}") from None


def open_model(opening: Opening) -> ScriptedModel:
    return ScriptedModel.from_file(opening.name)
