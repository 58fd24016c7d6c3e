"""KPIs with a number: those that say `NAME OP NUMBER` of something that the runtime can count.

They are measured when a final report is sent, and stand beside it. They never hold it up: what a
result must be is said by checks. Pure.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

# Of the report: words, lines, right citations and the files that it names. Of its author, since it
# was made and without its children: calls of the model, tokens and seconds.
MEASURES: Final = ("words", "lines", "citations", "files", "calls", "tokens", "seconds")

_HOLDS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "≤": operator.le,
    "≥": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
    "=": operator.eq,
}
# A comma parts thousands; no more digits than a float tells apart.
_KPI: Final = re.compile(
    rf"({'|'.join(MEASURES)}) ?({'|'.join(_HOLDS)}) ?(\d[\d,]{{0,14}}(?:\.\d{{1,6}})?)", re.I
)


@dataclass(frozen=True, slots=True)
class KpiResult:
    """One KPI as it was given, what was measured, and whether that meets it."""

    kpi: str
    value: int
    is_met: bool

    @property
    def text(self) -> str:
        return f"{self.kpi}: {self.value:,}{'' if self.is_met else ', missed'}"


def measured(kpis: Iterable[str], counts: Mapping[str, int]) -> tuple[KpiResult, ...]:
    """Of those that can be measured, in their order; `counts` are by measure, and what is not
    among them nobody could count.
    """
    found = []
    for line in kpis:
        kpi = " ".join(line.split())
        hit = _KPI.fullmatch(kpi)
        if hit and (value := counts.get(hit[1].casefold())) is not None:
            is_met = _HOLDS[hit[2]](value, float(hit[3].replace(",", "")))
            found.append(KpiResult(kpi, value, is_met))
    return tuple(found)


def kpis_of(data: Mapping[str, Any]) -> tuple[KpiResult, ...]:
    """Of a report, as the runtime wrote them; what has another form is none."""
    rows = data.get("kpis")
    return kpi_results(rows if isinstance(rows, list | tuple) else ())


def kpi_rows(results: Iterable[KpiResult]) -> list[tuple[str, int, bool]]:
    return [(one.kpi, one.value, one.is_met) for one in results]


def kpi_results(rows: Iterable[Any]) -> tuple[KpiResult, ...]:
    """Of such rows as `kpi_rows` writes; another one is left out."""
    found = []
    for row in rows:
        match row:
            case [str(kpi), int(value), bool(is_met)]:
                found.append(KpiResult(kpi, value, is_met))
    return tuple(found)


def kpis_text(results: Iterable[KpiResult]) -> str:
    """For people and models; empty where nothing was measured."""
    return "; ".join(one.text for one in results)
