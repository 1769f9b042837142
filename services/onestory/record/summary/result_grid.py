"""Lays results out as a grid: a row for each kind, a column for each day. Pure.

Kinds that were measured on other days than the rest have columns by order, and each result has its own date.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import chain
from typing import NamedTuple

from onestory.record.summary.narrative import text

MAX_COLUMNS = 5
MAX_LENGTH = 60
"""Characters of a result that a narrow column can hold; a longer one has a line of its own."""
_MAX_DAY_LENGTH = 14


class GridResult(NamedTuple):
    """One result: the begin of its date, the date in words (`24 Nov 2026, 09:00`), its value, and what is said of it.

    `value` and `remarks` are plain text. `source`: its organisation, if another sent the newest.
    `is_newest`: no later result of its kind is known.
    """

    begin: datetime
    date: str
    value: str
    remarks: Sequence[str] = ()
    source: str = ""
    is_newest: bool = False


class Grid(NamedTuple):
    """The heads of the columns of results; for each row, the paragraphs (XHTML) of each cell."""

    heads: Sequence[str]
    rows: Sequence[Sequence[Sequence[str]]]


def fits(row: Sequence[GridResult]) -> bool:
    """Whether each result of a row is short enough for a grid."""
    return all(
        len(each.value) + sum(map(len, each.remarks)) <= MAX_LENGTH and len(_day(each)) <= _MAX_DAY_LENGTH
        for each in row
    )


def grid(rows: Sequence[Sequence[GridResult]]) -> Grid:
    """The grid of rows that fit; the results of each row are newest first. Never leaves out a result."""
    results = sorted(chain.from_iterable(rows), key=lambda each: each.begin, reverse=True)
    days = list(dict.fromkeys(_day(each) for each in results))
    heads = days if len(days) <= MAX_COLUMNS else days[: MAX_COLUMNS - 1]
    if 2 * sum(_day(each) in heads for each in results) < len(results):
        return _by_order(rows)
    earlier = [] if len(heads) == len(days) else ["Earlier"]
    cells = [
        [
            *[[_result(each, _time(each)) for each in row if _day(each) == head] for head in heads],
            *[[_result(each, _when(each, row)) for each in row if _day(each) not in heads] for _ in earlier],
        ]
        for row in rows
    ]
    return Grid([*heads, *earlier], cells)


def _by_order(rows: Sequence[Sequence[GridResult]]) -> Grid:
    longest = max(map(len, rows))
    cells = [[[_result(each, _when(each, row))] for each in row] + [[]] * (longest - len(row)) for row in rows]
    return Grid(["Newest", *["Before"] * (longest - 1)], cells)


def _result(each: GridResult, when: str) -> str:
    """A result as XHTML: what is said of it is strong, because a reader must not miss it."""
    value = text(each.value)
    words = [f"<strong>{value}</strong>" if each.is_newest else value]
    words += [f"<strong>{text(remark)}</strong>" for remark in each.remarks]
    when = ", ".join(part for part in (when, each.source) if part)
    return " ".join([*words, f'<span class="when">{text(when)}</span>' if when else ""]).rstrip()


def _when(each: GridResult, row: Sequence[GridResult]) -> str:
    """The day; also the time where the row has two results of that day, or where it is no time of the clock."""
    time = _time(each)
    is_clock = len(time) == len("09:00")
    return _day(each) if is_clock and sum(_day(other) == _day(each) for other in row) == 1 else each.date


def _day(each: GridResult) -> str:
    return each.date.partition(", ")[0]


def _time(each: GridResult) -> str:
    return each.date.partition(", ")[2]
