"""Typed checks: what a report or a file has to be before a task can be done.

A charter declares them, so they are fixed when its agent is made. Whether they hold is looked up by
the runtime when the agent hands in its final report (`core.tasks.checking`), never by a model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from swarmd.core.model.json_schema import Schema, schema_of

CHECKS_MAX: Final = 12  # of one charter: each may be a read of a file
CHECK_TEXT_MAX: Final = 1_000  # characters: a phrase or a schema, which stands in each call

CheckKind = Literal[
    "file", "words", "contains", "cites", "schema", "metric", "equal_across", "person"
]


def number_text(number: float) -> str:
    """With all digits that tell it from another one."""
    return f"{number:.15g}"


class Check(BaseModel):
    """One condition on a report or on a file. What none of the kinds can say stays in the
    charter's `done`.
    """

    # Nothing is compared with infinity or with what is no number, and JSON has neither.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    kind: CheckKind = Field(
        description="`contains` `text`; `cites`: right citations; `schema`: fits JSON Schema "
        "`text`; `metric`: the number after `text`; `equal_across`: the same in all files of a "
        "folder; `file`: not empty; `person`: says yes to `text`; `words` do not count citations"
    )
    file: str = Field("", max_length=512, description="absent: the report")
    text: str = Field("", max_length=CHECK_TEXT_MAX)
    least: float | None = None
    most: float | None = None

    @model_validator(mode="after")
    def _says_enough(self) -> Self:
        missing = _NEEDS[self.kind](self)
        if missing:
            raise ValueError(f"`{self.kind}` needs {missing}")
        if self.least is not None and self.most is not None and self.least > self.most:
            raise ValueError("`least` is more than `most`")
        return self

    @property
    def is_looked_up(self) -> bool:
        """By the runtime, in what is handed in. A person is asked by the supervisor then."""
        return self.kind != "person"

    @property
    def json_schema(self) -> Schema:
        """Of a `schema`."""
        return schema_of(self.text)

    @property
    def text_form(self) -> str:
        """For people and models, on one line."""
        parts: list[str] = [self.kind]
        if self.file:
            parts.append(f"in {self.file}")
        if self.text:
            text = " ".join(self.text.split())
            parts.append(text if self.kind == "schema" else f'"{text}"')
        for word, bound in (("at least", self.least), ("at most", self.most)):
            if bound is not None:
                parts.append(f"{word} {number_text(bound)}")
        return " ".join(parts)


def _text_of(check: Check) -> str:
    return "" if check.text.strip() else "`text`"


def _bound_of(check: Check) -> str:
    return "" if check.least is not None or check.most is not None else "`least` or `most`"


def _file_of(check: Check) -> str:
    return "" if check.file else "`file`"


def _schema_of(check: Check) -> str:
    try:
        schema_of(check.text)
    except ValueError as error:
        return f"a `text` that is a schema: {error}"
    return ""


_NEEDS: Final[Mapping[str, Callable[[Check], str]]] = {
    "file": _file_of,
    "words": _bound_of,
    "contains": _text_of,
    "cites": lambda _: "",
    "schema": _schema_of,
    "metric": lambda check: _text_of(check) or _bound_of(check),
    "equal_across": lambda check: _text_of(check) or _file_of(check),
    "person": _text_of,
}
