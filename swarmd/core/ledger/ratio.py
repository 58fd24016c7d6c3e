"""How many tokens a server makes of a prompt's bytes, learnt from what it counted. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

# The next prompt may have denser text than any before: a table of numbers, another script.
MARGIN_PERCENT: Final = 130

# In a shorter one the words that a server puts around the text weigh more than the text.
BYTES_SEEN_MIN: Final = 2_000


@dataclass(slots=True)
class LearntRatio:
    """The prompt of all that were counted which had the most tokens for its bytes.

    Until one was counted, a token is a byte: that is the strict bound.
    """

    tokens: int = 1
    bytes: int = 1
    is_learnt: bool = False

    def see(self, bytes: int, tokens: int) -> None:
        """A prompt of so many bytes was counted as so many tokens; more than bytes it has none."""
        tokens = min(tokens, bytes)
        if bytes < BYTES_SEEN_MIN or tokens <= 0:
            return
        if not self.is_learnt or tokens * self.bytes > self.tokens * bytes:
            self.tokens, self.bytes, self.is_learnt = tokens, bytes, True

    def tokens_of(self, bytes: int) -> int:
        """With a margin, and never more than the bytes."""
        if not self.is_learnt:
            return bytes
        return min(bytes, math.ceil(bytes * self.tokens * MARGIN_PERCENT / (100 * self.bytes)))
