"""A charter: the task, privileges, files and budget that an agent is created with."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from swarmd.core.model.checks import CHECKS_MAX, Check
from swarmd.core.model.json_schema import EXACT_MAX
from swarmd.core.model.kpis import MEASURES

TEXT_CHARS_MAX: Final = 64_000  # one message; a longer text belongs in a file of the workspace


# Files of one charter: a folder's name stands for all that is in it.
FILES_MAX: Final = 512
LIST_MAX: Final = 24  # goals, KPIs, privileges of one charter; executives of one motion are fewer


Text = Annotated[str, Field(min_length=1, max_length=TEXT_CHARS_MAX)]


LINE_CHARS_MAX: Final = 2_000  # a reason, a goal: a longer text belongs in a task or a file


# The limit is said in words, for servers are not sent the keyword: grammars spell it out.
Line = Annotated[
    str,
    Field(
        title="Line",
        min_length=1,
        max_length=LINE_CHARS_MAX,
        description=f"at most {LINE_CHARS_MAX:,} characters",
    ),
]


Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]


# A word that stands in the prompt: whoever names what is there needs not be told how it is formed.
KnownWord = Annotated[Word, WithJsonSchema({"type": "string"})]


Path = Annotated[str, Field(min_length=1, max_length=512)]


Reference = Annotated[str, Field(min_length=1, max_length=64)]


KINDS: Final = ("tokens", "cost", "calls", "tools", "agents")


# Without any of these an agent cannot live or think; a model that costs nothing needs no money, and
# not every agent a tool.
NEEDED_KINDS: Final = ("tokens", "calls", "agents")


SPENT_KINDS: Final = ("tokens", "cost", "calls", "tools")  # all but the slots, which are given back


AMOUNT_MAX: Final = EXACT_MAX  # Lua counts in doubles, too


Amount = Annotated[int, Field(ge=0, le=AMOUNT_MAX)]


# Of a task or an override: a year at most, which nobody has to be told.
LongSeconds = Annotated[float, Field(gt=0, le=31_536_000), WithJsonSchema({"type": "number"})]


Seconds = Annotated[float, Field(gt=0, le=86_400)]


Amounts = Annotated[
    dict[Literal["tokens", "cost", "calls", "tools", "agents"], Amount], Field(title="Amounts")
]


class Written(BaseModel):
    """Base of what models and people write."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Charter(Written):
    """What a creator gives an agent it makes: the instance of a role."""

    role: KnownWord = Field(description="one of the roles that you may create")
    name: Word = Field(description="unique among its living siblings")
    task: Text = Field(description="what it is to do, complete in itself")
    methodology: str = Field(
        "", max_length=8_000, description="how to go about it, in 8,000 characters"
    )
    goals: tuple[Line, ...] = Field((), max_length=LIST_MAX)
    done: str = Field("", max_length=8_000, description="definition of done, in 8,000 characters")
    checks: tuple[Check, ...] = Field(
        (),
        max_length=CHECKS_MAX,
        description="its final report must pass them; a text of another task must not",
    )
    kpis: tuple[Line, ...] = Field(
        (),
        max_length=LIST_MAX,
        description=f"`words <= 900` is measured, so are {' '.join(MEASURES[1:])}",
    )
    mind: tuple[Line, ...] = Field(
        (), max_length=LIST_MAX, description="what to mind beside the task"
    )
    files: tuple[Path, ...] = Field(
        (),
        max_length=FILES_MAX,
        description="what it may read of the mission's files; a folder is all that is in it",
    )
    privileges: tuple[Path, ...] | None = Field(
        None,
        max_length=64,
        description="paths it may use; absent: those of its role that you can grant",
    )
    grants: tuple[Path, ...] | None = Field(
        None, max_length=64, description="paths it may hand out; absent: those that it may use"
    )
    budget: Amounts = Field(
        default_factory=dict,
        description="a charter's share, absent: the default share; cost in millionths of a dollar",
    )
    deadline_s: LongSeconds | None = Field(
        None, description="seconds until it ends unfinished; absent: the mission's deadline"
    )
