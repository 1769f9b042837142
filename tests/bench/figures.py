"""The figures of a bench, and the table that shows them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure. `raw` is the raw limit that the same run measured, in the same unit; None: there is none."""

    bench: str
    what: str
    value: float
    unit: str
    raw: float | None = None
    raw_is: str = ""


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def show(figures: Sequence[Figure]) -> None:
    """Print one table: figure, raw limit, ratio."""
    table = Table(title="Measured", title_justify="left")
    for column in ("bench", "what", "measured", "raw limit", "of raw", "raw limit is"):
        table.add_column(column, justify="right" if column in ("measured", "raw limit", "of raw") else "left")
    for figure in figures:
        raw = (f"{figure.raw:,.0f} {figure.unit}", f"{figure.value / figure.raw:.0%}") if figure.raw else ("", "")
        table.add_row(figure.bench, figure.what, f"{figure.value:,.1f} {figure.unit}", *raw, figure.raw_is)
    Console(width=140).print(table)
