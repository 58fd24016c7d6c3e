"""An event loop whose clock jumps to its next timer, and whose parts can be made to stand still.

Nothing waits for the real world: no socket, no thread, no clock. So a run is a function of its seed
alone. What would otherwise let memory addresses into it are the sets in which anyio keeps tasks and
scopes: both are hashed by number here.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import selectors
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar, TypeVarTuple, Unpack

import anyio.lowlevel
import anyio.to_thread
from anyio._backends import _asyncio as backend

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


# So many rounds of the loop at one moment are none that anything waits for. Healthy worlds stay
# below a thousand.
ROUNDS_MAX: Final = 100_000


class StandstillError(Exception):
    """Everything waits, and no timer is set: nothing will ever happen again."""


class BusyError(Exception):
    """Something asks again and again at one and the same moment, and no time passes any more."""


@dataclass(slots=True, eq=False)
class Gate:
    """What one simulated process runs through. While it is shut nothing of it runs; what fell
    due is kept.
    """

    name: str
    is_shut: bool = False
    is_dead: bool = False
    held: list[asyncio.Handle] = field(default_factory=list)

    def open(self, loop: VirtualLoop) -> None:
        self.is_shut = False
        held, self.held = self.held, []
        loop.run_soon(held)


# Whose code runs now: set for everything that a process starts, and inherited by its tasks and
# timers.
GATE: ContextVar[Gate | None] = ContextVar("gate", default=None)


class _Handle(asyncio.Handle):
    __slots__ = ()

    def _run(self) -> None:
        if not _is_held(self):
            super()._run()


class _TimerHandle(asyncio.TimerHandle):
    __slots__ = ()

    def _run(self) -> None:
        if not _is_held(self):
            super()._run()


def _is_held(handle: Any) -> bool:
    gate: Gate | None = handle._context.get(GATE)
    if gate is None or not gate.is_shut:
        return False
    gate.held.append(handle)
    return True


_numbers = itertools.count(1)


class _Task(asyncio.Task[Any]):
    """Hashed by its number: sets of tasks are then walked in the same order in each run."""

    def __init__(self, coroutine: Any, **more: Any) -> None:
        self.number = next(_numbers)
        super().__init__(coroutine, **more)

    def __hash__(self) -> int:
        return self.number


class _Scope(backend.CancelScope):
    """As `_Task`."""

    def __init__(self, *given: Any, **more: Any) -> None:
        self.number = next(_numbers)
        super().__init__(*given, **more)

    def __hash__(self) -> int:
        return self.number


class _Unasked(selectors.DefaultSelector):
    """Instead of waiting for the next timer, it is then."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop
        self._rounds = 0  # since time passed

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise StandstillError
        if timeout > 0:
            self._loop.jump()
            self._rounds = 0
        self._rounds += 1
        if self._rounds > ROUNDS_MAX:
            raise BusyError(self._loop.at_hand())
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._passed = 0.0
        super().__init__(_Unasked(self))
        self.set_task_factory(lambda loop, coroutine, **more: _Task(coroutine, loop=loop, **more))

    def time(self) -> float:
        """Seconds since the simulation began."""
        return self._passed

    def jump(self) -> None:
        due: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]  # asyncio's own heap
        self._passed = max(self._passed, due[0].when())

    def at_hand(self) -> str:
        """What runs next, for whoever asks why no time passes."""
        ready: Iterable[asyncio.Handle] = self._ready  # type: ignore[attr-defined]
        due: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]
        return "; ".join(map(repr, [*ready, *due[:1]]))[:1_000]

    def run_soon(self, handles: list[asyncio.Handle]) -> None:
        """In this order, after what is ready already."""
        self._ready.extend(handles)  # type: ignore[attr-defined]  # asyncio's own queue

    def _call_soon(
        self, callback: Callable[..., object], args: Any, context: Context | None
    ) -> asyncio.Handle:
        handle = _Handle(callback, args, self, context)
        self._ready.append(handle)  # type: ignore[attr-defined]
        return handle

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        timer = _TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._scheduled, timer)  # type: ignore[attr-defined]
        timer._scheduled = True  # type: ignore[attr-defined]
        return timer


async def _in_this_thread(func: Callable[..., T], *args: Any, **_: Any) -> T:
    """In place of a thread. What a killed process had not begun is never done."""
    await anyio.lowlevel.cancel_shielded_checkpoint()
    gate = GATE.get()
    if gate is not None and gate.is_dead:
        raise InterruptedError("killed")
    return func(*args)


@contextmanager
def _patched() -> Iterator[None]:
    run_sync, scope = anyio.to_thread.run_sync, backend.CancelScope
    anyio.to_thread.run_sync = _in_this_thread  # type: ignore[assignment]
    backend.CancelScope = _Scope  # type: ignore[misc]
    try:
        yield
    finally:
        anyio.to_thread.run_sync, backend.CancelScope = run_sync, scope  # type: ignore[misc]


def virtually(main: Callable[[VirtualLoop], Coroutine[Any, Any, T]]) -> T:
    """Runs it to its end on a loop of its own."""
    global _numbers  # noqa: PLW0603 - every run counts from one
    _numbers = itertools.count(1)
    loop = VirtualLoop()
    with _patched(), asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(main(loop))
