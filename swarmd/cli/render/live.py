"""What `run` shows while a mission works: the board's debate, the tree as it grows, the spend.

The `Watcher` is fed messages and snapshots and answers with lines; a screen puts them on standard
error, as plain lines or, on a terminal, above a live picture of the tree. Standard output stays
free for the result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Final, Protocol, TextIO

from swarmd.adapters.models.builtin.wording import SPEECH
from swarmd.cli.render.silence import Silence
from swarmd.cli.render.text import Ink, amounts, counted, excerpt, plain, wants_colour
from swarmd.cli.render.tree import is_under_way, tree_lines
from swarmd.core.actions.approvals import WORD
from swarmd.core.model.channels import BOARD_ROOM, JOURNAL
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import Authority
from swarmd.core.queries.snapshot import Snapshot
from swarmd.core.queries.spending import Branch, Tree, tree_of

if TYPE_CHECKING:
    from rich.live import Live

SAID_COLUMNS: Final = 400
FRAME_LINES_LEAST: Final = 6

# Of the journal, what a watcher wants to see happen; the board's own entries repeat what its room
# said.
_SHOWN_EVENTS: Final[Mapping[str, tuple[str, str]]] = {
    JournalEvent.AGENT_SPAWNED: ("+", "green"),
    JournalEvent.SUBTREE_FENCED: ("!", "yellow"),
    JournalEvent.REQUEST_REFUSED: ("x", "red"),
    JournalEvent.MOTION_REFUSED: ("x", "red"),
    JournalEvent.MESSAGE_REFUSED: ("x", "red"),
    JournalEvent.FACTS_REFUSED: ("x", "red"),
    JournalEvent.STOP_REFUSED: ("x", "red"),
    JournalEvent.TURN_REFUSED: ("x", "red"),
    JournalEvent.AGENT_REPORTED: ("^", "blue"),
    JournalEvent.HOST_LOST: ("!", "red"),
    JournalEvent.AGENT_STALLED: ("!", "yellow"),
    JournalEvent.ACCOUNT_OVERDRAWN: ("!", "red"),
    JournalEvent.AGENT_STUCK: ("!", "red"),
}

_SPOKEN: Final[Mapping[Kind, str]] = {
    Kind.PROPOSAL: " proposes:",
    Kind.DIGEST: " notes:",
    Kind.NOTICE: ":",
    Kind.SAY: ":",
}


# Of an argument by its stance, of the proposer's word on the arguments by what it decides.
_ANSWERED: Final = {
    "consent": " consents:",
    "object": " objects:",
    "keep": " keeps the motion:",
    "amend": " amends the motion:",
    "withdraw": " withdraws the motion:",
}


def _how_said(message: Message) -> str:
    match message.kind:
        case Kind.VOTE:
            return f" votes {plain(str(message.data.get('choice', '')))}:"
        case Kind.ARGUMENT:
            return _ANSWERED.get(str(message.data.get("stance")), " argues:")
        case Kind.RESPONSE:
            return _ANSWERED.get(str(message.data.get("decision")), " answers:")
        case _:
            return _SPOKEN.get(message.kind, f" ({message.kind.value}):")


class Watcher:
    """The missions that are waited for as they are heard and seen, and no other; none until they
    are known. Repeated messages are shown once.
    """

    def __init__(self, ink: Ink, *missions: str) -> None:
        self.missions = missions
        self._ink = ink
        self._heard: set[tuple[str, str]] = set()
        self._names: dict[str, str] = {}
        self._tree: Tree | None = None
        self._told = ""
        self._silence = Silence()
        self._folded: list[str] | None = None  # who consented; `None` where a debate is shown

    def heard(self, message: Message) -> list[str]:
        """Lines for one message; none for what is another mission's, was shown, or says nothing
        new.
        """
        key = (message.channel, message.id)
        if not self._is_ours(message) or (message.id and key in self._heard):
            return []
        self._heard.add(key)
        if message.channel == BOARD_ROOM:
            return self._debated(message)
        if message.channel == JOURNAL:
            return self._entered(message)
        return []

    def _debated(self, message: Message) -> list[str]:
        """What the board's room says; the consent of seats that speak by rule is one short line."""
        if self._folded is None and message.kind is Kind.PROPOSAL and SPEECH in message.text:
            self._folded = []
        elif self._folded is not None and message.data.get("stance") == "consent":
            self._folded.append(plain(str(message.sender)))
            return []
        told = [f"{', '.join(self._folded)} consent ({SPEECH})"] if self._folded else []
        if self._folded:
            self._folded = []
        return [*(self._ink.paint(line, "dim") for line in told), self._spoken(message)]

    def _is_ours(self, message: Message) -> bool:
        """Also what is of no mission, but for a turn: of a seat that may be a former mission's."""
        if message.mission:
            return message.mission in self.missions
        return message.data.get("event") != JournalEvent.TURN_REFUSED

    def seen(self, snapshot: Snapshot) -> list[str]:
        """Takes in a snapshot; a line where the mission's state or the number of its agents has
        changed, and one for who has been thinking for long.
        """
        self._names |= {agent.id: agent.name for agent in snapshot.agents if agent.name}
        snapshot = self._ours(snapshot)
        self._tree = tree_of(snapshot)
        lines = self._silence.lines(snapshot.agents)
        told = f"{', '.join(self._states())}: {counted(self._living(), 'agent')}"
        if told != self._told and snapshot.missions:
            self._told = told
            lines.append(self.status())
        return [self._ink.paint(f"· {line}", "dim") for line in lines]

    def _ours(self, snapshot: Snapshot) -> Snapshot:
        """Of a swarm that has done missions before, and may do others beside them."""
        return Snapshot(
            tuple(one for one in snapshot.agents if one.mission in ("", *self.missions)),
            tuple(one for one in snapshot.missions if one.id in self.missions),
            snapshot.accounts,
        )

    def status(self) -> str:
        """State, living agents and spend, on one line."""
        spent = {} if self._tree is None else self._tree.spent()
        states = ", ".join(self._states()) or "starting"
        return f"{states}: {counted(self._living(), 'agent')}, {amounts(spent)}"

    def frame(self, lines_max: int) -> list[str]:
        """The tree and the spend, at most so many lines: what is cut is said, the spend never
        is.
        """
        if self._tree is None:
            return [self._ink.paint("starting …", "dim")]
        # What seats say stands above; here is who of them is called, and for how long.
        is_called = any(is_under_way(seat) for seat in self._tree.seats)
        drawn = tree_lines(self._tree, self._ink, ended=False, with_seats=is_called)
        lines = [line for line in drawn if line]
        room = max(FRAME_LINES_LEAST, lines_max) - 1
        if len(lines) > room:
            more = len(lines) - room + 1
            lines = [
                *lines[: room - 1],
                self._ink.paint(f"   … and {more} more: swarmd tree", "dim"),
            ]
        return [*lines, self._ink.paint(self.status(), "bold")]

    def _spoken(self, message: Message) -> str:
        who = plain(self._names.get(message.sender, message.sender))
        how = _how_said(message)
        said = excerpt(message.text, SAID_COLUMNS)
        if not said:  # a consent needs no words
            return self._ink.paint(who + how.removesuffix(":"), "bold")
        return f"{self._ink.paint(who + how, 'bold')} {said}"

    def _entered(self, message: Message) -> list[str]:
        event = str(message.data.get("event", ""))
        if event == JournalEvent.SUBTREE_ENDED:
            return [self._ink.paint(f"- {excerpt(message.text, SAID_COLUMNS)}", "dim")]
        if event == JournalEvent.APPROVAL_REQUESTED:
            return self._asked(message)
        if event not in _SHOWN_EVENTS:
            return []
        mark, style = _SHOWN_EVENTS[event]
        return [f"{self._ink.paint(mark, style)} {excerpt(message.text, SAID_COLUMNS)}"]

    def _asked(self, message: Message) -> list[str]:
        """Where only a person can answer, with what to type."""
        if message.data.get("needs") != WORD[Authority.OPERATOR]:
            return []
        id = plain(str(message.data.get("approval", "")))
        what = excerpt(message.text, SAID_COLUMNS)
        return [f"{self._ink.paint('?', 'yellow')} {what}: swarmd approve {id} (or: deny {id})"]

    def _missions(self) -> Sequence[Branch]:
        return () if self._tree is None else self._tree.missions

    def _states(self) -> list[str]:
        return [plain(branch.record.state) for branch in self._missions()]

    def _living(self) -> int:
        return sum(branch.agents_living for branch in self._missions())


