"""Several statements in one round trip to PostgreSQL: a command waits for round trips more than for anything else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from onestory.shared.database import Transaction

_PLACE = re.compile(r"\$(\d+)")


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL that writes, and the values of its $1, $2, ..."""

    sql: str
    values: Sequence[object]


async def write(transaction: Transaction, statements: Sequence[Statement]) -> None:
    """All of them as one. None sees what another writes, so each writes to a table of its own."""
    values = [value for each in statements for value in each.values]
    await transaction.execute(_joined(tuple((each.sql, len(each.values)) for each in statements)), *values)


@cache
def _joined(statements: tuple[tuple[str, int], ...]) -> str:
    parts, before = [], 0
    for sql, count in statements:
        parts.append(_moved(sql, before))
        before += count
    beside = ", ".join(f"part_{place} as ({part})" for place, part in enumerate(parts[:-1]))
    return f"with {beside} {parts[-1]}" if beside else parts[-1]


def _moved(sql: str, by: int) -> str:
    return _PLACE.sub(lambda place: f"${int(place[1]) + by}", sql)
