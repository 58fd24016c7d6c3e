"""The HTTP client of one provider, and the SDK's word on where a request goes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import httpx2
import openai

from swarmd.adapters.models import addresses
from swarmd.core.model.declarations import Provider

# Bounds all that one answer can send, headers of stream pieces and comments included: about 600
# bytes for each of the 200,000 output tokens that a role may be given at most. It bounds no memory:
# of a stream one event is kept at a time.
ANSWER_BYTES_MAX: Final = 128 * 1024 * 1024


class _Bounded(httpx2.AsyncByteStream):
    """A body that fails where it grows beyond all measure: an endless line never becomes a
    piece.
    """

    def __init__(self, stream: httpx2.AsyncByteStream, bytes_max: int) -> None:
        self._stream = stream
        self._left = bytes_max

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for data in self._stream:
            self._left -= len(data)
            if self._left < 0:
                raise httpx2.ReadError("the answer is too large")
            yield data

    async def aclose(self) -> None:
        await self._stream.aclose()


def _http_client(url: str, provider: Provider) -> httpx2.AsyncClient:
    async def bound(response: httpx2.Response) -> None:
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _Bounded(response.stream, ANSWER_BYTES_MAX)

    return httpx2.AsyncClient(
        # All waits but this one are bounded by `Deadlines`: they end where the answer makes no
        # progress, and httpx's own read time-out would also count a comment line as progress.
        timeout=httpx2.Timeout(None, connect=provider.connect_seconds),
        limits=httpx2.Limits(
            max_connections=None, max_keepalive_connections=provider.calls_at_once
        ),
        # A proxy of the environment can't reach this machine's own loopback.
        trust_env=not addresses.is_loopback(url),
        event_hooks={"response": [bound]},
    )


def connect(
    target: str, url: str, key: str, provider: Provider
) -> tuple[httpx2.AsyncClient, httpx2.URL, httpx2.Headers]:
    client = _http_client(url, provider)
    sdk = openai.AsyncOpenAI(
        base_url=url,
        # The SDK insists on a key, and would take one from the environment: a local server gets
        # this word, never a key that was meant for somebody else.
        api_key=key or "none",
        max_retries=0,
        http_client=client,
    )
    return client, httpx2.URL(target), _sdk_headers(sdk)


def _sdk_headers(sdk: openai.AsyncOpenAI) -> httpx2.Headers:
    """As the SDK sends them; what it would leave out has no text."""
    named = {**sdk.auth_headers, **sdk.default_headers}
    return httpx2.Headers({name: value for name, value in named.items() if isinstance(value, str)})
