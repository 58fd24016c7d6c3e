"""The closed union of what an agent can do, as a model must write it.

What people and models write forbids unknown fields: a move that is not understood whole is given
back as a correction, never half done. Field descriptions are part of every prompt: short, exact.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

TEXT_CHARS_MAX: Final = 64_000  # one message; a longer text belongs in a file of the workspace
LIST_MAX: Final = 24  # files, goals, KPIs, privileges of one charter; executives of one motion are fewer
MOVES_MAX: Final = 16  # moves in one reply: more is a loop written out

Text = Annotated[str, Field(min_length=1, max_length=TEXT_CHARS_MAX)]
Line = Annotated[str, Field(min_length=1, max_length=2_000)]
Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
Path = Annotated[str, Field(min_length=1, max_length=512)]
Reference = Annotated[str, Field(min_length=1, max_length=64)]
KINDS: Final = ("tokens", "cost", "calls", "tools", "agents")
SPENT_KINDS: Final = ("tokens", "cost", "calls", "tools")  # all but the slots, which are given back
# Lua counts in doubles, and so do many readers of JSON: beyond 2^53 - 1 two numbers are the same.
AMOUNT_MAX: Final = 2**53 - 1
Amount = Annotated[int, Field(ge=0, le=AMOUNT_MAX)]
Amounts = dict[Literal["tokens", "cost", "calls", "tools", "agents"], Amount]


class Written(BaseModel):
    """Base of what models and people write."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Charter(Written):
    """What a creator gives an agent it makes: the instance of a role."""

    role: Word = Field(description="a role declared in policies/roles")
    name: Word = Field(description="a name, unique among its living siblings")
    task: Text = Field(description="what it is to do, complete in itself")
    methodology: str = Field("", max_length=8_000, description="how to go about it")
    goals: tuple[Line, ...] = Field((), max_length=LIST_MAX)
    done: str = Field("", max_length=8_000, description="definition of done")
    kpis: tuple[Line, ...] = Field((), max_length=LIST_MAX)
    files: tuple[Path, ...] = Field(
        (), max_length=512, description="names of the mission's files it works on"
    )
    privileges: tuple[Path, ...] | None = Field(
        None, max_length=64, description="paths it may use; absent: those of its role that you can grant"
    )
    grants: tuple[Path, ...] | None = Field(
        None, max_length=64, description="paths it may hand out; absent: those that it may use"
    )
    budget: Amounts = Field(
        default_factory=dict,
        description="its share (cost in millionths of a dollar); absent: the default share",
    )
    deadline_s: Annotated[float, Field(gt=0, le=31_536_000)] | None = Field(
        None, description="seconds until it ends unfinished; absent: the mission's deadline"
    )


class Say(Written):
    """Say something in a room that you are a member of."""

    move: Literal["say"]
    room: Word
    text: Text


class Direct(Written):
    """Give a directive to a direct child: its id, its name or the key of a spawn; '*' is all."""

    move: Literal["direct"]
    to: Reference
    text: Text


class Report(Written):
    """Report one level up. `done` true ends your task: the text is your result."""

    move: Literal["report"]
    text: Text
    done: bool = False
    files: tuple[Path, ...] = Field((), max_length=LIST_MAX)


class Spawn(Written):
    """Ask for a new agent one tier below you; the answer arrives in your inbox under `key`."""

    move: Literal["spawn"]
    key: Word = Field(description="your own name for this request; use it to direct the child at once")
    charter: Charter
    # Never needed: the supervisor mints both. Claiming what is not so is refused by name.
    tier: int | None = None
    parent: str | None = None


class Terminate(Written):
    """End a descendant of yours and all below it."""

    move: Literal["terminate"]
    agent: Reference
    reason: Line


Verb = Literal["freeze", "thaw", "drain", "halt", "terminate", "grant", "revoke", "fund", "approve", "deny"]


class Act(Written):
    """What a superior does about those below it; the same for an ancestor, the board and an operator."""

    verb: Verb
    target: Reference = Field(
        description="whom: an id, a child's name or key; of approve and deny: the approval"
    )
    privilege: Path | None = Field(None, description="of grant and revoke: the path")
    right: Literal["use", "grant", "both"] = Field("both", description="of grant and revoke")
    amounts: Amounts = Field(default_factory=dict, description="of fund: what it gets of your own")
    reason: Line


class Govern(Act):
    """Stop, thaw or end a descendant, change its privileges, fund it, or answer its request for leave."""

    move: Literal["govern"]


class Function(Written):
    """What an agent may use within a turn. Each says whether it may be repeated: whether done twice is as done once.

    What may not, and was begun and never ended, is not done again: nobody knows whether it was done, and the model
    is told so.
    """

    may_repeat: ClassVar[bool] = True


class ListSubtree(Function):
    """List your descendants with their states."""

    move: Literal["list_subtree"]


