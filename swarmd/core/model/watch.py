"""What was put to the board of one mission beside its motions, and how often, as it is stored."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from swarmd.core.model.corrections import Episode

# Of an operator's word as a seat is shown it; the whole stands in the room.
WORD_CHARS_MAX: Final = 4_000
# Words of an operator that seats are still shown, the newest.
WORDS_SHOWN_MAX: Final = 8


class OperatorsWord(BaseModel):
    """What an operator said to the board about the mission."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")
    text: str
    at: str


class News(BaseModel):
    """What came to the board while a motion was asked for or before it: an operator's word, or
    something of the work. It is heard once the proposer was called with it, or all who vote.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")
    key: str  # of what may come again, and is then news again
    kind: Literal["word", "work"]
    what: str
    is_heard: bool = False


class Answering(BaseModel):
    """The seat that is asked to answer an operator, beside whatever is before the board."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")
    seat: str
    deadline: float
    words: int  # how many had been said when it was called
    tried: int = 1  # seats that were called about these, this one included
    came: tuple[News, ...] = ()  # since it was called


class Watch(BaseModel):
    """`put` are the keys of causes that the board was called for; `calls` how often it was called
    about an executive, by its id. `words` counts from the mission's beginning, of which the last
    `said` are kept.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")
    put: tuple[str, ...] = ()
    calls: dict[str, int] = {}
    words: int = 0
    answered: int = 0
    said: tuple[OperatorsWord, ...] = ()
    set_aside: tuple[str, ...] = ()  # of `put`, what is put again (`board.setting_aside`)
    answering: Answering | None = None
    # How often the creator of a task's agent has ended it, who was created in such a one's place,
    # and the calls of those and of steps of a ladder.
    ended: dict[str, int] = {}
    replacements: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()  # executives that a motion has put others in the place of
    corrective_calls: int = 0
    # Executives that begin when the others that a motion names have given their final reports,
    # and those of them that have begun.
    after: dict[str, tuple[str, ...]] = {}
    begun: tuple[str, ...] = ()
    # What executives were last directed to do, its beginning, until their next report.
    directed: dict[str, str] = {}
    episodes: dict[str, Episode] = {}  # by their signatures (`control.corrections`)

    @property
    def is_unanswered(self) -> bool:
        return self.answered < self.words
