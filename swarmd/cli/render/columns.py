"""A table that fits the terminal: which columns are shown, and how wide each of them is. Pure.

On a narrow terminal texts are cut first, and only so far that they still say something. What does
not fit then is left out, the column that says least first. Where nothing bounds a line, all of it
is shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from swarmd.cli.render.text import Ink, excerpt, plain, table, width_of

GAP_COLUMNS: Final = 3  # between two columns, as `text.table` sets them


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table. Ids are neither cut nor left out, for people copy them."""

    name: str
    cells: Sequence[str]
    rank: int = 0  # the column of the highest rank is left out first; 0: never
    least: int = 0  # its texts may be cut to so many columns; 0: they are not cut
    is_optional: bool = False  # left out where it says nothing in any row

    @property
    def width(self) -> int:
        return max(map(width_of, (self.name, *map(plain, self.cells))))

    @property
    def least_width(self) -> int:
        return min(self.width, max(self.least, width_of(self.name))) if self.least else self.width

    def cut_to(self, width: int) -> Column:
        return replace(self, cells=[excerpt(cell, width) for cell in self.cells])


def table_lines(columns: Sequence[Column], ink: Ink) -> list[str]:
    """The heading in bold, then a line for each row."""
    shown = [column for column in columns if not column.is_optional or any(column.cells)]
    if ink.bound is not None:
        shown = _fitted(shown, ink.bound)
    rows = zip(*(column.cells for column in shown), strict=True)
    heading, *lines = table([column.name for column in shown], rows)
    return [ink.paint(heading, "bold"), *lines]


def _fitted(columns: Sequence[Column], bound: int) -> list[Column]:
    shown = list(columns)
    for column in sorted((c for c in columns if c.rank), key=lambda c: -c.rank):
        if _together(one.least_width for one in shown) <= bound:
            break
        shown.remove(column)
    return _cut(shown, bound)


def _cut(columns: Sequence[Column], bound: int) -> list[Column]:
    """The texts of the widest columns cut, until the whole is no wider than `bound`."""
    excess = _together(column.width for column in columns) - bound
    widths = [column.width for column in columns]
    order = sorted(range(len(columns)), key=lambda n: columns[n].least_width - columns[n].width)
    for n in order:
        taken = max(0, min(excess, columns[n].width - columns[n].least_width))
        widths[n] -= taken
        excess -= taken
    return [
        column if column.width <= width else column.cut_to(width)
        for column, width in zip(columns, widths, strict=True)
    ]


def _together(widths: Iterable[int]) -> int:
    all_of_them = list(widths)
    return sum(all_of_them) + GAP_COLUMNS * (len(all_of_them) - 1)
