"""Where a page of a list begins that is ordered by time: after this row. Callers see an opaque string."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson

from onestory.shared.errors import Malformed

_NAME = re.compile(r"[A-Za-z0-9-]{1,100}")


@dataclass(frozen=True, slots=True)
class TimeCursor:
    """The last row of the page before: what it is ordered by, and its name. `at` is when the first page was made."""

    at: datetime
    moment: datetime
    name: str


def to_text(place: TimeCursor) -> str:
    """The place as it is handed out."""
    said = orjson.dumps([place.at.isoformat(), place.moment.isoformat(), place.name])
    return base64.urlsafe_b64encode(said).decode().rstrip("=")


def from_text(text: str) -> TimeCursor:
    """The place that `to_text` wrote. Raises `Malformed` for anything else."""
    try:
        at, moment, name = orjson.loads(base64.b64decode(text + "=" * (-len(text) % 4), "-_", validate=True))
        if _NAME.fullmatch(name):
            return TimeCursor(_instant(at), _instant(moment), name)
    except (ValueError, TypeError, OverflowError, binascii.Error) as error:
        raise _unknown() from error
    raise _unknown()


def _instant(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError
    return moment.astimezone(UTC)


def _unknown() -> Malformed:
    return Malformed("This cursor is none of ours: begin again without it.", code="value")
