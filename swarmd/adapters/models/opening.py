"""What the module of a provider is given to open one of its models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from swarmd.core.model.declarations import Provider
from swarmd.ports.files import Files

if TYPE_CHECKING:
    from swarmd.adapters.models.prices import Tariff
    from swarmd.adapters.models.rate_limit import Pace


@dataclass(frozen=True, slots=True)
class Opening:
    """`pace` gives the one pace of all of the provider's models in this process. `tariff` is
    `None` where the model costs nothing or its price is not known.
    """

    name: str
    base_url: str
    api_key: str = field(repr=False)
    provider: Provider
    files: Files
    pace: Callable[[], Pace]
    tariff: Tariff | None
