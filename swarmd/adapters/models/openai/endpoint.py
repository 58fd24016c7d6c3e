"""One HTTP request to a provider: at its pace, within its deadlines, and what was wrong with it."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import Final

import anyio
import httpx2
import structlog

from swarmd.adapters.models import addresses
from swarmd.adapters.models.first_token import Beginnings
from swarmd.adapters.models.openai import events, http_client
from swarmd.adapters.models.openai.answer import Received
from swarmd.adapters.models.openai.connection import connect
from swarmd.adapters.models.openai.exchange import (
    UNREADABLE,
    Deadlines,
    Limit,
    fault_of,
    read_answer,
    translated,
    unfinished,
)
from swarmd.adapters.models.openai.faults import (
    PERMANENT,
    REDIRECTS,
    Fault,
    FaultyError,
    fault_of_redirect,
    place_of,
    same_host,
)
from swarmd.adapters.models.openai.form import Form
from swarmd.adapters.models.openai.metering import Meter
from swarmd.adapters.models.openai.wire import Wire
from swarmd.adapters.models.rate_limit import Pace, TooLateError
from swarmd.core.model.declarations import Provider
from swarmd.core.model.generation import BYTES_OF_TOKEN
from swarmd.log_events import LogEvent
from swarmd.ports.models import NOTHING, Failed, Usage

log = structlog.get_logger(__name__)

DETAIL_CHARS_MAX: Final = 400
# What a provider that has enough asks of all workers is heeded up to this, as long as a call's own
# repetition is.
HOLD_SECONDS_MAX: Final = 60.0
REDIRECTS_MAX: Final = 3
SECRET_CHARS_MIN: Final = 6  # shorter "keys" are placeholders such as `none`, and words of a text
_SECRET: Final = re.compile(r"(?i)\b(?:sk|pk|rk)-[\w*-]{6,}|\bbearer\s+\S+")


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Beside the failure what was wrong, and whether the model did answer in its way."""

    failed: Failed
    fault: Fault
    is_the_models: bool = False

    @property
    def asks_patience(self) -> float:
        """Seconds for which the provider wants no further call."""
        return (self.failed.retry_after or 0.0) if self.failed.why == "rate_limited" else 0.0


