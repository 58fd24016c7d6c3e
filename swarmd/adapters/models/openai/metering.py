"""What a request may take at most, and what it took.

What is reserved, cut at and settled is one count. No text has more tokens than bytes, and nothing
else bounds them without the model's own tokenizer; but an answer of as many tokens as were allowed
has several bytes for each. So a reserve holds `bytes_per_token` of the prompt for every one that
the model may write, and a stream is cut once so many bytes have come: whatever its tokenizer, a
model that ignores its limit ends within the reserve, or beyond it by what the piece that passed it
has above `PIECE_BYTES`. Where the server says what it counted, that is settled; where it does not,
its bytes are, and at least the limit: thoughts that are not shown are paid too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from swarmd.adapters.models.openai.answer import Received
from swarmd.adapters.models.openai.exchange import Limit
from swarmd.adapters.models.prices import Tariff
from swarmd.ports.models import Usage

# Reserved for the piece with which a stream is cut: an account is stopped for what is beyond its
# reserve, and one stream that does not end is no reason to. Servers send a token or a line at a
# time.
PIECE_BYTES: Final = 1_024


@dataclass(frozen=True, slots=True)
class Meter:
    """`tariff` is `None` where the price is not known; `now` is asked for the price of the
    moment.
    """

    tariff: Tariff | None
    now: Callable[[], datetime]

    def most(self, body: bytes, limit: Limit) -> Usage:
        tokens_in, tokens_out = len(body), limit.bytes + PIECE_BYTES
        cost = self.tariff.most(self.now(), tokens_in, tokens_out) if self.tariff else None
        return Usage(tokens_in, tokens_out, is_assumed=True, cost=cost)

    def used(self, received: Received, body: bytes, limit: Limit) -> Usage:
        """As the server counted, be it beyond the reserve; else what it can have been at most."""
        counted = received.counted
        if counted is None or not received.is_counted:
            return self._assume_most(received, body, limit)
        price = self.tariff and self.tariff.at(self.now())
        cost = received.said.dearest(price.of(counted) if price else None)
        return Usage(counted.tokens_in, counted.tokens_out, cost=cost)

    def _assume_most(self, received: Received, body: bytes, limit: Limit) -> Usage:
        price, said = self.tariff and self.tariff.at(self.now()), received.said
        tokens_in = len(body) if said.tokens_in is None else said.tokens_in
        tokens_out = max(limit.tokens, received.text_bytes, said.tokens_out or 0)
        cost = said.dearest(price.most(tokens_in, tokens_out) if price else None)
        return Usage(tokens_in, tokens_out, is_assumed=True, cost=cost)
