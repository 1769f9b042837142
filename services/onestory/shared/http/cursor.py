"""Cursors of lists. A cursor is opaque text in a `next` link, and names the last item of the page before.

Each list defines the fields of its cursor. Here is the text around them, and the error for any other text. `TimeCursor`
has the fields of the lists that are ordered by time.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

import orjson

from onestory.shared.errors import Malformed

_ITEM_ID = re.compile(r"[A-Za-z0-9-]{1,100}")
_NOT_VALID = "This cursor is not valid. Send the request again without it."

Cursor = TypeVar("Cursor")


def encode_cursor(content: bytes) -> str:
    """Return the opaque text for a URL that has the fields of a cursor as bytes, mostly a JSON array."""
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def decode_cursor(text: str, read_fields: Callable[[bytes], Cursor], problem: str) -> Cursor:
    """Return the cursor that `read_fields` makes of the bytes that `encode_cursor` got.

    The text comes from a request, so the bytes may have any form. `read_fields` raises one of the usual errors for
    them, such as `ValueError` or `TypeError`. Raises `Malformed` with the text `problem` then, and for no base64url.
    """
    try:
        return read_fields(base64.b64decode(text + "=" * (-len(text) % 4), "-_", validate=True))
    except (ValueError, TypeError, LookupError, OverflowError) as error:
        raise Malformed(problem, code="value") from error


def parse_cursor_time(text: str) -> datetime:
    """Return a time in a cursor, in UTC. Raises `ValueError` for a time without a zone, and for no time."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time without a zone")
    return moment.astimezone(UTC)


@dataclass(frozen=True, slots=True)
class TimeCursor:
    """The time and the id of the last item of the page before. `at` is the time at which the first page was read."""

    at: datetime
    sort_time: datetime
    item_id: str

    def encode(self) -> str:
        """Return the opaque text for a URL."""
        return encode_cursor(orjson.dumps([self.at.isoformat(), self.sort_time.isoformat(), self.item_id]))


def parse_time_cursor(text: str) -> TimeCursor:
    """Return the cursor of a list by time. Raises `Malformed`."""
    return decode_cursor(text, _read_time_cursor, _NOT_VALID)


def _read_time_cursor(content: bytes) -> TimeCursor:
    at, sort_time, item_id = orjson.loads(content)
    if not _ITEM_ID.fullmatch(item_id):
        raise ValueError("not an id")
    return TimeCursor(parse_cursor_time(at), parse_cursor_time(sort_time), item_id)