# --- screens ----------------------------------------------------------------------------------


class Screen(Protocol):
    """Where a watcher's lines go."""

    def __enter__(self) -> Screen: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
    def say(self, lines: Sequence[str]) -> None: ...
    def picture(self, watcher: Watcher) -> None: ...


class PlainScreen:
    """Lines as they come: for pipes, logs and dumb terminals."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __enter__(self) -> PlainScreen:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stream.flush()

    def say(self, lines: Sequence[str]) -> None:
        for line in lines:
            print(line, file=self._stream, flush=True)

    def picture(self, watcher: Watcher) -> None:
        """Nothing is redrawn here: changes are said as lines."""


class LiveScreen:
    """The debate scrolls by; beneath it the tree and the spend are redrawn in place."""

    def __init__(self, stream: TextIO, *, is_coloured: bool) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console(
            file=stream, no_color=not is_coloured, highlight=False, markup=False, emoji=False
        )
        self._live: Live = Live(console=self._console, auto_refresh=False, transient=True)

    def __enter__(self) -> LiveScreen:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def say(self, lines: Sequence[str]) -> None:
        from rich.text import Text

        for line in lines:
            # Neutralised already; what escapes are left are our own colours. It is never read as
            # markup.
            self._console.print(Text.from_ansi(line))

    def picture(self, watcher: Watcher) -> None:
        from rich.text import Text

        lines = watcher.frame(self._console.height - 4)
        texts = [Text.from_ansi(line, no_wrap=True, overflow="ellipsis") for line in lines]
        self._live.update(Text("\n", no_wrap=True, overflow="ellipsis").join(texts), refresh=True)


class QuietScreen(PlainScreen):
    """Shows nothing."""

    def say(self, lines: Sequence[str]) -> None:
        """The end is told by who asked for silence."""


def screen_of(stream: TextIO, environ: Mapping[str, str], *, is_quiet: bool = False) -> Screen:
    """A live picture where a terminal can show one, else lines."""
    if is_quiet:
        return QuietScreen(stream)
    if stream.isatty() and environ.get("TERM") != "dumb":
        return LiveScreen(stream, is_coloured=wants_colour(stream, environ))
    return PlainScreen(stream)
