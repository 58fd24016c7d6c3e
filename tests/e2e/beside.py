"""Scenarios that wait more than they work, run side by side: each is a test, which reports for
itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import pytest

T = TypeVar("T")
Running = Mapping[str, Future[None]]
SECONDS_MAX = 300


@dataclass
class Campaign(Generic[T]):
    """Its module has a fixture `campaign`, of the module's scope, that yields what `running`
    yields.
    """

    at_once: int
    scenarios: dict[str, Callable[[T], None]] = field(default_factory=dict)

    def test(self, scenario: Callable[[T], None]) -> Callable[[Running], None]:
        """Makes a scenario a test."""
        self.scenarios[scenario.__name__] = scenario

        def test(campaign: Running) -> None:
            campaign[scenario.__name__].result()

        test.__name__, test.__doc__, test.__module__ = (
            scenario.__name__,
            scenario.__doc__,
            scenario.__module__,
        )
        return pytest.mark.timeout(SECONDS_MAX)(test)

    @contextmanager
    def running(self, session: pytest.Session, given: T) -> Iterator[Running]:
        """Every scenario that was selected, under way in a thread of its own."""
        selected = [item.name for item in session.items if item.name in self.scenarios]
        with ThreadPoolExecutor(self.at_once, "scenario") as threads:
            yield {name: threads.submit(self.scenarios[name], given) for name in selected}