class Endpoint:
    """Where the requests of one model go. `pace` is shared by all models of a provider in a
    process.
    """

    def __init__(
        self,
        url: str,
        key: str,
        model: str,
        *,
        wire: Wire,
        provider: Provider,
        pace: Pace,
        meter: Meter,
    ) -> None:
        self._key = key
        self._model = model
        self._wire = wire
        self._provider = provider
        self._pace = pace
        self._meter = meter
        self._beginnings = Beginnings()
        self._client, self._url, self._headers = http_client.build(
            lambda: connect(f"{url}{wire.path}", url, key, provider),
            url,
            reads_environment=not addresses.is_loopback(url),
        )

    async def aclose(self) -> None:
        await self._client.aclose()

    async def request(
        self,
        body: bytes,
        limit: Limit,
        form: Form,
        sending: Callable[[], None],
        beginning: int | None = None,
    ) -> Received | NoAnswer:
        """One HTTP request, at the provider's pace, behind the first of those with its beginning.
        Its clock starts when it is its turn.
        """
        async with AsyncExitStack() as stack:
            begun = await stack.enter_async_context(self._beginnings.place(beginning))
            # As providers count it when they let a call in: what was sent, by a quarter of its
            # bytes, and the limit.
            tokens = len(body) // BYTES_OF_TOKEN + limit.tokens
            if not await self._take_place(stack, tokens):
                return self._without_place()
            sending()
            clock = Deadlines(self._provider, is_stream=form.streams, begun=begun)
            received = await self._exchange_once(body, limit, clock)
            if isinstance(received, NoAnswer) and received.asks_patience:
                await self._pace.hold(self._model, min(received.asks_patience, HOLD_SECONDS_MAX))
            return received

    async def _take_place(self, stack: AsyncExitStack, tokens: int) -> bool:
        patience = self._provider.total_seconds
        with anyio.move_on_after(patience), suppress(TooLateError):
            await stack.enter_async_context(self._pace.place(self._model, tokens, patience))
            return True
        return False

    def _without_place(self) -> NoAnswer:
        patience = self._provider.total_seconds
        waited = f"no place within {patience:g} s under the provider's own limit"
        return NoAnswer(Failed("rate_limited", waited, NOTHING), Fault("rate_limited", waited))

    async def _exchange_once(
        self, body: bytes, limit: Limit, clock: Deadlines
    ) -> Received | NoAnswer:
        received = self._wire.received()
        try:
            fault = await self._receive_answer(body, received, clock, limit)
            if received.is_whole:
                # What came with its end is whole, whatever became of the connection afterwards.
                return received
            fault = fault or unfinished(received, clock, limit)
            return self._without_answer(fault, received, body, limit)
        except Exception:
            # A bug of ours that a server has found. Raised further, it would end the turn, which is
            # then taken again; as a failure of this call it is bounded by `attempts_max`.
            log.exception(LogEvent.MODEL_ANSWER_UNREADABLE, model=self._model)
            most = self._meter.most(body, limit)
            return NoAnswer(Failed("server", UNREADABLE, most), Fault("server", UNREADABLE))

    def _without_answer(
        self, fault: Fault, received: Received, body: bytes, limit: Limit
    ) -> NoAnswer:
        usage = self._meter.used(received, body, limit) if fault.may_have_run else Usage(0, 0)
        what = self._scrub_secrets(fault.what)
        failed = Failed(fault.why, what, usage, fault.retry_after, received.text())
        is_the_models = received.is_at_limit or fault.why in ("malformed", "refused")
        return NoAnswer(failed, fault, is_the_models=is_the_models)

    async def _receive_answer(
        self, body: bytes, received: Received, clock: Deadlines, limit: Limit
    ) -> Fault | None:
        """What went wrong until the answer was read, or until its time was over."""
        try:
            with clock.scope:
                await self._read_response(body, received, clock, limit)
        except FaultyError as error:
            return error.fault
        except events.TooLargeError as error:
            return Fault("cut", f"the answer outran its reserve: {error}")
        except (httpx2.HTTPError, httpx2.StreamError, ValueError, RecursionError) as error:
            return translated(error, has_begun=clock.has_heard)
        return None

    async def _read_response(
        self, body: bytes, received: Received, clock: Deadlines, limit: Limit
    ) -> None:
        response = await self._follow_redirects(body)
        try:
            if not response.is_success:
                raise FaultyError(await fault_of(response))
            await read_answer(response, received, clock, limit)
        finally:
            with anyio.CancelScope(shield=True):
                await response.aclose()

    async def _follow_redirects(self, body: bytes) -> httpx2.Response:
        """The response; a redirect is followed on the same host."""
        url = self._url
        for _ in range(1 + REDIRECTS_MAX):
            response = await self._client.send(self._request_to(url, body), stream=True)
            if response.status_code not in REDIRECTS:
                return response
            with anyio.CancelScope(shield=True):
                await response.aclose()
            url = _target_of(response, url)
            if response.status_code in PERMANENT:
                self._url = url
        what = f"HTTP {response.status_code}: the server redirects more than {REDIRECTS_MAX} times"
        raise FaultyError(Fault("rejected", what, may_have_run=False, status=response.status_code))

    def _request_to(self, url: httpx2.URL, body: bytes) -> httpx2.Request:
        connect_seconds = self._provider.connect_seconds
        timeout = {"connect": connect_seconds, "read": None, "write": None, "pool": None}
        extensions = {"timeout": timeout}
        return httpx2.Request(
            "POST", url, headers=self._headers, content=body, extensions=extensions
        )

    def _scrub_secrets(self, text: str) -> str:
        """No key leaves this class in an error, whoever quoted it."""
        if len(self._key) >= SECRET_CHARS_MIN:
            text = text.replace(self._key, "[secret]")
        return _SECRET.sub("[secret]", text)[:DETAIL_CHARS_MAX]


def _target_of(response: httpx2.Response, url: httpx2.URL) -> httpx2.URL:
    """Where a redirect leads. Raises `FaultyError` where that is another host."""
    location = response.headers.get("location", "")
    target = same_host(str(url), location)
    if target is None:
        raise FaultyError(fault_of_redirect(response.status_code, place_of(str(url), location)))
    return httpx2.URL(target)