class ReadFile(Function):
    """Read lines of a file of the mission."""

    move: Literal["read_file"]
    path: Path
    start: int = Field(1, ge=1)
    lines: int = Field(200, ge=1, le=1_000)


class SearchFiles(Function):
    """Find the passages of the mission's files that answer a question best."""

    move: Literal["search_files"]
    query: Line
    files: tuple[Path, ...] = Field((), max_length=512, description="only these; empty: all you may read")
    top: int = Field(5, ge=1, le=20)


class WriteFile(Function):
    """Write a whole file in the mission's workspace; it is read as work/NAME by all of the mission."""

    move: Literal["write_file"]
    path: Path
    text: str = Field(max_length=1_000_000)


class Think(Written):
    """You are not ready: note a thought and be asked to continue."""

    move: Literal["think"]
    thought: Text


class Executive(Charter):
    """A charter in a motion. Its key names it within the motion."""

    key: Word


class CharterMotion(Written):
    """Create executives with their tasks and budgets, all or none."""

    motion: Literal["charter"]
    executives: tuple[Executive, ...] = Field(min_length=1, max_length=6)
    reason: Line


class DirectMotion(Written):
    """Send work back, or direct an executive of this mission further."""

    motion: Literal["direct"]
    to: Reference
    text: Text
    reason: Line


class TerminateMotion(Written):
    """End an executive (or any agent) of this mission and all below it."""

    motion: Literal["terminate"]
    agent: Reference
    reason: Line


class ActMotion(Act):
    """Stop, thaw or end an agent of this mission, change its privileges, fund it, or answer its request for leave."""

    motion: Literal["act"]


class Overruling(Written):
    """One decision of somebody else's, replaced for a time; then it is as before."""

    kind: Literal["grant", "task", "spawn", "message", "motion", "reverse"]
    target: Annotated[str, Field(min_length=1, max_length=600)] = Field(
        description="whom or what; of reverse: the override"
    )
    take: bool = Field(False, description="of grant: taken, not given; of spawn: undone; of motion: vetoed")
    privilege: str = Field("", max_length=512, description="of grant")
    right: Literal["use", "grant", "both"] = Field("both", description="of grant")
    text: str = Field(
        "", max_length=TEXT_CHARS_MAX, description="of task: the new one; of message: in its place"
    )
    seconds: Annotated[float, Field(gt=0, le=31_536_000)] = Field(600, description="then it lapses")
    reason: Line


class OverrideMotion(Overruling):
    """Give or take a right, replace a task, undo a spawn, for a time; or take such an override back."""

    motion: Literal["override"]
    kind: Literal["grant", "task", "spawn", "reverse"]


class DeliverMotion(Written):
    """Deliver the mission: `text`, then the final reports of the executives named."""

    motion: Literal["deliver"]
    text: str = Field("", max_length=TEXT_CHARS_MAX)
    reports: tuple[Reference, ...] = Field((), max_length=LIST_MAX)
    reason: Line

    @model_validator(mode="after")
    def _delivers_something(self) -> DeliverMotion:
        if not self.text.strip() and not self.reports:
            raise ValueError("a delivery needs a text or reports")
        return self


class RejectMotion(Written):
    """Reject the mission and say what is missing."""

    motion: Literal["reject"]
    reason: Text


Motion = Annotated[
    CharterMotion
    | DirectMotion
    | TerminateMotion
    | ActMotion
    | OverrideMotion
    | DeliverMotion
    | RejectMotion,
    Field(discriminator="motion"),
]


class Propose(Written):
    """Put a motion before the board."""

    move: Literal["propose"]
    motion: Motion


class Argue(Written):
    """Speak to the motion before the board."""

    move: Literal["argue"]
    text: Text


class Vote(Written):
    """Vote on the motion before the board."""

    move: Literal["vote"]
    choice: Literal["yes", "no", "abstain"]
    reason: Line


Move = Annotated[
    Say
    | Direct
    | Report
    | Spawn
    | Terminate
    | Govern
    | ListSubtree
    | ReadFile
    | SearchFiles
    | WriteFile
    | Think
    | Propose
    | Argue
    | Vote,
    Field(discriminator="move"),
]


class Reply(Written):
    """A model's whole answer: one or more moves, in order."""

    moves: tuple[Move, ...] = Field(min_length=1, max_length=MOVES_MAX)


MOVE_TYPES: Final[dict[str, type[Written]]] = {
    "say": Say,
    "direct": Direct,
    "report": Report,
    "spawn": Spawn,
    "terminate": Terminate,
    "govern": Govern,
    "list_subtree": ListSubtree,
    "read_file": ReadFile,
    "search_files": SearchFiles,
    "write_file": WriteFile,
    "think": Think,
    "propose": Propose,
    "argue": Argue,
    "vote": Vote,
}
MOTION: Final[TypeAdapter[Motion]] = TypeAdapter(Motion)
MOVE: Final[TypeAdapter[Move]] = TypeAdapter(Move)
