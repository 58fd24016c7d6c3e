"""The bytes of a response, decoded and bounded: nothing that a server sends grows in memory
unasked.

A compressed body is decoded piece by piece: a hundred kilobytes can stand for a hundred megabytes,
and the HTTP client would decode them at once.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator
from typing import Final

import httpx2

PIECE_BYTES_MAX: Final = 64 * 1024
_ZLIB_OR_GZIP: Final = 32 + zlib.MAX_WBITS  # found out by the header


async def chunks_of(response: httpx2.Response) -> AsyncIterator[bytes]:
    """The decoded body in chunks that are never large; raises `httpx2.DecodingError`."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("", "identity"):
        async for chunk in response.aiter_raw():
            yield chunk
        return
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise httpx2.DecodingError(
            f"the answer is encoded as {encoding[:40]}, which nobody asked for"
        )
    decoder = zlib.decompressobj(_ZLIB_OR_GZIP)
    try:
        async for chunk in response.aiter_raw():
            left = chunk
            while left and not decoder.eof:
                yield decoder.decompress(left, PIECE_BYTES_MAX)
                left = decoder.unconsumed_tail
    except zlib.error as error:
        raise httpx2.DecodingError("the answer is not compressed as it says") from error


async def beginning_of(response: httpx2.Response, bytes_max: int) -> bytes:
    """At most so many bytes of a body; the rest is left unread."""
    found = bytearray()
    async for chunk in chunks_of(response):
        found += chunk
        if len(found) >= bytes_max:
            break
    return bytes(found[:bytes_max])
