"""Whether the server does what it is sent, as people are told, and when it is tried again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import structlog

from swarmd.errors import StoreFullError, SwarmError
from swarmd.log_events import LogEvent

log = structlog.get_logger(__name__)

RETRY_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1.0)


@dataclass(slots=True, eq=False)
class Availability:
    is_away: bool = False
    is_refusing: bool = False  # it answers, and takes no writes
    why: str = ""
    tries: int = 0

    def backoff(self) -> float:
        """Seconds until it is tried again."""
        self.tries += 1
        return RETRY_SECONDS[min(self.tries, len(RETRY_SECONDS)) - 1]

    def held_up(self, why: SwarmError, waiting: int) -> None:
        """It cannot be reached, or refuses for now; `waiting` commands wait for it."""
        if not self.is_away:
            is_full = isinstance(why, StoreFullError)
            log.warning(
                LogEvent.SERVER_FULL if is_full else LogEvent.SERVER_AWAY,
                why=why.what,
                hint=why.hint,
                waiting=waiting,
            )
        self.is_away, self.why = True, why.what

    def answered(self, *, was_refused: bool) -> None:
        """It did something. Where only writes are refused, reads are answered all along:
        `was_refused` is of what it did now.
        """
        if self.tries and (was_refused or not self.is_refusing):
            self.tries, self.is_refusing = 0, False
            if self.is_away:
                self.is_away = False
                log.info(LogEvent.SERVER_BACK)

    def forget_refusal(self, *, was_refused: bool) -> None:
        """A command that it had refused for now is over, by whatever end."""
        self.is_refusing = self.is_refusing and not was_refused
