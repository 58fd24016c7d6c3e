"""What a request may take at most, what it will likely take, and what it took.

What is reserved is the most: no text has more tokens than bytes, so the prompt's bytes, and for the
answer the limit as it is sent. A server that keeps to the limit ends within that. One that does not
is cut as soon as its own count, or its bytes, say so, and is charged what it says; where it says
nothing, its bytes: what that is beyond the reserve stops the account. Where an answer was not
counted at all, it is charged the whole limit: thoughts that are not shown are paid too.

What a request will likely take is learnt from what the server counted of earlier prompts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from swarmd.adapters.models.openai.answer import Received
from swarmd.adapters.models.openai.exchange import Limit
from swarmd.adapters.models.prices import Tariff
from swarmd.core.ledger.ratio import LearntRatio
from swarmd.ports.models import Usage

# Where a server takes no limit, an answer is bounded by the bytes at which it is cut, and the piece
# with which that happens: servers send a token or a line at a time.
PIECE_BYTES: Final = 1_024


@dataclass(frozen=True, slots=True)
class Meter:
    """`tariff` is `None` where the price is not known; `now` is asked for the price of the
    moment.
    """

    tariff: Tariff | None
    now: Callable[[], datetime]
    ratio: LearntRatio = field(default_factory=LearntRatio)

    def most(self, body: bytes, limit: Limit) -> Usage:
        return self._priced(len(body), limit)

    def expected(self, body: bytes, limit: Limit) -> Usage:
        """As `most`, with the prompt's tokens as they are learnt: never more than that."""
        return self._priced(self.ratio.tokens_of(len(body)), limit)

    def _priced(self, tokens_in: int, limit: Limit) -> Usage:
        tokens_out = limit.tokens if limit.is_sent else limit.bytes + PIECE_BYTES
        cost = self.tariff.most(self.now(), tokens_in, tokens_out) if self.tariff else None
        return Usage(tokens_in, tokens_out, is_assumed=True, cost=cost)

    def used(self, received: Received, body: bytes, limit: Limit) -> Usage:
        """As the server counted, be it beyond the reserve; else what it can have been at most."""
        counted = received.counted
        if counted is None or not received.is_counted:
            return self._assume_most(received, body, limit)
        self.ratio.see(len(body), counted.tokens_in)
        price = self.tariff and self.tariff.at(self.now())
        cost = received.said.dearest(price.of(counted) if price else None)
        cached = min(counted.cached, counted.tokens_in)
        return Usage(counted.tokens_in, counted.tokens_out, cost=cost, cached=cached)

    def _assume_most(self, received: Received, body: bytes, limit: Limit) -> Usage:
        price, said = self.tariff and self.tariff.at(self.now()), received.said
        tokens_in = len(body) if said.tokens_in is None else said.tokens_in
        has_kept_to_it = limit.is_sent and received.text_bytes <= limit.bytes
        tokens_out = max(
            limit.tokens, said.tokens_out or 0, 0 if has_kept_to_it else received.text_bytes
        )
        cost = said.dearest(price.most(tokens_in, tokens_out) if price else None)
        return Usage(tokens_in, tokens_out, is_assumed=True, cost=cost)
