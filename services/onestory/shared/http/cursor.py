"""Cursors of lists that are ordered by time. A cursor names the last item of the page before."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson

from onestory.shared.errors import Malformed

_ITEM_ID = re.compile(r"[A-Za-z0-9-]{1,100}")


@dataclass(frozen=True, slots=True)
class TimeCursor:
    """The time and the id of the last item of the page before. `at` is the time at which the first page was read."""

    at: datetime
    sort_time: datetime
    item_id: str


def encode_cursor(cursor: TimeCursor) -> str:
    """Return the opaque text of a cursor."""
    fields = orjson.dumps([cursor.at.isoformat(), cursor.sort_time.isoformat(), cursor.item_id])
    return base64.urlsafe_b64encode(fields).decode().rstrip("=")


def decode_cursor(text: str) -> TimeCursor:
    """Return the cursor that `encode_cursor` wrote. Raises `Malformed` for any other text."""
    try:
        at, sort_time, item_id = orjson.loads(base64.b64decode(text + "=" * (-len(text) % 4), "-_", validate=True))
        if _ITEM_ID.fullmatch(item_id):
            return TimeCursor(_instant(at), _instant(sort_time), item_id)
    except (ValueError, TypeError, OverflowError, binascii.Error) as error:
        raise _malformed() from error
    raise _malformed()


def _instant(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError
    return moment.astimezone(UTC)


def _malformed() -> Malformed:
    return Malformed("This cursor is not valid. Send the request again without it.", code="value")
